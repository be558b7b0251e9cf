"""The short way to read a usual answer says the same as the careful one, or leaves it to that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.wire import openai_chat
from midshift.wire.anthropic import answer as anthropic

COUNTS: st.SearchStrategy[Any] = st.integers(0, 500) | st.sampled_from(
    [None, -1, True, "7", 1.0, 1.5, [], {}, 2**53 - 1, 2**53, 10**30, 0]
)
NAMES: tuple[str, ...] = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "cost", "is_byok"),
    *("cached_tokens", "audio_tokens", "cache_write_tokens", "reasoning_tokens", "accepted_prediction_tokens"),
)
DETAILS: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from([*NAMES, "cached_tokens_details", "cache_write_tokens_details"]),
    COUNTS | st.dictionaries(st.sampled_from(["audio_tokens", "ttl_12h"]), COUNTS, max_size=2),
    max_size=5,
)


@st.composite
def usages(draw: st.DrawFn) -> Any:
    """From usual to odd; totals that hold reasoning, that do not, and that contradict the parts."""
    into, out, reasoning = (draw(st.integers(0, 9)) for _ in range(3))
    beside = draw(st.sampled_from([0, reasoning, reasoning + 1, -1, None]))
    found: dict[str, Any] = {
        "prompt_tokens": into,
        "completion_tokens": out,
        "completion_tokens_details": draw(st.none() | st.just({"reasoning_tokens": reasoning})),
        "prompt_tokens_details": draw(st.none() | DETAILS),
    }
    if beside is not None:
        found["total_tokens"] = into + out + beside
    found |= draw(st.dictionaries(st.sampled_from([*NAMES, "completion_tokens_details"]), COUNTS | DETAILS, max_size=3))
    return draw(st.just(found) | st.none() | DETAILS | COUNTS)


TEXTS: st.SearchStrategy[Any] = st.text(max_size=3) | st.sampled_from([None, "", "stop", "Flex", 7, [], {"a": 1}])
MESSAGES: st.SearchStrategy[Any] = (
    st.fixed_dictionaries({}, optional={"content": TEXTS, "tool_calls": TEXTS}) | st.none() | st.just(5)
)
CHOICES = st.lists(
    st.fixed_dictionaries({}, optional={"finish_reason": TEXTS, "message": MESSAGES, "delta": MESSAGES, "index": TEXTS})
    | st.just(3),
    max_size=2,
)
ANSWERS = st.fixed_dictionaries(
    {"usage": usages()},
    optional={"choices": CHOICES | TEXTS, "model": TEXTS, "service_tier": TEXTS, "error": TEXTS},
)


@given(ANSWERS | TEXTS)
def test_an_answer_is_read_alike_either_way(answer: Any) -> None:
    """Whatever one server's odd value makes of the short way, nobody sees a difference."""
    body = json.dumps(answer).encode()

    assert openai_chat._read_odd_answer(body) == openai_chat.read_answer(body)


BLOCKS = st.fixed_dictionaries({}, optional={"type": st.just("text") | TEXTS, "text": TEXTS}) | TEXTS
MESSAGE_USAGES = st.dictionaries(
    st.sampled_from(
        ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "anything"]
    ),
    COUNTS,
) | st.fixed_dictionaries(
    {"input_tokens": COUNTS},
    optional={
        "cache_creation": st.dictionaries(st.just("ephemeral_1h_input_tokens"), COUNTS) | COUNTS,
        "output_tokens_details": st.dictionaries(st.just("thinking_tokens"), COUNTS) | COUNTS,
        "server_tool_use": st.dictionaries(st.just("web_search_requests"), COUNTS) | COUNTS,
        "service_tier": st.sampled_from(["standard", "batch", "", "Priority", None, 5]),
        "speed": st.sampled_from(["standard", "fast", "", None, 5]),
        "inference_geo": st.sampled_from(["global", "US", "not_available", "", None, 5]),
    },
)
MESSAGES_OF_ANTHROPIC = st.fixed_dictionaries(
    {"type": st.just("message") | TEXTS, "content": st.lists(BLOCKS, max_size=3) | TEXTS},
    optional={"usage": MESSAGE_USAGES | COUNTS, "model": TEXTS, "stop_reason": TEXTS, "input_tokens": COUNTS},
)


@given(MESSAGES_OF_ANTHROPIC | ANSWERS)
def test_a_message_is_read_alike_either_way(answer: Any) -> None:
    """As above; tiers, speeds and places of service decide a price too."""
    body = json.dumps(answer).encode()

    assert anthropic._read_odd_answer(body) == anthropic.read_answer(body)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"choices":[{}]', b'{"choices":[],"choices":null}', b"\xff"])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """A broken body counts as a failure of the provider."""
    assert openai_chat._read_odd_answer(body) is openai_chat.read_answer(body) is None
