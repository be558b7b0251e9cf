"""`midshift upgrade shadow`: more candidates that answer unseen beside the upgrade's own.

They are never served, and are compared with the incumbent on the same requests. They belong to the routing row of stage
shadow: whatever the controller writes next lets them go.
"""

from __future__ import annotations

import re
from dataclasses import replace

from midshift.cli.choosing import candidate_of, defined
from midshift.cli.egress import approved
from midshift.cli.project import Target, applied, named, say
from midshift.config import units
from midshift.domain.routing import Other, Route
from midshift.domain.upgrade import Stage
from midshift.errors import UsageError
from midshift.reports.text import visible
from midshift.store.sql import SqlStore


def shadow(
    target: Target, workload: str, also: str, share: str, who: str, why: str, approve_data: str | None = None
) -> int:
    """Let one more variant answer a share of the shadowed requests; 0% lets it go."""
    wanted = _share(share)
    definition, candidate = defined(target, workload), candidate_of(target, also)
    with target.open_store() as store:
        route = _shadowed(store, workload)
        egress = approved(definition, applied(store), candidate, approve_data)
        if candidate.id in (route.incumbent, route.candidate):
            raise UsageError(
                f"--also {also!r} is the incumbent or the candidate of this upgrade already, expected another variant. "
                "Type next: --also ANOTHER_FILE"
            )
        store.put_variant(candidate)
        kept = tuple(other for other in route.others if other.variant != candidate.id)
        others = (*kept, Other(candidate.id, wanted)) if wanted else kept
        store.put_route(
            replace(route, others=others, epoch=route.epoch + 1),
            route.epoch,
            who,
            f"{why}; {egress}" if egress else why,
        )
        for other in others:
            say(f"{visible(named(store, other.variant))} answers {100 * other.share:.4g} % of the requests unseen")
    say(
        "never served, and let go when the upgrade moves on"
        if others
        else f"nobody but the candidate of {workload} answers unseen"
    )
    return 0


def _shadowed(store: SqlStore, workload: str) -> Route:
    standing = store.standing(workload)
    if standing.upgrade is None or standing.route is None or standing.upgrade.stage is not Stage.SHADOW:
        found = "no open upgrade" if standing.upgrade is None else f"stage {standing.upgrade.stage.value}"
        raise UsageError(
            f"workload {workload!r}: found {found}, expected stage shadow: more candidates are compared with the "
            f"incumbent's answers. Type next: midshift upgrade status {workload}"
        )
    return standing.route


def _share(text: str) -> float:
    if not re.fullmatch(units.PERCENT, text):
        raise UsageError(f"--share {text!r}: expected a share such as 10%. Type next: --share 10%")
    return units.share(text)
