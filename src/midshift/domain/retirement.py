"""When a model shuts down, and whether an upgrade is over by then.

The date has to clear the end of soak, not the day of full rollout: hold-back, reverse shadow and rollback all need the
incumbent alive until then. A date that nobody states is unknown, and unknown never fits.
Elsewhere: asking vendors and catalogues (providers.lifecycle), tables and metrics (reports.retirement).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Self

from midshift.domain.plan import Plan

EVAL = timedelta(days=1)
RETUNE = timedelta(days=4)
"""The playbook's minimum for the two stages that a plan gives no length to."""

TIGHT = timedelta(days=7)
"""Less than this to spare is tight: a halted step or one more round of re-tuning takes about a week."""


class State(StrEnum):
    """Where a model is in its life."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    RETIRED = "retired"
    UNKNOWN = "unknown"


class Source(StrEnum):
    """Who states the date; where none is stated, who was heard last."""

    LIVE_API = "live_api"
    CATALOGUE = "catalogue"
    COLLECTED = "collected"
    USER = "user"
    NOBODY = "nobody"

    @property
    def words(self) -> str:
        """The same for people."""
        return _SOURCES[self]


_SOURCES = {
    Source.LIVE_API: "vendor's API",
    Source.CATALOGUE: "catalogue",
    Source.COLLECTED: "bundled list",
    Source.USER: "midshift.yaml",
    Source.NOBODY: "nobody",
}


class FitVerdict(StrEnum):
    """Whether a model lives as long as an upgrade needs it. Only `clear` and `tight` are a yes."""

    CLEAR = "clear"
    TIGHT = "tight"
    TOO_LATE = "too_late"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, order=True)
class ModelName:
    """A model at a provider, as midshift names the one and the provider the other."""

    provider: str
    model: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `PROVIDER/MODEL`; the model may hold further slashes.

        Raises:
            ValueError: if one of the two is missing.
        """
        provider, _, model = text.partition("/")
        if not (provider and model):
            raise ValueError(f"expected PROVIDER/MODEL, found {text!r}")
        return cls(provider, model)

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Notice:
    """How long before a shutdown the vendor promises to announce it. `words` hold the promise's exceptions."""

    at_least: timedelta
    words: str
    origin: str


@dataclass(frozen=True, slots=True)
class Retirement:
    """What is known about the end of one model.

    `shuts_down_on` is the first day on which requests may fail. `origin` is the page or endpoint that `source` stands
    for, `as_of` the day on which it was read. `callable` is False if the vendor's models endpoint, asked with a key
    that it took, does not know the model. `others` are dates from elsewhere that differ, in words; `notes` say what
    was asked before, and why it gave no answer.
    """

    provider: str
    model: str
    state: State
    shuts_down_on: date | None = None
    replacement: str | None = None
    source: Source = Source.NOBODY
    origin: str = ""
    as_of: date | None = None
    callable: bool | None = None
    notice: Notice | None = None
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> ModelName:
        """Provider and model."""
        return ModelName(self.provider, self.model)

    def age_days(self, today: date) -> int | None:
        """How long ago the source was read, in whole days; None where there is no source."""
        return None if self.as_of is None else max(0, (today - self.as_of).days)


@dataclass(frozen=True, slots=True)
class Fit:
    """The verdict, in days: `days_left` until the shutdown, `days_spare` between the end of soak and the shutdown."""

    days_left: int | None
    days_spare: int | None
    verdict: FitVerdict
    words: str


def fits(retirement: Retirement, end_of_soak: date, today: date) -> Fit:
    """Whether a model lives beyond the end of soak.

    A day to spare is the least that will do: on the day of a shutdown nobody knows the hour.
    """
    if retirement.shuts_down_on is None:
        return _without_date(retirement, end_of_soak)
    left = (retirement.shuts_down_on - today).days
    spare = (retirement.shuts_down_on - end_of_soak).days
    until = f"shuts down {_when(left)}"
    if retirement.state is State.RETIRED:
        return Fit(left, spare, FitVerdict.TOO_LATE, f"retired {retirement.shuts_down_on}: no way back leads to it")
    if left < 0:
        return Fit(left, spare, FitVerdict.TOO_LATE, f"its shutdown is overdue by {_days(-left)}")
    if spare <= 0:
        words = f"{until}, {_days(-spare)} before the end of soak" if spare else f"{until}, on the last day of soak"
        return Fit(left, spare, FitVerdict.TOO_LATE, words)
    if retirement.callable is False:
        return Fit(left, spare, FitVerdict.UNKNOWN, f"{until}, but {_NOT_CALLABLE}")
    verdict = FitVerdict.TIGHT if timedelta(days=spare) < TIGHT else FitVerdict.CLEAR
    return Fit(left, spare, verdict, f"{until}, {_days(spare)} after the end of soak")


def end_of_soak(plan: Plan, today: date, before_shadow: timedelta = EVAL + RETUNE) -> date:
    """The day on which an upgrade that began today would leave soak, if every stage took its minimum.

    `before_shadow` is what eval and re-tuning still take.
    """
    holds = sum((step.hold for step in plan.steps), timedelta())
    return today + _whole_days(before_shadow + plan.shadow + holds + plan.soak)


class Role(StrEnum):
    """What a model is to whoever needs it."""

    INCUMBENT = "incumbent"
    SAFE_HARBOUR = "safe_harbour"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Use:
    """Who needs a model: a workload, or the variant file of a candidate; as what, and until when."""

    by: str
    role: Role
    end_of_soak: date


@dataclass(frozen=True, slots=True)
class Sighting:
    """One model on the radar: what is known of its end, and whether that fits everyone who needs it."""

    retirement: Retirement
    uses: tuple[Use, ...]
    fit: Fit

    @property
    def end_of_soak(self) -> date:
        """The latest day on which anyone needs it."""
        return max(use.end_of_soak for use in self.uses)


def sighting(retirement: Retirement, uses: Sequence[Use], today: date) -> Sighting:
    """Hold a model against the latest end of soak of those who need it; there is at least one."""
    return Sighting(retirement, tuple(uses), fits(retirement, max(use.end_of_soak for use in uses), today))


def worst(verdicts: Iterable[FitVerdict]) -> FitVerdict:
    """The verdict on all of them: one that is too late decides, then one that is unknown. `clear` for none."""
    found = set(verdicts)
    order = (FitVerdict.TOO_LATE, FitVerdict.UNKNOWN, FitVerdict.TIGHT)
    return next((verdict for verdict in order if verdict in found), FitVerdict.CLEAR)


_NOT_CALLABLE = "its vendor does not know it under this key: retired early, or never there"


def _without_date(retirement: Retirement, until: date) -> Fit:
    if retirement.state is State.RETIRED:
        return Fit(None, None, FitVerdict.TOO_LATE, "retired: no way back leads to it")
    if retirement.callable is False:
        return Fit(None, None, FitVerdict.UNKNOWN, _NOT_CALLABLE)
    known = {
        State.ACTIVE: "no shutdown is announced",
        State.DEPRECATED: "deprecated, without a date",
    }.get(retirement.state, "nobody states a date")
    return Fit(None, None, FitVerdict.UNKNOWN, f"{known}{_promise(retirement, until)}")


def _promise(retirement: Retirement, until: date) -> str:
    """What the vendor's notice is worth: a day before which nothing shuts down, where an announcement would be known.

    A catalogue that is silent may only be behind; so the promise counts from a day on which the vendor itself said
    that nothing is announced.
    """
    notice = retirement.notice
    if notice is None:
        return ""
    if retirement.state is not State.ACTIVE or retirement.as_of is None or retirement.source is not Source.LIVE_API:
        return f"; the vendor promises {notice.words.rstrip(',')}"
    earliest = retirement.as_of + notice.at_least
    side = "after" if earliest > until else "before"
    gap = _days(abs((earliest - until).days))
    where = f"{gap} {side} the end of soak" if earliest != until else "the last day of soak"
    return f"; with {notice.words} not before {earliest}, {where}"


def _when(days: int) -> str:
    return {0: "today", 1: "tomorrow"}.get(days, f"in {_days(days)}")


def _days(count: int) -> str:
    return f"{count} day{'s' * (count != 1)}"


def _whole_days(length: timedelta) -> timedelta:
    return timedelta(days=-(-length // timedelta(days=1)))
