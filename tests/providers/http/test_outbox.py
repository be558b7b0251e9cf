"""What is sent at the end of a turn of the loop."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

import pytest

from midshift.providers.http.outbox import Outbox


class Sent:
    """What was sent, in its order."""

    def __init__(self) -> None:
        self.all: list[bytes] = []

    def take(self, data: bytes) -> None:
        self.all.append(data)

    def take_and_put(self, outbox: Outbox, data: bytes) -> None:
        """One that has something more to send."""
        self.all.append(data)
        outbox.put(self.take, b"more")


def a_busy_outbox() -> Outbox:
    """One into which something was put in this turn."""
    outbox = Outbox()
    outbox.put(lambda _: None, b"")
    return outbox


async def test_who_is_alone_does_not_wait() -> None:
    """A turn of the loop is a tenth of a millisecond on a machine with nothing else to do."""
    outbox, sent = Outbox(), Sent()
    for number in range(3):
        outbox.put(sent.take, b"%d" % number)
        assert number + 1 == len(sent.all)
        await asyncio.sleep(0)


async def test_things_are_sent_in_the_order_in_which_they_were_put_in() -> None:
    """Parts of one answer go through here."""
    outbox, sent = a_busy_outbox(), Sent()
    for number in range(5):
        outbox.put(sent.take, b"%d" % number)
    assert [] == sent.all

    await asyncio.sleep(0)
    assert [b"0", b"1", b"2", b"3", b"4"] == sent.all


async def test_what_is_ready_runs_first() -> None:
    """That is what the outbox is for: first work, then send."""
    outbox, sent = Outbox(), Sent()
    loop = asyncio.get_running_loop()
    for number in range(3):
        loop.call_soon(outbox.put, sent.take, b"%d" % number)
    loop.call_soon(lambda: sent.take(b"work"))

    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [b"0", b"work", b"1", b"2"] == sent.all


async def test_things_are_sent_before_the_loop_looks_at_its_sockets_a_second_time() -> None:
    """What comes in meanwhile must not hold up what is ready to go out."""
    outbox, sent = a_busy_outbox(), Sent()
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    looks = asyncio.Queue[list[bytes]]()
    with ours, theirs:
        theirs.send(b"x")  # and nobody reads it: the loop finds it whenever it looks
        outbox.put(sent.take, b"a")
        loop.add_reader(ours, lambda: looks.put_nowait(list(sent.all)))
        _, second = await looks.get(), await looks.get()
        loop.remove_reader(ours)

    assert [b"a"] == second


async def test_one_that_cannot_be_sent_keeps_no_other_back(caplog: pytest.LogCaptureFixture) -> None:
    """It would be the last that this gateway ever sends."""

    def broken(_: bytes) -> None:
        raise RuntimeError("the handle is closed")

    outbox, sent = a_busy_outbox(), Sent()
    outbox.put(broken, b"a")
    outbox.put(sent.take, b"b")
    await asyncio.sleep(0)
    outbox.put(sent.take, b"c")

    assert [b"b", b"c"] == sent.all
    assert ["something could not be sent"] == [record.message for record in caplog.records]


async def test_a_flush_sends_at_once_and_once() -> None:
    """A head that must go out before a task waits, say."""
    outbox, sent = a_busy_outbox(), Sent()
    outbox.put(sent.take, b"a")
    outbox.flush()
    assert [b"a"] == sent.all

    outbox.flush()
    await asyncio.sleep(0)
    assert [b"a"] == sent.all


async def test_what_is_put_in_after_a_flush_is_sent_as_well() -> None:
    """In the same turn, and in any later one."""
    outbox, sent = a_busy_outbox(), Sent()
    outbox.put(sent.take, b"a")
    outbox.flush()
    outbox.put(sent.take, b"b")
    await asyncio.sleep(0)
    assert [b"a", b"b"] == sent.all

    outbox.put(sent.take, b"c")
    outbox.put(sent.take, b"d")
    await asyncio.sleep(0)
    assert [b"a", b"b", b"c", b"d"] == sent.all


async def test_what_is_put_in_while_things_are_sent_is_sent_next() -> None:
    """A send may end a call, and that may begin another."""
    outbox, sent = a_busy_outbox(), Sent()
    outbox.put(partial(sent.take_and_put, outbox), b"a")
    outbox.put(sent.take, b"b")

    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [b"a", b"b", b"more"] == sent.all

    outbox.put(sent.take, b"c")
    assert [b"a", b"b", b"more", b"c"] == sent.all
