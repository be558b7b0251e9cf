"""SQLite itself: settings, errors that say what to do, readers beside a writer, a log that stays short."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, make_url
from sqlalchemy.event import listen, remove

from midshift.domain.exposure import Sum
from midshift.domain.gateways import GatewayProcess
from midshift.domain.upgrade import Kind, apply
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import StoreError, UsageError
from midshift.store.sql import SqlStore
from midshift.store.sqlite import SqliteDatabase
from midshift.store.sqlite_file import CHECKPOINT_BYTES, use_log
from midshift.testing.contracts import INCUMBENT, START, Run, assert_whole
from tests.store.children import KEY


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a store is, or will be."""
    return tmp_path / "store.db"


@pytest.fixture
def url(file: Path) -> str:
    """Its address."""
    return f"sqlite:///{file}"


def test_decisions_wait_for_the_disk_and_measurements_do_not(url: str) -> None:
    """The loss of power must not bring back a share that was rolled back; a second of sums it may take."""
    with closing(SqliteDatabase(make_url(url))) as database:
        with database.deciding() as decision, database.reading() as reading:
            assert "wal" == decision.exec_driver_sql("PRAGMA journal_mode").scalar()
            assert 2 == decision.exec_driver_sql("PRAGMA synchronous").scalar()
            assert 1 == decision.exec_driver_sql("PRAGMA foreign_keys").scalar()
            assert 10_000 == reading.exec_driver_sql("PRAGMA busy_timeout").scalar()
        with database.collecting() as measurement:
            assert 1 == measurement.exec_driver_sql("PRAGMA synchronous").scalar()


def test_nothing_of_an_interrupted_decision_stays(url: str) -> None:
    """Whatever goes wrong in the middle: all or nothing."""
    with SqlStore.open(url) as store:
        run = Run.begun(store)
        event = run.event(Kind.PAUSED)
        store.changed()
        with pytest.raises(StoreError, match="policy: found"):
            store.commit(run.upgrade, apply(run.upgrade, event), event, {}, "\0", None, None)
        assert not store.changed()
        assert run.upgrade == store.upgrade("up-1")


def test_readers_see_whole_decisions_while_they_are_written(url: str) -> None:
    """A dashboard that reads between event and routing row would show a share that nobody gets."""
    stopping = Event()
    torn: list[object] = []
    seen: list[int] = []

    def read(store: SqlStore) -> None:
        while not stopping.is_set():
            standing = store.standing("support")
            if standing.upgrade is not None and standing.route is not None:
                seen.append(standing.route.epoch)
                if standing.route.share != standing.upgrade.share:
                    torn.append(standing)

    with SqlStore.open(url) as store, SqlStore.open(url) as other:
        readers = [Thread(target=read, args=(opened,)) for opened in (store, other)]
        for reader in readers:
            reader.start()
        for number in range(8):
            run = Run.begun(store, upgrade_id=f"up-{number}")
            run.walk(Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED, Kind.HALTED, Kind.RESUMED, Kind.ROLLED_BACK)
        stopping.set()
        for reader in readers:
            reader.join()

        assert [] == torn
        assert seen
        assert_whole(store)


def test_the_log_is_folded_into_the_file(file: Path, url: str) -> None:
    """A log that only grows fills the disk, and makes every reader slower."""
    big = Variant("p", "m", Prompt(PromptMode.REPLACE, "x" * (CHECKPOINT_BYTES + 1)))
    with SqlStore.open(url) as store:
        store.put_variant(big)

        assert CHECKPOINT_BYTES > Path(f"{file}-wal").stat().st_size
        assert big == store.variant(big.id)


def test_a_reader_that_stays_does_not_stop_writers(file: Path, url: str) -> None:
    """A backup that reads for an hour may keep the log long, not the store shut."""
    with SqlStore.open(f"{url}?timeout=0.05") as store, closing(sqlite3.connect(file)) as backup:
        store.put_variant(INCUMBENT)
        backup.execute("BEGIN")
        backup.execute("SELECT count(*) FROM variants").fetchone()
        for letter in "abc":
            store.put_variant(Variant("p", letter, Prompt(PromptMode.REPLACE, letter * (CHECKPOINT_BYTES + 1))))
        assert [(1,)] == backup.execute("SELECT count(*) FROM variants").fetchall()
        assert CHECKPOINT_BYTES < Path(f"{file}-wal").stat().st_size


def test_a_locked_store_says_so(file: Path, url: str) -> None:
    """Somebody's open shell is the usual reason, and nothing else would tell."""
    with SqlStore.open(f"{url}?timeout=0.05") as store, closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for write in (lambda: store.put_variant(INCUMBENT), lambda: store.leave(GatewayProcess("g1"), START)):
            with pytest.raises(StoreError, match=r"held the write lock for too long.*fuser FILE"):
                write()
        assert [] == list(store.routes())


def test_measurements_give_way_to_a_decision(url: str) -> None:
    """Gateways that catch up after an outage write without a pause; a rollback must not wait until they are done."""
    merged: list[bool] = []
    with SqlStore.open(url) as store, SqlStore.open(f"{url}?timeout=0.01") as gateway:
        store.merge_sums("g0", 1, {KEY: Sum(1)})
        with closing(SqliteDatabase(make_url(url))) as database, database.deciding():
            thread = Thread(target=lambda: merged.append(gateway.merge_sums("g1", 1, {KEY: Sum(1)})))
            thread.start()
            thread.join(0.1)
            assert thread.is_alive()  # by itself it would have given up after ten milliseconds
        thread.join()

    assert [True] == merged


def test_a_decision_that_never_ends_stops_no_measurement_for_ever(url: str) -> None:
    """A process that somebody has stopped in the middle holds up evidence, but not without a word."""
    with SqlStore.open(f"{url}?timeout=0.01") as gateway, closing(SqliteDatabase(make_url(url))) as database:
        with database.deciding(), pytest.raises(StoreError, match="held the write lock for too long"):
            gateway.merge_sums("g1", 1, {KEY: Sum(1)})


def test_a_full_disk_takes_nothing_that_was_acknowledged(url: str) -> None:
    """It says what to do; what is there stays readable, and afterwards everything goes on."""
    with SqlStore.open(url) as store:
        run = Run.begun(store)
        store.merge_sums("g1", 1, {KEY: Sum(1, 1.0, 1.0)})
    with _disk_of_pages(_pages(url) + 1), SqlStore.open(url) as store:
        run.store = store
        with pytest.raises(StoreError, match=r"the disk is full, so nothing was written.*Free space"):
            for _ in range(200):
                run.step(Kind.PAUSED)
        with pytest.raises(StoreError, match="the disk is full"):
            store.merge_sums(
                "g1", 2, {KEY: Sum(1, 1.0, 1.0), **{replace(KEY, block=number): Sum(1) for number in range(256)}}
            )
        assert run.upgrade == store.upgrade("up-1")
        assert_whole(store)
    with SqlStore.open(url) as store:
        run.store = store
        run.step(Kind.EVAL_CLEARED)
        assert store.merge_sums("g1", 2, {KEY: Sum(1, 1.0, 1.0)})
        assert {KEY: Sum(2, 2.0, 2.0)} == store.sums("up-1")
        assert_whole(store)


def test_a_store_that_may_only_be_read_can_be_read(file: Path, url: str) -> None:
    """A copy on a read-only disk is evidence; writing says why it cannot."""
    with SqlStore.open(url) as writable:
        Run.begun(writable)
        with SqlStore.open(f"sqlite:///file:{file}?mode=ro&uri=true") as store:
            assert "up-1" == store.upgrade("up-1").id
            with pytest.raises(StoreError, match=r"cannot be written by this user.*chmod u\+w"):
                store.roll_back("support", "ada", "why", START)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The commonest mistake of a first deployment."""
    with pytest.raises(StoreError, match=r"store '.*nowhere/store.db': it cannot be opened.*mkdir -p FOLDER"):
        SqlStore.open(f"sqlite:///{tmp_path / 'nowhere' / 'store.db'}")


def test_a_file_that_is_no_database_is_left_alone(file: Path, url: str) -> None:
    """A typo in a path must not cost anybody a file."""
    file.write_text("a letter to my grandmother, longer than a header is" * 50)
    with pytest.raises(StoreError, match=r"no SQLite database.*Name another file"):
        SqlStore.open(url)

    assert file.read_text().startswith("a letter")


@pytest.mark.parametrize("address", ["postgresql://user:secret@db/midshift", "store.db", ""])
def test_another_kind_of_address_is_refused_without_repeating_it(address: str) -> None:
    """Addresses hold passwords, and errors end up in logs."""
    with pytest.raises(UsageError, match=r"expected sqlite:///FILE") as refused:
        SqlStore.open(address)

    assert "secret" not in str(refused.value)


@contextmanager
def _disk_of_pages(pages: int) -> Iterator[None]:
    """SQLite's own limit on the size of a file, for every connection that is made meanwhile."""

    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    listen(Engine, "connect", limit)
    try:
        yield
    finally:
        remove(Engine, "connect", limit)


def _pages(url: str) -> int:
    with closing(SqliteDatabase(make_url(url))) as database, database.reading() as connection:
        return int(connection.exec_driver_sql("PRAGMA page_count").scalar() or 0)


class Racing(sqlite3.Connection):
    """A connection to a new file that others, so many times, are just giving its log."""

    races = 2

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """The statement, or what SQLite says at once to all but one of them."""
        if sql == "PRAGMA journal_mode=WAL" and self.races:
            self.races -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(sql, parameters)


def test_of_all_who_make_a_new_store_at_once_none_is_refused(tmp_path: Path) -> None:
    """SQLite lets nobody wait who turns the log on, whatever its timeout: gateway and controller start together."""
    with closing(sqlite3.connect(tmp_path / "store.db", factory=Racing)) as connection:
        use_log(connection, "store", patience_s=1.0)
        assert "wal" == connection.execute("PRAGMA journal_mode").fetchone()[0]

    with closing(sqlite3.connect(tmp_path / "other.db", factory=Racing)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_log(connection, "store", patience_s=0.0)


def test_a_file_that_somebody_keeps_is_waited_for_once(tmp_path: Path) -> None:
    """SQLite's own patience at each of many tries would be hours."""
    with (
        closing(sqlite3.connect(tmp_path / "store.db")) as keeper,
        closing(sqlite3.connect(tmp_path / "store.db")) as us,
    ):
        keeper.execute("CREATE TABLE t (n)")
        keeper.execute("BEGIN IMMEDIATE")
        us.execute("PRAGMA busy_timeout=3600000")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_log(us, "store", patience_s=0.01)
        assert 10 == us.execute("PRAGMA busy_timeout").fetchone()[0]

        keeper.rollback()
        use_log(us, "store", patience_s=0.01)
        assert "wal" == us.execute("PRAGMA journal_mode").fetchone()[0]
