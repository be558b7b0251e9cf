"""Which requests get a second answer that nobody sees, of which variant, and why.

Pure: the same request gets the same unseen answers in every gateway. Each kind is a random sample with a known chance.
Elsewhere: the shares (routing), asking (gateway.mirror), what is kept (exposure).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar

from midshift.domain.light import Light
from midshift.domain.routing import Arm, Route, position

T = TypeVar("T")


class PairKind(StrEnum):
    """Why a request is answered a second time, unseen.

    Pairs of different kinds are never pooled: each is a random sample of other requests. `LIVE` is the one that stands
    for all requests of a canary, whatever the share of the candidate is at the time: it is drawn by a hash that knows
    nothing of the arm, so power does not hang on the share.
    """

    __hash__ = str.__hash__  # a key on the path of every request: Enum's own is a call of Python

    SHADOW = "shadow"
    """The incumbent answered the user, and a candidate unseen."""

    NOISE = "noise"
    """The incumbent answered the user, and once more unseen: how much it differs from itself."""

    REVERSE = "reverse"
    """The candidate answered the user, and the incumbent unseen."""

    LIVE = "live"
    """A sample of both arms: the variant that did not answer the user answered unseen."""


class Unseen(Light):
    """An unseen second answer that is wanted: of which variant, why, and with what chance.

    `propensity` is the chance among requests of the same arm.
    """

    kind: PairKind
    variant: str
    propensity: float


class Draws(Generic[T]):
    """The unseen answers that the requests of one row may get, worked out once; `made` is what is drawn of each of
    them, None for one that is not to be drawn.

    Two draws, neither of which knows the arm or the other. The first is for paired live samples, so that these are
    drawn from all requests alike; the second for everything that compares with the incumbent's answer. Within a draw
    a smaller share is a part of a larger one: each noise pair has its shadow pair, all candidates answer the same
    requests, and what is in the live sample is not answered once more by the same variant.
    """

    __slots__ = ("_everybodys", "_live", "_second", "_wanted")

    def __init__(self, route: Route, made: Callable[[Unseen], T | None]) -> None:
        self._live = f"live:{route.salt}" if route.pair_share or route.reverse_share else None
        second = max((route.shadow_share, route.noise_share, *(one.share for one in route.others)))
        self._second = f"shadow:{route.salt}" if second > 0.0 else None
        self._wanted = {
            arm: [(*wanted[:3], one) for wanted in all_of(route) if (one := made(wanted[3])) is not None]
            for arm, all_of in ((Arm.INCUMBENT, _of_incumbent), (Arm.CANDIDATE, _of_candidate))
        }
        self._everybodys = {arm: _everybodys(wanted) for arm, wanted in self._wanted.items()}

    def of(self, request_id: str, assigned: Arm) -> tuple[T, ...]:
        """Those that one request gets: by luck, and the same luck in every gateway."""
        everybodys = self._everybodys[assigned]
        if everybodys is not None:
            return everybodys
        wanted = self._wanted[assigned]
        live = 0.0 if self._live is None else position(request_id, self._live)
        second = 0.0 if self._second is None else position(request_id, self._second)
        return tuple([one for least, most, below, one in wanted if least <= live < most and second < below])


_Wanted: TypeAlias = tuple[float, float, float, Unseen]
"""From where and below what the first draw has to be, and below what the second, for this answer."""

_ANY = 2.0


def _everybodys(wanted: Sequence[tuple[float, float, float, T]]) -> tuple[T, ...] | None:
    """What every request gets, where nothing is left to luck; None where anything is."""
    is_certain = all(least == 0.0 and most >= 1.0 and below >= 1.0 for least, most, below, _ in wanted)
    return tuple(one for *_, one in wanted) if is_certain else None


def _of_incumbent(route: Route) -> tuple[_Wanted, ...]:
    """What a request of the incumbent's arm may get."""
    candidate, pair, shadow, noise = route.candidate, route.pair_share, route.shadow_share, route.noise_share
    if candidate is None:
        return ()
    wanted = (
        (0.0, pair, _ANY, Unseen(PairKind.LIVE, candidate, pair)),
        (pair, _ANY, shadow, Unseen(PairKind.SHADOW, candidate, shadow * (1.0 - pair))),
        *((0.0, _ANY, one.share, Unseen(PairKind.SHADOW, one.variant, one.share)) for one in route.others),
        (0.0, _ANY, noise, Unseen(PairKind.NOISE, route.incumbent, noise)),
    )
    return tuple(one for one in wanted if one[0] < one[1] and one[2] > 0.0)


def _of_candidate(route: Route) -> tuple[_Wanted, ...]:
    """What a request of the candidate's arm may get."""
    pair, reverse = route.pair_share, route.reverse_share
    wanted = (
        (0.0, pair, _ANY, Unseen(PairKind.LIVE, route.incumbent, pair)),
        (pair, reverse, _ANY, Unseen(PairKind.REVERSE, route.incumbent, reverse - pair)),
    )
    return () if route.candidate is None else tuple(one for one in wanted if one[0] < one[1])
