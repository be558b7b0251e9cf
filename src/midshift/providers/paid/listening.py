"""A stream as an eval hears it: when its first token is there, and what it comes to when it is over.

The first token is the first piece of text, or the beginning of a tool call: what an app can do something with.
Reasoning that is shown before it is not. Usage is read as the gateway reads it, so it is as exact as that of an answer
that came whole, wherever the provider reports it in streams.
Elsewhere: the bytes (desk), the wires' own words (wire.translation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from midshift.domain.paid_call import ToolUse
from midshift.wire.protocol import Answer, WireName
from midshift.wire.translation.conversation import Event, Failed, TextDelta, ToolBegan, ToolDelta
from midshift.wire.translation.translate import TRANSLATIONS
from midshift.wire.wires import WIRES

BROKEN_OFF = "the stream broke off"

Ear: TypeAlias = Callable[[bytes], bool]
"""Takes a stream as it comes; true as soon as the first token is there."""


@dataclass(frozen=True, slots=True)
class Listened:
    """What a whole stream said; `answer` is None if an error came of it or it broke off, and then `why` says so."""

    answer: Answer | None
    tools: tuple[ToolUse, ...] = ()
    why: str = ""


def ear(wire: WireName) -> Ear:
    """An ear for one stream of a wire."""
    reader = TRANSLATIONS[wire].reader()

    def heard(chunk: bytes) -> bool:
        return any(map(_is_token, reader.feed(chunk)))

    return heard


def listened(wire: WireName, body: bytes) -> Listened:
    """Read a whole stream."""
    answer = WIRES[wire].read_stream(body)
    reader = TRANSLATIONS[wire].reader()
    events = [*reader.feed(body), *reader.end()]
    if answer is None:
        failures = [event.message for event in events if isinstance(event, Failed)]
        return Listened(None, why=failures[0] if failures else BROKEN_OFF)
    return Listened(answer, _tools(events))


def _is_token(event: Event) -> bool:
    return isinstance(event, ToolBegan) or (isinstance(event, TextDelta) and event.text != "")


def _tools(events: Sequence[Event]) -> tuple[ToolUse, ...]:
    names: dict[int, str] = {}
    arguments: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolBegan):
            names[event.index] = event.name
        elif isinstance(event, ToolDelta):
            arguments.setdefault(event.index, []).append(event.arguments)
    return tuple(ToolUse(name, "".join(arguments.get(index, ()))) for index, name in names.items())
