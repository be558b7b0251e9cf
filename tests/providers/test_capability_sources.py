"""Where facts come from: every one says so."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import msgspec
import pytest

from midshift.errors import InputError
from midshift.providers import capability_sources, catalogue
from midshift.providers.capabilities import Evidence
from midshift.providers.capability_sources import capabilities, of_anthropic, of_entry, of_openrouter, overrides

DAY = date(2026, 11, 1)
RULE: dict[str, Any] = {
    "provider": ["acme"],
    "model": "^a-",
    "facts": {"images": True, "pdf": False},
    "source": "a page",
    "evidence": "D",
    "as_of": "2026-11-01",
}


def a_file(*rules: dict[str, Any]) -> bytes:
    """A file of rules."""
    return msgspec.json.encode({"format": capability_sources.FORMAT, "rules": rules})


def test_no_curated_fact_is_without_a_source_a_date_and_a_known_mark() -> None:
    """A fact that nobody can look up is a rumour, and it would decide what a product may send."""
    rules = capability_sources.curated()

    unsourced = [
        f"{'|'.join(rule.provider)}/{rule.model}: {name}"
        for rule in rules
        for name in rule.facts
        if not rule.source.strip() or rule.as_of is None or rule.evidence not in list(Evidence)
    ]
    assert [] == unsourced
    assert len(rules) > 30


@pytest.mark.parametrize("lacking", ["source", "as_of", "evidence"])
def test_a_file_names_every_fact_that_does_not_say_where_it_is_from(lacking: str) -> None:
    bad = {name: value for name, value in RULE.items() if name != lacking}

    with pytest.raises(InputError, match=re.escape("acme/^a-: images, acme/^a-: pdf")):
        capability_sources.read(a_file(RULE, bad))


def test_an_unknown_mark_of_evidence_is_none() -> None:
    with pytest.raises(InputError, match="known mark of evidence: acme"):
        capability_sources.read(a_file({**RULE, "evidence": "Q"}))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": "("}, "no pattern"),
        ({"facts": {}}, "without facts"),
        ({"facts": {"imagse": True}}, "imagse"),
        ({"facts": {"images": "yes"}}, "true or false"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        capability_sources.read(a_file({**RULE, **change}))


def test_every_fact_out_of_the_catalogue_says_where_it_is_from() -> None:
    found = catalogue.bundled()

    unsourced = [
        f"{entry.provider}/{entry.model}: {name}"
        for entry in found
        for name, fact in of_entry(entry, found).items()
        if not fact.source.strip() or fact.as_of != found.taken_on or fact.evidence is not Evidence.THIRD_PARTY
    ]
    assert [] == unsourced


def test_a_flag_that_the_catalogue_does_not_have_is_unknown() -> None:
    found = catalogue.bundled()
    entry = found.entry("anthropic", "claude-sonnet-4-5")

    assert entry is not None
    assert "thinking_adaptive" not in of_entry(entry, found)
    assert "images" in of_entry(entry, found)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("anthropic", "claude-sonnet-4-5-20250929", {"assistant_prefill": True, "sampling": None}),
        ("anthropic", "claude-opus-4-6", {"assistant_prefill": False, "thinking_enabled": True, "sampling": None}),
        ("anthropic", "claude-opus-4-7", {"thinking_enabled": False, "sampling": "default_only"}),
        ("bedrock", "us.anthropic.claude-opus-4-8", {"sampling": "default_only", "thinking_enabled": False}),
        ("anthropic", "claude-sonnet-5", {"thinking_bound_to_model": None, "sampling": "default_only"}),
        ("anthropic", "claude-sonnet-5-5", {"sampling": "rejected", "thinking_disabled": False, "forced_tools": False}),
        ("openai", "gpt-6.1-sol", {"chat_tools": "no", "effort_none": False, "effort_minimal": False}),
        ("openai", "gpt-6-luna", {"chat_tools": "with_effort_none", "sampling": "with_effort_none"}),
        ("openai", "gpt-5.1", {"sampling": "with_effort_none", "default_effort": "none"}),
        ("openai", "o3", {"sampling": "default_only", "stop": False, "max_tokens_field": "max_completion_tokens"}),
        ("openai", "gpt-5-chat-latest", {"sampling": None, "max_tokens_field": None}),
        ("openai", "gpt-4o-2024-08-06", {"sampling": "any", "chat_tools": "yes", "seed": True, "stop": True}),
        ("openai", "ft:gpt-4o-mini-2024-07-18", {"sampling": "any"}),
        ("openai", "gpt-4o-search-preview", {"sampling": None}),
        ("nobody", "anything", {"images": None, "sampling": None}),
    ],
)
def test_a_family_is_told_by_its_name_and_no_wider(provider: str, model: str, expected: dict[str, Any]) -> None:
    """A pattern that reaches too far invents a refusal; one that falls short lets one through."""
    found = capabilities(provider, model, catalogue.bundled())

    assert expected == {name: found.fact(name).value for name in expected}


def test_the_user_s_word_goes_before_every_other_and_keeps_its_own_source() -> None:
    own = overrides({"rules": [{"model": "^gpt-4o$", "facts": {"stop": False}}]}, "mine.yaml", DAY)

    fact = capabilities("openai", "gpt-4o", None, own).fact("stop")

    assert (False, "mine.yaml", DAY, Evidence.USER) == (fact.value, fact.source, fact.as_of, fact.evidence)


def test_a_live_answer_goes_before_the_catalogue_and_after_curated_rules() -> None:
    live = of_anthropic({"id": "claude-sonnet-5", "max_tokens": 5, "max_input_tokens": 7}, DAY)

    found = capabilities("anthropic", "claude-sonnet-5", catalogue.bundled(), live=live)

    assert (5, 7) == (found.number("max_output_tokens"), found.number("context_tokens"))
    assert Evidence.LIVE is found.fact("max_output_tokens").evidence
    assert "default_only" == found.word("sampling")


@pytest.mark.parametrize("values", [[], "text", {"rules": {}}, {"rules": [{"facts": {"images": 3}}]}, {"rules": [3]}])
def test_a_user_s_file_that_is_none_is_refused_by_name(values: object) -> None:
    with pytest.raises(InputError, match=r"mine\.yaml"):
        overrides(values, "mine.yaml", DAY)


def test_what_anthropic_says_of_a_model_is_read_and_what_it_leaves_out_is_unknown() -> None:
    """Keys as in ModelInfo of the package anthropic 2.12.0; `xhigh` is optional there."""
    yes, no = {"supported": True}, {"supported": False}
    able = {
        "effort": {"supported": True, "low": yes, "medium": yes, "high": yes, "max": no},
        "thinking": {"supported": True, "types": {"adaptive": yes, "enabled": no, "disabled": no}},
        "image_input": yes,
        "pdf_input": no,
        "structured_outputs": yes,
    }

    found = of_anthropic({"id": "x", "max_input_tokens": 9, "max_tokens": 3, "capabilities": able}, DAY)

    assert {
        "context_tokens": 9,
        "max_output_tokens": 3,
        "images": True,
        "pdf": False,
        "response_schema": True,
        "effort_low": True,
        "effort_medium": True,
        "effort_high": True,
        "effort_max": False,
        "thinking_adaptive": True,
        "thinking_enabled": False,
        "thinking_disabled": False,
    } == {name: fact.value for name, fact in found.items()}
    assert {"GET /v1/models/x"} == {fact.source for fact in found.values()}


@pytest.mark.parametrize("info", [{}, {"capabilities": None}, {"capabilities": {"effort": 3}, "max_tokens": "many"}])
def test_an_answer_that_states_nothing_teaches_nothing(info: dict[str, Any]) -> None:
    assert {} == of_anthropic(info, DAY)


def test_a_model_without_effort_takes_none_of_its_values() -> None:
    found = of_anthropic({"capabilities": {"effort": {"supported": False}}}, DAY)

    assert {False} == {found[f"effort_{level}"].value for level in ("low", "medium", "high", "xhigh", "max")}


def test_what_openrouter_lists_is_taken_and_the_rest_is_not() -> None:
    """Keys as in Model and ModelReasoning of the package openrouter 1.3.84."""
    found = of_openrouter(
        {
            "id": "x/y",
            "context_length": 1000,
            "top_provider": {"max_completion_tokens": None},
            "supported_parameters": ["temperature", "tools", "seed"],
            "architecture": {"input_modalities": ["text", "image"]},
            "reasoning": {"mandatory": True, "supported_efforts": ["high", "low"], "default_effort": "high"},
        },
        DAY,
    )

    assert ("any", "rejected") == (found["sampling"].value, found["logprobs"].value)
    assert (True, True, False) == tuple(found[name].value for name in ("tools", "seed", "stop"))
    assert (True, False, 1000) == (found["images"].value, found["pdf"].value, found["context_tokens"].value)
    assert (True, False, False, "high") == tuple(
        found[name].value for name in ("effort_low", "effort_medium", "effort_none", "default_effort")
    )
    assert "max_output_tokens" not in found


def test_no_list_of_efforts_at_openrouter_means_all_of_them() -> None:
    found = of_openrouter({"reasoning": {"mandatory": False, "supported_efforts": None}}, DAY)

    assert {True} == {found[f"effort_{level}"].value for level in ("none", "minimal", "low", "max")}


def test_no_reasoning_at_openrouter_says_nothing_of_efforts() -> None:
    assert {} == of_openrouter({}, DAY)
