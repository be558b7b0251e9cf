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
from midshift.retune.stale import Row, Stale, stale, stale_rows

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


def test_the_rows_of_a_table_that_the_incumbent_made_are_listed_one_by_one() -> None:
    """A cache is made anew row by row, and the rows that others wrote stay."""
    answer = "Thank you for writing. Your refund is on its way and arrives in three days."
    rows = [
        Row("r1", "look up, then answer", '{"model": "old-1"}'),
        Row("r2", "look up", '{"model": "other"}'),
        Row("r3", answer, f'{{"plan": "{answer}"}}'),
        Row("r4", "look up", f'{{"asked": "{answer}"}}'),
    ]

    assert Stale("t", 2, "names 'old-1'", ("r1", "r3")) == stale_rows("t", rows, ["old-1"], [answer])
    assert Stale("t", 0, "shows no trace of who made it; look") == stale_rows("t", rows, ["old-2"], ["short"])


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


def test_stand_ins_are_named_in_every_document() -> None:
    """Their numbers are no vendor's, wherever they are read."""
    told = replace(story(), stand_ins=("sim",))

    assert ["sim"] == edits.document(told)["stand_ins"]
    assert edits.document(told)["simulated"]
    for text in (report.log(told), report.post(told), report.finding(told)):
        assert "a stand-in answered for sim" in text
    assert "stand-in" not in report.log(story()) + report.post(story()) + report.finding(story())


def test_the_records_say_which_cases_were_in_which_part() -> None:
    """Without it a later eval cannot tell what the prompt was fitted to; no case is quoted for it."""
    found = edits.document(story())["parts"]

    assert {"tune", "select", "locked"} == found.keys()
    assert all(mark.startswith("a:") for marks in found.values() for mark in marks)


def test_a_slice_that_no_locked_case_is_in_is_unproven() -> None:
    """A gate that sees nothing of a slice must not pass for it in silence."""
    old, new = scored([Answer("x")] * 400), scored([Answer("x")] * 400)

    whole = gating.gate(old, new, Margin(), frozenset(), Retuning.BUDGET_SPENT).ruling
    short = gating.gate(old, new, Margin(), frozenset(), Retuning.BUDGET_SPENT, slices={"a", "rare"}).ruling

    assert Decision.PROCEED is whole.decision
    assert Decision.PROCEED_WITH_CAUTION is short.decision
    assert (("s", "rare"),) == short.unproven
    assert "'rare'" in short.reason


def test_what_is_missing_is_counted_for_the_level_of_the_look() -> None:
    """A later look is judged more strictly, so it takes more cases."""
    few = scored([Answer("x")] * 36)
    verdicts = gating.gate(few, few, Margin(), frozenset(), Retuning.BUDGET_SPENT).verdicts
    stricter = gating.gate(few, few, Margin(), frozenset(), Retuning.BUDGET_SPENT, alpha=0.025).verdicts
    enough = scored([Answer("x")] * 400)

    assert 113 == gating.cases_missing(verdicts)
    assert (gating.cases_missing(stricter, 0.025) or 0) > 113
    assert None is gating.cases_missing(gating.gate(enough, enough, Margin(), frozenset(), Retuning.NOT_RUN).verdicts)


def test_too_few_cases_for_any_bound_still_have_a_number() -> None:
    """Somebody with three locked cases wants to know how far away an answer is."""
    few = scored([Answer("x")] * 3)
    verdicts = gating.gate(few, few, Margin(), frozenset(), Retuning.BUDGET_SPENT).verdicts

    assert gating.least_cases(Margin()) == gating.cases_missing(verdicts)
    assert gating.least_cases(Margin()) > 100
