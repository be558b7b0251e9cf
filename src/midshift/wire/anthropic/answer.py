"""What comes back: a message, or the events of a stream. Read for its usage, how it ended, its text and its model.

A stream is `message_start` (which holds the input's usage), blocks one after another (`content_block_start`,
`content_block_delta`, `content_block_stop`), `message_delta` (why it stopped; cumulative usage, which overwrites
what `message_start` said) and `message_stop`, without which it has broken off. `ping` may stand anywhere, `error` ends
a stream that began with status 200, and types that are not known here are no error: the API adds some within a version.
Compatible servers write OpenAI's `[DONE]` too: vLLM behind `message_stop`, others in its place, where the stream is
whole if `message_delta` has said why it stopped.
Elsewhere: what the numbers mean (wire.usage).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import Any

import msgspec

from midshift.domain.light import replaced
from midshift.domain.usage import UNKNOWN
from midshift.wire import kept, sse, usage
from midshift.wire.anthropic import usual
from midshift.wire.json_object import WRONG, inside
from midshift.wire.protocol import Answer, End

_USUALLY_ENOUGH = 4 * 1024  # at either end: to cut the whole costs as much as to forward it
_ERRORS = (kept.ERROR, b"event: error", b"event:error")
_START = b"message_start"

DONE = kept.DONE.decode()
"""The type of the event that `[DONE]` is read as."""


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

    __slots__ = ("_kept", "feed")

    def __init__(self) -> None:
        self._kept = kept.Kept(is_error, _ERRORS)
        self.feed = self._kept.feed

    def answer(self) -> Answer:
        """Usage, stop reason, model and end, from the first and the last events that state them; no text."""
        start, (delta, is_stopped) = _started(self._kept.first()), _ended(self._kept.last())
        answer = _answer(start, delta, None)
        if self._kept.has_error():
            return replaced(answer, end=End.ERROR)
        return answer if is_stopped and start is not None else replaced(answer, end=End.NONE)


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
    """What an event says; None if it cannot be read. Where its data name no type, its own line does.

    `[DONE]` has the type `DONE`, and an event without data is a ping.
    """
    try:
        found = _event.decode(event.data)
    except WRONG:
        return _read_odd_event(event)
    found.type = found.type or event.type or ("error" if found.error is not None else "")
    return found


def read_answer(body: bytes) -> Answer | None:
    """A whole answer; None if it is not one. A count of tokens is one too, and has used none."""
    try:
        return usual.read_message(body)
    except WRONG:
        return _read_odd_answer(body)


def read_stream(body: bytes) -> Answer | None:
    """A whole stream with its text put together; None if an error came of it, or if it broke off."""
    start, end, texts, types = None, None, list[str](), set[str | None]()
    for event in _all_events(body):
        match event:
            case None | StreamEvent(type="error"):
                return None
            case StreamEvent(type="message_start"):
                start = start or event.message
            case StreamEvent(type="message_delta"):
                end, types = event, set()
            case _:
                types.add(event.type)
                texts.extend(_deltas(event))
    return _answer(start, end, "".join(texts) or None) if start is not None and _is_end(types, end) else None


def is_error(event: sse.Event) -> bool:
    """Whether an event of a stream is the API's error, or nothing of this wire, instead of a part of an answer."""
    found = read_event(event)
    return found is None or found.type == "error"


def is_ping(event: sse.Event) -> bool:
    """Whether an event is nothing of an answer: none has begun by it, and an error may still be first."""
    found = read_event(event)
    return found is not None and found.type in ("ping", DONE)


def is_usage_only(block: bytes) -> bool:
    """Never: usage comes with the beginning and the end of an answer, which every client needs."""
    return False


def events(stream: bytes) -> Iterator[StreamEvent]:
    """The events of a stream, or of a piece of one, that can be read."""
    return (event for event in _all_events(stream) if event is not None)


def _all_events(stream: bytes) -> Iterator[StreamEvent | None]:
    for block in kept.blocks(stream):
        event = sse.parse(block)
        if event is not None:
            yield read_event(event)


def _started(first: bytes) -> Message | None:
    """What the first `message_start` says."""
    for part in (first[:_USUALLY_ENOUGH], first):
        for event in kept.events(part, _START):
            found = read_event(event)
            if found is not None and found.type == "message_start" and found.message is not None:
                return found.message
    return None


def _ended(last: bytes) -> tuple[StreamEvent | None, bool]:
    """The last `message_delta`, and whether the end came behind it and nothing that cannot be read."""
    if len(last) > _USUALLY_ENOUGH:
        delta, is_stopped = _last_of(kept.blocks(last[-_USUALLY_ENOUGH:])[1:])
        if delta is not None:
            return delta, is_stopped
    return _last_of(kept.blocks(last))


def _last_of(blocks: list[bytes]) -> tuple[StreamEvent | None, bool]:
    types = set[str | None]()
    for event in filter(None, map(sse.parse, reversed(blocks))):
        found = read_event(event)
        if found is not None and found.type == "message_delta":
            return found, _is_end(types, found)
        types.add(None if found is None else found.type)
    return None, _is_end(types, None)


def _is_end(types: Set[str | None], delta: StreamEvent | None) -> bool:
    """Whether events of these types, None for what cannot be read, end what the last `message_delta` has said."""
    return None not in types and ("message_stop" in types or (DONE in types and _reason(delta) is not None))


def _read_odd_event(event: sse.Event) -> StreamEvent | None:
    if event.type == "error":  # whatever its data
        return None
    if kept.is_blank(event):
        return StreamEvent(type="ping")
    return StreamEvent(type=DONE) if kept.is_done(event) else None


def _answer(start: Message | None, end: StreamEvent | None, text: str | None) -> Answer:
    first = start.usage if start is not None else None
    counted = usage.merged(first, end.usage if end is not None else None)
    model = _name(start.model) if start is not None else None
    return Answer(usage.anthropic(counted) if counted else UNKNOWN, _reason(end), text, model)


def _reason(end: StreamEvent | None) -> str | None:
    return _name(inside(end.delta, "stop_reason")) if end is not None else None


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
