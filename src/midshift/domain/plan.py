"""How an upgrade is meant to go: how long it is shadowed, in which steps it ramps, what stops it.

Defaults are the playbook's: 1/5/25/100 %, holds of 2, 4 and 7 days, shadow by stakes, two weeks of soak. All times
are playbook time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from midshift.domain.suite import Margin
from midshift.domain.workload import Budgets, Cycle, Stakes

SHORTEST_HOLD = timedelta(hours=24)
A_WEEK = timedelta(days=7)
WEEKLY_SHARE = 0.25
"""The first step from here on has to see a whole week of a weekly workload."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the canary: the share of units that the candidate serves, and how long it is held."""

    share: float
    hold: timedelta


@dataclass(frozen=True, slots=True)
class Approval:
    """A named yes that a step waits for, as its last gate: `role` looks at outputs of `slice` (None = all)."""

    share: float
    role: str
    slice: str | None = None


@dataclass(frozen=True, slots=True)
class Halts:
    """How much harm, once it is proven, stops the candidate: in points of range, in points of requests.

    Raises:
        ValueError: for a threshold that is not a finite number from 0 up; nothing is ever beyond NaN or infinity.
    """

    eval_points: float = 2.0
    error_rate_points: float = 1.0
    satisfaction: float = 0.5

    def __post_init__(self) -> None:
        for field in ("eval_points", "error_rate_points", "satisfaction"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"halt {field} must be a finite number from 0 up, got {value!r}")


DEFAULT_STEPS = (
    Step(0.01, timedelta(days=2)),
    Step(0.05, timedelta(days=4)),
    Step(0.25, timedelta(days=7)),
    Step(1.0, timedelta()),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages of one upgrade with their lengths and thresholds.

    Raises:
        ValueError: naming the step and the rule, where shares do not rise to 100 %, a hold is under a day, a weekly
            workload has less than a week at its 25 % step (without one: at the next above, or the last before
            100 %), an approval names a share that is no step, a length is negative, or coverage, noise or pairs are
            no share.

    `noise` is the share of shadowed requests that the incumbent answers once more, unseen; `pairs` the share of
    requests in canary and soak that the other variant answers as well. Both are what a person pays for knowing more.
    `rings` are the groups (staff, whoever asked for it) who get the candidate as long as the canary serves it, from its
    first step on. With rings the first step may be one of 0 %: then they have it to themselves for as long as it is
    held. There is nothing to compare at such a step, so it waits for its hold and for approvals alone.
    `budgets` is what an answer of the candidate may take: what exceeds it, or what nobody knows, goes no further.
    """

    steps: tuple[Step, ...] = DEFAULT_STEPS
    shadow: timedelta = timedelta(weeks=2)
    soak: timedelta = timedelta(weeks=2)
    cycle: Cycle = Cycle.WEEKLY
    margin: Margin = Margin()
    halts: Halts = Halts()
    approvals: tuple[Approval, ...] = ()
    shadow_coverage: float = 0.99
    noise: float = 0.02
    pairs: float = 0.01
    rings: tuple[str, ...] = ()
    budgets: Budgets = Budgets()

    def __post_init__(self) -> None:
        shares = [step.share for step in self.steps]
        if not shares or shares[-1] != 1.0:
            raise ValueError(f"steps must end at 100 %, got {_in_percent(shares)}")
        if len(shares) < 2:
            raise ValueError("steps go straight to 100 %; expected at least one step below it")
        if not any(0.0 < share < 1.0 for share in shares):
            raise ValueError("steps go from the rings straight to 100 %; expected at least one share of users between")
        first = -1.0 if self.rings else 0.0
        if not all(early < late for early, late in zip([first, *shares], shares, strict=False)):
            raise ValueError(f"each step must raise the share, got {_in_percent(shares)}")
        for step in self.steps[:-1]:
            self._check_hold(step)
        for approval in self.approvals:
            if approval.share not in shares:
                raise ValueError(
                    f"an approval at {_in_percent([approval.share])}, but the steps are {_in_percent(shares)}"
                )
        for field, length in (("shadow", self.shadow), ("soak", self.soak)):
            if length < timedelta():
                raise ValueError(f"the {field} cannot be shorter than nothing, got {length}")
        for name, share in (("shadow coverage", self.shadow_coverage), ("noise", self.noise), ("pairs", self.pairs)):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"the {name} is a share in 0..1, got {share!r}")

    def _check_hold(self, step: Step) -> None:
        share = _in_percent([step.share])
        if step.hold < SHORTEST_HOLD:
            raise ValueError(f"the hold at {share} is {step.hold}, expected at least 24 hours")
        if self.cycle is Cycle.WEEKLY and step == self.week_step and step.hold < A_WEEK:
            raise ValueError(f"the hold at {share} is {step.hold}; a weekly workload needs at least 7 days there")

    @property
    def week_step(self) -> Step:
        """The step at which a weekly workload is seen for a whole week: 25 %, or what comes nearest to its purpose."""
        below = self.steps[:-1]
        return next((step for step in below if step.share >= WEEKLY_SHARE), below[-1])

    @classmethod
    def for_stakes(cls, stakes: Stakes, cycle: Cycle = Cycle.WEEKLY) -> Plan:
        """The playbook's plan, shadowed as long as the stakes ask for."""
        return cls(shadow=timedelta(weeks=stakes.shadow_weeks), cycle=cycle)

    def approvals_before(self, share: float) -> tuple[Approval, ...]:
        """The approvals that the step to `share` waits for."""
        return tuple(approval for approval in self.approvals if approval.share == share)


def _in_percent(shares: list[float]) -> str:
    return ", ".join(f"{share * 100:.6g}%" for share in shares) or "none"
