"""When to ask again: what vendors say in their headers, and what to do where they say nothing."""

from datetime import UTC, datetime

import pytest

from midshift.providers.paid.backoff import Backoff, told_s

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:09 GMT"}, 9.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "12ms"}, 0.012),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "3s"}, 3.0),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "9s",
                "x-ratelimit-remaining-tokens": "40",
            },
            1.0,
        ),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 4)}, 4.0),
        ({"x-ratelimit-reset": str(1000 * (int(NOW.timestamp()) + 4))}, 4.0),
        ({"anthropic-ratelimit-requests-reset": "2026-11-22T12:00:05Z"}, 5.0),
        (
            {
                "anthropic-ratelimit-tokens-reset": "2026-11-22T12:00:30Z",
                "anthropic-ratelimit-tokens-remaining": "1000",
                "anthropic-ratelimit-requests-reset": "2026-11-22T12:00:02Z",
                "anthropic-ratelimit-requests-remaining": "0",
            },
            2.0,
        ),
    ],
)
def test_what_the_provider_says_is_read(headers: dict[str, str], expected: float | None) -> None:
    """Each vendor says it in its own way; what cannot be read says nothing."""
    assert expected == pytest.approx(told_s(headers, NOW))


def test_without_a_word_the_pause_doubles_up_to_a_limit() -> None:
    """Full luck, so that the doubling is all there is."""
    backoff = Backoff(tries=10, first_s=1.0, longest_s=5.0)

    assert [1.0, 2.0, 4.0, 5.0] == [backoff.wait_s(tried, None, 1.0) for tried in (1, 2, 3, 4)]


def test_luck_spreads_those_who_were_refused_together() -> None:
    """Without it all of them come back in the same moment and are refused again."""
    assert Backoff().wait_s(1, None, 0.0) != Backoff().wait_s(1, None, 1.0)


def test_nobody_comes_back_before_the_time_that_was_said() -> None:
    """That would only be refused again."""
    assert (Backoff().wait_s(1, 7.0, 0.0) or 0.0) >= 7.0


def test_after_the_last_try_it_gives_up() -> None:
    """A provider that is down must not hold an eval for ever."""
    assert None is Backoff(tries=3).wait_s(3, None, 0.5)


def test_a_pause_beyond_patience_is_not_waited_for() -> None:
    """A daily quota says `retry-after: 40000`: a person has to hear of that now."""
    assert None is Backoff(patience_s=60.0).wait_s(1, 61.0, 0.5)
