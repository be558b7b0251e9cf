"""Messages in the shape that nearly all have, read with one typed decode.

Contract: what is read here is exactly what `answer.read_answer` reads from the same bytes otherwise, or it is refused
as a whole (`msgspec.DecodeError`) and read there.
Elsewhere: everything odd, and streams (answer); what the numbers mean (wire.usage).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire import usage as usage_of
from midshift.wire.protocol import Answer

_Count = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)] | None


class _Created(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: _Count = None


class _Details(msgspec.Struct, gc=False):
    thinking_tokens: _Count = None


class _Tools(msgspec.Struct, gc=False):
    web_search_requests: _Count = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: _Count = None
    output_tokens: _Count = None
    cache_read_input_tokens: _Count = None
    cache_creation_input_tokens: _Count = None
    cache_creation: _Created | None = None
    output_tokens_details: _Details | None = None
    server_tool_use: _Tools | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None


class _Block(msgspec.Struct):
    type: Any = None
    text: Any = None


class _Message(msgspec.Struct):
    type: Literal["message"]
    content: list[_Block]
    model: str | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


_NO_CREATED, _NO_DETAILS, _NO_TOOLS = _Created(), _Details(), _Tools()
_decode = msgspec.json.Decoder(_Message).decode


def read_message(body: bytes) -> Answer:
    """A whole message of the usual shape.

    Raises:
        msgspec.DecodeError: for any other shape, and for what is no message.
    """
    found = _decode(body)
    texts = [block.text for block in found.content if block.type == "text" and isinstance(block.text, str)]
    return Answer(
        UNKNOWN if found.usage is None else _meant(found.usage),
        found.stop_reason or None,
        (texts[0] if len(texts) == 1 else "".join(texts)) or None,
        found.model or None,
        may_call=any(block.type == "tool_use" for block in found.content),
    )


def _meant(usage: _Usage) -> Usage:
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    return Usage(
        tokens_in=None if usage.input_tokens is None else usage.input_tokens + (cached or 0) + (written or 0),
        tokens_out=usage.output_tokens,
        cached_in=cached,
        cache_write_in=written,
        cache_write_long_in=(usage.cache_creation or _NO_CREATED).ephemeral_1h_input_tokens,
        reasoning_out=(usage.output_tokens_details or _NO_DETAILS).thinking_tokens,
        searches=(usage.server_tool_use or _NO_TOOLS).web_search_requests,
        service_tier=usage_of.anthropic_tier(usage.service_tier, usage.speed, usage.inference_geo),
    )
