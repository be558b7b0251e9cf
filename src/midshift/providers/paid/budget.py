"""The cap on what an eval may cost: what is spent, and what calls under way may still come to.

A call is held at the most that it can cost before it is made, and booked at what it did cost afterwards, or at that
same most where nobody says: an answer without usage, a call that was cancelled or whose answer is lost. So the cap is
never broken: not by a call, and not by many at once. Elsewhere: the bound of a call (pricing), who waits (buyer).
"""

from __future__ import annotations

from decimal import Decimal

_ZERO = Decimal(0)


class Budget:
    """Money in USD. `cap_usd` None is no cap; `spent_usd` is what was paid before, by earlier runs of the same eval."""

    def __init__(self, cap_usd: Decimal | None = None, spent_usd: Decimal = _ZERO) -> None:
        self.cap_usd = cap_usd
        self.spent_usd = spent_usd
        self.held_usd = _ZERO
        self.reserved_usd = _ZERO
        """What is kept for calls that come after all others."""
        self.under_way = 0
        self.unknown = 0
        """How many calls were paid whose cost nobody knows."""

    @property
    def left_usd(self) -> Decimal | None:
        """What a new call may cost; None without a cap."""
        return None if self.cap_usd is None else self.cap_usd - self.spent_usd - self.held_usd - self.reserved_usd

    def has_room(self, worst_usd: Decimal | None) -> bool:
        """Whether a call that costs at most so much keeps the cap; one that nobody can bound counts as nothing."""
        left = self.left_usd
        return left is None or (worst_usd or _ZERO) <= left

    def hold(self, worst_usd: Decimal | None) -> None:
        """Set aside what a call may cost."""
        self.held_usd += worst_usd or _ZERO
        self.under_way += 1

    def book(self, worst_usd: Decimal | None, cost_usd: Decimal | None) -> None:
        """A call is over: give back what was held, and take what it cost (None: nobody knows, so all that was held)."""
        self.held_usd -= worst_usd or _ZERO
        self.under_way -= 1
        self.spent_usd += (worst_usd or _ZERO) if cost_usd is None else cost_usd
        self.unknown += cost_usd is None
