"""How an upgrade may be planned, and what the playbook does not let a plan leave out."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from midshift.domain.plan import DEFAULT_STEPS, Approval, Halts, Plan, Step
from midshift.domain.workload import Cycle, Stakes

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)


def plan(*shares: float, hold: timedelta = WEEK, cycle: Cycle = Cycle.WEEKLY) -> Plan:
    """A plan of these shares with one hold for all."""
    return Plan(steps=tuple(Step(share, hold) for share in shares), cycle=cycle)


def test_the_default_plan_is_the_playbook_s() -> None:
    """1, 5, 25 and 100 % on days 1, 3, 7 and 14 of the canary."""
    assert [(0.01, 2), (0.05, 4), (0.25, 7), (1.0, 0)] == [(step.share, step.hold.days) for step in Plan().steps]
    assert (2 * WEEK, 2 * WEEK) == (Plan().shadow, Plan().soak)


@pytest.mark.parametrize(("stakes", "weeks"), [(Stakes.LOW, 1), (Stakes.NORMAL, 2), (Stakes.HIGH, 4)])
def test_the_shadow_is_as_long_as_the_stakes_ask_for(stakes: Stakes, weeks: int) -> None:
    """What a bad answer costs decides how long the candidate is only watched."""
    assert weeks * WEEK == Plan.for_stakes(stakes).shadow


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((), "steps must end at 100 %, got none"),
        ((0.05, 0.25), "steps must end at 100 %, got 5%, 25%"),
        ((1.0,), "steps go straight to 100 %; expected at least one step below it"),
        ((0.25, 0.05, 1.0), "each step must raise the share, got 25%, 5%, 100%"),
        ((0.05, 0.05, 1.0), "each step must raise the share, got 5%, 5%, 100%"),
        ((0.0, 0.25, 1.0), "each step must raise the share, got 0%, 25%, 100%"),
        ((-0.1, 0.25, 1.0), "each step must raise the share, got -10%, 25%, 100%"),
        ((0.001, 0.0005, 1.0), "each step must raise the share, got 0.1%, 0.05%, 100%"),
        ((0.05, math.nan, 1.0), "each step must raise the share, got 5%, nan%, 100%"),
    ],
)
def test_shares_rise_to_all_of_it(shares: tuple[float, ...], message: str) -> None:
    """A step that does not rise would be passed at once, with nobody exposed to what it should have shown."""
    with pytest.raises(ValueError, match="steps|step") as refused:
        plan(*shares)

    assert message == str(refused.value)


def test_no_step_is_shorter_than_a_day() -> None:
    """Half a day sees one half of the world."""
    with pytest.raises(ValueError, match="the hold at 0.5% is 23:59:59, expected at least 24 hours"):
        plan(0.005, 1.0, hold=DAY - timedelta(seconds=1), cycle=Cycle.DAILY)

    assert DAY == plan(0.005, 1.0, hold=DAY, cycle=Cycle.DAILY).steps[0].hold


@pytest.mark.parametrize(
    ("shares", "of_the_week"),
    [
        ((0.01, 0.05, 0.25, 1.0), 0.25),
        ((0.01, 0.25, 0.5, 1.0), 0.25),
        ((0.01, 0.3, 1.0), 0.3),
        ((0.01, 0.1, 1.0), 0.1),
        ((0.5, 1.0), 0.5),
    ],
)
def test_a_weekly_workload_is_held_for_a_week_before_everybody_gets_it(
    shares: tuple[float, ...], of_the_week: float
) -> None:
    """Monday's escalations come on Monday; a plan without a step at 25 % must not lose them."""
    steps = [Step(share, WEEK if share == of_the_week else DAY) for share in shares]
    short = [replace(step, hold=6 * DAY) if step.share == of_the_week else step for step in steps]

    assert of_the_week == Plan(steps=tuple(steps)).week_step.share
    with pytest.raises(ValueError, match="a weekly workload needs at least 7 days there"):
        Plan(steps=tuple(short))
    assert tuple(short) == Plan(steps=tuple(short), cycle=Cycle.DAILY).steps


def test_an_approval_belongs_to_a_step() -> None:
    """At any other share nobody would ever be asked."""
    legal = Approval(0.25, "legal", "escalations")

    assert (legal,) == Plan(approvals=(legal, Approval(1.0, "lead"))).approvals_before(0.25)
    assert () == Plan(approvals=(legal,)).approvals_before(0.05)
    with pytest.raises(ValueError, match=r"an approval at 0\.5%, but the steps are 1%, 5%, 25%, 100%"):
        Plan(approvals=(replace(legal, share=0.005),))


@pytest.mark.parametrize("field", ["eval_points", "error_rate_points", "satisfaction"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_halt_threshold_can_be_crossed(field: str, value: float) -> None:
    """Nothing is beyond NaN: such a guard would watch and never halt."""
    with pytest.raises(ValueError, match=f"halt {field} must be a finite number from 0 up"):
        Halts(**{field: value})


@pytest.mark.parametrize("field", ["shadow", "soak"])
def test_no_stage_is_shorter_than_nothing(field: str) -> None:
    """It would be over before it began."""
    lengths = {field: timedelta(seconds=-1)}

    with pytest.raises(ValueError, match=f"the {field} cannot be shorter than nothing"):
        Plan(shadow=lengths.get("shadow", WEEK), soak=lengths.get("soak", WEEK))


@pytest.mark.parametrize("coverage", [math.nan, -0.1, 1.1])
def test_the_shadow_coverage_is_a_share(coverage: float) -> None:
    """Above 1 the shadow would never end, and NaN is never reached either."""
    with pytest.raises(ValueError, match="the shadow coverage is a share"):
        Plan(shadow_coverage=coverage)


@pytest.mark.parametrize("share", [math.nan, -0.1, 1.1])
@pytest.mark.parametrize("name", ["noise", "pairs"])
def test_what_is_asked_unseen_is_a_share(name: str, share: float) -> None:
    """It is a budget: a wrong one is a bill."""
    with pytest.raises(ValueError, match=f"the {name} is a share"):
        Plan(**{name: share})  # type: ignore[arg-type]


def test_a_plan_is_a_value() -> None:
    """It is stored with each upgrade, and compared."""
    assert Plan() == Plan(steps=DEFAULT_STEPS)
    assert {Plan(), Plan()} == {Plan()}


def test_rings_may_have_the_candidate_to_themselves_at_first() -> None:
    """Staff before any user: a step of 0 %, with a hold like any other."""
    steps = (Step(0.0, timedelta(days=1)), *DEFAULT_STEPS)

    assert steps == Plan(steps=steps, rings=("staff",)).steps
    with pytest.raises(ValueError, match="each step must raise the share"):
        Plan(steps=steps)
    with pytest.raises(ValueError, match="expected at least 24 hours"):
        Plan(steps=(Step(0.0, timedelta(hours=1)), *DEFAULT_STEPS), rings=("staff",))


def test_rings_are_no_canary() -> None:
    """What they saw is in no comparison, so nobody knows yet what the candidate does to users."""
    with pytest.raises(ValueError, match="from the rings straight to 100 %"):
        Plan(steps=(Step(0.0, WEEK), Step(1.0, timedelta())), rings=("staff",))
