"""What is asked unseen: the user's request as another variant is told it, once more.

Nothing that names one request is sent twice, nothing of the answer is stored at the provider, and state that the
variant cannot read is left out. What cannot be told, or is no request without its state, is `Unaskable`.
Elsewhere: when, and what becomes of it (mirror), the way to a provider (leg), state (origins).
"""

from __future__ import annotations

from dataclasses import replace

from midshift.domain.rendering import Changes
from midshift.domain.routing import Arm
from midshift.gateway.job import Job, kept_by_stripping
from midshift.gateway.leg import Leg
from midshift.gateway.origins import Origin, carriage
from midshift.gateway.route import ServedVariant
from midshift.providers.http.messages import Request
from midshift.providers.http.settings import Upstream
from midshift.wire.translation.conversation import Uncarried


class Unaskable(Exception):
    """There is nothing that could be asked; says why in a word."""


def asking(job: Job, served: ServedVariant, leg: Leg) -> tuple[Request, bool]:
    """The request of a job as `served` is asked it unseen, on a mirror's way, and whether it goes without bound state.

    Raises:
        Unaskable: if no prompt of a candidate fits, its provider cannot be told the same, or it cannot read the state.
    """
    changes = served.recipe.render(job.request)
    if changes is None:
        if served.id != job.serving.incumbent.id:
            raise Unaskable("unmatched")
        changes = Changes(model=served.variant.model)  # an incumbent serves whatever comes
    stripped = bool(job.held) and _is_stripped(job, served, leg.upstream)
    try:
        return leg.request(job, changes, stripped), stripped
    except Uncarried:
        raise Unaskable("uncarried") from None


def _is_stripped(job: Job, served: ServedVariant, upstream: Upstream) -> bool:
    """Whether the request goes without the state of earlier answers.

    State of unknown origin is of the variant that answers the user: nobody else has answered it. Ids of responses and
    files belong to an account, so a mirror with a key of its own may not find them.

    Raises:
        Unaskable: if the variant cannot read it, and the request is none without it.
    """
    seen = job.serving.candidate if job.chosen is Arm.CANDIDATE else job.serving.incumbent
    if seen is None:
        return False
    kept = kept_by_stripping(job.request, job.path, job.wire)
    held = [item if item.origin is not None else replace(item, origin=Origin.at(seen)) for item in job.held]
    way = carriage(held, served, job.wire, True, lambda: kept)
    if way.stuck or (kept and upstream.shadow_api_key not in (None, upstream.api_key)):
        raise Unaskable("bound_state")
    return way.strip
