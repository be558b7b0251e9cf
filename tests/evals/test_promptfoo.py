"""promptfoo's result files as paired rows: which result is which variant, and what an error costs.

The shape is that of `promptfoo eval -o results.json` (0.121, result version 3).
Elsewhere: the exact words about each broken file (tests/cli/test_broken_inputs.py).
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from midshift.errors import InputError
from midshift.evals.paired_outputs import Request
from midshift.evals.promptfoo import read, results_of, results_of_lines
from midshift.evals.rows import NUMBER_FIELDS, Ledger, PairedRow
from tests.builders import problems


def a_result(
    test: object = 0, provider: str = "old", score: object = 1, column: int | None = None, **fields: Any
) -> Any:
    """One cell of promptfoo's table."""
    return {
        "id": f"uuid-{test}-{provider}",
        "testIdx": test,
        "promptIdx": ["old", "new"].index(provider) if column is None else column,
        "provider": {"id": f"openai:{provider}", "label": provider},
        "prompt": {"raw": "Answer: {{q}}", "label": "plain"},
        "vars": {"q": f"q {test}"},
        "response": {
            "output": "text",
            "cost": 0.25,
            "cached": False,
            "tokenUsage": {"prompt": 3, "completion": 4, "completionDetails": {"reasoning": 2}},
        },
        "success": bool(score),
        "score": score,
        "namedScores": {"tone": 0.5},
        "latencyMs": 1500,
        "failureReason": 0,
        "error": None,
        "testCase": {"assert": [{"type": "contains", "value": "t"}], "metadata": {"slice": "s0"}},
        **fields,
    }


def a_pair(test: int = 0, **fields: Any) -> list[Any]:
    """One test, answered by both."""
    return [a_result(test, "old"), a_result(test, "new", **fields)]


def rows(
    results: Sequence[object], ledger: Ledger | None = None, old: str = "old", new: str = "new", **request: Any
) -> list[PairedRow]:
    """The paired rows of results, through a document."""
    document = json.dumps({"evalId": "e", "results": {"version": 3, "results": results}}).encode()
    return list(read(results_of(document), Request(old, new, **request), Ledger() if ledger is None else ledger))


def test_a_test_with_two_results_is_a_pair() -> None:
    """A newcomer's first file is promptfoo's: all that it holds has to arrive."""
    (row,) = rows(a_pair(test=4))

    assert ("test 4", 1, ("s0",), None) == (row.id, row.place, row.slices, row.expects)
    assert {"score": 1.0, "pass": 1.0, "tone": 0.5} == row.incumbent.scores
    assert {
        "tokens_in": 3,
        "tokens_out": 4,
        "tokens_reasoning": 2,
        "latency_s": 1.5,
        "cost_usd": 0.25,
    } == {name: value for name, value in zip(NUMBER_FIELDS, row.candidate.numbers, strict=True) if value == value}


@pytest.mark.parametrize(
    "document",
    [
        {"evalId": "e", "results": {"version": 3, "results": a_pair()}},
        {"results": a_pair()},
        {"version": 2, "results": a_pair()},
    ],
)
def test_the_document_is_read_in_each_of_its_shapes(document: object) -> None:
    """promptfoo wraps its results in one object more or less, by version and command."""
    for text in (json.dumps(document), json.dumps(document, indent=2)):
        for mark in (b"", b"\xef\xbb\xbf"):
            assert 2 == len(results_of(mark + text.encode()))


def test_one_result_a_line_is_read_as_well() -> None:
    """`-o results.jsonl` is what large runs write."""
    lines = [b"\xef\xbb\xbf" + json.dumps(a_result()).encode(), b"\n", json.dumps(a_result(0, "new")).encode()]

    (row,) = read(results_of_lines(lines), Request("old", "new"), Ledger())

    assert "test 0" == row.id


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (b'{"results": 5}', "Expected `object | array`, got `int` - at `$.results`"),
        (b'{"evalId": "e"}', "Object missing required field `results`"),
        (b'{"results": {"table": []}}', "Object missing required field `results` - at `$.results`"),
        (b'{"results": [', "Input data was truncated"),
        (b'{"results": [NaN], "evalId": nope}', "JSON is malformed: invalid character (byte 13)"),
        (b'{"results": [NaN], "evalId": "\xff"}', "JSON is malformed: invalid character (byte 13)"),
    ],
)
def test_another_document_is_refused_with_what_was_found(document: bytes, found: str) -> None:
    """Nearly right files are common: an old version, a half-written one."""
    with pytest.raises(InputError) as refused:
        results_of(document)

    assert (
        f"not a promptfoo result file: {found}. Expected the JSON that `promptfoo eval -o results.json` writes"
    ) == str(refused.value)


@pytest.mark.parametrize("name", ["old", "openai:old", "old :: plain", "openai:old :: plain", "old :: Answer: {{q}}"])
def test_a_variant_goes_by_its_label_or_its_id_with_or_without_the_prompt(name: str) -> None:
    """Whatever promptfoo shows as the name of a column can be typed."""
    assert 1 == len(rows(a_pair(), old=name))


def test_where_one_provider_ran_two_prompts_the_prompts_are_the_variants() -> None:
    """A re-tuned prompt is a new variant: this is stage two as promptfoo users know it."""
    prompts = [{"raw": f"{name}: {{{{q}}}}", "label": name} for name in ("v1", "v2")]
    results = [
        a_result(0, "old", score, column, prompt=prompt)
        for column, (prompt, score) in enumerate(zip(prompts, (1, 0), strict=True))
    ]

    (row,) = rows(results, old="v1", new="v2")

    assert (1.0, 0.0) == (row.incumbent.scores["score"], row.candidate.scores["score"])


def test_a_name_that_fits_two_variants_is_refused_with_their_full_names() -> None:
    """The first that fits would be compared, and nobody would know which it was."""
    other = a_result(0, "new", column=2, prompt={"raw": "r", "label": "terse"})

    with pytest.raises(InputError) as refused:
        rows([*a_pair(), other])

    assert "--candidate 'new' fits 2 variants: 'new :: plain', 'new :: terse'; name one of them" == str(refused.value)
    assert 1 == len(rows([*a_pair(), other], new="new :: terse"))


def test_columns_of_one_name_are_refused_with_the_way_out() -> None:
    """One model at two efforts, without labels: promptfoo shows them alike, and so one would stand for both."""
    with pytest.raises(InputError) as refused:
        rows([*a_pair(), a_result(0, "new", column=2)])

    assert (
        "--candidate 'new' fits 2 columns of the results, and some have equal names; "
        "give each provider and prompt a label of its own in promptfoo's configuration, and run it again"
    ) == str(refused.value)


def test_two_names_of_one_variant_are_no_comparison() -> None:
    """A candidate compared with itself passes every gate."""
    with pytest.raises(InputError) as refused:
        rows(a_pair(), old="old", new="openai:old")

    assert (
        "--incumbent 'old' and --candidate 'openai:old' are one variant, 'old :: plain'; name two to compare"
    ) == str(refused.value)


@pytest.mark.parametrize(
    "errored",
    [
        {"failureReason": 2, "error": "timeout", "response": None},
        {"failureReason": 2, "error": "timeout"},
        {"failureReason": 2, "error": None},
        {"failureReason": None, "error": "timeout", "response": {}},
    ],
)
def test_an_errored_test_has_no_score_although_promptfoo_writes_a_zero(errored: dict[str, Any]) -> None:
    """A network fault scored as a wrong answer would accuse the model, or hide behind one."""
    ledger = Ledger()

    (row,) = rows(a_pair(score=0, **errored), ledger)

    assert {} == row.candidate.scores
    assert "error" == row.candidate.failure
    assert {"candidate_error_answer": 1} == ledger.noted


def test_a_failed_assertion_is_a_zero_and_an_answer() -> None:
    """promptfoo writes its reason into the error field as well: that is a grade, not an outage."""
    (row,) = rows(a_pair(score=0, failureReason=1, error="Expected output to contain t"))

    assert (0.0, "") == (row.candidate.scores["score"], row.candidate.failure)


def test_a_cached_answer_has_no_latency() -> None:
    """A millisecond from the disk is not what users will wait."""
    answer = {"output": "text", "cached": True}

    (row,) = rows(a_pair(response=answer))

    assert math.isnan(row.candidate.numbers[NUMBER_FIELDS.index("latency_s")])
    assert "text" == row.candidate.text


def test_an_output_that_promptfoo_parsed_is_text_again() -> None:
    """With a JSON response format promptfoo stores the object, not the text."""
    (row,) = rows(a_pair(response={"output": {"a": "é"}}))

    assert '{"a": "é"}' == row.candidate.text


def test_equal_variables_are_one_cluster() -> None:
    """`--repeat 5` asks one question five times: that is not five independent cases."""
    results = [result for test in range(4) for result in a_pair(test)]
    for result in results:
        result["vars"] = {"b": 1, "a": result["testIdx"] % 2} if result["testIdx"] < 2 else {"a": 1, "b": 1}

    clusters = [row.cluster for row in rows(results)]

    assert clusters[1] == clusters[2] == clusters[3] != clusters[0]


@pytest.mark.parametrize(
    ("case", "metadata", "slices"),
    [
        ({"metadata": {"slice": "a", "category": "b"}}, None, ("a",)),
        ({"metadata": {"category": ["a", "b", "a"]}}, None, ("a", "b")),
        ({"metadata": {"category": 3}}, None, ("3",)),
        ({}, {"slice": "a"}, ("a",)),
        (None, None, ()),
        ({"metadata": {"slice": None}}, None, ()),
    ],
)
def test_slices_come_from_the_metadata(case: object, metadata: object, slices: tuple[str, ...]) -> None:
    """promptfoo users keep their categories there."""
    (row,) = rows([a_result(testCase=case, metadata=metadata), a_result(0, "new")])

    assert slices == row.slices


def test_an_is_json_assertion_is_a_contract() -> None:
    """The user has already said that the form matters."""
    case = {"assert": [{"type": "contains"}, {"type": "is-json"}]}

    assert ["json"] == [row.expects for row in rows([a_result(testCase=case), a_result(0, "new")])]
    assert ["json"] == [row.expects for row in rows(a_pair(), expects="json")]


def test_tests_come_in_their_order_and_results_keep_their_number() -> None:
    """promptfoo writes results as they finish; a place must still lead to the right one."""
    results = [a_result(1, "new"), *a_pair(0), a_result(1, "old")]

    assert [("test 0", 2), ("test 1", 4)] == [(row.id, row.place) for row in rows(results)]


def test_half_a_character_in_one_result_costs_no_result() -> None:
    """JavaScript cuts texts within an emoji, and promptfoo is JavaScript."""
    ledger = Ledger()

    found = rows([*a_pair(0), *a_pair(1, response={"output": "cut \ud83d"})], ledger)

    assert ["text", "cut \ud83d"] == [row.candidate.text for row in found]
    assert [] == problems(ledger)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"score": "1"}, ("candidate_bad_score", "score 'score' is \"1\", expected a number or null")),
        ({"namedScores": [1]}, ("candidate_bad_score", "namedScores is [1], expected an object")),
        ({"latencyMs": "5"}, ("candidate_bad_latency_s", 'latency_s is "5", expected a number from 0 up')),
        ({"latencyMs": -5}, ("candidate_bad_latency_s", "latency_s is -0.005, expected a number from 0 up")),
        ({"latencyMs": 10**400}, ("candidate_bad_latency_s", "latency_s is Infinity, expected a number from 0 up")),
        (
            {"response": {"output": "x", "tokenUsage": 7}},
            ("candidate_bad_tokens", "tokenUsage is 7, expected an object"),
        ),
        (
            {"response": {"output": "x", "cost": "free"}},
            ("candidate_bad_cost_usd", 'cost_usd is "free", expected a number from 0 up'),
        ),
    ],
)
def test_a_bad_value_costs_itself_and_not_its_result(fields: dict[str, Any], problem: tuple[str, str]) -> None:
    """As in our own format."""
    ledger = Ledger()

    (row,) = rows(a_pair(**fields), ledger)

    assert 1.0 == row.candidate.scores["pass"]
    assert [(problem[0], False, 1, [2], problem[1])] == problems(ledger)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"testCase": [1]}, ("bad_test_case", "testCase is [1], expected an object")),
        ({"testCase": {"metadata": "billing"}}, ("bad_metadata", 'metadata is "billing", expected an object')),
        (
            {"testCase": {"metadata": {"slice": "*"}}},
            ("unnamed_slice", "slice is [\"*\"]; a slice needs a name other than '*'"),
        ),
    ],
)
def test_bad_metadata_costs_the_slice_and_not_the_result(fields: dict[str, Any], problem: tuple[str, str]) -> None:
    """The case still counts among all cases."""
    ledger = Ledger()

    (row,) = rows([a_result(**fields), a_result(0, "new")], ledger)

    assert () == row.slices
    assert [(problem[0], False, 1, [1], problem[1])] == problems(ledger)


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        (a_result(1, "new"), ("no_incumbent_output", "test 1 has no result of 'old'")),
        (a_result(9, "third", column=2), ("no_incumbent_output", "test 9 has no result of 'old'")),
        (a_result(0, "new", 0), ("duplicate_result", "test 0 of 'new' again")),
        (None, ("not_a_result", "Expected `object`, got `null`")),
        ({"provider": "new"}, ("not_a_result", "Object missing required field `testIdx`")),
        (a_result("1", "new"), ("not_a_result", "Expected `int`, got `str` - at `$.testIdx`")),
    ],
)
def test_a_result_that_cannot_be_used_is_named_by_its_number(extra: object, problem: tuple[str, str]) -> None:
    """Never silently dropped, and the other results stay."""
    ledger = Ledger()

    found = rows([*a_pair(), extra], ledger)

    assert 1 == len(found)
    assert [(problem[0], True, 1, [3], problem[1])] == problems(ledger)
    assert (2, "result") == (ledger.read, ledger.unit)
    assert 1.0 == found[0].candidate.scores["score"]


def test_a_response_of_another_type_takes_its_pair_out() -> None:
    """There is no answer to read and none to count as missing: the file is wrong, not the model."""
    ledger = Ledger()

    assert [] == rows(a_pair(response="hello"), ledger)
    assert [("bad_candidate_output", True, 1, [2], 'response is "hello", expected an object')] == problems(ledger)
