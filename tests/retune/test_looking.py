"""Looks at cases that no prompt was fitted to: which one it is, and what it costs."""

import pytest

from midshift.domain.gate import Decision
from midshift.evals.rows import Answer, ToolCall
from midshift.evals.suite_file import EvalCase
from midshift.retune import looking
from midshift.retune.looking import ALPHA, Taken
from midshift.stats.looks import Look

CASE = EvalCase(1, "c-1", ({"role": "user", "content": "hi"},), ("a",))


def taken(outputs: tuple[str, ...] = ("x", "y"), cleared: bool | None = False, further: int = 0) -> Taken:
    """A look at two cases."""
    return Taken("s", "b", "v", ("c-1", "c-2"), "", outputs=outputs, further=further, cleared=cleared)


def test_the_same_outputs_are_the_same_look() -> None:
    """The eval that reads the ledger after a re-tuning shows its numbers, and spends nothing."""
    assert Look() == looking.look([taken()], ["c-1", "c-2"], ["y", "x"])
    assert Look(further=1) == looking.look([taken(), taken(("z",), further=1)], ["c-1"], ["z"])


def test_other_outputs_on_judged_cases_are_a_further_look() -> None:
    """New trials, another prompt and a suite that has grown are each another chance to pass."""
    assert Look(further=1) == looking.look([taken()], ["c-1", "c-2"], ["x", "other"])
    assert Look(further=1) == looking.look([taken()], ["c-1", "c-2", "c-3"], ["x", "y", "z"])
    assert Look(further=2) == looking.look([taken(), taken(("o",), None)], ["c-1"], ["z"])


def test_cases_that_nobody_judged_are_a_first_look() -> None:
    """It is the sample that is looked at, and not the workload."""
    assert Look() == looking.look([taken()], ["c-3"], ["z"])


def test_a_look_after_one_that_cleared_spends_nothing() -> None:
    """It can only take the clearance back."""
    assert Look() == looking.look([taken(cleared=True)], ["c-1", "c-3"], ["x", "z"])


def test_no_outputs_are_no_look_that_was_taken() -> None:
    """An empty record must not pass for every look."""
    assert not taken(()).shows([])
    assert not taken().shows([])


@pytest.mark.parametrize(
    "other",
    [
        Answer("fine.", scores={"s": 1.0}),
        Answer("fine", scores={"s": 0.5}),
        Answer("fine", 1, tools=(ToolCall("f", "{}"),), scores={"s": 1.0}),
        Answer(None),
    ],
)
def test_an_output_is_known_by_its_text_its_tools_and_its_scores(other: Answer) -> None:
    """A grader that was mended after a look gives another one."""
    one = Answer("fine", scores={"s": 1.0})

    assert looking.output(CASE, one, one) == looking.output(CASE, one, Answer("fine", scores={"s": 1.0 + 1e-12}))
    assert looking.output(CASE, one, one) != looking.output(CASE, one, other)
    assert looking.output(CASE, one, other) != looking.output(CASE, other, one)


def test_text_that_is_no_unicode_is_seen_as_well() -> None:
    """A model may say anything."""
    assert looking.output(CASE, Answer("\ud800"), Answer("\ud800")) != looking.output(
        CASE, Answer("\ud800"), Answer("")
    )


def test_a_further_look_says_what_all_of_them_have_spent() -> None:
    """5 % that is spent twice is not 5 %."""
    assert "" == looking.words(Look())
    assert "look 2" in looking.words(Look(further=1))
    assert "at 2.5 %" in looking.words(Look(further=1))
    assert "7.5 %" in looking.words(Look(further=1))
    assert Look(further=30).spent(ALPHA) < 2 * ALPHA


@pytest.mark.parametrize(("decision", "is_clear"), [(one, one.severity < 2) for one in Decision])
def test_only_a_gate_that_opened_was_cleared(decision: Decision, is_clear: bool) -> None:
    """Asking for more cases is no clearance."""
    assert is_clear == looking.cleared(decision)
