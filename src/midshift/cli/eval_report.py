"""From a filled ledger to verdicts, files and a report: the part of an eval that spends nothing.

Elsewhere: buying (eval, buying), the verdicts (eval_bakeoff), the files and what is said (eval_files).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from midshift.cli import eval_bakeoff, eval_files
from midshift.cli.compare import EXIT_CODES
from midshift.cli.eval_wanted import Wanted
from midshift.cli.state_folder import StateFolder
from midshift.domain.evidence import EvalEvidence, failed_in
from midshift.domain.gate import Decision
from midshift.errors import UsageError
from midshift.evals.grading import Grading
from midshift.evals.pairing import AT_ONCE, Plan, in_parts, judge_keys
from midshift.ports import Clock, PaidCalls
from midshift.reports.bakeoff import Candidate

NO_GRADERS: Mapping[str, str | None] = MappingProxyType({})


def judged(wanted: Wanted, plan: Plan, grading: Grading, calls: PaidCalls, book: str, clock: Clock, state: Path) -> int:
    """Judge every candidate, write the run's files, report; gives the exit code of the best one."""
    _require_whole(plan, grading, calls)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    found = eval_bakeoff.made(wanted, plan, grading, calls, book, clock, state)
    found = eval_bakeoff.with_findings(wanted, found, clock)
    eval_files.write(wanted, found, plan, grading, calls, book)
    kept = [
        StateFolder(state, clock).write_eval(replace(evidence(one, wanted.python_graders), basis=wanted.basis))
        for one in found.candidates
        if wanted.basis is not None
    ]
    eval_files.show(wanted, found, kept)
    return min(map(_exit_code, found.candidates))


def evidence(found: Candidate, python_graders: Mapping[str, str | None] = NO_GRADERS) -> EvalEvidence:
    """What the controller needs to know of an eval; a guard that blocks is no proceeding."""
    ruling, blocking = found.comparison.ruling, [guard for guard in found.contender.guards if guard.blocks]
    is_blocked = bool(blocking) and ruling.decision in (Decision.PROCEED, Decision.PROCEED_WITH_CAUTION)
    return EvalEvidence(
        candidate=found.variant.id,
        decision=Decision.COLLECT_MORE if is_blocked else ruling.decision,
        reason="; ".join([*_simulated(found), *(f"{guard.code}: {guard.words}" for guard in blocking), ruling.reason]),
        unproven=tuple(sorted({name for _, name in ruling.unproven})),
        regressed=tuple(sorted({name for _, name in ruling.regressed})),
        failed=failed_in(ruling, (guard.code for guard in blocking)),
        graded_by=tuple(f"{name}@{version or 'unknown'}" for name, version in sorted(python_graders.items())),
    )


def _simulated(found: Candidate) -> list[str]:
    """Whoever reads the upgrade's status must see that no vendor has answered."""
    names = found.comparison.stand_ins
    return [f"simulated: a stand-in answered for {', '.join(names)}"] if names else []


def _require_whole(plan: Plan, grading: Grading, calls: PaidCalls) -> None:
    """Offline there may be answers that nobody ever bought."""
    for part in in_parts(plan.puts(), AT_ONCE):
        asked = {line.key(case, trial): (line, case) for case, trial in part for line in plan.lines}
        known = calls.purchases(asked)
        for key, (line, case) in asked.items():
            if key not in known and line.order(key, case) is not None:
                _miss(f"answer of {line.variant.model!r} to case {case.id!r}")
    for judged in in_parts(judge_keys(plan, grading, calls), AT_ONCE):
        known = calls.purchases(key for key, _ in judged)
        for key, line in judged:
            if key not in known:
                _miss(f"verdict of the judge {key.grader!r} ({line.variant.model!r})")


def _miss(what: str) -> None:
    raise UsageError(
        f"the ledger has no {what}, expected all of them. Type next: the same command without --offline-from"
    )


def _exit_code(candidate: Candidate) -> int:
    code = EXIT_CODES[candidate.comparison.ruling.decision]
    return 1 if code == 0 and any(guard.blocks for guard in candidate.contender.guards) else code
