"""Buying: written down before it is paid, paid once, and never beyond the cap."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal

import pytest

from midshift.domain.paid_call import Ending, Result
from midshift.providers.http.messages import Failure
from midshift.providers.paid.backoff import Backoff
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.buyer import UNREADABLE, Buyer, CapReached, OnUnknown
from midshift.providers.paid.desk import Desk
from midshift.providers.paid.pace import Limits
from midshift.store.ledger import Ledger
from midshift.testing import ManualClock
from tests.providers.paid.fakes import FakeTransport, Reply, answer, order, sleeping, till

WORST = Decimal("0.002")
"""Of an order: 1,000 bytes at 1 USD a million and 100 tokens at 10."""
COST = Decimal("0.00006")
"""Of an answer: 10 tokens in and 5 out."""


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory."""
    with Ledger() as found:
        yield found


class Shop:
    """A buyer with all that it needs, and the provider that it buys of."""

    def __init__(
        self,
        ledger: Ledger,
        *replies: Reply,
        cap: str | None = None,
        on_unknown: OnUnknown = OnUnknown.HOLD,
        is_known: bool = True,
    ) -> None:
        clock = ManualClock()
        sleep, _ = sleeping(clock)
        self.provider = FakeTransport(clock, *replies)
        self.budget = Budget(None if cap is None else Decimal(cap))
        desk = Desk(self.provider, Limits(), clock, lambda: 0.5, sleep, Backoff(tries=2))
        self.buyer = Buyer(ledger, {"acme": desk}, till(is_known), self.budget, clock, on_unknown)

    async def buy(self, number: int = 1) -> Result:
        """Ask for one order."""
        return await self.buyer.ask(order(number))

    @property
    def calls(self) -> int:
        """How often the provider was asked."""
        return len(self.provider.asked)


async def test_an_answer_comes_with_what_it_cost_and_by_which_prices(ledger: Ledger) -> None:
    """The figure must be computable again under another book."""
    found = await Shop(ledger).buy()

    assert (Ending.ANSWERED, "Hello", float(COST)) == (found.ending, found.text, found.cost_usd)
    assert found.priced_by is not None
    assert "fixed" == found.priced_by.book


async def test_what_was_bought_is_not_bought_again(ledger: Ledger) -> None:
    """Neither by the same eval nor by the next one."""
    first, second = Shop(ledger), Shop(ledger)

    assert await first.buy() == await second.buy()
    assert (1, 0) == (first.calls, second.calls)


async def test_two_who_want_the_same_get_one_call(ledger: Ledger) -> None:
    """Several evals share a buyer, and candidates share an incumbent."""
    shop = Shop(ledger)

    answers = await asyncio.gather(*(shop.buy() for _ in range(10)))

    assert (1, {"Hello"}) == (shop.calls, {found.text for found in answers})


async def test_the_intent_is_on_the_disk_before_the_first_byte(ledger: Ledger) -> None:
    """Otherwise a crash in between would pay without a trace."""
    seen = []

    class Looking(FakeTransport):
        async def send(self, *arguments, **options):  # type: ignore[no-untyped-def]
            seen.append(ledger.purchases([order().key])[order().key].open_usd)
            return await super().send(*arguments, **options)

    shop = Shop(ledger)
    clock = ManualClock()
    desk = Desk(Looking(clock), Limits(), clock, lambda: 0.5)
    await Buyer(ledger, {"acme": desk}, till(), shop.budget, clock).ask(order())

    assert [WORST] == seen


async def test_a_refusal_is_final_and_free(ledger: Ledger) -> None:
    """The same request would be refused again."""
    shop = Shop(ledger, Reply(400, b'{"error": {"message": "temperature is not supported"}}'))

    first, second = await shop.buy(), await shop.buy()

    assert (Ending.REFUSED, 400, 0.0, 1) == (first.ending, first.status, first.cost_usd, shop.calls)
    assert "temperature is not supported" == second.detail


async def test_a_failure_is_asked_again_by_the_next_run(ledger: Ledger) -> None:
    """Nothing was served, so nothing is paid twice."""
    failed = await Shop(ledger, Reply(503)).buy()
    found = await Shop(ledger).buy()

    assert [Ending.FAILED, Ending.ANSWERED] == [failed.ending, found.ending]


@pytest.mark.parametrize("policy", [OnUnknown.HOLD, OnUnknown.SKIP])
async def test_an_unknown_call_is_held(ledger: Ledger, policy: OnUnknown) -> None:
    """It may be paid: nobody buys it again in silence, not even after a restart."""
    await Shop(ledger, Reply(fails=Failure.TOTAL_TIMEOUT)).buy()
    again = Shop(ledger, on_unknown=policy)

    found = await again.buy()

    assert (Ending.UNKNOWN, 0) == (found.ending, again.calls)


async def test_an_unknown_call_is_bought_again_where_somebody_said_so(ledger: Ledger) -> None:
    """As a second purchase, which the ledger tells from the first."""
    shop = Shop(ledger, Reply(fails=Failure.BROKEN), Reply(), on_unknown=OnUnknown.REBUY)

    found = await shop.buy()

    purchase = ledger.purchases([order().key])[order().key]
    assert (Ending.ANSWERED, 2, 2) == (found.ending, purchase.attempt, shop.calls)
    assert (COST, WORST, WORST + COST) == (purchase.known_usd, purchase.open_usd, shop.budget.spent_usd)


async def test_an_answer_that_cannot_be_read_is_paid_and_no_answer(ledger: Ledger) -> None:
    """Its cost is unknown, and not zero."""
    found = await Shop(ledger, Reply(200, b"<html>hello</html>")).buy()

    assert (Ending.ANSWERED, None, None, UNREADABLE) == (found.ending, found.text, found.cost_usd, found.detail)


async def test_the_cap_is_kept_before_the_call_that_could_break_it(ledger: Ledger) -> None:
    """0.003 USD has room for one call of at most 0.002, and after its real cost for more, until it has not."""
    shop = Shop(ledger, cap="0.003")

    with pytest.raises(CapReached, match=r"found 0\.00\d+ USD left of the cap of 0\.003 USD"):
        for number in range(100):
            await shop.buy(number)

    assert shop.calls == 17
    assert shop.budget.spent_usd == 17 * COST <= Decimal("0.003")


async def test_many_at_once_keep_the_cap_too(ledger: Ledger) -> None:
    """Each waits until the others' bounds are given back; none is refused for lack of patience."""
    shop = Shop(ledger, cap="0.003")

    answers = await asyncio.gather(*(shop.buy(number) for number in range(10)))

    assert {Ending.ANSWERED} == {found.ending for found in answers}


async def test_an_unknown_price_is_not_booked_as_nothing(ledger: Ledger) -> None:
    """It is counted apart, and the report says so."""
    shop = Shop(ledger, is_known=False)

    found = await shop.buy()

    assert (None, 1, Decimal(0)) == (found.cost_usd, shop.budget.unknown, shop.budget.spent_usd)


async def test_what_the_provider_billed_wins(ledger: Ledger) -> None:
    """It knows."""
    body = answer().replace(b'"prompt_tokens"', b'"cost": 0.5, "prompt_tokens"')
    found = await Shop(ledger, Reply(200, body)).buy()

    assert 0.5 == found.cost_usd
