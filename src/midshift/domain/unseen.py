"""Which requests get a second answer that nobody sees, of which variant, and why.

Pure: the same request gets the same unseen answers in every gateway. Each kind is a random sample with a known chance.
Elsewhere: the shares (routing), asking (gateway.mirror), what is kept (exposure).
"""

from __future__ import annotations

from enum import StrEnum

from midshift.domain.light import light
from midshift.domain.routing import Arm, Route, position


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


@light
class Unseen:
    """An unseen second answer that is wanted: of which variant, why, and with what chance.

    `propensity` is the chance among requests of the same arm.
    """

    kind: PairKind
    variant: str
    propensity: float


def unseen(request_id: str, assigned: Arm, route: Route) -> tuple[Unseen, ...]:
    """The unseen answers that one request gets: by luck, and the same luck in every gateway.

    Two draws, neither of which knows the arm or the other. The first is for paired live samples, so that these are
    drawn from all requests alike; the second for everything that compares with the incumbent's answer. Within a draw
    a smaller share is a part of a larger one: each noise pair has its shadow pair, all candidates answer the same
    requests, and what is in the live sample is not answered once more by the same variant.
    """
    draws_live = route.pair_share or route.reverse_share
    draws_shadow = route.shadow_share or route.noise_share or route.others
    if route.candidate is None or not (draws_live or draws_shadow):
        return ()
    live = position(request_id, f"live:{route.salt}") if draws_live else 1.0
    if assigned is Arm.CANDIDATE:
        if live < route.pair_share:
            return (Unseen(PairKind.LIVE, route.incumbent, route.pair_share),)
        if live < route.reverse_share:
            return (Unseen(PairKind.REVERSE, route.incumbent, route.reverse_share - route.pair_share),)
        return ()
    drawn = position(request_id, f"shadow:{route.salt}") if draws_shadow else 1.0
    found = []
    if live < route.pair_share:
        found.append(Unseen(PairKind.LIVE, route.candidate, route.pair_share))
    elif drawn < route.shadow_share:
        found.append(Unseen(PairKind.SHADOW, route.candidate, route.shadow_share * (1.0 - route.pair_share)))
    if route.others:
        found += [Unseen(PairKind.SHADOW, one.variant, one.share) for one in route.others if drawn < one.share]
    if drawn < route.noise_share:
        found.append(Unseen(PairKind.NOISE, route.incumbent, route.noise_share))
    return tuple(found)
