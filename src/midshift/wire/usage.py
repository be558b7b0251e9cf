"""Each vendor's usage object, read into the one meaning of `domain.usage`: pure functions on decoded JSON.

A value that is no count (negative, a fraction, a truth value, text) makes its own field None and no other; a total
that it would have been part of is None as well, because a sum with an unreadable addend is not known.

What differs between vendors, and is levelled here:
- input: OpenAI's and Gemini's total holds cached tokens; Anthropic's and Bedrock's `input_tokens` leaves them out.
- output: OpenAI's and Anthropic's total holds reasoning; Gemini's `candidatesTokenCount` leaves thoughts out, and some
  servers of OpenAI's format leave reasoning out, which their `total_tokens` gives away: see `chat_output`.
- silence: Gemini's JSON is made by protobuf, which leaves out zeros, so an absent count there is 0. Bedrock sends
  `totalTokens`: where input and output already add up to it, absent cache counts are 0. Elsewhere absent is None.
Elsewhere: what a usage costs (`domain.cost`); finding the object in an answer or a stream (the codecs beside this).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from midshift.domain.usage import UNKNOWN, Usage

_LARGEST_COUNT = 1 << 53  # beyond it JSON numbers of other languages are not exact
_ABSENT = object()
_TRAFFIC = {
    "ON_DEMAND": "standard",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
    "PROVISIONED_THROUGHPUT": "provisioned",
}
"""Vertex's `trafficType`; the flex and priority values are from the SDK's enum, not seen in an answer."""
_USUAL = ("standard", "", "global", "not_available")
"""Of a speed and of a place: what costs nothing beside the tier."""


def openai_chat(usage: object, service_tier: object = None) -> Usage:
    """`usage` of a chat completion or of its last chunk; `service_tier` stands beside it in the answer.

    Also for servers of this format: Mistral, Together, Fireworks, Groq, xAI, OpenRouter (whose `cost` is what it
    billed), DeepSeek (whose `prompt_cache_hit_tokens` are the cached ones).
    """
    if not isinstance(usage, dict):
        return UNKNOWN
    tokens_in, tokens_out = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    into, out = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = _at(into, "cached_tokens")
    reasoning, total = _count(_at(out, "reasoning_tokens")), _count(usage.get("total_tokens"))
    return Usage(
        tokens_in=tokens_in,
        tokens_out=chat_output(tokens_in, tokens_out, reasoning, total),
        cached_in=_count(cached if cached is not None else usage.get("prompt_cache_hit_tokens")),
        cache_write_in=_count(_at(into, "cache_write_tokens")),
        cache_write_long_in=_long_writes(into),
        reasoning_out=reasoning,
        audio_in=_count(_at(into, "audio_tokens")),
        cached_audio_in=_count(_at(into, "cached_tokens_details", "audio_tokens")),
        audio_out=_count(_at(out, "audio_tokens")),
        service_tier=_name(service_tier),
        cost_usd=_billed(usage),
    )


def chat_output(tokens_in: int | None, tokens_out: int | None, reasoning: int | None, total: int | None) -> int | None:
    """The output of a chat completion, with its reasoning; None where the total says that more was used.

    `total` is documented as input and output together. Where it is more by just the reasoning, that was left out of the
    output (xAI). Where it is more by anything else, tokens are missing from one of the two and nothing says from which:
    thoughts that Gemini's endpoint of this format does not name are output, what its tools read is input. A guess would
    make one of two variants cheaper than it is, so the output is unknown. A total that is less says nothing of it.
    """
    if tokens_in is None or tokens_out is None or total is None or total <= tokens_in + tokens_out:
        return tokens_out
    return tokens_out + reasoning if reasoning and total == tokens_in + tokens_out + reasoning else None


def openai_responses(usage: object, service_tier: object = None) -> Usage:
    """`usage` of a response (`response.completed` in a stream). Its searches stand among the output, not here."""
    if not isinstance(usage, dict):
        return UNKNOWN
    into, out = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        tokens_in=_count(usage.get("input_tokens")),
        tokens_out=_count(usage.get("output_tokens")),
        cached_in=_count(_at(into, "cached_tokens")),
        cache_write_in=_count(_at(into, "cache_write_tokens")),
        cache_write_long_in=_long_writes(into),
        reasoning_out=_count(_at(out, "reasoning_tokens")),
        audio_in=_count(_at(into, "audio_tokens")),
        audio_out=_count(_at(out, "audio_tokens")),
        service_tier=_name(service_tier),
        cost_usd=_billed(usage),
    )


def anthropic(usage: object, service_tier: object = None) -> Usage:
    """`usage` of a message; for a stream, of `merged`. A cache count that is absent or null adds nothing to the total.

    The tier also carries what else changes the price: `speed: fast`, and an `inference_geo` that is a place.
    """
    if not isinstance(usage, dict):
        return UNKNOWN
    cached, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    return Usage(
        tokens_in=_total(usage.get("input_tokens", _ABSENT), cached, written),
        tokens_out=_count(usage.get("output_tokens")),
        cached_in=_count(cached),
        cache_write_in=_count(written),
        cache_write_long_in=_count(_at(usage, "cache_creation", "ephemeral_1h_input_tokens")),
        reasoning_out=_count(_at(usage, "output_tokens_details", "thinking_tokens")),
        searches=_count(_at(usage, "server_tool_use", "web_search_requests")),
        service_tier=anthropic_tier(
            _name(usage.get("service_tier")) or service_tier, usage.get("speed"), usage.get("inference_geo")
        ),
    )


def anthropic_tier(tier: object, speed: object, place: object) -> str | None:
    """What of a message decides its price beside its tokens, as one name; None where nothing does."""
    tier = _name(tier)
    beside = [name for name in (_name(speed), _name(place)) if name and name not in _USUAL]
    if not beside:
        return tier
    return "+".join(beside if tier in (None, "standard") else [tier, *beside])


def merged(first: object, later: object) -> dict[str, object]:
    """One usage object of a stream: Anthropic's `message_start` states the input, the last `message_delta` the output.

    Counts are cumulative, so of two the larger is the later one. Without a `later` the output is not known: what
    `message_start` says of it is only the beginning.
    """
    start = dict(first) if isinstance(first, Mapping) else {}
    if not isinstance(later, Mapping):
        start.pop("output_tokens", None)
        return start
    return start | {name: _later(start.get(name), value) for name, value in later.items() if value is not None}


def gemini(usage: object, service_tier: object = None) -> Usage:
    """`usageMetadata` of an answer or of the last chunk of a stream; input of tools is input too."""
    if not isinstance(usage, dict) or "promptTokenCount" not in usage:
        return UNKNOWN
    prompt, tools = usage["promptTokenCount"], usage.get("toolUsePromptTokenCount", 0)
    thoughts, cached = usage.get("thoughtsTokenCount", 0), _count(usage.get("cachedContentTokenCount", 0))
    tier = service_tier if service_tier is not None else usage.get("serviceTier", usage.get("trafficType"))
    return Usage(
        tokens_in=_total(prompt, tools),
        tokens_out=_gemini_out(usage, prompt, tools, thoughts),
        cached_in=cached,
        reasoning_out=_count(thoughts),
        audio_in=_audio(usage, "promptTokensDetails", "toolUsePromptTokensDetails" if tools else None),
        cached_audio_in=0 if cached == 0 else _audio(usage, "cacheTokensDetails"),
        audio_out=_audio(usage, "candidatesTokensDetails"),
        service_tier=_TRAFFIC.get(tier, tier.lower()) if isinstance(tier, str) and tier else None,
    )


def bedrock_converse(usage: object, service_tier: object = None) -> Usage:
    """`usage` of Converse, or of a stream's `metadata` event; `service_tier` is the answer's `serviceTier.type`.

    `totalTokens` is documented as input and output together; that it counts cached tokens too is not verified.
    """
    if not isinstance(usage, dict):
        return UNKNOWN
    adds_up = _adds_up(usage)
    cached = usage.get("cacheReadInputTokens", 0 if adds_up else None)
    written = usage.get("cacheWriteInputTokens", 0 if adds_up else None)
    return Usage(
        tokens_in=_total(usage.get("inputTokens", _ABSENT), cached, written),
        tokens_out=_count(usage.get("outputTokens")),
        cached_in=_count(cached),
        cache_write_in=_count(written),
        cache_write_long_in=_bedrock_long(usage.get("cacheDetails"), written),
        service_tier=_name(service_tier),
    )


def replicate(metrics: object, service_tier: object = None) -> Usage:
    """`metrics` of a prediction: token counts, where the model reports them; nothing is said about caches."""
    if not isinstance(metrics, Mapping):
        return UNKNOWN
    return Usage(
        tokens_in=_count(metrics.get("input_token_count")),
        tokens_out=_count(metrics.get("output_token_count")),
        service_tier=_name(service_tier),
    )


def _count(value: object) -> int | None:
    """A number of tokens; None for whatever is none."""
    return value if type(value) is int and 0 <= value < _LARGEST_COUNT else None


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _total(needed: object, *parts: object) -> int | None:
    """The sum of a count and of those that are stated beside it; None if one of them cannot be read."""
    counts = [_count(needed), *(_count(part) for part in parts if part is not None)]
    return None if None in counts else sum(count for count in counts if count is not None)


def _long_writes(into: object) -> int | None:
    """Tokens written to a cache that keeps them for 12 hours; openai 3.54 calls them so, earlier types `ttl_12h`."""
    written = _at(into, "cache_write_tokens_details")
    named = _at(written, "ttl_12h_tokens")
    return _count(named if named is not None else _at(written, "ttl_12h"))


def _at(value: object, *path: str) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _name(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and value else None


def _billed(usage: Mapping[str, object]) -> float | None:
    """OpenRouter's `cost`. With a key of one's own it holds the fee alone: the vendor's part stands beside it."""
    cost = _amount(usage.get("cost"))
    if cost is None or usage.get("is_byok") is not True:
        return cost
    upstream = _amount(_at(usage, "cost_details", "upstream_inference_cost"))
    return None if upstream is None else cost + upstream


def _later(before: object, value: object) -> object:
    first, second = _count(before), _count(value)
    return value if first is None or second is None else max(first, second)


def _gemini_out(usage: Mapping[str, object], prompt: object, tools: object, thoughts: object) -> int | None:
    """Candidates and thoughts. Absent candidates are 0 only where the total does without them."""
    if "candidatesTokenCount" in usage:
        return _total(usage["candidatesTokenCount"], thoughts)
    total = _total(prompt, tools, thoughts)
    return _count(thoughts) if total is not None and usage.get("totalTokenCount") == total else None


def _audio(usage: Mapping[str, object], *names: str | None) -> int | None:
    """The audio among lists of tokens by modality; None where a list is missing or cannot be read."""
    found = [_modality(usage.get(name), "AUDIO") for name in names if name]
    return None if None in found else sum(count for count in found if count is not None)


def _modality(details: object, wanted: str) -> int | None:
    if not isinstance(details, list) or not details or not all(isinstance(item, Mapping) for item in details):
        return None
    return _sum(item.get("tokenCount", 0) for item in details if item.get("modality") == wanted)


def _adds_up(usage: Mapping[str, object]) -> bool:
    counts = [_count(usage.get(name)) for name in ("inputTokens", "outputTokens", "totalTokens")]
    return None not in counts and counts[2] == (counts[0] or 0) + (counts[1] or 0)


def _bedrock_long(details: object, written: object) -> int | None:
    if details is None or details == []:
        return 0 if _count(written) == 0 else None
    if not isinstance(details, list) or not all(isinstance(item, Mapping) for item in details):
        return None
    return _sum(item.get("inputTokens") for item in details if item.get("ttl") == "1h")


def _sum(values: Iterable[object]) -> int | None:
    counts = [_count(value) for value in values]
    return None if None in counts else sum(count for count in counts if count is not None)
