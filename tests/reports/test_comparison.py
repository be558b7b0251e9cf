"""The JSON form as a value: units, what is unknown, and that a program can read it.

Elsewhere: that every field is there (tests/cli/test_compare.py).
"""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from midshift.domain.suite import AGGREGATE, Range, Score
from midshift.evals.regression import Rules
from midshift.reports.comparison import Comparison, document, rows
from midshift.shadow.drift import Unit
from tests.builders import a_comparison, a_row, grades, rows_of


def slices(comparison: Comparison, score: str = "s") -> dict[str, dict[str, Any]]:
    """The verdicts of one score, by slice."""
    return {item["slice"]: item for item in document(comparison)["slices"] if item["score"] == score}


def test_the_table_starts_each_score_with_all_cases() -> None:
    """The average first, then what it may hide."""
    comparison = a_comparison(rows_of(grades(right=6), "a") + rows_of(grades(right=6), "b"))

    assert [("s", "*"), ("s", "a"), ("s", "b"), ("answered", "*"), ("answered", "a"), ("answered", "b")] == [
        (row.score.name, row.slice) for row in rows(comparison)
    ]


def test_scores_are_in_their_own_unit_and_shares_are_fractions_of_one() -> None:
    """A program must not have to know a range to read a mean."""
    comparison = a_comparison(rows_of([(1, 4), (10, 10), (4, 4)] * 3), [Score("s", Range(1, 10))])

    found = slices(comparison)[AGGREGATE]

    assert (5.0, 6.0, 1.0, 0.18) == pytest.approx(
        tuple(found[name] for name in ("incumbent", "candidate", "delta", "margin"))
    )
    assert -9.0 <= found["low"] < found["delta"] < found["high"] <= 9.0
    assert 1.0 == slices(comparison, "answered")[AGGREGATE]["candidate"]


def test_a_slice_without_data_has_no_numbers_and_no_zero_among_them() -> None:
    """null is what programs understand as unknown."""
    comparison = a_comparison(rows_of(grades(right=6), "a") + rows_of([(None, 1)], "b"))

    found = slices(comparison)["b"]

    names = ("incumbent", "candidate", "delta", "low", "high", "p_not_worse", "p_adjusted", "method", "needs_n")
    assert {None} == {found[name] for name in names}
    assert (0, 0, "NO_DATA", "no case has this score for both variants") == tuple(
        found[name] for name in ("n", "clusters", "verdict", "reason")
    )


def test_cases_are_asked_for_only_where_the_question_is_open() -> None:
    """A number of cases beside a pass would be read as a condition."""
    comparison = a_comparison(rows_of(grades(right=300), "a") + rows_of(grades(right=20), "b"))

    found = slices(comparison)

    assert found["a"]["needs_n"] is None
    assert found["b"]["needs_n"] > 20


def test_a_bound_that_the_data_do_not_have_is_null() -> None:
    """Infinity is no JSON, and a large number would be a lie."""
    words = [{"text": "w " * number, "scores": {"s": 1}} for number in range(1, 11)]
    comparison = a_comparison([a_row(number, words[number], words[9 - number]) for number in range(5)])

    found = {item["metric"]: item for item in document(comparison)["drift"] if item["slice"] == AGGREGATE}

    assert (None, None) == (found["chars"]["low"], found["chars"]["high"])
    assert found["chars"]["reason"].startswith("too few differing pairs to bound it")


def test_the_document_is_json_by_the_letter() -> None:
    """NaN and Infinity are what Python writes and nobody else reads."""
    comparison = a_comparison(rows_of([(1, None), (0, 1)]) + [a_row("x", 1, 1, weight=3)])

    text = json.dumps(document(comparison), allow_nan=False)

    assert json.loads(text) == document(comparison)


def test_what_was_excluded_and_noted_adds_up() -> None:
    """Rows read are rows paired or rows left out, and every reason has its count."""
    bad = {"text": "x", "scores": {"s": "1"}}
    comparison = a_comparison([*rows_of(grades(right=6)), {"id": 1}, {"id": ""}, a_row("x", 1, bad), a_row("x")])

    found = document(comparison)["rows"]

    assert {"no_outputs": 1, "no_id": 1, "duplicate_id": 1} == found["excluded"]
    assert {"candidate_bad_score": 1} == found["noted"]
    assert found["read"] == found["paired"] + sum(found["excluded"].values()) == 10
    assert found["excluded"] | found["noted"] == {item["reason"]: item["count"] for item in found["problems"]}
    assert ["lines"] * 4 == [name for item in found["problems"] for name in item if name in ("lines", "results")]


@pytest.mark.parametrize(
    ("incumbent", "candidate", "simulated"),
    [("sim/a", "b", True), ("a", "sim/b", True), ("a", "b", False), ("my-sim/a", "simple", False)],
)
def test_one_simulated_model_makes_it_a_simulation(incumbent: str, candidate: str, simulated: bool) -> None:
    """Half a measurement is none."""
    comparison = replace(a_comparison(rows_of(grades(right=1))), incumbent=incumbent, candidate=candidate)

    assert simulated == comparison.is_simulated == document(comparison)["simulated"]


def test_the_ruling_lists_what_it_carries_along() -> None:
    """Shadow and canary track these slices by name."""
    rows = rows_of(grades(right=900, better=60), "a") + rows_of(grades(right=30, worse=20), "b")
    comparison = a_comparison(rows + rows_of(grades(right=9), "c"), rules=Rules(watch=frozenset("b")))

    report = document(comparison)

    assert ("proceed_with_caution", [{"score": "s", "slice": "b"}], [{"score": "s", "slice": "c"}]) == tuple(
        report[name] for name in ("decision", "regressed", "unproven")
    )


def test_the_mean_says_whether_it_is_weighted() -> None:
    """Two people with one file must find one number."""
    plain = a_comparison(rows_of(grades(right=3)))
    weighted = a_comparison(rows_of(grades(right=3)) + [a_row("x", weight=2)])

    assert ["mean over cases", "weighted by weight"] == [document(item)["aggregate"] for item in (plain, weighted)]
    assert (["tango score"], ["dirichlet bound"]) == tuple(document(item)["method"] for item in (plain, weighted))


def test_every_finding_names_its_unit() -> None:
    """Seconds, dollars and shares stand in one list."""
    output = {"text": "x", "scores": {}, "latency_s": 1.5, "cost_usd": 0.1, "tokens_in": 3}
    comparison = a_comparison([a_row(number, output, {**output, "text": "{}"}) for number in range(3)])

    units = {item["metric"]: item["unit"] for item in document(comparison)["drift"]}

    assert {
        "chars": Unit.CHARS,
        "words": Unit.WORDS,
        "json_valid": Unit.SHARE,
        "latency_s_p50": Unit.SECONDS,
        "cost_usd": Unit.USD,
        "tokens_in": Unit.TOKENS,
    }.items() <= units.items()
    assert all(math.isfinite(item["delta"]) for item in document(comparison)["drift"])
