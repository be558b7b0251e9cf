"""One job that a product gives a model, and what an upgrade of it has to respect."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Self, TypeAlias

from midshift.domain.suite import Margin, Slice, SliceRole
from midshift.domain.variant import Variant


class Cycle(StrEnum):
    """The rhythm of the traffic, which every hold has to cover once."""

    DAILY = "daily"
    WEEKLY = "weekly"


class Stakes(StrEnum):
    """What a bad answer costs; sets how long the candidate is shadowed."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def shadow_weeks(self) -> int:
        """How many weeks of full shadow traffic these stakes ask for."""
        return {Stakes.LOW: 1, Stakes.NORMAL: 2, Stakes.HIGH: 4}[self]


HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")
"""A field name of HTTP: RFC 9110, section 5.6.2 (its backtick left out: it belongs to a shell)."""

BODY_PATH = re.compile(r"[A-Za-z0-9_$-]+(?:\.[A-Za-z0-9_$-]+)*")
"""Names and list positions down a JSON body, with dots between: `metadata.user_id`, `messages.0.role`."""

Plain: TypeAlias = "str | int | float | bool"


class UnitKind(StrEnum):
    """Where in a request its unit is found."""

    HEADER = "header"
    BODY = "body"
    CONVERSATION = "conversation"


@dataclass(frozen=True, slots=True)
class UnitSource:
    """One place to look for the unit of a request: who or what keeps the same variant throughout an upgrade.

    `name` is the header's name in lower case, or the path in the body; a conversation has none.

    Raises:
        ValueError: for a header or body without a usable name, or a conversation with one.
    """

    kind: UnitKind
    name: str = ""

    def __post_init__(self) -> None:
        match self.kind:
            case UnitKind.HEADER:
                usable = HEADER_NAME.fullmatch(self.name) is not None and self.name == self.name.lower()
            case UnitKind.BODY:
                usable = BODY_PATH.fullmatch(self.name) is not None
            case UnitKind.CONVERSATION:
                usable = self.name == ""
        if not usable:
            raise ValueError(f"expected header:NAME, body:DOTTED.PATH or conversation, got {self.kind}:{self.name!r}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `header:x-user-id`, `body:metadata.user_id` or `conversation`.

        Raises:
            ValueError: for anything else, saying what was expected.
        """
        kind, colon, name = text.partition(":")
        if kind not in tuple(UnitKind) or bool(colon) != (kind != UnitKind.CONVERSATION):
            raise ValueError(f"expected header:NAME, body:DOTTED.PATH or conversation, got {text!r}")
        return cls(UnitKind(kind), name.lower() if kind == UnitKind.HEADER else name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind.value


@dataclass(frozen=True, slots=True)
class HeaderEquals:
    """A request header, named in lower case, has exactly this value."""

    header: str
    equals: str


@dataclass(frozen=True, slots=True)
class BodyEquals:
    """The request body has exactly this value at a dotted path; text never equals a number."""

    body: str
    equals: Plain


@dataclass(frozen=True, slots=True)
class LanguageIs:
    """The user writes in this language (a BCP 47 tag such as `de`)."""

    language: str


When: TypeAlias = HeaderEquals | BodyEquals | LanguageIs


@dataclass(frozen=True, slots=True)
class SliceRule:
    """A request for which `when` holds falls into `slice`."""

    slice: str
    when: When


@dataclass(frozen=True, slots=True)
class Ring:
    """People who get a candidate before everybody else: staff, or whoever asked for it.

    A request is a member if `when` holds for it, or if the app says so in `x-midshift-ring`.

    Raises:
        ValueError: for a name that no such header could list, or a condition on the language.
    """

    name: str
    when: When | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", self.name):
            raise ValueError(f"a ring's name is of small letters, digits, '.', '_' and '-', got {self.name!r}")
        if isinstance(self.when, LanguageIs):
            raise ValueError(f"ring {self.name!r}: who is a member is told from a header or the body, not the language")


@dataclass(frozen=True, slots=True)
class Budgets:
    """What an answer may take: None where nothing was promised.

    Raises:
        ValueError: for a limit that is not a finite number above 0.
    """

    p99_latency_ms: float | None = None
    cost_per_call_usd: float | None = None

    def __post_init__(self) -> None:
        for field, value in (("p99_latency_ms", self.p99_latency_ms), ("cost_per_call_usd", self.cost_per_call_usd)):
            if value is not None and not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"budget {field} must be a finite number above 0, got {value!r}")


class Redaction(StrEnum):
    """What is blacked out of a text before it is kept."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    IP = "ip"


@dataclass(frozen=True, slots=True)
class Capture:
    """Which full texts are kept, and how long; by default none.

    Raises:
        ValueError: for a share outside 0..1, or texts that are kept for no time.
    """

    share: float = 0.0
    keep: timedelta = timedelta()
    redact: tuple[Redaction, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"a captured share lies in 0..1, got {self.share!r}")
        if self.keep < timedelta() or (self.share > 0.0 and not self.keep):
            raise ValueError(f"captured texts are kept for some time, got {self.keep}")


@dataclass(frozen=True, slots=True)
class DataPolicy:
    """Where the workload's data may go and what is kept of it.

    No `vendors` means none but the incumbent's; no `regions` means that nothing was said about regions.
    """

    vendors: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    capture: Capture = Capture()


@dataclass(frozen=True, slots=True)
class Workload:
    """A named stream of requests served by one incumbent variant.

    `claims` are the model ids that the app already sends. `slices` name the parts that are judged on their own;
    at least one must be critical, because an average can hide the requests that matter. `rules` say which request
    falls into which slice; a slice without one is named by the app itself. `rings` are the people who get a candidate
    before everybody else. `unit` are the places to look for the
    unit, first found first; none of them means that each request is assigned by itself.

    Raises:
        ValueError: naming the field, for an empty name, no or repeated claims, no critical or repeated slices, a
            safe harbour that is the incumbent, a repeated unit source or ring, or a rule for a slice that is not there.
    """

    name: str
    claims: tuple[str, ...]
    incumbent: Variant
    slices: tuple[Slice, ...]
    cycle: Cycle = Cycle.WEEKLY
    stakes: Stakes = Stakes.NORMAL
    margin: Margin = Margin()
    safe_harbour: Variant | None = None
    unit: tuple[UnitSource, ...] = ()
    rules: tuple[SliceRule, ...] = ()
    budgets: Budgets = Budgets()
    data: DataPolicy = DataPolicy()
    rings: tuple[Ring, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError(f"a workload needs a name, got {self.name!r}")
        _require_unique(self.name, "claims", self.claims)
        _require_unique(self.name, "slices", tuple(part.name for part in self.slices))
        if all(part.role is SliceRole.WATCH for part in self.slices):
            raise ValueError(f"workload {self.name!r}: at least one slice must be critical, all are only watched")
        if self.safe_harbour == self.incumbent:
            raise ValueError(f"workload {self.name!r}: the safe harbour is the incumbent; it must be another variant")
        if self.unit:
            _require_unique(self.name, "unit", tuple(map(str, self.unit)))
        if self.rings:
            _require_unique(self.name, "rings", tuple(ring.name for ring in self.rings))
        known = {part.name for part in self.slices}
        for rule in self.rules:
            if rule.slice not in known:
                raise ValueError(
                    f"workload {self.name!r}: a rule for slice {rule.slice!r}, which is not one of its slices"
                )

    def admits(self, vendor: str) -> bool:
        """Whether its data may go to this vendor without a named approval."""
        return vendor in (self.data.vendors or (self.incumbent.provider,))


def _require_unique(workload: str, field: str, names: Sequence[str]) -> None:
    if not names:
        raise ValueError(f"workload {workload!r}: {field} is empty, expected at least one")
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"workload {workload!r}: {field} must be unique, repeated: {', '.join(map(repr, repeated))}")
