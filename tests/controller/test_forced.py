"""What the controller does with a forced upgrade: it waits for names, keeps every gate, and minds the calendar."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from midshift.controller.decide import decide
from midshift.controller.evidence import from_record, to_record
from midshift.domain.evidence import EvalEvidence, Evidence, Guard
from midshift.domain.forcing import Forced
from midshift.domain.gate import Decision
from midshift.domain.move import Answer
from midshift.domain.plan import Plan
from midshift.domain.retirement import Source
from midshift.domain.upgrade import Kind, Stage, Upgrade, Waiver, begin

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)
FORCED = Forced("ada", "no time", date(2026, 2, 10), Source.USER, "harbour")
STOPPED = EvalEvidence("new", Decision.STOP, "s: worse by 4 points", ("thin",), ("german",), failed=("*", "G7"))
HARMFUL = Guard("error rate", 0.01, harm=0.08, low=0.03, high=0.13, n_incumbent=9000, n_candidate=900)


def an_upgrade(*waived: str, stage: Stage = Stage.EVAL, forced: Forced | None = FORCED) -> Upgrade:
    waivers = tuple(Waiver(name, "ada", "no time") for name in waived)
    return replace(begin("u", "w", "old", "new", Plan(), DAY_0, "s", waivers, forced), stage=stage)


@pytest.mark.parametrize("stage", [Stage.EVAL, Stage.RETUNE])
def test_a_stop_waits_for_the_name_of_each_failed_part(stage: Stage) -> None:
    """One that was forgotten holds it; what is only unproven is asked in shadow, as ever."""
    names = ("*", "G7", "german")
    for missing in names:
        waived = [name for name in names if name != missing]
        move = decide(an_upgrade(*waived, stage=stage), Evidence(STOPPED), DAY_0)
        assert move.kind is None
        assert [f"eval {missing}"] == [gate.name for gate in move.gates if gate.answer is Answer.WAITING]

    assert Kind.EVAL_WAIVED is decide(an_upgrade(*names, stage=stage), Evidence(STOPPED), DAY_0).kind


@pytest.mark.parametrize("stage", [Stage.EVAL, Stage.RETUNE])
def test_waivers_alone_carry_nothing_past_a_stop(stage: Stage) -> None:
    """Without the record of a force an upgrade ends there, whatever else somebody has written."""
    expected = Kind.EVAL_FAILED if stage is Stage.EVAL else Kind.STOPPED

    assert expected is decide(an_upgrade("*", "G7", "german", stage=stage, forced=None), Evidence(STOPPED), DAY_0).kind


@pytest.mark.parametrize(
    ("decision", "kind"), [(Decision.RETUNE, Kind.EVAL_FAILED), (Decision.COLLECT_MORE, None), (Decision.STOP, None)]
)
def test_a_force_skips_no_stage_two(decision: Decision, kind: Kind | None) -> None:
    """Only what was tuned and still fails is forced; before that there is something better to do."""
    assert kind is decide(an_upgrade(), Evidence(replace(STOPPED, decision=decision)), DAY_0).kind


def test_what_the_eval_left_unproven_still_waits_in_shadow() -> None:
    """The waivers of a force open what they name, and nothing else."""
    move = decide(an_upgrade("*", "G7", "german", stage=Stage.SHADOW), Evidence(STOPPED), DAY_0 + timedelta(days=20))

    waiting = {gate.name for gate in move.gates if gate.answer is Answer.WAITING}
    assert {"coverage", "slice thin"} == waiting


@pytest.mark.parametrize("stage", [stage for stage in Stage if not stage.is_final])
def test_on_the_day_of_the_retirement_the_harbour_takes_over_whatever_else_waits(stage: Stage) -> None:
    """Users of a model that is gone get errors: neither a pause nor proven harm comes before that."""
    upgrade = replace(an_upgrade(stage=stage), paused=True)
    evidence = Evidence(STOPPED, guards=(HARMFUL,))

    move = decide(upgrade, evidence, datetime(2026, 2, 10, tzinfo=UTC))

    assert Kind.INCUMBENT_RETIRED is move.kind
    assert "2026-02-10 (midshift.yaml)" in move.reason
    day_before = decide(upgrade, evidence, datetime(2026, 2, 9, 23, tzinfo=UTC)).kind
    done = decide(replace(upgrade, sheltered=True), evidence, datetime(2026, 2, 10, tzinfo=UTC)).kind
    assert day_before is done is not Kind.INCUMBENT_RETIRED


def test_an_upgrade_that_ended_minds_no_calendar() -> None:
    """Its route is settled."""
    assert decide(an_upgrade(stage=Stage.STOPPED), Evidence(), datetime(2027, 1, 1, tzinfo=UTC)).kind is None


def test_the_evidence_is_stored_with_what_failed() -> None:
    """Months later the decision has to be asked again, and to be the same."""
    assert Evidence(STOPPED) == from_record(to_record(Evidence(STOPPED)))
