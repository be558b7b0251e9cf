"""What comes back: a message, or the events of a stream. Read for its usage, how it ended, its text and its model.

A stream is `message_start` (which holds the input's usage), blocks one after another (`content_block_start`,
`content_block_delta`, `content_block_stop`), `message_delta` (why it stopped; cumulative usage, which overwrites
what `message_start` said) and `message_stop`, without which it has broken off. `ping` may stand anywhere, `error` ends
a stream that began with status 200, and types that are not known here are no error: the API adds some within a version.
Elsewhere: what the numbers mean (wire.usage).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from midshift.domain.usage import UNKNOWN
from midshift.wire import sse, usage
from midshift.wire.anthropic import usual
from midshift.wire.json_object import WRONG, inside
from midshift.wire.protocol import Answer

_HEAD = _TAIL = 64 * 1024


# Leaves are `Any`: one odd value must not make the whole answer unreadable.
class Message(msgspec.Struct):
    """A message, or the beginning of one in `message_start`."""

    type: Any = None
    id: Any = None
    model: Any = None
    content: Any = None
    stop_reason: Any = None
    usage: Any = None


class _Counted(msgspec.Struct):
    input_tokens: int


class StreamEvent(msgspec.Struct):
    """One event of a stream; the fields that its type does not have are None."""

    type: str = ""
    message: Message | None = None
    index: Any = None
    content_block: Any = None
    delta: Any = None
    usage: Any = None
    error: Any = None


_message = msgspec.json.Decoder(Message)
_counted = msgspec.json.Decoder(_Counted)
_event = msgspec.json.Decoder(StreamEvent)


class StreamTail:
    """The first and the last of a stream, kept to find its usage and how it ended when it is over."""

    __slots__ = ("_chunks", "_head", "_headed", "_size")

    def __init__(self) -> None:
        self._head: list[bytes] = []
        self._headed = 0
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Take more of the stream; what lies between its first and its last 64 KB is let go."""
        if self._headed < _HEAD:
            self._head.append(chunk)
            self._headed += len(chunk)
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > 2 * _TAIL:
            kept = b"".join(self._chunks)[-_TAIL:]
            self._chunks, self._size = [kept], len(kept)

    def answer(self) -> Answer:
        """Usage, stop reason and model, from the first and the last event that state them; no text."""
        start = next((event.message for event in events(b"".join(self._head)) if event.message is not None), None)
        ends = [event for event in events(b"".join(self._chunks)) if event.type == "message_delta"]
        return _answer(start, ends[-1] if ends else None, None)


def tail() -> StreamTail:
    """See `Wire`."""
    return StreamTail()


def read_message(body: bytes) -> Message | None:
    """A whole message; None if it is not one."""
    try:
        message = _message.decode(body)
    except WRONG:
        return None
    return message if message.type == "message" and isinstance(message.content, list) else None


def read_event(event: sse.Event) -> StreamEvent | None:
    """What an event says; None if it cannot be read."""
    try:
        return _event.decode(event.data)
    except WRONG:
        return None


def read_answer(body: bytes) -> Answer | None:
    """A whole answer; None if it is not one. A count of tokens is one too, and has used none."""
    try:
        return usual.read_message(body)
    except WRONG:
        return _read_odd_answer(body)


def read_stream(body: bytes) -> Answer | None:
    """A whole stream with its text put together; None if an error came of it, or if it broke off."""
    start, end, texts, is_whole = None, None, list[str](), False
    for event in _all_events(body):
        match event:
            case None | StreamEvent(type="error"):
                return None
            case StreamEvent(type="message_start"):
                start = event.message
            case StreamEvent(type="message_delta"):
                end = event
            case StreamEvent(type="message_stop"):
                is_whole = True
            case _:
                texts.extend(_deltas(event))
    return _answer(start, end, "".join(texts) or None) if is_whole and start is not None else None


def is_error(event: sse.Event) -> bool:
    """Whether an event of a stream is the API's error, or nothing of this wire, instead of a part of an answer."""
    found = read_event(event)
    return found is None or found.type == "error" or event.type == "error"


def is_ping(event: sse.Event) -> bool:
    """Whether an event only keeps the connection alive: no answer has begun by it, and an error may still be first."""
    found = read_event(event)
    return found is not None and found.type == "ping"


def is_usage_only(block: bytes) -> bool:
    """Never: usage comes with the beginning and the end of an answer, which every client needs."""
    return False


def events(stream: bytes) -> Iterator[StreamEvent]:
    """The events of a stream, or of a piece of one, that can be read."""
    return (event for event in _all_events(stream) if event is not None)


def _all_events(stream: bytes) -> Iterator[StreamEvent | None]:
    blocks = sse.Blocks()
    for block in [*blocks.feed(stream), blocks.rest]:
        event = sse.parse(block)
        if event is not None:
            yield read_event(event)


def _answer(start: Message | None, end: StreamEvent | None, text: str | None) -> Answer:
    first = start.usage if start is not None else None
    counted = usage.merged(first, end.usage if end is not None else None)
    reason = inside(end.delta, "stop_reason") if end is not None else None
    model = _name(start.model) if start is not None else None
    return Answer(usage.anthropic(counted) if counted else UNKNOWN, _name(reason), text, model)


def _read_odd_answer(body: bytes) -> Answer | None:
    message = read_message(body)
    if message is None:
        return Answer() if _is_count(body) else None
    found = message.usage
    return Answer(usage.anthropic(found), _name(message.stop_reason), _texts(message.content), _name(message.model))


def _texts(blocks: Iterable[Any]) -> str | None:
    """The text of a message; blocks follow each other without a gap, as they do where citations cut a sentence."""
    texts = [inside(block, "text") for block in blocks if inside(block, "type") == "text"]
    return "".join(text for text in texts if isinstance(text, str)) or None


def _deltas(event: StreamEvent) -> Iterator[str]:
    begun, more = inside(event.content_block, "text"), inside(event.delta, "text")
    for text in (begun, more):
        if isinstance(text, str):
            yield text


def _is_count(body: bytes) -> bool:
    try:
        return _counted.decode(body).input_tokens >= 0
    except WRONG:
        return False


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
