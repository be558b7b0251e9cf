"""Suites out of recorded requests: stratified, without repetitions, reproducible, with drafts."""

from collections import Counter

import pytest

from midshift.errors import InputError
from midshift.evals.building import Observed, build
from midshift.evals.checking import check
from midshift.evals.suite_file import Suite

TOPICS = [f"subject{number} " * 3 + f"detail{number * 7} asks{number * 13}" for number in range(400)]


def observed(number: int, slices: tuple[str, ...] = ("a",), text: str = "", cluster: str | None = None) -> Observed:
    body = {"model": "m", "messages": [{"role": "user", "content": text or TOPICS[number]}], "max_tokens": 9}
    return Observed(f"r{number}", body, slices, cluster, answer="Yes.")


def test_a_rare_slice_gets_as_many_cases_as_a_large_one() -> None:
    """A gate per slice needs cases in each of them; traffic alone would not give them."""
    requests = [observed(n, ("rare",) if n % 20 == 0 else ("common",)) for n in range(400)]

    built = build(requests, per_slice=15, seed=0)

    assert {"rare": 15, "common": 15} == Counter(name for case in built.cases for name in case.slices)
    assert {"rare": 20, "common": 380} == built.seen
    assert 370 == sum(built.left_out.values())


def test_a_case_of_two_slices_serves_the_rare_one_first() -> None:
    """Else the same slice would be filled twice."""
    requests = [observed(n, ("common", "rare") if n < 5 else ("common",)) for n in range(100)]

    counts = Counter(name for case in build(requests, 10, 0).cases for name in case.slices)

    assert (5, 10) == (counts["rare"], counts["common"])


def test_the_same_seed_takes_the_same_requests_in_any_order_and_another_seed_others() -> None:
    """A suite that nobody can build again is nobody's evidence."""
    requests = [observed(n) for n in range(200)]

    first = [case.id for case in build(requests, 20, 1).cases]

    assert first == [case.id for case in build(requests[::-1], 20, 1).cases]
    assert first != [case.id for case in build(requests, 20, 2).cases]


def test_many_units_are_asked_before_any_unit_twice() -> None:
    """Cases of one user are no independent evidence."""
    requests = [observed(n, cluster="loud" if n < 90 else f"u{n}") for n in range(100)]

    assert 11 == len({case.cluster for case in build(requests, 11, 0).cases})


def test_near_duplicates_are_left_out_and_counted() -> None:
    """The same question twice counts twice and says nothing new."""
    requests = [observed(n, text="Where is my parcel?" if n < 10 else "") for n in range(20)]

    built = build(requests, 100, 0)

    assert 11 == len(built.cases)
    assert 9 == built.left_out["nearly the same as another"]


def test_a_slice_does_not_lose_its_cases_to_another_one() -> None:
    """A slice that is gated and left without cases would wait for good."""
    requests = [observed(n, ("a",) if n < 5 else ("b",), text="Where is my parcel?") for n in range(10)]

    assert [("a",), ("b",)] == sorted(case.slices for case in build(requests, 100, 0).cases)


def test_a_check_of_what_was_built_finds_no_two_alike_but_across_slices() -> None:
    """Two commands that count the same thing in two ways make one of them a liar."""
    slices = [("a",), ("b",), ("a", "b")]
    texts = [f"Where is my parcel number {n % 7}, please? It should have come on day {n % 3}." for n in range(90)]
    built = build([observed(n, slices[n % 3], text) for n, text in enumerate(texts)], 100, 0)

    found = check(Suite("built", built.cases), 2.0)

    assert () == found.repeated
    by_id = {case.id: set(case.slices) for case in built.cases}
    assert found.repeated_elsewhere
    assert all(by_id[left] != by_id[right] for left, right in found.repeated_elsewhere)


def test_the_incumbents_answer_is_a_draft_and_the_apps_parameters_are_kept() -> None:
    """A person confirms the one; the request is only the same with the other."""
    case = build([observed(1)], 1, 0).cases[0]

    assert (None, "Yes.") == (case.reference, case.draft)
    assert {"max_tokens": 9} == case.params


def test_requests_without_slices_make_no_suite() -> None:
    """R1.4: an average alone gates nothing."""
    with pytest.raises(InputError, match="none of 3 requests has a slice"):
        build([observed(n, ()) for n in range(3)], 10, 0)


def test_requests_that_say_nothing_make_no_suite() -> None:
    """And the reason is said."""
    with pytest.raises(InputError, match="1 without words of a user"):
        build([Observed("x", {"messages": []}, ("a",))], 10, 0)
