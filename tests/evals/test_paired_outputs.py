"""The reader of paired outputs: what it takes, what a wrong value costs, and that nothing goes missing unseen.

Elsewhere: the exact words about each broken input (tests/cli/test_broken_inputs.py).
"""

import io
import json
import math
import re
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.errors import UsageError
from midshift.evals import paired_outputs
from midshift.evals.paired_outputs import LONGEST_LINE_BYTES, Place, Request, lines, read_answer
from midshift.evals.rows import NUMBER_FIELDS, Answer, Ledger, Side, places_in_words, unanswered
from tests.builders import NEW, OLD, a_row, an_output, lines_of, problems, read

NOTHING: dict[str, object] = {}


def an_answer(output: object, error_text: str | None = None) -> tuple[Answer, Ledger]:
    """What the reader makes of the candidate's output on line 1."""
    ledger = Ledger()
    pattern = None if error_text is None else re.compile(error_text)
    return read_answer(output, Side.CANDIDATE, pattern, Place(1, ledger)), ledger


def numbers(answer: Answer) -> dict[str, float]:
    """The measurements that are there."""
    return {name: value for name, value in zip(NUMBER_FIELDS, answer.numbers, strict=True) if value == value}


def test_a_row_keeps_all_that_is_judged() -> None:
    """A field that the reader forgets is a gate that never closes."""
    new = an_output(
        0.5, "hi", tokens_in=3, tokens_out=4, tokens_reasoning=1, latency_s=0.25, ttft_s=0.1, cost_usd=0.002
    )
    line = a_row("r-1", 1, new, slice=["b", "a"], cluster="c", trial=2, weight=2.5, expects="json")

    (row,) = read(lines_of([line]), Ledger())

    assert ("r-1", 1, ("b", "a"), "c", "2", 2.5, "json") == (
        row.id,
        row.place,
        row.slices,
        row.cluster,
        row.trial,
        row.weight,
        row.expects,
    )
    assert ({"s": 1.0}, {"s": 0.5}) == (row.incumbent.scores, row.candidate.scores)
    assert dict(zip(NUMBER_FIELDS, (3, 4, 1, 0.25, 0.1, 0.002), strict=True)) == numbers(row.candidate)
    assert "hi" == row.candidate.text


def test_what_a_row_does_not_say_is_unknown_and_never_zero() -> None:
    """A latency of 0 s or a score of 0 would be evidence; a missing one is none."""
    (row,) = read([b'{"id": 7, "outputs": {"old": {"text": "a"}, "new": {"text": "b"}}}'], Ledger())

    assert (NOTHING, NOTHING) == (row.incumbent.scores, row.candidate.scores)
    assert all(math.isnan(value) for value in row.candidate.numbers)
    assert ("7", (), None, "", 1.0, None) == (row.id, row.slices, row.cluster, row.trial, row.weight, row.expects)


def test_a_place_is_the_line_in_the_file_blank_lines_included() -> None:
    """The number that a report names is the one that an editor shows."""
    ledger = Ledger()

    rows = read([b"\n", *lines_of([a_row("x")]), b"  \r\n", b"broken\n", *lines_of([a_row("y")])], ledger)

    assert [2, 5] == [row.place for row in rows]
    assert (3, 2, {"not_json": 1}, [4]) == (
        ledger.read,
        ledger.blank,
        ledger.excluded,
        ledger.problems["not_json"].places,
    )


@pytest.mark.parametrize(
    ("output", "failure"),
    [
        (None, "null"),
        ({"text": None}, "null"),
        ({}, "null"),
        ({"text": ""}, "empty"),
        ({"text": " \n\t"}, "empty"),
        ({"text": "an answer", "error": {"kind": "timeout"}}, "error"),
        ({"text": None, "error": "boom"}, "error"),
        ({"text": "API Error: blocked"}, "blocked"),
        ({"text": "an answer"}, ""),
        ({"text": None, "tool_calls": [{"name": "f"}]}, ""),
        ({"text": "", "tool_calls": [{"name": "f"}]}, ""),
        ({"text": "", "tool_calls": []}, "empty"),
        ({"text": "an answer", "error": None}, ""),
    ],
)
def test_an_output_is_an_answer_or_says_why_not(output: object, failure: str) -> None:
    """Availability is a gate of its own: a provider's refusal in the text field must not be graded as an answer."""
    answer, ledger = an_answer(output, error_text="^API Error")

    assert failure == answer.failure
    assert ({f"candidate_{failure}_answer": 1} if failure else {}) == ledger.noted


def test_the_score_of_an_unanswered_request_stands_if_the_file_has_one() -> None:
    """The file's grader knew the case; the reading with the worst score comes on top of it, later."""
    answer, _ = an_answer({"text": None, "scores": {"s": 1, "t": None}})

    assert {"s": 1.0} == answer.scores


def test_true_and_false_are_the_scores_1_and_0() -> None:
    """Graders of passed-or-not write them so, and nothing else could be meant."""
    answer, ledger = an_answer({"text": "x", "scores": {"a": True, "b": False}})

    assert {"a": 1.0, "b": 0.0} == answer.scores
    assert [] == problems(ledger)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", [1], {"a": 1}, 10**400])
def test_a_bad_score_costs_itself_and_no_other_score(value: object) -> None:
    """A grader that failed once must not take its row's other grades with it."""
    answer, ledger = an_answer({"text": "x", "scores": {"bad": value, "good": 0.5}})

    assert {"good": 0.5} == answer.scores
    assert {"candidate_bad_score": 1} == ledger.noted


@pytest.mark.parametrize("name", NUMBER_FIELDS)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "3", True, [], 10**400])
def test_a_bad_measurement_is_noted_and_unknown(name: str, value: object) -> None:
    """One provider's clock that ran backwards must not become the fastest answer."""
    answer, ledger = an_answer({"text": "x", name: value})

    assert {} == numbers(answer)
    assert {f"candidate_bad_{name}": 1} == ledger.noted


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_python_writes_cost_only_themselves(literal: str) -> None:
    """json.dumps writes NaN without a word, and a strict reader would drop the row."""
    ledger = Ledger()
    line = json.dumps(a_row("x", 1, an_output(0.125))).replace("0.125", literal)

    (row,) = read([line.encode()], ledger)

    assert ({"s": 1.0}, NOTHING) == (row.incumbent.scores, row.candidate.scores)
    assert {"candidate_bad_score": 1} == ledger.noted
    assert {} == ledger.excluded


def test_half_a_character_costs_nothing() -> None:
    """JavaScript cuts texts within an emoji and writes the half as an escape; it is still the answer."""
    (row,) = read([json.dumps(a_row("x", 1, an_output(1, "cut \ud83d"))).encode()], Ledger())

    assert "cut \ud83d" == row.candidate.text


def test_a_mark_of_utf8_before_the_first_line_is_no_part_of_it() -> None:
    """Editors and PowerShell write one; later in the file it is an error like any other."""
    ledger = Ledger()
    first, second = lines_of([a_row("x"), a_row("y")])

    rows = read([b"\xef\xbb\xbf" + first, b"\xef\xbb\xbf" + second], ledger)

    assert ["x"] == [row.id for row in rows]
    assert {"not_json": 1} == ledger.excluded


def test_rows_that_ask_to_be_left_out_are_counted() -> None:
    """What a person decided to skip must not look like what the reader could not use."""
    ledger = Ledger()
    rows = [a_row("x", changed=True), a_row("y", changed=False), a_row("z"), a_row("w", changed="yes")]

    kept = read(lines_of(rows), ledger, skip="changed")

    assert ["y", "z", "w"] == [row.id for row in kept]
    assert [
        ("skipped", True, 1, [1], "changed is true"),
        ("bad_skip", False, 1, [4], 'changed is "yes", expected true or false; not skipped'),
    ] == problems(ledger)


@pytest.mark.parametrize("skip", ["id", "outputs", "slice", "cluster", "trial", "weight", "expects"])
def test_a_field_that_means_something_is_no_mark_to_skip_by(skip: str) -> None:
    """A typed-in `slice` would silently skip nothing."""
    with pytest.raises(UsageError, match=f"--skip {skip}: expected a field of yours"):
        read([], Ledger(), skip=skip)


def test_a_mark_to_skip_by_may_have_any_plain_name() -> None:
    """The name of our own slot for the mark is as good as any other."""
    for name in ("skip_mark", "prompt changed", "geändert"):
        assert [] == read(lines_of([a_row("x", **{name: True})]), Ledger(), skip=name)


def test_a_row_without_expectation_takes_the_one_of_the_command_line() -> None:
    """`--expect json` is for all rows; what a row says itself is more specific."""
    rows = [a_row("x"), a_row("y", expects={"schema": {"type": "object"}}), a_row("z", expects="xml")]

    kept = read(lines_of(rows), Ledger(), expects="json")

    assert ["json", {"type": "object"}, "json"] == [row.expects for row in kept]


def test_a_slice_is_named_once_and_never_like_all_cases() -> None:
    """`*` in a report is all cases: a slice of that name would be read as the aggregate."""
    ledger = Ledger()
    rows = [a_row("x", slice=["a", "a", "b"]), a_row("y", slice=["*", "c", " "]), a_row("z", slice=None)]

    kept = read(lines_of(rows), ledger)

    assert [("a", "b"), ("c",), ()] == [row.slices for row in kept]
    assert {"unnamed_slice": 1} == ledger.noted


def test_the_variants_of_a_file_are_remembered_up_to_a_hundred_and_those_asked_for_always() -> None:
    """A misspelt name is answered with those that exist; ids in the place of variants must not fill the memory."""
    request = Request(OLD, NEW)

    request.remember_variants(f"v{number}" for number in range(150))
    request.remember_variants([NEW, "v0"])

    assert 101 == len(request.variants_seen)
    assert (1, 2) == (request.variants_seen[NEW], request.variants_seen["v0"])


def test_a_line_of_any_length_takes_a_bounded_piece_of_memory() -> None:
    """A file of one endless line is a mistake that must end in a message, not in the machine's memory."""

    class EndlessLine(io.BytesIO):
        asked: list[int]

        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            self.asked.append(size)
            return b"" if len(self.asked) > 5 else b"last\n" if len(self.asked) == 4 else FULL

    FULL = bytes(LONGEST_LINE_BYTES + 1)
    file = EndlessLine()
    file.asked = []
    ledger = Ledger()

    found = [len(line) for line in lines(file)]
    rows = list(paired_outputs.read([FULL], Request(OLD, NEW), ledger))

    assert [LONGEST_LINE_BYTES + 1, LONGEST_LINE_BYTES + 1] == found
    assert {LONGEST_LINE_BYTES + 1} == set(file.asked)
    assert [] == rows
    assert [("line_too_long", True, 1, [1], "more than 64 MB in one line")] == problems(ledger)


@pytest.mark.parametrize(
    ("text", "calls", "error", "expected"),
    [("x", 0, False, ""), (None, 1, False, ""), (None, 1, True, "error"), ("  ", 0, False, "empty")],
)
def test_an_error_beats_a_tool_call_and_that_beats_a_missing_text(
    text: str | None, calls: int, error: bool, expected: str
) -> None:
    """A call of a tool is an answer without words; an error is none with them."""
    assert expected == unanswered(text, calls, error)


@pytest.mark.parametrize(
    ("places", "count", "expected"),
    [
        ([3], 1, "line 3"),
        ([3, 17], 2, "lines 3 and 17"),
        ([1, 2, 3], 3, "lines 1, 2 and 3"),
        ([1, 2], 1207, "lines 1, 2 and 1,205 more"),
    ],
)
def test_places_are_named_and_the_rest_is_counted(places: list[int], count: int, expected: str) -> None:
    """A reader can go to the first few, and sees how many there are."""
    assert expected == places_in_words("line", places, count)


def test_the_ledger_keeps_the_first_ten_places_and_counts_all() -> None:
    """A broken million-line file must not become a million numbers."""
    ledger = Ledger()

    read([b"x"] * 1000, ledger)

    assert [("not_json", True, 1000, list(range(1, 11)))] == [problem[:4] for problem in problems(ledger)]


SCORES = st.none() | st.integers(0, 1) | st.floats(0, 1) | st.booleans()
OUTPUTS = st.fixed_dictionaries(
    {"text": st.none() | st.text(max_size=20), "scores": st.dictionaries(st.text(max_size=3), SCORES, max_size=3)},
    optional={name: st.none() | st.floats(0, 1e9) | st.integers(0, 10**12) for name in NUMBER_FIELDS},
)
IDS = st.text(min_size=1, max_size=8) | st.integers(-(2**63), 2**63)
LABELS = st.none() | st.text(max_size=4) | st.integers()
VALID_ROWS = st.fixed_dictionaries(
    {"id": IDS, "outputs": st.fixed_dictionaries({OLD: OUTPUTS, NEW: OUTPUTS}, optional={"third": st.integers()})},
    optional={
        "slice": st.none() | st.text(max_size=4) | st.lists(st.text(max_size=4), max_size=3),
        "cluster": LABELS,
        "trial": LABELS,
        "weight": st.none() | st.floats(1e-6, 1e6),
        "messages": st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2), max_size=2),
    },
)


@given(st.lists(VALID_ROWS, max_size=5), st.booleans())
@pytest.mark.slow
def test_every_valid_row_comes_back_with_its_values(rows: list[dict[str, Any]], ascii_only: bool) -> None:
    """The format is the contract: whatever a conforming writer writes is read, to the value."""
    ledger = Ledger()
    written = [json.dumps(row, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") for row in rows]

    found = read(written, ledger)

    assert ({}, len(rows)) == (ledger.excluded, ledger.read)
    assert [str(row["id"]) for row in rows] == [row.id for row in found]
    for source, row in zip(rows, found, strict=True):
        for name, answer in ((OLD, row.incumbent), (NEW, row.candidate)):
            output = source["outputs"][name]
            assert output["text"] == answer.text
            assert {key: value for key, value in output["scores"].items() if value is not None} == answer.scores
            measured = {key: output.get(key) for key in NUMBER_FIELDS}
            assert {key: value for key, value in measured.items() if value is not None} == numbers(answer)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("id", "slice", "cluster", "trial", "weight", "expects", "outputs")
OUTPUT_FIELDS = ("text", "tool_calls", "scores", "error", *NUMBER_FIELDS)


@given(st.lists(st.tuples(st.sampled_from([*FIELDS, *OUTPUT_FIELDS]), ANYTHING), max_size=3), st.randoms())
@pytest.mark.slow
def test_whatever_is_wrong_each_line_is_either_a_row_or_named(wrong: list[tuple[str, object]], random: Random) -> None:
    """No value may crash the reader, and none may make a line disappear."""
    broken: dict[str, Any] = a_row("broken", 1, an_output(1))
    outputs = list(broken["outputs"].values())
    for name, value in wrong:
        (broken if name in FIELDS else random.choice(outputs))[name] = value
    ledger = Ledger()

    rows = read([*lines_of([a_row("good"), broken, a_row("too")]), b"", b"{"], ledger)

    assert (4, 1) == (ledger.read, ledger.blank)
    assert 4 == len(rows) + sum(ledger.excluded.values())
    assert {"good", "too"} <= {row.id for row in rows}
