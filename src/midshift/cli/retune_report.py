"""What a person reads when a re-tuning is over: the slices, the verdict, the files, and what to type next.

Elsewhere: Markdown (reports.retuning).
"""

from __future__ import annotations

import json
import sys

from midshift.cli.compare import EXIT_CODES
from midshift.cli.project import say
from midshift.cli.retune_setting import Setting
from midshift.domain.gate import Decision
from midshift.reports.text import visible
from midshift.retune import edits
from midshift.retune.edits import Story
from midshift.retune.measuring import Delta


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
        f"{len(story.choice.judged)} prompts scored, {len(story.refused)} refused, {story.calls:,} calls, {spent}",
        f"cases: {len(parts.tune)} to learn from, {len(parts.select)} to choose by, {len(parts.locked)} locked",
        *(f"  {visible(note)}" for note in parts.notes),
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
    on = "locked cases, judged once" if story.choice.chosen is not None else "select cases"
    said.append(f"{story.ruling.decision.value.upper()} ({on}): {visible(story.ruling.reason, 600) or 'every slice'}")
    said += [f"  to be redone: {visible(one.path)} ({visible(one.why)})" for one in story.stale]
    said += [f"{what}: {visible(path)}" for what, path in (story.files or {}).items()]
    return [*said, _next(setting, story)]


def _chosen(story: Story) -> str:
    chosen = story.choice.chosen
    if chosen is None:
        return f"no prompt keeps every floor; nearest is prompt {story.choice.nearest.tried.number}:"
    if not story.is_changed:
        return "the prompt as it was keeps every floor, and none that was found is better:"
    return f"chosen: prompt {chosen.tried.number}, {len(chosen.tried.text):,} characters:"


def _next(setting: Setting, story: Story) -> str:
    workload, files = visible(story.workload), story.files or {}
    if story.ruling.decision is Decision.STOP:
        return f"Type next: midshift upgrade status {workload}, and read {visible(files['finding'])}"
    if "variant" in files:
        to, why = visible(files["variant"]), visible(files["log"])
        return (
            f"Type next: midshift upgrade candidate {workload} --to {to} --who NAME --why 're-tuned, see {why}'   "
            f"(without an upgrade yet: midshift upgrade start {workload} --to {to})"
        )
    if story.choice.chosen is not None:
        return f"Type next: midshift eval {workload} --to {visible(setting.start.path)}"
    return f"Type next: a higher --max-usd, or: midshift retune --manual {workload} --to {visible(setting.start.path)}"


def sign_of(one: Delta, is_broken: bool, setting: Setting) -> str:
    """Whether a slice keeps its floor; one that is only watched is marked if it would not."""
    margin = setting.subject.definition.workload.margin.fraction
    is_low = one.slice in setting.watched and one.d < -margin
    return "✖" if is_broken else "⚠" if is_low else "✔"
