"""Preflight: what is there is found, all of it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from midshift.domain.rendering import Recipe
from midshift.domain.variant import Json, Variant
from midshift.providers import capability_sources, catalogue, preflight_rules, requests
from midshift.providers.capabilities import Capabilities, Evidence, Fact, Value
from midshift.providers.preflight import PreflightReport, Row, in_words, preflight
from midshift.providers.preflight_remedy import Remedy, remedy
from midshift.providers.preflight_rules import Outcome
from midshift.providers.preflight_way import Candidate
from midshift.providers.request_fields import RecordedRequest
from midshift.wire.protocol import WireName, WireRequest
from midshift.wire.wires import WIRES
from tests.providers import preflight_requests
from tests.providers.preflight_requests import Planted

CHAT, RESPONSES = WireName.OPENAI_CHAT, WireName.OPENAI_RESPONSES
ANTHROPIC, GEMINI = WireName.ANTHROPIC, WireName.GEMINI
DAY = date(2026, 11, 1)
SPOKEN = {"anthropic": (ANTHROPIC,), "openai": (CHAT, RESPONSES), "gemini": (GEMINI,)}


def real(provider: str, model: str, effort: str | None = None, **params: Json) -> Candidate:
    """A candidate as midshift knows it."""
    able = capability_sources.capabilities(provider, model, catalogue.bundled())
    variant = Variant(provider, model, effort=effort, parameters=params)
    return Candidate(variant, able, SPOKEN[provider], usual_version="2023-06-01")


def made_up(*wires: WireName, effort: Any = None, params: Any = None, **facts: Any) -> Candidate:
    """A candidate of which this is known and no more."""
    known: dict[str, Fact[Value]] = {
        name: Fact(value, "a page", DAY, Evidence.DOCUMENTED) for name, value in facts.items()
    }
    variant = Variant("acme", "m", effort=effort, parameters=params or {})
    return Candidate(variant, Capabilities("acme", "m", known), wires or (CHAT,))


def lines(planted: Planted) -> list[RecordedRequest]:
    """The requests of a trace file."""
    return list(requests.read((json.dumps(line).encode() for line in planted.lines), requests.Reading()))


def judged(
    candidate: Candidate, wire: WireName, *bodies: dict[str, Any], version: str | None = None
) -> PreflightReport:
    """The report on a few bodies."""
    headers = {} if version is None else {"anthropic-version": version}
    recorded = [RecordedRequest(f"r-{index}", wire, body, headers) for index, body in enumerate(bodies)]
    return preflight(recorded, candidate, preflight_rules.bundled())


def by_field(report: PreflightReport, outcome: Outcome) -> dict[str, int]:
    """How many requests have which field with this outcome."""
    found: dict[str, int] = {}
    for row in report.rows:
        if row.outcome is outcome:
            found[row.field] = found.get(row.field, 0) + row.count
    return found


def outcome_of(report: PreflightReport, field: str) -> tuple[Outcome, str]:
    """What became of a field, and by which rule."""
    return next((row.outcome, row.rule) for row in report.rows if row.field == field)


def mended(report: PreflightReport, candidate: Candidate) -> Remedy:
    """What to paste."""
    return remedy(report, candidate.variant, candidate.capabilities)


def with_params(candidate: Candidate, params: dict[str, Any]) -> Candidate:
    """The candidate after pasting."""
    variant = replace(candidate.variant, parameters=params)
    return replace(candidate, variant=variant)


# The whole of it


def test_every_planted_fault_is_found_and_no_other() -> None:
    """Temperature, another kind of thinking, a shorter limit, a prefill: exact counts, and ok means ok."""
    planted = preflight_requests.faulty()

    report = preflight(lines(planted), real("anthropic", "claude-sonnet-5"), preflight_rules.bundled())

    faults = dict(planted.faults)
    assert {Outcome.FATAL: faults.pop("requests with a fault"), Outcome.OK: 71} == dict(report.worst)
    assert faults == by_field(report, Outcome.FATAL)
    assert [] == [row for row in report.rows if row.outcome not in (Outcome.FATAL, Outcome.OK)]
    assert 200 == report.requests


def test_every_planted_fault_of_another_wire_is_found_and_no_other() -> None:
    planted = preflight_requests.chat()

    report = preflight(lines(planted), real("openai", "gpt-5.6-sol"), preflight_rules.bundled())

    faults = dict(planted.faults)
    assert faults.pop("requests with a fault") == report.worst[Outcome.FATAL]
    assert faults == by_field(report, Outcome.FATAL)
    assert {Outcome.FATAL, Outcome.OK} == {row.outcome for row in report.rows}


def test_a_clean_set_is_clean() -> None:
    planted = preflight_requests.clean()

    report = preflight(lines(planted), real("anthropic", "claude-sonnet-5"), preflight_rules.bundled())

    assert {Outcome.OK: 200} == dict(report.worst)
    assert not report.is_fatal
    assert Remedy() == mended(report, real("anthropic", "claude-sonnet-5"))


def test_what_it_says_to_paste_mends_what_can_be_mended() -> None:
    """Only the prefill remains, which is in the conversation and out of a variant's reach."""
    candidate, recorded = real("anthropic", "claude-sonnet-5"), lines(preflight_requests.faulty())
    before = preflight(recorded, candidate, preflight_rules.bundled())

    after = preflight(
        recorded, with_params(candidate, dict(mended(before, candidate).params)), preflight_rules.bundled()
    )

    assert {"messages[-1]"} == set(by_field(after, Outcome.FATAL))
    done = {row.field: row.count for row in after.rows if row.by_variant}
    assert by_field(before, Outcome.FATAL).items() - {("messages[-1]", 27), ("temperature", 66)} <= done.items()
    assert 66 + 27 == done["temperature"]  # those with the default are dropped as well


def test_what_it_says_to_paste_mends_another_wire_as_well() -> None:
    candidate, recorded = real("openai", "gpt-5.6-sol"), lines(preflight_requests.chat())
    before = preflight(recorded, candidate, preflight_rules.bundled())
    proposed = mended(before, candidate)

    after = preflight(recorded, with_params(candidate, dict(proposed.params)), preflight_rules.bundled())

    assert {
        "drop": ["max_tokens", "temperature"],
        "set": {"max_completion_tokens": 800},
        "clamp": {"effort": ["low", "max"]},
    } == proposed.params
    assert {"tools"} == set(by_field(after, Outcome.FATAL))
    assert any("effort: none" in note for note in proposed.notes)


# One field at a time


@pytest.mark.parametrize(
    ("facts", "body", "field", "expected"),
    [
        ({"sampling": "rejected"}, {"temperature": 1}, "temperature", (Outcome.FATAL, "sampling-rejected")),
        ({"sampling": "default_only"}, {"temperature": 1}, "temperature", (Outcome.OK, "")),
        ({"sampling": "default_only"}, {"temperature": 0}, "temperature", (Outcome.FATAL, "sampling-default-only")),
        ({"sampling": "default_only"}, {"top_p": 1}, "top_p", (Outcome.UNKNOWN, "sampling-default-not-sure")),
        ({"sampling": "any"}, {"temperature": 0}, "temperature", (Outcome.OK, "")),
        ({}, {"temperature": 0}, "temperature", (Outcome.UNKNOWN, "sampling-rejected")),
        ({"effort_low": True}, {"reasoning_effort": "low"}, "reasoning_effort", (Outcome.OK, "")),
        ({"effort_low": False}, {"reasoning_effort": "low"}, "reasoning_effort", (Outcome.FATAL, "effort-refused")),
        ({}, {"reasoning_effort": "low"}, "reasoning_effort", (Outcome.UNKNOWN, "effort-refused")),
        ({}, {"reasoning_effort": "extreme"}, "reasoning_effort", (Outcome.UNKNOWN, "effort-refused")),
        ({"max_output_tokens": 9}, {"max_tokens": 9}, "max_tokens", (Outcome.OK, "")),
        ({"max_output_tokens": 9}, {"max_tokens": 10}, "max_tokens", (Outcome.FATAL, "max-tokens-limit")),
        ({}, {"max_tokens": 10}, "max_tokens", (Outcome.UNKNOWN, "max-tokens-limit")),
        ({"max_tokens_field": "max_completion_tokens", "max_output_tokens": 9}, {"max_tokens": 5}, "max_tokens",
         (Outcome.FATAL, "max-tokens-name")),
        ({"max_tokens_field": "max_completion_tokens", "max_output_tokens": 9}, {"max_completion_tokens": 5},
         "max_completion_tokens", (Outcome.OK, "")),
        ({"tools": False}, {"tools": [{}]}, "tools", (Outcome.FATAL, "tools")),
        ({"tools": True, "forced_tools": False, "tool_choice": True}, {"tool_choice": "required"}, "tool_choice",
         (Outcome.FATAL, "forced-tools")),
        ({"tool_choice": True, "forced_tools": False}, {"tool_choice": "auto"}, "tool_choice", (Outcome.OK, "")),
        ({"parallel_tools": False}, {"parallel_tool_calls": True}, "parallel_tool_calls",
         (Outcome.FATAL, "parallel-tools")),
        ({"parallel_tools": False}, {"parallel_tool_calls": False}, "parallel_tool_calls", (Outcome.OK, "")),
        ({"response_schema": False}, {"response_format": {"type": "json_schema"}}, "response_format",
         (Outcome.FATAL, "response-schema")),
        ({"json_mode": False}, {"response_format": {"type": "json_object"}}, "response_format",
         (Outcome.FATAL, "json-mode")),
        ({"images": False}, {"messages": [{"content": [{"type": "image_url"}]}]}, "messages[].content[image_url]",
         (Outcome.FATAL, "images")),
        ({"pdf": False}, {"messages": [{"content": [{"type": "file"}]}]}, "messages[].content[file]",
         (Outcome.FATAL, "pdf")),
        ({"audio_input": False}, {"messages": [{"content": [{"type": "input_audio"}]}]},
         "messages[].content[input_audio]", (Outcome.FATAL, "audio")),
        ({"assistant_prefill": False}, {"messages": [{"role": "assistant"}]}, "messages[-1]",
         (Outcome.FATAL, "prefill")),
        ({"logprobs": "rejected"}, {"logprobs": True}, "logprobs", (Outcome.FATAL, "logprobs")),
        ({"logprobs": "rejected"}, {"logprobs": False}, "logprobs", (Outcome.OK, "")),
        ({"n": False}, {"n": 2}, "n", (Outcome.FATAL, "choices")),
        ({"n": False}, {"n": 1}, "n", (Outcome.OK, "")),
        ({"seed": False}, {"seed": 7}, "seed", (Outcome.FATAL, "seed")),
        ({}, {"seed": 7}, "seed", (Outcome.UNKNOWN, "seed")),
        ({"penalties": False}, {"presence_penalty": 0.5}, "presence_penalty", (Outcome.FATAL, "penalties")),
        ({"penalties": False}, {"presence_penalty": 0}, "presence_penalty", (Outcome.OK, "")),
        ({"logit_bias": False}, {"logit_bias": {"5": 1}}, "logit_bias", (Outcome.FATAL, "logit-bias")),
        ({"stop": False}, {"stop": "END"}, "stop", (Outcome.FATAL, "stop")),
    ],
)  # fmt: skip
def test_a_field_meets_what_is_known_of_the_model(
    facts: dict[str, Value], body: dict[str, Any], field: str, expected: tuple[Outcome, str]
) -> None:
    assert expected == outcome_of(judged(made_up(**facts), CHAT, body), field)


@pytest.mark.parametrize(
    ("effort", "asked", "default", "expected"),
    [
        (None, None, "none", Outcome.OK),
        (None, None, "medium", Outcome.FATAL),
        (None, "none", "medium", Outcome.OK),
        (None, "low", "none", Outcome.FATAL),
        ("none", "low", "medium", Outcome.OK),
        ("low", "none", "none", Outcome.FATAL),
        (None, None, None, Outcome.UNKNOWN),
    ],
)
def test_what_depends_on_the_effort_is_judged_by_the_effort_that_goes_out(
    effort: str | None, asked: str | None, default: str | None, expected: Outcome
) -> None:
    facts: dict[str, Value] = {
        "sampling": "with_effort_none",
        **({} if default is None else {"default_effort": default}),
    }
    body = {"temperature": 0.5, **({} if asked is None else {"reasoning_effort": asked})}

    assert expected is outcome_of(judged(made_up(effort=effort, **facts), CHAT, body), "temperature")[0]


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gpt-6.1-sol", None, Outcome.FATAL),
        ("gpt-6-luna", "low", Outcome.FATAL),
        ("gpt-6-luna", "none", Outcome.OK),
        ("gpt-4o", None, Outcome.OK),
    ],
)
def test_tools_on_chat_completions_depend_on_the_model(model: str, effort: str | None, expected: Outcome) -> None:
    body = {"tools": [{"type": "function"}], "messages": []}

    assert expected is outcome_of(judged(real("openai", model, effort), CHAT, body), "tools")[0]


def test_tools_on_the_responses_api_are_no_trouble() -> None:
    body = {"tools": [{"type": "function"}], "input": "Hi."}

    assert Outcome.OK is outcome_of(judged(real("openai", "gpt-6.1-sol"), RESPONSES, body), "tools")[0]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("enabled", Outcome.FATAL), ("adaptive", Outcome.OK), ("disabled", Outcome.UNKNOWN), ("odd", Outcome.UNKNOWN)],
)
def test_kinds_of_thinking_are_told_apart(kind: str, expected: Outcome) -> None:
    candidate = made_up(ANTHROPIC, thinking_enabled=False, thinking_adaptive=True)

    assert expected is outcome_of(judged(candidate, ANTHROPIC, {"thinking": {"type": kind}}), "thinking.type")[0]


@pytest.mark.parametrize(
    ("default_on", "params"),
    [(True, {"drop": ["thinking"]}), (False, {"set": {"thinking": {"type": "adaptive"}}})],
)
def test_thinking_is_left_to_a_default_or_asked_for_in_another_way(default_on: bool, params: dict[str, Any]) -> None:
    candidate = made_up(ANTHROPIC, thinking_enabled=False, thinking_adaptive=True, thinking_default_on=default_on)
    report = judged(candidate, ANTHROPIC, {"thinking": {"type": "enabled"}}, {})

    assert params == mended(report, candidate).params


def test_setting_a_field_everywhere_is_said() -> None:
    """A workload of which half thinks would think altogether, and cost so."""
    candidate = made_up(ANTHROPIC, thinking_enabled=False, thinking_adaptive=True)
    report = judged(candidate, ANTHROPIC, {"thinking": {"type": "enabled"}}, {}, {})

    assert any("2 of 3" in note for note in mended(report, candidate).notes)


# API versions


@pytest.mark.parametrize(
    ("sent", "judged_by", "expected"),
    [
        ("2023-06-01", None, Outcome.OK),
        ("2026-10-21", None, Outcome.FATAL),
        ("2023-06-01", "2026-10-21", Outcome.FATAL),
        ("2026-10-21", "2023-06-01", Outcome.OK),
        (None, None, Outcome.UNKNOWN),
    ],
)
def test_the_version_that_goes_out_decides_about_sampling(
    sent: str | None, judged_by: str | None, expected: Outcome
) -> None:
    """The same request is taken under one version and refused under the next."""
    candidate = replace(made_up(ANTHROPIC, sampling="any"), api_version=judged_by)

    report = judged(candidate, ANTHROPIC, {"temperature": 1}, version=sent)

    assert expected is outcome_of(report, "temperature")[0]


def test_a_version_that_the_provider_does_not_take_is_fatal() -> None:
    candidate = made_up(ANTHROPIC, api_versions=("2023-06-01",))

    assert Outcome.FATAL is outcome_of(judged(candidate, ANTHROPIC, {}, version="2026-10-21"), "anthropic-version")[0]


def test_a_version_that_is_exchanged_is_said() -> None:
    candidate = replace(made_up(ANTHROPIC, api_versions=("2023-06-01",)), api_version="2023-06-01")

    report = judged(candidate, ANTHROPIC, {}, version="2026-10-21")

    assert {"anthropic-version": 1} == by_field(report, Outcome.TRANSLATED)
    assert not report.is_fatal


# What the variant does itself


def test_what_the_variant_drops_clamps_and_sets_is_its_own_doing() -> None:
    params: dict[str, Json] = {"drop": ("temperature",), "seed": 4, "clamp": {"max_tokens": (1, 9)}}
    candidate = made_up(sampling="rejected", max_output_tokens=9, seed=True, params=params)

    report = judged(candidate, CHAT, {"temperature": 0, "max_tokens": 20, "seed": 3}, {"max_tokens": 5})

    assert {
        "temperature": (Outcome.DROPPED, 1),
        "seed": (Outcome.TRANSLATED, 1),
        "max_tokens": (Outcome.CLAMPED, 1),
    } == {row.field: (row.outcome, row.count) for row in report.rows if row.by_variant}
    assert not report.is_fatal


def test_bounds_that_are_too_wide_do_not_help() -> None:
    candidate = made_up(max_output_tokens=9, params={"clamp": {"max_tokens": (1, 12)}})

    assert (Outcome.FATAL, "max-tokens-limit") == outcome_of(judged(candidate, CHAT, {"max_tokens": 20}), "max_tokens")


def test_what_the_variant_sets_is_judged_although_no_request_has_it() -> None:
    candidate = made_up(sampling="rejected", params={"temperature": 0})

    report = judged(candidate, CHAT, {}, {})

    assert {"the variant's temperature": 2} == by_field(report, Outcome.FATAL)
    assert any("take it out of its file" in note for note in mended(report, candidate).notes)


def test_the_variant_s_own_effort_is_judged() -> None:
    report = judged(made_up(effort="minimal", effort_minimal=False), CHAT, {"reasoning_effort": "low"})

    assert {"the variant's effort": 1} == by_field(report, Outcome.FATAL)
    assert {"reasoning_effort": 1} == by_field(report, Outcome.TRANSLATED)


def test_a_proposal_keeps_what_the_variant_says_already() -> None:
    params: dict[str, Json] = {"user": "x", "drop": ("seed",), "clamp": {"n": (1, 1)}}
    candidate = made_up(sampling="rejected", params=params)

    report = judged(candidate, CHAT, {"temperature": 0})

    assert {"user": "x", "drop": ["seed", "temperature"], "clamp": {"n": [1, 1]}} == mended(report, candidate).params


def test_a_field_inside_another_is_dropped_alone() -> None:
    """Dropping its parent would take the limit and the schema with it."""
    candidate = made_up(GEMINI, sampling="rejected", max_output_tokens=9)
    body = {"generationConfig": {"temperature": 0, "maxOutputTokens": 20}}

    proposed = mended(judged(candidate, GEMINI, body), candidate).params
    after = judged(with_params(candidate, dict(proposed)), GEMINI, body)

    drop, clamp = ["generationConfig.temperature"], {"generationConfig.maxOutputTokens": [1, 9]}
    assert {"drop": drop, "clamp": clamp} == proposed
    assert not after.is_fatal


@pytest.mark.parametrize("name", ["temperature", "generationConfig.temperature", "generation_config.temperature"])
def test_a_parameter_of_gemini_s_has_more_than_one_spelling(name: str) -> None:
    candidate = made_up(GEMINI, sampling="rejected", params={"drop": (name,)})

    report = judged(candidate, GEMINI, {"generationConfig": {"temperature": 0}})

    assert {"generationConfig.temperature": 1} == by_field(report, Outcome.DROPPED)


def test_what_is_set_at_a_dotted_path_is_judged() -> None:
    candidate = made_up(RESPONSES, effort_high=False, params={"set": {"reasoning.effort": "high"}})

    assert {"the variant's reasoning.effort": 1} == by_field(judged(candidate, RESPONSES, {}), Outcome.FATAL)


@pytest.mark.parametrize(
    ("effort", "is_refused"), [("none", True), ("budget:2048", True), ("auto", False), ("low", False)]
)
def test_on_anthropic_s_wire_an_effort_is_a_kind_of_thinking_too(effort: str, is_refused: bool) -> None:
    facts = {"thinking_disabled": False, "thinking_enabled": False, "thinking_adaptive": True, "effort_low": True}

    report = judged(made_up(ANTHROPIC, effort=effort, **facts), ANTHROPIC, {})

    assert ({"the variant's effort": 1} if is_refused else {}) == by_field(report, Outcome.FATAL)
    assert not any(row.field.startswith("the variant's") for row in report.rows) or is_refused


def test_an_effort_of_the_variant_mends_the_app_s_kind_of_thinking() -> None:
    facts = {"thinking_enabled": False, "thinking_adaptive": True, "effort_low": True}

    report = judged(made_up(ANTHROPIC, effort="low", **facts), ANTHROPIC, {"thinking": {"type": "enabled"}})

    assert {"thinking.type": 1} == by_field(report, Outcome.TRANSLATED)
    assert not report.is_fatal


def test_an_effort_that_a_wire_has_no_word_for_is_fatal_there() -> None:
    report = judged(made_up(ANTHROPIC, effort_none=True), ANTHROPIC, {"output_config": {"effort": "none"}})

    assert (Outcome.FATAL, "effort-none-literal") == outcome_of(report, "output_config.effort")


# From one wire to another


def test_a_field_that_the_other_wire_lacks_is_fatal_and_one_that_it_has_is_carried() -> None:
    candidate = made_up(ANTHROPIC, max_output_tokens=9, sampling="any", stop=True)

    report = judged(candidate, CHAT, {"max_completion_tokens": 5, "stop": ["a"], "seed": 3, "n": 1})

    assert {"seed": 1} == by_field(report, Outcome.FATAL)
    assert {"max_completion_tokens": 1, "stop": 1} == by_field(report, Outcome.TRANSLATED)


def test_several_answers_cannot_come_from_a_wire_that_gives_one() -> None:
    assert {"n": 1} == by_field(judged(made_up(ANTHROPIC), CHAT, {"n": 3, "max_tokens": 9}), Outcome.FATAL)


def test_a_request_stays_on_its_wire_where_the_provider_speaks_it() -> None:
    report = judged(made_up(CHAT, RESPONSES, max_output_tokens=9), RESPONSES, {"max_output_tokens": 5})

    assert {} == by_field(report, Outcome.TRANSLATED)


def test_an_id_of_something_stored_does_not_cross() -> None:
    body = {"previous_response_id": "resp_1"}

    assert Outcome.FATAL is outcome_of(judged(made_up(ANTHROPIC), RESPONSES, body), "previous_response_id")[0]
    assert Outcome.UNKNOWN is outcome_of(judged(made_up(RESPONSES), RESPONSES, body), "previous_response_id")[0]


def test_thinking_of_another_model_is_left_out_or_refused_or_not_known() -> None:
    body = {"messages": [{"role": "assistant", "content": [{"type": "thinking", "signature": "x"}]}, {"role": "user"}]}
    field = "messages[].content[thinking]"

    bound, free = made_up(ANTHROPIC, thinking_bound_to_model=True), made_up(ANTHROPIC, thinking_bound_to_model=False)
    assert [Outcome.DROPPED, Outcome.FATAL, Outcome.OK, Outcome.UNKNOWN] == [
        outcome_of(judged(candidate, ANTHROPIC, body), field)[0]
        for candidate in (made_up(CHAT), bound, free, made_up(ANTHROPIC))
    ]


# Length


@pytest.mark.parametrize(
    ("tokens_by_eight", "expected"),
    [(1.1, Outcome.FATAL), (0.9, Outcome.UNKNOWN), (0.6, Outcome.UNKNOWN), (0.4, Outcome.OK)],
)
def test_a_prompt_is_too_long_only_if_it_is_so_by_the_mildest_estimate(
    tokens_by_eight: float, expected: Outcome
) -> None:
    """`tokens_by_eight`: its length at 8 bytes a token, in context windows."""
    text = "x" * int(tokens_by_eight * 8 * 1000)

    report = judged(made_up(context_tokens=1000), CHAT, {"messages": [{"content": text}]})

    assert expected is outcome_of(report, "(whole prompt)")[0]


def test_a_cache_mark_on_a_short_prompt_has_no_effect() -> None:
    def body(text: str) -> dict[str, Any]:
        return {"system": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]}

    report = judged(made_up(ANTHROPIC, prompt_cache_min_tokens=1000), ANTHROPIC, body("x" * 1900), body("x" * 2100))

    assert {"system[].cache_control": 1} == by_field(report, Outcome.DROPPED)


# What the user knows, and what is shown


def test_a_user_s_rule_finds_a_field_that_has_no_other() -> None:
    own = preflight_rules.overrides({"fields": [{"field": "prediction", "model": "^m$"}]}, "mine.yaml", DAY)
    recorded = [RecordedRequest("r", CHAT, {"prediction": {"type": "content"}}), RecordedRequest("s", CHAT, {})]
    candidate = made_up()

    report = preflight(recorded, candidate, [*own, *preflight_rules.bundled()])

    assert {"prediction": 1} == by_field(report, Outcome.FATAL)
    assert {"drop": ["prediction"]} == mended(report, candidate).params


def test_a_user_s_rule_about_a_value_leaves_other_values() -> None:
    own = preflight_rules.overrides({"fields": [{"field": "verbosity", "values": ["low"]}]}, "mine.yaml", DAY)
    recorded = [RecordedRequest("r", CHAT, {"verbosity": word}) for word in ("low", "high", "low")]

    assert {"verbosity": 2} == by_field(preflight(recorded, made_up(), own), Outcome.FATAL)


def test_a_provider_that_leaves_out_what_it_does_not_know_refuses_nothing() -> None:
    facts: dict[str, Fact[Value]] = {"sampling": Fact("rejected", "a page", DAY, Evidence.LIVE)}
    candidate = Candidate(Variant("openrouter", "m"), Capabilities("openrouter", "m", facts), (CHAT,))

    assert (Outcome.DROPPED, "sampling-rejected") == outcome_of(
        judged(candidate, CHAT, {"temperature": 0}), "temperature"
    )


def test_a_row_names_the_source_of_the_fact_and_not_of_the_rule() -> None:
    row = next(row for row in judged(made_up(images=False), CHAT, _image()).rows if row.outcome is Outcome.FATAL)

    assert ("a page", Evidence.DOCUMENTED) == (row.source, row.evidence)


def test_what_is_not_known_has_no_source_to_show() -> None:
    row = next(row for row in judged(made_up(), CHAT, _image()).rows if row.outcome is Outcome.UNKNOWN)

    assert ("", None) == (row.source, row.evidence)
    assert row.why.startswith("not known whether")


def test_every_row_that_is_not_ok_says_why() -> None:
    report = preflight(lines(preflight_requests.chat()), made_up(), preflight_rules.bundled())

    assert [] == [row for row in report.rows if row.outcome is not Outcome.OK and not (row.rule and row.why)]
    assert [] == [row for row in report.rows if len(row.examples) > 3]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.25, "0.25"),
        (True, "true"),
        (None, "null"),
        ("enabled", "enabled"),
        ("Please call Mrs Smith.", "a text of 22 characters"),
        ("x" * 41, "a text of 41 characters"),
        (["END"], "a list of 1"),
        ({"a": 1}, "an object of 1"),
    ],
)
def test_values_are_shown_without_anybody_s_words(value: object, expected: str) -> None:
    """A report goes into tickets; a prompt must not."""
    assert expected == in_words(value)


def _image() -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}


def test_rows_are_the_worst_first() -> None:
    rows: list[Row] = list(
        judged(made_up(sampling="rejected", stop=True), CHAT, {"temperature": 0, "stop": "a", "n": 2}).rows
    )

    assert [Outcome.FATAL, Outcome.UNKNOWN, Outcome.UNKNOWN, Outcome.OK] == [row.outcome for row in rows]


@pytest.mark.parametrize(
    ("provider", "model", "path", "make", "left"),
    [
        ("anthropic", "claude-sonnet-5", "/v1/messages", preflight_requests.faulty, {"messages[-1]"}),
        ("openai", "gpt-5.6-sol", "/v1/chat/completions", preflight_requests.chat, {"tools"}),
    ],
)
def test_the_wires_do_with_a_proposal_what_preflight_says_that_they_do(
    provider: str, model: str, path: str, make: Callable[[], Planted], left: set[str]
) -> None:
    """The requests as they would really go out are judged again, by a candidate that changes nothing."""
    plain, recorded = real(provider, model), lines(make())
    proposed = mended(preflight(recorded, plain, preflight_rules.bundled()), plain)
    changes = Recipe.of(with_params(plain, dict(proposed.params)).variant).always

    sent = [
        replace(one, body=json.loads(wire_request(one, path).rewritten(changes).body), model=model) for one in recorded
    ]

    assert left == set(by_field(preflight(sent, plain, preflight_rules.bundled()), Outcome.FATAL))


def wire_request(recorded: RecordedRequest, path: str) -> WireRequest:
    """A recorded request, as its wire reads it."""
    return WIRES[recorded.wire].read_request(json.dumps(recorded.body).encode(), path)


@pytest.mark.parametrize(
    ("body", "params", "expected"),
    [
        ({}, {}, 1),
        ({"max_completion_tokens": 300}, {}, 0),
        ({}, {"set": {"max_tokens": 800}}, 0),
        ({}, {"clamp": {"max_tokens": [1, 800]}}, 1),
    ],
)
def test_a_request_without_a_limit_is_refused_on_the_wire_that_requires_one(
    body: dict[str, Any], params: dict[str, Any], expected: int
) -> None:
    """The gateway answers it with a 400: any limit of its own would cut answers short. Bounds set none."""
    candidate = with_params(real("anthropic", "claude-sonnet-5"), params)

    report = judged(candidate, CHAT, {"messages": [{"role": "user", "content": "Hi."}], **body})

    assert expected == report.worst.get(Outcome.FATAL, 0)
    notes = mended(report, candidate).notes
    assert (expected == 1) == any("params: {set: {max_tokens: N}}" in note for note in notes)


def test_a_request_on_that_wire_is_not_asked_for_it() -> None:
    """Counting tokens takes none, and an incumbent may set what its app leaves out."""
    report = judged(real("anthropic", "claude-sonnet-5"), ANTHROPIC, {"messages": [{"role": "user", "content": "Hi."}]})

    assert not report.is_fatal
