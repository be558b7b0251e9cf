"""Answers that people have graded, as JSON lines, and how far a judge agrees with them.

    {"id": "t-17", "text": "Your parcel is in Hamburg.", "score": "friendly", "label": 0.75}
    {"id": "t-18", "text": "No.", "score": "friendly", "grade": 2}
    {"id": "t-17", "text": "In Hamburg.", "against": "Somewhere.", "score": "better", "label": 1}

`id` is the case that the text answers, `score` the judge (left out where the suite has one only). `label` goes from 0
to 1, `grade` is a step of a rubric's scale, from 1. A pairwise judge compares `text` with `against`; its label is 1
where the text is better, 0 where it is worse, 0.5 for a tie.
Elsewhere: asking the judge (the commands), intervals (calibration).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from midshift.errors import InputError
from midshift.evals.judges.calibration import Share, agreement
from midshift.evals.judges.pairwise import PairwiseJudge
from midshift.evals.judges.rubric import RubricJudge
from midshift.evals.pairing import Pair, Reply
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Labelled:
    """One answer with a person's grade, from 0 to 1; `against` is the other answer of a pairwise judgement."""

    line: int
    id: str
    text: str
    score: str
    label: float
    against: str | None = None

    @property
    def pair(self) -> tuple[Reply, Reply]:
        """As the answers that a judge is asked about; where there is no other answer, one that never came."""
        other = Answer(None, failure="null") if self.against is None else Answer(self.against)
        return Reply(other, None), Reply(Answer(self.text), None)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far a judge agrees with people, over the answers that both have graded.

    `same` counts those with the nearest step of the scale, `near` those at most one step apart. `usual` is what one
    would reach who always gives the commonest label: agreement that is no better says nothing. `unread` verdicts are
    in none of them.
    """

    same: Share
    near: Share
    usual: Share
    unread: int
    at: str = ""


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    text: str
    score: str = ""
    label: float | None = None
    grade: int | None = None
    against: str | None = None


def read(lines: Iterable[bytes], place: str, judges: Sequence[RubricJudge | PairwiseJudge]) -> list[Labelled]:
    """The labelled answers of a file.

    Raises:
        InputError: with the line, for one that is none or names no judge of the suite.
    """
    known = {judge.score: judge for judge in judges}
    found = [
        _labelled(line, number, f"{place}:{number}", known) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not found:
        raise InputError(
            f'{place}: found no line, expected labelled answers. Type next: {{"id": "CASE", "text": "...", "label": 1}}'
        )
    return found


def pairs(labels: Iterable[Labelled], cases: Sequence[EvalCase], place: str) -> list[Pair]:
    """The labelled answers as pairs that a judge can be asked about, in order.

    Raises:
        InputError: for an id that no case has.
    """
    by_id: Mapping[str, EvalCase] = {case.id: case for case in cases}
    made = []
    for one in labels:
        if one.id not in by_id:
            raise InputError(
                f"{place}:{one.line}: found the id {one.id!r}, expected that of a case of the suite. "
                "Type next: midshift suite check SUITE"
            )
        made.append(Pair(by_id[one.id], 1, *one.pair))
    return made


def calibration(
    judge: RubricJudge | PairwiseJudge, labels: Sequence[Labelled], given: Sequence[float | None], at: str
) -> Calibration:
    """What the judge's grades come to; `given` has one for each label, None where it could not be read."""
    step = 0.5 if isinstance(judge, PairwiseJudge) else 1.0 / (judge.scale - 1)
    judged = {str(number): grade for number, grade in enumerate(given) if grade is not None}
    said = {str(number): one.label for number, one in enumerate(labels)}
    usual = Counter(round(said[key] / step) for key in judged).most_common(1)
    return Calibration(
        same=agreement(judged, said, step / 2 + _ROUNDING),
        near=agreement(judged, said, step + _ROUNDING),
        usual=Share(usual[0][1] if usual else 0, len(judged)),
        unread=sum(grade is None for grade in given),
        at=at,
    )


def _labelled(line: bytes, number: int, place: str, known: Mapping[str, RubricJudge | PairwiseJudge]) -> Labelled:
    try:
        row = msgspec.json.decode(line, type=_Row)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(
            f"{place}: found no labelled answer ({error}), expected id, text, score, and label or grade"
        ) from None
    name = row.score or (next(iter(known)) if len(known) == 1 else "")
    judge = known.get(name)
    if judge is None:
        raise InputError(f"{place}: found the score {name!r}, expected that of a judge: {', '.join(known) or 'none'}")
    if isinstance(judge, PairwiseJudge) is (row.against is None):
        raise InputError(
            f"{place}: found {'no' if row.against is None else 'an'} `against`, expected the other answer for a "
            "pairwise judge, and none for a rubric"
        )
    return Labelled(number, row.id, row.text, name, _label(row, judge, place), row.against)


def _label(row: _Row, judge: RubricJudge | PairwiseJudge, place: str) -> float:
    if (row.label is None) is (row.grade is None):
        raise InputError(f"{place}: expected either `label`, from 0 to 1, or `grade`, a step of the scale")
    if row.grade is not None:
        if isinstance(judge, PairwiseJudge) or not 1 <= row.grade <= judge.scale:
            raise InputError(f"{place}: found the grade {row.grade!r}, expected a step of the scale of {judge.score!r}")
        return (row.grade - 1) / (judge.scale - 1)
    assert row.label is not None
    if not (math.isfinite(row.label) and 0.0 <= row.label <= 1.0):
        raise InputError(f"{place}: found the label {row.label!r}, expected a number from 0 to 1 (or a `grade`)")
    return row.label
