"""The OpenAI Responses wire: `POST /responses` and `/responses/input_tokens`, answers, events and errors.

An answer's text is that of all its `output_text` parts. How it ended is said in the words of chat completions, so that
answers of both wires can be told apart by nothing but their content: `stop`, `length`, `tool_calls`, `content_filter`.
A stream is events with a type and a `sequence_number`; the last one (`response.completed`, `.incomplete` or `.failed`)
repeats the whole response with its usage, and no `[DONE]` follows. A client of OpenAI's yields an `error` event to the
app and raises nothing.

Responses are stored unless `store` is false: `unstored` is for a request that nobody may find again.
Elsewhere: requests (openai_responses_request).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from midshift.domain.light import replaced
from midshift.domain.rendering import Changes
from midshift.domain.usage import Usage
from midshift.wire import sse, tokens
from midshift.wire import usage as usage_of
from midshift.wire.json_object import WRONG
from midshift.wire.openai_chat import DONE, error_body, model_body, models_body, read_problem
from midshift.wire.openai_responses_request import COUNT_PATH, PATH, ResponsesRequest
from midshift.wire.protocol import Answer, End, Problem

__all__ = [
    "BINDS_STATE",
    "ResponsesTail",
    "error_body",
    "error_event",
    "is_error",
    "is_ping",
    "is_usage_only",
    "model_body",
    "models_body",
    "read_answer",
    "read_problem",
    "read_request",
    "read_stream",
    "state_in",
    "tail",
    "unstored",
]

BINDS_STATE = True  # ids of responses, encrypted reasoning

_LAST = ("response.completed", "response.incomplete", "response.failed")
_ERRORS = ("error", "response.failed")
_MARKS = (*(name.encode() for name in _LAST), b"error")
_A_NAME = 64  # bytes: the line that names an event is not longer
_STATE = tokens.texts_of("id", "encrypted_content")
_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}

_encoder = msgspec.json.Encoder()


# Leaves are `Any`: one odd value of one server must not make the whole answer unreadable.
class _Response(msgspec.Struct):
    """An answer, or what an event repeats of it; every other field is skipped."""

    output: Any = None
    status: Any = None
    model: Any = None
    usage: Any = None
    service_tier: Any = None
    incomplete_details: Any = None
    tool_usage: Any = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    delta: Any = None
    error: Any = None
    response: _Response | None = None


_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)


class ResponsesTail:
    """Finds in a stream, fed as it passes, the event that ends it; of all others it keeps nothing."""

    __slots__ = ("_blocks", "_last")

    def __init__(self) -> None:
        self._blocks = sse.Blocks()
        self._last: _Event | None = None

    def feed(self, chunk: bytes) -> None:
        """Take more of the stream."""
        for block in self._blocks.feed(chunk):
            # Each for itself, since most events hold none of them; what an answer says may, so the event decides.
            if b".delta\n" not in block[:_A_NAME] and any(mark in block for mark in _MARKS):
                self._last = self._last or _last(block)

    def answer(self) -> Answer:
        """Usage, model, finish reason and end, of the event that ends the stream; no text."""
        event = self._last or _last(self._blocks.rest)
        if event is None:
            return Answer(end=End.NONE)
        answer = replaced(_answer(event.response), text=None) if event.response is not None else Answer()
        return replaced(answer, end=End.ERROR) if _is_failure(event) else answer


def read_request(body: bytes, path: str = PATH, query: str = "") -> ResponsesRequest:
    """See `Wire`."""
    return ResponsesRequest(body, COUNT_PATH if path.endswith(COUNT_PATH) else PATH)


def tail() -> ResponsesTail:
    """See `Wire`."""
    return ResponsesTail()


def unstored(changes: Changes) -> Changes:
    """The same changes for a second request of the same kind, a mirror's: its answer is not to be stored."""
    return replaced(changes, set={**changes.set, "store": False}, drop=changes.drop - {"store"})


def read_answer(body: bytes) -> Answer | None:
    """A whole answer; None if it is not one. One that is still being made in the background has no end yet."""
    try:
        response = _response.decode(body)
    except WRONG:
        return None
    is_answer = isinstance(response.output, list) and response.error is None and response.status != "failed"
    return _answer(response) if is_answer else None


def read_stream(body: bytes) -> Answer | None:
    """A whole stream with its text put together; None if an error came of it, or if it broke off."""
    texts: list[str] = []
    for found in _events(body):
        if found is None or _is_failure(found):
            return None
        if found.type in _LAST and found.response is not None:
            answer = _answer(found.response)
            return answer if answer.text is not None else replaced(answer, text="".join(texts) or None)
        if found.type == "response.output_text.delta" and isinstance(found.delta, str):
            texts.append(found.delta)
    return None


def is_error(event: sse.Event) -> bool:
    """Whether an event of a stream is a server's error instead of a part of an answer."""
    if event.data == DONE:
        return False
    found = _decoded(event)
    return found is None or _is_failure(found)


def is_ping(event: sse.Event) -> bool:
    """Never: servers of this wire keep a connection alive with comments."""
    return False


def state_in(part: bytes) -> list[str]:
    """Ids of responses, conversations and items, and encrypted reasoning. Only ids in full, no event's `item_id`."""
    return tokens.found(_STATE, part)


def is_usage_only(block: bytes) -> bool:
    """Never: usage comes with the last event, which every client waits for."""
    return False


def error_event(problem: Problem) -> bytes:
    """An error in the middle of a stream. Its place in the sequence is not known here; clients do not count."""
    return encoded_event(
        {
            "type": "error",
            "code": problem.code,
            "message": problem.message,
            "param": problem.param,
            "sequence_number": 0,
        }
    )


def encoded_event(event: Mapping[str, object]) -> bytes:
    """An event as it travels: its type, which its data repeat."""
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), _encoder.encode(event))


def finish_reason(status: object, incomplete_details: object, has_calls: bool) -> str | None:
    """How an answer ended, in the words of chat completions; a reason that they do not have stays what it is."""
    if status == "completed":
        return "tool_calls" if has_calls else "stop"
    if status != "incomplete":
        return None
    reason = _mapping(incomplete_details).get("reason")
    return _INCOMPLETE.get(reason, reason) if isinstance(reason, str) else None


def usage_in(response: Mapping[str, object]) -> Usage:
    """The usage that a response states, with the searches that it was billed for."""
    usage = usage_of.openai_responses(response.get("usage"), response.get("service_tier"))
    searches = _mapping(_mapping(response.get("tool_usage")).get("web_search")).get("num_requests")
    is_count = isinstance(searches, int) and not isinstance(searches, bool) and searches >= 0
    return replaced(usage, searches=searches) if is_count else usage


def _answer(response: _Response) -> Answer:
    output = [_mapping(item) for item in response.output] if isinstance(response.output, list) else []
    has_calls = any(item.get("type") in ("function_call", "custom_tool_call") for item in output)
    return Answer(
        usage_in(msgspec.structs.asdict(response)),
        finish_reason(response.status, response.incomplete_details, has_calls),
        "".join(_texts(output)) or None,
        response.model if isinstance(response.model, str) else None,
    )


def _texts(output: list[Mapping[str, Any]]) -> Iterator[str]:
    for item in output:
        parts = item.get("content") if item.get("type") == "message" else None
        for part in map(_mapping, parts if isinstance(parts, list) else ()):
            if part.get("type") == "output_text" and isinstance(part.get("text"), str):
                yield part["text"]


def _events(body: bytes) -> Iterator[_Event | None]:
    """The events of a stream; None for one that cannot be read."""
    blocks = sse.Blocks()
    for block in [*blocks.feed(body), blocks.rest]:
        event = sse.parse(block)
        if event is not None and event.data != DONE:
            yield _decoded(event)


def _decoded(event: sse.Event | None) -> _Event | None:
    if event is None:
        return None
    try:
        found = _event.decode(event.data)
    except WRONG:
        return None
    found.type = found.type if isinstance(found.type, str) else event.type
    return found


def _last(block: bytes) -> _Event | None:
    """The event in a block, if it ends the stream."""
    event = _decoded(sse.parse(block))
    if event is None or _is_failure(event):
        return event
    return event if event.type in _LAST and event.response is not None else None


def _is_failure(event: _Event) -> bool:
    return event.type in _ERRORS or event.error is not None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
