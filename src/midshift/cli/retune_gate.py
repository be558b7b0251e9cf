"""The verdict of a re-tuning on its locked cases, and what the controller hears of it.

The verdict is evidence for the upgrade: it rests on the only cases of the suite that the prompt was not fitted to. A
look is recorded when it is judged, before anybody sees it. Guards hold here as they do for `midshift eval`.
Elsewhere: the rules (retune.gating), which look it is (retune.looking), later evals of the prompt (eval_tuned).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from midshift.cli.retune_files import Shelf
from midshift.cli.retune_setting import Setting
from midshift.domain import bakeoff
from midshift.domain.bakeoff import Economy, Guarded
from midshift.domain.evidence import EvalEvidence, failed_in
from midshift.domain.gate import Decision, Retuning
from midshift.evals.rows import NUMBER_FIELDS
from midshift.retune import gating, looking
from midshift.retune.edits import Story
from midshift.retune.gating import Gated
from midshift.retune.looking import ALPHA, Taken
from midshift.retune.measuring import Scored
from midshift.stats.looks import Look

_LATENCY = NUMBER_FIELDS.index("latency_s")


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What was judged: on the locked cases, or without a look on the select cases where no prompt was chosen."""

    gated: Gated
    look: Taken | None = None
    more: int | None = None
    guards: tuple[Guarded, ...] = ()


def nearest(setting: Setting, incumbent: Sequence[Scored], candidate: Sequence[Scored], retuning: Retuning) -> Judged:
    """The verdict on the select cases; it spends nothing of the locked ones."""
    return Judged(_gate(setting, incumbent, candidate, retuning, ALPHA))


def locked(
    setting: Setting,
    shelf: Shelf,
    asked: Taken,
    incumbent: Sequence[Scored],
    candidate: Sequence[Scored],
    retuning: Retuning,
) -> Judged:
    """The verdict on the locked cases, on record when this returns; `asked` is the look without what it sees."""
    outputs = tuple(
        looking.output(old.case, gating.answer(old), gating.answer(new))
        for old, new in zip(incumbent, candidate, strict=True)
    )
    look = looking.look(shelf.looks(), asked.cases, outputs)
    gated = _gate(setting, incumbent, candidate, retuning, look.alpha(ALPHA))
    is_clear = looking.cleared(gated.ruling.decision)
    taken = replace(asked, outputs=outputs, further=look.further, cleared=is_clear)
    shelf.take(taken)
    more = None
    if gated.ruling.decision is Decision.COLLECT_MORE:
        level = Look(further=look.further + 1).alpha(ALPHA)
        more = gating.cases_missing(_gate(setting, incumbent, candidate, retuning, level).verdicts, level)
    return Judged(gated, taken, more, _guards(setting, gated, incumbent, candidate))


def evidence(setting: Setting, story: Story) -> Iterable[EvalEvidence]:
    """What the controller needs to know: of the tuned variant in any case, of the one it began with only on stop."""
    ruling, chosen = story.ruling, story.choice.chosen
    blocking = [guard for guard in story.guards if guard.blocks]
    is_blocked = bool(blocking) and looking.cleared(ruling.decision)
    reasons = [
        f"simulated: a stand-in answered for {', '.join(story.stand_ins)}" if story.stand_ins else "",
        *(f"{guard.code}: {guard.words}" for guard in blocking),
        f"on {len(story.splits.locked)} locked cases" if story.look is not None else "on the select cases",
        ruling.reason,
    ]
    made = EvalEvidence(
        candidate=setting.start.variant.id,
        decision=Decision.COLLECT_MORE if is_blocked else ruling.decision,
        reason="; ".join(filter(None, reasons)),
        unproven=tuple(sorted({name for _, name in ruling.unproven})),
        regressed=tuple(sorted({name for _, name in ruling.regressed})),
        failed=failed_in(ruling, (guard.code for guard in blocking)),
        graded_by=tuple(f"{name}@{version or 'unknown'}" for name, version in sorted(setting.python_graders.items())),
    )
    if ruling.decision is Decision.STOP:
        yield made
    if story.is_changed and chosen is not None:
        yield replace(made, candidate=setting.tunable.with_text(chosen.tried.text).id)


def _gate(
    setting: Setting, incumbent: Sequence[Scored], candidate: Sequence[Scored], retuning: Retuning, alpha: float
) -> Gated:
    slices = {name for case in setting.suite.cases for name in case.slices}
    margin = setting.subject.definition.workload.margin
    return gating.gate(incumbent, candidate, margin, setting.watched, retuning, setting.own_margins, alpha, slices)


def _guards(
    setting: Setting, gated: Gated, incumbent: Sequence[Scored], candidate: Sequence[Scored]
) -> tuple[Guarded, ...]:
    ruling = gated.ruling
    is_worse = bool(ruling.regressed) or ruling.decision in (Decision.RETUNE, Decision.STOP)
    variants = setting.subject.incumbent.variant, setting.subject.candidates[0].variant
    return bakeoff.guards(ruling.decision, is_worse, variants, (_economy(incumbent), _economy(candidate)))


def _economy(scored: Sequence[Scored]) -> Economy:
    latencies = [_known(one.answer.numbers[_LATENCY]) for one in scored]
    return bakeoff.economy(latencies, [one.cost_usd for one in scored])


def _known(number: float) -> float | None:
    return None if number != number else number  # NaN: nobody recorded it
