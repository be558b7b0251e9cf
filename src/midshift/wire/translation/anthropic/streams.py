"""Streams: events from blocks, and blocks from events.

Blocks of a message come one after another, each closed before the next begins. Events of other wires may interleave
calls of tools, so the first call that is not whole keeps the stream, and what comes beside it waits; a call is whole
when its arguments are a JSON object.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire import sse
from midshift.wire import usage as usages
from midshift.wire.anthropic.answer import DONE, Message, StreamEvent, read_event
from midshift.wire.anthropic.problems import error
from midshift.wire.json_object import inside, object_of
from midshift.wire.translation.anthropic.replies import (
    arguments_of,
    head,
    reason_of,
    stop_of,
    usage_of,
    written_message,
)
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

_UNREADABLE = Failed("The stream holds an event that cannot be read.", "api_error")
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
_TYPES = (
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "overloaded_error",
)


class Reader:
    """An `EventReader`."""

    __slots__ = ("_blocks", "_calls", "_has_reason", "_is_over", "_start", "_stop", "_usage", "_unsaid")

    def __init__(self) -> None:
        self._blocks = sse.Blocks()
        self._calls: dict[object, int] = {}
        self._unsaid: set[object] = set()
        self._start: Message | None = None
        self._stop: Stop | None = None
        self._usage: object = None
        self._has_reason = self._is_over = False

    def feed(self, chunk: bytes) -> list[Event]:
        """See `EventReader`."""
        return [event for block in self._blocks.feed(chunk) for event in self._read(block)]

    def end(self) -> list[Event]:
        """See `EventReader`."""
        return self._read(self._blocks.flush())

    def _read(self, block: bytes) -> list[Event]:
        parsed = sse.parse(block)
        if parsed is None or self._is_over:
            return []
        found = read_event(parsed)
        if found is not None and found.type == DONE and self._has_reason:
            found.type = "message_stop"  # which compatible servers leave out
        self._is_over = found is None or found.type in ("error", "message_stop")
        return [_UNREADABLE] if found is None else self._said(found)

    def _said(self, found: StreamEvent) -> list[Event]:
        match found.type:
            case "message_start":
                self._start = found.message or Message()
                return [Began(*head(self._start), usage=self._counted())]
            case "content_block_start":
                return self._begun(found.index, found.content_block)
            case "content_block_delta":
                return self._more(found.index, found.delta)
            case "content_block_stop":
                return self._closed(found.index)
            case "message_delta":
                reason = inside(found.delta, "stop_reason")
                self._stop, self._usage = stop_of(reason), found.usage
                self._has_reason = isinstance(reason, str) and bool(reason)
                return []
            case "message_stop":
                return [Ended(self._stop, self._counted())]
            case "error":
                return [_failed(found)]
            case _:
                return []

    def _begun(self, index: object, block: Any) -> list[Event]:
        match block:
            case {"type": "text", "text": str(text)} if text:
                return [TextDelta(text)]
            case {"type": "thinking", "thinking": str(text)} if text:
                return [ThinkingDelta(text)]
            case {"type": "tool_use", "id": str(id), "name": str(name)}:
                call = self._calls[index] = len(self._calls)
                if block.get("input"):
                    return [ToolBegan(call, id, name), ToolDelta(call, arguments_of(block["input"]))]
                self._unsaid.add(index)
                return [ToolBegan(call, id, name)]
            case _:
                return []

    def _more(self, index: object, delta: object) -> list[Event]:
        match delta:
            case {"type": "text_delta", "text": str(text)} if text:
                return [TextDelta(text)]
            case {"type": "thinking_delta", "thinking": str(text)} if text:
                return [ThinkingDelta(text)]
            case {"type": "input_json_delta", "partial_json": str(text)} if text and index in self._calls:
                self._unsaid.discard(index)
                return [ToolDelta(self._calls[index], text)]
            case _:
                return []

    def _closed(self, index: object) -> list[Event]:
        """A tool without arguments is called with none here; on other wires that is the text `{}`."""
        if index not in self._unsaid:
            return []
        self._unsaid.discard(index)
        return [ToolDelta(self._calls[index], "{}")]

    def _counted(self) -> Usage:
        first = self._start.usage if self._start is not None else None
        counted = usages.merged(first, self._usage)
        return usages.anthropic(counted) if counted else UNKNOWN


class _Block:
    """A block to be written: words, or a call. `said` is what of its pieces has gone out."""

    __slots__ = ("call", "pieces", "said")

    def __init__(self, call: ToolBegan | None = None) -> None:
        self.call = call
        self.pieces: list[str] = []
        self.said = -1  # not even its beginning

    def is_whole(self) -> bool:
        """Whether nothing more can belong to it, once something else has begun."""
        if self.call is None:
            return True
        if not self.pieces or not self.pieces[-1].rstrip().endswith("}"):  # cheap, and asked for every piece
            return False
        return object_of(Raw("".join(self.pieces).encode())) is not None

    def start(self) -> dict[str, Any]:
        """The block as it begins."""
        if self.call is None:
            return {"type": "text", "text": ""}
        return {"type": "tool_use", "id": self.call.id, "name": self.call.name, "input": {}}

    def delta(self, piece: str) -> dict[str, Any]:
        """More of it."""
        if self.call is None:
            return {"type": "text_delta", "text": piece}
        return {"type": "input_json_delta", "partial_json": piece}


class Writer:
    """An `EventWriter`."""

    __slots__ = ("_blocks", "_calls", "_closed")

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._calls: dict[int, _Block] = {}
        self._closed = 0

    def write(self, event: Event) -> bytes:
        """See `EventWriter`. Thinking shows as a ping: clients that wait hear that something happens."""
        match event:
            case Began(id, model, usage):
                return _event("message_start", message=written_message(id, model, usage))
            case TextDelta(text):
                return self._text(text)
            case ThinkingDelta():
                return _PING
            case ToolBegan(index):
                self._calls[index] = _Block(event)
                self._blocks.append(self._calls[index])
                return self._drained()
            case ToolDelta(index, arguments):
                return self._arguments(index, arguments)
            case Ended(stop, usage):
                return self._drained(is_over=True) + _end(stop, usage)
            case Failed(message, code):
                kind, cause = (code, None) if code in _TYPES else ("api_error", code)
                return _event("error", error=error(kind or "api_error", message, cause))

    def _text(self, text: str) -> bytes:
        if not text:
            return b""
        if not self._blocks or self._blocks[-1].call is not None:
            self._blocks.append(_Block())
        self._blocks[-1].pieces.append(text)
        return self._drained()

    def _arguments(self, index: int, arguments: str) -> bytes:
        block = self._calls.get(index)
        if block is None or not arguments or block not in self._blocks:
            return b""
        block.pieces.append(arguments)
        return self._drained()

    def _drained(self, is_over: bool = False) -> bytes:
        """What can be said by now: all of the first block, and of those after it once it is whole."""
        out = []
        while self._blocks:
            out.append(self._said(self._blocks[0]))
            if not is_over and (len(self._blocks) == 1 or not self._blocks[0].is_whole()):
                break
            out.append(_event("content_block_stop", index=self._closed))
            self._closed += 1
            del self._blocks[0]
        return b"".join(out)

    def _said(self, block: _Block) -> bytes:
        out = []
        if block.said < 0:
            out.append(_event("content_block_start", index=self._closed, content_block=block.start()))
            block.said = 0
        out += [
            _event("content_block_delta", index=self._closed, delta=block.delta(piece))
            for piece in block.pieces[block.said :]
        ]
        block.said = len(block.pieces)
        return b"".join(out)


def reader() -> Reader:
    """See `Translation`."""
    return Reader()


def writer(include_usage: bool = True, created: int = 0) -> Writer:
    """See `Translation`. Usage is always in a stream of this wire, and no time."""
    return Writer()


def _end(stop: Stop | None, usage: Usage) -> bytes:
    delta = {"stop_reason": reason_of(stop), "stop_sequence": None}
    return _event("message_delta", delta=delta, usage=usage_of(usage)) + _event("message_stop")


def _event(type: str, **fields: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (type.encode(), msgspec.json.encode({"type": type, **fields}))


def _failed(event: StreamEvent) -> Failed:
    message, kind = inside(event.error, "message"), inside(event.error, "type")
    code = inside(event.error, "details.error_code") or kind
    return Failed(
        message if isinstance(message, str) and message else "The provider reports an error without words.",
        code if isinstance(code, str) else None,
    )
