"""Answers that people have graded: what is read of them, and how far a judge agrees."""

import json
from typing import Any

import pytest

from midshift.errors import InputError
from midshift.evals.judges import PairwiseJudge, RubricJudge, labels
from midshift.evals.judges.labels import Calibration, Labelled
from midshift.evals.rows import Side
from midshift.evals.suite_file import EvalCase

FRIENDLY, BETTER = RubricJudge("friendly", "Is it friendly?"), PairwiseJudge("better", "Which is kinder?")


def a_case(name: str = "c-1") -> EvalCase:
    """A case with little in it."""
    return EvalCase(1, name, ({"role": "user", "content": "Where is it?"},), ("all",))


def read(*rows: dict[str, Any], judges: tuple[RubricJudge | PairwiseJudge, ...] = (FRIENDLY,)) -> list[Labelled]:
    """The labelled answers of these lines."""
    return labels.read([json.dumps(row).encode() for row in rows], "labels.jsonl", judges)


def measured(*both: tuple[float, float | None]) -> Calibration:
    """A calibration from people's labels and the judge's grades."""
    said = [Labelled(number, "c-1", "x", "friendly", label) for number, (label, _) in enumerate(both)]
    return labels.calibration(FRIENDLY, said, [grade for _, grade in both], "now")


def test_a_label_is_a_share_and_a_grade_is_a_step_of_the_scale() -> None:
    """1 is the best label and the worst grade: which of them it is has to be said."""
    found = read({"id": "a", "text": "x", "label": 1}, {"id": "a", "text": "x", "score": "friendly", "grade": 1})

    assert [1.0, 0.0] == [one.label for one in found]
    assert ["friendly", "friendly"] == [one.score for one in found]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "x", "label": 1}, "expected id, text, score, and label or grade"),
        ({"id": "a", "text": "x", "label": 2}, "expected a number from 0 to 1"),
        ({"id": "a", "text": "x", "grade": 6}, "expected a step of the scale"),
        ({"id": "a", "text": "x"}, "expected either `label`"),
        ({"id": "a", "text": "x", "label": 1, "grade": 5}, "expected either `label`"),
        ({"id": "a", "text": "x", "label": 1, "score": "kind"}, "expected that of a judge: friendly"),
        ({"id": "a", "text": "x", "label": 1, "against": "y"}, "and none for a rubric"),
    ],
)
def test_a_line_that_is_no_label_is_refused_with_its_place(row: dict[str, Any], expected: str) -> None:
    """A label that is read wrongly makes a judge look better or worse than it is."""
    with pytest.raises(InputError, match=expected) as refused:
        read({"id": "b", "text": "x", "label": 1}, row)

    assert "labels.jsonl:2" in str(refused.value)


def test_without_labels_nothing_is_measured() -> None:
    """An empty file is a mistake, and no agreement."""
    with pytest.raises(InputError, match="found no line"):
        read()


def test_agreement_counts_the_same_step_and_one_step_apart() -> None:
    """On a scale of five, a quarter is a step; a verdict that cannot be read is in neither, and counted."""
    found = measured((1.0, 1.0), (0.75, 0.75), (0.75, 1.0), (0.0, 1.0), (0.5, None))

    assert (2, 3, 4, 1) == (found.same.hits, found.near.hits, found.same.n, found.unread)


def test_the_commonest_label_is_what_agreement_is_held_against() -> None:
    """A judge that says 5 to everything agrees with people who mostly say 5, and knows nothing."""
    found = measured(*[(1.0, 1.0)] * 8, *[(0.0, 1.0)] * 2)

    assert found.same.estimate == found.usual.estimate == 0.8


def test_with_no_verdict_that_can_be_read_agreement_is_unknown() -> None:
    """Not zero, and not one."""
    found = measured((1.0, None))

    assert (None, None, 1) == (found.same.estimate, found.usual.estimate, found.unread)


def test_a_labelled_answer_is_put_to_the_judge_as_an_eval_would() -> None:
    """The same words are the same paid call; a pairwise judge sees both answers in both orders."""
    found = read(
        {"id": "c-1", "text": "Here.", "score": "friendly", "label": 1},
        {"id": "c-1", "text": "Here.", "against": "There.", "score": "better", "label": 0.5},
        judges=(FRIENDLY, BETTER),
    )

    alone, both = labels.pairs(found, [a_case()], "labels.jsonl")

    assert 1 == len(FRIENDLY.questions(alone.case, alone.answers))
    assert 2 == len(BETTER.questions(both.case, both.answers))
    assert "There." == both.answers[Side.INCUMBENT].text


def test_a_label_of_a_case_that_is_not_there_is_refused() -> None:
    """The judge would grade an answer to nothing."""
    with pytest.raises(InputError, match="found the id 'c-9'"):
        labels.pairs(read({"id": "c-9", "text": "x", "label": 1}), [a_case()], "labels.jsonl")
