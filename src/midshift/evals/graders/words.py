"""Graders of the words of an answer."""

from __future__ import annotations

import re
from collections.abc import Callable

from rapidfuzz import fuzz

from midshift.evals.graders.options import Options, sought
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase
from midshift.evals.time_limit import limited

_Compare = Callable[[str, str], float]


def equals(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the answer is the value. Surrounding white space aside, unless `strip` is false."""
    keeps_space = options.has("strip") and not options.flag("strip")

    def compare(text: str, value: str) -> float:
        return float(text == value if keeps_space else text.strip() == value.strip())

    return _compared(options, compare)


def starts_with(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the answer begins with the value, leading white space aside."""
    return _compared(options, lambda text, value: float(text.lstrip().startswith(value.strip())))


def contains(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the value stands in the answer; of several `values` all, or any."""
    values, is_any = options.texts("values"), options.one_of("mode", ("all", "any")) == "any"
    if not values:
        return _compared(options, lambda text, value: float(value.strip() in text))
    fold = _folding(options)

    def score(case: EvalCase, answer: Answer) -> float | None:
        if answer.text is None:
            return None
        found = [fold(value) in fold(answer.text) for value in values]
        return float(any(found) if is_any else all(found))

    return score


def regex(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the pattern is found in the answer (Python's `re`, `.` matches line ends too); see `time_limit`."""
    flags = re.DOTALL | (re.IGNORECASE if options.flag("ignore_case") else 0)
    try:
        pattern = re.compile(options.text("pattern"), flags)
    except re.error as error:
        raise options.fault("pattern", f"a regular expression ({error})") from None
    what = f"the pattern {pattern.pattern!r}"

    def score(case: EvalCase, answer: Answer) -> float | None:
        text = answer.text
        return None if text is None else float(limited(what, lambda: pattern.search(text)) is not None)

    return score


def fuzzy(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """How near the answer is to the value, from 0 to 1: the normalised similarity of Indel distance (rapidfuzz).

    With `min` it is 1 from there on, and 0 below.
    """
    least = options.maybe_number("min", at_least=0.0)

    def compare(text: str, value: str) -> float:
        near = fuzz.ratio(text.strip(), value.strip()) / 100.0
        return near if least is None else float(near >= least)

    return _compared(options, compare)


def length(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the answer has at least and at most so many words and characters."""
    names = ("min_words", "max_words", "min_chars", "max_chars")
    low_words, high_words, low_chars, high_chars = (options.maybe_number(name, at_least=0.0) for name in names)
    if low_words is high_words is low_chars is high_chars is None:
        raise options.fault("max_words", f"a number in one of: {', '.join(names)}")

    def score(case: EvalCase, answer: Answer) -> float | None:
        if answer.text is None:
            return None
        words, chars = len(answer.text.split()), len(answer.text)
        return float(_within(words, low_words, high_words) and _within(chars, low_chars, high_chars))

    return score


def _compared(options: Options, compare: _Compare) -> Callable[[EvalCase, Answer], float | None]:
    fold = _folding(options)
    options.has("value")

    def score(case: EvalCase, answer: Answer) -> float | None:
        value = sought(options, case.reference)
        return None if value is None or answer.text is None else compare(fold(answer.text), fold(value))

    return score


def _folding(options: Options) -> Callable[[str], str]:
    return str.casefold if options.flag("ignore_case") else str


def _within(value: int, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
