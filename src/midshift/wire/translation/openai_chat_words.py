"""The words of chat completions that whole answers and streams share: how an answer ended, its thinking, its usage."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from midshift.domain.usage import Usage
from midshift.wire.openai_chat import text_of
from midshift.wire.translation.conversation import Stop
from midshift.wire.translation.openai_parts import details, objects

STOPS = MappingProxyType(
    {
        "stop": Stop.END,
        "length": Stop.LENGTH,
        "tool_calls": Stop.TOOL_CALLS,
        "function_call": Stop.TOOL_CALLS,
        "content_filter": Stop.REFUSED,
    }
)
FINISH = MappingProxyType(
    {
        Stop.END: "stop",
        Stop.STOP_SEQUENCE: "stop",
        Stop.LENGTH: "length",
        Stop.CONTEXT: "length",
        Stop.TOOL_CALLS: "tool_calls",
        Stop.REFUSED: "content_filter",
    }
)


def thinking_in(message: Mapping[str, Any]) -> str | None:
    """The reasoning that a message or a delta shows: by either name that servers give it, or among the content's parts
    (Mistral's `{"type": "thinking", "thinking": [{"type": "text", "text"}]}`); None for none.
    """
    found = next((message[name] for name in ("reasoning_content", "reasoning") if message.get(name)), None)
    if found is not None:
        return found if isinstance(found, str) else None
    shown = [part.get("thinking") for part in objects(message.get("content")) if part.get("type") == "thinking"]
    return "".join(text for part in shown if (text := text_of(part))) or None


def usage_fields(usage: Usage) -> dict[str, Any] | None:
    """The field `usage`; None if a total is not known: a client would read 0 in it, or stumble."""
    if usage.tokens_in is None or usage.tokens_out is None:
        return None
    into = details(cached_tokens=usage.cached_in, cache_write_tokens=usage.cache_write_in, audio_tokens=usage.audio_in)
    out = details(reasoning_tokens=usage.reasoning_out, audio_tokens=usage.audio_out)
    totals = {
        "prompt_tokens": usage.tokens_in,
        "completion_tokens": usage.tokens_out,
        "total_tokens": usage.tokens_in + usage.tokens_out,
    }
    beside = {"prompt_tokens_details": into, "completion_tokens_details": out}
    return totals | {name: found for name, found in beside.items() if found}
