"""The transition table: what can follow what, and what can never happen."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.plan import DEFAULT_STEPS, Plan
from midshift.domain.upgrade import (
    REMARKS,
    TRANSITIONS,
    Event,
    Kind,
    Stage,
    Upgrade,
    apply,
    begin,
    replay,
    route_of,
    settled,
)
from midshift.errors import InvalidTransition

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)


def an_upgrade(plan: Plan = Plan()) -> Upgrade:
    return begin("u1", "support-reply", "old", "new", plan, DAY_0, salt="s")


def an_event(kind: Kind, day: float = 0.0, candidate: str | None = None) -> Event:
    what = "legal@25%" if kind is Kind.APPROVED else "escalations"
    at = DAY_0 + timedelta(days=day)
    return Event(kind, at, who="ada", why="checked by hand", what=what, candidate=candidate)


def everything_possible(upgrade: Upgrade, depth: int, log: tuple[Event, ...] = ()) -> Iterator[tuple[Event, ...]]:
    """Every log of up to `depth` transitions, remarks left out: they change no stage."""
    yield log
    if depth == 0:
        return
    for kind in Kind:
        if kind in REMARKS:
            continue
        event = an_event(kind, day=len(log), candidate=f"v{len(log)}")
        try:
            following = apply(upgrade, event)
        except InvalidTransition:
            continue
        yield from everything_possible(following, depth - 1, (*log, event))


LOGS = list(everything_possible(an_upgrade(), depth=8))


def test_nothing_serves_the_candidate_before_shadow_is_completed_or_waived_by_name() -> None:
    """The playbook's first rule, over every possible log of eight transitions."""
    served = [log for log in LOGS if replay(an_upgrade(), log).share > 0.0]

    assert served
    for log in served:
        since = max((i for i, event in enumerate(log) if event.kind is Kind.CANDIDATE_CHANGED), default=-1)
        kinds = [event.kind for event in log[since + 1 :]]
        assert Kind.SHADOW_COMPLETED in kinds or Kind.SHADOW_WAIVED in kinds


def test_nothing_is_done_without_a_completed_soak() -> None:
    """The way back stays open until the window has closed cleanly."""
    done = [log for log in LOGS if replay(an_upgrade(), log).stage is Stage.DONE]

    assert done
    assert all(log[-1].kind is Kind.SOAK_COMPLETED for log in done)


def test_the_share_never_jumps_over_a_step() -> None:
    """1, 5, 25, 100 %: whatever happens in between."""
    shares = [0.0, *(step.share for step in DEFAULT_STEPS)]

    for log in LOGS:
        upgrade, before = an_upgrade(), 0.0
        for event in log:
            upgrade = apply(upgrade, event)
            rises = upgrade.share > before and event.kind is not Kind.RESUMED
            assert not rises or shares.index(upgrade.share) == shares.index(before) + 1
            before = upgrade.share


def test_every_stage_that_judges_or_serves_the_candidate_can_be_rolled_back() -> None:
    """There is no state in which the only way is forward."""
    can = {stage for stage, kind in TRANSITIONS if kind is Kind.ROLLED_BACK}

    assert {stage for stage in Stage if not stage.is_final} == can


def test_a_final_stage_has_no_way_out() -> None:
    """What ended, ended: a new upgrade is a new record."""
    assert [stage for stage, _ in TRANSITIONS if stage.is_final] == []


@given(kind=st.sampled_from(list(Kind)), log=st.sampled_from(LOGS))
def test_a_refused_event_changes_nothing(kind: Kind, log: tuple[Event, ...]) -> None:
    """A caller that ignores the error must still hold the state that is true."""
    upgrade = replay(an_upgrade(), log)
    before = repr(upgrade)
    try:
        apply(upgrade, an_event(kind, day=99.0, candidate="other"))
    except InvalidTransition:
        pass

    assert before == repr(upgrade)


@given(log=st.sampled_from(LOGS))
def test_the_version_counts_the_events(log: tuple[Event, ...]) -> None:
    """The store fences on it: two decisions on the same version cannot both be written."""
    assert len(log) == replay(an_upgrade(), log).version


def test_a_changed_candidate_starts_over_and_takes_no_waiver_along() -> None:
    """What was waived was waived for another variant."""
    to_shadow = apply(an_upgrade(), an_event(Kind.EVAL_CLEARED))
    waived = apply(to_shadow, an_event(Kind.WAIVED))

    changed = apply(waived, an_event(Kind.CANDIDATE_CHANGED, 1.0, candidate="v2"))

    assert (Stage.EVAL, "v2", (), ()) == (changed.stage, changed.candidate, changed.waivers, changed.approvals)


@pytest.mark.parametrize("candidate", [None, "old", "new"])
def test_a_candidate_changes_to_another_variant_or_not_at_all(candidate: str | None) -> None:
    """Changing to the incumbent, or to itself, would reset clocks for nothing."""
    with pytest.raises(InvalidTransition, match="expected another variant"):
        apply(an_upgrade(), an_event(Kind.CANDIDATE_CHANGED, candidate=candidate))


def test_a_waiver_without_a_name_or_a_reason_is_refused() -> None:
    """An anonymous waiver is a gate that somebody just left open."""
    with pytest.raises(InvalidTransition, match="a waiver needs who"):
        apply(an_upgrade(), Event(Kind.WAIVED, DAY_0, who=" ", why="because", what="escalations"))


def test_time_does_not_run_backwards_in_a_log() -> None:
    """A hold that is measured from the future would be over at once."""
    with pytest.raises(InvalidTransition, match="before the stage began"):
        apply(an_upgrade(), Event(Kind.EVAL_CLEARED, DAY_0 - timedelta(seconds=1)))


def test_an_impossible_event_is_answered_with_what_is_possible() -> None:
    """Whoever types it needs the next word, not a stack trace."""
    expected = (
        "soak_completed cannot happen in stage eval; possible there: "
        "candidate_changed, eval_cleared, eval_failed, eval_waived, rolled_back"
    )
    with pytest.raises(InvalidTransition) as refused:
        apply(an_upgrade(), an_event(Kind.SOAK_COMPLETED))

    assert expected == str(refused.value)


def test_a_halted_canary_resumes_at_its_step() -> None:
    """A halt keeps the evidence; only a rollback ends it."""
    log = [an_event(kind) for kind in (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED, Kind.STEP_ADVANCED, Kind.HALTED)]
    halted = replay(an_upgrade(), log)
    resumed = apply(halted, an_event(Kind.RESUMED))

    assert (0.0, 0.05) == (halted.share, resumed.share)


def test_nothing_can_be_upgraded_to_itself() -> None:
    """It would run eight weeks and change nothing."""
    with pytest.raises(ValueError, match="the same variant 'old'"):
        begin("u1", "w", "old", "old", Plan(), DAY_0, "s")


@pytest.mark.parametrize("stage", [stage for stage in Stage if not stage.is_final])
def test_rings_have_the_candidate_while_users_may(stage: Stage) -> None:
    """From the first step of the canary to the end of the soak: not in shadow, and not while it is halted."""
    upgrade = replace(an_upgrade(Plan(rings=("staff",))), stage=stage)

    route = route_of(upgrade, 1, DAY_0)

    assert (("staff",) if stage in (Stage.CANARY, Stage.SOAK) else ()) == route.rings
    assert () == settled(upgrade, 2).rings
