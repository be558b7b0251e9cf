"""The controller's one pure function: what evidence does, and what its absence never does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from midshift.controller.decide import decide
from midshift.domain import gate
from midshift.domain.evidence import EvalEvidence, Evidence, Guard, Promise, ShadowEvidence
from midshift.domain.move import Answer
from midshift.domain.plan import DEFAULT_STEPS, Approval, Plan, Step
from midshift.domain.upgrade import Event, Kind, Stage, Upgrade, apply, begin, replay

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)
CLEARED = EvalEvidence("new", gate.Decision.PROCEED, "accuracy: can rule out drops over 1.4 points")
CLEAN = Guard("error rate", 0.01, harm=0.001, low=-0.004, high=0.006, n_incumbent=9000, n_candidate=900)
HARMFUL = Guard("error rate", 0.01, harm=0.08, low=0.03, high=0.13, n_incumbent=9000, n_candidate=900)
UNKNOWN = Guard("error rate", 0.01)
WAY = (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED, Kind.STEP_ADVANCED, Kind.STEP_ADVANCED, Kind.FULLY_ROLLED_OUT)


def an_upgrade(events: int, plan: Plan = Plan()) -> Upgrade:
    """An upgrade after the first `events` of the usual way, all on day 0."""
    start = begin("u", "w", "old", "new", plan, DAY_0, "s")
    return replay(start, [Event(kind, DAY_0) for kind in WAY[:events]])


def after(days: float) -> datetime:
    return DAY_0 + timedelta(days=days)


EVERYTHING_FINE = Evidence(eval=CLEARED, shadow=ShadowEvidence(5000, 4990), guards=(CLEAN,), served=500)


@pytest.mark.parametrize("events", range(6))
@pytest.mark.parametrize("days", [0.0, 1.0, 100.0])
def test_no_evidence_never_moves_an_upgrade_forward(events: int, days: float) -> None:
    """Absence of evidence is what peers take for success; here it holds, however long it lasts."""
    decision = decide(an_upgrade(events), Evidence(), after(days))

    assert decision.kind is None


@pytest.mark.parametrize("events", [2, 3, 4])
@pytest.mark.parametrize("days", [0.0, 100.0])
def test_proven_harm_halts_the_canary_at_any_time(events: int, days: float) -> None:
    """Also before the hold is over, and also when everything else waits."""
    decision = decide(an_upgrade(events), Evidence(eval=CLEARED, guards=(CLEAN, HARMFUL)), after(days))

    assert Kind.HALTED is decision.kind


def test_proven_harm_in_soak_rolls_back() -> None:
    """At 100 % there is no smaller step to stop at."""
    assert Kind.ROLLED_BACK is decide(an_upgrade(5), Evidence(guards=(HARMFUL,)), after(1)).kind


def test_harm_is_acted_on_while_paused_and_while_a_person_is_waited_for() -> None:
    """A pause is a pause of progress, not of care."""
    plan = Plan(approvals=(Approval(0.25, "legal", "escalations"),))
    paused = apply(an_upgrade(3, plan), Event(Kind.PAUSED, DAY_0, who="ada"))

    assert Kind.HALTED is decide(paused, Evidence(guards=(HARMFUL,)), after(30)).kind


def test_harm_below_the_threshold_is_not_acted_on_however_certain() -> None:
    """The threshold is the user's word for what matters."""
    small = Guard("error rate", 0.01, harm=0.004, low=0.002, high=0.006, n_incumbent=10**6, n_candidate=10**6)

    assert (
        Kind.STEP_ADVANCED is decide(an_upgrade(2), Evidence(eval=CLEARED, guards=(small,), served=900), after(2)).kind
    )


def test_a_step_is_held_for_its_time_and_not_an_hour_less() -> None:
    """Monday's users are not Sunday's."""
    early, due = (decide(an_upgrade(2), EVERYTHING_FINE, after(days)) for days in (1.96, 2.0))

    assert (None, Kind.STEP_ADVANCED) == (early.kind, due.kind)


def test_the_last_step_before_everything_is_its_own_event() -> None:
    """100 % begins the soak, whose clock starts there."""
    assert Kind.FULLY_ROLLED_OUT is decide(an_upgrade(4), EVERYTHING_FINE, after(7)).kind


def test_an_approval_is_the_last_gate_and_counts_for_its_own_step_alone() -> None:
    """Legal looks at the escalations before 25 %, not before 5 %."""
    plan = Plan(approvals=(Approval(0.25, "legal", "escalations"),))
    before_5, before_25 = (decide(an_upgrade(events, plan), EVERYTHING_FINE, after(9)) for events in (2, 3))
    approved = apply(an_upgrade(3, plan), Event(Kind.APPROVED, DAY_0, who="ada", what="legal@25%"))

    assert (Kind.STEP_ADVANCED, None) == (before_5.kind, before_25.kind)
    assert "approval legal@25%" == before_25.gates[-1].name
    assert Kind.STEP_ADVANCED is decide(approved, EVERYTHING_FINE, after(9)).kind


def test_an_unproven_critical_slice_needs_a_name_to_it_before_canary() -> None:
    """Stage one listed it; somebody proves it, or signs for it."""
    unproven = EvalEvidence("new", gate.Decision.PROCEED_WITH_CAUTION, "…", unproven=("escalations",))
    evidence = Evidence(eval=unproven, shadow=ShadowEvidence(5000, 5000))
    waiting = decide(an_upgrade(1), evidence, after(15))
    waived = apply(an_upgrade(1), Event(Kind.WAIVED, DAY_0, who="ada", why="30 cases a month", what="escalations"))

    assert waiting.kind is None and "slice escalations" in waiting.reason
    assert Kind.SHADOW_COMPLETED is decide(waived, evidence, after(15)).kind


NOTHING_WAITED_FOR = apply(an_upgrade(1), Event(Kind.WAIVED, DAY_0, who="ada", why="seen last week", what="shadow"))


@pytest.mark.parametrize("seen", [None, ShadowEvidence(0, 0), ShadowEvidence(5000, 10)])
def test_a_waived_shadow_is_not_waited_for(seen: ShadowEvidence | None) -> None:
    """Clock, coverage and budgets that nobody knows yet say that they are waived, and by whom it was."""
    unknown = Promise("cost per call", 0.01, "USD")
    move = decide(NOTHING_WAITED_FOR, Evidence(eval=CLEARED, shadow=seen, promises=(unknown,)), after(0))

    assert (Kind.SHADOW_WAIVED, "shadow is waived by ada: seen last week") == (move.kind, move.reason)
    assert {"clock", "coverage", "budget cost per call"} == {
        item.name for item in move.gates if item.answer is Answer.WAIVED
    }


@pytest.mark.parametrize(
    ("evidence", "name"),
    [
        (Evidence(eval=replace(CLEARED, unproven=("escalations",))), "slice escalations"),
        (Evidence(eval=replace(CLEARED, regressed=("german",))), "slice german"),
        (Evidence(), "eval"),
        (Evidence(eval=CLEARED, shadow=ShadowEvidence(50, 50, ("length:chars",))), "drift length:chars"),
        (Evidence(eval=CLEARED, promises=(Promise("cost per call", 0.01, "USD", 0.02, 9),)), "budget cost per call"),
    ],
)
def test_a_waived_shadow_waives_nothing_that_eval_or_shadow_have_shown(evidence: Evidence, name: str) -> None:
    """Who does not want to wait did not say yes to a slice that nobody has proven, or to drift that was seen since."""
    move = decide(NOTHING_WAITED_FOR, evidence, after(1))

    assert move.kind is None
    assert [name] == [item.name for item in move.gates if not item.lets_pass]
    assert "clock" not in move.reason and "coverage" not in move.reason


def test_flagged_drift_waits_for_a_named_decision() -> None:
    """Shorter answers may be welcome; somebody has to have said so."""
    evidence = Evidence(eval=CLEARED, shadow=ShadowEvidence(5000, 5000, ("closing:closing_offer",)))
    accepted = apply(
        an_upgrade(1),
        Event(Kind.WAIVED, DAY_0, who="ada", why="the new brand voice", what="drift:closing:closing_offer"),
    )

    assert decide(an_upgrade(1), evidence, after(15)).kind is None
    assert Kind.SHADOW_COMPLETED is decide(accepted, evidence, after(15)).kind


@pytest.mark.parametrize(("paired", "expected"), [(4949, None), (4950, Kind.SHADOW_COMPLETED)])
def test_shadow_covers_99_per_cent_of_what_is_eligible(paired: int, expected: Kind | None) -> None:
    """The requests that shadow missed are not a random sample."""
    assert (
        decide(an_upgrade(1), Evidence(eval=CLEARED, shadow=ShadowEvidence(5000, paired)), after(15)).kind is expected
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (gate.Decision.PROCEED, Kind.EVAL_CLEARED),
        (gate.Decision.PROCEED_WITH_CAUTION, Kind.EVAL_CLEARED),
        (gate.Decision.COLLECT_MORE, None),
        (gate.Decision.RETUNE, Kind.EVAL_FAILED),
        (gate.Decision.STOP, Kind.EVAL_FAILED),
    ],
)
def test_the_eval_decides_about_shadow(found: gate.Decision, expected: Kind | None) -> None:
    """Too few cases hold; a failed gate goes to re-tuning."""
    assert decide(an_upgrade(0), Evidence(eval=EvalEvidence("new", found, "…")), DAY_0).kind is expected


def test_an_eval_of_another_candidate_counts_for_nothing() -> None:
    """A changed prompt is another variant, and has not been evaluated."""
    other = EvalEvidence("older", gate.Decision.PROCEED, "…")

    assert decide(an_upgrade(0), Evidence(eval=other), DAY_0).kind is None


def test_a_pause_holds_what_would_have_happened_and_says_what() -> None:
    """So that whoever paused knows what unpausing does."""
    paused = apply(an_upgrade(2), Event(Kind.PAUSED, DAY_0, who="ada"))
    decision = decide(paused, EVERYTHING_FINE, after(3))

    assert (None, "paused; would be step advanced") == (decision.kind, decision.reason)


def test_a_guard_that_has_seen_too_little_waits() -> None:
    """Neither harm nor its absence: the hold may be over, and the step is not."""
    decision = decide(an_upgrade(2), Evidence(eval=CLEARED, guards=(UNKNOWN,), served=900), after(50))

    assert decision.kind is None
    assert Answer.WAITING is decision.gates[0].answer


def test_a_guard_that_cannot_tell_yet_is_no_pass_and_holds_nothing() -> None:
    """At 1 % and 5 % a step advances with no harm seen; it is shown as what it is, with how blind it was."""
    blind = Guard("error rate", 0.01, harm=0.1985, low=-0.2248, high=0.6217, n_incumbent=900, n_candidate=9)
    decision = decide(an_upgrade(2), replace(EVERYTHING_FINE, guards=(blind,)), after(3))
    sure = decide(an_upgrade(2), EVERYTHING_FINE, after(3))

    assert (Kind.STEP_ADVANCED, Answer.UNPROVEN) == (decision.kind, decision.gates[0].answer)
    assert "cannot tell yet" in decision.gates[0].reason and "blind below 0.6217" in decision.gates[0].reason
    assert Answer.OPEN is sure.gates[0].answer


def test_whatever_is_decided_can_be_applied() -> None:
    """A decision that the state machine refuses would stop the controller for good."""
    for events in range(6):
        upgrade = an_upgrade(events)
        for evidence in (Evidence(), EVERYTHING_FINE, Evidence(guards=(HARMFUL,))):
            kind = decide(upgrade, evidence, after(60)).kind
            if kind is not None:
                applied = apply(upgrade, Event(kind, after(60), why="because"))
                assert upgrade.version + 1 == applied.version


def test_an_ended_upgrade_decides_nothing() -> None:
    """The record stays as it ended."""
    done = replay(an_upgrade(5), [Event(Kind.SOAK_COMPLETED, after(60))])

    assert Stage.DONE is done.stage
    assert decide(done, Evidence(guards=(HARMFUL,)), after(61)).kind is None


def test_a_step_of_nobody_waits_for_its_hold_and_for_approvals_alone() -> None:
    """Rings are in no comparison, so there is nothing to judge; harm that is proven all the same still halts."""
    steps = (Step(0.0, timedelta(days=2)), *DEFAULT_STEPS)
    upgrade = an_upgrade(2, Plan(steps=steps, rings=("staff",), approvals=(Approval(0.01, "product"),)))
    approved = replace(upgrade, approvals=("product@1%",))

    assert decide(approved, Evidence(), after(1.9)).kind is None
    assert decide(upgrade, Evidence(), after(2)).kind is None
    assert Kind.STEP_ADVANCED is decide(approved, Evidence(), after(2)).kind
    assert Kind.HALTED is decide(approved, Evidence(guards=(HARMFUL,)), after(2)).kind
