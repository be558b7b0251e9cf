"""Looking at a growing sample more than once: what one look may spend.

A one-sided 95 % bound that is read ten times is not a 95 % bound. The number of looks is planned before the first
one, and each look spends an equal share of alpha (Bonferroni): valid under any dependence between the looks, however
the sample grows, and for bounds that no Brownian motion describes. Group-sequential boundaries (Pocock,
O'Brien-Fleming) spend a little less, and assume both away.

Looks that nobody planned are not free either: after the planned ones have spent alpha, each further one spends half of
what the one before spent, so that however many follow, all of them together spend less than 1 + 1 / planned times
alpha. That is more than alpha, and every report says how much.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """The `number`-th of `planned` looks at one growing sample; `further` ones came after the plan was spent.

    Raises:
        ValueError: unless 1 <= number <= planned, and number is planned where there are further ones.
    """

    number: int = 1
    planned: int = 1
    further: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.planned:
            raise ValueError(f"look {self.number} of {self.planned}: expected 1 <= look <= planned looks")
        if self.further < 0 or (self.further and self.number < self.planned):
            raise ValueError(
                f"{self.further} further looks after {self.number} of {self.planned}: expected the plan first"
            )

    def alpha(self, total: float) -> float:
        """What this look may spend, so that all planned looks together spend `total`."""
        return total / self.planned * 0.5**self.further

    def spent(self, total: float) -> float:
        """What has been spent when this look is over."""
        return total * self.number / self.planned + total / self.planned * (1.0 - 0.5**self.further)
