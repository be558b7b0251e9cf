"""The grader of numbers: the last number of an answer against the value, within a tolerance."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from midshift.evals.graders.options import Options, sought
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase

_NUMBER = re.compile(r"[-+]?(?:\d[\d,_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def numeric(options: Options) -> Callable[[EvalCase, Answer], float | None]:
    """1 where the last number of the answer is the value, give or take `tolerance` or `relative` times the value.

    Signs of currency, thousands separators and markup around a number do not count. An answer without a number is
    wrong; a value that is no number gives no score.
    """
    tolerance = options.number("tolerance", 0.0, at_least=0.0)
    relative = options.number("relative", 0.0, at_least=0.0)
    options.has("value")

    def score(case: EvalCase, answer: Answer) -> float | None:
        expected = last_number(sought(options, case.reference) or "")
        if expected is None or answer.text is None:
            return None
        found = last_number(answer.text)
        return 0.0 if found is None else float(abs(found - expected) <= max(tolerance, relative * abs(expected)))

    return score


def last_number(text: str) -> float | None:
    """The last number in a text; None where there is none."""
    found = _NUMBER.findall(text)
    if not found:
        return None
    number = float(found[-1].replace(",", "").replace("_", "").rstrip("."))
    return number if math.isfinite(number) else None
