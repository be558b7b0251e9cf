"""What a request asks for, however its wire spells it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.providers.request_fields import RecordedRequest, fields
from midshift.providers.request_places import PLACES, Aspect
from midshift.wire.protocol import WireName

CHAT, RESPONSES = WireName.OPENAI_CHAT, WireName.OPENAI_RESPONSES
ANTHROPIC, GEMINI = WireName.ANTHROPIC, WireName.GEMINI
CONFIG = "generationConfig"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["messages", "contents", "input", "tools", "thinking", "reasoning", "system", CONFIG, "content"]
)


def found(wire: WireName, body: dict[str, Any], **headers: str) -> dict[Aspect, tuple[str, Any]]:
    """Place and value by aspect, but for the length."""
    request = RecordedRequest("r", wire, body, {name.replace("_", "-"): value for name, value in headers.items()})
    return {one.aspect: (one.path, one.value) for one in fields(request) if one.aspect is not Aspect.LENGTH}


@pytest.mark.parametrize(
    ("aspect", "wire", "body", "path", "value"),
    [
        (Aspect.TEMPERATURE, CHAT, {"temperature": 0}, "temperature", 0),
        (Aspect.TEMPERATURE, GEMINI, {CONFIG: {"temperature": 0}}, f"{CONFIG}.temperature", 0),
        (Aspect.TOP_P, GEMINI, {CONFIG: {"top_p": 0.5}}, f"{CONFIG}.topP", 0.5),
        (Aspect.MAX_TOKENS, CHAT, {"max_completion_tokens": 5}, "max_completion_tokens", 5),
        (Aspect.MAX_TOKENS, RESPONSES, {"max_output_tokens": 5}, "max_output_tokens", 5),
        (Aspect.MAX_TOKENS, GEMINI, {CONFIG: {"maxOutputTokens": 5}}, f"{CONFIG}.maxOutputTokens", 5),
        (Aspect.EFFORT, CHAT, {"reasoning_effort": "low"}, "reasoning_effort", "low"),
        (Aspect.EFFORT, RESPONSES, {"reasoning": {"effort": "low"}}, "reasoning.effort", "low"),
        (Aspect.EFFORT, ANTHROPIC, {"output_config": {"effort": "low"}}, "output_config.effort", "low"),
        (Aspect.EFFORT, GEMINI, {CONFIG: {"thinkingConfig": {"thinking_level": "LOW"}}},
         f"{CONFIG}.thinkingConfig.thinkingLevel", "low"),
        (Aspect.THINKING, ANTHROPIC, {"thinking": {"type": "enabled"}}, "thinking.type", "enabled"),
        (Aspect.TOOL_CHOICE, CHAT, {"tool_choice": "required"}, "tool_choice", "forced"),
        (Aspect.TOOL_CHOICE, CHAT, {"tool_choice": {"type": "function"}}, "tool_choice", "forced"),
        (Aspect.TOOL_CHOICE, CHAT, {"tool_choice": "auto"}, "tool_choice", "auto"),
        (Aspect.TOOL_CHOICE, ANTHROPIC, {"tool_choice": {"type": "any"}}, "tool_choice", "forced"),
        (Aspect.TOOL_CHOICE, GEMINI, {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
         "toolConfig.functionCallingConfig.mode", "forced"),
        (Aspect.RESPONSE_SCHEMA, CHAT, {"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
        (Aspect.RESPONSE_SCHEMA, RESPONSES, {"text": {"format": {"type": "json_schema"}}}, "text.format",
         "json_schema"),
        (Aspect.JSON_MODE, CHAT, {"response_format": {"type": "json_object"}}, "response_format", "json_object"),
        (Aspect.JSON_MODE, GEMINI, {CONFIG: {"responseMimeType": "application/json"}}, f"{CONFIG}.responseMimeType",
         "application/json"),
        (Aspect.IMAGE, CHAT, {"messages": [{"content": [{"type": "image_url"}]}]}, "messages[].content[image_url]", 1),
        (Aspect.PDF, CHAT, {"messages": [{"content": [{"type": "file"}]}]}, "messages[].content[file]", 1),
        (Aspect.IMAGE, ANTHROPIC,
         {"messages": [{"content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]},
         "messages[].content[image]", 1),
        (Aspect.PDF, ANTHROPIC, {"messages": [{"content": [{"type": "document"}]}]}, "messages[].content[document]", 1),
        (Aspect.AUDIO, GEMINI, {"contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav"}}]}]},
         "contents[].parts[inlineData]", 1),
        (Aspect.PREFILL, CHAT, {"messages": [{"role": "assistant"}]}, "messages[-1]", "assistant"),
        (Aspect.PREFILL, GEMINI, {"contents": [{"role": "model", "parts": []}]}, "contents[-1]", "model"),
        (Aspect.CHOICES, CHAT, {"n": 2}, "n", 2),
        (Aspect.CHOICES, GEMINI, {CONFIG: {"candidateCount": 2}}, f"{CONFIG}.candidateCount", 2),
        (Aspect.STOP, ANTHROPIC, {"stop_sequences": ["a"]}, "stop_sequences", ["a"]),
        (Aspect.STORED_ID, RESPONSES, {"previous_response_id": "resp_1"}, "previous_response_id", "resp_1"),
        (Aspect.STORED_ID, GEMINI, {"cachedContent": "c/1"}, "cachedContent", "c/1"),
        (Aspect.REASONING_STATE, RESPONSES, {"input": [{"type": "reasoning", "encrypted_content": "x"}]},
         "input[reasoning].encrypted_content", 1),
        (Aspect.THINKING_STATE, ANTHROPIC, {"messages": [{"content": [{"type": "thinking", "signature": "x"}]}]},
         "messages[].content[thinking]", 1),
        (Aspect.THINKING_STATE, GEMINI, {"contents": [{"parts": [{"thoughtSignature": "x"}]}]},
         "contents[].parts[].thoughtSignature", 1),
    ],
)  # fmt: skip
def test_an_aspect_is_found_where_its_wire_has_it(
    aspect: Aspect, wire: WireName, body: dict[str, Any], path: str, value: object
) -> None:
    assert (path, value) == found(wire, body)[aspect]


@pytest.mark.parametrize("wire", list(WireName))
def test_an_empty_request_asks_for_nothing(wire: WireName) -> None:
    assert {} == found(wire, {})


@pytest.mark.parametrize("wire", list(WireName))
def test_a_field_that_is_null_is_not_there(wire: WireName) -> None:
    """Clients write null for what was left out, and vendors read it so."""
    names = (
        "temperature",
        "max_tokens",
        "reasoning_effort",
        "thinking",
        "tools",
        "generationConfig",
        "response_format",
    )

    assert {} == found(wire, dict.fromkeys(names))


def test_an_assistant_message_before_the_last_is_a_conversation_and_no_prefill() -> None:
    body = {"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}

    assert Aspect.PREFILL not in found(ANTHROPIC, body)


def test_the_api_version_is_the_header_s() -> None:
    assert ("anthropic-version", "2026-10-21") == found(ANTHROPIC, {}, anthropic_version="2026-10-21")[
        Aspect.API_VERSION
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": "12345678"}]}, 8 + len("user")),
        ({"system": [{"type": "text", "text": "é"}]}, len("text") + 2),
        ({"messages": [{"content": [{"type": "image", "source": {"data": "A" * 5000}}]}]}, len("image")),
        ({"max_tokens": 5, "metadata": {"user_id": "x" * 99}}, 0),
    ],
)
def test_length_is_of_what_is_read_and_pictures_are_no_text(body: dict[str, Any], expected: int) -> None:
    request = RecordedRequest("r", ANTHROPIC, body)

    assert [expected] == [one.value for one in fields(request) if one.aspect is Aspect.LENGTH]


@pytest.mark.parametrize("wire", list(WireName))
@settings(max_examples=50)
@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_no_body_however_odd_stops_the_reading(wire: WireName, body: dict[str, Any]) -> None:
    """Ten thousand recorded requests hold one of everything."""
    for one in fields(RecordedRequest("r", wire, body)):
        assert one.path


def test_a_wire_has_a_place_for_what_its_own_requests_say() -> None:
    assert "max_tokens" == PLACES[CHAT][Aspect.MAX_TOKENS]
    assert Aspect.TOP_K not in PLACES[CHAT]
    assert Aspect.SEED not in PLACES[ANTHROPIC]
    assert Aspect.PREFILL not in PLACES[RESPONSES]
