"""Scripted providers, one for each wire: written by hand after the types of the vendors' clients, recorded from nobody.

What a provider does stands in the question (`scenario=tools`), so that one gateway serves every scenario of a client.
Every answer used 12 tokens of input, 4 of them from a cache, and 7 of output, 2 of them for reasoning.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from midshift.wire.protocol import WireName
from tests.servers import Exchange, FakeProvider, Lines

SCENARIO = re.compile(rb"scenario=(\w+)")
CALLS = (("call_a", "weather", '{"city":"Bonn"}'), ("call_b", "weather", '{"city":"Oslo"}'))
PLACE = '{"city":"Bonn"}'
SIGNATURE = "EqQBCgIYAhIkc2lnbmF0dXJlLysvPT0="
REQUEST_ID = "req_of_the_vendor"
LIMITS: Lines = (
    ("x-ratelimit-remaining-requests", "41"),
    ("anthropic-ratelimit-requests-remaining", "41"),
    ("set-cookie", "session=secret"),
    ("x-goog-api-key", "key-of-the-vendor"),
)


@dataclass(frozen=True, slots=True)
class Shapes:
    """How a wire says things. `whole` takes scenario and text, `stream` too; `error` takes status and message."""

    whole: Callable[[str, str], Any]
    stream: Callable[[str, str], Sequence[bytes]]
    error: Callable[[int, str], Any]
    broken: bytes


class Vendor:
    """A provider of one or more wires; `name` is what it says, so that a test sees who has answered."""

    def __init__(self, name: str, fails: int | None = None) -> None:
        self.name = name
        self.fails = fails
        self.provider = FakeProvider(self.serve)
        self._asked: Counter[str] = Counter()

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        found = SCENARIO.search(exchange.seen.body)
        scenario = found[1].decode() if found else "text"
        self._asked[scenario] += 1
        shapes, is_stream = spoken(exchange.seen.path, exchange.seen.body)
        status = self.fails or self._status(scenario)
        if status != 200:
            lines = [("retry-after-ms", "1"), ("retry-after", "1")] if status == 429 else []
            more = [("x-should-retry", "false")] if scenario == "never_retry" else []
            body = json.dumps(shapes.error(status, f"{self.name} says no.")).encode()
            await exchange.answer(body, status, [*ids(), *lines, *more])
        elif exchange.seen.path.partition("?")[0].endswith(("countTokens", "count_tokens", "input_tokens")):
            await exchange.answer(json.dumps(COUNTS[shapes_name(exchange.seen.path)]).encode(), lines=ids())
        elif is_stream:
            await self._stream(exchange, shapes, scenario)
        else:
            body = json.dumps(shapes.whole(scenario, f"Hello from {self.name}.")).encode()
            await exchange.answer(body, lines=ids())

    async def _stream(self, exchange: Exchange, shapes: Shapes, scenario: str) -> None:
        blocks = list(shapes.stream("text" if scenario == "broken" else scenario, f"Hello from {self.name}."))
        asks_usage = exchange.seen.json.get("stream_options", {}).get("include_usage")
        if not asks_usage:
            blocks = [block for block in blocks if b'"choices": []' not in block]
        await exchange.begin_stream(ids())
        for block in [*blocks[: len(blocks) // 2], shapes.broken] if scenario == "broken" else blocks:
            await exchange.chunk(block)
        await exchange.end_stream()

    def _status(self, scenario: str) -> int:
        if scenario.startswith("http_"):
            return int(scenario.removeprefix("http_"))
        if scenario == "retry_once":
            return 429 if self._asked[scenario] == 1 else 200
        return 429 if scenario == "never_retry" else 200


def ids() -> Lines:
    """The lines of an answer that a client looks at, and some that it must never see."""
    return (("x-request-id", REQUEST_ID), ("request-id", REQUEST_ID), *LIMITS)


def spoken(path: str, body: bytes) -> tuple[Shapes, bool]:
    """The shapes of a wire, and whether a stream is asked for."""
    shapes = SHAPES[shapes_name(path)]
    if ":" in path:
        return shapes, "streamGenerateContent" in path
    return shapes, json.loads(body).get("stream") is True


def shapes_name(path: str) -> WireName:
    """The wire of a path."""
    if "/models/" in path:
        return WireName.GEMINI
    if "/responses" in path:
        return WireName.OPENAI_RESPONSES
    return WireName.ANTHROPIC if "/messages" in path else WireName.OPENAI_CHAT


def data(value: Any, event: str | None = None) -> bytes:
    """One event of a stream."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + json.dumps(value).encode() + b"\n\n"


def cut(text: str) -> tuple[str, str]:
    """A text in two pieces."""
    return text[: len(text) // 2], text[len(text) // 2 :]


# Chat Completions

CHAT_USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
}
CHAT = {"id": "chatcmpl-1", "created": 1790000000, "model": "gpt-scripted-1", "system_fingerprint": "fp_1"}


def chat_whole(scenario: str, text: str) -> Any:
    """An answer."""
    calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": args}} for id, name, args in CALLS]
    message: dict[str, Any] = {"role": "assistant", "content": PLACE if scenario == "place" else text, "refusal": None}
    if scenario == "tools":
        message |= {"content": None, "tool_calls": calls}
    reason = "tool_calls" if scenario == "tools" else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
    return {**CHAT, "object": "chat.completion", "choices": [choice], "usage": CHAT_USAGE}


def chat_stream(scenario: str, text: str) -> Sequence[bytes]:
    """A stream; the arguments of two calls interleave."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if scenario == "tools":
        for at, (id, name, _) in enumerate(CALLS):
            started = {"index": at, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
            deltas.append({"tool_calls": [started]})
        for half in range(2):
            for at, (_, _, arguments) in enumerate(CALLS):
                deltas.append({"tool_calls": [{"index": at, "function": {"arguments": cut(arguments)[half]}}]})
    else:
        deltas += [{"content": piece} for piece in cut(text)]
    reason = "tool_calls" if scenario == "tools" else "stop"
    head = {**CHAT, "object": "chat.completion.chunk"}
    chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    last = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    usage = {**head, "choices": [], "usage": CHAT_USAGE}
    return [*map(data, [*chunks, last, usage]), b"data: [DONE]\n\n"]


def openai_error(status: int, message: str) -> Any:
    """An error of both wires of OpenAI."""
    code = "rate_limit_exceeded" if status == 429 else None
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


# Responses

RESPONSES_USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 19,
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1790000000,
    "model": "gpt-scripted-1",
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
}


def responses_items(scenario: str, text: str) -> list[dict[str, Any]]:
    """What an answer is made of."""
    if scenario == "tools":
        return [
            {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": name, "arguments": args, "status": DONE}
            for id, name, args in CALLS
        ]
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return [{"type": "message", "id": "msg_1", "role": "assistant", "status": DONE, "content": [part]}]


DONE = "completed"


def responses_whole(scenario: str, text: str) -> Any:
    """An answer."""
    return {**RESPONSE, "output": responses_items(scenario, text), "usage": RESPONSES_USAGE}


def responses_stream(scenario: str, text: str) -> Sequence[bytes]:
    """A stream, item after item."""
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for at, item in enumerate(responses_items(scenario, text)):
        events += _responses_item(at, item)
    events.append({"type": "response.completed", "response": responses_whole(scenario, text)})
    return [data({**event, "sequence_number": at}, event["type"]) for at, event in enumerate(events)]


def _responses_item(at: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    where = {"item_id": item["id"], "output_index": at}
    if item["type"] == "function_call":
        opened: dict[str, Any] = {**item, "arguments": "", "status": "in_progress"}
        deltas = [
            {"type": "response.function_call_arguments.delta", **where, "delta": piece}
            for piece in cut(item["arguments"])
        ]
        said = {"arguments": item["arguments"], "name": item["name"]}
        middle = [*deltas, {"type": "response.function_call_arguments.done", **where, **said}]
    else:
        opened = {**item, "content": [], "status": "in_progress"}
        part = item["content"][0]
        where = {**where, "content_index": 0}
        deltas = [
            {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
            for piece in cut(part["text"])
        ]
        middle = [
            {"type": "response.content_part.added", **where, "part": {**part, "text": ""}},
            *deltas,
            {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []},
            {"type": "response.content_part.done", **where, "part": part},
        ]
    return [
        {"type": "response.output_item.added", "output_index": at, "item": opened},
        *middle,
        {"type": "response.output_item.done", "output_index": at, "item": item},
    ]


# Messages

MESSAGES_USAGE = {
    "input_tokens": 8,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 4,
    "output_tokens": 7,
    "output_tokens_details": {"thinking_tokens": 2},
    "service_tier": "standard",
}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-scripted-1", "stop_sequence": None}


def messages_blocks(scenario: str, text: str) -> list[dict[str, Any]]:
    """What an answer is made of."""
    if scenario == "tools":
        return [{"type": "tool_use", "id": id, "name": name, "input": json.loads(args)} for id, name, args in CALLS]
    thought = {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}
    said = {"type": "text", "text": PLACE if scenario == "place" else text}
    return [thought, said] if scenario == "thinking" else [said]


def messages_whole(scenario: str, text: str) -> Any:
    """An answer."""
    reason = "tool_use" if scenario == "tools" else "end_turn"
    blocks = messages_blocks(scenario, text)
    return {**MESSAGE, "content": blocks, "stop_reason": reason, "stop_details": None, "usage": MESSAGES_USAGE}


def messages_stream(scenario: str, text: str) -> Sequence[bytes]:
    """A stream with a ping, block after block."""
    whole = messages_whole(scenario, text)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**MESSAGES_USAGE, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for at, block in enumerate(whole["content"]):
        events += [
            {"type": "content_block_start", "index": at, "content_block": _emptied(block)},
            *({"type": "content_block_delta", "index": at, "delta": delta} for delta in _deltas(block)),
            {"type": "content_block_stop", "index": at},
        ]
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None, "stop_details": None}
    events += [{"type": "message_delta", "delta": delta, "usage": MESSAGES_USAGE}, {"type": "message_stop"}]
    return [data(event, event["type"]) for event in events]


def _emptied(block: dict[str, Any]) -> dict[str, Any]:
    empty = {"text": "", "input": {}, "thinking": "", "signature": ""}
    return {name: empty.get(name, value) for name, value in block.items()} | {"type": block["type"]}


def _deltas(block: dict[str, Any]) -> list[dict[str, Any]]:
    match block["type"]:
        case "tool_use":
            arguments = json.dumps(block["input"], separators=(",", ":"))
            return [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *cut(arguments))]
        case "thinking":
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return [{"type": "thinking_delta", "thinking": block["thinking"]}, signed]
        case _:
            return [{"type": "text_delta", "text": piece} for piece in cut(block["text"])]


def anthropic_error(status: int, message: str) -> Any:
    """An error."""
    kind = {429: "rate_limit_error", 529: "overloaded_error", 401: "authentication_error", 404: "not_found_error"}
    error = {"type": kind.get(status, "api_error" if status >= 500 else "invalid_request_error"), "message": message}
    return {"type": "error", "error": error, "request_id": REQUEST_ID}


# generateContent

GEMINI_USAGE = {
    "promptTokenCount": 12,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 2,
    "totalTokenCount": 19,
}
STATUS = {"modelStage": "LEGACY", "retirementTime": "2027-01-01T00:00:00Z", "message": "It goes."}


def gemini_parts(scenario: str, text: str) -> list[dict[str, Any]]:
    """What an answer is made of."""
    if scenario == "tools":
        calls = [{"functionCall": {"id": id, "name": name, "args": json.loads(args)}} for id, name, args in CALLS]
        return [{**calls[0], "thoughtSignature": SIGNATURE}, *calls[1:]]
    return [{"text": piece} for piece in cut(PLACE if scenario == "place" else text)]


def gemini_whole(scenario: str, text: str) -> Any:
    """An answer, or the last chunk of a stream."""
    content = {"role": "model", "parts": gemini_parts(scenario, text)}
    candidate = {"content": content, "finishReason": "STOP", "index": 0}
    ids = {"modelVersion": "gemini-scripted-1", "responseId": "resp-1", "modelStatus": STATUS}
    return {"candidates": [candidate], "usageMetadata": GEMINI_USAGE, **ids}


def gemini_stream(scenario: str, text: str) -> Sequence[bytes]:
    """A stream of chunks, each an answer in itself."""
    whole = gemini_whole(scenario, text)
    parts = gemini_parts(scenario, text)
    chunks = [
        {**whole, "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]} for part in parts[:-1]
    ]
    last = {**whole["candidates"][0], "content": {"role": "model", "parts": parts[-1:]}}
    return [data(chunk).replace(b"\n", b"\r\n") for chunk in [*chunks, {**whole, "candidates": [last]}]]


def gemini_error(status: int, message: str) -> Any:
    """An error."""
    kind = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    return {"error": {"code": status, "message": message, "status": kind.get(status, "UNAVAILABLE")}}


COUNTS: dict[WireName, Any] = {
    WireName.ANTHROPIC: {"input_tokens": 12},
    WireName.GEMINI: {"totalTokens": 12},
    WireName.OPENAI_RESPONSES: {"object": "response.input_tokens", "input_tokens": 12},
}
BROKEN = {"message": "It broke.", "code": "server_error", "param": None}
SHAPES = {
    WireName.OPENAI_CHAT: Shapes(
        chat_whole,
        chat_stream,
        openai_error,
        data({"error": {"type": "server_error", **BROKEN}}),
    ),
    WireName.OPENAI_RESPONSES: Shapes(
        responses_whole,
        responses_stream,
        openai_error,
        data(
            {"type": "error", "code": "server_error", "message": "It broke.", "param": None, "sequence_number": 9},
            "error",
        ),
    ),
    WireName.ANTHROPIC: Shapes(
        messages_whole,
        messages_stream,
        anthropic_error,
        data({"type": "error", "error": {"type": "overloaded_error", "message": "It broke."}}, "error"),
    ),
    WireName.GEMINI: Shapes(
        gemini_whole,
        gemini_stream,
        gemini_error,
        data({"error": {"code": 503, "message": "It broke.", "status": "UNAVAILABLE"}}),
    ),
}
