"""A re-tuning as Markdown: the log of every edit, the post about it, and the finding where nothing helped.

All three are generated from the same records (retune.edits), so that none of them says more than was measured. What
models wrote, reasons and prompts alike, is shown and never obeyed: by Markdown, by a terminal, or by a browser.
Elsewhere: the records as JSON (`retune.edits.document`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from midshift.domain.suite import AGGREGATE
from midshift.domain.variant import Variant
from midshift.domain.verdict import Evidence
from midshift.reports import words
from midshift.reports.markdown import code as _code
from midshift.reports.markdown import fenced as _fenced
from midshift.reports.markdown import joined as _joined
from midshift.reports.markdown import listed as _listed
from midshift.reports.markdown import quoted as _quoted
from midshift.reports.markdown import said as _said
from midshift.retune import looking
from midshift.retune.diagnosing import Kind, Reason, negative_instructions
from midshift.retune.edits import Edit, Story, edits
from midshift.retune.measuring import Delta
from midshift.retune.selecting import Judged
from midshift.retune.stale import Stale
from midshift.stats.looks import Look

_LENGTH_RULE = re.compile(r"(?i)\b(?:\d+|one|two|three|four|five|six|ten)\s+(?:sentences?|words?|lines?|paragraphs?)\b")
_HEADINGS = {
    Kind.NEGATION: "Instruction style",
    Kind.LENGTH: "Output shape",
    Kind.TOOLS: "Tool formatting",
    Kind.EFFORT: "Effort",
}


def log(story: Story) -> str:
    """Every edit with diff, reason, effect by slice and cost; what was refused; and the verdict."""
    return _joined(
        f"# Re-tuning {_said(story.workload)} for {_said(story.names[1])}",
        _simulated(story),
        _facts(story),
        "## Verdict",
        _verdict(story),
        "## Prompts",
        _prompts(story),
        "## Edits",
        *([_edit(edit) for edit in edits(story.choice)] or ["No edit was accepted."]),
        "## Refused proposals",
        _listed(_said(one.why, 400) for one in story.refused) or "None.",
        "## Left over from the incumbent",
        _listed(f"{_code(one.path)}: {_said(one.why)}" + _lines(one) for one in story.stale)
        or "No file was named (`--plans GLOB`, `--plan-table FILE:COLUMN`).",
    )


def post(story: Story) -> str:
    """What the new model wanted that the old one did not."""
    old, new = story.variants
    chosen = story.choice.chosen
    changed = story.choice.judged[0].tried.text, (chosen or story.choice.nearest).tried.text
    return _joined(
        f"# What {_said(new.model)} wanted that {_said(old.model)} did not",
        _simulated(story),
        f"Re-tuned for {_said(story.workload)} on {story.day:%d %B %Y}; {_summary(story)}",
        *(part for kind in Kind for part in _chapter(kind, story, changed)),
        "## What each edit did",
        *([_short(edit) for edit in edits(story.choice)] or ["No edit was accepted."]),
        "## How this is known",
        f"Prompts were chosen on {len(story.splits.select)} cases that the reflection model never saw, and never at "
        f"the cost of a slice: none may fall more than {story.margin * 100:g} points below {_said(old.model)}"
        f"{_own_margins(story)}. "
        f"{_on(story)} {story.calls:,} calls, {_usd(story.spent_usd)}.",
        _judges(story),
    )


def _own_margins(story: Story) -> str:
    own = [f"{_said(part)} {margin.points:g}" for part, margin in sorted(story.own_margins.items())]
    return f" (by margins of their own: {', '.join(own)})" if own else ""


def finding(story: Story) -> str:
    """That the new model does worse on this workload, whatever its prompt; with what that rests on."""
    shown = story.choice.chosen or story.choice.nearest
    return _joined(
        f"# Finding: {_said(story.names[1])} does worse on {_said(story.workload)}",
        _simulated(story),
        f"{story.day:%d %B %Y}. Decision: **stop**. {_said(story.ruling.reason, 600)}",
        f"Re-tuning made {story.rounds} rounds and spent its budget ({_said(story.ended, 300) or 'all rounds'}): "
        f"{story.proposed} new prompts were tried, {len(story.choice.judged)} scored on all cases to choose by, "
        f"{story.calls:,} calls, {_usd(story.spent_usd)}.",
        "## Verdicts",
        _on(story),
        _verdicts(story),
        _judges(story),
        "## The prompt that was chosen" if story.choice.chosen else "## The nearest prompt",
        _fenced(shown.tried.text),
        f"On the {len(story.splits.select)} cases to choose by:",
        _table(shown.deltas, ("incumbent", "candidate")),
        "## Where it falls short",
        _listed(
            f"{_said(floor.slice)} ({_said(floor.score)}): {floor.candidate:.3f}, incumbent {floor.incumbent:.3f}; "
            f"{100 * floor.short:.1f} points beyond the margin"
            for floor in shown.floors
        )
        or "No floor is broken on those cases; the verdicts above say what is.",
    )


def _simulated(story: Story) -> str:
    """Numbers of a stand-in are nobody's, wherever they are read."""
    return f"**{_said(words.stand_in_note(story.stand_ins), 400)}**" if story.stand_ins else ""


def _judges(story: Story) -> str:
    return _listed(_said(judge, 800) for judge in story.judges)


def _facts(story: Story) -> str:
    parts = story.splits
    return _listed(
        [
            f"Incumbent {_said(story.names[0])} ({_variant(story.variants[0])}), "
            f"candidate {_said(story.names[1])} ({_variant(story.variants[1])})",
            f"Reflection by {_said(story.reflection)}, seed {story.seed}",
            f"{len(parts.tune)} cases to learn from, {len(parts.select)} to choose by, {len(parts.locked)} locked",
            *(_said(note) for note in parts.notes),
            *(_said(judge, 800) for judge in story.judges),
            f"{story.rounds} rounds, {story.proposed} new prompts tried, {story.calls:,} calls, "
            f"{_usd(story.spent_usd)}; " + (f"ended: {_said(story.ended, 300)}" if story.ended else "ended by itself"),
        ]
    )


def _verdict(story: Story) -> str:
    more = (
        f"{story.more:,} more cases that no tuning has seen would settle all cases together at the next look, at "
        f"{_next_level(story)}: each of them judges."
        if story.more is not None
        else ""
    )
    guards = _listed(f"{guard.code}: {_said(guard.words, 400)}" for guard in story.guards)
    said = f"**{story.ruling.decision.value}** {_on(story)} {_said(story.ruling.reason, 600)}".strip()
    return _joined(said, more, guards, _verdicts(story)).strip()


def _next_level(story: Story) -> str:
    further = 0 if story.look is None else story.look.further
    return f"{100 * Look(further=further + 1).alpha(looking.ALPHA):.3g} %"


def _verdicts(story: Story) -> str:
    """What the ruling rests on, score by score and slice by slice."""
    lines = ["| score | slice | cases | delta | bounds | verdict | what it says |", "|---|---|---|---|---|---|---|"]
    for score in () if story.gated is None else story.gated.verdicts:
        rows = [(AGGREGATE, score.aggregate), *((part.slice.name, part.verdict) for part in score.slices)]
        for part, found in rows:
            of = found.evidence
            seen = ("0", "unknown", "unknown") if of is None else (f"{of.interval.n:,}", f"{of.d:+.3f}", _interval(of))
            named = _said(score.score.name), "all cases" if part == AGGREGATE else _said(part)
            lines.append(f"| {' | '.join((*named, *seen, found.outcome.value, _said(found.reason, 400)))} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _interval(evidence: Evidence) -> str:
    return f"{evidence.interval.low:+.3f} .. {evidence.interval.high:+.3f}"


def _on(story: Story) -> str:
    if story.gated is None:
        return "Nothing was judged."
    if story.choice.chosen is not None:
        said = "" if story.look is None else looking.words(Look(further=story.look.further))
        return f"Judged {'once, ' if not said else ''}on the {len(story.splits.locked)} locked cases" + (
            f" ({said})." if said else "."
        )
    return f"No prompt keeps every floor; the nearest was judged on the {len(story.splits.select)} select cases."


def _summary(story: Story) -> str:
    chosen = story.choice.chosen
    if chosen is None:
        return "no prompt keeps the floor of every slice."
    if not story.is_changed:
        return "the prompt as it was is as good as any that was found."
    first = {one.score: one for one in story.choice.judged[0].deltas if one.slice == AGGREGATE}
    mean = next((one for one in chosen.deltas if one.slice == AGGREGATE), None)
    if mean is None:
        return ""
    before = f"{first[mean.score].after:.3f}" if mean.score in first else "unknown"
    return (
        f"{_said(mean.score)}: {mean.before:.3f} by the old model, {before} by the new one with the prompt as it was, "
        f"{mean.after:.3f} with its own, on the {len(story.splits.select)} cases that the prompt was chosen by."
    )


def _prompts(story: Story) -> str:
    chosen = story.choice.chosen
    parts = [
        "Before" + (f" ({_code(story.files['before'])})" if story.files and "before" in story.files else "") + ":",
        _fenced(story.choice.judged[0].tried.text),
    ]
    if chosen is None:
        return _joined(*parts, "No prompt was chosen. The nearest:", _fenced(story.choice.nearest.tried.text))
    if not story.is_changed:
        return _joined(*parts, "It was kept.", _table(chosen.deltas, ("incumbent", "candidate")))
    where = f" ({_code(story.files['prompt'])})" if story.files and "prompt" in story.files else ""
    shown = _fenced(chosen.tried.text), _table(chosen.deltas, ("incumbent", "candidate"))
    return _joined(*parts, f"After{where}, prompt {chosen.tried.number}:", *shown)


def _edit(edit: Edit) -> str:
    tried = edit.judged.tried
    came = "" if edit.parent is None else f", from prompt {edit.parent.number}"
    return _joined(
        f"### Prompt {tried.number}{came}",
        _quoted(tried.reason) or "> (no reason given)",
        _fenced("\n".join(edit.diff), "diff"),
        _table(edit.gains, ("before", "after")),
        f"{_floors(edit.judged)} Cost: {_usd(tried.cost_usd)}.",
    )


def _short(edit: Edit) -> str:
    total = "; ".join(
        f"{_said(one.score)} {_signed(one)}" for one in edit.gains if one.slice == AGGREGATE and abs(one.d) > 1e-9
    )
    return _joined(
        f"**Prompt {edit.judged.tried.number}** ({total or 'no change on average'})", _quoted(edit.judged.tried.reason)
    )


def _floors(judged: Judged) -> str:
    if not judged.floors:
        return "Every slice keeps its floor."
    return (
        "Below its floor: "
        + ", ".join(f"{_said(one.slice)} ({_said(one.score)}, {100 * one.short:.1f} points)" for one in judged.floors)
        + "."
    )


def _chapter(kind: Kind, story: Story, changed: tuple[str, str]) -> list[str]:
    found = [reason for reason in story.reasons if reason.kind is kind]
    left = [reason for reason in story.left if reason.kind is kind]
    said = _counted(kind, story, changed)
    cases = len(story.splits.select)
    return [
        f"## {_HEADINGS[kind]}",
        *([said] if said else []),
        "With the prompt as it was:",
        _reasons(found) or f"Nothing was found on {cases} cases.",
        "With the prompt that was chosen:" if story.choice.chosen else "With the nearest prompt:",
        _reasons(left) or f"Nothing was found on {cases} cases.",
    ]


def _counted(kind: Kind, story: Story, changed: tuple[str, str]) -> str:
    """What the two prompts themselves say about a reason."""
    before, after = changed
    match kind:
        case Kind.NEGATION:
            negative = len(negative_instructions(before)), len(negative_instructions(after))
            words = len(before.split()), len(after.split())
            return (
                f"Sentences that say what not to do: {negative[0]} before, {negative[1]} after. "
                f"Words in the prompt: {words[0]} before, {words[1]} after."
            )
        case Kind.LENGTH:
            says = _yes(_LENGTH_RULE.search(before)), _yes(_LENGTH_RULE.search(after))
            return f"The prompt says how long an answer is: {says[0]} before, {says[1]} after."
        case Kind.EFFORT:
            return f"Effort: {_dial(story.variants[0])} before, {_dial(story.variants[1])} now."
        case Kind.TOOLS:
            return ""


def _reasons(found: Iterable[Reason]) -> str:
    return _listed(
        _said(one.found, 300)
        + (f" ({one.count} of {one.of} cases" if one.of else "")
        + (f", such as {', '.join(map(_code, one.examples))})" if one.examples else ")" if one.of else "")
        for one in found
    )


def _table(found: Sequence[Delta], names: tuple[str, str]) -> str:
    rows = [
        f"| {_said(one.score)} | {'all cases' if one.slice == AGGREGATE else _said(one.slice)} | {one.n} | "
        f"{one.before:.3f} | {one.after:.3f} | {one.d:+.3f} | {_bounds(one)} |"
        for one in found
    ]
    head = f"| score | slice | cases | {names[0]} | {names[1]} | delta | 95 % bounds, one-sided each |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def _bounds(one: Delta) -> str:
    return "too few" if one.interval is None else f"{one.interval.low:+.3f} .. {one.interval.high:+.3f}"


def _signed(one: Delta) -> str:
    return f"{one.d:+.3f}" + ("" if one.interval is None else f" ({_bounds(one)})")


def _variant(variant: Variant) -> str:
    return f"{_said(variant.provider)}/{_said(variant.model)}, effort {_dial(variant)}"


def _dial(variant: Variant) -> str:
    return "unset" if variant.effort is None else _code(variant.effort)


def _lines(one: Stale) -> str:
    if one.rows:
        return f" (row{'' if one.entries == 1 else 's'} {', '.join(map(_code, one.rows))})"
    return "" if one.entries == 0 else f" ({one.entries} line{'' if one.entries == 1 else 's'})"


def _yes(found: object) -> str:
    return "yes" if found else "no"


def _usd(amount: float | None) -> str:
    return "cost unknown" if amount is None else f"{amount:.4f} USD"
