"""The neutral form between wires: a request, an answer, and the events of a stream.

It holds what at least two wires can say: texts, images, files, tool calls and results, JSON schemas, sampling,
effort, why an answer stopped, usage. A field that only one wire knows is not here: whoever reads a request raises
`Uncarried` for it, with its name, unless leaving it out cannot change the answer (a label, a cache marker).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire.protocol import Sent


class Uncarried(ValueError):
    """A field that the other wire has no words for; `param` is its place in the request, None where it is not known."""

    def __init__(self, param: str | None, why: str) -> None:
        what = "this request" if param is None else repr(param)
        super().__init__(f"{what} cannot be carried to the model that answers here: {why}")
        self.param = param


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a document or a sound: `data` in base64, or a `url`. `media_type` is None where only a URL is known.

    `name` is a file's name.
    """

    kind: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool: `arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered. `name` is known where the wire repeats it."""

    call_id: str
    parts: tuple[Text | Media, ...]
    is_error: bool = False
    name: str | None = None


Part: TypeAlias = Text | Media | ToolCall | ToolResult


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. Tool results are the user's."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the app runs; `parameters` is its JSON Schema, None where it takes none."""

    name: str
    description: str | None = None
    parameters: Mapping[str, object] | None = None
    strict: bool | None = None


class Choice(StrEnum):
    """Whether the model may, must, or must not call a tool."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Named:
    """It must call this one."""

    name: str


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The answer is JSON: of a schema, or any object. `name` is what OpenAI's wires call it."""

    schema: Mapping[str, object] | None = None
    name: str | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request for an answer. None means that the app did not say.

    `effort` is on the canonical scale none, minimal, low, medium, high, xhigh, max; `thinking_tokens` is a budget.
    """

    model: str
    turns: tuple[Turn, ...]
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: Choice | Named | None = None
    parallel_tools: bool | None = None
    format: JsonFormat | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    effort: str | None = None
    thinking_tokens: int | None = None
    user: str | None = None
    stream: bool = False


class Stop(StrEnum):
    """Why an answer is over."""

    END = "end"
    LENGTH = "length"
    STOP_SEQUENCE = "stop_sequence"
    TOOL_CALLS = "tool_calls"
    REFUSED = "refused"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. `thinking` is what the model showed of its reasoning, where a wire shows it as text."""

    id: str
    model: str
    parts: tuple[Text | ToolCall, ...]
    stop: Stop | None
    usage: Usage = UNKNOWN
    thinking: str | None = None


@dataclass(frozen=True, slots=True)
class Began:
    """A stream begins. `usage` holds what is known by then (the input)."""

    id: str
    model: str
    usage: Usage = UNKNOWN


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More words."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More of the reasoning that is shown."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolBegan:
    """A tool call begins; `index` counts the calls of this answer from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolDelta:
    """More of a call's arguments; calls may interleave."""

    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is whole. `usage` is all that was reported."""

    stop: Stop | None
    usage: Usage = UNKNOWN


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider reports an error in the middle of a stream."""

    message: str
    code: str | None = None


Event: TypeAlias = Began | TextDelta | ThinkingDelta | ToolBegan | ToolDelta | Ended | Failed


class EventReader(Protocol):
    """From the bytes of a wire's stream to events; any chunking of the same bytes gives the same events."""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete by now."""
        ...

    def end(self) -> list[Event]:
        """What is left when the stream ends; a stream that broke off gives no `Ended`."""
        ...


class EventWriter(Protocol):
    """From events to the bytes of a wire's stream, as its clients expect them."""

    def write(self, event: Event) -> bytes:
        """The bytes of one event; nothing where the wire says nothing of it."""
        ...


class Translation(Protocol):
    """A module of this package, seen from outside: one wire, in both directions."""

    def read_request(self, body: bytes, path: str, query: str = "") -> Conversation:
        """A request of this wire.

        Raises:
            Unreadable: if it is not one.
            Uncarried: for a field that only this wire knows and that matters.
        """
        ...

    def write_request(self, conversation: Conversation) -> Sent:
        """The same as a request of this wire.

        Raises:
            Uncarried: for what this wire has no words for.
        """
        ...

    def read_reply(self, body: bytes) -> Reply | None:
        """An answer of this wire; None if it is not one."""
        ...

    def write_reply(self, reply: Reply) -> bytes:
        """The same as an answer of this wire."""
        ...

    def reader(self) -> EventReader:
        """For a stream of this wire."""
        ...

    def writer(self, include_usage: bool = True, created: int = 0) -> EventWriter:
        """For a stream of this wire. `created` is the Unix time that some wires repeat in every event."""
        ...
