"""Who is believed about one model, and what has to be said about the rest.

The first who states a date: the user, the vendor's API, the catalogue, the bundled list. The user comes first because
a contract can outlive a page, and never silently: what the others say is shown next to it. A date of a list that is
over while the vendor calls the model active is refuted, and only shown. Pure.
Elsewhere: asking (radar), whether the date is late enough (domain.retirement).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from midshift.domain.retirement import ModelName, Retirement, Source, State
from midshift.providers.catalogue import Catalogue, Entry
from midshift.providers.lifecycle.answers import Found
from midshift.providers.lifecycle.collected import Collected, Evidence
from midshift.providers.lifecycle.notice import notice
from midshift.providers.lifecycle.vendors import names, vendor_name

IN_CONFIG = "retirements: in midshift.yaml"


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of asking the vendor: `found`, or `why` there is nothing. `origin` is the endpoint, if one was asked.

    `callable` is False if the vendor does not know the model, though it took the key. `vendor` is who it is, where
    the provider is named otherwise.
    """

    origin: str
    found: Found | None = None
    why: str = ""
    callable: bool | None = None
    vendor: str | None = None


@dataclass(frozen=True, slots=True)
class Lists:
    """What needs no network: the catalogue, the bundled list, and the user's dates."""

    catalogue: Catalogue
    collected: Mapping[ModelName, Collected]
    user: Mapping[ModelName, date]


@dataclass(frozen=True, slots=True)
class _Stated:
    day: date
    source: Source
    origin: str
    as_of: date
    replacement: str | None = None
    note: str = ""

    @property
    def words(self) -> str:
        when = f", read {self.as_of}" if self.source in (Source.CATALOGUE, Source.COLLECTED) else ""
        return f"{self.source.words} says {self.day}{when}"


def settle(name: ModelName, heard: Heard, lists: Lists, today: date) -> Retirement:
    """What is known about the end of one model, by whom, and what was asked in vain."""
    live = heard.found
    listed = ModelName(vendor_name(heard.vendor or name.provider), name.model)
    stated = list(_stated(name, listed, heard, lists, today))
    usable = [item for item in stated if not _is_refuted(item, live, today)]
    chosen = usable[0] if usable else None
    others = [item.words for item in stated if chosen is None or item.day != chosen.day]
    if live is not None and live.state is State.ACTIVE and live.shuts_down_on is None and chosen is not None:
        others.append("vendor's API says that none is announced")
    source, origin, as_of = _speaker(listed, chosen, heard, lists, today)
    notes = [heard.why, live.note if live is not None else "", chosen.note if chosen is not None else ""]
    return Retirement(
        name.provider,
        name.model,
        _state(chosen, heard, today),
        None if chosen is None else chosen.day,
        next((item.replacement for item in stated if item.replacement), None) or (live.replacement if live else None),
        source,
        origin,
        as_of,
        heard.callable,
        notice(listed.provider, listed.model),
        tuple(others),
        tuple(note for note in notes if note),
    )


def _stated(name: ModelName, listed: ModelName, heard: Heard, lists: Lists, today: date) -> Iterator[_Stated]:
    """Every date that anybody states, the most trusted first; `listed` is the model under its vendor's name."""
    own = lists.user.get(name) or lists.user.get(listed)
    if own is not None:
        yield _Stated(own, Source.USER, IN_CONFIG, today)
    live = heard.found
    if live is not None and live.shuts_down_on is not None:
        yield _Stated(live.shuts_down_on, Source.LIVE_API, heard.origin, today, live.replacement)
    entry, as_base = _entry(listed, lists.catalogue)
    day = None if entry is None else _listed_day(entry)
    if entry is not None and day is not None:
        yield _Stated(day, Source.CATALOGUE, _origin(entry, lists.catalogue), lists.catalogue.taken_on, note=as_base)
    kept = _kept(listed, lists.collected)
    if kept is not None:
        told = "; ".join(filter(None, (_hearsay(kept), kept.note)))
        yield _Stated(kept.shuts_down_on, Source.COLLECTED, kept.source, kept.taken_on, kept.replacement, told)


def _is_refuted(item: _Stated, live: Found | None, today: date) -> bool:
    is_listed = item.source in (Source.CATALOGUE, Source.COLLECTED)
    return is_listed and item.day < today and live is not None and live.state is State.ACTIVE


def _state(chosen: _Stated | None, heard: Heard, today: date) -> State:
    """The vendor's own word, else what follows from the date; a model that its vendor still lists is not retired."""
    if heard.found is not None and heard.found.state is not State.UNKNOWN:
        return heard.found.state
    if chosen is None:
        return State.UNKNOWN
    return State.RETIRED if chosen.day < today and not heard.callable else State.DEPRECATED


def _speaker(
    name: ModelName, chosen: _Stated | None, heard: Heard, lists: Lists, today: date
) -> tuple[Source, str, date | None]:
    """Who states the date, or else who was heard last."""
    if chosen is not None:
        return chosen.source, chosen.origin, chosen.as_of
    if heard.found is not None or heard.callable is False:
        return Source.LIVE_API, heard.origin, today
    entry, _ = _entry(name, lists.catalogue)
    if entry is not None:
        return Source.CATALOGUE, _origin(entry, lists.catalogue), lists.catalogue.taken_on
    return Source.NOBODY, "", None


def _kept(name: ModelName, collected: Mapping[ModelName, Collected]) -> Collected | None:
    found = (collected.get(ModelName(name.provider, model)) for model in _names(name))
    return next((kept for kept in found if kept is not None), None)


def _entry(name: ModelName, catalogue: Catalogue) -> tuple[Entry | None, str]:
    """The catalogue's entry, the first with a date before one without; and whose it is, if not the model's own."""
    found = [entry for model in _names(name) if (entry := catalogue.entry(name.provider, model)) is not None]
    best = next((entry for entry in found if _listed_day(entry) is not None), next(iter(found), None))
    if best is None or best.model == name.model:
        return best, ""
    return best, f"listed as {best.model!r}"


def _listed_day(entry: Entry) -> date | None:
    found = entry.facts.get("deprecation_date")
    try:
        return date.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        return None


def _origin(entry: Entry, catalogue: Catalogue) -> str:
    return f"{catalogue.version}: {entry.source or catalogue.origin}"


def _hearsay(kept: Collected) -> str:
    return "a third party says so of the vendor" if kept.evidence is Evidence.THIRD_PARTY else ""


def _names(name: ModelName) -> tuple[str, ...]:
    return tuple(names(name.provider, name.model))
