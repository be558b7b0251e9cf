"""A request, an answer or a stream of one wire as one of another.

A request is read on the app's wire and written on the provider's; the provider's own wire then applies the variant.
A field that only two wires of one vendor have (`verbosity`) does not go through the neutral form but beside it.
Apps send whatever they like: a request that cannot be read is one that cannot be carried, and nothing of it is left
out for that. An answer that cannot be read is none.
Elsewhere: the neutral form (conversation), each wire's own words (the other modules here), what a variant settles
before anything is written (settled).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from midshift.domain.rendering import Changes
from midshift.wire import json_object as json
from midshift.wire.protocol import Unreadable, WireName, WireRequest
from midshift.wire.translation import anthropic, gemini, openai_chat, openai_responses
from midshift.wire.translation.conversation import Translation, Uncarried
from midshift.wire.translation.settled import settled
from midshift.wire.wires import WIRES

TRANSLATIONS: Mapping[WireName, Translation] = MappingProxyType(
    {
        WireName.OPENAI_CHAT: openai_chat,
        WireName.OPENAI_RESPONSES: openai_responses,
        WireName.ANTHROPIC: anthropic,
        WireName.GEMINI: gemini,
    }
)

_UNCHANGED = Changes()
UNFORESEEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a value of a kind that nobody expected can raise: it must not cost the user an answer of the incumbent."""
_SAME = ("service_tier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier")
_FROM_CHAT = {name: name for name in _SAME} | {"verbosity": "text.verbosity"}
_BESIDE: Mapping[tuple[WireName, WireName], Mapping[str, str]] = MappingProxyType(
    {
        (WireName.OPENAI_CHAT, WireName.OPENAI_RESPONSES): _FROM_CHAT,
        (WireName.OPENAI_RESPONSES, WireName.OPENAI_CHAT): {there: here for here, there in _FROM_CHAT.items()},
    }
)
"""Fields that two wires of one vendor both have, by their paths on the one and on the other."""


def translated_request(
    spoken: WireName,
    wanted: WireName,
    body: bytes,
    path: str,
    query: str,
    changes: Changes = _UNCHANGED,
    is_mirror: bool = False,
) -> WireRequest:
    """A request of the wire `spoken` as one of the wire `wanted`, to which `changes` are still to be applied.

    What they drop, set or bound need not be carried as the app sent it, and with an effort of theirs the app's own
    budget of thinking is void. The answer of a mirror is nobody's to ask for later, so there `store` is as good as
    false.

    Raises:
        Uncarried: for a field that `wanted` has no words for, and for one that cannot be read.
    """
    if is_mirror and spoken is WireName.OPENAI_RESPONSES:
        body = WIRES[spoken].read_request(body, path, query).rewritten(Changes({"store": False})).body
    try:
        return _carried(spoken, wanted, body, path, query, changes)
    except Uncarried:
        if not changes.drop:
            raise
    without = WIRES[spoken].read_request(body, path, query).rewritten(Changes(drop=changes.drop)).body
    return _carried(spoken, wanted, without, path, query, changes)


def translated_reply(spoken: WireName, wanted: WireName, status: int, body: bytes) -> bytes | None:
    """An answer of the wire `spoken`, or an error, as one of the wire `wanted`.

    None for a 200 that is no answer: on, as it is, the app's client would read it as an empty one.
    """
    if status != 200:
        return WIRES[wanted].error_body(WIRES[spoken].read_problem(status, body))
    try:
        reply = TRANSLATIONS[spoken].read_reply(body)
        return None if reply is None else TRANSLATIONS[wanted].write_reply(reply)
    except UNFORESEEN:
        return None


def _carried(spoken: WireName, wanted: WireName, body: bytes, path: str, query: str, changes: Changes) -> WireRequest:
    try:
        return _translated(spoken, wanted, body, path, query, changes)
    except Uncarried:
        raise
    except Unreadable as error:
        raise Uncarried(error.param, str(error)) from error
    except UNFORESEEN as error:
        raise Uncarried(None, "a value in it is not of the kind that its field has") from error


def _translated(
    spoken: WireName, wanted: WireName, body: bytes, path: str, query: str, changes: Changes
) -> WireRequest:
    fields = json.read_fields(body)
    beside = _taken(fields, _BESIDE.get((spoken, wanted), {}))
    told = TRANSLATIONS[spoken].read_request(json.written(fields, json.read_fields(body), body), path, query)
    told = settled(told, wanted, changes)
    if wanted is WireName.ANTHROPIC and told.max_tokens is None and "max_tokens" not in changes.set:
        needed = "it needs a limit, and any of ours would cut answers short. Pin one: params: {set: {max_tokens: N}}"
        raise Uncarried("max_tokens", needed)
    sent = TRANSLATIONS[wanted].write_request(told)
    target, _, asked = sent.target.partition("?")
    request = WIRES[wanted].read_request(sent.body, target, asked)
    return WIRES[wanted].read_request(request.rewritten(Changes(beside)).body, target, asked) if beside else request


def _taken(fields: json.Fields, paths: Mapping[str, str]) -> dict[str, Any]:
    """Take the fields at these paths out, each by its path on the other wire; one that is null says nothing."""
    found = {there: _said_at(fields, here) for here, there in paths.items()}
    for here in paths:
        json.remove(fields, here)
    return {there: value for there, value in found.items() if value is not None}


def _said_at(fields: json.Fields, path: str) -> Any:
    first, _, rest = path.partition(".")
    return json.inside(json.value_of(fields[first], first), rest) if first in fields else None


class Stream:
    """A stream of the wire `spoken`, as it comes, as one of the wire `wanted`."""

    __slots__ = ("_reader", "_writer")

    def __init__(self, spoken: WireName, wanted: WireName, include_usage: bool = True, created: int = 0) -> None:
        self._reader = TRANSLATIONS[spoken].reader()
        self._writer = TRANSLATIONS[wanted].writer(include_usage, created)

    def feed(self, chunk: bytes) -> bytes:
        """What can be said by now."""
        return b"".join(map(self._writer.write, self._reader.feed(chunk)))

    def end(self) -> bytes:
        """What is left when the stream is over."""
        return b"".join(map(self._writer.write, self._reader.end()))
