"""What somebody asks of an eval: the command line of `midshift eval`, who is compared, and how it may spend.

Elsewhere: what comes of it (eval), how money is spent (buying).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from midshift import config
from midshift.cli.buying import Terms
from midshift.domain.variant import Variant
from midshift.errors import UsageError
from midshift.providers.paid.buyer import OnUnknown
from midshift.providers.paid.pace import Limits


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `midshift eval`, as typed."""

    state: Path
    to: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()
    suite: Path | None = None
    grader: str | None = None
    judge: str | None = None
    trials: int = 1
    limit: int | None = None
    max_usd: str | None = None
    allow_unknown_cost: bool = False
    rebuy_unknown: bool = False
    skip_unknown: bool = False
    concurrency: int = 16
    requests_per_min: float | None = None
    tokens_per_min: float | None = None
    stream: bool = False
    events: str | None = None
    offline_from: Path | None = None
    prices: Path | None = None
    approve_data: str | None = None
    approved: frozenset[str] = frozenset()
    """Providers that the upgrade holds an approval for."""
    allow_floating: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Guards that a person stepped over: who and why, by code."""
    taken_on: tuple[str, ...] = ()
    """What people took upon themselves in the upgrade, in sentences."""
    html: Path | None = None
    as_json: bool = False
    looks: int | None = None
    """How many looks at the growing suite are planned; None to leave it as it was, or one."""
    is_upgrade: bool = False
    """Whether it is `midshift upgrade eval`: the two variants of an open upgrade, and not those of files."""


@dataclass(frozen=True, slots=True)
class Named:
    """A variant under the name that reports give it."""

    name: str
    variant: Variant


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is compared: the workload as it is defined, its incumbent, and the candidates."""

    definition: config.Definition
    definitions: config.Definitions
    incumbent: Named
    candidates: tuple[Named, ...]


def terms_of(options: Options) -> Terms:
    """How it may spend, as the command line says."""
    if options.rebuy_unknown and options.skip_unknown:
        raise UsageError("found --rebuy-unknown and --skip-unknown, expected one of them. Type next: leave one out")
    on_unknown = (
        OnUnknown.REBUY if options.rebuy_unknown else OnUnknown.SKIP if options.skip_unknown else OnUnknown.HOLD
    )
    limits = Limits(options.concurrency, options.requests_per_min, options.tokens_per_min)
    return Terms(limits, _cap(options.max_usd), on_unknown, options.allow_unknown_cost)


def _cap(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        found = Decimal(text)
    except ArithmeticError:
        found = Decimal(-1)
    if not (found.is_finite() and found > 0):
        raise UsageError(f"--max-usd {text!r}: expected an amount of USD above 0. Type next: --max-usd 5")
    return found
