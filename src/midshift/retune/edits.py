"""What a re-tuning did, as records: every edit with its words, its effect by slice and its cost.

An edit is a prompt that was accepted: it was scored on all select cases. Its effect is shown against the prompt that it
was made from, and against the incumbent. `document` is the whole of it as plain JSON; reports render the same records.
Elsewhere: Markdown (reports.retuning), the choice (selecting).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from midshift.domain.bakeoff import Guarded
from midshift.domain.gate import Decision, Retuning, Ruling
from midshift.domain.suite import Margin
from midshift.domain.variant import Variant
from midshift.retune.adapter import Refused
from midshift.retune.diagnosing import Reason
from midshift.retune.gating import Gated
from midshift.retune.looking import Taken
from midshift.retune.measuring import Delta, Floor, deltas
from midshift.retune.selecting import Choice, Judged, Tried
from midshift.retune.splits import Part, Splits, marks
from midshift.retune.stale import Stale

FORMAT = "midshift.retune/1"


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """A prompt that was accepted, beside the one that it was made from; `gains` are against that one."""

    judged: Judged
    parent: Tried | None
    gains: tuple[Delta, ...]

    @property
    def diff(self) -> list[str]:
        """The edit as a unified diff, line by line."""
        before = [] if self.parent is None else self.parent.text.splitlines()
        after = self.judged.tried.text.splitlines()
        return list(difflib.unified_diff(before, after, "before", "after", lineterm=""))


@dataclass(frozen=True, slots=True, eq=False)
class Story:
    """One re-tuning from its inputs to its end. Names are the files' stems; `files` are what was written, by kind.

    `gated` is the verdict on the locked cases, or on the select cases where no prompt was chosen. `reasons` are what
    was found with the prompt as it was, `left` what is found with the chosen or the nearest one. `look` is the judging
    of the locked cases, `more` how many cases that no tuning has seen would settle what it left open. `proposed` is
    how many prompts were tried at all. `stand_ins` are providers that are simulated, or for whom a server of this
    machine answered.
    """

    id: str
    day: date
    workload: str
    names: tuple[str, str]
    variants: tuple[Variant, Variant]
    reflection: str
    seed: int
    margin: float
    splits: Splits
    choice: Choice
    refused: tuple[Refused, ...]
    rounds: int
    ended: str
    retuning: Retuning
    gated: Gated | None
    calls: int
    spent_usd: float | None
    reasons: tuple[Reason, ...] = ()
    left: tuple[Reason, ...] = ()
    stale: tuple[Stale, ...] = ()
    own_margins: Mapping[str, Margin] = field(default_factory=dict)
    files: Mapping[str, str] | None = None
    stand_ins: tuple[str, ...] = ()
    look: Taken | None = None
    more: int | None = None
    proposed: int = 0
    guards: tuple[Guarded, ...] = ()
    judges: tuple[str, ...] = ()
    """What is to be known of each judge that graded, in words."""

    @property
    def is_changed(self) -> bool:
        """Whether a prompt was chosen that is not the one it began with."""
        return self.choice.chosen is not None and self.choice.chosen.tried.number > 0

    @property
    def ruling(self) -> Ruling:
        """What to do next."""
        return Ruling(Decision.COLLECT_MORE, "nothing was judged") if self.gated is None else self.gated.ruling


def edits(choice: Choice) -> list[Edit]:
    """Every accepted edit, in order; the prompt that the search began with is none."""
    by_number = {one.tried.number: one.tried for one in choice.judged}
    found = []
    for judged in choice.judged[1:]:
        parent = by_number.get(judged.tried.parent or 0)
        gains = () if parent is None else tuple(deltas(parent.scored, judged.tried.scored))
        found.append(Edit(judged, parent, gains))
    return found


def document(story: Story) -> dict[str, Any]:
    """The records as plain JSON."""
    chosen = story.choice.chosen
    return {
        "format": FORMAT,
        "id": story.id,
        "day": story.day.isoformat(),
        "workload": story.workload,
        "simulated": bool(story.stand_ins),
        "stand_ins": list(story.stand_ins),
        "incumbent": _variant(story.names[0], story.variants[0]),
        "candidate": _variant(story.names[1], story.variants[1]),
        "reflection": story.reflection,
        "seed": story.seed,
        "margin": story.margin,
        "own_margins": {part: own.fraction for part, own in sorted(story.own_margins.items())},
        "cases": {
            "tune": len(story.splits.tune),
            "select": len(story.splits.select),
            "locked": len(story.splits.locked),
            "notes": list(story.splits.notes),
        },
        "parts": parts(story.splits),
        "decision": story.ruling.decision.value,
        "reason": story.ruling.reason,
        "judged_on": None if story.gated is None else "locked" if chosen is not None else "select",
        "look": None if story.look is None else _look(story.look),
        "more_cases": story.more,
        "judges": list(story.judges),
        "guards": [asdict(guard) for guard in story.guards],
        "retuning": story.retuning.value,
        "ended": story.ended,
        "rounds": story.rounds,
        "proposed": story.proposed,
        "calls": story.calls,
        "spent_usd": story.spent_usd,
        "chosen": None if chosen is None else chosen.tried.number,
        "tuned": None if story.look is None or not story.is_changed else story.look.variant,
        "prompts": [_judged(one) for one in story.choice.judged],
        "edits": [_edit(edit) for edit in edits(story.choice)],
        "refused": [{"text": one.text, "why": one.why} for one in story.refused],
        "verdicts": _verdicts(story.gated),
        "reasons": [_reason(reason) for reason in story.reasons],
        "left": [_reason(reason) for reason in story.left],
        "stale": [{**asdict(one), "rows": list(one.rows)} for one in story.stale],
        "files": dict(story.files or {}),
    }


def parts(found: Splits) -> dict[str, list[str]]:
    """The marks of the cases of each part, by which a later run knows them again; no text is in them."""
    by_part = {Part.TUNE: found.tune, Part.SELECT: found.select, Part.LOCKED: found.locked}
    return {part.value: sorted({mark for case in cases for mark in marks(case)}) for part, cases in by_part.items()}


def _look(look: Taken) -> dict[str, Any]:
    """Without its time: records of the same search are the same."""
    found = asdict(look)
    del found["at"]
    return {**found, "cases": list(look.cases), "outputs": list(look.outputs)}


def _variant(name: str, variant: Variant) -> dict[str, Any]:
    return {
        "name": name,
        "id": variant.id,
        "provider": variant.provider,
        "model": variant.model,
        "effort": variant.effort,
    }


def _judged(one: Judged) -> dict[str, Any]:
    tried = one.tried
    return {
        "number": tried.number,
        "parent": tried.parent,
        "text": tried.text,
        "mean": one.reward,
        "against_incumbent": [delta(item) for item in one.deltas],
        "broken_floors": [_floor(item) for item in one.floors],
    }


def _edit(edit: Edit) -> dict[str, Any]:
    tried = edit.judged.tried
    return {
        "number": tried.number,
        "parent": tried.parent,
        "reason": tried.reason,
        "diff": edit.diff,
        "gains": [delta(item) for item in edit.gains],
        "cost_usd": tried.cost_usd,
    }


def delta(one: Delta) -> dict[str, Any]:
    """A difference as plain JSON; bounds are null where there are too few clusters for any."""
    return {
        "score": one.score,
        "slice": one.slice,
        "n": one.n,
        "before": one.before,
        "after": one.after,
        "delta": one.d,
        "low": None if one.interval is None else one.interval.low,
        "high": None if one.interval is None else one.interval.high,
    }


def _floor(floor: Floor) -> dict[str, Any]:
    return {
        "score": floor.score,
        "slice": floor.slice,
        "incumbent": floor.incumbent,
        "candidate": floor.candidate,
        "short": floor.short,
    }


def _verdicts(gated: Gated | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for score in () if gated is None else gated.verdicts:
        every = [("*", score.aggregate), *((part.slice.name, part.verdict) for part in score.slices)]
        rows += [
            {"score": score.score.name, "slice": name, "verdict": found.outcome.value, "reason": found.reason}
            for name, found in every
        ]
    return rows


def _reason(reason: Reason) -> dict[str, Any]:
    return {
        "kind": reason.kind.value,
        "found": reason.found,
        "count": reason.count,
        "of": reason.of,
        "examples": list(reason.examples),
    }
