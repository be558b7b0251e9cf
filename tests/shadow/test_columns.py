"""Features as columns, and the few lines that are kept by name."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from midshift.evals.rows import NUMBER_FIELDS, Answer, PairedRow, Side
from midshift.shadow.columns import Columns, FrequentLines, SideColumns
from midshift.shadow.features import Form


def an_answer(text: str | None = "An answer.", failure: str = "", **numbers: float) -> Answer:
    """An answer with some of its measurements."""
    return Answer(text, failure=failure, numbers=tuple(numbers.get(name, math.nan) for name in NUMBER_FIELDS))


def a_side(*answers: Answer) -> SideColumns:
    """The columns of one variant."""
    side = SideColumns()
    for answer in answers:
        side.append(answer, FrequentLines(), FrequentLines())
    return side


def test_each_side_has_its_own_columns_in_the_order_of_the_rows() -> None:
    """Crossed sides would turn every finding round."""
    columns = Columns()
    columns.append(PairedRow(1, "x", an_answer("one"), an_answer("one two")))
    columns.append(PairedRow(2, "y", an_answer("```"), an_answer(None, "null")))

    old, new = columns.sides[Side.INCUMBENT], columns.sides[Side.CANDIDATE]

    assert ([3, 3], [7, 0]) == (list(old.chars), list(new.chars))
    assert ([1, 1], [2, 0]) == (list(old.words), list(new.words))
    assert ([False, True], [False, False]) == (
        old.has(Form.CODE_FENCE).tolist(),
        new.has(Form.CODE_FENCE).tolist(),
    )


def test_no_answer_is_empty_and_an_error_is_blocked() -> None:
    """Two availability drifts with different causes: silence of the model, and refusal of its provider."""
    side = a_side(*(an_answer("text", failure) for failure in ("", "null", "empty", "error", "blocked")))

    assert [False, True, True, False, False] == side.has(Form.EMPTY).tolist()
    assert [False, False, False, True, True] == side.has(Form.BLOCKED).tolist()


def test_an_answer_of_tool_calls_without_text_is_not_empty() -> None:
    """Calling the right function without a word is what was asked for."""
    side = a_side(Answer(None, tool_calls=1))

    assert [False] == side.has(Form.EMPTY).tolist()


def test_measurements_that_pause_stay_in_step_with_the_rows() -> None:
    """A latency that belongs to the next row is worse than none."""
    side = a_side(an_answer(), an_answer(latency_s=0.5), an_answer(), an_answer(latency_s=0.25), an_answer())

    np.testing.assert_array_equal([math.nan, 0.5, math.nan, 0.25, math.nan], side.number("latency_s"))
    np.testing.assert_array_equal([math.nan] * 5, side.number("cost_usd"))


def test_a_line_has_one_hash_wherever_it_occurs_and_no_line_has_none() -> None:
    """Sides and rows are compared by hash; the text is kept once."""
    lines = FrequentLines()

    keys = [lines.see(line) for line in ("a", "b", "a", "")]

    assert (keys[0], 0) == (keys[2], keys[3])
    assert 3 == len(set(keys))
    assert ["a", "b"] == list(lines.text.values())


def test_a_line_may_hold_half_a_character() -> None:
    """Model output is cut anywhere."""
    lines = FrequentLines()

    assert "\ud83d" == lines.text[lines.see("\ud83d")]


@given(st.lists(st.sampled_from("abcdefghij"), max_size=60), st.integers(2, 5))
def test_a_sketch_never_loses_a_line_that_is_frequent_enough(seen: list[str], size: int) -> None:
    """Misra and Gries: of n lines, each with more than n / (size + 1) occurrences is kept; and never more than size."""
    lines = FrequentLines(size)
    for line in seen:
        lines.see(line)

    frequent = {line for line in seen if seen.count(line) > len(seen) / (size + 1)}
    assert frequent <= set(lines.text.values())
    assert size >= len(lines.text)
