"""What a refusal teaches; the sentences are those that users of the vendors' APIs have quoted."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from midshift.providers import capability_sources, preflight_rules
from midshift.providers.learning import learn, merged
from midshift.providers.request_fields import RecordedRequest
from midshift.wire.protocol import WireName

CHAT, ANTHROPIC, GEMINI = WireName.OPENAI_CHAT, WireName.ANTHROPIC, WireName.GEMINI
DAY = date(2026, 11, 1)


def openai(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """An error of OpenAI's."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def anthropic(message: str) -> dict[str, Any]:
    """An error of Anthropic's."""
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}, "request_id": "req_1"}


def gemini(message: str, **more: Any) -> dict[str, Any]:
    """An error of Gemini's."""
    return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", **more}}


def a_request(wire: WireName, **body: Any) -> RecordedRequest:
    """The request that was refused."""
    return RecordedRequest("r-1", wire, body, model="model-5.1")


@pytest.mark.parametrize(
    ("wire", "error", "facts"),
    [
        (CHAT, openai("Unsupported parameter: 'max_tokens' is not supported with this model. "
                      "Use 'max_completion_tokens' instead.", "max_tokens", "unsupported_parameter"),
         {"max_tokens_field": "max_completion_tokens"}),
        (CHAT, openai("Unsupported value: 'temperature' does not support 0.2 with this model. "
                      "Only the default (1) value is supported.", "temperature", "unsupported_value"),
         {"sampling": "default_only"}),
        (CHAT, openai("Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. "
                      "Supported values are: 'none', 'low', 'medium', 'high', 'xhigh'.", "reasoning_effort"),
         {"effort_none": True, "effort_minimal": False, "effort_low": True, "effort_medium": True,
          "effort_high": True, "effort_xhigh": True, "effort_max": False}),
        (CHAT, openai("Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. "
                      "To use function tools, use /v1/responses or set reasoning_effort to 'none'."),
         {"chat_tools": "with_effort_none"}),
        (CHAT, openai("max_tokens is too large: 99. This model supports at most 16,384 completion tokens, whereas"),
         {"max_output_tokens": 16384}),
        (CHAT, openai("This model's maximum context length is 128000 tokens. However, your messages resulted in"),
         {"context_tokens": 128000}),
        (ANTHROPIC, anthropic('"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" '
                              'and "output_config.effort" to control thinking behavior.'),
         {"thinking_enabled": False, "thinking_adaptive": True}),
        (ANTHROPIC, anthropic("This model does not support assistant message prefill. The conversation must end with "
                              "a user message."), {"assistant_prefill": False}),
        (ANTHROPIC, anthropic("max_tokens: 128001 > 64000, which is the maximum allowed number of output tokens for "
                              "claude-opus-4-5-20251101"), {"max_output_tokens": 64000}),
        (ANTHROPIC, anthropic("prompt is too long: 210000 tokens > 200000 maximum"), {"context_tokens": 200000}),
        (GEMINI, gemini("The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."),
         {"context_tokens": 1048576}),
        (GEMINI, [gemini("Unable to submit request because it has a maxOutputTokens value of 655360 but the supported "
                         "range is from 1 (inclusive) to 8193 (exclusive). Update the value and try again.")],
         {"max_output_tokens": 8192}),
    ],
)  # fmt: skip
def test_a_sentence_that_is_known_teaches_a_fact(wire: WireName, error: object, facts: dict[str, Any]) -> None:
    proposal = learn(error, wire, 400, a_request(wire))

    assert proposal is not None
    assert facts == dict(proposal.facts)
    assert proposal.evidence.startswith("400 for r-1: ")


@pytest.mark.parametrize(
    ("wire", "error", "field"),
    [
        (ANTHROPIC, anthropic("`temperature` is deprecated for this model."), "temperature"),
        (ANTHROPIC, anthropic("temperature is deprecated for this model."), "temperature"),
        (ANTHROPIC, anthropic("top_k: Extra inputs are not permitted"), "top_k"),
        (CHAT, openai("Unsupported parameter", "prediction", "unsupported_parameter"), "prediction"),
        (CHAT, openai("Unknown parameter: 'reasoning.mode'."), "reasoning.mode"),
        (GEMINI, gemini("Unable to submit request because thinking_level is not supported by this model.. Learn more"),
         "generationConfig.thinkingConfig.thinkingLevel"),
        (GEMINI, gemini("Invalid", details=[{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [
            {"field": "generation_config.response_logprobs", "description": "no"}]}]),
         "generationConfig.responseLogprobs"),
    ],
)  # fmt: skip
def test_a_field_that_is_named_becomes_a_rule_about_it(wire: WireName, error: object, field: str) -> None:
    proposal = learn(error, wire, 400, a_request(wire))

    assert proposal is not None
    assert (field, ()) == (proposal.field, proposal.values)


def test_a_refused_value_does_not_forbid_the_field() -> None:
    error = openai("Unsupported value: 'verbosity' does not support 'low'.", "verbosity", "unsupported_value")

    proposal = learn(error, CHAT, 400, a_request(CHAT, verbosity="low"))

    assert proposal is not None
    assert ("verbosity", ("low",)) == (proposal.field, proposal.values)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, openai("Unsupported parameter", "n", "unsupported_parameter")),
        (500, openai("Unsupported parameter", "n", "unsupported_parameter")),
        (400, openai("The model is overloaded.")),
        (400, openai("Invalid value", "messages", "invalid_value")),
        (400, anthropic("messages: at least one message is required")),
        (400, {}),
        (400, None),
        (400, []),
        (400, "a page of HTML"),
        (400, {"error": {"message": 5}}),
    ],
)
def test_what_is_not_understood_teaches_nothing(status: int, error: object) -> None:
    """A wrong rule would refuse what works."""
    assert learn(error, CHAT, status, a_request(CHAT)) is None


def test_a_refusal_of_no_known_model_teaches_nothing() -> None:
    request = RecordedRequest("r-1", ANTHROPIC, {})

    assert learn(anthropic("`temperature` is deprecated for this model."), ANTHROPIC, 400, request) is None


def test_the_evidence_repeats_no_key() -> None:
    error = anthropic(f"`temperature` is deprecated for this model. sk-ant-{'a1' * 20}\nand more")

    proposal = learn(error, ANTHROPIC, 400, a_request(ANTHROPIC))

    assert proposal is not None
    assert "sk-ant" not in proposal.evidence
    assert "\n" not in proposal.evidence


def test_what_was_learned_can_be_read_back_and_is_about_that_model_alone() -> None:
    learned = [
        learn(anthropic("prompt is too long: 9 tokens > 7 maximum"), ANTHROPIC, 400, a_request(ANTHROPIC)),
        learn(anthropic("`top_k` is deprecated for this model."), ANTHROPIC, 400, a_request(ANTHROPIC)),
        learn(anthropic("`top_k` is deprecated for this model."), ANTHROPIC, 400, a_request(ANTHROPIC)),
    ]

    content = merged(proposal for proposal in learned if proposal is not None)
    facts = capability_sources.overrides(content, "mine.yaml", DAY)
    fields = preflight_rules.overrides(content, "mine.yaml", DAY)

    assert (1, 1) == (len(facts), len(fields))
    assert facts[0].holds_for("anthropic", "model-5.1")
    assert not facts[0].holds_for("anthropic", "model-5x1")
    assert fields[0].is_about("anthropic", "model-5.1", ANTHROPIC)
    assert re.search("400 for r-1", fields[0].source)
