"""Usage objects of every vendor, brought to one meaning; one odd field harms that field alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.light import replaced
from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire import openai_chat
from midshift.wire import usage as usage_of

Reader = Callable[..., Usage]

READERS: tuple[Reader, ...] = (
    usage_of.openai_chat,
    usage_of.openai_responses,
    usage_of.anthropic,
    usage_of.gemini,
    usage_of.bedrock_converse,
    usage_of.replicate,
)
ODD: tuple[Any, ...] = (-1, True, "7", 1.5, float("nan"), float("inf"), [], {}, 10**30)
NAMES = st.sampled_from(
    "prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details cached_tokens "
    "reasoning_tokens input_tokens output_tokens cache_read_input_tokens cache_creation promptTokenCount tokenCount "
    "candidatesTokenCount thoughtsTokenCount promptTokensDetails totalTokenCount inputTokens cacheDetails cost".split()
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)

CHAT: dict[str, Any] = {
    "prompt_tokens": 100,
    "completion_tokens": 60,
    "total_tokens": 160,
    "prompt_tokens_details": {
        "cached_tokens": 40,
        "cache_write_tokens": 20,
        "cache_write_tokens_details": {"ttl_30m": 15, "ttl_12h": 5},
        "audio_tokens": 10,
        "cached_tokens_details": {"audio_tokens": 2},
    },
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 4},
    "cost": 0.5,
}
CHAT_USAGE = Usage(100, 60, 40, 20, 5, 30, 10, 2, 4, None, "flex", 0.5)
RESPONSES: dict[str, Any] = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 20},
    "output_tokens": 60,
    "output_tokens_details": {"reasoning_tokens": 30},
}
ANTHROPIC: dict[str, Any] = {
    "input_tokens": 100,
    "cache_read_input_tokens": 40,
    "cache_creation_input_tokens": 20,
    "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
    "output_tokens": 60,
    "output_tokens_details": {"thinking_tokens": 30},
    "server_tool_use": {"web_search_requests": 2},
    "service_tier": "batch",
}
ANTHROPIC_USAGE = Usage(160, 60, 40, 20, 5, 30, searches=2, service_tier="batch")
GEMINI: dict[str, Any] = {
    "promptTokenCount": 100,
    "toolUsePromptTokenCount": 7,
    "cachedContentTokenCount": 40,
    "candidatesTokenCount": 30,
    "thoughtsTokenCount": 60,
    "totalTokenCount": 197,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 90}, {"modality": "AUDIO", "tokenCount": 10}],
    "toolUsePromptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
    "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}, {"modality": "TEXT", "tokenCount": 36}],
    "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 30}],
    "trafficType": "ON_DEMAND",
}
GEMINI_USAGE = Usage(107, 90, 40, None, None, 60, 10, 4, 0, None, "standard")
BEDROCK: dict[str, Any] = {
    "inputTokens": 100,
    "outputTokens": 60,
    "totalTokens": 220,
    "cacheReadInputTokens": 40,
    "cacheWriteInputTokens": 20,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 5}, {"ttl": "5m", "inputTokens": 15}],
}


def test_every_field_of_every_vendor_finds_its_meaning() -> None:
    assert CHAT_USAGE == usage_of.openai_chat(CHAT, "flex")
    assert Usage(100, 60, 40, 20, reasoning_out=30) == usage_of.openai_responses(RESPONSES)
    assert ANTHROPIC_USAGE == usage_of.anthropic(ANTHROPIC)
    assert GEMINI_USAGE == usage_of.gemini(GEMINI)
    assert Usage(160, 60, 40, 20, 5, service_tier="priority") == usage_of.bedrock_converse(BEDROCK, "priority")
    assert Usage(12, 7) == usage_of.replicate({"input_token_count": 12, "output_token_count": 7, "predict_time": 1.2})


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_value_makes_its_own_field_none_and_no_other(odd: Any) -> None:
    details = {**CHAT["prompt_tokens_details"], "cached_tokens": odd}
    thinking = {"output_tokens_details": {"thinking_tokens": odd}}

    assert replaced(CHAT_USAGE, cached_in=None) == usage_of.openai_chat(
        {**CHAT, "prompt_tokens_details": details}, "flex"
    )
    assert replaced(CHAT_USAGE, tokens_in=None) == usage_of.openai_chat({**CHAT, "prompt_tokens": odd}, "flex")
    assert replaced(ANTHROPIC_USAGE, reasoning_out=None) == usage_of.anthropic(ANTHROPIC | thinking)


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_a_total_with_an_unreadable_part_is_unknown(odd: Any) -> None:
    """Anthropic's and Bedrock's totals are sums that we make; leaving a part out would be too little."""
    found = usage_of.anthropic({**ANTHROPIC, "cache_read_input_tokens": odd})

    assert replaced(ANTHROPIC_USAGE, tokens_in=None, cached_in=None) == found
    assert None is usage_of.gemini({**GEMINI, "thoughtsTokenCount": odd}).tokens_out


@pytest.mark.parametrize("cost", [-0.1, True, "1", float("nan"), float("inf"), 10**400])
def test_an_odd_bill_is_no_bill(cost: Any) -> None:
    assert replaced(CHAT_USAGE, cost_usd=None) == usage_of.openai_chat({**CHAT, "cost": cost}, "flex")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("nothing", [None, [], "", 3, {}])
def test_what_is_no_usage_says_nothing(reader: Reader, nothing: object) -> None:
    assert UNKNOWN == reader(nothing)


@given(ANYTHING, st.none() | st.text(max_size=4) | st.integers())
def test_no_reader_ever_fails_or_makes_up_a_negative(usage: object, tier: object) -> None:
    """It runs on every answer of every server."""
    for reader in READERS:
        found = reader(usage, tier)
        counts = [getattr(found, name) for name in Usage.__struct_fields__ if name not in ("service_tier",)]
        assert all(count is None or count >= 0 for count in counts)


def test_what_openai_does_not_say_is_none() -> None:
    assert Usage(5, 3) == usage_of.openai_chat({"prompt_tokens": 5, "completion_tokens": 3})


def test_reasoning_beside_the_completion_is_found_by_the_total() -> None:
    """xAI's chat completions: 10 + 5 + 20 = 35, so the 20 are not among the 5."""
    beside = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 35,
        "completion_tokens_details": {"reasoning_tokens": 20},
    }

    assert Usage(10, 25, reasoning_out=20) == usage_of.openai_chat(beside)


@pytest.mark.parametrize(
    ("counts", "tokens_out"),
    [
        ({"total_tokens": 623}, None),
        ({"total_tokens": 623, "completion_tokens_details": {"reasoning_tokens": 400}}, None),
        ({"total_tokens": 623, "completion_tokens_details": {"reasoning_tokens": 405}}, 603),
        ({"total_tokens": 218}, 198),
        ({"total_tokens": 218, "completion_tokens_details": {"reasoning_tokens": 100}}, 198),
        ({"total_tokens": 0}, 198),
        ({"total_tokens": "623"}, 198),
        ({}, 198),
    ],
)
def test_output_that_the_total_contradicts_is_unknown(counts: dict[str, Any], tokens_out: int | None) -> None:
    """Gemini's endpoint of this format leaves its thoughts out; 198 would make it three times too cheap."""
    usage = {"prompt_tokens": 20, "completion_tokens": 198, **counts}
    answer = json.dumps({"choices": [], "usage": usage}).encode()
    quick = openai_chat.read_answer(answer)

    assert (20, tokens_out) == (usage_of.openai_chat(usage).tokens_in, usage_of.openai_chat(usage).tokens_out)
    assert quick is not None
    assert tokens_out == quick.usage.tokens_out


def test_deepseek_counts_cached_tokens_by_another_name() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 3}

    assert 6 == usage_of.openai_chat(usage).cached_in


def test_a_bill_with_a_key_of_ones_own_has_two_parts() -> None:
    """OpenRouter's `cost` is then its fee; alone it would make a dear model nearly free."""
    upstream = {"upstream_inference_cost": 0.2}

    assert 0.5 + 0.2 == usage_of.openai_chat({**CHAT, "is_byok": True, "cost_details": upstream}).cost_usd
    assert None is usage_of.openai_chat({**CHAT, "is_byok": True}).cost_usd


@pytest.mark.parametrize("absent", [{}, {"cache_read_input_tokens": None, "cache_creation_input_tokens": None}])
def test_anthropic_without_cache_counts_has_its_input_and_no_word_on_caches(absent: dict[str, Any]) -> None:
    assert Usage(9, 4) == usage_of.anthropic({"input_tokens": 9, "output_tokens": 4, **absent})


@pytest.mark.parametrize(
    ("fields", "tier"),
    [
        ({"service_tier": "standard", "inference_geo": "global"}, "standard"),
        ({"service_tier": "standard", "inference_geo": "us"}, "us"),
        ({"service_tier": "batch", "inference_geo": "us"}, "batch+us"),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({"speed": "standard", "inference_geo": "not_available"}, None),
    ],
)
def test_the_tier_of_anthropic_names_whatever_changes_the_price(fields: dict[str, Any], tier: str | None) -> None:
    """A tier that no source prices is unknown; `standard` alone would be a price too low."""
    assert tier == usage_of.anthropic({"input_tokens": 1, **fields}).service_tier


def test_a_stream_of_anthropic_states_its_usage_in_two_halves() -> None:
    start = {"input_tokens": 9, "cache_read_input_tokens": 5, "output_tokens": 1, "service_tier": "standard"}
    delta = {"output_tokens": 40, "input_tokens": 0, "server_tool_use": {"web_search_requests": 1}}

    found = usage_of.anthropic(usage_of.merged(start, delta))

    assert Usage(14, 40, 5, searches=1, service_tier="standard") == found


def test_a_stream_that_breaks_off_has_no_known_output() -> None:
    """`message_start` says 1 or so, which would make a broken answer nearly free."""
    assert None is usage_of.anthropic(usage_of.merged({"input_tokens": 9, "output_tokens": 1}, None)).tokens_out


def test_protobuf_leaves_out_zeros() -> None:
    """Gemini never sends a 0: an absent count beside `promptTokenCount` is one."""
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}

    assert Usage(9, 4, 0, reasoning_out=0, cached_audio_in=0) == usage_of.gemini(usage)


def test_gemini_without_candidates_is_believed_where_its_total_is_whole() -> None:
    """A limit that was used up by thoughts, against a field that got lost."""
    usage = {"promptTokenCount": 9, "thoughtsTokenCount": 20}

    assert 20 == usage_of.gemini({**usage, "totalTokenCount": 29}).tokens_out
    assert None is usage_of.gemini({**usage, "totalTokenCount": 33}).tokens_out
    assert None is usage_of.gemini(usage).tokens_out


def test_bedrock_without_cache_counts_used_none_where_its_total_is_whole() -> None:
    plain = {"inputTokens": 9, "outputTokens": 4}

    assert Usage(9, 4, 0, 0, 0) == usage_of.bedrock_converse({**plain, "totalTokens": 13})
    assert Usage(9, 4) == usage_of.bedrock_converse(plain)
