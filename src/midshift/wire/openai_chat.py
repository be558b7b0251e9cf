"""OpenAI chat completions, as they travel: requests, answers, streams of chunks, and errors.

A request is read one level deep: what midshift does not need stays the bytes that the app sent, and a rewritten
request differs from the original in the fields that were changed and in nothing else. An answer is read only for its
usage, how it ended and its text. What a server did not report is None, never 0.

Facts about the format: the system prompt is the leading messages with role `system` or `developer`, text or parts;
usage comes in a stream only when `stream_options.include_usage` asks, in a chunk of its own without choices, and some
servers put it on the last chunk that has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Raw

from midshift.domain.clamping import EFFORT, Bounds
from midshift.domain.rendering import Changes
from midshift.domain.usage import UNKNOWN, Usage
from midshift.domain.variant import Json
from midshift.wire import sse, usual
from midshift.wire import usage as usage_of
from midshift.wire.json_object import WRONG, plain, written
from midshift.wire.protocol import Answer, Problem, Sent, Unreadable

PATH = "/chat/completions"
BINDS_STATE = False
DONE = b"[DONE]"

_TAIL = 64 * 1024
_USUALLY_ENOUGH = 4 * 1024  # holds the last events of most streams: to cut a whole tail costs as much as 20 chunks
_NULL, _TRUE = Raw(b"null"), Raw(b"true")
_SYSTEM_ROLES = ("system", "developer")
_KINDS = {429: "rate_limit_error", 502: "upstream_error", 504: "upstream_error"}

_fields = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()


# Leaves are `Any`: one odd value of one server must not make the whole answer unreadable.
class _Message(msgspec.Struct):
    content: Any = None


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
    error: Raw = _NULL


class _Head(msgspec.Struct):
    role: str = ""


class _Tool(msgspec.Struct):
    type: str = "function"


_completion = msgspec.json.Decoder(_Completion)
_head = msgspec.json.Decoder(_Head)
_message = msgspec.json.Decoder(_Message)
_tools = msgspec.json.Decoder(list[_Tool] | None)
_mapping = msgspec.json.Decoder(dict[str, Any])


class ChatRequest:
    """A request, read as far as it is asked about; a `domain.rendering.Readable`.

    Raises:
        Unreadable: if it is not a JSON object with a model and a list of messages.
    """

    bound_state: tuple[tuple[str, str], ...] = ()  # chat completions keep nothing between two requests
    prompt_is_elsewhere: bool = False

    def __init__(self, body: bytes) -> None:
        self.body = body
        try:
            self._fields = _fields.decode(body)
        except WRONG as error:
            raise Unreadable(f"the request body is not a JSON object: {error}") from None
        self.model = self._required("model", _text, "the name of a model")
        self.messages = self._required("messages", _items, "a list of messages")
        self.stream = self._fields.get("stream") == _TRUE
        self._plain: dict[str, Any] = {}

    @cached_property
    def asks_usage(self) -> bool:
        """Whether the app itself wants usage in the stream."""
        return _plain_mapping(self._raw("stream_options")).get("include_usage") is True

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """The texts that the app sent along by name."""
        found = _plain_mapping(self._raw("metadata"))
        return {key: value for key, value in found.items() if isinstance(value, str)}

    @cached_property
    def system(self) -> str | None:
        """The text of the leading system messages; None where there is none, or one that cannot be read."""
        texts = [_text_of(message) for message in self.messages[: self._leading]]
        return "\n".join(text for text in texts if text is not None) if texts and None not in texts else None

    @property  # not kept: it may be as large as the request
    def opening(self) -> str | None:
        """What the user said first: the same in every turn of a conversation."""
        for message in self.messages[self._leading :]:
            if _role(message) == "user":
                return _text_of(message) or bytes(message).decode("utf-8", "surrogatepass")
        return None

    @cached_property
    def has_side_effects(self) -> bool:
        """Whether answering it twice would do something twice: the server stores it, or runs tools of its own.

        A tool of type `function` or `custom` is run by the app, so a second answer only asks for it.
        """
        return (
            self._fields.get("store") == _TRUE
            or self._fields.get("background") == _TRUE
            or self._fields.get("web_search_options", _NULL) != _NULL
            or not self._tools_are_the_apps()
        )

    def value_at(self, path: str) -> Any:
        """The plain value at a dotted path; None where there is nothing."""
        first, _, rest = path.partition(".")
        if first not in self._fields:
            return None
        if first not in self._plain:
            self._plain[first] = plain(self._fields[first])
        found = self._plain[first]
        for name in rest.split(".") if rest else ():
            found = _inside(found, name)
        return found

    def rewritten(self, changes: Changes, ask_usage: bool = False, strip_state: bool = False) -> Sent:
        """See `WireRequest`."""
        return Sent(PATH, self._body(changes, ask_usage))

    def _body(self, changes: Changes, ask_usage: bool) -> bytes:
        changed = self._fields.copy()
        if changes.drop or changes.clamp or changes.set:
            _change(changed, changes)
        if changes.model is not None:
            _set(changed, "model", _encoder.encode(changes.model))
        if changes.effort is not None:
            _set(changed, "reasoning_effort", _encoder.encode(changes.effort))
        if changes.system is not None:
            _set(changed, "messages", self._with_system(changes.system))
        if ask_usage and self.stream and not self.asks_usage:
            options = {**_plain_mapping(self._raw("stream_options")), "include_usage": True}
            _set(changed, "stream_options", _encoder.encode(options))
        return written(changed, self._fields, self.body)

    @cached_property
    def _leading(self) -> int:
        roles = map(_role, self.messages)
        return next((at for at, role in enumerate(roles) if role not in _SYSTEM_ROLES), len(self.messages))

    def _with_system(self, text: str) -> bytes | memoryview:
        if text == self.system:
            return memoryview(self._fields["messages"])
        rest = self.messages[self._leading :]
        first = self.messages[: self._leading][-1:]
        return _encoder.encode([_system_message(text, first[0] if first else None), *rest])

    def _tools_are_the_apps(self) -> bool:
        try:
            tools = _tools.decode(self._raw("tools")) or []
        except WRONG:
            return False
        return all(tool.type in ("function", "custom") for tool in tools)

    def _raw(self, name: str) -> memoryview:
        return memoryview(self._fields.get(name, _NULL))

    def _required(self, name: str, decoder: msgspec.json.Decoder[Any], expected: str) -> Any:
        try:
            return decoder.decode(self._raw(name))
        except WRONG:
            raise Unreadable(f"{name!r} must be {expected}", name) from None


class StreamTail:
    """The last of a stream, kept to find its usage and how it ended when it is over."""

    __slots__ = ("_chunks", "_size")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Take more of the stream; what lies further back than 64 KB is let go."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > 2 * _TAIL:
            kept = b"".join(self._chunks)[-_TAIL:]
            self._chunks, self._size = [kept], len(kept)

    def answer(self) -> Answer:
        """Usage, finish reason and model, from the last events that state them; no text."""
        tail = b"".join(self._chunks)
        found = _last_said(_cut(tail[-_USUALLY_ENOUGH:])[1:]) if len(tail) > _USUALLY_ENOUGH else None
        return found if found is not None and _says_all(found) else _last_said(_cut(tail))


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
    usage, finish, model, ended = UNKNOWN, None, None, False
    for block in [*blocks.feed(body), blocks.rest]:
        event = sse.parse(block)
        if event is None:
            continue
        if event.data == DONE:
            ended = True
            continue
        chunk = _decoded(event.data)
        if chunk is None or bytes(chunk.error) != b"null":
            return None
        usage = _usage(chunk) if chunk.usage is not None else usage
        finish = _finish_reason(chunk) or finish
        model = model or _model_of(chunk)
        texts.extend(_deltas(chunk))
    return Answer(usage, finish, "".join(texts) or None, model) if ended or finish is not None else None


def is_error(event: sse.Event) -> bool:
    """Whether an event of a stream is a server's error instead of a chunk."""
    if event.data == DONE:
        return False
    chunk = _decoded(event.data)
    return chunk is None or bytes(chunk.error) != b"null"


def is_ping(event: sse.Event) -> bool:
    """Never: servers of this wire keep a connection alive with comments."""
    return False


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
    """See `Wire`."""
    try:
        found = _mapping.decode(body).get("error")
    except WRONG:
        found = None
    error = found if isinstance(found, dict) else {}
    message, code, param = error.get("message"), error.get("code") or error.get("type"), error.get("param")
    return Problem(
        status,
        message if isinstance(message, str) and message else f"The provider answered with status {status}.",
        code if isinstance(code, str) else "upstream_error",
        param if isinstance(param, str) else None,
    )


def models_body(names: Iterable[str]) -> bytes:
    """The answer of `GET /v1/models`."""
    return _encoder.encode({"object": "list", "data": [_model(name) for name in names]})


def model_body(name: str) -> bytes:
    """The answer of `GET /v1/models/{id}`."""
    return _encoder.encode(_model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "midshift"}


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
    text = message.content if message is not None and isinstance(message.content, str) else None
    return Answer(_usage(completion), _finish_reason(completion), text, _model_of(completion))


def _usage(completion: _Completion) -> Usage:
    return usage_of.openai_chat(completion.usage, completion.service_tier)


def _finish_reason(completion: _Completion) -> str | None:
    reason = completion.choices[0].finish_reason if completion.choices else None
    return reason if isinstance(reason, str) else None


def _model_of(completion: _Completion) -> str | None:
    return completion.model if isinstance(completion.model, str) else None


def _deltas(chunk: _Completion) -> Iterator[str]:
    for choice in chunk.choices or ():
        if choice.index == 0 and choice.delta is not None and isinstance(choice.delta.content, str):
            yield choice.delta.content


def _last_said(blocks: Sequence[bytes]) -> Answer:
    """Usage, finish reason and model, from the last blocks that state them."""
    found = Answer()
    for block in reversed(blocks):
        event = sse.parse(block)
        said = _said_by(event.data) if event is not None and event.data != DONE else None
        if said is None:
            continue
        usage = found.usage if found.usage is not UNKNOWN and found.usage != UNKNOWN else said.usage
        found = Answer(usage, found.finish_reason or said.finish_reason, model=found.model or said.model)
        if _says_all(found):
            break
    return found


def _said_by(data: bytes) -> Answer | None:
    """What one chunk says; None if it is none."""
    try:
        return usual.read_completion(data)
    except WRONG:
        chunk = _decoded(data)
    if chunk is None:
        return None
    usage = UNKNOWN if chunk.usage is None else _usage(chunk)
    return Answer(usage, _finish_reason(chunk), model=_model_of(chunk))


def _says_all(found: Answer) -> bool:
    return found.finish_reason is not None and found.usage != UNKNOWN  # every chunk names the model


def _cut(tail: bytes) -> list[bytes]:
    """The blocks of a tail, the last one as far as it has come; the first one may be the end of a block."""
    blocks = sse.Blocks()
    return [*blocks.feed(tail), blocks.rest]


def _plain_mapping(raw: bytes | memoryview) -> dict[str, Any]:
    try:
        return _mapping.decode(raw)
    except WRONG:
        return {}


def _inside(value: Any, name: str) -> Any:
    if value is None:
        return None
    match value:
        case dict():
            return value.get(name)
        case list() if name.isdecimal() and int(name) < len(value):
            return value[int(name)]
        case _:
            return None


def _role(message: Raw) -> str:
    try:
        return _head.decode(message).role
    except WRONG:
        return ""


def _text_of(message: Raw) -> str | None:
    """The text of a message: its content, or the text parts of it on lines of their own."""
    try:
        content = _message.decode(message).content
    except WRONG:
        return None
    if isinstance(content, list):
        texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        return "\n".join(texts) if texts else None
    return content if isinstance(content, str) else None


def _system_message(text: str, like: Raw | None) -> dict[str, Any]:
    """A system message with this text, in the form of the one that it takes the place of.

    Role, name and the last part's cache marker stay: an app that asked for prompt caching keeps it.
    """
    message = _plain_mapping(bytes(like)) if like is not None else {"role": "system"}
    match message.get("content"):
        case [*_, dict(part)]:
            return {**message, "content": [{**part, "text": text}]}
        case _:
            return {**message, "content": text}


def _encode(value: Json) -> bytes:
    return _encoder.encode(_unfrozen(value))


def _unfrozen(value: Json) -> Any:
    match value:
        case Mapping():
            return {name: _unfrozen(item) for name, item in value.items()}
        case str():
            return value
        case Sequence():
            return [_unfrozen(item) for item in value]
        case _:
            return value


def _change(fields: dict[str, Raw], changes: Changes) -> None:
    """Apply what a variant's parameters say."""
    for name in changes.drop:
        fields.pop(name, None)
    for name, bounds in changes.clamp.items():
        _clamp(fields, "reasoning_effort" if name == EFFORT else name, bounds)
    for name, value in changes.set.items():
        _set(fields, name, _encode(value))


def _set(fields: dict[str, Raw], name: str, encoded: bytes | memoryview) -> None:
    """Set a field, unless it is there already with this very value."""
    if name not in fields or memoryview(fields[name]) != encoded:
        fields[name] = Raw(encoded)


def _clamp(fields: dict[str, Raw], name: str, bounds: Bounds) -> None:
    """Bring a field within its bounds; one that is not there, or already inside, keeps its bytes."""
    if name not in fields:
        return
    try:
        value = msgspec.json.decode(fields[name])
    except WRONG:
        return
    clamped = bounds.clamped(value)
    if clamped != value:
        fields[name] = Raw(_encode(clamped))
