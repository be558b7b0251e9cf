"""What the SQL store promises beyond the contract: rollbacks over damage, clocks, and how much it remembers."""

import logging
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, make_url, select, update

from midshift.domain.exposure import Sum
from midshift.domain.upgrade import Event, Kind, apply
from midshift.errors import Fenced, StoreError
from midshift.store import documents, schema
from midshift.store.sql import SqlStore
from midshift.store.sqlite import SqliteDatabase
from midshift.store.tallies import REMEMBERED_BATCHES
from midshift.testing.contracts import LATER, START, Run, assert_whole
from tests.store.children import KEY


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a store that is not there yet."""
    return f"sqlite:///{tmp_path / 'store.db'}"


def damage(url: str, *statements: object) -> None:
    """Do to a store what no code of ours does."""
    with closing(SqliteDatabase(make_url(url))) as database, database.deciding() as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload] # any statement


@pytest.mark.parametrize(
    "harm",
    [
        update(schema.upgrades).values(state="{}"),
        update(schema.upgrades).values(state=schema.upgrades.c.began),
        insert(schema.events).values(
            upgrade="up-1",
            version=3,
            at=START,
            kind="?",
            who="",
            why="",
            what="",
            evidence="",
            policy="",
            machine_at=START,
        ),
    ],
    ids=["unreadable", "another state", "an event too many"],
)
def test_a_damaged_upgrade_keeps_nobody_on_the_candidate(
    url: str, harm: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The incumbent first; what is wrong with the log is somebody's work for the morning."""
    with SqlStore.open(url) as store:
        Run.begun(store).walk(Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)
        damage(url, harm)
        with caplog.at_level(logging.ERROR):
            rolled_back = store.roll_back("support", "ada", "users complain", START)

        assert (None, 0.0) == (rolled_back.candidate, rolled_back.share)
        assert rolled_back == store.route("support")


def test_events_carry_the_time_of_the_machine_as_well(url: str) -> None:
    """Playbook time may be scaled; an audit asks when it really was."""
    with SqlStore.open(url, machine_now=lambda: LATER) as store:
        run = Run.begun(store)
        run.step(Kind.EVAL_CLEARED)
        store.roll_back("support", "ada", "why", START + timedelta(days=3))

        assert [LATER, LATER] == [logged.machine_at for logged in store.events("up-1")]
        assert START + timedelta(days=3) == store.events("up-1")[-1].event.at
        assert {LATER} == {change.machine_at for change in store.route_changes("support")}


def test_by_default_the_time_is_the_machines(url: str) -> None:
    """A row of 1970 would be the first sign of a forgotten clock."""
    with SqlStore.open(url) as store:
        Run.begun(store)

        assert store.route_changes("support")[0].machine_at.year >= 2025


def test_an_event_is_never_written_twice_under_one_version(url: str) -> None:
    """The schema refuses what the code would have let pass."""
    with SqlStore.open(url) as store:
        Run.begun(store).step(Kind.EVAL_CLEARED)
    row = {"upgrade": "up-1", "version": 1, "at": START, "kind": "x", "who": "", "why": "", "what": ""}
    event = insert(schema.events).values(**row, evidence="", policy="", machine_at=START)

    with pytest.raises(Fenced, match="wrote the same row first"):
        damage(url, event)


@pytest.mark.parametrize(
    "statement",
    [
        update(schema.upgrades).values(active=True),
        update(schema.routes).values(candidate=None, share=0.5),
        update(schema.routes).values(share=1.5),
        update(schema.routes).values(incumbent="no-such-variant"),
    ],
    ids=["two active upgrades", "traffic for nobody", "more than all", "an unknown variant"],
)
def test_the_schema_refuses_by_itself(url: str, statement: object) -> None:
    """The last line of defence holds for every program that opens the file."""
    with SqlStore.open(url) as store:
        Run.begun(store).step(Kind.ROLLED_BACK)
        Run.begun(store, upgrade_id="up-2").walk(Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)

    with pytest.raises(StoreError):
        damage(url, statement)


def test_old_batches_are_forgotten_and_still_not_merged_again(url: str) -> None:
    """A row for each second of each gateway would be most of the store after a year."""
    one = {KEY: Sum(1, 1.0, 1.0)}
    with SqlStore.open(url) as store:
        assert store.merge_sums("g1", 1, one)
        assert store.merge_sums("g1", 2 + REMEMBERED_BATCHES, one)
        assert store.merge_sums("g1", 3, one)
        assert not store.merge_sums("g1", 1, one)
        assert not store.merge_sums("g1", 2, one)
        assert {KEY: Sum(3, 3.0, 3.0)} == store.sums("up-1")
    with closing(SqliteDatabase(make_url(url))) as database, database.reading() as connection:
        kept = connection.scalars(select(schema.sum_batches.c.sequence)).all()
    assert [3, 2 + REMEMBERED_BATCHES] == kept


def test_a_decision_with_text_that_no_database_takes_names_the_field(url: str) -> None:
    """It comes from a person, who can type it again."""
    with SqlStore.open(url) as store:
        run = Run.begun(store)
        event = Event(Kind.PAUSED, START, who="ada", why="half a \ud83c pizza")
        with pytest.raises(StoreError, match=r"why: found 'half a .ud83c pizza'"):
            store.commit(run.upgrade, apply(run.upgrade, event), event, {}, "p/1", None, None)
        assert run.upgrade == store.upgrade("up-1")


def test_decisions_go_on_in_the_hour_that_clocks_show_twice(url: str) -> None:
    """A halt on the last Sunday of October must not be refused because 02:30 in Berlin equals nothing in UTC."""
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    with SqlStore.open(url) as store:
        run = Run.begun(store, at=twice)
        assert run.upgrade != documents.in_utc(run.upgrade)  # the trap
        event = Event(Kind.PAUSED, twice, "ada", "it is late")
        paused = apply(run.upgrade, event)
        store.commit(run.upgrade, paused, event, {}, "p/1", None, None)
        store.roll_back("support", "ada", "why", twice)

        assert [Kind.PAUSED, Kind.ROLLED_BACK] == [logged.event.kind for logged in store.events("up-1")]
        assert [twice.timestamp()] * 2 == [logged.event.at.timestamp() for logged in store.events("up-1")]
        assert_whole(store)
