"""Whole answers, and what streams share with them: why an answer stopped, usage, calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire import usage as usages
from midshift.wire.gemini.parts import decoded, first_candidate, parts_of
from midshift.wire.json_object import WRONG
from midshift.wire.translation.conversation import Reply, Stop, Text, ToolCall

_STOPS = {
    "STOP": Stop.END,
    "MAX_TOKENS": Stop.LENGTH,
    "CONTINUATION": Stop.LENGTH,
    "SAFETY": Stop.REFUSED,
    "RECITATION": Stop.REFUSED,
    "BLOCKLIST": Stop.REFUSED,
    "PROHIBITED_CONTENT": Stop.REFUSED,
    "SPII": Stop.REFUSED,
    "LANGUAGE": Stop.REFUSED,
    "ESCALATION": Stop.REFUSED,
    "MODEL_ARMOR": Stop.REFUSED,
}
"""The types of google-genai 3.x say what each means. Not here, and so unknown elsewhere: `OTHER`, and what names a
failure of the model or of the request (`MALFORMED_FUNCTION_CALL`), for which no other wire has a word."""
_REASONS = {
    Stop.END: "STOP",
    Stop.STOP_SEQUENCE: "STOP",
    Stop.TOOL_CALLS: "STOP",
    Stop.LENGTH: "MAX_TOKENS",
    Stop.CONTEXT: "MAX_TOKENS",
    Stop.REFUSED: "SAFETY",
}


def read_reply(body: bytes) -> Reply | None:
    """See `Translation`."""
    found = decoded(body)
    if found is None or not ("candidates" in found or "promptFeedback" in found):
        return None
    candidate = first_candidate(found.get("candidates"))
    parts = parts_of(candidate.get("content"))
    said: list[Text | ToolCall] = []
    thoughts: list[str] = []
    for part in parts:
        match part:
            case {"text": ""}:
                pass  # it only carries a signature, and other wires take no block without text
            case {"text": str(text)} if part.get("thought"):
                thoughts.append(text)
            case {"text": str(text)}:
                said.append(Text(text))
            case {"functionCall": dict(call)}:
                said.append(called(call, str(found.get("responseId") or ""), len(said)))
            case _:
                pass
    calls = any(isinstance(item, ToolCall) for item in said)
    return Reply(
        id=str(found.get("responseId") or ""),
        model=str(found.get("modelVersion") or ""),
        parts=tuple(said),
        stop=stop_of(found, candidate, calls),
        usage=usage_of(found),
        thinking="".join(thoughts) or None,
    )


def write_reply(reply: Reply) -> bytes:
    """See `Translation`."""
    parts: list[dict[str, Any]] = [{"text": reply.thinking, "thought": True}] if reply.thinking else []
    parts += [_part(part) for part in reply.parts]
    return msgspec.json.encode(written(reply.id, reply.model, parts, reply.stop, reply.usage))


def written(
    id: str, model: str, parts: list[dict[str, Any]], stop: Stop | None = None, usage: Usage = UNKNOWN
) -> dict[str, Any]:
    """An answer, or a chunk of one, as plain values."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if stop is not None:
        candidate["finishReason"] = _REASONS[stop]
    found: dict[str, Any] = {"candidates": [candidate], "modelVersion": model, "responseId": id}
    counted = _counted(usage)
    return {**found, "usageMetadata": counted} if counted else found


def call_part(id: str, name: str, arguments: str) -> dict[str, Any]:
    """A call as a part; arguments that are no object are shown as they are, under a name of their own."""
    try:
        args = msgspec.json.decode(arguments or "{}")
    except WRONG:
        args = None
    return {"functionCall": {"id": id, "name": name, "args": args if isinstance(args, dict) else {"_raw": arguments}}}


def called(call: Mapping[str, Any], answer_id: str, number: int) -> ToolCall:
    """A call of an answer, with an id that it may not have had: one of its own, in the whole conversation."""
    given, arguments = call.get("id"), msgspec.json.encode(call.get("args") or {}).decode()
    made = "_".join(part for part in ("call", answer_id, str(number)) if part)
    return ToolCall(given if isinstance(given, str) and given else made, str(call.get("name")), arguments)


def stop_of(found: Mapping[str, Any], candidate: Mapping[str, Any], calls: bool) -> Stop | None:
    """Why an answer is over; a prompt that was blocked is refused."""
    feedback = found.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        return Stop.REFUSED
    stop = _STOPS.get(str(candidate.get("finishReason")))
    return Stop.TOOL_CALLS if stop is Stop.END and calls else stop


def usage_of(found: Mapping[str, Any]) -> Usage:
    """What an answer or a chunk reports."""
    metadata = found.get("usageMetadata")
    return usages.gemini(metadata) if isinstance(metadata, dict) else UNKNOWN


def _part(part: Text | ToolCall) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"text": text}
        case ToolCall(id, name, arguments):
            return call_part(id, name, arguments)


def _counted(usage: Usage) -> dict[str, int]:
    """Gemini's candidates leave thoughts out, the neutral output holds them."""
    thoughts = usage.reasoning_out
    answered = None if usage.tokens_out is None else usage.tokens_out - (thoughts or 0)
    both = usage.tokens_in is not None and usage.tokens_out is not None
    found = {
        "promptTokenCount": usage.tokens_in,
        "cachedContentTokenCount": usage.cached_in,
        "candidatesTokenCount": answered,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": (usage.tokens_in or 0) + (usage.tokens_out or 0) if both else None,
    }
    return {name: value for name, value in found.items() if value is not None}
