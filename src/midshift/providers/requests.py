"""Recorded requests, line by line: trace files, bare bodies, and the cases of a paired-outputs file.

    {"id": "r-1", "path": "/v1/messages", "headers": {"anthropic-version": "2023-06-01"}, "body": {...}}
    {"model": "gpt-4o", "messages": [...], "temperature": 0.2}
    {"id": "c-7", "messages": [...], "tools": [...], "outputs": {...}}

Contract: pure; the file is opened by whoever calls. A line that is no request is counted with its place, never guessed.
Which wire a bare body is on is told by its fields; `wire` or `path` beside it leaves no doubt. Of a gateway's record,
the requests that it captured (`requests-v1`) are such lines; those of `exposures-v1`, `pairs-v1` and `feedback-v1` hold
no request, and are refused by that name.
Elsewhere: what is in a request (request_fields).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from midshift.providers.request_fields import KEPT_HEADERS, RecordedRequest
from midshift.wire.paths import recognised
from midshift.wire.protocol import WireName

_PLACES = 5
_MODEL_IN_PATH = re.compile(r"/models/([^/:?]+)")
_OF_ANTHROPIC = frozenset({"system", "stop_sequences", "thinking", "output_config", "top_k", "anthropic_version"})
_OF_CHAT = frozenset(
    {
        "frequency_penalty",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "n",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "stop",
        "stream_options",
    }
)


@dataclass(slots=True)
class Reading:
    """What a reader met: goes along with it. `unusable` counts lines by reason, `places` names the first of each."""

    lines: int = 0
    requests: int = 0
    unusable: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[int]] = field(default_factory=dict)

    def refuse(self, reason: str) -> None:
        """Count the present line as none."""
        self.unusable[reason] = self.unusable.get(reason, 0) + 1
        places = self.places.setdefault(reason, [])
        if len(places) < _PLACES:
            places.append(self.lines)


def read(lines: Iterable[bytes], reading: Reading) -> Iterator[RecordedRequest]:
    """The requests of a file of JSON lines."""
    for line in lines:
        reading.lines += 1
        if not line.strip():
            continue
        try:
            row = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            reading.refuse("not a JSON object")
            continue
        found = _request(row, f"line {reading.lines}")
        if isinstance(found, str):
            reading.refuse(found)
            continue
        reading.requests += 1
        yield found


_decoder = msgspec.json.Decoder(dict[str, Any])


def refused(lines: Iterable[bytes], reading: Reading) -> Iterator[tuple[RecordedRequest, int, object]]:
    """The requests of a file of refusals, each with the status and the body of the answer.

    A line is `{"request": ..., "status": 400, "error": {...}}`; `request` is a line as `read` takes it.
    """
    for line in lines:
        reading.lines += 1
        if not line.strip():
            continue
        try:
            row = _refusal.decode(line)
            error = _decoder.decode(row.error) if isinstance(row.error, str) else row.error
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            reading.refuse("not an object with request, status and error")
            continue
        found = _request(row.request, f"line {reading.lines}")
        if isinstance(found, str):
            reading.refuse(found)
            continue
        reading.requests += 1
        yield found, row.status, error


class _Refusal(msgspec.Struct):
    request: dict[str, Any]
    status: int
    error: Any


_refusal = msgspec.json.Decoder(_Refusal)


def wire_of(body: Mapping[str, Any]) -> WireName | None:
    """The wire that a bare body is on, told by the fields that only one wire has; None for no request."""
    if "contents" in body:
        return WireName.GEMINI
    if "messages" not in body:
        return WireName.OPENAI_RESPONSES if "input" in body or "previous_response_id" in body else None
    if _OF_CHAT & body.keys():
        return WireName.OPENAI_CHAT
    if _OF_ANTHROPIC & body.keys() or _has_anthropic_tools(body) or _has_anthropic_blocks(body):
        return WireName.ANTHROPIC
    is_claude = str(body.get("model", "")).startswith("claude-") and "max_tokens" in body
    return WireName.ANTHROPIC if is_claude and not _has_system_message(body) else WireName.OPENAI_CHAT


def _request(row: dict[str, Any], place: str) -> RecordedRequest | str:
    if "request_id" in row and "workload" in row:
        return "a line of a gateway's record that holds no request (those are in requests-v1)"
    body, name = _body(row), row.get("id")
    if body is None:
        return "no request body"
    headers = _headers(row.get("headers"))
    wire = _wire(row, body, headers)
    if wire is None:
        return "a body of no known wire"
    return RecordedRequest(name if isinstance(name, str) and name else place, wire, body, headers, _model(row, body))


def _body(row: dict[str, Any]) -> Mapping[str, Any] | None:
    if "outputs" in row and "body" not in row:
        messages, tools = row.get("messages"), row.get("tools")
        if not isinstance(messages, list):
            return None
        return {"messages": messages, **({"tools": tools} if tools else {})}
    if "body" not in row:
        return row
    body = row["body"]
    if isinstance(body, str):
        try:
            body = _decoder.decode(body)
        except msgspec.DecodeError:
            return None
    return body if isinstance(body, Mapping) else None


def _wire(row: Mapping[str, Any], body: Mapping[str, Any], headers: Mapping[str, str]) -> WireName | None:
    said = row.get("wire") if "body" in row else None
    if said is not None:
        return WireName(said) if said in list(WireName) else None
    path = row.get("path") if "body" in row else None
    if isinstance(path, str):
        asked = recognised("POST", path.partition("?")[0], {})
        if asked is not None:
            return asked.wire
    if "outputs" in row and "body" not in row:
        return WireName.OPENAI_CHAT
    return WireName.ANTHROPIC if "anthropic-version" in headers else wire_of(body)


def _model(row: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """The model that the request asked for: in its body, or in the path that came with it."""
    said = body.get("model")
    if isinstance(said, str):
        return said
    path = row.get("path") if "body" in row else None
    found = _MODEL_IN_PATH.search(path) if isinstance(path, str) else None
    return "" if found is None else found[1]


def _headers(found: object) -> dict[str, str]:
    if not isinstance(found, Mapping):
        return {}
    lowered = {str(name).lower(): value for name, value in found.items()}
    return {name: lowered[name] for name in KEPT_HEADERS if isinstance(lowered.get(name), str)}


def _has_anthropic_tools(body: Mapping[str, Any]) -> bool:
    tools = body.get("tools")
    return isinstance(tools, list) and any(isinstance(tool, Mapping) and "input_schema" in tool for tool in tools)


def _has_anthropic_blocks(body: Mapping[str, Any]) -> bool:
    own = ("tool_result", "tool_use", "thinking", "document", "image")
    return any(
        isinstance(part, Mapping) and part.get("type") in own
        for message in _messages(body)
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )


def _has_system_message(body: Mapping[str, Any]) -> bool:
    return any(message.get("role") in ("system", "developer") for message in _messages(body))


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = body["messages"]
    return [message for message in found if isinstance(message, Mapping)] if isinstance(found, list) else []
