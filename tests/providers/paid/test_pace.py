"""Requests and tokens a minute, on a clock that only the test moves."""

import pytest

from midshift.providers.paid.pace import Limits, Pace


def test_without_limits_nobody_waits() -> None:
    """A limit that nobody set must not slow anybody down."""
    pace = Pace(Limits(), 0.0)

    assert [0.0] * 1000 == [pace.take(10_000, 0.0) for _ in range(1000)]


def test_requests_are_spread_over_the_minute() -> None:
    """60 a minute are one a second, whoever comes at once: each is told its own second."""
    pace = Pace(Limits(requests_per_min=60), 0.0)

    assert pytest.approx([0.0, 1.0, 2.0, 3.0]) == [pace.take(1, 0.0) for _ in range(4)]


def test_waiting_earns_no_more_than_a_burst_of_a_second() -> None:
    """A minute's worth at once is what providers answer with 429."""
    pace = Pace(Limits(requests_per_min=120), 0.0)

    assert pytest.approx([0.0, 0.0, 0.5]) == [pace.take(1, 3600.0) for _ in range(3)]


def test_tokens_wait_for_their_own_limit() -> None:
    """6,000 a minute are 100 a second: a request of 500 makes the next one wait for what it overdrew."""
    pace = Pace(Limits(tokens_per_min=6_000), 0.0)

    assert pytest.approx([0.0, 5.0, 10.0]) == [pace.take(500, 0.0) for _ in range(3)]


def test_the_count_corrects_the_estimate() -> None:
    """What the estimate took too much comes back."""
    pace = Pace(Limits(tokens_per_min=6_000), 0.0)
    pace.take(500, 0.0)
    pace.correct(500, 100)

    assert pytest.approx(1.0) == pace.take(500, 0.0)


def test_an_unknown_count_leaves_the_estimate() -> None:
    """Unknown is not zero."""
    pace = Pace(Limits(tokens_per_min=6_000), 0.0)
    pace.take(500, 0.0)
    pace.correct(500, None)

    assert pytest.approx(5.0) == pace.take(500, 0.0)


def test_the_longer_of_both_waits_holds() -> None:
    """A provider refuses by whichever limit is reached."""
    pace = Pace(Limits(requests_per_min=60, tokens_per_min=6_000), 0.0)
    pace.take(50, 0.0)

    assert pytest.approx(1.0) == pace.take(50, 0.0)


def test_silence_is_for_everybody_and_never_shortened() -> None:
    """One 429 is about the account and not about the request that heard it."""
    pace = Pace(Limits(), 0.0)
    pace.leave_alone(10.0)
    pace.leave_alone(5.0)

    assert [10.0, 1.0, 0.0] == [pace.silence_s(now_s) for now_s in (0.0, 9.0, 11.0)]


@pytest.mark.parametrize("name", ["concurrency", "requests_per_min", "tokens_per_min"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    """It would wait for ever."""
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})
