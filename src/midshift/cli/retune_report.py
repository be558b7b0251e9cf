"""What a person reads when a re-tuning is over: the slices, the verdict, the files, and what to type next.

Elsewhere: Markdown (reports.retuning).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from midshift.cli.compare import EXIT_CODES
from midshift.cli.project import say
from midshift.cli.retune_setting import Setting
from midshift.domain.gate import Decision
from midshift.domain.suite import ScoreRole
from midshift.domain.verdict import Outcome
from midshift.reports import words
from midshift.reports.text import visible
from midshift.retune import edits, looking
from midshift.retune.edits import Story
from midshift.retune.measuring import Delta, allowed
from midshift.retune.search import LEAST_ROUNDS
from midshift.stats.looks import Look

_ROWS_SHOWN = 10


def reported(setting: Setting, story: Story, as_json: bool) -> int:
    """Print it, as lines or as JSON; gives the exit code of the decision."""
    document = edits.document(story)
    if as_json:
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        for line in _lines(setting, story):
            say(line)
    return EXIT_CODES[story.ruling.decision]


def _lines(setting: Setting, story: Story) -> list[str]:
    shown = story.choice.chosen or story.choice.nearest
    spent = "cost unknown" if story.spent_usd is None else f"{story.spent_usd:.4f} USD"
    parts = story.splits
    said = [
        f"{visible(story.workload)}: {visible(story.names[0])} → {visible(story.names[1])}, {story.rounds} rounds, "
        f"{story.proposed} new prompts tried, {len(story.choice.judged)} scored, {len(story.refused)} refused, "
        f"{story.calls:,} calls, {spent}",
        *([visible(words.stand_in_note(story.stand_ins), 400)] if story.stand_ins else []),
        f"cases: {len(parts.tune)} to learn from, {len(parts.select)} to choose by, {len(parts.locked)} locked",
        *(f"  {visible(note)}" for note in parts.notes),
        *(visible(judge, 800) for judge in story.judges),
        f"ended: {visible(story.ended, 400) or 'nothing more to gain, or all rounds are made'}",
        _chosen(story),
    ]
    broken = {(floor.score, floor.slice) for floor in shown.floors}
    for one in shown.deltas:
        sign = sign_of(one, (one.score, one.slice) in broken, setting)
        bounds = "" if one.interval is None else f"  [{one.interval.low:+.3f}, {one.interval.high:+.3f}]"
        said.append(
            f"  {sign} {visible(one.score)} {visible(one.slice)}: {one.before:.3f} → {one.after:.3f} "
            f"({one.d:+.3f} on {one.n}){bounds}"
        )
    said.append(f"{story.ruling.decision.value.upper()} ({_on(story)}): {visible(story.ruling.reason, 600)}")
    said += [f"  {line}" for line in _verdicts(story)]
    said += [f"  ✖ {guard.code}: {visible(guard.words, 400)}" for guard in story.guards if guard.blocks]
    said += [f"  to be redone: {visible(one.path)}{_rows(one.rows)} ({visible(one.why)})" for one in story.stale]
    said += [f"{what}: {visible(path)}" for what, path in (story.files or {}).items()]
    return [*said, _next(setting, story)]


def _rows(rows: Sequence[str]) -> str:
    """The rows of a table, the first few of many; all of them are in the records."""
    if not rows:
        return ""
    more = f" and {len(rows) - _ROWS_SHOWN:,} more" if len(rows) > _ROWS_SHOWN else ""
    return f", row{'' if len(rows) == 1 else 's'} {', '.join(map(visible, rows[:_ROWS_SHOWN]))}{more}"


def _on(story: Story) -> str:
    if story.look is None:
        return "select cases: no prompt was chosen, so the locked ones stay unseen"
    said = looking.words(Look(further=story.look.further))
    return "locked cases, judged once" if not said else f"locked cases, {said}"


def _verdicts(story: Story) -> list[str]:
    """The verdicts that the ruling rests on; a promise about form only where it is not kept or open."""
    lines = []
    for score in () if story.gated is None else story.gated.verdicts:
        rows = [("*", score.aggregate), *((part.slice.name, part.verdict) for part in score.slices)]
        for part, verdict in rows:
            is_shown = score.score.role is ScoreRole.QUALITY or verdict.outcome is Outcome.FAIL
            if is_shown:
                name = f"{visible(score.score.name)} {visible(part)}"
                lines.append(f"{verdict.outcome.value} {name}: {visible(verdict.reason, 300)}")
    return lines


def _chosen(story: Story) -> str:
    chosen, on = story.choice.chosen, f"on the {len(story.splits.select)} cases to choose by:"
    if chosen is None:
        return f"no prompt keeps every floor; nearest is prompt {story.choice.nearest.tried.number}, {on}"
    if not story.is_changed:
        return f"the prompt as it was keeps every floor, and none that was found is better, {on}"
    return f"chosen: prompt {chosen.tried.number}, {len(chosen.tried.text):,} characters, {on}"


def _next(setting: Setting, story: Story) -> str:
    workload, files = visible(story.workload), story.files or {}
    if story.ruling.decision is Decision.STOP:
        return f"Type next: midshift upgrade status {workload}, and read {visible(files['finding'])}"
    if "variant" in files:
        to, why = visible(files["variant"]), visible(files["log"])
        more = (
            ""
            if story.more is None
            else f"{story.more:,} more cases into the suite (no tuning has seen them, so all judge), "
            f"then: midshift eval {workload} --to {to}\n       "
        )
        return (
            f"Type next: {more}midshift upgrade candidate {workload} --to {to} --who NAME "
            f"--why 're-tuned, see {why}'   (without an upgrade yet: midshift upgrade start {workload} --to {to})"
        )
    if story.choice.chosen is not None:
        return f"Type next: midshift eval {workload} --to {visible(setting.start.path)}"
    if story.proposed < LEAST_ROUNDS:
        why = f": {visible(story.refused[-1].why, 200)}" if story.refused else ""
        return (
            f"{visible(story.reflection)} made {story.proposed} prompts that could be tried{why}; expected at least "
            f"{LEAST_ROUNDS}, or nobody can say that none is good. Type next: another --reflection, or a higher budget"
        )
    by_hand = f"midshift retune --manual {workload} --to {visible(setting.start.path)}"
    return f"Type next: a higher --max-usd or --max-calls, or: {by_hand}"


def sign_of(one: Delta, is_broken: bool, setting: Setting) -> str:
    """Whether a slice keeps its floor; one that is only watched is marked if it would not."""
    margin = setting.subject.definition.workload.margin.fraction
    is_low = one.slice in setting.watched and one.d < -allowed(one.slice, margin, setting.own_margins)
    return "✖" if is_broken else "⚠" if is_low else "✔"
