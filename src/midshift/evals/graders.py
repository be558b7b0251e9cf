"""Graders that need nothing but the case and the answer: each gives a score from 0 to 1, or none."""

from __future__ import annotations

from collections.abc import Mapping

from midshift.evals.rows import Answer, Side
from midshift.evals.suite_file import EvalCase


def exact(case: EvalCase, answer: Answer, side: Side) -> Mapping[str, float]:
    """1 where the answer is the reference, surrounding white space aside; no score without a reference."""
    if not isinstance(case.reference, str) or answer.text is None:
        return {}
    return {"exact": float(answer.text.strip() == case.reference.strip())}


def contains(case: EvalCase, answer: Answer, side: Side) -> Mapping[str, float]:
    """1 where the reference stands in the answer, upper and lower case alike; no score without a reference."""
    if not isinstance(case.reference, str) or answer.text is None:
        return {}
    return {"contains": float(case.reference.strip().casefold() in answer.text.casefold())}


BY_NAME = {"exact": exact, "contains": contains}
