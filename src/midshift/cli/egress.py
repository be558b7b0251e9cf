"""Before a candidate sees a byte: may the workload's data go to its provider, or did somebody approve it by name?

An approval is a waiver of the upgrade, `data:PROVIDER`, with who and why; another candidate needs another one.
Elsewhere: the rule itself (providers.egress).
"""

from __future__ import annotations

from midshift import config
from midshift.domain.upgrade import Upgrade
from midshift.domain.variant import Variant
from midshift.errors import ConfigError, UsageError
from midshift.providers.egress import outside


def waiver_of(variant: Variant) -> str:
    """The name under which an upgrade keeps the approval of a variant's provider."""
    return f"data:{variant.provider}"


def approved(
    definition: config.Definition, applied: config.Definitions, candidate: Variant, reason: str | None
) -> str | None:
    """Why the data may go to a provider outside of the workload's `data`; None if it lies within.

    Raises:
        ConfigError: if the provider was not applied, or lies outside and nobody gave a reason.
        UsageError: for an empty reason.
    """
    if reason is not None and not reason.strip():
        raise UsageError(f"--approve-data {reason!r}: expected a reason. Type next: --approve-data 'WHY'")
    incumbent = applied.provider(definition.workload.incumbent.provider)
    provider = applied.provider(candidate.provider)
    if incumbent is None or provider is None:
        name = candidate.provider if provider is None else definition.workload.incumbent.provider
        raise ConfigError(
            f"provider {name!r} is not among what was applied, expected it there. Type next: midshift apply"
        )
    limits = outside(definition.workload.data, incumbent, provider)
    if not limits:
        return None
    if reason is not None:
        return f"{reason} ({'; '.join(limit.words for limit in limits)})"
    first = limits[0]
    raise ConfigError(
        f"{definition.place(f'data.{first.limit.value}')}: found a candidate at "
        f"{' and '.join(limit.words for limit in limits)}, expected one that the data of {definition.name!r} may go "
        f"to. Type next: {first.type_next}, and: midshift apply; or approve it by name: --approve-data 'WHY'"
    )


def require_approved(definition: config.Definition, applied: config.Definitions, upgrade: Upgrade, at: Variant) -> None:
    """Refuse to send anything to a provider that lies outside, unless the upgrade holds the approval.

    Raises:
        ConfigError: as `approved`.
    """
    if not upgrade.is_waived(waiver_of(at)):
        approved(definition, applied, at, None)
