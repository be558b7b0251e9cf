"""Made-up answers: the same story from every seed, in the documented form, and never to be taken for measurements."""

import json
from collections import Counter

import pytest

from midshift.evals import paired_outputs
from midshift.evals.paired_outputs import Request
from midshift.evals.rows import Ledger
from midshift.reports.comparison import SIMULATED
from midshift.testing.simulated import CANDIDATE, INCUMBENT, Script, lines, pairs
from tests.builders import tabled

CLOSING = "Is there anything else I can help you with?"


def test_the_models_bear_the_name_of_a_simulation() -> None:
    """Every report says so by this mark: a demo must not be quoted as a benchmark of a real model."""
    assert [True, True] == [model.startswith(SIMULATED) for model in (INCUMBENT, CANDIDATE)]


def test_one_seed_gives_one_file_and_another_seed_another() -> None:
    """A picture in the documentation is measured again in every run of the tests."""
    assert list(lines(50, 1)) == list(lines(50, 1))
    assert list(lines(50, 1)) != list(lines(50, 2))


@pytest.mark.parametrize("cases", [0, 1, 7, 500])
def test_a_file_has_as_many_cases_as_asked_for_with_ids_of_their_own(cases: int) -> None:
    """A small file tells the same story as a large one, only with less certainty."""
    rows = list(pairs(cases, 3))

    assert cases == len(rows) == len({row["id"] for row in rows})


def test_grades_and_slices_are_dealt_out_as_exact_quotas() -> None:
    """The story is scripted, so that its verdict does not depend on luck."""
    rows = list(pairs(500, 5))

    grades = Counter(
        tuple(row["outputs"][model]["scores"]["resolved"] for model in (INCUMBENT, CANDIDATE)) for row in rows
    )
    assert {(1, 1): 314, (1, 0): 43, (0, 1): 30, (0, 0): 113} == grades
    assert {"billing": 160, "shipping": 150, "returns": 110, "german": 50, "escalations": 30} == Counter(
        row["slice"] for row in rows
    )


def test_the_candidate_drops_the_closing_line_and_is_cheaper() -> None:
    """The drift of the story, as the reports should find it."""
    rows = list(pairs(500, 5))

    closing = [sum(CLOSING in row["outputs"][model]["text"] for row in rows) for model in (INCUMBENT, CANDIDATE)]
    cost = [sum(row["outputs"][model]["cost_usd"] for row in rows) for model in (INCUMBENT, CANDIDATE)]
    assert closing[0] > 450 > 60 > closing[1]
    assert cost[0] > cost[1] > 0.0


def test_something_off_brand_is_said_on_escalations_alone() -> None:
    """One slice with its own trouble, hidden from the aggregate."""
    said = Counter(row["slice"] for row in pairs(500, 5) if "no exceptions" in row["outputs"][CANDIDATE]["text"])

    assert {"escalations"} == set(said)
    assert 5 < said["escalations"] < 25


def test_a_script_changes_the_story() -> None:
    """A test plants what it looks for: here equal grades, and a tenth of the requests unanswered."""
    script = Script(both_right=1.0, only_incumbent_right=0.0, only_candidate_right=0.0, candidate_unanswered=0.1)

    rows = [row["outputs"] for row in pairs(200, 5, script)]

    silent = [outputs[CANDIDATE] for outputs in rows if outputs[CANDIDATE]["text"] is None]
    assert 20 == len(silent)
    assert {(None, 0)} == {(output["scores"]["resolved"], output["tokens_out"]) for output in silent}
    assert {1} == {outputs[INCUMBENT]["scores"]["resolved"] for outputs in rows}


def test_the_lines_are_a_paired_outputs_file_without_a_fault() -> None:
    """The demo's file is the first example of the format that anyone sees."""
    ledger = Ledger()
    written = [line.encode() for line in lines(100, 9)]

    table, cases = tabled(paired_outputs.read(written, Request(INCUMBENT, CANDIDATE), ledger), ledger)

    assert {} == ledger.problems
    assert (100, ["resolved"], 0) == (cases.rows.size, list(table.scores), cases.without_slice)
    assert all(line.endswith("\n") and json.loads(line) for line in lines(3, 9))
