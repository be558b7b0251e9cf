"""One provider within its limits: what is asked again, what is not, and nobody sleeps."""

import asyncio

import pytest

from midshift.domain.paid_call import Ending
from midshift.providers.http.messages import Failure, Request
from midshift.providers.paid.backoff import Backoff
from midshift.providers.paid.desk import Desk, Heard, Unheard
from midshift.providers.paid.pace import Limits
from midshift.testing import ManualClock
from tests.providers.paid.fakes import FakeTransport, Reply, lines, sleeping

REQUEST = Request("/chat/completions", (), b"{}")
NONE = Limits()


def desk(transport: FakeTransport, clock: ManualClock, limits: Limits = NONE, tries: int = 4) -> Desk:
    """A desk whose waiting moves the clock, without luck."""
    sleep, _ = sleeping(clock)
    return Desk(transport, limits, clock, lambda: 1.0, sleep, Backoff(tries=tries, first_s=1.0))


async def asked(*replies: Reply, tries: int = 4) -> tuple[Heard | Unheard, list[float]]:
    """What comes of one request, and when it was sent."""
    clock = ManualClock()
    transport = FakeTransport(clock, *replies)
    return await desk(transport, clock, tries=tries).ask(REQUEST, 10), transport.asked


@pytest.mark.parametrize("status", [429, 500, 502, 503, 521, 523, 529])
async def test_an_error_that_may_pass_is_asked_again(status: int) -> None:
    """And how often that was is kept."""
    found, sent = await asked(Reply(status), Reply(status), Reply())

    assert isinstance(found, Heard)
    assert (200, 2, 3) == (found.status, found.turned_away, len(sent))


@pytest.mark.parametrize("status", [200, 400, 401, 404, 422])
async def test_any_other_answer_is_the_answer(status: int) -> None:
    """A request that is wrong stays wrong."""
    found, sent = await asked(Reply(status), Reply())

    assert isinstance(found, Heard)
    assert (status, 1) == (found.status, len(sent))


@pytest.mark.parametrize("status", [408, 504, 524])
async def test_who_gave_up_waiting_is_not_asked_again_in_silence(status: int) -> None:
    """What was waited for may be served and billed: six tries could be six payments."""
    found, sent = await asked(Reply(status), Reply())

    assert isinstance(found, Heard)
    assert (status, 1) == (found.status, len(sent))


async def test_an_account_without_money_is_not_waited_for() -> None:
    """OpenAI says so with the status of a rate limit, which it is not."""
    body = b'{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'
    found, sent = await asked(Reply(429, body), Reply())

    assert isinstance(found, Heard)
    assert (429, 1) == (found.status, len(sent))


async def test_who_says_when_is_asked_then() -> None:
    """Not earlier, and not much later."""
    _, sent = await asked(Reply(429, headers=lines(retry_after="20")), Reply())

    assert 20.0 <= sent[1] - sent[0] < 21.0


async def test_a_request_that_was_not_sent_is_sent_again() -> None:
    """Nobody can have served it."""
    found, sent = await asked(Reply(unsent=True), Reply())

    assert isinstance(found, Heard)
    assert 2 == len(sent)


@pytest.mark.parametrize(
    "failure", [Failure.BROKEN, Failure.FIRST_BYTE_TIMEOUT, Failure.IDLE_TIMEOUT, Failure.TOTAL_TIMEOUT]
)
async def test_a_request_that_may_have_been_served_is_not_sent_again(failure: Failure) -> None:
    """It is paid, perhaps: a second one would be a second payment."""
    found, sent = await asked(Reply(fails=failure), Reply())

    assert isinstance(found, Unheard)
    assert (Ending.UNKNOWN, 1) == (found.ending, len(sent))


@pytest.mark.parametrize("reply", [Reply(503), Reply(unsent=True)])
async def test_it_gives_up_and_says_that_nothing_was_served(reply: Reply) -> None:
    """So that the next run may ask again without paying twice."""
    found, sent = await asked(reply, tries=3)

    assert isinstance(found, Unheard)
    assert (Ending.FAILED, 3) == (found.ending, len(sent))


async def test_one_refusal_keeps_everybody_away() -> None:
    """A second request in the same moment waits as well, although nobody told it."""
    clock = ManualClock()
    transport = FakeTransport(clock, Reply(429, headers=lines(retry_after="30")), Reply())
    one = desk(transport, clock)

    await asyncio.gather(one.ask(REQUEST, 10), one.ask(REQUEST, 10))
    await one.ask(REQUEST, 10)

    assert [] == [at_s for at_s in transport.asked[2:] if at_s - transport.asked[0] < 30.0]


async def test_requests_keep_the_pace() -> None:
    """Five at 60 a minute take four seconds of the clock, and none of the machine's."""
    clock = ManualClock()
    transport = FakeTransport(clock)
    one = desk(transport, clock, Limits(concurrency=1, requests_per_min=60))

    for _ in range(5):
        await one.ask(REQUEST, 10)

    assert pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0]) == [at_s - transport.asked[0] for at_s in transport.asked]


async def test_no_more_are_under_way_than_allowed() -> None:
    """The limit holds for all evals that share the desk."""
    clock, most = ManualClock(), 0
    under_way = 0

    class Slow(FakeTransport):
        async def send(self, *arguments: object, **options: object):  # type: ignore[no-untyped-def]
            nonlocal most, under_way
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            return await super().send(REQUEST, False)

    one = desk(Slow(clock), clock, Limits(concurrency=3))
    await asyncio.gather(*(one.ask(REQUEST, 10) for _ in range(20)))

    assert 3 == most
