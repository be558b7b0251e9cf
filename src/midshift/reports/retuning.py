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
from midshift.reports.text import visible
from midshift.retune.diagnosing import Kind, Reason, negative_instructions
from midshift.retune.edits import Edit, Story, edits
from midshift.retune.measuring import Delta
from midshift.retune.selecting import Judged

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~])")
_MOST_TEXT = 100_000
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
        _listed(f"{_code(one.path)}: {_said(one.why)}" + _lines(one.entries) for one in story.stale)
        or "No file was named (`--plans GLOB`).",
    )


def post(story: Story) -> str:
    """What the new model wanted that the old one did not."""
    old, new = story.variants
    chosen = story.choice.chosen
    changed = story.choice.judged[0].tried.text, (chosen or story.choice.nearest).tried.text
    return _joined(
        f"# What {_said(new.model)} wanted that {_said(old.model)} did not",
        f"Re-tuned for {_said(story.workload)} on {story.day:%d %B %Y}; {_summary(story)}",
        *(part for kind in Kind for part in _chapter(kind, story, changed)),
        "## What each edit did",
        *([_short(edit) for edit in edits(story.choice)] or ["No edit was accepted."]),
        "## How this is known",
        f"Prompts were chosen on {len(story.splits.select)} cases that the reflection model never saw, and never at "
        f"the cost of a slice: none may fall more than {story.margin * 100:g} points below {_said(old.model)}. "
        f"{_on(story)} {story.calls:,} calls, {_usd(story.spent_usd)}.",
    )


def finding(story: Story) -> str:
    """That the new model does worse on this workload, whatever its prompt; with what that rests on."""
    nearest = story.choice.nearest
    return _joined(
        f"# Finding: {_said(story.names[1])} does worse on {_said(story.workload)}",
        f"{story.day:%d %B %Y}. Decision: **stop**. {_said(story.ruling.reason, 600)}",
        f"Re-tuning made {story.rounds} rounds and spent its budget ({_said(story.ended, 300) or 'all rounds'}): "
        f"{len(story.choice.judged)} prompts were scored, {story.calls:,} calls, {_usd(story.spent_usd)}.",
        "## The nearest prompt",
        _fenced(nearest.tried.text),
        _table(nearest.deltas, ("incumbent", "candidate")),
        "## Where it falls short",
        _listed(
            f"{_said(floor.slice)} ({_said(floor.score)}): {floor.candidate:.3f}, incumbent {floor.incumbent:.3f}; "
            f"{100 * floor.short:.1f} points beyond the margin"
            for floor in nearest.floors
        )
        or "No floor is broken; the verdict above says what is.",
    )


def _facts(story: Story) -> str:
    parts = story.splits
    return _listed(
        [
            f"Incumbent {_said(story.names[0])} ({_variant(story.variants[0])}), "
            f"candidate {_said(story.names[1])} ({_variant(story.variants[1])})",
            f"Reflection by {_said(story.reflection)}, seed {story.seed}",
            f"{len(parts.tune)} cases to learn from, {len(parts.select)} to choose by, {len(parts.locked)} locked",
            *(_said(note) for note in parts.notes),
            f"{story.rounds} rounds, {story.calls:,} calls, {_usd(story.spent_usd)}; "
            + (f"ended: {_said(story.ended, 300)}" if story.ended else "ended by itself"),
        ]
    )


def _verdict(story: Story) -> str:
    return _joined(f"**{story.ruling.decision.value}** {_on(story)} {_said(story.ruling.reason, 600)}".strip())


def _on(story: Story) -> str:
    if story.gated is None:
        return "Nothing was judged."
    if story.choice.chosen is not None:
        return f"Judged once, on the {len(story.splits.locked)} locked cases."
    return f"No prompt keeps every floor; the nearest was judged on the {len(story.splits.select)} select cases."


def _summary(story: Story) -> str:
    chosen = story.choice.chosen
    if chosen is None:
        return "no prompt keeps the floor of every slice."
    if not story.is_changed:
        return "the prompt as it was is as good as any that was found."
    mean = next((one for one in chosen.deltas if one.slice == AGGREGATE), None)
    return "" if mean is None else f"{_said(mean.score)} {mean.before:.3f} before the switch, {mean.after:.3f} with it."


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


def _lines(entries: int) -> str:
    return "" if entries == 0 else f" ({entries} line{'' if entries == 1 else 's'})"


def _yes(found: object) -> str:
    return "yes" if found else "no"


def _usd(amount: float | None) -> str:
    return "cost unknown" if amount is None else f"{amount:.4f} USD"


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def _listed(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _said(text: str, longest: int = 200) -> str:
    """Foreign text on one line, with nothing that Markdown or a browser would act on."""
    return _SPECIAL.sub(r"\\\1", visible(text, longest))


def _quoted(text: str) -> str:
    return "\n".join(f"> {_said(line, 400)}" for line in text.splitlines() if line.strip())


def _code(text: str) -> str:
    return f"`{visible(text).replace('`', chr(39))}`"


def _fenced(text: str, language: str = "text") -> str:
    """Foreign lines in a fence that they cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    body = "\n".join(visible(line, 2000) for line in text[:_MOST_TEXT].split("\n"))
    return f"{fence}{language}\n{body}\n{fence}"
