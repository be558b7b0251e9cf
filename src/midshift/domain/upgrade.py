"""One upgrade as a state machine: a table of transitions, and nothing else that changes a state.

    eval ──► shadow ──► canary ──► soak ──► done
      │▲        │          │ ▲       │
      ▼│        │          ▼ │       │
    retune      │        halted      │         any stage that serves or judges the candidate ──► rolled_back
      │         │                    │
      ▼         ▼                    ▼
    stopped   (waived by name)     rolled_back

Two rules that the table enforces by having no other edges: nothing reaches the canary without shadow completed or
waived by name and reason, and nothing reaches done without a completed soak. Every state is the fold of its events;
a rejected event changes nothing.

A third holds beside the table: from eval or retune to shadow without a cleared eval goes only a forced upgrade
(forcing). In one, whatever changes the route from the day of the incumbent's retirement on puts the safe harbour in
the incumbent's place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from midshift.domain.forcing import Forced
from midshift.domain.plan import Plan
from midshift.domain.routing import Route
from midshift.errors import InvalidTransition


class Stage(StrEnum):
    """Where an upgrade stands."""

    EVAL = "eval"
    RETUNE = "retune"
    SHADOW = "shadow"
    CANARY = "canary"
    HALTED = "halted"
    SOAK = "soak"
    DONE = "done"
    STOPPED = "stopped"
    ROLLED_BACK = "rolled_back"

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return self in (Stage.DONE, Stage.STOPPED, Stage.ROLLED_BACK)

    @property
    def serves_candidate(self) -> bool:
        """Whether users may get the candidate's answers."""
        return self in (Stage.CANARY, Stage.SOAK)


class Kind(StrEnum):
    """What can happen to an upgrade."""

    EVAL_CLEARED = "eval_cleared"
    EVAL_FAILED = "eval_failed"
    EVAL_WAIVED = "eval_waived"
    CANDIDATE_CHANGED = "candidate_changed"
    SHADOW_COMPLETED = "shadow_completed"
    SHADOW_WAIVED = "shadow_waived"
    STEP_ADVANCED = "step_advanced"
    FULLY_ROLLED_OUT = "fully_rolled_out"
    HALTED = "halted"
    RESUMED = "resumed"
    SOAK_COMPLETED = "soak_completed"
    STOPPED = "stopped"
    ROLLED_BACK = "rolled_back"
    WAIVED = "waived"
    APPROVED = "approved"
    PAUSED = "paused"
    UNPAUSED = "unpaused"
    FORCED = "forced"
    INCUMBENT_RETIRED = "incumbent_retired"


TRANSITIONS: dict[tuple[Stage, Kind], Stage] = {
    (Stage.EVAL, Kind.EVAL_CLEARED): Stage.SHADOW,
    (Stage.EVAL, Kind.EVAL_FAILED): Stage.RETUNE,
    (Stage.EVAL, Kind.EVAL_WAIVED): Stage.SHADOW,
    (Stage.EVAL, Kind.CANDIDATE_CHANGED): Stage.EVAL,
    (Stage.EVAL, Kind.ROLLED_BACK): Stage.ROLLED_BACK,
    (Stage.RETUNE, Kind.CANDIDATE_CHANGED): Stage.EVAL,
    (Stage.RETUNE, Kind.EVAL_WAIVED): Stage.SHADOW,
    (Stage.RETUNE, Kind.STOPPED): Stage.STOPPED,
    (Stage.RETUNE, Kind.ROLLED_BACK): Stage.ROLLED_BACK,
    (Stage.SHADOW, Kind.SHADOW_COMPLETED): Stage.CANARY,
    (Stage.SHADOW, Kind.SHADOW_WAIVED): Stage.CANARY,
    (Stage.SHADOW, Kind.CANDIDATE_CHANGED): Stage.EVAL,
    (Stage.SHADOW, Kind.ROLLED_BACK): Stage.ROLLED_BACK,
    (Stage.CANARY, Kind.STEP_ADVANCED): Stage.CANARY,
    (Stage.CANARY, Kind.FULLY_ROLLED_OUT): Stage.SOAK,
    (Stage.CANARY, Kind.HALTED): Stage.HALTED,
    (Stage.CANARY, Kind.ROLLED_BACK): Stage.ROLLED_BACK,
    (Stage.HALTED, Kind.RESUMED): Stage.CANARY,
    (Stage.HALTED, Kind.CANDIDATE_CHANGED): Stage.EVAL,
    (Stage.HALTED, Kind.ROLLED_BACK): Stage.ROLLED_BACK,
    (Stage.SOAK, Kind.SOAK_COMPLETED): Stage.DONE,
    (Stage.SOAK, Kind.ROLLED_BACK): Stage.ROLLED_BACK,
}
"""Every way from one stage to another; what is not here does not exist."""

REMARKS = frozenset({Kind.WAIVED, Kind.APPROVED, Kind.PAUSED, Kind.UNPAUSED})
"""What is recorded in any stage that is not final, without leaving it."""

FORCING = frozenset({Kind.FORCED, Kind.INCUMBENT_RETIRED})
"""What is recorded of a forced upgrade, without leaving its stage."""


SHADOW = "shadow"
"""What is waived for an upgrade not to wait for its shadow; what was shown, there or in the eval, has its own name."""

FLOATING = "pins:floating"
"""What is waived where an upgrade begins with a model that may change under it. It goes no further than shadow then."""

CANARY_PINS = "pins:canary"
"""What is waived for it to go further all the same."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """A gate that a person took upon themselves to open: who, why, and for what (`shadow`, or a slice's name).

    `FLOATING` is the one that shuts a gate: an upgrade that began with a model that may change under it.
    """

    what: str
    who: str
    why: str

    def __post_init__(self) -> None:
        for name, value in (("what", self.what), ("who", self.who), ("why", self.why)):
            if not value.strip():
                raise ValueError(f"a waiver needs {name}, got {value!r}")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: facts are appended, never edited.

    `at` is playbook time. `who` and `why` are required where a person decided. `candidate` comes with
    CANDIDATE_CHANGED, `what` with WAIVED (the gate) and APPROVED (`ROLE@STEP`), and with CANDIDATE_CHANGED if it is
    `FLOATING`, which is waived along with it. `forced` comes with FORCED, by the same `who` and `why`.
    """

    kind: Kind
    at: datetime
    who: str = "controller"
    why: str = ""
    what: str = ""
    candidate: str | None = None
    forced: Forced | None = None


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The state of one upgrade. `version` counts its events; `entered` is when its stage or step began.

    `sheltered` says that the incumbent of a forced upgrade is past its retirement, and the safe harbour in its place.
    """

    id: str
    workload: str
    incumbent: str
    candidate: str
    plan: Plan
    stage: Stage
    entered: datetime
    salt: str
    step: int = 0
    version: int = 0
    paused: bool = False
    waivers: tuple[Waiver, ...] = ()
    approvals: tuple[str, ...] = ()
    forced: Forced | None = None
    sheltered: bool = False

    @property
    def home(self) -> str:
        """The variant of everybody who does not get the candidate, and of everybody after a rollback."""
        return self.forced.safe_harbour if self.forced is not None and self.sheltered else self.incumbent

    def home_at(self, at: datetime) -> str:
        """The variant that a rollback at that moment leads to."""
        return _sheltered(self, at).home

    @property
    def share(self) -> float:
        """The share of units that the candidate serves in this state."""
        match self.stage:
            case Stage.CANARY:
                return self.plan.steps[self.step].share
            case Stage.SOAK | Stage.DONE:
                return 1.0
            case _:
                return 0.0

    @property
    def shadow_share(self) -> float:
        """The share of other requests that the candidate answers unseen."""
        return 1.0 if self.stage is Stage.SHADOW else 0.0

    @property
    def noise_share(self) -> float:
        """The share of shadowed requests that the incumbent answers once more, unseen."""
        return self.plan.noise if self.stage is Stage.SHADOW else 0.0

    @property
    def pair_share(self) -> float:
        """The share of all requests that the variant which does not serve them answers unseen, while both serve."""
        return self.plan.pairs if self.stage is Stage.CANARY else 0.0

    @property
    def reverse_share(self) -> float:
        """The share of the candidate's requests that the incumbent answers unseen, when it serves nobody any more."""
        return self.plan.pairs if self.stage is Stage.SOAK else 0.0

    def is_waived(self, what: str) -> bool:
        """Whether somebody took this gate upon themselves."""
        return any(waiver.what == what for waiver in self.waivers)


def begin(
    upgrade_id: str,
    workload: str,
    incumbent: str,
    candidate: str,
    plan: Plan,
    at: datetime,
    salt: str,
    waivers: tuple[Waiver, ...] = (),
    forced: Forced | None = None,
) -> Upgrade:
    """A new upgrade, at its eval; `waivers` are what a person took upon themselves by beginning it.

    Raises:
        ValueError: if candidate and incumbent are the same variant, or the safe harbour is one of them.
    """
    if incumbent == candidate:
        raise ValueError(f"candidate and incumbent are the same variant {candidate!r}: there is nothing to upgrade")
    if forced is not None and forced.safe_harbour in (incumbent, candidate):
        raise ValueError(_no_harbour(forced.safe_harbour))
    return Upgrade(
        upgrade_id, workload, incumbent, candidate, plan, Stage.EVAL, at, salt, waivers=waivers, forced=forced
    )


def apply(upgrade: Upgrade, event: Event) -> Upgrade:
    """The state after an event.

    Raises:
        InvalidTransition: if the event cannot happen in this state; nothing has changed then.
    """
    if event.at < upgrade.entered:
        raise InvalidTransition(f"{event.kind} at {event.at}, before the stage began at {upgrade.entered}")
    if event.kind in REMARKS:
        return _remarked(upgrade, event)
    if event.kind in FORCING:
        return replace(_forcing(upgrade, event), version=upgrade.version + 1)
    following = TRANSITIONS.get((upgrade.stage, event.kind))
    if following is None:
        possible = ", ".join(sorted(kind for stage, kind in TRANSITIONS if stage is upgrade.stage)) or "nothing"
        raise InvalidTransition(f"{event.kind} cannot happen in stage {upgrade.stage}; possible there: {possible}")
    return replace(_moved(upgrade, event, following), version=upgrade.version + 1)


def route_of(upgrade: Upgrade, epoch: int, lease_until: datetime | None) -> Route:
    """The routing row that serves a state. Step 0 is shadow, canary steps count from 1, and soak keeps the last.

    Raises:
        InvalidTransition: for a state in which nothing but the variant that stays is served; see `settled`.
    """
    if upgrade.stage.is_final:
        raise InvalidTransition(f"an upgrade that ended as {upgrade.stage} has no route; one variant serves alone")
    serves = upgrade.stage.serves_candidate
    return Route(
        workload=upgrade.workload,
        incumbent=upgrade.home,
        candidate=upgrade.candidate if serves or upgrade.stage is Stage.SHADOW else None,
        share=upgrade.share,
        shadow_share=upgrade.shadow_share,
        salt=upgrade.salt,
        step=upgrade.step + 1 if serves else 0,
        upgrade=upgrade.id,
        epoch=epoch,
        lease_until=lease_until if serves else None,
        noise_share=upgrade.noise_share,
        pair_share=upgrade.pair_share,
        reverse_share=upgrade.reverse_share,
        rings=upgrade.plan.rings if serves else (),
    )


def settled(upgrade: Upgrade, epoch: int) -> Route:
    """The routing row after the end: the candidate where the upgrade is done, and else whatever it leads home to."""
    stays = upgrade.candidate if upgrade.stage is Stage.DONE else upgrade.home
    return Route(workload=upgrade.workload, incumbent=stays, epoch=epoch)


def replay(start: Upgrade, events: Iterable[Event]) -> Upgrade:
    """The state after a whole log."""
    for event in events:
        start = apply(start, event)
    return start


def _moved(upgrade: Upgrade, event: Event, following: Stage) -> Upgrade:
    moved = _sheltered(replace(upgrade, stage=following, entered=event.at), event.at)
    match event.kind:
        case Kind.STEP_ADVANCED:
            if upgrade.step + 2 >= len(upgrade.plan.steps):
                raise InvalidTransition("the next step is 100 %, which is fully_rolled_out and begins the soak")
            return replace(moved, step=upgrade.step + 1)
        case Kind.FULLY_ROLLED_OUT:
            if upgrade.step + 2 < len(upgrade.plan.steps):
                raise InvalidTransition(f"fully_rolled_out from step {upgrade.step}, but there are steps in between")
            return replace(moved, step=len(upgrade.plan.steps) - 1)
        case Kind.CANDIDATE_CHANGED:
            if event.candidate in (None, upgrade.candidate, upgrade.incumbent):
                raise InvalidTransition(f"candidate_changed to {event.candidate!r}, expected another variant")
            if upgrade.forced is not None and event.candidate == upgrade.forced.safe_harbour:
                raise InvalidTransition(_no_harbour(event.candidate))
            waivers = (_waiver(FLOATING, event),) if event.what == FLOATING else ()
            return replace(moved, candidate=str(event.candidate), step=0, waivers=waivers, approvals=())
        case Kind.EVAL_WAIVED:
            if upgrade.forced is None or not upgrade.waivers:
                raise InvalidTransition("eval_waived in an upgrade that is not forced, or of which nothing is waived")
            return replace(moved, step=0)
        case Kind.SHADOW_WAIVED:
            waiver = _waiver(SHADOW, event)
            return replace(moved, step=0, waivers=(*upgrade.waivers, waiver))
        case Kind.SHADOW_COMPLETED:
            return replace(moved, step=0)
        case _:
            return moved


def _remarked(upgrade: Upgrade, event: Event) -> Upgrade:
    if upgrade.stage.is_final:
        raise InvalidTransition(f"{event.kind} after the upgrade ended as {upgrade.stage}")
    changed = replace(upgrade, version=upgrade.version + 1)
    match event.kind:
        case Kind.WAIVED:
            return replace(changed, waivers=(*upgrade.waivers, _waiver(event.what, event)))
        case Kind.APPROVED:
            if not (event.who.strip() and event.what.strip()):
                raise InvalidTransition("an approval needs who and what")
            return replace(changed, approvals=(*upgrade.approvals, event.what))
        case _:
            return replace(changed, paused=event.kind is Kind.PAUSED)


def _forcing(upgrade: Upgrade, event: Event) -> Upgrade:
    if upgrade.stage.is_final:
        raise InvalidTransition(f"{event.kind} after the upgrade ended as {upgrade.stage}")
    if event.kind is Kind.INCUMBENT_RETIRED:
        after = _sheltered(upgrade, event.at)
        if after == upgrade:
            raise InvalidTransition(f"incumbent_retired at {event.at}: not forced, not due, or recorded already")
        return after
    forced = event.forced
    if forced is None or (forced.who, forced.why) != (event.who, event.why):
        raise InvalidTransition("forced needs its record, by the same person and for the same reason")
    if forced.safe_harbour in (upgrade.incumbent, upgrade.candidate):
        raise InvalidTransition(_no_harbour(forced.safe_harbour))
    if upgrade.forced is None and upgrade.stage not in (Stage.EVAL, Stage.RETUNE):
        raise InvalidTransition(f"forced in stage {upgrade.stage}; possible in eval and retune, where evals say stop")
    if upgrade.sheltered and forced.safe_harbour != upgrade.home:
        raise InvalidTransition("forced with another safe harbour while the present one serves")
    return replace(upgrade, forced=forced)


def _sheltered(upgrade: Upgrade, at: datetime) -> Upgrade:
    """The same, with the safe harbour in the incumbent's place if that may be gone. There is no way back from it."""
    is_due = upgrade.forced is not None and upgrade.forced.is_due(at)
    return replace(upgrade, sheltered=True) if is_due and not upgrade.sheltered else upgrade


def _no_harbour(variant: str | None) -> str:
    return f"the safe harbour {variant!r} is the incumbent or the candidate; it must be a third variant"


def _waiver(what: str, event: Event) -> Waiver:
    try:
        return Waiver(what, event.who, event.why)
    except ValueError as error:
        raise InvalidTransition(f"{event.kind}: {error}") from None
