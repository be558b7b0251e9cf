"""Calls that may hang, each on a thread of its own that no process waits for when it ends.

Contract. At most so many calls are under way, those that hang among them: a store that takes nothing costs so many
threads and no more. Threads of a `ThreadPoolExecutor` are joined when the interpreter ends, however long that takes;
these are not (`threading.Thread.daemon`).
Elsewhere: what is called like this (feedback).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class AllHang(Exception):
    """As many calls as may be are under way, or the system has no thread for one more."""


class Apart:
    """Room for `limit` calls at once."""

    def __init__(self, limit: int, name: str) -> None:
        self._free = threading.Semaphore(limit)
        self._name = name

    def begin(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Begin a call, which goes on if nobody waits for it any more; what it gives or raises.

        Raises:
            AllHang: if there is no room for it.
        """
        if not self._free.acquire(blocking=False):
            raise AllHang
        given: Future[T] = Future()
        try:
            threading.Thread(target=self._run, args=(call, given), name=self._name, daemon=True).start()
        except RuntimeError:
            self._free.release()
            raise AllHang from None
        return asyncio.wrap_future(given)

    def _run(self, call: Callable[[], T], given: Future[T]) -> None:
        try:
            if given.set_running_or_notify_cancel():
                _settle(call, given)
        finally:
            self._free.release()


def _settle(call: Callable[[], T], given: Future[T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - it is whoever waits for the call that is told
        given.set_exception(error)
    else:
        given.set_result(result)
