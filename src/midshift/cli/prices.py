"""`midshift prices`: what models cost and who says so, a newer catalogue, and a run's cost under other prices.

Elsewhere: which sources a product has (price_book), what each says (providers.prices), what a price means
(domain.cost).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from midshift.cli.price_book import Where as Where
from midshift.cli.price_book import book as book
from midshift.cli.price_book import to_write
from midshift.cli.project import Target, say, write_whole
from midshift.domain.cost import Rates, UnitPrices
from midshift.errors import InputError, UsageError
from midshift.ports import Http, HttpAnswer, HttpFailed, HttpRequest
from midshift.providers import catalogue
from midshift.providers.prices import pinned
from midshift.providers.prices.book import Book, PriceBook, Priced, Unpriced, plain_tier
from midshift.reports.text import visible

SHOW_FORMAT = "midshift.prices-shown/1"
REFRESH_FORMAT = "midshift.prices-refreshed/1"
RECOMPUTE_FORMAT = "midshift.prices-recomputed/1"
DISAGREE = Decimal("0.01")
MOST_LOST = 0.2
"""The share of the known models that a new catalogue may lack without a person's word."""
_DOWNLOAD_S = 60.0
_PROVIDERS = (
    "anthropic azure bedrock cohere deepseek fireworks gemini groq mistral openai openrouter perplexity replicate "
    "together vertex xai"
).split()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `show` was asked for, as typed."""

    models: Sequence[str]
    provider: str | None = None
    tier: str | None = None
    at: datetime | None = None


# show


def show(where: Where, wanted: Wanted, now: datetime, as_json: bool) -> int:
    """Print prices with their origin, and where sources disagree. Exit code 3 if one has no price."""
    names, vendors = _asked(where.target, wanted)
    prices, at = book(where, vendors), wanted.at or now
    shown = [_Shown.of(prices, provider, model, at, wanted.tier) for provider, model in names]
    if wanted.models and wanted.provider is None:
        shown = _known_somewhere(shown, wanted)
    if as_json:
        document = {"format": SHOW_FORMAT, "book": prices.id, "at": at.isoformat()}
        say(json.dumps(document | {"models": [one.document() for one in shown]}, indent=2))
    else:
        say(*(line for one in shown for line in one.lines()))
        say("", f"book {prices.id[:12]}: {', '.join(f'{one.name} ({one.version})' for one in prices.sources)}")
    return 0 if shown and all(isinstance(one.found, Priced) for one in shown) else 3


def moment(text: str) -> datetime:
    """A day (its noon, UTC) or a moment with a zone.

    Raises:
        UsageError: for anything else.
    """
    try:
        is_day = len(text) == len("2026-11-01")
        found = datetime.combine(date.fromisoformat(text), time(12), UTC) if is_day else datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise UsageError(f"--at {text!r}: expected a day or a moment with a zone. Type next: --at 2026-11-01")
    return found


@dataclass(frozen=True, slots=True)
class _Disagreement:
    """A rate for which another source has another figure."""

    rate: str
    source: str
    usd: Decimal
    instead_of: Decimal


@dataclass(frozen=True, slots=True)
class _Shown:
    """One model at one provider, with the answer of the book and whoever says otherwise."""

    found: Priced | Unpriced
    others: tuple[_Disagreement, ...] = ()

    @classmethod
    def of(cls, prices: PriceBook, provider: str, model: str, at: datetime, tier: str | None) -> _Shown:
        found = prices.prices(provider, model, at, tier)
        if isinstance(found, Unpriced):
            return cls(found)
        _, *others = prices.all(provider, model, at, tier)
        return cls(found, tuple(item for other in others for item in _disagreements(found, other)))

    def document(self) -> dict[str, object]:
        """Plain JSON; prices are texts, USD per million tokens."""
        head: dict[str, object] = {
            "provider": self.found.provider,
            "model": self.found.model,
            "tier": self.found.tier,
        }
        if isinstance(self.found, Unpriced):
            return {**head, "prices": None, "why": self.found.why}
        disagree = [
            {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(item).items()}
            for item in self.others
        ]
        return {**pinned.entry_as_json(self.found), "disagree": disagree}

    def lines(self) -> Iterator[str]:
        """For people."""
        tier = f" ({visible(self.found.tier)})" if self.found.tier else ""
        yield f"{visible(self.found.model)} at {visible(self.found.provider)}{tier}"
        if isinstance(self.found, Unpriced):
            yield f"  unknown: {visible(self.found.why, 400)}"
            yield f"  Type next: {visible(to_write(self.found.provider, self.found.model), 400)}"
            return
        yield from _price_lines(self.found.prices)
        yield f"  from {self.found.source} {self.found.version}, {visible(self.found.entry)}" + _origin(self.found)
        for item in self.others:
            yield f"  ! {item.source} says {item.rate} {_plain(item.usd)}, not {_plain(item.instead_of)}"


def _asked(target: Target, wanted: Wanted) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Providers and models to look up, and the vendors of the providers that the product names itself."""
    if not target.main.is_file():
        if not wanted.models:
            raise UsageError(
                f"found no MODEL and no {target.main}, expected one. Type next: midshift prices show MODEL"
            )
        return _everywhere(wanted, _PROVIDERS), {}
    definitions = target.definitions()
    vendors = {name: provider.vendor for name, provider in definitions.providers.items()}
    if wanted.models:
        return _everywhere(wanted, [*vendors, *_PROVIDERS]), vendors
    used = {(one.provider, one.model): None for one in definitions.variants.values()}
    return [name for name in used if wanted.provider in (None, name[0])], vendors


def _everywhere(wanted: Wanted, providers: Sequence[str]) -> list[tuple[str, str]]:
    names = [wanted.provider] if wanted.provider is not None else list(dict.fromkeys(providers))
    return [(name, model) for model in wanted.models for name in names]


def _known_somewhere(shown: list[_Shown], wanted: Wanted) -> list[_Shown]:
    """Without the providers that do not have the model; one line for a model that nobody has."""
    kept = [one for one in shown if isinstance(one.found, Priced)]
    missing = [model for model in wanted.models if model not in {one.found.model for one in kept}]
    tier = plain_tier(wanted.tier)
    nowhere = [Unpriced("any provider", model, tier, "no source has a price of it anywhere") for model in missing]
    return [*kept, *map(_Shown, nowhere)]


def _disagreements(ours: Priced, theirs: Priced) -> Iterator[_Disagreement]:
    figures = _figures(ours.prices)
    for rate, usd in _figures(theirs.prices).items():
        mine = figures.get(rate)
        if mine is not None and abs(usd - mine) > DISAGREE * max(usd, mine):
            yield _Disagreement(rate, theirs.source, usd, mine)


def _figures(prices: UnitPrices) -> dict[str, Decimal]:
    stated = dict(_stated(prices.rates))
    for tier in prices.long_context:
        stated |= {f"{name} above {tier.above}": usd for name, usd in _stated(tier.rates)}
    return stated | ({"search": prices.search} if prices.search is not None else {})


def _stated(rates: Rates) -> Iterator[tuple[str, Decimal]]:
    for item in fields(rates):
        usd = getattr(rates, item.name)
        if usd is not None:
            yield item.name, usd


def _price_lines(prices: UnitPrices) -> Iterator[str]:
    yield f"  {_rates_line(prices.rates)} · USD per million tokens"
    for tier in prices.long_context:
        yield f"  above {tier.above} tokens of input: {_rates_line(tier.rates) or 'unknown'}"
    if prices.search is not None:
        yield f"  a search {_plain(prices.search)}"


def _rates_line(rates: Rates) -> str:
    return " · ".join(f"{name} {_plain(usd)}" for name, usd in _stated(rates))


def _origin(found: Priced) -> str:
    day = f", as of {found.as_of}" if found.as_of else ""
    return day + (f", {visible(found.reference)}" if found.reference else "")


def _plain(usd: Decimal) -> str:
    return f"{usd.normalize():f}"


# refresh


@dataclass(frozen=True, slots=True)
class Refresh:
    """What to take, as typed: a file or an address, its version, and whether it may lack most of what is known."""

    source: str
    version: str | None = None
    accepts_losses: bool = False


def refresh(state: Path, wanted: Refresh, today: date, as_json: bool, http: Http | None = None) -> int:
    """Write a catalogue into the state folder, from a file or an address, and say what it changes.

    Raises:
        InputError: for what is no catalogue, or has lost more than a fifth of the models known today: half a download,
            or another file. What was there stays.
    """
    source, version = wanted.source, wanted.version
    is_url = "://" in source
    content = asyncio.run(_downloaded(source, http)) if is_url else Path(source).read_bytes()
    before = catalogue.load(state)
    made = _snapshot(content, source if is_url else f"file {Path(source).name}", version, today)
    after = catalogue.read(made)
    changes = _changes(before, after)
    if not wanted.accepts_losses:
        _require_kept(source, before, changes)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(state / catalogue.FILE, made)
    if as_json:
        head = {"format": REFRESH_FORMAT, "file": str(state / catalogue.FILE), "version": after.version}
        say(json.dumps({**head, "taken_on": str(after.taken_on), "sha256": after.sha256, **changes}, indent=2))
        return 0
    counts = ", ".join(f"{number} {what}" for what, number in changes.items())
    say(f"wrote {visible(str(state / catalogue.FILE))}: {visible(after.version)} of {after.taken_on}; {counts}")
    if catalogue.load(state).sha256 != after.sha256:
        say(f"It is older than the one that comes with midshift ({before.taken_on}), which stays in use.")
    return 0


def _require_kept(source: str, before: catalogue.Catalogue, changes: Mapping[str, int]) -> None:
    """Models do vanish, a few at a time; without a price they break caps and budgets, so many at once are a mistake."""
    gone = changes["gone"]
    if gone > MOST_LOST * len(before):
        raise InputError(
            f"--from {source!r}: found {changes['models']:,} models, and {gone:,} of the {len(before):,} known today "
            f"are not among them, expected at least {1 - MOST_LOST:.0%} of these; nothing was changed. If that is "
            "meant, type next: midshift prices refresh --from SOURCE --accept-losses"
        )


def _snapshot(content: bytes, origin: str, version: str | None, today: date) -> bytes:
    """A catalogue file: the content itself if it is one, else a snapshot made of what LiteLLM publishes."""
    try:
        catalogue.read(content)
    except InputError:
        return _taken(content, origin, version or "litellm, version not stated", today)
    return content


def _taken(content: bytes, origin: str, version: str, today: date) -> bytes:
    try:
        return catalogue.taken(content, origin, version, today)
    except InputError as error:
        raise InputError(
            f"{origin}: {error}. Type next: midshift prices refresh --from model_prices_and_context_window.json"
        ) from None


async def _downloaded(url: str, http: Http | None) -> bytes:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise UsageError(f"--from {url!r}: prices decide gates, so they come over https. Type next: --from https://...")
    try:
        answer = await _asked_for(url, http)
    except HttpFailed as error:
        raise InputError(f"--from {url!r}: {error}. Type next: midshift prices refresh --from FILE") from None
    if answer.status != 200:
        raise InputError(f"--from {url!r}: found status {answer.status}, expected 200. Type next: --from FILE")
    return answer.body


async def _asked_for(url: str, http: Http | None) -> HttpAnswer:
    from midshift.providers.http.client import HttpClient

    request = HttpRequest("GET", url)
    if http is not None:
        return await http.ask(request, _DOWNLOAD_S)
    async with HttpClient(os.environ) as client:
        return await client.ask(request, _DOWNLOAD_S)


def _changes(before: catalogue.Catalogue, after: catalogue.Catalogue) -> dict[str, int]:
    old = {(one.provider, one.model): _costs(one) for one in before}
    new = {(one.provider, one.model): _costs(one) for one in after}
    both = old.keys() & new.keys()
    return {
        "models": len(new),
        "new": len(new.keys() - old.keys()),
        "gone": len(old.keys() - new.keys()),
        "with another price": sum(old[key] != new[key] for key in both),
    }


def _costs(entry: catalogue.Entry) -> dict[str, object]:
    return {name: value for name, value in entry.facts.items() if "cost" in name}


# recompute


def recompute(where: Where, run: Path, pins: Path | None, as_json: bool) -> int:
    """The cost of a recorded run under today's book, or under pinned prices. Exit code 3 if it is unknown."""
    calls = pinned.read_calls(run.read_bytes(), str(run))
    vendors = _asked(where.target, Wanted(()))[1] if where.target.main.is_file() else {}
    prices: Book = book(where, vendors) if pins is None else _pinned(pins)
    found = pinned.recompute(calls, prices)
    if as_json:
        say(json.dumps(_recomputed_document(found), indent=2))
    else:
        say(*_recomputed_lines(found))
    return 0 if found.total_usd is not None else 3


def _pinned(path: Path) -> pinned.PinnedPrices:
    try:
        return pinned.from_json(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: this is no record of pinned prices: {error}") from None


def _recomputed_document(found: pinned.Recomputed) -> dict[str, object]:
    total = found.total_usd
    return {
        "format": RECOMPUTE_FORMAT,
        "book_before": found.before,
        "book_after": found.after,
        "calls": len(found.costs_usd),
        "recorded_usd": found.recorded_total_usd,
        "total_usd": None if total is None else str(total),
        "unknown": dict(found.unknown),
        "costs_usd": [None if usd is None else str(usd) for usd in found.costs_usd],
    }


def _recomputed_lines(found: pinned.Recomputed) -> Iterator[str]:
    recorded, total = found.recorded_total_usd, found.total_usd
    yield f"{len(found.costs_usd)} calls"
    yield f"  as recorded  {'unknown' if recorded is None else f'{recorded:.6f} USD'}   book {found.before[:12]}"
    yield f"  recomputed   {'unknown' if total is None else f'{total:.6f} USD'}   book {found.after[:12]}"
    for why, number in found.unknown.items():
        yield f"  {number} unknown: {visible(why, 400)}"
