"""Two root finders for monotone functions.

Kept here because importing scipy.optimize costs a command line more than the whole calculation.
"""

from __future__ import annotations

from collections.abc import Callable

_HALVINGS = 60


def bisect(f: Callable[[float], float], low: float, high: float) -> float:
    """Where `f`, monotone on [`low`, `high`], changes sign; an end if it never does."""
    sign_low = f(low) > 0.0
    if sign_low == (f(high) > 0.0):
        return low if abs(f(low)) < abs(f(high)) else high
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if (f(middle) > 0.0) == sign_low:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def illinois(f: Callable[[float], float], low: float, high: float, tolerance: float) -> float:
    """Where `f`, nearly linear between `low` and `high`, changes sign (regula falsi, Illinois variant).

    Needs about six evaluations where `bisect` needs sixty; for functions that cost a pass over the data.

    Raises:
        ValueError: if `f` has the same sign at both ends.
    """
    f_low, f_high = f(low), f(high)
    if f_low == 0.0:
        return low
    if f_high == 0.0:
        return high
    if (f_low > 0.0) == (f_high > 0.0):
        raise ValueError(f"no sign change between {low} ({f_low}) and {high} ({f_high})")
    for _ in range(_HALVINGS):
        guess = high - f_high * (high - low) / (f_high - f_low)
        value = f(guess)
        if value == 0.0 or abs(guess - high) < tolerance:
            return guess
        if (value > 0.0) == (f_high > 0.0):
            f_low *= 0.5
        else:
            low, f_low = high, f_high
        high, f_high = guess, value
    return high
