"""What one request adds to the sums: everything additive, and what is unknown counted as such."""

from __future__ import annotations

from typing import Any

import pytest

from midshift.domain.exposure import (
    Credit,
    Exposure,
    Fate,
    HistogramKey,
    Sum,
    SumKey,
    contributions,
    feedback_sums,
)
from midshift.domain.routing import Arm
from midshift.domain.sums import Sums


def an_exposure(**fields: Any) -> Exposure:
    """A request that the candidate answered, and its provider counted."""
    given: dict[str, Any] = {
        "upgrade": "up-1",
        "step": 2,
        "block": 7,
        "status": 200,
        "latency_s": 2.0,
        "first_byte_s": 0.5,
        "tokens_in": 10,
        "tokens_out": 5,
        "cost_usd": 0.01,
        "usage_unknown": False,
        **fields,
    }
    return Exposure("req-1", "support", 1, Fate.CANDIDATE, Arm.CANDIDATE, **given)


def added(exposure: Exposure, part: str = "*") -> dict[str, float]:
    """Values by metric."""
    return {key.metric: value for key, value in contributions(exposure) if key.slice == part}


def test_a_request_adds_once_to_every_metric_that_is_known() -> None:
    """In all requests and in each of its slices."""
    exposure = an_exposure(streamed=True, slices=("german",))
    expected = {
        "error": 0.0,
        "latency_s": 2.0,
        "ttft_s": 0.5,
        "cost_usd": 0.01,
        "cost_unknown": 0.0,
        "usage_unknown": 0.0,
        "tokens_in": 10.0,
        "tokens_out": 5.0,
        "feedback_rate": 0.0,
    }

    assert expected == added(exposure) == added(exposure, "german")


def test_an_unknown_cost_is_counted_and_is_no_cost() -> None:
    """A cost gate has to see how much it does not see: a mean over what is known alone fails open."""
    found = added(an_exposure(cost_usd=None, tokens_in=None, tokens_out=None, usage_unknown=True))

    assert (1.0, 1.0) == (found["cost_unknown"], found["usage_unknown"])
    assert not {"cost_usd", "tokens_in", "tokens_out"} & found.keys()


def test_what_no_provider_answered_has_no_usage_to_be_unknown() -> None:
    """An outage is an error, and no hole in the costs."""
    found = added(an_exposure(status=503, cost_usd=None, usage_unknown=None))

    assert 1.0 == found["error"]
    assert not {"cost_unknown", "usage_unknown"} & found.keys()


def test_only_streams_have_a_time_to_the_first_token() -> None:
    """A whole answer comes at its end."""
    assert "ttft_s" not in added(an_exposure(streamed=False))


@pytest.mark.parametrize("fields", [{"upgrade": None}, {"ring": "staff"}])
def test_what_is_no_part_of_a_comparison_adds_nothing(fields: dict[str, Any]) -> None:
    """No upgrade, or people who drew no lots."""
    assert [] == list(contributions(an_exposure(**fields)))


def test_latencies_are_kept_as_histograms_too() -> None:
    """By upgrade, step, arm and slice, for the p99 of a gate; blocks are for means."""
    sums = Sums()
    for block in range(3):
        sums.add(an_exposure(block=block))
    [(key, histogram)] = sums.histograms.items()

    assert HistogramKey("support", "up-1", 2, Arm.CANDIDATE, "*", "latency_s") == key
    assert 3 == histogram.n
    assert histogram.quantile(0.99) == pytest.approx(2.0, rel=0.02)


def test_a_feedback_counts_once_for_what_served_it() -> None:
    """The reply rate has the requests as its count: ones come from here, zeros from the requests."""
    credit = Credit("support", "up-1", 2, Arm.CANDIDATE, ("german",), 7)
    found = feedback_sums(credit, 0.75, has_ticket=False)
    sums = Sums()
    sums.add(an_exposure(slices=("german",)))
    sums.add(an_exposure(slices=("german",)))
    sums.merge(found)

    for part in ("*", "german"):
        rate = SumKey("support", "up-1", 2, Arm.CANDIDATE, part, "feedback_rate", 7)
        said = SumKey("support", "up-1", 2, Arm.CANDIDATE, part, "satisfaction", 7)
        assert (Sum(2, 1.0, 1.0), Sum(1, 0.75, 0.5625)) == (sums.by_key[rate], sums.by_key[said])
    assert 4 == len(found)


def test_a_ticket_alone_says_nothing_about_satisfaction() -> None:
    """Somebody needed help: with what, nobody said."""
    found = feedback_sums(Credit("support", "up-1", 2, Arm.CANDIDATE, (), 7), None, has_ticket=True)

    assert {"feedback_rate", "ticket_rate"} == {key.metric for key in found}
    assert {} == feedback_sums(Credit("support", None, 0, Arm.CANDIDATE, (), 7), 1.0, has_ticket=True)
