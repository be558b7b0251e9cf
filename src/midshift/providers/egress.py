"""Whether a workload's data may go to a provider: its vendors and its regions, and nothing that is unknown.

Elsewhere: the list itself (domain.workload), who may step over it by name and reason (the command line).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from midshift.domain.workload import DataPolicy
from midshift.providers.definition import Provider, admits_region


class Limit(StrEnum):
    """What of a workload's `data` a provider lies outside of."""

    VENDORS = "vendors"
    REGIONS = "regions"


@dataclass(frozen=True, slots=True)
class Outside:
    """One limit that a provider lies outside of, in words, and what in `data` or `providers` would change that."""

    limit: Limit
    words: str
    type_next: str


def outside(data: DataPolicy, incumbent: Provider, provider: Provider) -> tuple[Outside, ...]:
    """Every limit of `data` that a provider lies outside of; nothing if the data may go there.

    Without `vendors` only the incumbent's vendor sees the data; without `regions` nothing was said about them. A
    region that is not known is outside of every list.
    """
    found = []
    vendors = data.vendors or tuple(sorted(incumbent.known_as))
    if provider.known_as.isdisjoint(vendors):
        listed = (*(data.vendors or (incumbent.name,)), provider.name)
        found.append(
            Outside(
                Limit.VENDORS,
                f"{provider.name!r}, which is not among the vendors that may see the data",
                f"vendors: [{', '.join(listed)}]",
            )
        )
    if data.regions and not admits_region(data.regions, provider.region):
        where = ", whose region nobody says:" if provider.region is None else f" in {provider.region!r},"
        fix = f"providers: {{{provider.name}: {{region: {data.regions[0]}}}}}   (if the contract says so)"
        found.append(
            Outside(
                Limit.REGIONS,
                f"{provider.name!r}{where} outside of where the data may go ({', '.join(data.regions)})",
                fix if provider.region is None else f"regions: [{', '.join((*data.regions, provider.region))}]",
            )
        )
    return tuple(found)
