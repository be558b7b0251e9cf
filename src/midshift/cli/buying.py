"""Buying for every command that runs an eval: what the ledger lacks, on a person's terms; then pairs as a file.

`buy` spends money and fills the ledger; `write_pairs` reads it and spends nothing. Numerics are not loaded here: an
eval may run for hours before there is anything to judge.
Elsewhere: limits and durability (providers.paid, store.ledger), which variants (eval), judging (compare).
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import SystemRandom

from midshift.domain.paid_call import CallKey, Ending, Purchase, Result
from midshift.domain.variant import Variant
from midshift.errors import MidshiftError, UsageError
from midshift.evals import pairing, runner
from midshift.evals.grading import Bench, Grading
from midshift.evals.pairing import Pair, Plan
from midshift.evals.requests import Line
from midshift.evals.runner import Found, Progress
from midshift.evals.suite_file import EvalCase
from midshift.ports import Clock, PaidCalls
from midshift.providers.http.messages import Transport
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.buyer import Buyer, OnUnknown, UnderWay
from midshift.providers.paid.desk import Desk
from midshift.providers.paid.occurrences import Paused, Tell, nobody
from midshift.providers.paid.pace import Limits
from midshift.providers.paid.till import Till

Show = Callable[[Progress, Budget], None]
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Terms:
    """How an eval may spend. `cap_usd` bounds all that it costs, what was paid before a restart included."""

    limits: Limits = Limits()
    cap_usd: Decimal | None = None
    on_unknown: OnUnknown = OnUnknown.HOLD
    allow_unknown_cost: bool = False


@dataclass(frozen=True, slots=True)
class Shop:
    """Where answers come from; evals of one event loop that run at once on one ledger share a shop.

    They share its `desks` too, one for each provider: requests and tokens a minute, calls at once (as the first of
    them said), and the silence that a provider asked for hold for all of them together. `tell` hears what happens.
    """

    calls: PaidCalls
    transports: Mapping[str, Transport]
    till: Till
    clock: Clock
    under_way: UnderWay = field(default_factory=dict)
    tell: Tell = nobody
    desks: dict[str, Desk] = field(default_factory=dict)

    def desk(self, provider: str, limits: Limits) -> Desk:
        """The one desk of a provider.

        Raises:
            UsageError: if another eval asks the same provider at another rate.
        """
        if provider not in self.desks:
            told = partial(_tell_pause, self.tell, provider)
            transport, luck = self.transports[provider], SystemRandom().random
            self.desks[provider] = Desk(transport, limits, self.clock, luck, told=told)
        found = self.desks[provider]
        if replace(found.limits, concurrency=limits.concurrency) != limits:
            raise UsageError(
                f"evals that share a shop ask {provider!r} within {found.limits} and {limits}, expected the same rates "
                "a minute: they are those of one key"
            )
        return found


def _tell_pause(tell: Tell, provider: str, wait_s: float, status: int | None) -> None:
    tell(Paused(provider, wait_s, status))


class Undecided(UsageError):
    """Calls whose outcome nobody knows wait for a decision."""

    exit_code = 2


class Unfinished(MidshiftError):
    """Some calls could not be made, or the eval was stopped; the same command goes on from there."""


async def buy(plan: Plan, grading: Grading, shop: Shop, terms: Terms, show: Show | None = None) -> Progress:
    """Buy every answer that the ledger lacks, then what judges ask; nothing is returned but how far it came.

    Raises:
        Undecided: for calls of unknown outcome, before anything is spent, and again at the end if there are new ones.
        Unfinished: for calls that failed again and again, or if somebody stopped it.
        CapReached: if the next call could break the cap.
        UsageError: for a cap that cannot be kept, because a cost is unknown.
    """
    lines = [*plan.lines, *(bench.line for bench in grading.benches)]
    buyer = _buyer(lines, shop, terms)
    found = runner.missing(plan, buyer)
    _require_decided(found.held, terms)
    if found.missing:
        require_bounded(plan.lines, shop.till, terms, [job.case for job in found.missing])
        require_bounded(lines[len(plan.lines) :], shop.till, terms)
    buyer.budget.spent_usd = found.spent_usd + found.open_usd
    progress = Progress(needed=plan.calls, done=plan.calls - len(found.missing))
    concurrency = dict.fromkeys(shop.transports, terms.limits.concurrency)
    with stoppable(progress), shown(progress, buyer.budget, show):
        await runner.run(found.missing, buyer, concurrency, progress)
        left = await _judges(plan, grading, buyer, concurrency, progress)
    if progress.held:
        left.held += [(job.key, one) for job in found.missing if (one := _unknown(shop.calls, job.key)) is not None]
    _require_decided(left.held, terms)
    _require_whole(progress, terms)
    return progress


async def buy_verdicts(
    pairs: Sequence[Pair], benches: Sequence[Bench], shop: Shop, terms: Terms, show: Show | None = None
) -> Progress:
    """Ask judges about pairs whose answers are there: what the ledger lacks, each call once.

    Raises:
        Undecided, Unfinished, CapReached, UsageError: as `buy`.
    """
    lines = [bench.line for bench in benches]
    buyer = _buyer(lines, shop, terms)
    found = runner.unjudged(pairs, benches, buyer)
    _require_decided(found.held, terms)
    if found.missing:
        require_bounded(lines, shop.till, terms)
    buyer.budget.spent_usd = found.spent_usd + found.open_usd
    progress = Progress(needed=len(found.missing) + found.finished, done=found.finished)
    with stoppable(progress), shown(progress, buyer.budget, show):
        await runner.run(found.missing, buyer, dict.fromkeys(shop.transports, terms.limits.concurrency), progress)
    if progress.held:
        left = [(job.key, one) for job in found.missing if (one := _unknown(shop.calls, job.key)) is not None]
        _require_decided(left, terms)
    _require_whole(progress, terms)
    return progress


def _buyer(lines: Sequence[Line], shop: Shop, terms: Terms) -> Buyer:
    desks = {name: shop.desk(name, terms.limits) for name in {line.variant.provider for line in lines}}
    budget = Budget(terms.cap_usd)
    return Buyer(shop.calls, desks, shop.till, budget, shop.clock, terms.on_unknown, shop.under_way, shop.tell)


async def _judges(
    plan: Plan, grading: Grading, buyer: Buyer, concurrency: Mapping[str, int], progress: Progress
) -> Found:
    is_whole = not (progress.stopped or progress.failed or progress.held)
    if not grading.benches or not is_whole:
        return Found()
    return await runner.run_judges(plan, grading, buyer, concurrency, progress)


def _unknown(calls: PaidCalls, key: CallKey) -> Purchase | None:
    found = calls.purchases((key,)).get(key)
    return found if found is not None and found.ending is Ending.UNKNOWN else None


def _require_decided(held: Sequence[tuple[CallKey, Purchase]], terms: Terms) -> None:
    """Calls that may have been paid and whose answer is lost: a person says what to do, nobody else."""
    if not held or terms.on_unknown is not OnUnknown.HOLD:
        return
    worst = sum((one.open_usd for _, one in held), Decimal(0))
    is_known = not any(one.has_unknown_cost for _, one in held)
    said = f"at most {worst:.4f} USD" if is_known else f"at least {worst:.4f} USD, the cost of some is unknown"
    reasons = ", ".join(sorted({one.detail for _, one in held}))
    raise Undecided(
        f"found {len(held):,} calls that may have been served and paid, and whose answers are not there ({reasons}); "
        f"to buy them again costs {said}. Expected a decision. Type next: --rebuy-unknown (pay again), or "
        "--skip-unknown (a call that midshift lost leaves its case out; one that the provider never answered counts "
        "as unanswered)"
    )


def require_bounded(lines: Sequence[Line], till: Till, terms: Terms, cases: Sequence[EvalCase] = ()) -> None:
    """With a cap, whatever may be asked must have a price and a limit: the variant's, the model's, or every case's.

    Raises:
        UsageError: naming the first model that has none, unless unknown costs are allowed.
    """
    if terms.cap_usd is None or terms.allow_unknown_cost:
        return
    for line in lines:
        variant = line.variant
        what = None if till.knows(variant) else "its price is unknown (a line in prices.yaml would say it)"
        if what is None and line.most_tokens_out is None and not _says_limit(variant, cases):
            what = "nothing limits its answers (params: {set: {max_tokens: N}} in its variant file would)"
        if what is not None:
            raise UsageError(
                f"--max-usd {terms.cap_usd}: the cost of {variant.model!r} at {variant.provider!r} cannot be bounded: "
                f"{what}, expected a known bound. Type next: that, or --allow-unknown-cost"
            )


def _says_limit(variant: Variant, cases: Sequence[EvalCase]) -> bool:
    """Whether the variant limits its answers, or every case does and the variant lets it."""
    more, dropped = variant.parameters.get("set"), variant.parameters.get("drop")
    if _limited(variant.parameters) or (isinstance(more, Mapping) and _limited(more)):
        return True
    kept = _LIMITS - {*(dropped if isinstance(dropped, list | tuple) else ())}
    return bool(cases) and all(kept & _limited(case.params) for case in cases)


def _limited(parameters: Mapping[str, object]) -> set[str]:
    """The names that limit an answer; below one token nobody knows what a provider makes of it."""
    return {name for name in _LIMITS & parameters.keys() if isinstance(said := parameters[name], int) and int(said) > 0}


_LIMITS = frozenset(("max_tokens", "max_completion_tokens", "max_output_tokens"))


def _require_whole(progress: Progress, terms: Terms) -> None:
    if progress.stopped:
        raise Unfinished(
            f"stopped: {progress.done:,} of {progress.needed:,} calls are in the ledger and stay there. "
            "Type next: the same command goes on from here"
        )
    if progress.failed and terms.on_unknown is not OnUnknown.SKIP:
        worst = max(progress.why, key=lambda detail: progress.why[detail])
        raise Unfinished(
            f"{progress.failed:,} of {progress.needed:,} calls failed for now ({worst}); none of them is paid, and the "
            "rest is in the ledger. Type next: the same command asks for them again, or --skip-unknown counts them as "
            "unanswered"
        )


@contextmanager
def stoppable(progress: Progress) -> Iterator[None]:
    """The first Ctrl-C lets what is paid for come to its end; the second one does not."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        progress.stopped = True
        loop.remove_signal_handler(signal.SIGINT)

    try:
        loop.add_signal_handler(signal.SIGINT, stop)
    except (RuntimeError, ValueError):  # not the main thread: whoever runs this loop stops it
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


@contextmanager
def shown(progress: Progress, budget: Budget, show: Show | None) -> Iterator[None]:
    """Show the progress a few times a second as long as the block runs."""
    if show is None:
        yield
        return
    loop, timers = asyncio.get_running_loop(), list[asyncio.TimerHandle]()

    def draw() -> None:
        show(progress, budget)
        timers[:] = [loop.call_later(_LOOK_S, draw)]

    draw()
    try:
        yield
    finally:
        timers[0].cancel()
        show(progress, budget)


# Reading what was bought


@dataclass(slots=True)
class Taken:
    """What one variant's calls took, in the order of the cases; lost ones are left out."""

    latencies_s: list[float | None] = field(default_factory=list)
    first_tokens_s: list[float | None] = field(default_factory=list)
    costs_usd: list[float | None] = field(default_factory=list)
    results: list[Result | None] = field(default_factory=list)

    def add(self, result: Result | None) -> None:
        """Take one more call into account."""
        is_answered = result is not None and result.status == 200
        self.latencies_s.append(result.latency_s if result is not None and is_answered else None)
        self.first_tokens_s.append(result.first_token_s if result is not None and is_answered else None)
        self.costs_usd.append(0.0 if result is None else result.cost_usd)
        self.results.append(None if result is None else replace(result, text=None, tools=()))

    def extend(self, other: Taken) -> None:
        """Take other calls of the same variant into account."""
        self.latencies_s += other.latencies_s
        self.first_tokens_s += other.first_tokens_s
        self.costs_usd += other.costs_usd
        self.results += other.results


def write_pairs(
    plan: Plan,
    candidate: Line,
    calls: PaidCalls,
    grading: Grading,
    file: Path,
    names: tuple[str, str],
    told: Callable[[Pair], None] = lambda pair: None,
) -> tuple[Taken, Taken]:
    """Write the pairs of one candidate as a paired-outputs file, and give what both took; `told` hears each pair."""
    taken = Taken(), Taken()
    with file.open("wb") as out:
        for pair in pairing.pairs(plan, candidate, calls, grading):
            out.write(pairing.line(pair, names, plan.trials))
            told(pair)
            _add(pair, taken)
    return taken


def _add(pair: Pair, taken: tuple[Taken, Taken]) -> None:
    if pair.incumbent.is_lost or pair.candidate.is_lost:
        return
    for one, reply in zip(taken, (pair.incumbent, pair.candidate), strict=True):
        one.add(reply.result)
