"""Answers of chat completions in the shape that nearly all have, read with one typed decode.

Contract: what is read here is exactly what `usage.openai_chat` reads from the same answer, or it is refused as a whole
(`msgspec.ValidationError`) and read there. A count in these types is a count in that one; a usage without one of the
three totals is refused, and fields that say something rare (audio in cache, kept cache writes, a bill) are refused
where they say anything.
Elsewhere: everything odd (usage, openai_chat).
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire.protocol import Answer, End
from midshift.wire.usage import chat_output

_Count = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]

NULL = Raw(b"null")
NO_CALLS = (NULL, Raw(b"[]"))
"""What `tool_calls` are where there is none; of all else it is not asked here what it calls."""


class _Into(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    cached_tokens_details: None = None
    cache_write_tokens_details: None = None


class _Out(msgspec.Struct, gc=False):
    reasoning_tokens: _Count | None = None
    audio_tokens: _Count | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _Into | None = None
    completion_tokens_details: _Out | None = None
    prompt_cache_hit_tokens: _Count | None = None
    cost: None = None


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    tool_calls: Raw = NULL


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None
    message: _Message | None = None
    delta: _Message | None = None


class _Completion(msgspec.Struct, gc=False):
    choices: list[_Choice]
    usage: _Usage | None = None
    service_tier: str | None = None
    model: str | None = None


_NOTHING_IN, _NOTHING_OUT = _Into(), _Out()
_NO_CHOICE, _NO_MESSAGE = _Choice(), _Message()
_WHOLE = End.WHOLE
_decode = msgspec.json.Decoder(_Completion).decode


def read_completion(body: bytes) -> Answer:
    """A whole answer of the usual shape.

    Raises:
        msgspec.DecodeError: for any other shape, and for what is no answer.
    """
    found = _decode(body)
    first = found.choices[0] if found.choices else _NO_CHOICE
    message = first.message or _NO_MESSAGE
    meant = UNKNOWN if found.usage is None else _meant(found.usage, found.service_tier)
    may_call = message.tool_calls not in NO_CALLS
    return Answer(meant, first.finish_reason, message.content, found.model, _WHOLE, may_call)


def _meant(usage: _Usage, service_tier: str | None) -> Usage:
    into, out = usage.prompt_tokens_details or _NOTHING_IN, usage.completion_tokens_details or _NOTHING_OUT
    tokens_in, tokens_out, cached = usage.prompt_tokens, usage.completion_tokens, into.cached_tokens
    holds_all = usage.total_tokens <= tokens_in + tokens_out
    return Usage(  # in the order of its fields: by name it takes twice the time
        tokens_in,
        tokens_out if holds_all else chat_output(tokens_in, tokens_out, out.reasoning_tokens, usage.total_tokens),
        usage.prompt_cache_hit_tokens if cached is None else cached,
        into.cache_write_tokens,
        None,  # none was written for longer
        out.reasoning_tokens,
        into.audio_tokens,
        None,  # and no audio was cached: what says so is not read here
        out.audio_tokens,
        None,
        service_tier.lower() if service_tier else None,
    )
