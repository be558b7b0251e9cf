"""Streams: events from chunks, and chunks from events.

A call comes whole in one part here, so calls of other wires are collected until the answer is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire import sse
from midshift.wire.gemini.parts import decoded, first_candidate, parts_of
from midshift.wire.gemini.problems import error_event
from midshift.wire.protocol import Problem
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
from midshift.wire.translation.gemini.replies import call_part, called, stop_of, usage_of, written

_STATUS = {"rate_limit": 429, "exhausted": 429, "overloaded": 503, "unavailable": 503, "timeout": 504, "deadline": 504}
_UNKNOWN_END = "OTHER"  # clients wait for a reason, and Google's own word for one that has no name is this
_UNREADABLE = Failed("The stream holds an event that cannot be read.", "internal")


class Reader:
    """An `EventReader`."""

    __slots__ = ("_blocks", "_calls", "_has_begun", "_has_ended", "_has_failed", "_id", "_stop", "_usage")

    def __init__(self) -> None:
        self._blocks = sse.Blocks()
        self._calls = 0
        self._has_begun = False
        self._has_ended = False
        self._has_failed = False
        self._id = ""
        self._stop: Stop | None = None
        self._usage: Usage = UNKNOWN

    def feed(self, chunk: bytes) -> list[Event]:
        """See `EventReader`."""
        return [event for block in self._blocks.feed(chunk) for event in self._read(block)]

    def end(self) -> list[Event]:
        """See `EventReader`. The end of the bytes is the end of the answer, if it has said why it stopped."""
        events = self._read(self._blocks.flush())
        return [*events, Ended(self._stop, self._usage)] if self._has_ended and not self._has_failed else events

    def _read(self, block: bytes) -> list[Event]:
        parsed = sse.parse(block)
        if parsed is None or self._has_failed:
            return []
        found = decoded(parsed.data)
        if found is None or "error" in found:
            self._has_failed = True
            return [_UNREADABLE if found is None else _failed(found["error"])]
        events: list[Event] = []
        if not self._has_begun:
            self._has_begun = True
            self._id = str(found.get("responseId") or "")
            events.append(Began(self._id, str(found.get("modelVersion") or "")))
        candidate = first_candidate(found.get("candidates"))
        for part in parts_of(candidate.get("content")):
            events += self._part(part)
        self._usage = usage_of(found) if "usageMetadata" in found else self._usage
        self._stop = stop_of(found, candidate, self._calls > 0) or self._stop
        self._has_ended |= self._stop is not None or bool(candidate.get("finishReason"))
        return events

    def _part(self, part: Mapping[str, Any]) -> list[Event]:
        match part:
            case {"text": str(text)} if text:
                return [ThinkingDelta(text) if part.get("thought") else TextDelta(text)]
            case {"functionCall": dict(call)}:
                found = called(call, self._id, self._calls)
                self._calls += 1
                index = self._calls - 1
                return [ToolBegan(index, found.id, found.name), ToolDelta(index, found.arguments)]
            case _:
                return []


class Writer:
    """An `EventWriter`."""

    __slots__ = ("_calls", "_id", "_model")

    def __init__(self) -> None:
        self._id = ""
        self._model = ""
        self._calls: dict[int, tuple[ToolBegan, list[str]]] = {}

    def write(self, event: Event) -> bytes:
        """See `EventWriter`."""
        match event:
            case Began(id, model, _):
                self._id, self._model = id, model
                return b""
            case TextDelta(text):
                return self._chunk([{"text": text}]) if text else b""
            case ThinkingDelta(text):
                return self._chunk([{"text": text, "thought": True}]) if text else b""
            case ToolBegan(index):
                self._calls[index] = (event, [])
                return b""
            case ToolDelta(index, arguments):
                if index in self._calls:
                    self._calls[index][1].append(arguments)
                return b""
            case Ended(stop, usage):
                parts = [call_part(call.id, call.name, "".join(said)) for call, said in self._calls.values()]
                return self._chunk(parts, stop, usage, is_last=True)
            case Failed(message, code):
                return error_event(Problem(_status(code), message, code or "internal"))

    def _chunk(
        self, parts: list[dict[str, Any]], stop: Stop | None = None, usage: Usage = UNKNOWN, is_last: bool = False
    ) -> bytes:
        found = written(self._id, self._model, parts, stop, usage)
        if is_last and stop is None:
            found["candidates"][0]["finishReason"] = _UNKNOWN_END
        return b"data: " + msgspec.json.encode(found) + b"\r\n\r\n"


def reader() -> Reader:
    """See `Translation`."""
    return Reader()


def writer(include_usage: bool = True, created: int = 0) -> Writer:
    """See `Translation`. Usage is always in a stream of this wire, and no time."""
    return Writer()


def _status(code: str | None) -> int:
    """The status that a client of this wire raises by."""
    words = (code or "").lower()
    return next((status for word, status in _STATUS.items() if word in words), 500)


def _failed(error: object) -> Failed:
    found = error if isinstance(error, dict) else {}
    message, status = found.get("message"), found.get("status")
    return Failed(
        message if isinstance(message, str) and message else "The provider reports an error without words.",
        status.lower() if isinstance(status, str) else None,
    )
