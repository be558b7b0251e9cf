"""OpenAI chat completions, as they travel: requests, answers, streams of chunks, and errors.

An answer is read only for its usage, how it ended and its text. What a server did not report is None, never 0.

Facts about the format: usage comes in a stream only when `stream_options.include_usage` asks, in a chunk of its own
without choices, and some servers put it on the last chunk that has one. Content is a text, or a list of parts at
servers that show their thinking in it (Mistral's reasoning models). Errors have more shapes than OpenAI's own: see
`read_problem`. An `error` that is empty in any way is none, as OpenAI's Python client takes it.
Elsewhere: what is read of a request, and how it is rewritten (openai_chat_request), answers of the usual shape (usual).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from midshift.domain.light import replaced
from midshift.domain.rendering import Changes
from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire import kept, sse, usual
from midshift.wire import usage as usage_of
from midshift.wire.json_object import WRONG
from midshift.wire.openai_chat_request import PATH, ChatRequest
from midshift.wire.protocol import Answer, End, Problem

BINDS_STATE = False
DONE = kept.DONE

_USUALLY_ENOUGH = 2 * 1024  # holds the last events of most streams: to cut a whole tail costs as much as 20 chunks
_KINDS = {429: "rate_limit_error", 502: "upstream_error", 504: "upstream_error"}

_encoder = msgspec.json.Encoder()


# Leaves are `Any`: one odd value of one server must not make the whole answer unreadable.
class _Message(msgspec.Struct):
    content: Any = None
    tool_calls: msgspec.Raw = usual.NULL


class _Choice(msgspec.Struct):
    finish_reason: Any = None
    message: _Message | None = None
    delta: _Message | None = None
    index: Any = 0


class _Completion(msgspec.Struct):
    """An answer, or one chunk of a stream; every other field is skipped."""

    choices: list[_Choice] | None = None
    usage: Any = None
    service_tier: Any = None
    model: Any = None
    error: Any = None


_completion = msgspec.json.Decoder(_Completion)


class StreamTail:
    """The last of a stream, kept to find its usage and how it ended when it is over."""

    __slots__ = ("_kept", "feed")

    def __init__(self) -> None:
        self._kept = kept.Kept(is_error)
        self.feed = self._kept.feed

    def answer(self) -> Answer:
        """Usage, finish reason, model and end, from the last events that state them; no text.

        Some servers send no `[DONE]`: an answer that says why it finished is whole.
        """
        tail = self._kept.last()
        found = _last_said(kept.blocks(tail[-_USUALLY_ENOUGH:])[1:]) if len(tail) > _USUALLY_ENOUGH else None
        found = found if found is not None and _says_all(found) else _last_said(kept.blocks(tail))
        return replaced(found, end=End.ERROR) if self._kept.has_error() else found


def read_request(body: bytes, path: str = PATH, query: str = "") -> ChatRequest:
    """See `Wire`."""
    return ChatRequest(body)


def tail() -> StreamTail:
    """See `Wire`."""
    return StreamTail()


def unstored(changes: Changes) -> Changes:
    """See `Wire`: only what asks for it is stored, and that is a side effect."""
    return changes


def read_answer(body: bytes) -> Answer | None:
    """A whole answer; None if it is not one."""
    try:
        return usual.read_completion(body)
    except WRONG:
        return _read_odd_answer(body)


def read_stream(body: bytes) -> Answer | None:
    """A whole stream with its text put together; None if an error came of it, or if it broke off."""
    blocks = sse.Blocks()
    texts: list[str] = []
    usage, finish, model, ended, calls = UNKNOWN, None, None, False, False
    for block in [*blocks.feed(body), blocks.rest]:
        event = sse.parse(block)
        if event is None:
            continue
        ended = ended or kept.is_done(event)
        if _is_no_chunk(event):
            continue
        chunk = _decoded(event.data)
        if chunk is None or chunk.error:
            return None
        usage = _usage(chunk) if chunk.usage is not None else usage
        finish = _finish_reason(chunk) or finish
        model = model or _model_of(chunk)
        texts.extend(_deltas(chunk))
        calls = calls or _may_call(chunk)
    if not ended and finish is None:
        return None
    return Answer(usage, finish, "".join(texts) or None, model, may_call=calls)


def is_error(event: sse.Event) -> bool:
    """Whether an event of a stream is a server's error instead of a chunk."""
    if _is_no_chunk(event):
        return False
    chunk = _decoded(event.data)
    return chunk is None or bool(chunk.error)


def is_ping(event: sse.Event) -> bool:
    """Whether an event says nothing. The wire has no ping of its own: servers keep connections alive with comments."""
    return kept.is_blank(event)


def state_in(part: bytes) -> list[str]:
    """None: chat completions keep nothing between two requests."""
    return []


def is_usage_only(block: bytes) -> bool:
    """Whether a block of a stream holds usage and no choice: what only an app that asked for it expects."""
    if b'"usage"' not in block:
        return False
    event = sse.parse(block)
    chunk = _decoded(event.data) if event is not None else None
    return chunk is not None and chunk.usage is not None and not chunk.choices


def error_body(problem: Problem) -> bytes:
    """An error in the shape that OpenAI's clients raise as their own classes."""
    kind = _KINDS.get(problem.status, "invalid_request_error" if problem.status < 500 else "server_error")
    found = {"message": problem.message, "type": kind, "param": problem.param, "code": problem.code}
    return _encoder.encode({"error": found})


def error_event(problem: Problem) -> bytes:
    """An error in the middle of a stream: clients raise it instead of taking what came for the whole answer."""
    return b"data: " + error_body(problem) + b"\n\n"


def read_problem(status: int, body: bytes) -> Problem:
    """See `Wire`.

    Beside OpenAI's `{"error": {"message"}}`: the same fields without `error` around them (Mistral, vLLM), `{"detail"}`
    as FastAPI writes it (a text, or a list of what is wrong where), `{"error": "text"}` (Hugging Face), and a list with
    the error in it (Gemini's endpoint of this format).
    """
    error = _error_in(body)
    codes = [code for name in ("code", "type", "status") if isinstance(code := error.get(name), str) and code]
    param = error.get("param")
    return Problem(
        status,
        _words(error) or f"The provider answered with status {status}.",
        codes[0] if codes else "upstream_error",
        param if isinstance(param, str) else None,
    )


def text_of(content: object) -> str | None:
    """The text of a message or of a delta: all of its content, or of the parts that are text; None for none."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(text for text in texts if isinstance(text, str)) or None
    return content if isinstance(content, str) else None


def models_body(names: Iterable[str]) -> bytes:
    """The answer of `GET /v1/models`."""
    return _encoder.encode({"object": "list", "data": [_model(name) for name in names]})


def model_body(name: str) -> bytes:
    """The answer of `GET /v1/models/{id}`."""
    return _encoder.encode(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "midshift"}


def _is_no_chunk(event: sse.Event) -> bool:
    return kept.is_done(event) or kept.is_blank(event)


def _decoded(body: bytes) -> _Completion | None:
    try:
        return _completion.decode(body)
    except WRONG:
        return None


def _read_odd_answer(body: bytes) -> Answer | None:
    completion = _decoded(body)
    if completion is None or completion.choices is None:
        return None
    message = completion.choices[0].message if completion.choices else None
    text = text_of(message.content) if message is not None else None
    return Answer(_usage(completion), _finish_reason(completion), text, _model_of(completion))


def _error_in(body: bytes) -> dict[str, Any]:
    """The object that describes an error; nothing where there is none."""
    try:
        found = msgspec.json.decode(body)
    except WRONG:
        return {}
    found = found[0] if isinstance(found, list) and found else found
    if not isinstance(found, dict):
        return {}
    error = found.get("error")
    return error if isinstance(error, dict) else found


def _words(error: dict[str, Any], depth: int = 2) -> str | None:
    """What an error says, by whatever name its server gives it; Mistral puts a `detail` into the `message`."""
    said = (_said(error.get(name), depth) for name in ("message", "detail", "error"))
    return next((words for words in said if words), None)


def _said(value: object, depth: int) -> str | None:
    match value:
        case str():
            return value
        case list():
            return "; ".join(words for item in value if isinstance(item, dict) and (words := _at_fault(item)))
        case dict() if depth:
            return _words(value, depth - 1)
        case _:
            return None


def _at_fault(item: dict[str, Any]) -> str | None:
    """One of FastAPI's list: what is wrong, after its place."""
    words, place = item.get("msg"), item.get("loc")
    if not isinstance(words, str):
        return None
    return f"{'.'.join(map(str, place))}: {words}" if isinstance(place, list) and place else words


def _usage(completion: _Completion) -> Usage:
    return usage_of.openai_chat(completion.usage, completion.service_tier)


def _finish_reason(completion: _Completion) -> str | None:
    reason = completion.choices[0].finish_reason if completion.choices else None
    return reason if isinstance(reason, str) else None


def _model_of(completion: _Completion) -> str | None:
    return completion.model if isinstance(completion.model, str) else None


def _deltas(chunk: _Completion) -> Iterator[str]:
    for choice in chunk.choices or ():
        if choice.index == 0 and choice.delta is not None and (text := text_of(choice.delta.content)):
            yield text


def _may_call(chunk: _Completion) -> bool:
    deltas = (choice.delta for choice in chunk.choices or ())
    return any(delta is not None and delta.tool_calls not in usual.NO_CALLS for delta in deltas)


def _last_said(blocks: Sequence[bytes]) -> Answer:
    """Usage, finish reason, model and end, from the last blocks that state them."""
    found, is_done, is_readable = Answer(), False, True
    for block in reversed(blocks):
        event = sse.parse(block)
        if event is None:
            continue
        if kept.is_done(event):
            is_done = True
            continue
        if kept.is_blank(event):
            continue
        said = _said_by(event.data)
        if said is None:
            is_readable = False
            continue
        usage = said.usage if found.usage is UNKNOWN else found.usage
        finish = found.finish_reason or said.finish_reason or None  # some servers send "" until they know
        found = Answer(usage, finish, model=found.model or said.model)
        if _says_all(found):
            break
    is_whole = is_readable and (is_done or found.finish_reason is not None)
    return found if is_whole else replaced(found, end=End.NONE)


def _said_by(data: bytes) -> Answer | None:
    """What one chunk says; None if it is none. A usage that says nothing is `UNKNOWN` itself."""
    try:
        return usual.read_completion(data)
    except WRONG:
        chunk = _decoded(data)
    if chunk is None:
        return None
    usage = _usage(chunk)
    return Answer(UNKNOWN if usage == UNKNOWN else usage, _finish_reason(chunk), model=_model_of(chunk))


def _says_all(found: Answer) -> bool:
    return found.finish_reason is not None and found.usage is not UNKNOWN  # every chunk names the model
