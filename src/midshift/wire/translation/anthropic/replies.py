"""Whole answers, and the two vocabularies of stopping and of usage.

Thinking that another model shows is not written: a block of thinking needs a signature, and without one the next
request that brings the block back would be refused. On the way in, blocks of the API's own tools have no neutral form
and are left out; a request that asks for such tools is not carried in the first place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Raw

from midshift.domain.usage import Usage
from midshift.wire import usage as usages
from midshift.wire.anthropic.answer import Message, read_message
from midshift.wire.json_object import inside, object_of
from midshift.wire.translation.conversation import Reply, Stop, Text, ToolCall

_STOPS = {
    "end_turn": Stop.END,
    "max_tokens": Stop.LENGTH,
    "stop_sequence": Stop.STOP_SEQUENCE,
    "tool_use": Stop.TOOL_CALLS,
    "refusal": Stop.REFUSED,
    "model_context_window_exceeded": Stop.CONTEXT,
}
_REASONS = {stop: reason for reason, stop in _STOPS.items()}
_TIERS = ("standard", "priority", "batch")


def read_reply(body: bytes) -> Reply | None:
    """See `Translation`."""
    message = read_message(body)
    if message is None:
        return None
    thinking = [inside(block, "thinking") for block in message.content if inside(block, "type") == "thinking"]
    return Reply(
        *head(message),
        parts=tuple(_parts(message.content)),
        stop=stop_of(message.stop_reason),
        usage=usages.anthropic(message.usage),
        thinking="\n".join(text for text in thinking if isinstance(text, str)) or None,
    )


def write_reply(reply: Reply) -> bytes:
    """See `Translation`."""
    return msgspec.json.encode(
        written_message(reply.id, reply.model, reply.usage)
        | {"content": [_block(part) for part in reply.parts], "stop_reason": reason_of(reply.stop)}
    )


def head(message: Message) -> tuple[str, str]:
    """The id of a message and its model."""
    return str(message.id or ""), str(message.model or "")


def written_message(id: str, model: str, usage: Usage) -> dict[str, Any]:
    """A message that has just begun."""
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_of(usage),
    }


def stop_of(reason: object) -> Stop | None:
    """Why it is over; None for a turn that is only paused, and for what is not known here."""
    return _STOPS.get(reason) if isinstance(reason, str) else None


def reason_of(stop: Stop | None) -> str | None:
    """The same in Anthropic's words."""
    return None if stop is None else _REASONS[stop]


def usage_of(usage: Usage) -> dict[str, Any]:
    """Usage in Anthropic's terms, where `input_tokens` leaves out what the caches read and wrote.

    Clients compute with both totals, and the wire has no word for unknown: there, and nowhere in what is recorded, an
    unknown total is 0.
    """
    cached, written, long = usage.cached_in, usage.cache_write_in, usage.cache_write_long_in
    found: dict[str, Any] = {
        "input_tokens": max(0, (usage.tokens_in or 0) - (cached or 0) - (written or 0)),
        "output_tokens": usage.tokens_out or 0,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
    }
    if long is not None and written is not None:
        found["cache_creation"] = {"ephemeral_5m_input_tokens": written - long, "ephemeral_1h_input_tokens": long}
    if usage.reasoning_out is not None:
        found["output_tokens_details"] = {"thinking_tokens": usage.reasoning_out}
    if usage.service_tier in _TIERS:
        found["service_tier"] = usage.service_tier
    return found


def arguments_of(input: object) -> str:
    """The input of a tool call as JSON text."""
    return msgspec.json.encode(input if input is not None else {}).decode()


def _parts(blocks: Iterable[Any]) -> Iterator[Text | ToolCall]:
    for block in blocks:
        match block:
            case {"type": "text", "text": str(text)}:
                yield Text(text)
            case {"type": "tool_use", "id": str(id), "name": str(name)}:
                yield ToolCall(id, name, arguments_of(block.get("input")))


def _block(part: Text | ToolCall) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": _input(arguments)}


def _input(arguments: str) -> Raw | dict[str, Any]:
    """What a model wrote that is no JSON object stays readable: the app's own check of the input refuses it."""
    text = Raw(arguments.strip().encode() or b"{}")
    return text if object_of(text) is not None else {"_invalid_arguments": arguments}
