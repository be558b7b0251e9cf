"""A forced upgrade: what it lets happen, what it never does, and where its way back leads.

Elsewhere: the gates that it waits at (tests/controller/test_forced.py), who may say so (tests/cli/test_forcing.py).
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from itertools import chain, pairwise
from random import Random

import pytest

from midshift.domain.evidence import EvalEvidence, failed_in
from midshift.domain.forcing import Forced
from midshift.domain.gate import Decision, Ruling
from midshift.domain.plan import Plan
from midshift.domain.retirement import Source
from midshift.domain.upgrade import REMARKS, Event, Kind, Stage, Upgrade, apply, begin, replay, route_of, settled
from midshift.errors import InvalidTransition

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)
RETIRES = date(2026, 2, 10)
FORCED = Forced("ada", "no time", RETIRES, Source.USER, "harbour")


def an_upgrade(forced: Forced | None = FORCED) -> Upgrade:
    """At its eval."""
    return begin("u", "w", "old", "new", Plan(), DAY_0, "s", forced=forced)


def an_event(kind: Kind, days: float, **more: object) -> Event:
    """Something that happens so many days later."""
    event = Event(kind, DAY_0 + timedelta(days=days), "ada", "no time", "*")
    return replace(event, **more)  # type: ignore[arg-type]


RARE = {Kind.CANDIDATE_CHANGED, Kind.FORCED, Kind.ROLLED_BACK, Kind.STOPPED, *REMARKS}


@cache
def lives(forced: Forced | None = FORCED) -> list[list[tuple[Event, Upgrade]]]:
    """Many ways that an upgrade can go: events, each with the state after it."""
    return [a_life(an_upgrade(forced), Random(seed)) for seed in range(300)]


def a_life(now: Upgrade, dice: Random) -> list[tuple[Event, Upgrade]]:
    """Something that can happen, again and again; what leads nowhere or back is rarer, or no life would go far."""
    found, day = list[tuple[Event, Upgrade]](), 0.0
    while len(found) < 25 and not now.stage.is_final:
        day += dice.uniform(0.0, 10.0)
        kinds = sorted(Kind, key=lambda kind: dice.random() + 0.5 * (kind in RARE))
        found.append(next(possible(now, kinds, day)))
        now = found[-1][1]
    return found


def possible(now: Upgrade, kinds: list[Kind], day: float) -> Iterator[tuple[Event, Upgrade]]:
    """Those that can happen on that day, each with the state after it."""
    for kind in kinds:
        record = FORCED if kind is Kind.FORCED else None
        event = an_event(kind, day, candidate=f"v{now.version}", forced=record)
        with suppress(InvalidTransition):
            yield event, apply(now, event)


def test_no_eval_is_passed_over_without_a_record_and_a_waiver() -> None:
    """A model that failed reaches shadow by name and reason, or not at all."""
    passed_over = [
        before for life in lives(None) for (_, before), (event, _) in pairwise(life) if event.kind is Kind.EVAL_WAIVED
    ]

    assert passed_over
    assert all(before.forced == FORCED and before.waivers for before in passed_over)


def test_nobody_is_led_to_a_retired_incumbent_by_a_change_of_the_route() -> None:
    """Whatever moves users after the day, moves nobody to a model that answers with errors; before it, everybody."""
    homes = set[str]()
    for event, after in chain.from_iterable(lives()):
        if event.kind in REMARKS or event.kind is Kind.FORCED:
            continue
        home = "harbour" if event.at.date() >= RETIRES else "old"
        homes.add(home)
        assert home == after.home
        if not after.stage.is_final:
            assert home == route_of(after, 2, None).incumbent
        elif after.stage is not Stage.DONE:
            assert home == settled(after, 2).incumbent
    assert {"harbour", "old"} == homes


def test_everything_else_of_the_playbook_still_holds() -> None:
    """Users get the candidate after a shadow, and it stays after a soak: forced or not."""
    stages = set[Stage]()
    for life in lives():
        seen = set[Kind]()
        for event, after in life:
            seen = (set() if event.kind is Kind.CANDIDATE_CHANGED else seen) | {event.kind}
            assert after.share == 0.0 or seen & {Kind.SHADOW_COMPLETED, Kind.SHADOW_WAIVED}
            assert after.stage is not Stage.DONE or Kind.SOAK_COMPLETED in seen
            stages.add(after.stage)
    assert set(Stage) == stages


def test_a_state_is_the_fold_of_its_events() -> None:
    """What a store replays after a crash is what was decided."""
    for life in lives(None):
        assert life[-1][1] == replay(an_upgrade(None), [event for event, _ in life])


@pytest.mark.parametrize(
    ("at", "is_due"),
    [
        (datetime(2026, 2, 9, 23, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 2, 10, 0, 0, tzinfo=UTC), True),
        (datetime(2026, 2, 10, 0, 30, tzinfo=timezone(timedelta(hours=2))), False),
        (datetime(2026, 2, 9, 23, 30, tzinfo=timezone(timedelta(hours=-2))), True),
    ],
)
def test_the_day_begins_in_utc_wherever_the_clock_hangs(at: datetime, is_due: bool) -> None:
    """Two controllers in two zones must not disagree about where users go."""
    assert is_due is FORCED.is_due(at)


def test_the_retirement_is_recorded_once_and_not_before_its_day() -> None:
    """From then on the harbour stands in the incumbent's place, and there is no way back from it."""
    with pytest.raises(InvalidTransition):
        apply(an_upgrade(), an_event(Kind.INCUMBENT_RETIRED, 39.0))
    after = apply(an_upgrade(), an_event(Kind.INCUMBENT_RETIRED, 40.0))

    assert ("harbour", "old", Stage.EVAL, DAY_0) == (after.home, after.incumbent, after.stage, after.entered)
    with pytest.raises(InvalidTransition):
        apply(after, an_event(Kind.INCUMBENT_RETIRED, 41.0))
    with pytest.raises(InvalidTransition):
        apply(an_upgrade(None), an_event(Kind.INCUMBENT_RETIRED, 41.0))


def test_a_later_date_can_be_recorded_on_the_way() -> None:
    """Vendors move their dates."""
    later = replace(FORCED, retires_on=date(2026, 6, 1))
    shadowed = replay(an_upgrade(), [an_event(Kind.WAIVED, 0.0), an_event(Kind.EVAL_WAIVED, 1.0)])

    after = apply(shadowed, an_event(Kind.FORCED, 2.0, forced=later))

    assert "old" == after.home_at(DAY_0 + timedelta(days=60))
    assert "harbour" == shadowed.home_at(DAY_0 + timedelta(days=60))


@pytest.mark.parametrize("harbour", ["old", "new"])
def test_the_safe_harbour_is_a_third_variant(harbour: str) -> None:
    """A way back to what failed, or to what is gone, is none."""
    record = replace(FORCED, safe_harbour=harbour)
    with pytest.raises(ValueError, match="third variant"):
        an_upgrade(record)
    with pytest.raises(InvalidTransition, match="third variant"):
        apply(an_upgrade(None), an_event(Kind.FORCED, 1.0, forced=record))
    with pytest.raises(InvalidTransition, match="third variant"):
        apply(an_upgrade(), an_event(Kind.CANDIDATE_CHANGED, 1.0, candidate="harbour"))


def test_what_is_past_its_eval_cannot_be_forced_any_more() -> None:
    """There is nothing left to force: its eval was cleared."""
    shadowed = apply(an_upgrade(None), an_event(Kind.EVAL_CLEARED, 1.0))

    with pytest.raises(InvalidTransition, match="possible in eval and retune"):
        apply(shadowed, an_event(Kind.FORCED, 2.0, forced=FORCED))


def test_the_record_is_of_the_person_who_forces() -> None:
    """Nobody's name gets under somebody else's decision."""
    for forced in (None, replace(FORCED, who="bob"), replace(FORCED, why="another")):
        with pytest.raises(InvalidTransition, match="the same person"):
            apply(an_upgrade(None), an_event(Kind.FORCED, 1.0, forced=forced))
    for missing in ({"who": " "}, {"why": ""}, {"safe_harbour": ""}):
        with pytest.raises(ValueError, match="a forced upgrade needs"):
            replace(FORCED, **missing)  # type: ignore[arg-type] # all three are texts


@pytest.mark.parametrize(
    ("ruling", "blocking", "regressed", "expected"),
    [
        (Ruling(Decision.STOP, "", uncleared=("s", "t")), (), (), ("*",)),
        (Ruling(Decision.STOP, ""), (), ("german",), ("german",)),
        (Ruling(Decision.STOP, "", uncleared=("s",)), ("G7",), ("german",), ("*", "G7", "german")),
        (Ruling(Decision.STOP, ""), (), (), ("*",)),
    ],
    ids=["all cases", "a slice", "everything", "nothing was named"],
)
def test_what_has_to_be_waived_is_what_failed(
    ruling: Ruling, blocking: tuple[str, ...], regressed: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """Each by its name; an eval that names nothing failed as a whole."""
    found = EvalEvidence("new", ruling.decision, "", regressed=regressed, failed=failed_in(ruling, blocking))

    assert expected == found.to_waive
