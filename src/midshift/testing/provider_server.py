"""A fake provider over HTTP/1.1 on loopback, in the shape that OpenAI documents for `/v1/chat/completions`.

    async with serve(provider) as base_url:      # http://127.0.0.1:PORT/v1
        ...

    python -m midshift.testing.provider_server replay rows.jsonl --latency-scale 0

Three layers, and only the last one knows a socket: bytes become requests (`RequestParser`), a request becomes timed
pieces of a response (`Desk`), a connection plays them. Waiting is scaled and goes through an injected timer, so that
nothing waits in a test. Every chat request that reaches the provider is counted before it is answered (`Calls`).
Elsewhere: what is answered (`replay`, `scripted`), who asks (`traffic`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import re
import signal
import sys
import time
import zlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import unquote

import msgspec

from midshift.errors import InputError, MidshiftError, UsageError
from midshift.testing import simulated
from midshift.testing.replay import (
    ChatProvider,
    ChatRequest,
    Completion,
    Failure,
    Recording,
    ReplayProvider,
    Reply,
    Silence,
    ToolCall,
    Usage,
)
from midshift.testing.scaled import ScaledClock
from midshift.testing.scripted import Fault, Faults, FaultyProvider, ScriptedProvider, Voice

LONGEST_HEAD_BYTES = 64 * 1024
LONGEST_BODY_BYTES = 64 * 1024 * 1024
START = datetime(2026, 1, 1, tzinfo=UTC)
"""The playbook date at which a fake provider starts, unless told otherwise; the same as a manual clock's."""
CALLS_PATH = "/-/calls"

_CHUNK_CHARS = 16
_FIELD = re.compile(r"(?:`\$\.|required field `)(\w+)")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSIONS = {b"HTTP/1.1": True, b"HTTP/1.0": False}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One whole request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    keep_alive: bool
    is_1_1: bool = True


@dataclass(frozen=True, slots=True)
class Malformed:
    """Bytes that are no request; nothing is read after them."""

    status: int
    message: str


class RequestParser:
    """HTTP/1.1 requests from bytes, however they are cut (RFC 9112). After a `Malformed` it takes no more."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._head: HttpRequest | None = None
        self._length = 0
        self._chunked: _ChunkedBody | None = None
        self._broken = False
        self._expects = False

    def expects_leave(self) -> bool:
        """Whether a client waits for `100 Continue` before it sends its body; true once for each such request."""
        expects, self._expects = self._expects and self._head is not None, False
        return expects

    def feed(self, data: bytes) -> list[HttpRequest | Malformed]:
        """Take more bytes, and give the requests that are now complete."""
        if self._broken:
            return []
        self._buffer += data
        events: list[HttpRequest | Malformed] = []
        try:
            while (request := self._next()) is not None:
                events.append(request)
        except _Refused as refused:
            self._broken = True
            self._buffer.clear()
            events.append(Malformed(refused.status, refused.message))
        return events

    def _next(self) -> HttpRequest | None:
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        body = self._read_body()
        if body is None:
            return None
        head, self._head = self._head, None
        return HttpRequest(head.method, head.target, head.headers, body, head.keep_alive, head.is_1_1)

    def _read_head(self) -> bool:
        while self._buffer.startswith(b"\r\n"):  # an empty line before a request is ignored: RFC 9112, 2.2
            del self._buffer[:2]
            self._searched = 0
        end = self._buffer.find(b"\r\n\r\n", self._searched)
        if end > LONGEST_HEAD_BYTES or (end < 0 and len(self._buffer) > LONGEST_HEAD_BYTES + 3):
            raise _Refused(431, f"the head of the request has more than {LONGEST_HEAD_BYTES} bytes")
        if end < 0:
            self._searched = max(len(self._buffer) - 3, 0)
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        self._searched = 0
        self._head = _parsed_head(head)
        self._length, self._chunked = _framing(self._head.headers)
        self._expects = self._head.headers.get("expect", "").lower() == "100-continue"
        return True

    def _read_body(self) -> bytes | None:
        if self._chunked is not None:
            return self._chunked.read(self._buffer)
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        return body


@dataclass(slots=True)
class _Refused(Exception):
    status: int
    message: str


def _parsed_head(head: bytes) -> HttpRequest:
    first, *lines = head.split(b"\r\n")
    parts = first.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not parts[1]:
        raise _Refused(400, f"the request line is {first[:80]!r}, expected METHOD TARGET HTTP/1.1")
    if parts[2] not in _VERSIONS:
        raise _Refused(505, f"the version is {parts[2][:20]!r}, expected HTTP/1.1")
    is_1_1 = _VERSIONS[parts[2]]
    headers = _parsed_headers(lines)
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection if is_1_1 else "keep-alive" in connection
    return HttpRequest(parts[0].decode(), parts[1].decode("latin-1"), headers, b"", keep_alive, is_1_1)


def _parsed_headers(lines: Sequence[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise _Refused(400, f"a header line is {line[:80]!r}, expected name: value")
        key, text = name.decode().lower(), value.strip(b" \t").decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _framing(headers: Mapping[str, str]) -> tuple[int, _ChunkedBody | None]:
    """How long the body is. Two answers at once are refused: that is how requests are smuggled (RFC 9112, 6.1)."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise _Refused(400, "both transfer-encoding and content-length; expected one of them")
        if coding.strip().lower() != "chunked":
            raise _Refused(501, f"transfer-encoding is {coding!r}, expected chunked")
        return 0, _ChunkedBody()
    if length is None:
        return 0, None
    if not length.isascii() or not length.isdigit():
        raise _Refused(400, f"content-length is {length[:40]!r}, expected a whole number")
    if len(length) > 15 or int(length) > LONGEST_BODY_BYTES:
        raise _Refused(413, f"content-length is {length[:40]}, expected at most {LONGEST_BODY_BYTES}")
    return int(length), None


class _ChunkedBody:
    """A body in chunks, read as they come; extensions and trailers are dropped."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._in_trailers = False

    def read(self, buffer: bytearray) -> bytes | None:
        """Take what is complete from the buffer; the body, when all of it is there."""
        while not self._in_trailers:
            end = _line_end(buffer)
            if end < 0:
                return None
            size = self._size(bytes(buffer[:end]))
            if size and len(buffer) < end + 2 + size + 2:
                return None
            if size and buffer[end + 2 + size : end + 4 + size] != b"\r\n":
                raise _Refused(400, "a chunk does not end where its size says")
            self._body += buffer[end + 2 : end + 2 + size]
            del buffer[: end + 2 + (size + 2 if size else 0)]
            self._in_trailers = size == 0
        while (end := _line_end(buffer)) >= 0:
            del buffer[: end + 2]
            if end == 0:
                return bytes(self._body)
        return None

    def _size(self, line: bytes) -> int:
        digits = line.partition(b";")[0].strip(b" \t")
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", digits):
            raise _Refused(400, f"the size of a chunk is {line[:40]!r}, expected hexadecimal digits")
        size = int(digits, 16)
        if len(self._body) + size > LONGEST_BODY_BYTES:
            raise _Refused(413, f"the body has more than {LONGEST_BODY_BYTES} bytes")
        return size


def _line_end(buffer: bytearray) -> int:
    end = buffer.find(b"\r\n", 0, LONGEST_HEAD_BYTES + 2)
    if end < 0 and len(buffer) > LONGEST_HEAD_BYTES + 1:
        raise _Refused(400, f"a line of the chunked body has more than {LONGEST_HEAD_BYTES} bytes")
    return end


class Ending(Enum):
    """What happens after the last piece of a response."""

    KEEP = "the connection stays open for the next request"
    CLOSE = "the connection is closed"
    NEVER = "the response never ends"


@dataclass(frozen=True, slots=True)
class Timed:
    """A response as (seconds to wait before, bytes) in order; `model` where it answers a counted call."""

    pieces: Sequence[tuple[float, bytes]]
    ending: Ending = Ending.KEEP
    model: str | None = None


@dataclass(slots=True)
class Calls:
    """What reached the provider, counted exactly: each chat request once, when it is whole and before it is answered.

    `finished` are the calls whose answer was handed over to its last byte (spoilt ones too), `abandoned` those whose
    caller left before; a call that is under way is in neither.
    """

    by_model: Counter[str] = field(default_factory=Counter)
    by_case: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_status: Counter[int] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    abandoned: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All calls."""
        return self.by_model.total()

    def count(self, request: ChatRequest, reply: Reply) -> None:
        """Count one call; a case that neither caller nor provider knows is counted by its model alone."""
        self.by_model[request.model] += 1
        if case := request.case_id or reply.case_id:
            self.by_case[request.model, case] += 1
        if not isinstance(reply, Silence):
            self.by_status[reply.status if isinstance(reply, Failure) else 200] += 1

    def plain(self) -> dict[str, Any]:
        """The counts as JSON would have them."""
        cases: dict[str, dict[str, int]] = {}
        for (model, case), count in self.by_case.items():
            cases.setdefault(model, {})[case] = count
        return {
            "total": self.total,
            "by_model": dict(self.by_model),
            "by_case": cases,
            "by_status": {str(status): count for status, count in self.by_status.items()},
            "finished": dict(self.finished),
            "abandoned": dict(self.abandoned),
        }


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    """The fields of a chat request that are read; any other is taken and ignored."""

    model: str
    messages: list[dict[str, Any]]
    tools: list[Any] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None
    reasoning_effort: str | None = None
    n: int | None = None


class Desk:
    """From a request to a timed response: routes, checks, asks the provider, counts. Knows no socket and no clock."""

    def __init__(
        self,
        provider: ChatProvider,
        calls: Calls,
        *,
        now: Callable[[], datetime],
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.calls = calls
        self._provider = provider
        self._now = now
        self._api_key = api_key
        self._extra = tuple(f"{name}: {value}" for name, value in (headers or {}).items())
        self._decoder = msgspec.json.Decoder(_Body)
        self._responses = 0

    def respond(self, event: HttpRequest | Malformed) -> Timed:
        """The response to whatever a parser gave."""
        self._responses += 1
        if isinstance(event, Malformed):
            return Timed([(0.0, self._error(Failure(event.status, event.message), keep=False))], Ending.CLOSE)
        path = event.target.partition("?")[0].removeprefix("/v1")
        if self._api_key is not None and event.headers.get("authorization") != f"Bearer {self._api_key}":
            return self._refused(event, _WRONG_KEY)
        if path == "/chat/completions":
            return self._chat(event) if event.method == "POST" else self._not_allowed(event, "POST")
        if path == "/models" or path.startswith("/models/") or path == CALLS_PATH:
            return self._read(event, path) if event.method == "GET" else self._not_allowed(event, "GET")
        return self._refused(event, Failure(404, f"Invalid URL ({event.method} {event.target})"))

    def _read(self, http: HttpRequest, path: str) -> Timed:
        if path == CALLS_PATH:
            return self._found(http, self.calls.plain())
        created = self._created()
        models = {
            name: {"id": name, "object": "model", "created": created, "owned_by": "midshift"}
            for name in self._provider.models
        }
        if path == "/models":
            return self._found(http, {"object": "list", "data": list(models.values())})
        asked = unquote(path.removeprefix("/models/"))
        if asked not in models:
            missing = Failure(404, f"The model {asked!r} does not exist", code="model_not_found", param="model")
            return self._refused(http, missing)
        return self._found(http, models[asked])

    def _chat(self, http: HttpRequest) -> Timed:
        try:
            body = self._decoder.decode(http.body)
        except msgspec.ValidationError as error:
            named = _FIELD.search(str(error))
            return self._refused(http, Failure(400, str(error), param=named[1] if named else None))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._refused(http, Failure(400, f"We could not parse the JSON body of your request: {error}"))
        if body.n not in (None, 1):
            return self._refused(http, Failure(400, f"n is {body.n}, and this fake has one answer", param="n"))
        request = ChatRequest(
            body.model,
            body.messages,
            body.tools or (),
            body.user,
            body.reasoning_effort,
            body.metadata or {},
            http.headers,
        )
        reply = self._provider.answer(request)
        self.calls.count(request, reply)
        match reply:
            case Silence():
                return Timed([], Ending.NEVER, body.model)
            case Failure():
                return self._refused(http, reply, body.model)
            case Completion():
                return self._streamed(http, body, reply) if body.stream else self._whole(http, body, reply)

    def _whole(self, http: HttpRequest, body: _Body, reply: Completion) -> Timed:
        content = _json(
            {
                "id": self._completion_id(),
                "object": "chat.completion",
                "created": self._created(),
                "model": body.model,
                "choices": [
                    {
                        "index": 0,
                        "message": _message(reply),
                        "logprobs": None,
                        "finish_reason": reply.finish_reason,
                    }
                ],
                **({} if reply.usage is None else {"usage": _usage(reply.usage)}),
                "service_tier": "default",
                "system_fingerprint": "fp_midshift",
            }
        )
        if reply.malformed:
            content = content[: len(content) // 2]
        head = self._head(200, _JSON, len(content), http.keep_alive, _reply_headers(reply))
        if reply.cut_after is not None:
            return Timed([(reply.latency_s, head + content[: len(content) // 2])], Ending.CLOSE, body.model)
        return Timed([(reply.latency_s, head + content)], _ending(http), body.model)

    def _streamed(self, http: HttpRequest, body: _Body, reply: Completion) -> Timed:
        with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        frame = _Frame(self._completion_id(), self._created(), body.model, with_usage)
        events = list(frame.events(reply))
        if reply.malformed:
            at = min(1, len(events) - 1)
            events[at] = events[at][: len(events[at]) // 2] + b"\n\n"
        if reply.cut_after is not None:
            events = events[: reply.cut_after]
        keep_alive = http.keep_alive and http.is_1_1
        head = self._head(200, _SSE, None, keep_alive, _reply_headers(reply))
        pieces = [b"%x\r\n%b\r\n" % (len(event), event) for event in events] if keep_alive else events
        gap_s = max(reply.latency_s - reply.first_byte_s, 0.0) / max(len(pieces) - 1, 1)
        timed = [
            (reply.first_byte_s, head),
            *((gap_s if number else 0.0, piece) for number, piece in enumerate(pieces)),
        ]
        if reply.cut_after is not None or not keep_alive:
            return Timed(timed, Ending.CLOSE, body.model)
        return Timed([*timed, (0.0, b"0\r\n\r\n")], Ending.KEEP, body.model)

    def _found(self, http: HttpRequest, value: object) -> Timed:
        content = _json(value)
        head = self._head(200, _JSON, len(content), http.keep_alive)
        return Timed([(0.0, head + content)], _ending(http))

    def _refused(self, http: HttpRequest, failure: Failure, model: str | None = None) -> Timed:
        return Timed([(failure.latency_s, self._error(failure, http.keep_alive))], _ending(http), model)

    def _not_allowed(self, http: HttpRequest, method: str) -> Timed:
        message = f"Not allowed to {http.method} on {http.target} (HINT: Perhaps you meant to make a {method} request?)"
        return self._refused(http, Failure(405, message, code="method_not_supported"))

    def _error(self, failure: Failure, keep: bool) -> bytes:
        error = {"message": failure.message, "type": failure.kind, "param": failure.param, "code": failure.code}
        content = _json({"error": error})
        extra = []
        if failure.retry_after_s is not None:
            extra.append(f"retry-after: {math.ceil(failure.retry_after_s)}")
            extra.append(f"retry-after-ms: {round(failure.retry_after_s * 1000)}")
        return self._head(failure.status, _JSON, len(content), keep, extra) + content

    def _head(self, status: int, kind: str, length: int | None, keep: bool, extra: Sequence[str] = ()) -> bytes:
        """The head of a response; without a length it is a stream, in chunks where the connection outlives it."""
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}",
            f"content-type: {kind}",
            f"x-request-id: req_{self._responses:016x}",
            "openai-version: 2020-10-01",
            *extra,
            *self._extra,
        ]
        if length is not None:
            lines.append(f"content-length: {length}")
        if not keep:
            lines.append("connection: close")
        elif length is None:
            lines.append("transfer-encoding: chunked")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1", "replace")

    def _completion_id(self) -> str:
        return f"chatcmpl-{self._responses:024x}"

    def _created(self) -> int:
        return int(self._now().timestamp())


_JSON = "application/json"
_SSE = "text/event-stream; charset=utf-8"
_WRONG_KEY = Failure(401, "Incorrect API key provided.", code="invalid_api_key")
_REASONS = {status.value: status.phrase for status in HTTPStatus}


def _ending(http: HttpRequest) -> Ending:
    return Ending.KEEP if http.keep_alive else Ending.CLOSE


def _reply_headers(reply: Completion) -> list[str]:
    headers = [f"openai-processing-ms: {round(reply.latency_s * 1000)}"]
    if reply.simulated:
        headers.append(f"x-midshift-simulated: {', '.join(reply.simulated)}")
    return headers


def _json(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # a recorded text with a lone surrogate: escaped, as Python writes it
        return json.dumps(value, separators=(",", ":")).encode()


def _message(reply: Completion) -> dict[str, Any]:
    calls = {"tool_calls": _tool_calls(reply.tool_calls)} if reply.tool_calls else {}
    return {"role": "assistant", "content": reply.text, "refusal": None, "annotations": [], **calls}


def _tool_calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [
        {"id": _call_id(number, call), "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for number, call in enumerate(calls)
    ]


def _call_id(number: int, call: ToolCall) -> str:
    return f"call_{zlib.crc32(f'{number} {call.name} {call.arguments}'.encode('utf-8', 'surrogatepass')):024x}"


def _usage(usage: Usage) -> dict[str, Any]:
    counts: dict[str, Any] = {
        "prompt_tokens": usage.tokens_in,
        "completion_tokens": usage.tokens_out,
        "total_tokens": usage.tokens_in + usage.tokens_out,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.tokens_reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return {**counts, "simulated": True} if usage.simulated else counts


class _Frame:
    """Server-sent events of one streamed completion: everything but the delta is written once."""

    def __init__(self, completion_id: str, created: int, model: str, with_usage: bool) -> None:
        shared = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "service_tier": "default",
            "system_fingerprint": "fp_midshift",
        }
        self._opening = b"data: " + _json(shared)[:-1]
        self._usage_null = b',"usage":null' if with_usage else b""
        self._with_usage = with_usage

    def events(self, reply: Completion) -> Iterator[bytes]:
        """The role, the text and the calls in pieces, the reason to stop, the usage where it was asked for, the end."""
        opening = {"role": "assistant", "content": None if reply.text is None else "", "refusal": None}
        yield self._event(opening)
        for piece in _pieces(reply.text or ""):
            yield self._event({"content": piece})
        for number, call in enumerate(reply.tool_calls):
            function = {"name": call.name, "arguments": ""}
            head = {"index": number, "id": _call_id(number, call), "type": "function", "function": function}
            yield self._event({"tool_calls": [head]})
            for piece in _pieces(call.arguments):
                yield self._event({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
        yield self._event({}, reply.finish_reason)
        if self._with_usage and reply.usage is not None:
            yield b'%b,"choices":[],"usage":%b}\n\n' % (self._opening, _json(_usage(reply.usage)))
        yield b"data: [DONE]\n\n"

    def _event(self, delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
        return b'%b,"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]%b}\n\n' % (
            self._opening,
            _json(delta),
            _json(finish_reason),
            self._usage_null,
        )


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _CHUNK_CHARS):
        yield text[start : start + _CHUNK_CHARS]


class Timer(Protocol):
    """Something that was put off, as `asyncio` has it."""

    def cancel(self) -> None:
        """Let it not happen."""
        ...


Later: TypeAlias = Callable[[float, Callable[[], object]], Timer]
"""Calls something after so many seconds, as `loop.call_later` does."""


class _House:
    """What the connections of one server share."""

    def __init__(self, desk: Desk, later: Later, latency_scale: float) -> None:
        self.desk = desk
        self.later = later
        self.latency_scale = latency_scale
        self.connections: set[_Connection] = set()
        self.empty = asyncio.Event()
        self.empty.set()

    def enter(self, connection: _Connection) -> None:
        self.connections.add(connection)
        self.empty.clear()

    def leave(self, connection: _Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()


class _Connection(asyncio.Protocol):
    """Plays one timed response after the other; requests that come meanwhile wait their turn."""

    def __init__(self, house: _House) -> None:
        self._house = house
        self._parser = RequestParser()
        self._waiting: deque[HttpRequest | Malformed] = deque()
        self._playing: Timed | None = None
        self._next_piece = 0
        self._has_waited = False
        self._timer: Timer | None = None
        self._is_full = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._house.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._playing is not None and self._playing.model is not None:
            self._house.desk.calls.abandoned[self._playing.model] += 1
        self._playing = None
        self._waiting.clear()
        self._house.leave(self)

    def data_received(self, data: bytes) -> None:
        self._waiting.extend(self._parser.feed(data))
        if self._playing is None and not self._waiting and self._parser.expects_leave():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._work()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._work()

    def abort(self) -> None:
        """Hang up."""
        self._transport.abort()

    def _work(self) -> None:
        while self._waiting and self._playing is None and not self._is_full and not self._transport.is_closing():
            self._playing = self._house.desk.respond(self._waiting.popleft())
            self._next_piece, self._has_waited = 0, False
            self._play(self._playing)

    def _play(self, timed: Timed) -> None:
        """Write what is due, and come back for the rest."""
        due: list[bytes] = []
        for wait_s, data in timed.pieces[self._next_piece :]:
            scaled_s = wait_s * self._house.latency_scale
            if scaled_s > 0.0 and not self._has_waited:
                self._put_off(scaled_s)
                break
            due.append(data)
            self._next_piece += 1
            self._has_waited = False
        if due:
            self._transport.write(b"".join(due))
        if self._timer is None and timed.ending is not Ending.NEVER:
            self._end(timed)

    def _put_off(self, seconds: float) -> None:
        self._has_waited = True
        self._timer = self._house.later(seconds, self._continue)

    def _continue(self) -> None:
        self._timer = None
        if self._playing is not None:
            self._play(self._playing)
        self._work()

    def _end(self, timed: Timed) -> None:
        if timed.model is not None:
            self._house.desk.calls.finished[timed.model] += 1
        self._playing = None
        if timed.ending is Ending.CLOSE:
            self._transport.close()


@asynccontextmanager
async def serve(
    provider: ChatProvider,
    *,
    calls: Calls | None = None,
    latency_scale: float = 1.0,
    later: Later | None = None,
    now: Callable[[], datetime] | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    port: int = 0,
) -> AsyncIterator[str]:
    """Serve a provider on 127.0.0.1 while the block runs, and give the base URL, which ends in `/v1`.

    `latency_scale` multiplies every wait (0: none at all), and `later` waits (the loop's `call_later`). `calls`
    receives the counts, `headers` go on every response, `now` dates the answers (a fixed day without it).
    Leaving the block hangs up on whoever is still connected.

    Raises:
        UsageError: if the port is taken.
    """
    loop = asyncio.get_running_loop()
    desk = Desk(
        provider, Calls() if calls is None else calls, now=now or (lambda: START), api_key=api_key, headers=headers
    )
    house = _House(desk, later or loop.call_later, latency_scale)
    try:
        server = await loop.create_server(lambda: _Connection(house), "127.0.0.1", port, backlog=1024)
    except OSError as error:
        raise UsageError(f"port {port}: {error.strerror}; expected one that is free, or 0 for any") from None
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for connection in list(house.connections):
            connection.abort()
        await house.empty.wait()
        await server.wait_closed()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve from the command line until a signal comes, or the end of stdin with `--until-eof`.

    Prints `{"url": ...}` when it listens and the counts when it ends, one line each.
    """
    options = _parser().parse_args(arguments)
    try:
        clock = _clock(options)
        provider = FaultyProvider(options.provider(options), Faults(_faults(options.fault), clock.now, options.seed))
        asyncio.run(_serve_until_told(provider, clock, options))
    except MidshiftError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--port", type=int, default=0, help="0 takes any that is free")
    shared.add_argument("--seed", type=int, default=0)
    shared.add_argument("--latency-scale", type=float, default=1.0, help="0 answers at once")
    shared.add_argument("--fault", action="append", default=[], metavar="JSON", help="a fault; may be given again")
    shared.add_argument("--start", type=datetime.fromisoformat, default=START, help="the playbook date at the start")
    shared.add_argument("--factor", type=float, default=1.0, help="playbook seconds in a second")
    shared.add_argument("--api-key", help="refuse any other")
    shared.add_argument("--until-eof", action="store_true", help="end with stdin, so that no orphan stays behind")
    parser = argparse.ArgumentParser(prog="python -m midshift.testing.provider_server", description="A fake provider.")
    kinds = parser.add_subparsers(required=True, metavar="{replay,scripted}")
    replay = kinds.add_parser("replay", parents=[shared], help="recorded answers")
    replay.add_argument("file", type=Path, help="paired outputs, JSON lines")
    replay.add_argument("--variant", action="append", type=_pair, metavar="MODEL=VARIANT", help="may be given again")
    replay.add_argument("--error-text", type=re.compile, metavar="REGEX", help="texts that are a provider's error")
    replay.set_defaults(provider=_replay)
    scripted = kinds.add_parser("scripted", parents=[shared], help="made-up answers")
    scripted.add_argument("--voice", action="append", type=_pair, metavar="MODEL=VOICE", help="may be given again")
    scripted.add_argument("--script", default="{}", metavar="JSON", help="how often what happens")
    scripted.add_argument("--cases", type=int, default=1000)
    scripted.set_defaults(provider=_scripted)
    return parser


def _clock(options: argparse.Namespace) -> ScaledClock:
    try:
        return ScaledClock(options.factor, options.start, _machine_now, _machine_s, asyncio.sleep)
    except ValueError as error:
        raise UsageError(f"--start or --factor: {error}") from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"expected MODEL=NAME, got {text!r}")
    return name, value


def _replay(options: argparse.Namespace) -> ChatProvider:
    try:
        recording = Recording.open(options.file)
    except OSError as error:
        raise InputError(f"{options.file}: {error.strerror}; expected a file of paired outputs") from None
    variants = dict(options.variant) if options.variant else None
    return ReplayProvider(recording, variants, seed=options.seed, error_text=options.error_text)


def _scripted(options: argparse.Namespace) -> ChatProvider:
    script = _from_json(options.script, simulated.Script, "--script")
    names = dict(options.voice or [(name, name) for name in (simulated.INCUMBENT, simulated.CANDIDATE)])
    voices = {model: Voice(name, script) for model, name in names.items()}
    return ScriptedProvider(voices, seed=options.seed, cases=options.cases)


def _faults(texts: Sequence[str]) -> list[Fault]:
    return [_from_json(text, Fault, "--fault") for text in texts]


_T = TypeVar("_T")


def _from_json(text: str, kind: type[_T], option: str) -> _T:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise InputError(f"{option} {text!r}: {error}; expected a {kind.__name__} as JSON") from None


def _machine_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a process of its own, so this is where its clock enters


def _machine_s() -> float:
    return time.monotonic()  # noqa: TID251 - as above


async def _serve_until_told(provider: ChatProvider, clock: ScaledClock, options: argparse.Namespace) -> None:
    loop, told, calls = asyncio.get_running_loop(), asyncio.Event(), Calls()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    if options.until_eof:
        _watch_stdin(loop, told)
    async with serve(
        provider,
        calls=calls,
        latency_scale=options.latency_scale,
        now=clock.now,
        api_key=options.api_key,
        port=options.port,
    ) as url:
        _say({"url": url})
        await told.wait()
    _say(calls.plain())


def _watch_stdin(loop: asyncio.AbstractEventLoop, told: asyncio.Event) -> None:
    def read() -> None:
        if not os.read(0, 4096):
            told.set()

    try:
        loop.add_reader(0, read)
    except PermissionError:  # epoll takes no regular files
        raise UsageError("--until-eof: stdin is a file or closed; expected a pipe or a terminal") from None


def _say(value: object) -> None:
    sys.stdout.write(f"{_json(value).decode()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
