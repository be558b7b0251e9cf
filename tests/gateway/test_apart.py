"""Calls that may hang: so many and no more, and no process waits for them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from midshift.gateway.apart import AllHang, Apart

HANGING = """
import asyncio, threading
from midshift.gateway.apart import Apart

async def main():
    begun = threading.Event()
    Apart(1, "test").begin(lambda: (begun.set(), threading.Event().wait()))
    await asyncio.to_thread(begun.wait)

asyncio.run(main())
"""


async def test_what_a_call_gives_or_raises_is_given_to_whoever_waits() -> None:
    """As if it had been made here."""

    def failing() -> int:
        raise ZeroDivisionError

    apart = Apart(2, "test")
    assert threading.main_thread() is not await apart.begin(threading.current_thread)
    with pytest.raises(ZeroDivisionError):
        await apart.begin(failing)


async def test_a_call_that_hangs_takes_its_room_until_it_ends() -> None:
    """Whoever waited for it may have left long ago: without a limit, a store that hangs would take every thread."""
    apart, go_on = Apart(1, "test"), threading.Event()
    hanging = apart.begin(go_on.wait)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(hanging), 0.0)
    with pytest.raises(AllHang):
        apart.begin(go_on.wait)

    go_on.set()
    assert await hanging
    assert await until_there_is_room(apart)


async def test_calls_that_fail_leave_their_room() -> None:
    """A store that is away for an hour fails thousands of times."""

    def failing() -> bool:
        raise ZeroDivisionError

    apart = Apart(1, "test")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await apart.begin(failing)
        assert await until_there_is_room(apart)


def test_a_process_ends_while_a_call_hangs() -> None:
    """An orchestrator would wait for its grace period, and then kill what had drained long before."""
    assert 0 == subprocess.run([sys.executable, "-c", HANGING], check=False, timeout=15).returncode


async def until_there_is_room(apart: Apart) -> bool:
    """Soon: a thread says what it has just before it is over."""
    while True:
        try:
            return await apart.begin(lambda: True)
        except AllHang:
            await asyncio.sleep(0)
