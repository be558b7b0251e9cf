"""The judges that a suite names: `{"type": "rubric", ...}` and `{"type": "pairwise", ...}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midshift.errors import InputError
from midshift.evals.graders.options import Options
from midshift.evals.graders.reading import score_name
from midshift.evals.judges.pairwise import PairwiseJudge
from midshift.evals.judges.rubric import RubricJudge
from midshift.evals.suite_file import Suite

MOST_STEPS = 100


def from_suite(suite: Suite) -> tuple[RubricJudge | PairwiseJudge, ...]:
    """The judges of a suite, each with the score that it gives.

    Raises:
        InputError: for one that cannot be read, with its place; for one that stands at a case, because a score must
            mean the same on every case; for one with the name of another judge or grader, whose scores it would hide.
    """
    for case in suite.cases:
        if any(_is_judged(said) for said in case.graders):
            raise InputError(
                f"{suite.name}: case {case.id!r} names a judge of its own, expected judges among the graders of the "
                "suite: a score must mean the same on every case"
            )
    said = [(at, grader) for at, grader in enumerate(suite.graders) if _is_judged(grader)]
    judges = tuple(_judge(grader, f"{suite.name}: graders.{at}") for at, grader in said)
    _require_names_of_their_own(suite, judges)
    return judges


def _require_names_of_their_own(suite: Suite, judges: Sequence[RubricJudge | PairwiseJudge]) -> None:
    graders = [*suite.graders, *(grader for case in suite.cases for grader in case.graders)]
    taken = {grader.get("name", grader.get("type")) for grader in graders if not _is_judged(grader)}
    for judge in judges:
        if judge.score in taken:
            raise InputError(
                f"{suite.name}: found the score {judge.score!r} twice, expected a name of its own for each judge: one "
                "would hide what the other says. Type next: `name: ...` at one of them"
            )
        taken.add(judge.score)


def _is_judged(said: Mapping[str, Any]) -> bool:
    return said.get("type") in ("rubric", "pairwise")


def _judge(said: Mapping[str, Any], place: str) -> RubricJudge | PairwiseJudge:
    options = Options(said, place)
    kind = options.text("type")
    name = score_name(said, options)
    options.value("judge")  # which model it is, is the composition root's
    judge: RubricJudge | PairwiseJudge
    if kind == "pairwise":
        judge = PairwiseJudge(name, options.text("criterion"))
    else:
        scale = options.number("scale", 5.0, at_least=2.0)
        if scale > MOST_STEPS or not scale.is_integer():
            raise options.fault("scale", f"a whole number from 2 to {MOST_STEPS}")
        judge = RubricJudge(name, options.text("rubric"), int(scale))
    for name in ("weight", "threshold", "not"):
        if options.has(name):
            raise options.fault(name, "nothing: a judge's score stands for itself")
    options.refuse_others()
    return judge
