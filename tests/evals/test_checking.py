"""What a suite can show before a token is spent."""

import pytest

from midshift.domain.suite import Margin, SliceRole
from midshift.evals.checking import check, smallest_drop
from midshift.evals.suite_file import EvalCase, SliceNote, Suite, case_of


def case(number: int, **fields: object) -> EvalCase:
    words = {"messages": [{"role": "user", "content": f"question{number} of{number * 31} its own"}]}
    return case_of({"id": f"c{number}", "slice": "a", **words, **fields}, number)


def test_eighteen_cases_can_at_best_rule_out_a_drop_of_fifteen_points() -> None:
    """1 - 0.05 ** (1/18): as many failures could hide in what the suite does not show."""
    assert 15.33 == pytest.approx(smallest_drop(18), abs=0.01)
    assert 2.0 > smallest_drop(149)
    assert 2.0 < smallest_drop(148)


def test_a_slice_is_too_small_for_a_margin_that_no_outcome_could_show() -> None:
    """To know it costs nothing now, and a whole eval later."""
    suite = Suite("s", tuple(case(n) for n in range(20)), slices={"a": SliceNote(SliceRole.WATCH, Margin(14.0))})

    wide, narrow = check(suite, 2.0).slices[0], check(suite, 2.0, {}).slices[0]

    assert (False, SliceRole.WATCH) == (wide.is_small, wide.role)
    assert (True, SliceRole.CRITICAL) == (narrow.is_small, narrow.role)
    assert narrow.at_best < narrow.likely


def test_cases_of_one_cluster_count_once() -> None:
    """Twenty tickets of one customer are one customer."""
    found = check(Suite("s", tuple(case(n, cluster="one") for n in range(20))), 2.0).slices[0]

    assert (20, 1) == (found.cases, found.clusters)


def test_what_is_missing_is_named_by_case() -> None:
    """So that somebody can go and write it."""
    same = {"messages": case(1).messages}
    suite = Suite(
        "s",
        (
            case(1, reference="x", graders=[{"type": "contains"}]),
            case(2, slice=None),
            case(3, reference="y", reference_status="draft", expects="json"),
            case(4, **same),
        ),
    )

    found = check(suite, 2.0)

    assert ("c2",) == found.sliceless
    assert (("c4", "c1"),) == found.repeated
    assert ("c2", "c4") == found.ungraded
    assert ("c3",) == found.drafts
    assert ("c2", "c4") == found.without_reference
    assert {"contains": 1} == found.graders
