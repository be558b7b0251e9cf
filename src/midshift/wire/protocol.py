"""What every wire offers to a gateway and to an eval: one seam, with a module of this package behind each name.

A wire is a vendor's way to ask a model: paths, requests, answers, streams, errors. Its module reads a request no
deeper than it is asked about, rewrites only the fields that a variant changes, and keeps every other byte. Streams are
server-sent events on all wires here. Reading an answer never raises: what is not one is None.
Elsewhere: sockets (providers.http), from one wire to another (wire.translation), who is asked (gateway).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from midshift.domain.light import Light
from midshift.domain.rendering import Changes, Readable
from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire import sse


class WireName(StrEnum):
    """The wires that midshift serves, and asks providers on."""

    __hash__ = str.__hash__  # a key on the path of every request: Enum's own is a call of Python

    OPENAI_CHAT = "openai_chat"
    OPENAI_RESPONSES = "openai_responses"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"


class Unreadable(ValueError):
    """A request that is not one of its wire, said so that the app's developer can mend it. `param` is the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class End(StrEnum):
    """How a stream ended: with the mark of its wire, with an error in the midst of it, or not at all."""

    __hash__ = str.__hash__

    WHOLE = "whole"
    ERROR = "error"
    NONE = "none"


class Answer(Light, eq=False):
    """What an answer says about itself; `text` is None where it has none (a tool call, a refusal to parse).

    `model` is the model that the provider says has answered, which need not be the name that was asked. `end` is of a
    `Tail`: what is read as a whole is one, or is None. `may_call` is no part of what it says: False where whoever read
    it has seen that it calls no tool, so that nobody needs to look again.
    """

    usage: Usage = UNKNOWN
    finish_reason: str | None = None
    text: str | None = None
    model: str | None = None
    end: End = End.WHOLE
    may_call: bool = True

    @property
    def _said(self) -> tuple[Usage, str | None, str | None, str | None, End]:
        return self.usage, self.finish_reason, self.text, self.model, self.end

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and self._said == other._said

    def __hash__(self) -> int:
        return hash(self._said)


class Sent(Light):
    """A request as it goes to a provider: `target` is path and query below the provider's base URL."""

    target: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """An error of the gateway's own, before a wire gives it the shape that its clients raise as their own classes.

    `status` is the HTTP status; `code` says in one word what it is (`model_not_found`, `first_byte_timeout`).
    """

    status: int
    message: str
    code: str
    param: str | None = None


class WireRequest(Readable, Protocol):
    """A request for an answer, read as far as it is asked about."""

    @property
    def body(self) -> bytes:
        """The bytes that the app sent."""
        ...

    @property
    def model(self) -> str:
        """The model that the app names, be it in the body or in the path."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the answer is to come as a stream: told by the body or the path, never by `Accept`."""
        ...

    @property
    def asks_usage(self) -> bool:
        """Whether the app itself wants usage in the stream; true where the wire always sends it."""
        ...

    @property
    def opening(self) -> str | None:
        """What the user said first: the same in every turn of a conversation."""
        ...

    @property
    def has_side_effects(self) -> bool:
        """Whether answering it twice would do something twice: the provider stores it, or runs tools of its own."""
        ...

    @property
    def bound_state(self) -> tuple[tuple[str, str], ...]:
        """What only the model or provider that made it can read, as (field, token): response ids, encrypted
        reasoning, thinking signatures, file ids.
        """
        ...

    def value_at(self, path: str) -> Any:
        """The plain value at a dotted path of the body; None where there is nothing."""
        ...

    def rewritten(self, changes: Changes, ask_usage: bool = False, strip_state: bool = False) -> Sent:
        """The request with the changes of a variant; the very same bytes where nothing changes.

        `ask_usage` asks for usage in the stream beside whatever else the app asks of it. `strip_state` removes the
        bound state that can be left out: encrypted reasoning and thinking with its signatures.
        """
        ...


class Tail(Protocol):
    """Collects from a stream, fed as it passes, what it used and how it ended.

    Its `end` is `WHOLE` where `read_stream` finds an answer in the same bytes. One difference is left: an event in the
    midst of a stream that is nothing of its wire and names no error, for which every event would have to be read.
    """

    def feed(self, chunk: bytes) -> None:
        """Take more of the stream."""
        ...

    def answer(self) -> Answer:
        """What it said about itself, without its text."""
        ...


class Wire(Protocol):
    """A module of this package, seen from outside."""

    BINDS_STATE: bool
    """Whether answers hold what only the variant that made it can read, and requests send back."""

    def read_request(self, body: bytes, path: str, query: str = "") -> WireRequest:
        """Read a request. `path` as it was asked for, without a mounted prefix.

        Raises:
            Unreadable: if it is not one.
        """
        ...

    def read_answer(self, body: bytes) -> Answer | None:
        """A whole answer; None if it is not one."""
        ...

    def read_stream(self, body: bytes) -> Answer | None:
        """A whole stream with its text put together; None if an error came of it, or if it broke off."""
        ...

    def unstored(self, changes: Changes) -> Changes:
        """The same changes for a second request of the same kind, a mirror's: nothing of it is to be stored."""
        ...

    def tail(self) -> Tail:
        """A new collector for one stream."""
        ...

    def is_error(self, event: sse.Event) -> bool:
        """Whether an event of a stream is a provider's error instead of a part of an answer."""
        ...

    def is_ping(self, event: sse.Event) -> bool:
        """Whether an event of a stream only says that the connection lives."""
        ...

    def state_in(self, part: bytes) -> list[str]:
        """Tokens in a part of an answer that requests send back as `bound_state`: whole lines of a stream, or all of a
        whole answer. A look at the bytes, for the path of a request; what is no token may be among them.
        """
        ...

    def is_usage_only(self, block: bytes) -> bool:
        """Whether a block of a stream holds nothing but the usage that only an app that asked for it expects."""
        ...

    def error_body(self, problem: Problem) -> bytes:
        """An error in the shape that the vendor's clients raise."""
        ...

    def error_event(self, problem: Problem) -> bytes:
        """The same in the middle of a stream."""
        ...

    def read_problem(self, status: int, body: bytes) -> Problem:
        """A vendor's error, for an app of another wire; what cannot be read is said by its status."""
        ...

    def models_body(self, names: Iterable[str]) -> bytes:
        """The answer to a client that lists models."""
        ...

    def model_body(self, name: str) -> bytes:
        """The answer to a client that asks for one model."""
        ...


Wires = Mapping[WireName, Wire]
