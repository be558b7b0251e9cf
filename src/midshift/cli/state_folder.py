"""The state folder: what controller and gateways share that is no decision.

It holds evals (`evals/`), records of requests (`exposures-v1/`, `pairs-v1/`, `requests-v1/`, `feedback-v1/`) and each
gateway's own last-known-good routes (`gateways/NAME/`). Everything that was decided is in the store.
Elsewhere: the two processes (serve), what is written there (store.segments, gateway.lastknown).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from midshift.cli.project import write_whole
from midshift.domain.evidence import Basis, EvalEvidence
from midshift.domain.exposure import Pair, ShadowAnswer
from midshift.domain.unseen import PairKind
from midshift.domain.upgrade import Upgrade
from midshift.errors import MidshiftError
from midshift.ports import Clock

if TYPE_CHECKING:
    from midshift.controller.evidence import Taken
    from midshift.evals.rows import Answer
    from midshift.shadow.divergence import Divergence, Said
    from midshift.shadow.drift import Finding

LOG = logging.getLogger(__name__)

EVAL_FORMAT = "midshift.eval-evidence/2"
_DRIFT_AGAIN_AT = 1.5
_DRIFT_AGAIN_S = 600.0


class _EvalFile(msgspec.Struct):
    format: str
    evidence: EvalEvidence


@dataclass(frozen=True, slots=True)
class _Judged:
    """The drift that pairs showed when they were so many bytes, at that second."""

    bytes: int
    at_s: float
    flagged: tuple[str, ...]


class StateFolder:
    """Evals and pairs by upgrade. Implements `controller.loop.Sources`.

    `holds` says what evidence for an upgrade has to rest on now; without it that is the workload, the incumbent and the
    candidate alone.
    """

    def __init__(self, folder: Path, clock: Clock, holds: Callable[[Upgrade], Basis] | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._holds = holds
        self._judged: dict[tuple[str, str], _Judged] = {}
        self._said: dict[str, str] = {}

    def write_eval(self, evidence: EvalEvidence) -> Path:
        """Keep the last eval of a candidate for a workload, whole or not at all.

        Raises:
            ValueError: for evidence that does not say what it rests on.
        """
        if evidence.basis is None:
            raise ValueError("evidence without a basis is evidence of nothing")
        path = self._eval_path(evidence.basis.workload, evidence.candidate)
        make_private(self._folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, msgspec.json.format(msgspec.json.encode(_EvalFile(EVAL_FORMAT, evidence))) + b"\n")
        return path

    def eval_of(self, upgrade: Upgrade) -> EvalEvidence | None:
        """The eval of the present candidate; one that cannot be read or rests on something else is as good as none."""
        found, trouble = self._eval(upgrade)
        if trouble and self._said.get(upgrade.id) != trouble:
            LOG.warning("%s: %s", upgrade.id, trouble)
        self._said[upgrade.id] = trouble
        return None if trouble else found

    def eval_trouble(self, upgrade: Upgrade) -> str:
        """See `Sources`."""
        return self._eval(upgrade)[1]

    def _eval(self, upgrade: Upgrade) -> tuple[EvalEvidence | None, str]:
        """What is on record, and why it counts as none."""
        again = f"it counts as none. Type next: midshift upgrade eval {upgrade.workload}"
        path = self._eval_path(upgrade.workload, upgrade.candidate)
        earlier = self._folder / "evals" / f"{upgrade.candidate}.json"
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_EvalFile)
        except FileNotFoundError:
            said = f"the eval {earlier} is of an earlier form, which does not say what it rests on: {again}"
            return None, said if earlier.exists() else ""
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            return None, f"the eval {path} cannot be read ({error}): {again}"
        if found.format != EVAL_FORMAT or found.evidence.candidate != upgrade.candidate or found.evidence.basis is None:
            return None, f"the eval {path} is of another form or candidate: {again}"
        try:
            others = self._others(found.evidence.basis, upgrade)
        except MidshiftError as error:
            return None, f"nobody can say whether the eval on record still fits ({error}): {again}"
        if others:
            return None, f"the eval on record rests on other {', '.join(others)}: {again}"
        return found.evidence, ""

    def _others(self, basis: Basis, upgrade: Upgrade) -> tuple[str, ...]:
        """What it rests on that is another now."""
        own = replace(basis, workload=upgrade.workload, incumbent=upgrade.incumbent)
        return basis.differs(own) or (() if self._holds is None else basis.differs(self._holds(upgrade)))

    def flagged_drift(self, upgrade: Upgrade) -> tuple[str, ...]:
        """The drift over all pairs of the present candidate.

        Computed again when there are half as many more, or some more after ten minutes: a look at all pairs is dear.
        """
        from midshift.store.segments import Kind, segments

        key = (upgrade.id, upgrade.candidate)
        size = sum(segment.bytes for segment in segments(self._folder, Kind.PAIRS))
        now_s, before = self._clock.monotonic_s(), self._judged.get(key)
        if before is not None:
            is_due = size >= before.bytes * _DRIFT_AGAIN_AT or now_s - before.at_s >= _DRIFT_AGAIN_S
            if size == before.bytes or not is_due:
                return before.flagged
        flagged = dict.fromkeys(f"{item.kind.value}:{item.metric}" for item in self.findings(upgrade) if item.flagged)
        self._judged[key] = _Judged(size, now_s, tuple(flagged))
        return self._judged[key].flagged

    def unseen(self, upgrade: Upgrade) -> Taken | None:
        """What the candidate's shadow answers took; asked only where something was promised."""
        from midshift.controller.evidence import taken_by
        from midshift.domain.workload import Budgets

        if upgrade.plan.budgets == Budgets():
            return None
        return taken_by(pair.candidate for pair in self._pairs(upgrade, PairKind.SHADOW, upgrade.candidate))

    def findings(self, upgrade: Upgrade) -> list[Finding]:
        """What the shadow pairs show that the segments hold now."""
        return _drift_of(self._pairs(upgrade, PairKind.SHADOW, upgrade.candidate))

    def divergence(self, upgrade: Upgrade) -> list[Divergence]:
        """How much the candidate's answers differ, net of how much the incumbent's differ from themselves."""
        from midshift.shadow.divergence import Both

        both = Both()
        for pair in self._pairs(upgrade, PairKind.NOISE, upgrade.incumbent):
            seen, again = _as_said(pair.incumbent), _as_said(pair.candidate)
            if seen is not None and again is not None:
                both.add_noise(pair.request_id, pair.slices, pair.unit, seen, again)
        for pair in self._pairs(upgrade, PairKind.SHADOW, upgrade.candidate):
            seen, unseen = _as_said(pair.incumbent), _as_said(pair.candidate)
            if seen is not None and unseen is not None:
                both.add_shadow(pair.request_id, seen, unseen)
        return both.findings()

    def noise_pairs(self, upgrade: Upgrade) -> int:
        """How many requests the incumbent answered twice, whether the texts were kept or not."""
        return sum(1 for _ in self._pairs(upgrade, PairKind.NOISE, upgrade.incumbent))

    def _pairs(self, upgrade: Upgrade, kind: PairKind, candidate_id: str) -> Iterator[Pair]:
        from midshift.store.segments import Kind, Reading, pairs, segments

        reading = Reading()
        for segment in segments(self._folder, Kind.PAIRS):
            for pair in pairs(segment.path, reading):
                if (pair.upgrade, pair.kind, pair.candidate_id) == (upgrade.id, kind, candidate_id):
                    yield pair
        if reading.unreadable:
            LOG.warning("%d lines of pairs cannot be read: %s", reading.unreadable, "; ".join(reading.places))

    def _eval_path(self, workload: str, candidate: str) -> Path:
        return self._folder / "evals" / "by-workload" / workload / f"{candidate}.json"


def make_private(state: Path) -> None:
    """Make the state folder, for its owner alone and out of git: it holds what users wrote."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = state / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


def _drift_of(pairs: Iterable[Pair]) -> list[Finding]:
    from midshift.evals.rows import Ledger, PairedRow
    from midshift.evals.table import Table
    from midshift.shadow import drift
    from midshift.shadow.columns import Columns

    table, columns = Table(Ledger(unit="pair")), Columns()
    for number, pair in enumerate(pairs, start=1):
        sides = _as_answer(pair.incumbent), _as_answer(pair.candidate)
        row = PairedRow(number, pair.request_id, *sides, pair.slices, pair.unit or None)
        table.append(row)
        columns.append(row)
    cases = table.finish()
    return drift.findings(columns, cases, table.ids.__getitem__) if cases.rows.size else []


def _as_answer(side: ShadowAnswer) -> Answer:
    from midshift.evals.rows import Answer, unanswered

    numbers = (
        *(side.tokens_in, side.tokens_out, side.reasoning_out),
        *(side.latency_s, side.first_byte_s, side.cost_usd),
    )
    kept = side.features
    said = side.text if side.text is not None or kept is None else "words" if kept.words else ""
    return Answer(
        side.text,
        failure=unanswered(said, int(side.finish_reason == "tool_calls"), side.status != 200),
        numbers=tuple(math.nan if number is None else float(number) for number in numbers),
        measured=kept,
    )


def _as_said(side: ShadowAnswer) -> Said | None:
    """None for a side that gave no answer, or whose text was not kept: neither says anything about randomness."""
    from midshift.shadow.divergence import Said

    if side.text is None and side.features is not None:
        return None
    return Said(side.text or "", side.tools or "") if side.status == 200 else None
