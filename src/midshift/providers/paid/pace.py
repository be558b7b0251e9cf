"""Requests and tokens a minute as reservations in time: who asks is told how long to wait, and waits once.

A bucket holds what one second brings and fills at the rate that the provider grants; each reservation takes its share
at once, so the next one is told the longer wait: first come, first served, and nobody polls. Tokens are an estimate
until the answer says how many there were, and are corrected then.
Elsewhere: how long a provider wants to be left alone (backoff), the waiting itself (desk).
"""

from __future__ import annotations

from dataclasses import dataclass

_BURST_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one provider is asked at most; None is no limit.

    Raises:
        ValueError: for a limit that is not above 0.
    """

    concurrency: int = 16
    requests_per_min: float | None = None
    tokens_per_min: float | None = None

    def __post_init__(self) -> None:
        for name in ("concurrency", "requests_per_min", "tokens_per_min"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value!r}")


class Bucket:
    """One limit. All times are seconds of one monotonic clock."""

    def __init__(self, per_min: float, now_s: float) -> None:
        self._per_s = per_min / 60.0
        self._full = max(self._per_s * _BURST_S, 1.0)
        self._level = self._full
        self._at_s = now_s

    def take(self, amount: float, now_s: float) -> float:
        """Reserve `amount`; how many seconds until it is granted."""
        self._level = min(self._full, self._level + max(now_s - self._at_s, 0.0) * self._per_s)
        self._at_s = max(now_s, self._at_s)
        missing = min(amount, self._full) - self._level
        self._level -= amount
        return max(missing, 0.0) / self._per_s

    def correct(self, amount: float) -> None:
        """Take so much more than was reserved, or give it back."""
        self._level = min(self._full, self._level - amount)


class Pace:
    """The limits of one provider, and for how long it wants to be left alone."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._requests = None if limits.requests_per_min is None else Bucket(limits.requests_per_min, now_s)
        self._tokens = None if limits.tokens_per_min is None else Bucket(limits.tokens_per_min, now_s)
        self._silent_until_s = now_s

    def take(self, tokens: int, now_s: float) -> float:
        """Reserve one request of about so many tokens; how many seconds until it may be sent."""
        waits = [0.0]
        if self._requests is not None:
            waits.append(self._requests.take(1.0, now_s))
        if self._tokens is not None:
            waits.append(self._tokens.take(tokens, now_s))
        return max(waits)

    def correct(self, estimated: int, counted: int | None) -> None:
        """What the tokens of a request really were; None leaves the estimate."""
        if self._tokens is not None and counted is not None:
            self._tokens.correct(counted - estimated)

    def leave_alone(self, until_s: float) -> None:
        """The provider asked for silence: for every request, not only the one that heard it."""
        self._silent_until_s = max(self._silent_until_s, until_s)

    def silence_s(self, now_s: float) -> float:
        """How long that still is."""
        return max(self._silent_until_s - now_s, 0.0)
