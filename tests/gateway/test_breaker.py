"""When a candidate is left alone."""

from midshift.gateway.breaker import BreakerState
from midshift.gateway.settings import Breaker

RULES = Breaker(window=4, share=0.5, pause_s=30.0)


def a_breaker(*tries: bool) -> BreakerState:
    """A breaker after these tries, all at second 0."""
    breaker = BreakerState(RULES)
    for answered in tries:
        breaker.record(answered, 0.0)
    return breaker


def test_half_of_a_whole_window_opens_it() -> None:
    """Fewer tries than a window say nothing, however they end."""
    assert not a_breaker(False, False, False).is_open
    assert not a_breaker(True, True, True, False).is_open
    assert a_breaker(True, False, True, False).is_open


def test_only_the_last_tries_count() -> None:
    """A bad morning is over."""
    assert not a_breaker(False, True, True, True, True).is_open


def test_open_lets_one_request_through_after_each_pause() -> None:
    """To find out, at the cost of one user's patience."""
    breaker = a_breaker(False, False, False, False)

    assert [False, True, False, False, True] == [breaker.allows(at_s) for at_s in (29.9, 30.0, 30.0, 59.9, 60.0)]


def test_an_answer_closes_it() -> None:
    """And the past does not count again."""
    breaker = a_breaker(False, False, False, False)
    breaker.allows(30.0)

    breaker.record(True, 31.0)
    breaker.record(False, 31.0)

    assert (False, True) == (breaker.is_open, breaker.allows(31.0))


def test_a_failed_probe_keeps_it_open() -> None:
    """Until the next pause is over."""
    breaker = a_breaker(False, False, False, False)
    breaker.allows(30.0)

    breaker.record(False, 31.0)

    assert [False, True] == [breaker.allows(at_s) for at_s in (59.9, 60.0)]
