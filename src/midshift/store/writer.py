"""One thread that writes measurements, many to a transaction.

A commit costs the same for one job as for a hundred, and a database has one writer at a time: callers queue here
instead of there. A job is acknowledged after the commit that it was part of; one that fails takes no other with it.
A job may be run again, so it must depend on nothing but the database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from midshift.errors import StoreError

C = TypeVar("C")
T = TypeVar("T")
_Entry: TypeAlias = "tuple[Callable[[C], Any], Future[Any]]"

MOST_PER_COMMIT = 256


class GroupWriter(Generic[C]):
    """Runs jobs in transactions that `begin` opens, on its connection. The thread starts with the first job."""

    def __init__(self, begin: Callable[[], AbstractContextManager[C]]) -> None:
        self._begin = begin
        self._queue: SimpleQueue[_Entry[C] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def run(self, job: Callable[[C], T]) -> T:
        """What the job returns, once it is committed.

        Raises:
            StoreError: if the writer is closed, or the commit failed; and whatever the job raises.
        """
        done: Future[T] = Future()
        with self._starting:  # nothing may enter the queue behind the order to stop
            if self._closed:
                raise StoreError("the store is closed: open it again (SqlStore.open)")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="midshift-store-writer", daemon=True)
                self._thread.start()
            self._queue.put((job, done))
        return done.result()

    def waiting(self) -> int:
        """How many jobs no transaction has taken yet."""
        return self._queue.qsize()

    def close(self) -> None:
        """Finish every job that was taken."""
        with self._starting:
            self._closed = True
            thread, self._thread = self._thread, None
            self._queue.put(None)
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, goes_on = self._gather(first)
            self._commit(batch)
            if not goes_on:
                return

    def _gather(self, first: _Entry[C]) -> tuple[list[_Entry[C]], bool]:
        batch = [first]
        while len(batch) < MOST_PER_COMMIT:
            try:
                entry = self._queue.get_nowait()
            except Empty:
                break
            if entry is None:
                return batch, False
            batch.append(entry)
        return batch, True

    def _commit(self, batch: list[_Entry[C]]) -> None:
        """All in one transaction; if that fails, each in its own, so that each hears only its own fault.

        No savepoints: a full disk ends SQLite's whole transaction, and what came before in it would be lost unnoticed.
        """
        has_begun = False
        try:
            with self._begin() as connection:
                has_begun = True
                results = [job(connection) for job, _ in batch]
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the job
            if has_begun and len(batch) > 1:
                for entry in batch:
                    self._commit([entry])
            else:  # also where the lock could not be had: waiting for it again for each would take minutes
                for _, done in batch:
                    done.set_exception(error)
            return
        for (_, done), result in zip(batch, results, strict=True):
            done.set_result(result)
