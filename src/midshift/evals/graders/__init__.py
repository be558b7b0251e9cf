"""Graders that need nothing but the case and the answer: each gives a score from 0 to 1, or none.

A suite or a case names them as JSON: `{"type": "contains", "value": "refund", "name": "polite", "weight": 2}`. A
`value` that is left out is the case's reference; without either there is no score. `not` turns a score round,
`threshold` makes it 1 or 0, `name` is the score that it gives (its type, if nothing is said), and graders of one name
give their weighted mean. What cannot be scored (an answer that is no number, a reference that is none) is left out: it
is neither 0 nor 1, unless the grader asks for just that form.
Elsewhere: how they are called (grading), judges (judges), promises about the form alone (contracts).
"""

from midshift.evals.graders.compiling import BY_NAME, Function, compiled
from midshift.evals.graders.reading import Grader, read, types

__all__ = ["BY_NAME", "Function", "Grader", "compiled", "read", "types"]
