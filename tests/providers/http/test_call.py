"""One answer, however it is cut, and whichever way it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from midshift.providers.http.call import HIGH_WATER, LARGE, OpenCall
from midshift.providers.http.connection import Connection
from midshift.providers.http.messages import Call, CallFailed, Ended, Failure, Head
from midshift.providers.http.settings import Timeouts
from midshift.providers.http.terms import Terms
from midshift.providers.http.watching import Watch, Watched
from tests.providers.http.test_connection import OTHERS, Answer, Keeper, Wire, cut, in_chunks
from tests.providers.http.test_outbox import a_busy_outbox

LIMIT = 1 << 30
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
SHORT_S = 0.02


@dataclass
class Line(Wire):
    """A transport that goes nowhere, and says whether it is read."""

    is_read: bool = True
    keeper: Keeper = field(default_factory=Keeper)
    written: list[bytes] = field(default_factory=list)

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def write(self, data: bytes) -> None:
        self.written.append(data)


@dataclass
class Taker:
    """Takes parts, as long as it wants more."""

    wants_more: bool = True
    parts: list[bytes] = field(default_factory=list)

    def take(self, data: bytes) -> bool:
        assert data
        self.parts.append(data)
        return self.wants_more

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)


@dataclass
class Exchange:
    """A call whose request is written, and the line on which its answer comes."""

    line: Line
    connection: Connection
    call: OpenCall

    def push(self, *pieces: bytes) -> None:
        """Bytes from the server, as long as it is listened to."""
        for piece in pieces:
            if not self.line.is_aborted:
                self.connection.data_received(piece)

    def end(self) -> None:
        """The server closes, if the answer is not over."""
        if self.connection.call is not None:
            self.connection.connection_lost(None)


@dataclass
class Moved:
    """The loop that runs, at a time that a test sets."""

    now_s: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def time(self) -> float:
        return self.now_s

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


@asynccontextmanager
async def an_exchange(
    timeouts: Timeouts | None = None, request: bytes = REQUEST, at: Moved | None = None
) -> AsyncIterator[Exchange]:
    """On a loop, as a pool makes it; without a `request`, nothing is written yet."""
    limits = timeouts or Timeouts()
    loop: Any = at or asyncio.get_running_loop()
    watch, line = Watch(), Line()
    connection = Connection(line.keeper)
    made: Any = line
    connection.connection_made(made)
    now = loop.time()
    call = OpenCall(connection, Terms.of(loop, watch, limits, streamed=True), now, now, has_body=True)
    try:
        if request:
            call.write(request)
        yield Exchange(line, connection, call)
    finally:
        watch.close()
        line.close()


async def by_chunks(call: Call) -> bytes:
    """All that is left, pulled."""
    parts = []
    while part := await call.chunk():
        parts.append(part)
    return b"".join(parts)


async def at_once(call: Call) -> bytes:
    """All that is left, as a whole."""
    return await call.read(LIMIT)


async def handed_over(call: Call) -> bytes:
    """All that is left, as it is handed over."""
    taker = Taker()
    await call.forward(taker.take)
    return taker.body


async def with_holds(call: Call) -> bytes:
    """As above, by somebody who wants no more after every part, and soon goes on."""
    taker, loop = Taker(wants_more=False), asyncio.get_running_loop()

    def take(data: bytes) -> bool:
        loop.call_soon(call.resume)
        return taker.take(data)

    await call.forward(take)
    return taker.body


WAYS = [by_chunks, at_once, handed_over, with_holds]


async def ended(waiting: Awaitable[object]) -> object:
    """What comes of it, or why nothing does."""
    try:
        return await waiting
    except CallFailed as failed:
        return failed.failure
    except ZeroDivisionError:
        return "an error of ours"


def heard(pieces: list[bytes], way: Callable[[Call], Awaitable[bytes]], pushed_before: int) -> object:
    """What a reader makes of an answer in pieces, of which some are there before it begins to read."""

    async def reading(call: Call) -> tuple[Head, bytes]:
        return await call.head(), await way(call)

    async def scenario() -> object:
        async with an_exchange() as exchange:
            exchange.push(*pieces[:pushed_before])
            async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
                result = tasks.create_task(ended(reading(exchange.call)))
                for piece in pieces[pushed_before:]:
                    await asyncio.sleep(0)
                    exchange.push(piece)
                exchange.end()
            return result.result()

    return uvloop.run(scenario())


@given(
    body=st.binary(max_size=60),
    size=st.integers(0, 30),
    places=st.lists(st.integers(0, 400), max_size=8),
    before=st.integers(0, 9),
    way=st.sampled_from(WAYS),
)
def test_an_answer_is_the_same_however_it_is_cut_and_whichever_way_it_is_read(
    body: bytes, size: int, places: list[int], before: int, way: Callable[[Call], Awaitable[bytes]]
) -> None:
    """An app must not see which of them served it. Size 0 is a body of a known length."""
    whole = CHUNKED + in_chunks(body, size) if size else OK + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    line = (b"transfer-encoding", b"chunked") if size else (b"content-length", b"%d" % len(body))

    assert (Head(200, [line]), body) == heard(cut(whole, places), way, before)


@given(
    sent=st.sampled_from(OTHERS),
    places=st.lists(st.integers(0, 200), max_size=8),
    before=st.integers(0, 9),
    way=st.sampled_from(WAYS),
)
def test_other_answers_are_the_same_whichever_way_they_are_read(
    sent: bytes, places: list[int], before: int, way: Callable[[Call], Awaitable[bytes]]
) -> None:
    """Half an answer must never look like a whole one."""
    assert heard([sent], by_chunks, 0) == heard(cut(sent, places), way, before)


async def test_after_take_wanted_no_more_nothing_is_handed_over_until_it_goes_on() -> None:
    """An app whose socket is full would fill the memory; then the server waits as well."""
    taker, piece = Taker(), bytes(65536)
    framed = b"10000\r\n%b\r\n" % piece

    def seen() -> tuple[int, bool]:
        return len(taker.body) // len(piece), exchange.line.is_read

    async with an_exchange() as exchange, asyncio.TaskGroup() as tasks:
        forwarding = tasks.create_task(exchange.call.forward(taker.take))
        await asyncio.sleep(0)
        exchange.push(CHUNKED, framed)
        assert (1, True) == seen()

        taker.wants_more = False
        exchange.push(framed, *[framed] * (HIGH_WATER // len(piece)))
        assert (2, True) == seen()
        exchange.push(framed)
        assert (2, False) == seen()

        exchange.call.resume()
        assert (7, True) == seen()
        exchange.push(framed, b"0\r\n\r\n")
        await asyncio.sleep(0)
        assert ((7, True), False) == (seen(), forwarding.done())

        exchange.call.resume()
        await forwarding
        assert (8, True) == seen()


async def test_what_came_before_an_answer_broke_off_is_handed_over_first() -> None:
    """Also to somebody who wanted no more at that moment."""
    taker = Taker(wants_more=False)
    async with an_exchange() as exchange, asyncio.TaskGroup() as tasks:
        exchange.push(CHUNKED + b"3\r\nabc\r\n")
        forwarding = tasks.create_task(ended(exchange.call.forward(taker.take)))
        await asyncio.sleep(0)
        assert b"abc" == taker.body
        exchange.push(b"3\r\ndef\r\n")
        exchange.end()
        exchange.call.resume()

        assert (Failure.BROKEN, b"abcdef") == (await forwarding, taker.body)


@pytest.mark.parametrize("when", ["there already", "as it comes", "after a hold"])
async def test_an_error_of_whoever_takes_is_theirs_and_ends_the_call(when: str) -> None:
    """As an answer that broke off it would be held against the provider."""
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        taken.append(data)
        if when != "after a hold" or len(taken) == 2:
            raise ZeroDivisionError
        return False

    async with an_exchange() as exchange, asyncio.TaskGroup() as tasks:
        exchange.push(CHUNKED, *[b"1\r\na\r\n"] * (when == "there already"))
        forwarding = tasks.create_task(ended(exchange.call.forward(take)))
        await asyncio.sleep(0)
        exchange.push(b"1\r\na\r\n", b"1\r\nb\r\n1\r\nc\r\n")
        exchange.call.resume()

        assert "an error of ours" == await forwarding
        assert (True, []) == (exchange.line.is_aborted, exchange.line.keeper.failures)
        assert (2 if when == "after a hold" else 1) == len(taken)


async def test_who_goes_on_before_the_next_part_has_come_is_handed_it() -> None:
    """The app has read all that there was, and the model is still thinking."""
    taker = Taker(wants_more=False)
    async with an_exchange() as exchange, asyncio.TaskGroup() as tasks:
        forwarding = tasks.create_task(exchange.call.forward(taker.take))
        await asyncio.sleep(0)
        exchange.push(CHUNKED, b"1\r\na\r\n")
        exchange.call.resume()
        exchange.push(b"1\r\nb\r\n", b"0\r\n\r\n")

        await forwarding
        assert [b"a", b"b"] == taker.parts


@pytest.mark.parametrize("wants_more", [True, False])
async def test_one_way_of_reading_may_be_given_up_and_gone_on_with_in_another(wants_more: bool) -> None:
    """Nothing is lost in between."""
    taker, other = Taker(wants_more), Taker()
    async with an_exchange() as exchange:
        exchange.push(CHUNKED, b"1\r\na\r\n")
        for way in (exchange.call.forward(taker.take), exchange.call.read(LIMIT)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await way
            exchange.push(b"1\r\nb\r\n")
            exchange.call.resume()
        assert (b"a", b"bb") == (taker.body, await exchange.call.chunk())

        async with asyncio.TaskGroup() as tasks:
            chunk = tasks.create_task(exchange.call.chunk())
            await asyncio.sleep(0)
            exchange.push(b"1\r\nc\r\n")
            assert b"c" == await chunk
            forwarding = tasks.create_task(exchange.call.forward(other.take))
            await asyncio.sleep(0)
            exchange.push(b"1\r\nd\r\n0\r\n\r\n")
            await forwarding
            assert b"d" == other.body


async def test_closing_ends_the_forwarding() -> None:
    """Whoever takes may find out in that moment that its app has gone."""
    taken = []

    def take(data: bytes) -> bool:
        taken.append(data)
        exchange.call.close()
        return True

    async with an_exchange() as exchange, asyncio.TaskGroup() as tasks:
        forwarding = tasks.create_task(ended(exchange.call.forward(take)))
        await asyncio.sleep(0)
        exchange.push(CHUNKED + b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")

        assert Failure.BROKEN is await forwarding
        assert ([b"ab"], True) == (taken, exchange.line.is_aborted)  # what one read has brought is one part
        assert [] == exchange.line.keeper.kept


async def test_a_part_that_is_handed_over_is_progress() -> None:
    """A stream that goes on is not idle, whichever way it is read."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with an_exchange(Timeouts(idle_s=2 * SHORT_S)) as exchange:
        for turn in range(4):
            loop.call_later(turn * SHORT_S, exchange.push, (b"" if turn else CHUNKED) + b"1\r\na\r\n")

        assert Failure.IDLE_TIMEOUT is await ended(exchange.call.forward(Taker().take))
        assert 4.9 * SHORT_S < loop.time() - begun
        assert [Failure.IDLE_TIMEOUT] == exchange.line.keeper.failures


async def test_a_stream_that_begins_late_and_stalls_is_idle() -> None:
    """It may be late for long, and has less time from its first byte on."""
    loop = asyncio.get_running_loop()
    async with an_exchange(Timeouts(idle_s=2 * SHORT_S)) as exchange:
        loop.call_later(3 * SHORT_S, exchange.push, CHUNKED + b"1\r\na\r\n")

        assert Failure.IDLE_TIMEOUT is await ended(exchange.call.forward(Taker().take))


async def test_silence_counts_from_the_last_progress_in_either_direction() -> None:
    """A server may begin its answer before it has read all of a large request: from then on it owes its next part, and
    may think as long as any other."""
    at = Moved()
    async with an_exchange(Timeouts(idle_s=10.0), b"", at) as exchange, asyncio.TaskGroup() as tasks:

        def is_idle_after(seconds: float) -> bool:
            return exchange.call.look_at(at.now_s + seconds) <= at.now_s + seconds

        exchange.connection.pause_writing()
        sending = tasks.create_task(exchange.call.write_large(REQUEST, bytes(LARGE + 1)))
        await a_turn()
        at.now_s += 8.0
        exchange.push(CHUNKED, b"1\r\na\r\n")
        assert (False, True) == (is_idle_after(9.0), is_idle_after(10.0))

        at.now_s += 8.0
        exchange.connection.resume_writing()
        await sending
        assert (False, True) == (is_idle_after(9.0), is_idle_after(10.0))

        at.now_s += 8.0
        exchange.push(b"1\r\nb\r\n")
        assert (False, True) == (is_idle_after(9.0), is_idle_after(10.0))


@pytest.mark.parametrize(("total_s", "within_s"), [(600.0, 1.0), (4.5, 0.5)])
async def test_a_call_that_waited_for_its_connection_is_not_looked_at_before_it_can_be_late(
    total_s: float, within_s: float
) -> None:
    """A full pool would look at all of its calls for each that has a connection at last."""
    looks_at = list[float]()

    class Noted(Watch):
        def begin(self, call: Watched, at: float) -> None:
            looks_at.append(at)

    async with an_exchange() as exchange:
        limits = Timeouts(first_byte_s=1.0, total_s=total_s)
        terms = Terms.of(asyncio.get_running_loop(), Noted(), limits, streamed=True)
        OpenCall(exchange.connection, terms, began_at=96.0, now=100.0, has_body=True)

    assert [100.0 + within_s] == looks_at


async def test_a_whole_answer_is_late_no_more() -> None:
    """However long its reader leaves it there."""
    limits = Timeouts(idle_s=SHORT_S, total_s=SHORT_S)
    async with an_exchange(limits) as exchange, an_exchange(Timeouts(total_s=2 * SHORT_S)) as other:
        exchange.push(CHUNKED, b"1\r\na\r\n0\r\n\r\n")
        assert Failure.TOTAL_TIMEOUT is await ended(other.call.chunk())  # so that time has passed here

        assert (b"a", []) == (await exchange.call.read(1), exchange.line.keeper.failures)


async def test_a_whole_answer_wakes_its_reader_once() -> None:
    """A task that is woken for every part costs more than reading them."""
    async with an_exchange() as exchange:
        reading = exchange.call.read(LIMIT).__await__()
        exchange.push(OK + b"content-length: 4\r\n\r\n")
        waited_for = reading.send(None)
        for piece in (b"a", b"b", b"c"):
            exchange.push(piece)
            assert not waited_for.done()
        exchange.push(b"d")

        assert waited_for.done()
        with pytest.raises(StopIteration) as returned:
            reading.send(None)
        assert b"abcd" == returned.value.value


async def test_a_whole_answer_beyond_what_may_wait_is_read_without_a_pause() -> None:
    """Whoever wants all of it is not slow; but its limit holds while it comes."""
    async with an_exchange() as exchange, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(ended(exchange.call.read(3 * HIGH_WATER)))
        await asyncio.sleep(0)
        exchange.push(CHUNKED)
        for _ in range(6):
            exchange.push(b"20000\r\n%b\r\n" % bytes(0x20000))
        assert exchange.line.is_read
        exchange.push(b"1\r\na\r\n")

        assert (Failure.TOO_LARGE, True) == (await reading, exchange.line.is_aborted)


async def a_turn() -> None:
    """Everything that is ready now has run."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_a_request_that_is_sent_soon_is_sent_at_the_end_of_the_turn_and_once() -> None:
    """What is ready beside it runs first, and then all of it goes out together."""
    outbox = a_busy_outbox()
    async with an_exchange(request=b"") as exchange:
        exchange.call.write_soon(REQUEST, outbox)
        assert ([], False) == (exchange.line.written, exchange.call.is_written)

        await a_turn()
        outbox.flush()
        assert ([REQUEST], True) == (exchange.line.written, exchange.call.is_written)


async def test_an_answer_to_a_request_that_was_sent_soon_is_read_and_the_connection_kept() -> None:
    """It is a call like any other."""
    async with an_exchange(request=b"") as exchange:
        exchange.call.write_soon(REQUEST, a_busy_outbox())
        await a_turn()
        exchange.push(OK + b"content-length: 2\r\n\r\nab")

        assert b"ab" == await exchange.call.read(LIMIT)
        assert [True] == exchange.line.keeper.kept


async def test_requests_are_sent_in_the_order_in_which_they_were_made() -> None:
    """Whoever asks first is served first."""
    outbox, sent = a_busy_outbox(), list[bytes]()
    async with an_exchange(request=b"") as one, an_exchange(request=b"") as other:
        one.line.written = other.line.written = sent
        other.call.write_soon(b"first", outbox)
        one.call.write_soon(b"second", outbox)
        await a_turn()

    assert [b"first", b"second"] == sent


@pytest.mark.parametrize("how", ["closed by us", "closing", "lost", "the next call's"])
async def test_nothing_is_sent_on_a_connection_that_was_given_up_meanwhile(how: str) -> None:
    """Nobody would read the answer, and it would be paid for; or somebody else would read it."""
    outbox = a_busy_outbox()
    async with an_exchange(request=b"") as exchange:
        exchange.call.write_soon(REQUEST, outbox)
        match how:
            case "closed by us":
                exchange.call.close()
            case "closing":
                exchange.line.abort()
            case "lost":
                exchange.end()
            case _:
                exchange.connection.call = Answer()
        outbox.flush()

        assert ([], False) == (exchange.line.written, exchange.call.is_written)


async def test_a_connection_that_is_lost_takes_no_request() -> None:
    """The caller hears of it at once, while nothing was sent."""
    async with an_exchange(request=b"") as exchange:
        exchange.end()
        with pytest.raises(CallFailed, match="broken"):
            exchange.call.write_soon(REQUEST, a_busy_outbox())


async def test_an_answer_before_the_request_was_sent_does_not_keep_its_connection() -> None:
    """A server that answers what nobody has asked yet: the request, sent later, would get the next answer."""
    outbox = a_busy_outbox()
    async with an_exchange(request=b"") as exchange:
        exchange.call.write_soon(REQUEST, outbox)
        exchange.push(OK + b"content-length: 2\r\n\r\nab")
        outbox.flush()

        assert b"ab" == await exchange.call.read(LIMIT)
        assert ([False], []) == (exchange.line.keeper.kept, exchange.line.written)


async def test_an_answer_is_at_hand_when_all_of_it_is_there_and_within_the_limit() -> None:
    """Whoever has it does not wait for it; what is wrong with it is said by `read`."""
    async with an_exchange() as exchange:
        exchange.push(OK + b"content-length: 2\r\n\r\na")
        assert b"" == exchange.call.at_hand(LIMIT)
        exchange.push(b"b")

        assert (b"", b"ab", b"") == tuple(exchange.call.at_hand(limit) for limit in (1, 2, 2))
        assert b"" == await exchange.call.read(LIMIT)


@pytest.mark.parametrize("sent", [b"", OK + b"content-length: 2\r\n\r\na"])
async def test_half_an_answer_is_never_at_hand(sent: bytes) -> None:
    """It would look like a whole one."""
    async with an_exchange() as exchange:
        exchange.push(sent)
        exchange.end()

        assert b"" == exchange.call.at_hand(LIMIT)
        with pytest.raises(CallFailed, match="broken"):
            await exchange.call.read(LIMIT)


def told(exchange: Exchange, limit: int = LIMIT) -> asyncio.Future[Ended]:
    """What is said at the end to whoever has no task."""
    future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
    exchange.call.when_over(limit, future.set_result)
    return future


@pytest.mark.parametrize("parts", [[], [b""], [b"a", b"b"], [b"x" * 300_000, b"y" * 300_000]])
async def test_the_end_of_a_whole_answer_is_told_once_with_all_of_it(parts: list[bytes]) -> None:
    """However it comes; `set_result` would raise at a second time."""
    async with an_exchange() as exchange:
        waiting = told(exchange, 600_000)
        exchange.push(OK + b"content-length: %d\r\n\r\n" % sum(map(len, parts)))
        for part in parts:
            await asyncio.sleep(0)
            exchange.push(part)

        head, body = cast("tuple[Head, bytes]", await waiting)
        assert (200, b"".join(parts)) == (head.status, body)
        exchange.call.close()
        assert [True] == exchange.line.keeper.kept


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (OK + b"content-length: 11\r\n\r\n", Failure.TOO_LARGE),
        (CHUNKED + b"b\r\n01234567890\r\n", Failure.TOO_LARGE),
        (CHUNKED + b"b\r\n01234567890\r\n0\r\n\r\n", Failure.TOO_LARGE),
        (CHUNKED + b"1\r\na\r\n", Failure.BROKEN),
        (b"", Failure.BROKEN),
    ],
)
@pytest.mark.parametrize("asks_first", [False, True])
async def test_what_is_no_whole_answer_is_told_as_a_failure(sent: bytes, why: Failure, asks_first: bool) -> None:
    """As `read` has it, whether somebody asked before it came or after."""
    async with an_exchange() as exchange:
        waiting = told(exchange, 10) if asks_first else None
        exchange.push(sent)
        waiting = waiting or told(exchange, 10)
        if why is Failure.BROKEN:
            exchange.end()

        assert why is await waiting


async def test_whoever_waits_for_the_end_hears_of_a_call_that_is_closed_or_late() -> None:
    """Nobody waits for ever."""
    async with an_exchange() as exchange:
        waiting = told(exchange)
        exchange.call.close()
        assert Failure.BROKEN is await waiting

    async with an_exchange() as exchange:
        exchange.call.hurry(SHORT_S)
        assert Failure.FIRST_BYTE_TIMEOUT is await told(exchange)


@pytest.mark.parametrize("sent", [b"", CHUNKED, CHUNKED + b"1\r\na\r\n"])
async def test_a_call_in_a_hurry_is_late_however_far_its_answer_has_come(sent: bytes) -> None:
    """It is about the end: a slow answer is no better than none for whoever can ask another."""
    async with an_exchange() as exchange:
        exchange.push(sent)
        exchange.call.hurry(SHORT_S)

        assert Failure.FIRST_BYTE_TIMEOUT is await ended(exchange.call.read(LIMIT))
        assert ([Failure.FIRST_BYTE_TIMEOUT], True) == (exchange.line.keeper.failures, exchange.line.is_aborted)


async def test_a_hurry_gives_no_call_more_time_than_it_had() -> None:
    """The provider's own limits hold beside it."""
    async with an_exchange(Timeouts(total_s=SHORT_S)) as exchange:
        exchange.call.hurry(60.0)

        assert Failure.TOTAL_TIMEOUT is await ended(exchange.call.read(LIMIT))


async def test_a_connection_that_closes_without_an_answer_ends_none_that_has_no_length() -> None:
    """The answer before it had neither length nor body; that says nothing about this one."""
    async with an_exchange() as exchange:
        exchange.push(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert 204 == (await exchange.call.head()).status
        connection = exchange.connection
        loop = asyncio.get_running_loop()
        terms = Terms.of(loop, Watch(), Timeouts(), streamed=True)
        call = OpenCall(connection, terms, loop.time(), loop.time(), has_body=True)
        call.write(REQUEST)
        exchange.end()

        assert Failure.BROKEN is await ended(call.head())
