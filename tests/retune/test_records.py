"""What stays of a re-tuning: reasons, leftovers, the finding's guard, and Markdown that obeys nobody."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import pytest

from midshift.domain.gate import Decision, Retuning
from midshift.domain.suite import Margin
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import UsageError
from midshift.evals.rows import Answer, ToolCall
from midshift.evals.suite_file import EvalCase
from midshift.reports import retuning as report
from midshift.retune import edits, gating, prompts
from midshift.retune.adapter import Refused
from midshift.retune.diagnosing import Kind, Reason, reasons
from midshift.retune.edits import Story
from midshift.retune.measuring import Scored
from midshift.retune.selecting import Tried, chosen
from midshift.retune.splits import Splits
from midshift.retune.stale import Stale, stale

OLD, NEW = Variant("acme", "old"), Variant("acme", "new", effort="low")
HOSTILE = "Be brief. \x1b[31m<script>alert(1)</script>\n```\n# Owned [x](javascript:1)"


def scored(answers: list[Answer], score: float = 1.0) -> list[Scored]:
    """Answers to as many cases."""
    return [
        Scored(EvalCase(number, f"c-{number}", (), ("a",)), answer, {"s": score})
        for number, answer in enumerate(answers)
    ]


def found(prompt: str, old: list[Answer], new: list[Answer]) -> list[Reason]:
    """What is diagnosed."""
    return reasons(prompt, scored(old), scored(new), (OLD, NEW))


def thinking(tokens: float) -> Answer:
    """An answer that took so many reasoning tokens."""
    return Answer("fine", numbers=(math.nan, math.nan, tokens, math.nan, math.nan, math.nan))


def test_a_negative_instruction_that_only_the_new_model_takes_by_the_letter_is_counted() -> None:
    """The old one made lists in spite of it, and users liked them."""
    (one,) = [
        reason
        for reason in found("Help. Do not use lists.", [Answer("- a\n- b")] * 3 + [Answer("a")], [Answer("a, b")] * 4)
        if reason.kind is Kind.NEGATION
    ]

    assert (3, 4) == (one.count, one.of)
    assert "Do not use lists" in one.found
    assert ("c-0", "c-1", "c-2") == one.examples


def test_a_prompt_that_says_what_to_do_has_no_negations() -> None:
    """The same change of form is then another reason's."""
    assert [] == [one for one in found("Use lists.", [Answer("- a")], [Answer("a")]) if one.kind is Kind.NEGATION]


def test_longer_answers_are_counted_with_both_medians() -> None:
    """It is the most common surprise of all."""
    (one,) = [one for one in found("", [Answer("a b c d")] * 4, [Answer("a b c d e f")] * 4) if one.kind is Kind.LENGTH]

    assert "longer: a median of 6 words, and 4 before" in one.found
    assert 4 == one.count
    assert [] == [one for one in found("", [Answer("a b")] * 4, [Answer("a b")] * 4) if one.kind is Kind.LENGTH]


def test_arguments_of_another_shape_are_told_by_name_and_type() -> None:
    """A parser that was written for one shape breaks on the other, in silence."""
    old = Answer(None, 1, tools=(ToolCall("refund", '{"amount": 5, "id": "x"}'),))
    new = Answer(None, 1, tools=(ToolCall("refund", '{"amount": "5"}'),))

    said = [one.found for one in found("", [old, old], [new, old]) if one.kind is Kind.TOOLS]

    assert [
        "'refund' has 'amount': string",
        "'refund' has no longer 'amount': number",
        "'refund' has no longer 'id': string",
    ] == sorted(said)


def test_effort_is_told_from_tokens_and_unknown_without_them() -> None:
    """Unknown is said, and never counted as no difference."""
    known = [one for one in found("", [thinking(100)] * 3, [thinking(900)] * 3) if one.kind is Kind.EFFORT]
    unknown = [one for one in found("", [Answer("x")], [Answer("x")]) if one.kind is Kind.EFFORT]

    assert "a median of 900 reasoning tokens, 100 before" in known[0].found
    assert "reasoning tokens are unknown" in unknown[0].found


def test_what_the_incumbent_left_behind_is_told_by_its_name_or_by_its_words() -> None:
    """A few-shot example of the old model teaches its manner to the new one."""
    answer = "Thank you for writing. Your refund is on its way and arrives in three days."
    files = [
        ("a.json", '{"model": "old-1"}\n{"model": "other"}'),
        ("b.json", '{"shot": "Thank you for writing. Your refund is on its way\\nand arrives in three days."}'),
        ("c.json", "{}"),
    ]

    assert [
        Stale("a.json", 1, "names 'old-1'"),
        Stale("b.json", 1, f"holds an answer of the incumbent: {answer[:60]!r}"),
        Stale("c.json", 0, "shows no trace of who made it; look"),
    ] == stale(files, ["old-1"], [answer, "short"])


@pytest.mark.parametrize("retuning", [Retuning.NOT_RUN, Retuning.BUDGET_LEFT])
def test_worse_is_no_finding_before_stage_two_has_spent_its_budget(retuning: Retuning) -> None:
    """A model that was asked in another model's words is not worse, it is unknown."""
    with pytest.raises(UsageError, match="Type next: midshift retune"):
        gating.require_stage_two(retuning, Decision.STOP)


def test_only_a_stop_is_a_finding() -> None:
    """A budget that ended without proof accuses nobody."""
    gating.require_stage_two(Retuning.BUDGET_SPENT, Decision.STOP)
    with pytest.raises(UsageError):
        gating.require_stage_two(Retuning.BUDGET_SPENT, Decision.COLLECT_MORE)


def test_a_spent_budget_and_a_proven_drop_stop_the_upgrade() -> None:
    """The same drop asks for re-tuning as long as that was not tried."""
    old, new = scored([Answer("x")] * 40), scored([Answer("x")] * 40, 0.0)

    rulings = [gating.gate(old, new, Margin(), frozenset(), one).ruling for one in Retuning]

    assert [Decision.RETUNE, Decision.RETUNE, Decision.STOP] == [ruling.decision for ruling in rulings]
    assert rulings[2].reason.startswith("re-tuning has spent its budget")


def test_a_variant_keeps_its_id_under_its_own_text_and_its_match_under_another() -> None:
    """Answers that were paid for are found again."""
    template = "--- match\nI am {{name}}.\n--- text\nHelp {{name}}."
    variant = Variant("acme", "new", Prompt(PromptMode.TEMPLATE, template))
    tuned = prompts.tunable(variant, [])

    assert "Help {{name}}." == tuned.text
    assert variant.id == tuned.with_text(tuned.text).id
    assert "--- match\nI am {{name}}.\n--- text\nServe {{name}}." == tuned.with_text("Serve {{name}}.").prompt.text
    assert frozenset({"name"}) == tuned.variables


def test_the_apps_own_prompt_is_tuned_if_every_case_has_the_same() -> None:
    """With several there is no one text, and the variant file has to say how they are one."""
    variant = Variant("acme", "new")
    said = [EvalCase(1, name, ({"role": "system", "content": text},), ()) for name, text in (("a", "A."), ("b", "B."))]

    assert "A." == prompts.tunable(variant, said[:1]).text
    assert "" == prompts.tunable(variant, []).text
    assert PromptMode.REPLACE is prompts.tunable(variant, said[:1]).with_text("C.").prompt.mode
    with pytest.raises(UsageError, match="2 different system prompts"):
        prompts.tunable(variant, said)


def story() -> Story:
    """A re-tuning in which everything that models said is hostile."""
    old, new = scored([Answer("x")] * 6), scored([Answer("x")] * 6)
    tried = [
        Tried(0, "Be kind.", None, "", tuple(scored([Answer("y")] * 6, 0.5))),
        Tried(1, HOSTILE, 0, HOSTILE, tuple(new), 0.25),
    ]
    choice = chosen(tried, old, 0.02)
    cases = tuple(one.case for one in old)
    return Story(
        id="abc",
        day=date(2026, 1, 2),
        workload="support",
        names=("old", "new"),
        variants=(OLD, NEW),
        reflection="thinker",
        seed=0,
        margin=0.02,
        splits=Splits(cases, cases, cases, ("slice 'a' is small",)),
        choice=choice,
        refused=(Refused("x", HOSTILE),),
        rounds=3,
        ended="",
        retuning=Retuning.BUDGET_SPENT,
        gated=gating.gate(old, new, Margin(), frozenset(), Retuning.BUDGET_SPENT),
        calls=10,
        spent_usd=0.5,
        reasons=(Reason(Kind.LENGTH, HOSTILE, 2, 6, ("c-1`",)),),
        stale=(Stale("plans/`x`.json", 1, HOSTILE),),
    )


@pytest.mark.parametrize("text", [report.log(story()), report.post(story()), report.finding(story())])
def test_what_models_said_is_shown_and_never_obeyed(text: str) -> None:
    """The log is read in browsers and terminals, where a prompt must stay a prompt."""
    outside, fence = [], ""
    for line in text.splitlines():
        if fence and line == fence:
            fence = ""
        elif not fence and line.startswith("```"):
            fence = line.rstrip("abcdefghijklmnopqrstuvwxyz")
        elif not fence:
            outside.append(line)

    assert "" == fence
    assert "\x1b" not in text
    assert [] == [line for line in outside if "<script>" in line or line.startswith("# Owned") or "[x](" in line]


def test_every_edit_has_diff_reason_delta_and_cost() -> None:
    """Whoever reviews the prompt needs all four."""
    (edit,) = edits.document(story())["edits"]

    assert HOSTILE == edit["reason"]
    assert "-Be kind." in edit["diff"]
    assert (0.5, 0.25) == (edit["gains"][0]["delta"], edit["cost_usd"])
    assert edit["gains"][0]["low"] <= 0.5 <= edit["gains"][0]["high"]


def test_the_post_names_all_four_reasons_also_where_nothing_was_found() -> None:
    """A chapter that is missing could be one that nobody looked into."""
    text = report.post(replace(story(), reasons=()))

    assert [] == [
        name for name in ("Instruction style", "Output shape", "Tool formatting", "Effort") if name not in text
    ]
    assert "Nothing was found on 6 cases." in text
