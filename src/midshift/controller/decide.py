"""Decide what an upgrade does next.

The only place where evidence becomes an action. Pure: (Upgrade, Evidence, now) -> Move, with every gate that was
asked and the sentence that it answered. Proven harm acts first, in every state that serves the candidate, also while
somebody is waited for; what is not known holds, it never promotes.
Elsewhere: measuring (evals, shadow, stats), what may follow what (domain.upgrade), applying (controller.loop).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from midshift.domain import gate
from midshift.domain.evidence import Elapsed, EvalEvidence, Evidence, Guard, Promise
from midshift.domain.move import COLLECT_MORE, Answer, Gate, Move
from midshift.domain.upgrade import CANARY_PINS, FLOATING, SHADOW, Kind, Stage, Upgrade

POLICY = "3"
"""Rises whenever the same evidence would be decided otherwise; stored with every event."""

LEAST_SERVED = 20
"""Fewer requests served by the candidate than this at a step say nothing about it."""


def decide(upgrade: Upgrade, evidence: Evidence, now: datetime) -> Move:
    """What this upgrade does now."""
    retired = _retired(upgrade, now)
    if retired is not None:
        return retired
    match upgrade.stage:
        case Stage.EVAL:
            return _after_eval(upgrade, evidence)
        case Stage.RETUNE:
            return _in_retune(upgrade, evidence)
        case Stage.SHADOW:
            return _in_shadow(upgrade, evidence, now)
        case Stage.CANARY:
            return _in_canary(upgrade, evidence, now)
        case Stage.SOAK:
            return _in_soak(upgrade, evidence, now)
        case Stage.HALTED:
            return Move(None, "halted: resume, change the candidate, or roll back")
        case _:
            return Move(None, f"ended: {upgrade.stage.value.replace('_', ' ')}")


def _after_eval(upgrade: Upgrade, evidence: Evidence) -> Move:
    found = evidence.eval
    if found is None or found.candidate != upgrade.candidate:
        waiting = Gate("eval", Answer.WAITING, evidence.eval_trouble or "this candidate has not been evaluated")
        return Move(None, waiting.reason, (waiting,))
    if found.decision in (gate.Decision.PROCEED, gate.Decision.PROCEED_WITH_CAUTION):
        passed = Gate("eval", Answer.OPEN, found.reason)
        return _unless_paused(upgrade, Kind.EVAL_CLEARED, found.reason, (passed,))
    if found.decision is gate.Decision.COLLECT_MORE:
        short = Gate("eval", Answer.WAITING, found.reason)
        return Move(None, f"{COLLECT_MORE}: {found.reason}", (short,))
    if found.decision is gate.Decision.STOP and upgrade.forced is not None:
        return _forced_on(upgrade, found)
    failed = Gate("eval", Answer.SHUT, found.reason)
    return _unless_paused(upgrade, Kind.EVAL_FAILED, found.reason, (failed,))


def _in_retune(upgrade: Upgrade, evidence: Evidence) -> Move:
    found = evidence.eval
    if found is not None and found.candidate == upgrade.candidate and found.decision is gate.Decision.STOP:
        if upgrade.forced is not None:
            return _forced_on(upgrade, found)
        return _unless_paused(upgrade, Kind.STOPPED, found.reason, (Gate("retune", Answer.SHUT, found.reason),))
    waiting = Gate("retune", Answer.WAITING, "re-tune the prompt, or start over with another candidate")
    return Move(None, waiting.reason, (waiting,))


def _retired(upgrade: Upgrade, now: datetime) -> Move | None:
    """The incumbent of a forced upgrade may be gone from today on: users come before everything else, pauses too."""
    forced = upgrade.forced
    if forced is None or upgrade.sheltered or upgrade.stage.is_final or not forced.is_due(now):
        return None
    said = f"the incumbent retires on {forced.retires_on} ({forced.stated_by}): the safe harbour serves in its place"
    return Move(Kind.INCUMBENT_RETIRED, said, (Gate("retirement", Answer.SHUT, said),))


def _forced_on(upgrade: Upgrade, found: EvalEvidence) -> Move:
    """Every failed part needs a name to it; what the eval left unproven waits in shadow, as ever."""
    gates = [
        Gate(
            f"eval {name}",
            Answer.WAIVED if upgrade.is_waived(name) else Answer.WAITING,
            f"failed in eval; {found.reason}" if upgrade.is_waived(name) else "failed in eval: waive it by name",
        )
        for name in found.to_waive
    ]
    return _if_all_open(upgrade, Kind.EVAL_WAIVED, "forced: every failed part of the eval is waived", tuple(gates))


def _in_shadow(upgrade: Upgrade, evidence: Evidence, now: datetime) -> Move:
    elapsed = Elapsed(upgrade.entered, now, upgrade.plan.shadow)
    gates = (
        *_unless_shadow_is_waived(
            upgrade,
            Gate("clock", _open_if(elapsed.is_over), f"shadowed {elapsed}"),
            _coverage(upgrade, evidence),
            *(_promise_gate(upgrade, promise) for promise in evidence.promises if promise.value is None),
        ),
        *(_promise_gate(upgrade, promise) for promise in evidence.promises if promise.value is not None),
        *_carried_slices(upgrade, evidence),
        *_flagged_drift(upgrade, evidence),
        *_pins(upgrade),
    )
    waiver = next((item for item in upgrade.waivers if item.what == SHADOW), None)
    if waiver is not None:
        return _if_all_open(upgrade, Kind.SHADOW_WAIVED, f"shadow is waived by {waiver.who}: {waiver.why}", gates)
    return _if_all_open(upgrade, Kind.SHADOW_COMPLETED, "shadow is complete", gates)


def _unless_shadow_is_waived(upgrade: Upgrade, *gates: Gate) -> list[Gate]:
    """A waived shadow is not waited for; what eval or shadow have shown is waived by its own name."""
    if not upgrade.is_waived(SHADOW):
        return list(gates)
    return [
        gate if gate.lets_pass else replace(gate, answer=Answer.WAIVED, reason=f"{gate.reason}: shadow is waived")
        for gate in gates
    ]


def _coverage(upgrade: Upgrade, evidence: Evidence) -> Gate:
    shadow = evidence.shadow
    if shadow is None or shadow.coverage is None:
        return Gate("coverage", Answer.WAITING, "no eligible request has been seen")
    reached = shadow.coverage >= upgrade.plan.shadow_coverage
    said = f"{shadow.paired:,} of {shadow.eligible:,} eligible requests are paired ({100 * shadow.coverage:.1f} %)"
    if upgrade.is_waived("coverage"):
        return Gate("coverage", Answer.WAIVED, said)
    return Gate("coverage", _open_if(reached), f"{said}, {100 * upgrade.plan.shadow_coverage:g} % are needed")


def _carried_slices(upgrade: Upgrade, evidence: Evidence) -> list[Gate]:
    """Critical slices that the eval left unproven, and watched ones that regressed: each needs a name to it."""
    if evidence.eval is None:
        return [Gate("eval", Answer.WAITING, evidence.eval_trouble or "the eval's record is missing")]
    return [
        Gate(
            f"slice {name}",
            Answer.WAIVED if upgrade.is_waived(name) else Answer.WAITING,
            f"{state} in eval" + (", waived" if upgrade.is_waived(name) else ": prove it, or waive it by name"),
        )
        for state, names in (("unproven", evidence.eval.unproven), ("regressed", evidence.eval.regressed))
        for name in names
    ]


def _pins(upgrade: Upgrade) -> list[Gate]:
    """What was shadowed with a model that may change says nothing about the one that users would get."""
    floating = next((waiver for waiver in upgrade.waivers if waiver.what == FLOATING), None)
    if floating is None:
        return []
    accepted = upgrade.is_waived(CANARY_PINS)
    rest = "accepted" if accepted else f"no further than shadow: go on with a pinned candidate, or waive {CANARY_PINS}"
    return [Gate("pins", Answer.WAIVED if accepted else Answer.WAITING, f"{floating.why}: {rest}")]


def _flagged_drift(upgrade: Upgrade, evidence: Evidence) -> list[Gate]:
    """Every flagged drift needs a named decision: for itself (`drift:length:chars`) or its kind (`drift:length`)."""
    flagged = evidence.shadow.flagged if evidence.shadow is not None else ()
    gates = []
    for name in flagged:
        kind = name.partition(":")[0]
        accepted = upgrade.is_waived(f"drift:{name}") or upgrade.is_waived(f"drift:{kind}")
        said = (
            "accepted" if accepted else f"flagged: accept it with waive drift:{name}, or all of its kind: drift:{kind}"
        )
        gates.append(Gate(f"drift {name}", Answer.WAIVED if accepted else Answer.WAITING, said))
    return gates


def _in_canary(upgrade: Upgrade, evidence: Evidence, now: datetime) -> Move:
    harmed = _proven_harm(evidence)
    if harmed is not None:
        return Move(Kind.HALTED, harmed.reason, (harmed,))
    step = upgrade.plan.steps[upgrade.step]
    following = upgrade.plan.steps[upgrade.step + 1]
    elapsed = Elapsed(upgrade.entered, now, step.hold)
    gates = (
        *(
            _seen(upgrade, evidence) if step.share > 0.0 else ()
        ),  # at 0 % only rings are served, and they are in no comparison
        Gate("hold", _open_if(elapsed.is_over), f"at {step.share:.0%}, {elapsed}"),
        *_approvals(upgrade, following.share),
    )
    is_last = upgrade.step + 2 == len(upgrade.plan.steps)
    kind = Kind.FULLY_ROLLED_OUT if is_last else Kind.STEP_ADVANCED
    return _if_all_open(upgrade, kind, f"advance to {following.share:.0%}", gates)


def _seen(upgrade: Upgrade, evidence: Evidence) -> tuple[Gate, ...]:
    """What the users' own requests have to show."""
    said = f"{evidence.served:,} requests served by the candidate, {LEAST_SERVED} are needed"
    exposure = Gate("exposure", _open_if(evidence.served >= LEAST_SERVED), said)
    promises = (_promise_gate(upgrade, promise) for promise in evidence.promises)
    return (*map(_guard_gate, evidence.guards), exposure, *promises)


def _approvals(upgrade: Upgrade, share: float) -> list[Gate]:
    """Named approvals, asked last: nobody is bothered before the numbers allow it."""
    asked = []
    for approval in upgrade.plan.approvals_before(share):
        name = f"{approval.role}@{share:.0%}"
        given = name in upgrade.approvals
        about = f" of {approval.slice}" if approval.slice else ""
        said = f"{approval.role} {'has approved' if given else 'has to approve'} outputs{about} before {share:.0%}"
        asked.append(Gate(f"approval {name}", _open_if(given), said))
    return asked


def _in_soak(upgrade: Upgrade, evidence: Evidence, now: datetime) -> Move:
    harmed = _proven_harm(evidence)
    if harmed is not None:
        return Move(Kind.ROLLED_BACK, harmed.reason, (harmed,))
    elapsed = Elapsed(upgrade.entered, now, upgrade.plan.soak)
    gates = (
        *(_guard_gate(guard) for guard in evidence.guards),
        Gate("clock", _open_if(elapsed.is_over), f"soaked {elapsed}"),
        Gate("exposure", _open_if(evidence.served >= LEAST_SERVED), f"{evidence.served:,} requests served in soak"),
        *(_promise_gate(upgrade, promise) for promise in evidence.promises),
    )
    return _if_all_open(upgrade, Kind.SOAK_COMPLETED, "the window closed cleanly", gates)


def _promise_gate(upgrade: Upgrade, promise: Promise) -> Gate:
    """A budget fails closed: what nobody knows is not within it. A person may take it on by name (`budget:NAME`)."""
    name, about = f"budget {promise.name}", f"at most {promise.limit:g} {promise.unit} is promised"
    if promise.value is None:
        said = f"unknown of {promise.n:,} requests; {about}"
    elif promise.unknown:
        said = (
            f"{promise.value:.4g} {promise.unit}, and unknown of {promise.unknown:,} of {promise.n:,} requests; {about}"
        )
    else:
        said = f"{promise.value:.4g} {promise.unit} over {promise.n:,} requests; {about}"
    if promise.is_kept:
        return Gate(name, Answer.OPEN, said)
    return Gate(name, Answer.WAIVED if upgrade.is_waived(f"budget:{promise.name}") else Answer.WAITING, said)


def _proven_harm(evidence: Evidence) -> Gate | None:
    return next((_guard_gate(guard) for guard in evidence.guards if guard.is_proven), None)


def _guard_gate(guard: Guard) -> Gate:
    if guard.harm is None or guard.low is None or guard.high is None:
        seen = f"{guard.n_candidate:,} of the candidate and {guard.n_incumbent:,} of the incumbent"
        return Gate(guard.name, Answer.WAITING, f"too little has been seen to know ({seen})")
    bounds = f"{guard.harm:+.4g} ({guard.low:+.4g} to {guard.high:+.4g}), halts beyond {guard.threshold:g}"
    if guard.is_proven:
        return Gate(guard.name, Answer.SHUT, f"harm is proven: {bounds}")
    if guard.is_ruled_out:
        return Gate(guard.name, Answer.OPEN, f"harm beyond the threshold is ruled out: {bounds}")
    return Gate(guard.name, Answer.UNPROVEN, f"cannot tell yet: {bounds}; none is proven, blind below {guard.high:.4g}")


def _if_all_open(upgrade: Upgrade, kind: Kind, reason: str, gates: tuple[Gate, ...]) -> Move:
    waiting = [item for item in gates if not item.lets_pass]
    if waiting:
        return Move(None, "; ".join(f"{item.name}: {item.reason}" for item in waiting), gates)
    return _unless_paused(upgrade, kind, reason, gates)


def _unless_paused(upgrade: Upgrade, kind: Kind, reason: str, gates: tuple[Gate, ...]) -> Move:
    if upgrade.paused:
        return Move(None, f"paused; would be {kind.value.replace('_', ' ')}", gates)
    return Move(kind, reason, gates)


def _open_if(condition: bool) -> Answer:
    return Answer.OPEN if condition else Answer.WAITING
