"""Graders by their JSON: what each gives, and what it refuses to be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.errors import InputError
from midshift.evals.graders import compiled, types
from midshift.evals.graders.numbers import last_number
from midshift.evals.rows import Answer, Side, ToolCall
from midshift.evals.suite_file import EvalCase, Suite


def a_case(reference: object = None, graders: tuple[dict[str, Any], ...] = ()) -> EvalCase:
    """A case with little in it."""
    return EvalCase(1, "c-1", ({"role": "user", "content": "?"},), ("all",), reference=reference, graders=graders)


def scores(said: dict[str, Any], text: str | None, reference: object = None, **answer: Any) -> dict[str, float]:
    """What one grader gives an answer."""
    case = a_case(reference)
    return dict(compiled(Suite("s", (case,), (said,)))(case, Answer(text, **answer), Side.CANDIDATE))


@pytest.mark.parametrize(
    ("said", "text", "reference", "expected"),
    [
        ({"type": "equals"}, " Paris\n", "Paris", 1.0),
        ({"type": "equals"}, "paris", "Paris", 0.0),
        ({"type": "equals", "ignore_case": True}, "paris", "Paris", 1.0),
        ({"type": "equals", "strip": False}, " Paris", "Paris", 0.0),
        ({"type": "equals", "value": "Rome"}, "Rome", "Paris", 1.0),
        ({"type": "contains"}, "It is Paris.", "Paris", 1.0),
        ({"type": "contains", "values": ["a", "b"]}, "a b", None, 1.0),
        ({"type": "contains", "values": ["a", "z"]}, "a b", None, 0.0),
        ({"type": "contains", "values": ["a", "z"], "mode": "any"}, "a b", None, 1.0),
        ({"type": "contains", "value": "sorry", "not": True}, "Sure.", None, 1.0),
        ({"type": "starts_with", "value": "Dear"}, "  Dear Ann,", None, 1.0),
        ({"type": "regex", "pattern": r"^\d{4}$"}, "2026", None, 1.0),
        ({"type": "regex", "pattern": "a.b"}, "a\nb", None, 1.0),
        ({"type": "numeric"}, "So it costs $1,234.50.", 1234.5, 1.0),
        ({"type": "numeric"}, "No idea", 3, 0.0),
        ({"type": "numeric", "tolerance": 0.5}, "3.4", 3, 1.0),
        ({"type": "numeric", "relative": 0.1}, "111", "100", 0.0),
        ({"type": "fuzzy"}, "abcd", "abcd", 1.0),
        ({"type": "fuzzy", "min": 0.9}, "abcd", "wxyz", 0.0),
        ({"type": "json"}, '```json\n{"a": 1}\n```', None, 1.0),
        ({"type": "json"}, "Here you are: {}", None, 0.0),
        ({"type": "json_schema", "schema": {"type": "object", "required": ["a"]}}, '{"b": 1}', None, 0.0),
        ({"type": "json_field", "path": "a.0.b", "value": 2}, '{"a": [{"b": 2}]}', None, 1.0),
        ({"type": "json_field", "path": "a.b", "value": None}, '{"a": {"b": null}}', None, 1.0),
        ({"type": "json_field", "path": "a.x", "value": None}, '{"a": {"b": null}}', None, 0.0),
        ({"type": "json_equal"}, '{"b": 1.0, "a": [1]}', {"a": [1], "b": 1}, 1.0),
        ({"type": "json_equal"}, '{"a": true}', {"a": 1}, 0.0),
        ({"type": "json_equal"}, '{"a": 1}', '{"a": 1}', 1.0),
        ({"type": "length", "max_words": 3}, "one two three four", None, 0.0),
        ({"type": "length", "min_chars": 2, "max_chars": 3}, "abc", None, 1.0),
    ],
)
def test_a_grader_gives_what_it_says(said: dict[str, Any], text: str, reference: object, expected: float) -> None:
    assert {said["type"]: expected} == scores(said, text, reference)


@pytest.mark.parametrize("kind", ["equals", "contains", "starts_with", "numeric", "fuzzy", "json_equal", "tool_calls"])
def test_without_a_reference_there_is_no_score(kind: str) -> None:
    """A zero here would be a fault of the suite that is charged to the model."""
    assert {} == scores({"type": kind}, "text")


def test_an_answer_without_text_has_no_score() -> None:
    assert {} == scores({"type": "contains", "value": "x"}, None)


ONE, TWO = ToolCall("look", '{"id": 1}'), ToolCall("pay", '{"usd": 2.0}')


@pytest.mark.parametrize(
    ("mode", "made", "expected"),
    [
        ("strict", (ONE, TWO), 1.0),
        ("strict", (TWO, ONE), 0.0),
        ("unordered", (TWO, ONE), 1.0),
        ("unordered", (ONE,), 0.0),
        ("subset", (ONE,), 1.0),
        ("subset", (ONE, ToolCall("other")), 0.0),
        ("superset", (TWO, ToolCall("other"), ONE), 1.0),
        ("superset", (ONE,), 0.0),
        ("strict", (ToolCall("look", "{not json"), TWO), 0.0),
    ],
)
def test_tool_calls_are_compared_in_four_ways(mode: str, made: tuple[ToolCall, ...], expected: float) -> None:
    said = {"type": "tool_calls", "mode": mode, "calls": [{"name": "look", "arguments": {"id": 1}}, {"name": "pay"}]}

    assert {"tool_calls": expected} == scores(said, None, tool_calls=len(made), tools=made)


def test_two_expectations_are_not_met_by_one_call() -> None:
    """An open one must not take the only call that a stricter one could have."""
    said = {"type": "tool_calls", "mode": "superset", "calls": [{"name": "a"}, {"name": "a", "arguments": {"x": 1}}]}
    exact, other = ToolCall("a", '{"x":1}'), ToolCall("a", '{"x":2}')

    assert {"tool_calls": 1.0} == scores(said, None, tool_calls=2, tools=(exact, other))
    assert {"tool_calls": 0.0} == scores(said, None, tool_calls=1, tools=(exact,))


def test_calls_that_were_counted_and_not_kept_give_no_score() -> None:
    """A recorded file may say how many calls there were and not which."""
    assert {} == scores({"type": "tool_calls", "calls": []}, None, tool_calls=2)


def test_graders_of_one_name_give_their_weighted_mean() -> None:
    graders: tuple[dict[str, Any], ...] = (
        {"type": "contains", "value": "a", "name": "quality", "weight": 3},
        {"type": "contains", "value": "z", "name": "quality"},
    )
    case = a_case(graders=graders)

    assert {"quality": 0.75} == compiled(Suite("s", (case,)))(case, Answer("abc"), Side.CANDIDATE)


def test_one_grader_without_a_score_leaves_the_name_without_one() -> None:
    """A mean over what happens to be there would compare different things on different cases."""
    graders: tuple[dict[str, Any], ...] = (
        {"type": "contains", "value": "a", "name": "quality"},
        {"type": "equals", "name": "quality"},
    )
    case = a_case(graders=graders)

    assert {} == compiled(Suite("s", (case,)))(case, Answer("abc"), Side.CANDIDATE)


def test_a_threshold_makes_one_or_zero_before_it_is_turned_round() -> None:
    said = {"type": "fuzzy", "value": "abcd", "threshold": 0.5, "not": True}

    assert {"fuzzy": 0.0} == scores(said, "abce")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"type": "contians", "value": "x"}, "Type next: contains"),
        ({"type": "equals", "valeu": "x"}, "found the field 'valeu'"),
        ({"type": "regex", "pattern": "("}, "expected a regular expression"),
        ({"type": "json_schema", "schema": {"type": "nonsense"}}, "expected a JSON Schema"),
        ({"type": "contains", "values": [1]}, "expected texts"),
        ({"type": "numeric", "tolerance": -1}, "expected a number of at least 0"),
        ({"type": "length"}, "expected a number in one of"),
        ({"type": "tool_calls", "calls": [{"tool": "x"}]}, "expected a list of"),
        ({"type": "python", "import": "os:system"}, "expected one that midshift.yaml allows"),
        ({"type": "equals", "weight": "much"}, "expected a number of at least 0"),
    ],
)
def test_a_grader_that_is_not_one_is_refused_before_anything_is_bought(said: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=r"s: graders\.0: ") as error:
        compiled(Suite("s", (a_case(),), (said,)))

    assert told in str(error.value)


def test_a_python_grader_comes_from_what_was_allowed_and_nowhere_else() -> None:
    case = a_case()
    suite = Suite("s", (case,), ({"type": "python", "import": "ours:polite"},))

    grade = compiled(suite, {"ours:polite": lambda case, answer: "please" in (answer.text or "")})

    assert {"python": 1.0} == grade(case, Answer("please"), Side.CANDIDATE)


def test_a_python_grader_that_gives_no_score_from_0_to_1_is_an_error() -> None:
    suite = Suite("s", (a_case(),), ({"type": "python", "import": "f"},))

    with pytest.raises(InputError, match="expected a number from 0 to 1"):
        compiled(suite, {"f": lambda case, answer: 7.0})(a_case(), Answer("x"), Side.CANDIDATE)


def test_graders_that_ask_a_model_are_left_to_the_judges() -> None:
    assert {} == scores({"type": "rubric", "rubric": "polite"}, "x")
    assert {"rubric", "pairwise"} <= set(types())


@pytest.mark.parametrize(
    ("text", "number"),
    [("$1,000", 1000.0), ("**3**", 3.0), ("1e3 eggs", 1000.0), ("-2.", -2.0), ("none", None), ("1_000.5", 1000.5)],
)
def test_numbers_are_read_through_what_people_put_around_them(text: str, number: float | None) -> None:
    assert number == last_number(text)


@given(st.text(), st.text())
def test_no_text_makes_a_grader_fail(text: str, reference: str) -> None:
    """Answers are hostile: whatever a model writes, a grader gives a score or none."""
    for kind in ("equals", "contains", "starts_with", "numeric", "fuzzy", "json", "json_equal"):
        for score in scores({"type": kind}, text, reference).values():
            assert 0.0 <= score <= 1.0


@pytest.mark.parametrize(
    "arguments", ["[" * 100_000, '"\ud800"', "1" * 5000, "{", '{"id": ' + "[" * 900 + "]" * 900 + "}"]
)
def test_arguments_that_nobody_could_read_are_wrong_and_stop_nothing(arguments: str) -> None:
    """They are the candidate's words, and they come when the answers are paid."""
    found = scores({"type": "tool_calls"}, None, [{"name": "look", "arguments": {"id": 1}}],
                   tool_calls=1, tools=(ToolCall("look", arguments),))  # fmt: skip

    assert {"tool_calls": 0.0} == found


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "number", "multipleOf": 0.01}, "1" * 400),
        ({"items": {"$ref": "#"}}, "[" * 900 + "]" * 900),
    ],
)
def test_an_answer_that_no_reader_could_use_does_not_fit_its_schema(schema: dict[str, Any], text: str) -> None:
    assert {"json_schema": 0.0} == scores({"type": "json_schema", "schema": schema}, text)


def test_a_schema_that_cannot_be_applied_to_some_answer_gives_it_no_score_and_a_note() -> None:
    """The suite's own fault, seen only where the answer has that field: a zero would charge it to the model."""
    notes, case = list[str](), a_case()
    said = {"type": "json_schema", "schema": {"properties": {"a": {"$ref": "#/$defs/none"}}}}
    grade = compiled(Suite("s", (case,), (said,)), told=notes.append)

    found = [dict(grade(case, Answer(text), Side.INCUMBENT)) for text in ('{"b": 1}', '{"a": 1}')]

    assert [{"json_schema": 1.0}, {}] == found
    assert ["'json_schema' gives the incumbent's answer to case 'c-1' no score"] == [
        note.split(":")[0] for note in notes
    ]


@pytest.mark.parametrize("name", ["answered", "json_valid", "schema"])
def test_the_name_of_a_contract_is_no_name_for_a_score(name: str) -> None:
    """The contract would be judged in its place, and the grader's word would count for nothing."""
    with pytest.raises(InputError, match="expected another name: answered, json_valid, schema are measured"):
        compiled(Suite("s", (a_case(),), ({"type": "contains", "value": "x", "name": name},)))
