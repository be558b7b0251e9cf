"""Buying: written down before it is paid, paid once, and never beyond the cap."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal

import pytest

from midshift.domain.paid_call import INTERRUPTED, Ending, Result, ToolUse
from midshift.providers.http.messages import Call, Failure, Request
from midshift.providers.http.settings import Timeouts
from midshift.providers.paid.backoff import Backoff
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.buyer import UNREADABLE, Buyer, CapReached, OnUnknown, TurnedAway
from midshift.providers.paid.desk import Desk
from midshift.providers.paid.occurrences import CallEnded, Occurrence, Tell, nobody
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
        tell: Tell = nobody,
    ) -> None:
        clock = ManualClock()
        sleep, _ = sleeping(clock)
        self.provider = FakeTransport(clock, *replies)
        self.budget = Budget(None if cap is None else Decimal(cap))
        desk = Desk(self.provider, Limits(), clock, lambda: 0.5, sleep, Backoff(tries=2))
        self.buyer = Buyer(ledger, {"acme": desk}, till(is_known), self.budget, clock, on_unknown, tell=tell)

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


@pytest.mark.parametrize(("status", "hint"), [(401, "midshift check"), (402, "pay the account"), (404, "`model`")])
async def test_a_key_account_or_model_that_is_refused_ends_the_eval_and_is_asked_again_when_mended(
    ledger: Ledger, status: int, hint: str
) -> None:
    """It is no fault of the case: kept as its answer, a mistyped model would be unanswered for ever."""
    body = b'{"error": {"message": "no such thing"}}'
    shop = Shop(ledger, Reply(status, body), Reply())

    with pytest.raises(TurnedAway, match=rf"'acme' does not serve 'model' \(status {status}: no such thing\).*{hint}"):
        await shop.buy()
    found = await shop.buy()

    assert (Ending.ANSWERED, "Hello", COST) == (found.ending, found.text, shop.budget.spent_usd)


async def test_who_leaves_failed_calls_out_is_not_stopped_by_a_model_that_is_gone(ledger: Ledger) -> None:
    found = await Shop(ledger, Reply(404), on_unknown=OnUnknown.SKIP).buy()

    assert Ending.FAILED is found.ending


@pytest.mark.parametrize(
    ("body", "ending"),
    [(b'{"error": {"message": "input was flagged"}}', Ending.REFUSED), (b'{"error": {}}', Ending.FAILED)],
)
async def test_a_403_is_final_only_where_it_is_about_the_input(ledger: Ledger, body: bytes, ending: Ending) -> None:
    """A flagged input is an answer that was blocked; a missing permission can be given."""
    with contextlib.suppress(TurnedAway):
        await Shop(ledger, Reply(403, body)).buy()

    assert ending is ledger.purchases([order().key])[order().key].ending


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_key_that_is_refused_ends_the_eval_whoever_leaves_failed_calls_out(ledger: Ledger, status: int) -> None:
    """Left out it would be a candidate that answers nothing: a regression that is none."""
    with pytest.raises(TurnedAway):
        await Shop(ledger, Reply(status), on_unknown=OnUnknown.SKIP).buy()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "API key not valid. Please pass a valid API key."),
        (400, "Incorrect API key provided: x***y."),
        (400, "Your credit balance is too low to access the Anthropic API."),
        (400, "acme/model-9 is not a valid model ID"),
        (429, "insufficient_quota"),
        (302, "moved"),
    ],
)
async def test_what_speaks_of_who_asks_is_no_answer_of_the_case(ledger: Ledger, status: int, message: str) -> None:
    """Vendors say it with statuses of their own; kept as the case's answer it would be a regression for good."""
    body = b'{"error": {"message": "%s"}}' % message.encode()
    with pytest.raises(TurnedAway):
        await Shop(ledger, Reply(status, body)).buy()

    assert Ending.ANSWERED is (await Shop(ledger).buy()).ending


@pytest.mark.parametrize("status", [408, 504, 520, 524])
async def test_who_gave_up_waiting_leaves_a_call_that_may_be_paid(ledger: Ledger, status: int) -> None:
    """It is held for a decision, at the most that it can cost."""
    shop = Shop(ledger, Reply(status), cap="1")

    found = await shop.buy()

    purchase = ledger.purchases([order().key])[order().key]
    assert (Ending.UNKNOWN, WORST, WORST) == (found.ending, purchase.open_usd, shop.budget.spent_usd)
    assert f"status {status}" in found.detail


async def test_answers_that_do_not_say_what_they_cost_keep_the_cap(ledger: Ledger) -> None:
    """Each is booked at the most that it can cost; the next run counts them alike."""
    shop = Shop(ledger, Reply(body=b'{"choices": [{"message": {"content": "Hello"}}]}'), cap="0.01")

    with pytest.raises(CapReached):
        for number in range(100):
            await shop.buy(number)

    known = ledger.purchases(order(number).key for number in range(100))
    assert (5, 5 * WORST, 5) == (shop.calls, shop.budget.spent_usd, shop.budget.unknown)
    assert 5 * WORST == sum(one.open_usd for one in known.values())


async def test_a_bill_below_nothing_does_not_widen_the_cap(ledger: Ledger) -> None:
    body = answer().replace(b'"prompt_tokens"', b'"cost": -5, "prompt_tokens"')
    shop = Shop(ledger, Reply(200, body), cap="0.01")

    await shop.buy()

    assert COST == shop.budget.spent_usd


async def test_a_call_that_is_cancelled_may_be_paid(ledger: Ledger) -> None:
    """It is booked at the most that it can cost, and who asks again hears that nobody knows."""

    class Silent(FakeTransport):
        async def send(self, request: Request, streamed: bool, timeouts: Timeouts | None = None) -> Call:
            raise asyncio.CancelledError

    clock, shop = ManualClock(), Shop(ledger)
    buyer = Buyer(ledger, {"acme": Desk(Silent(clock), Limits(), clock, lambda: 0.5)}, till(), shop.budget, clock)
    with pytest.raises(asyncio.CancelledError):
        await buyer.ask(order())

    found = await buyer.ask(order())

    assert (WORST, Decimal(0)) == (shop.budget.spent_usd, shop.budget.held_usd)
    assert (Ending.UNKNOWN, INTERRUPTED) == (found.ending, found.detail)


async def test_what_goes_wrong_is_told_while_it_does(ledger: Ledger) -> None:
    """A refusal, a failure and a lost answer; an answer is nothing to tell."""
    told: list[Occurrence] = []
    for number, reply in enumerate([Reply(), Reply(400), Reply(503), Reply(fails=Failure.BROKEN)]):
        await Shop(ledger, reply, tell=told.append).buy(number)

    ended = [one for one in told if isinstance(one, CallEnded)]
    assert [Ending.REFUSED, Ending.FAILED, Ending.UNKNOWN] == [one.ending for one in ended]
    assert {("acme", "model")} == {(one.provider, one.model) for one in ended}


@pytest.mark.parametrize("content", [None, "", "Let me look."])
async def test_tools_are_kept_whatever_a_server_says_of_the_end(ledger: Ledger, content: str | None) -> None:
    """Servers that speak like OpenAI's say `stop` after tool calls, and write a sentence before them."""
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    body = json.loads(answer())
    body["choices"][0]["message"] = {"role": "assistant", "content": content, "tool_calls": [call]}

    found = await Shop(ledger, Reply(200, json.dumps(body).encode())).buy()

    assert ("stop", (ToolUse("find", "{}"),)) == (found.finish_reason, found.tools)
