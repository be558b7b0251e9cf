"""A forced upgrade in the store: its record survives, its log replays, and its rollback leads to whoever answers."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine

from midshift.domain.forcing import Forced
from midshift.domain.plan import Plan
from midshift.domain.retirement import Source
from midshift.domain.routing import Route
from midshift.domain.upgrade import Event, Kind, Stage, Upgrade, apply, begin, replay, route_of
from midshift.domain.variant import Variant
from midshift.errors import UsageError
from midshift.store.migrations.run import config
from midshift.store.sql import SqlStore

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW, HARBOUR = (Variant("sim", name) for name in ("old", "new", "harbour"))
RECORD = Forced(
    "ada", "no time", date(2026, 2, 10), Source.LIVE_API, HARBOUR.id, "https://v/models", date(2026, 1, 1), "active"
)
TO_CANARY = (Kind.WAIVED, Kind.EVAL_WAIVED, Kind.SHADOW_COMPLETED)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """With the three variants, and the workload on the old one."""
    with SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        for variant in (OLD, NEW, HARBOUR):
            opened.put_variant(variant)
        opened.put_route(Route("support", OLD.id, 1), 0)
        yield opened


def begun(store: SqlStore) -> Upgrade:
    """An upgrade, forced by an event of its own."""
    upgrade = begin("up-1", "support", OLD.id, NEW.id, Plan(), DAY_0, "salt")
    store.start_upgrade(upgrade, route_of(upgrade, 2, None))
    return happened(store, upgrade, Event(Kind.FORCED, DAY_0, "ada", "no time", forced=RECORD))


def happened(store: SqlStore, before: Upgrade, event: Event, with_route: bool = True) -> Upgrade:
    """One event more, with the route of the state after it."""
    after, route = apply(before, event), store.route("support")
    assert route is not None
    moved = route_of(after, route.epoch + 1, None) if with_route else None
    store.commit(before, after, event, {}, "test", moved, None)
    return after


def in_canary(store: SqlStore) -> Upgrade:
    """A few days later, at the first step."""
    upgrade = begun(store)
    for day, kind in enumerate(TO_CANARY, start=1):
        upgrade = happened(store, upgrade, Event(kind, DAY_0 + timedelta(days=day), "ada", "no time", "*"))
    return upgrade


def test_the_record_comes_back_as_it_was_written_and_the_log_replays(store: SqlStore) -> None:
    """Who, why, since when, says who, and where to: it is read when everybody has forgotten."""
    upgrade = in_canary(store)
    logged = store.events("up-1")

    assert RECORD == logged[0].event.forced
    assert [None] * 3 == [entry.event.forced for entry in logged[1:]]
    assert upgrade == store.upgrade("up-1") == replay(store.began("up-1"), [entry.event for entry in logged])


def test_an_upgrade_may_begin_forced(store: SqlStore) -> None:
    """Then there is no moment in which a controller could stop it."""
    upgrade = begin("up-1", "support", OLD.id, NEW.id, Plan(), DAY_0, "salt", forced=RECORD)
    store.start_upgrade(upgrade, route_of(upgrade, 2, None))

    assert RECORD == store.upgrade("up-1").forced


@pytest.mark.parametrize(
    ("days", "expected"), [(39.99, OLD), (40.0, HARBOUR), (300.0, HARBOUR)], ids=["before", "on the day", "after"]
)
def test_a_rollback_leads_to_whoever_still_answers(store: SqlStore, days: float, expected: Variant) -> None:
    """With no controller alive since the canary began: one write, by the calendar."""
    in_canary(store)

    route = store.roll_back("support", "ada", "broken", DAY_0 + timedelta(days=days))

    assert (expected.id, None, 0.0) == (route.incumbent, route.candidate, route.share)
    assert route == store.route("support")
    ended = store.upgrade("up-1")
    assert (Stage.ROLLED_BACK, expected.id) == (ended.stage, ended.home)
    assert ended == replay(store.began("up-1"), [entry.event for entry in store.events("up-1")])


def test_after_the_retirement_the_row_itself_leads_to_the_harbour(store: SqlStore) -> None:
    """So that every gateway goes there by itself, with store and controller dead."""
    upgrade = in_canary(store)
    happened(store, upgrade, Event(Kind.INCUMBENT_RETIRED, DAY_0 + timedelta(days=40)))

    row = store.route("support")
    assert row is not None
    assert (HARBOUR.id, NEW.id, 0.01) == (row.incumbent, row.candidate, row.share)
    assert HARBOUR.id == store.roll_back("support", "ada", "broken", DAY_0).incumbent


def test_a_retirement_without_its_route_is_refused(store: SqlStore) -> None:
    """The log would say that users are safe while they are sent to a model that is gone."""
    upgrade = in_canary(store)

    with pytest.raises(UsageError, match="commit the route of that state along with it"):
        happened(store, upgrade, Event(Kind.INCUMBENT_RETIRED, DAY_0 + timedelta(days=40)), with_route=False)

    assert not store.upgrade("up-1").sheltered


def test_a_store_of_the_version_before_keeps_its_log(tmp_path: Path) -> None:
    """In mid-upgrade: an event that was written before knows nothing of a force."""
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.begin() as connection:
        command.upgrade(config(connection), "0004")
    engine.dispose()
    upgrade = begin("up-1", "support", OLD.id, NEW.id, Plan(), DAY_0, "salt")
    with closing(sqlite3.connect(tmp_path / "store.db")) as raw:
        from_before(raw, upgrade)

    with SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        (entry,) = store.events("up-1")
        assert Event(Kind.PAUSED, DAY_0, "ada", "lunch") == entry.event


def from_before(raw: sqlite3.Connection, upgrade: Upgrade) -> None:
    """The rows of an upgrade and its event, as version 0004 wrote them."""
    state = '{"format":"midshift.upgrade/1","value":{}}'
    at = "2026-01-01T00:00:00.000000+00:00"
    raw.execute(
        "INSERT INTO upgrades (id, workload, active, version, began, state) VALUES (?, 'support', 1, 1, ?, ?)",
        (upgrade.id, state, state),
    )
    raw.execute(
        "INSERT INTO events (upgrade, version, at, kind, who, why, what, evidence, policy, machine_at) "
        "VALUES (?, 1, ?, 'paused', 'ada', 'lunch', '', '{}', '', ?)",
        (upgrade.id, at, at),
    )
    raw.commit()
