"""A stream of chat completion chunks, to and from neutral events.

Calls are told apart by `index`, and by a new `id` where a server repeats an index; the name comes with the first piece
or later, and a server may send a whole call at once. What a call says before its name is known is held back. The
stream is whole with `[DONE]`, or with a finish reason where a server leaves that out. It begins with the first chunk
that has an id or a choice: Azure sends what its filters found before it, with an empty id and an empty model.
Elsewhere: whole answers (openai_chat of this package), cutting into events (wire.sse).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from midshift.domain.usage import UNKNOWN
from midshift.wire import kept, sse
from midshift.wire import openai_chat as wire
from midshift.wire import usage as usage_of
from midshift.wire.protocol import Problem
from midshift.wire.translation import openai_parts as parts
from midshift.wire.translation.conversation import (
    Began,
    Ended,
    Event,
    Failed,
    Stop,
    TextDelta,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
)
from midshift.wire.translation.openai_chat_words import FINISH, STOPS, thinking_in, usage_fields

_encoder = msgspec.json.Encoder()


class _Calls:
    """The tool calls of one answer, put in order as their pieces come."""

    __slots__ = ("_count", "_current", "_held", "_ids")

    def __init__(self) -> None:
        self._count = 0
        self._ids: dict[int, str] = {}
        self._current: dict[object, int] = {}
        self._held: dict[int, str] = {}

    @property
    def have_begun(self) -> bool:
        """Whether any call has been told of."""
        return self._count > len(self._held)

    def take(self, piece: Mapping[str, Any]) -> Iterator[Event]:
        """The events of one piece."""
        function = parts.mapping(piece.get("function"))
        number = self._number(piece)
        arguments = parts.text(function.get("arguments")) or ""
        if number in self._held:
            arguments = self._held[number] + arguments
            if not (name := parts.text(function.get("name"))):
                self._held[number] = arguments
                return
            del self._held[number]
            yield ToolBegan(number, self._ids[number], name)
        if arguments:
            yield ToolDelta(number, arguments)

    def _number(self, piece: Mapping[str, Any]) -> int:
        id_, key = parts.text(piece.get("id")) or "", piece.get("index")
        if key is None:
            key = id_ or max(self._current, key=lambda known: self._current[known], default="")
        number = self._current.get(key)
        if number is None or (id_ and self._ids[number] and id_ != self._ids[number]):
            number, self._count = self._count, self._count + 1
            self._current[key] = number
            self._ids[number] = id_
            self._held[number] = ""
        self._ids[number] = self._ids[number] or id_
        return number


class ChatReader:
    """From chunks to events; an `EventReader`."""

    __slots__ = ("_blocks", "_calls", "_finish", "_has_begun", "_is_over", "_is_refused", "_usage")

    def __init__(self) -> None:
        self._blocks = sse.Blocks()
        self._calls = _Calls()
        self._usage = UNKNOWN
        self._finish: str | None = None
        self._has_begun = self._is_over = self._is_refused = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete by now."""
        return [event for block in self._blocks.feed(chunk) for event in self._read(block)]

    def end(self) -> list[Event]:
        """What is left when the stream ends."""
        events = list(self._read(self._blocks.flush()))
        return [*events, *self._ended()] if self._finish is not None else events

    def _read(self, block: bytes) -> Iterator[Event]:
        event = sse.parse(block)
        if event is None or self._is_over or kept.is_blank(event):
            return
        if kept.is_done(event):
            yield from self._ended()
            return
        chunk = parts.decoded(event.data)
        if chunk is None or chunk.get("error"):
            self._is_over = True
            yield _failed(event.data)
            return
        yield from self._chunk(chunk)

    def _chunk(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        if not self._has_begun and (chunk.get("id") or chunk.get("choices")):
            self._has_begun = True
            yield Began(parts.text(chunk.get("id")) or "", parts.text(chunk.get("model")) or "")
        if isinstance(chunk.get("usage"), dict):
            self._usage = usage_of.openai_chat(chunk["usage"], chunk.get("service_tier"))
        for choice in parts.objects(chunk.get("choices")):
            if choice.get("index", 0) == 0:
                yield from self._delta(parts.mapping(choice.get("delta")))
                self._finish = parts.text(choice.get("finish_reason")) or self._finish

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        if thinking := thinking_in(delta):
            yield ThinkingDelta(thinking)
        refusal = parts.text(delta.get("refusal"))
        self._is_refused = self._is_refused or bool(refusal)
        for text in (wire.text_of(delta.get("content")), refusal):
            if text:
                yield TextDelta(text)
        for piece in parts.objects(delta.get("tool_calls")):
            yield from self._calls.take(piece)

    def _ended(self) -> Iterator[Event]:
        if self._has_begun and not self._is_over:
            yield Ended(self._stop(), self._usage)
        self._is_over = True

    def _stop(self) -> Stop | None:
        stop = STOPS.get(self._finish or "")
        if self._is_refused:
            return Stop.REFUSED
        return Stop.TOOL_CALLS if stop is Stop.END and self._calls.have_begun else stop


class ChatWriter:
    """From events to chunks; an `EventWriter`. The usage has a chunk of its own, only for an app that asked."""

    __slots__ = ("_head", "_includes_usage")

    def __init__(self, include_usage: bool = True, created: int = 0) -> None:
        self._includes_usage = include_usage
        self._head: dict[str, Any] = {"id": "", "object": "chat.completion.chunk", "created": created, "model": ""}

    def write(self, event: Event) -> bytes:
        """The bytes of one event."""
        match event:
            case Began():
                self._head |= {"id": event.id, "model": event.model}
                return self._choice({"role": "assistant", "content": ""})
            case TextDelta():
                return self._choice({"content": event.text})
            case ThinkingDelta():
                return self._choice({"reasoning_content": event.text})
            case ToolBegan():
                function = {"name": event.name, "arguments": ""}
                call = {"index": event.index, "id": event.id, "type": "function", "function": function}
                return self._choice({"tool_calls": [call]})
            case ToolDelta():
                return self._choice({"tool_calls": [_more(event)]})
            case Ended():
                return self._ended(event)
            case Failed():
                return wire.error_event(Problem(502, event.message, event.code or "upstream_error"))

    def _ended(self, event: Ended) -> bytes:
        last = self._choice({}, None if event.stop is None else FINISH[event.stop])
        usage = usage_fields(event.usage) if self._includes_usage else None
        with_usage = b"" if usage is None else self._chunk([], {"usage": usage, **parts.tier_of(event.usage)})
        return last + with_usage + b"data: " + wire.DONE + b"\n\n"

    def _choice(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], {})

    def _chunk(self, choices: list[dict[str, Any]], beside: dict[str, Any]) -> bytes:
        return b"data: " + _encoder.encode({**self._head, "choices": choices, **beside}) + b"\n\n"


def _more(event: ToolDelta) -> dict[str, Any]:
    return {"index": event.index, "function": {"arguments": event.arguments}}


def _failed(data: bytes) -> Failed:
    problem = wire.read_problem(502, data)
    return Failed(problem.message, problem.code)
