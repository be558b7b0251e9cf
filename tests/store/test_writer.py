"""The one thread that writes measurements: many jobs to a commit, each with its own answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread

import pytest
from sqlalchemy import Connection, make_url, text

from midshift.errors import StoreError
from midshift.store.sqlite import SqliteDatabase
from midshift.store.writer import GroupWriter

FAILED = RuntimeError("this commit fails")


class Ledger:
    """A table of numbers in memory, and how often it was committed to."""

    def __init__(self) -> None:
        self.begins = self.commits = 0
        self.fails = self.is_locked = False
        self._database = SqliteDatabase(make_url("sqlite://"))
        with self._database.collecting() as connection:
            connection.execute(text("CREATE TABLE numbers (number INTEGER)"))

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, as a database of the store opens it."""
        self.begins += 1
        if self.is_locked:
            raise FAILED
        with self._database.collecting() as connection:
            yield connection
            if self.fails:
                raise FAILED
        self.commits += 1

    def numbers(self) -> list[int]:
        """What is committed."""
        with self._database.reading() as connection:
            return sorted(connection.scalars(text("SELECT number FROM numbers")))

    def close(self) -> None:
        """Let go of the memory."""
        self._database.close()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An empty one."""
    made = Ledger()
    yield made
    made.close()


def insert(connection: Connection, number: int) -> int:
    """A job."""
    connection.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})
    return number


def together(
    ledger: Ledger,
    jobs: list[Callable[[Connection], int]],
    hold_up: Callable[[Connection], int] = lambda connection: insert(connection, 0),
) -> list[object]:
    """What jobs answer or raise that all wait, in this order, while another one holds the writer up."""
    writer = GroupWriter(ledger.begin)
    begun, may_end = Event(), Event()

    def first(connection: Connection) -> int:
        begun.set()
        may_end.wait()
        return hold_up(connection)

    outcomes: dict[int, object] = {}

    def send(number: int) -> None:
        try:
            outcomes[number] = writer.run([first, *jobs][number])
        except (RuntimeError, StoreError) as error:
            outcomes[number] = error

    threads = [Thread(target=send, args=(number,)) for number in range(len(jobs) + 1)]
    for number, thread in enumerate(threads):
        thread.start()
        begun.wait()
        while writer.waiting() < number:
            thread.join(0.001)
    may_end.set()
    for thread in threads:
        thread.join()
    writer.close()
    return [outcomes[number] for number in range(1, len(threads))]


def test_what_comes_while_one_commits_goes_into_one_commit(ledger: Ledger) -> None:
    """A hundred gateways must not wait for a hundred syncs."""
    outcomes = together(ledger, [partial(insert, number=number) for number in range(1, 10)])

    assert list(range(1, 10)) == outcomes
    assert list(range(10)) == ledger.numbers()
    assert 2 == ledger.commits


def test_a_job_that_fails_takes_no_other_with_it(ledger: Ledger) -> None:
    """One gateway's bad batch is its own problem, to the last row of it."""

    def half(connection: Connection) -> int:
        insert(connection, 99)
        raise FAILED

    outcomes = together(ledger, [partial(insert, number=1), half, partial(insert, number=2)])

    assert [1, FAILED, 2] == outcomes
    assert [0, 1, 2] == ledger.numbers()


def test_a_job_that_fills_the_disk_takes_no_other_with_it(ledger: Ledger) -> None:
    """SQLite then undoes the whole transaction by itself: what came before in it must not be acknowledged and gone."""

    def fill(connection: Connection) -> int:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        connection.execute(text("INSERT INTO numbers VALUES (randomblob(100000))"))
        return 99

    first, full, last = together(ledger, [partial(insert, number=1), fill, partial(insert, number=2)])

    assert [1, 2] == [first, last]
    assert "the disk is full" in str(full)
    assert [0, 1, 2] == ledger.numbers()


def test_a_lock_that_cannot_be_had_is_waited_for_once(ledger: Ledger) -> None:
    """Each try takes ten seconds: a hundred batches must not take a quarter of an hour to hear of it."""

    def lock(connection: Connection) -> int:
        ledger.is_locked = True
        return insert(connection, 0)

    outcomes = together(ledger, [partial(insert, number=number) for number in range(1, 6)], hold_up=lock)

    assert [FAILED] * 5 == outcomes
    assert (2, [0]) == (ledger.begins, ledger.numbers())


def test_a_commit_that_fails_is_acknowledged_to_nobody(ledger: Ledger) -> None:
    """A full disk shows at the commit: nobody may believe that their batch is in."""
    writer = GroupWriter(ledger.begin)
    ledger.fails = True
    with pytest.raises(RuntimeError, match="this commit fails"):
        writer.run(lambda connection: insert(connection, 1))
    ledger.fails = False
    assert 2 == writer.run(lambda connection: insert(connection, 2))
    writer.close()

    assert [2] == ledger.numbers()


def test_closing_finishes_what_was_taken(ledger: Ledger) -> None:
    """A gateway that stops has sent its last second of sums just before."""
    writer = GroupWriter(ledger.begin)
    begun, may_end = Event(), Event()

    def slow(connection: Connection) -> int:
        begun.set()
        may_end.wait()
        return insert(connection, 1)

    sender, closer = Thread(target=writer.run, args=(slow,)), Thread(target=writer.close)
    sender.start()
    begun.wait()
    closer.start()
    may_end.set()
    closer.join()
    sender.join()

    assert [1] == ledger.numbers()
    with pytest.raises(StoreError, match="the store is closed"):
        writer.run(lambda connection: insert(connection, 2))


def test_a_writer_that_never_wrote_closes_too(ledger: Ledger) -> None:
    """Most commands only read or decide, and start no thread."""
    GroupWriter(ledger.begin).close()

    assert 0 == ledger.commits
