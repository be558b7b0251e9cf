"""Several questions asked of one set of data: Holm's step-down.

Holm, Scandinavian Journal of Statistics 6 (1979) 65-70. Controls the chance of even one false rejection under any
dependence between the tests, which overlapping slices need.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given: reject those at or below alpha.

    Raises:
        ValueError: if a p-value is not in [0, 1].
    """
    if not all(0.0 <= p <= 1.0 for p in p_values):
        raise ValueError(f"p-values must lie in [0, 1], got {list(p_values)!r}")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
