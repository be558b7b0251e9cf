"""Why a prompt that served one model fails another: the four reasons that come up again and again, counted on outputs.

    negation  the prompt says what not to do, and the new model takes it by the letter
    length    nobody said how long an answer is, and the new model's own habit is another one
    tools     the same tool is called with arguments of another shape
    effort    the new model thinks more or less than the old one did

Contract: pure counts over pairs of answers to the same cases, with examples. A count is no proof and no verdict: it
says where to look first. Numbers that nobody recorded are unknown, and then the reason is left out.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

import msgspec

from midshift.domain.variant import Variant
from midshift.evals.rows import NUMBER_FIELDS, Answer
from midshift.retune.measuring import Scored

MOST_EXAMPLES = 5
LONGER = 1.25
"""A median that is so many times longer or shorter is worth a sentence in the prompt."""
_REASONING = NUMBER_FIELDS.index("tokens_reasoning")
_NEGATIVE = re.compile(r"\b(?:do not|don['’]t|never|avoid|must not|mustn['’]t|refrain from|without)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]+")
_FORMS = {
    "list": (r"\b(?:lists?|bullets?|bullet points?|numbered)\b", r"(?m)^\s*(?:[-*•]|\d+[.)])\s+\S"),
    "markdown": (r"\bmarkdown\b", r"(?m)^#{1,6} |\*\*[^*\n]+\*\*|^```"),
    "code fence": (r"\b(?:code blocks?|code fences?|fences?|backticks?)\b", r"```"),
    "apology": (r"\bapolog\w+|\bsorry\b", r"(?i)\b(?:sorry|apolog\w+)\b"),
    "emoji": (r"\bemojis?\b", r"[\U0001F300-\U0001FAFF\u2600-\u27BF]"),
    "link": (r"\b(?:links?|urls?)\b", r"https?://"),
    "question": (r"\bquestions?\b", r"\?"),
    "advice": (r"\b(?:advice|advise|recommend\w*)\b", r"(?i)\b(?:recommend|advise|suggest|should)\b"),
}
_REFUSES = re.compile(r"(?i)\b(?:I can(?:no|['’])t|I am (?:unable|not able)|I['’]m (?:unable|not able)|I won['’]t)\b")


class Kind(StrEnum):
    """The four reasons."""

    NEGATION = "negation"
    LENGTH = "length"
    TOOLS = "tools"
    EFFORT = "effort"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that was counted: on `count` of `of` cases, with the ids of a few."""

    kind: Kind
    found: str
    count: int
    of: int
    examples: tuple[str, ...] = ()


def reasons(
    prompt: str, incumbent: Sequence[Scored], candidate: Sequence[Scored], variants: tuple[Variant, Variant]
) -> list[Reason]:
    """What is found on the answers of both models to the same cases, in the same order."""
    pairs = [
        (old.case.id, old.answer, new.answer)
        for old, new in zip(incumbent, candidate, strict=True)
        if old.answer.answered and new.answer.answered
    ]
    return [*_negations(prompt, pairs), *_length(pairs), *_tools(pairs), *_effort(pairs, variants)]


_Pairs = Sequence[tuple[str, Answer, Answer]]


def negative_instructions(prompt: str) -> list[str]:
    """The sentences of a prompt that say what not to do."""
    return [found.strip() for found in _SENTENCE.findall(prompt) if _NEGATIVE.search(found)]


def _negations(prompt: str, pairs: _Pairs) -> Iterator[Reason]:
    for said in negative_instructions(prompt):
        for form, (named, looks) in _FORMS.items():
            if re.search(named, said, re.IGNORECASE):
                yield from _by_the_letter(f"{said!r}: {form}", re.compile(looks), pairs)
        yield from _more(f"{said!r}: refuses", _REFUSES, pairs)


def _by_the_letter(said: str, looks: re.Pattern[str], pairs: _Pairs) -> Iterator[Reason]:
    kept = [name for name, old, new in pairs if looks.search(old.text or "") and not looks.search(new.text or "")]
    if kept:
        yield _reason(Kind.NEGATION, f"{said}: the old model has it anyway, the new one does not", kept, pairs)


def _more(said: str, looks: re.Pattern[str], pairs: _Pairs) -> Iterator[Reason]:
    more = [name for name, old, new in pairs if looks.search(new.text or "") and not looks.search(old.text or "")]
    if more:
        yield _reason(Kind.NEGATION, f"{said} where the old model answered", more, pairs)


def _length(pairs: _Pairs) -> Iterator[Reason]:
    sized = [(name, _size(old), _size(new)) for name, old, new in pairs]
    sized = [(name, old, new) for name, old, new in sized if old and new]
    if not sized:
        return
    was, now = median(old for _, old, _ in sized), median(new for _, _, new in sized)
    if now >= was * LONGER or now * LONGER <= was:
        is_longer = now > was
        odd = [name for name, old, new in sized if (new >= old * LONGER if is_longer else new * LONGER <= old)]
        words = f"answers are {'longer' if is_longer else 'shorter'}: a median of {now:g} words, and {was:g} before"
        yield _reason(Kind.LENGTH, words, odd, sized)


def _size(answer: Answer) -> int:
    return len((answer.text or "").split())


def _tools(pairs: _Pairs) -> Iterator[Reason]:
    both = [(name, old, new) for name, old, new in pairs if old.tools or new.tools]
    where: dict[str, list[str]] = {}
    for name, old, new in both:
        for difference in sorted(set(_shape_differences(old, new))):
            where.setdefault(difference, []).append(name)
    for difference, names in sorted(where.items(), key=lambda item: (-len(item[1]), item[0])):
        yield _reason(Kind.TOOLS, difference, names, both)


def _shape_differences(old: Answer, new: Answer) -> Iterator[str]:
    names = Counter(call.name for call in old.tools), Counter(call.name for call in new.tools)
    for name in sorted(names[0].keys() | names[1].keys()):
        if names[0][name] != names[1][name]:
            yield f"calls {name!r} {_often(names[1][name])}, {_often(names[0][name])} before"
    shapes = [{(call.name, part) for call in answer.tools for part in _shape(call.arguments)} for answer in (old, new)]
    shared = names[0].keys() & names[1].keys()
    for name, part in sorted(shapes[0] ^ shapes[1]):
        if name in shared:
            yield f"{name!r} {'has' if (name, part) in shapes[1] else 'has no longer'} {part}"


def _shape(arguments: str) -> set[str]:
    """The names and types of arguments: `amount: number`."""
    try:
        found = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {"arguments that are no JSON"}
    if not isinstance(found, dict):
        return {f"arguments that are {_type(found)}"}
    return {f"{name!r}: {_type(value)}" for name, value in found.items()}


def _type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _effort(pairs: _Pairs, variants: tuple[Variant, Variant]) -> Iterator[Reason]:
    old, new = variants
    spent = [(name, was.numbers[_REASONING], now.numbers[_REASONING]) for name, was, now in pairs]
    known = [(name, was, now) for name, was, now in spent if not (math.isnan(was) or math.isnan(now))]
    dial = f"effort {_dial(new)}, {_dial(old)} before"
    if known:
        was, now = median(item[1] for item in known), median(item[2] for item in known)
        if now != was and (now >= was * LONGER or now * LONGER <= was):
            odd = [name for name, before, after in known if (after > before) is (now > was) and after != before]
            words = f"a median of {now:g} reasoning tokens, {was:g} before; {dial}"
            yield _reason(Kind.EFFORT, words, odd, known)
    elif old.effort != new.effort:
        yield Reason(Kind.EFFORT, f"{dial}; reasoning tokens are unknown", 0, 0)


def _dial(variant: Variant) -> str:
    return "as the app or the provider has it" if variant.effort is None else repr(variant.effort)


def _often(count: int) -> str:
    return "once" if count == 1 else "never" if count == 0 else f"{count} times"


def _reason(kind: Kind, found: str, names: Iterable[str], of: Sequence[object]) -> Reason:
    every = list(names)
    return Reason(kind, found, len(every), len(of), tuple(every[:MOST_EXAMPLES]))
