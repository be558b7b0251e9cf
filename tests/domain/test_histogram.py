"""Quantiles that merge: never further from the truth than they say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.histogram import LEAST, RELATIVE_ERROR, SPAN, Histogram

LATENCIES = st.lists(st.floats(min_value=1e-6, max_value=1e5), min_size=1, max_size=200)


def nearest_rank(values: list[float], q: float) -> float:
    """The quantile by its definition."""
    return sorted(values)[max(1, math.ceil(q * len(values))) - 1]


@given(LATENCIES, st.floats(min_value=0.0, max_value=1.0))
def test_a_quantile_is_within_two_per_cent_of_the_true_one(values: list[float], q: float) -> None:
    """Whatever the distribution: a p99 that is off by half would hold up, or let through, an upgrade."""
    found = Histogram.of(values).quantile(q)

    assert found is not None
    assert found == pytest.approx(nearest_rank(values, q), rel=RELATIVE_ERROR * 1.0001)


@given(LATENCIES, LATENCIES)
def test_merging_is_the_same_as_having_seen_all(first: list[float], second: list[float]) -> None:
    """Gateways merge by addition, in any order."""
    merged, other_way = Histogram.of(first), Histogram.of(second)
    merged.merge(Histogram.of(second).buckets)
    other_way.merge(Histogram.of(first).buckets)

    assert Histogram.of(first + second) == merged == other_way
    assert len(first) + len(second) == merged.n


@given(LATENCIES | st.just([]))
def test_spans_hold_every_bucket_once(values: list[float]) -> None:
    """Also those below a second, whose numbers are negative."""
    whole, again = Histogram.of(values), Histogram()
    spans = whole.spans()
    for span, counts in spans.items():
        again.merge_span(span, counts)

    assert whole == again
    assert sorted(whole.buckets) == sorted(again.buckets)
    assert sorted(spans) == list(spans)
    assert {SPAN} >= {len(counts) for counts in spans.values()}


def test_no_numbers_have_no_quantile() -> None:
    """An unknown latency is not zero."""
    assert Histogram().quantile(0.99) is None


def test_zero_and_the_enormous_are_counted_at_the_ends() -> None:
    """A clock that stands still in a test gives zeros; nothing is lost for it."""
    found = Histogram.of([0.0, 1e300])

    assert 2 == found.n
    assert found.quantile(0.0) == pytest.approx(LEAST, rel=0.05)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_what_is_no_duration_is_refused(value: float) -> None:
    """It would be in a bucket of its own for good."""
    with pytest.raises(ValueError, match="finite numbers from 0 up"):
        Histogram().add(value)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_share_that_is_none_is_refused(q: float) -> None:
    """99 in the place of 0.99."""
    with pytest.raises(ValueError, match=r"in 0\.\.1"):
        Histogram.of([1.0]).quantile(q)
