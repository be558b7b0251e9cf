"""How the tables come to be: from nothing, once, and never over something that is not ours."""

import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, create_mock_engine, text
from sqlalchemy.schema import ExecutableDDLElement

from midshift.domain.exposure import Exposure, Fate, HistogramKey, Sum, SumKey
from midshift.domain.gateways import GatewayProcess, GatewayReport
from midshift.domain.histogram import Histogram, bucket_of
from midshift.domain.routing import Arm, Route
from midshift.domain.sums import Sums, rows
from midshift.domain.variant import Variant
from midshift.errors import StoreError
from midshift.store.migrations.run import config
from midshift.store.schema import METADATA
from midshift.store.sql import SqlStore
from midshift.store.versions import HEAD, KNOWN, VERSION_TABLE


def test_migrating_from_nothing_gives_the_tables_of_the_schema(tmp_path: Path) -> None:
    """The code reads and writes by the schema; a store of a user comes about by migrations."""
    SqlStore.open(f"sqlite:///{tmp_path / 'migrated.db'}").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    METADATA.create_all(engine)
    engine.dispose()

    migrated = tables(tmp_path / "migrated.db")
    assert {"version_num"} <= migrated.pop(VERSION_TABLE)[0].keys()
    assert tables(tmp_path / "created.db") == migrated


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    """Every command opens the store."""
    for _ in range(3):
        SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}").close()

    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert [(HEAD,)] == connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()


def test_a_store_of_the_first_version_keeps_its_routes(tmp_path: Path) -> None:
    """In the middle of an upgrade: who gets what must not change, and nothing is answered unseen that was not."""
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.begin() as connection:
        command.upgrade(config(connection), "0001")
        for variant in ("old", "new"):
            connection.execute(text("INSERT INTO variants VALUES (:id, '{}')"), {"id": variant})
        connection.execute(
            text("INSERT INTO routes VALUES ('support', 7, 'old', 'new', 0.25, 0.5, 'salt', 3, 'up-1', :until)"),
            {"until": "2026-03-02T09:30:00.000000+00:00"},
        )
    engine.dispose()
    lease = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

    with SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        assert Route("support", "old", 7, "new", 0.25, 0.5, "salt", 3, "up-1", lease) == store.route("support")


def test_what_was_measured_before_is_still_there_and_goes_on(tmp_path: Path) -> None:
    """In the middle of a canary: every number as it was, whichever version of a gateway adds the next."""
    key = SumKey("support", "up-1", 1, Arm.CANDIDATE, "*", "latency_s", 3)
    said = {
        replace(key, metric=metric, block=block, slice=part): Sum(5 + block, 0.1 * block + 1 / 3, 1e-7 / 3)
        for metric in ("error", "latency_s", "satisfaction", "of_another_version")
        for block in range(3)
        for part in ("*", "german")
    }
    about = HistogramKey("support", "up-1", 1, Arm.CANDIDATE, "*", "latency_s")
    counted = Histogram.of([1e-9, 0.25, 0.25, 0.26, 1.0, 1e9])
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.begin() as connection:
        command.upgrade(config(connection), "0005")
        for row in rows(said):
            connection.exec_driver_sql(f"INSERT INTO sums VALUES ({', '.join('?' * len(row))})", row)
        for bucket, n in counted.buckets.items():
            connection.exec_driver_sql(
                "INSERT INTO histograms VALUES ('up-1', 1, 'candidate', '*', 'latency_s', 'support', ?, ?)", (bucket, n)
            )
    engine.dispose()

    with SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        assert said == store.sums("up-1")
        assert {about: counted} == store.histograms("up-1")

        batch = Sums()
        batch.add(Exposure("r", "support", 1, Fate.CANDIDATE, Arm.CANDIDATE, "up-1", 1, block=1, latency_s=0.25))
        assert store.merge_sums("g1", 1, batch.by_key, batch.histograms)
        with closing(sqlite3.connect(tmp_path / "store.db")) as older:
            older.execute("UPDATE sums SET n = n + 1 WHERE metric = 'error' AND block = 1 AND slice = '*'")
            older.execute("UPDATE histograms SET n = n + 1 WHERE bucket = ?", (bucket_of(0.25),))
            older.commit()
        together = Sums()
        for added in (said, batch.by_key, {replace(key, metric="error", block=1): Sum(1)}):
            together.merge(added)
        assert together.by_key == store.sums("up-1")
        assert {about: Histogram(counted.buckets + Counter({bucket_of(0.25): 2}))} == store.histograms("up-1")


@pytest.mark.parametrize(
    "change",
    ["noise_share = 1.5", "pair_share = -0.1", "reverse_share = 2", "candidate = NULL, share = 0, noise_share = 0.1"],
)
def test_the_database_itself_refuses_a_share_that_cannot_be(tmp_path: Path, change: str) -> None:
    """A row that was written by hand, or by another program."""
    old, new = Variant("p", "old"), Variant("p", "new")
    with SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        store.put_variant(old)
        store.put_variant(new)
        store.put_route(Route("support", old.id, 1, new.id, share=0.1), 0)

    with closing(sqlite3.connect(tmp_path / "store.db")) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(f"UPDATE routes SET {change}")


def test_a_gateway_of_the_version_before_is_heard_although_another_has_its_name(tmp_path: Path) -> None:
    """While gateways are exchanged one by one, a rollback must see those that are not yet."""
    at = datetime(2026, 3, 2, tzinfo=UTC)
    with closing(SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}")) as store:
        with closing(sqlite3.connect(tmp_path / "store.db")) as earlier, earlier:
            earlier.execute("INSERT INTO gateway_reports VALUES ('g1', 'support', 3, ?)", (at.isoformat(),))
        assert [GatewayReport("g1", "support", 3, at)] == list(store.reports())

        new = GatewayProcess("g1", "a")
        store.report(new, {}, at)
        store.enter(new, [], at)
        assert [GatewayReport("g1", "support", 3, at)] == list(store.reports())


def test_the_known_versions_are_those_of_the_migrations() -> None:
    """A step that is not listed would be refused as written by a newer midshift."""
    script = ScriptDirectory.from_config(config())

    assert list(KNOWN) == [step.revision for step in reversed(list(script.walk_revisions()))]
    assert [HEAD] == script.get_heads()


def test_the_migrations_lie_in_the_package() -> None:
    """An installed midshift has no repository to take them from."""
    assert len(KNOWN) == len(
        [step for step in files("midshift.store.migrations.versions").iterdir() if step.name[:1] == "v"]
    )


def test_a_store_of_a_newer_midshift_is_not_touched(tmp_path: Path) -> None:
    """After a downgrade, guessing at columns would damage what the newer one wrote."""
    SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}").close()
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        connection.commit()
    with pytest.raises(StoreError, match=r"has schema '9999', expected at most .*pip install --upgrade midshift"):
        SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}")

    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert [("9999",)] == connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()


def test_a_database_of_something_else_is_not_touched(tmp_path: Path) -> None:
    """An address copied from another program must not fill that program's database with tables."""
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute("CREATE TABLE invoices (number INTEGER)")
        connection.commit()
    with pytest.raises(StoreError, match=r"no midshift store: it has tables \(invoices\)"):
        SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}")

    assert {"invoices"} == set(tables(tmp_path / "store.db"))


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """A store between two versions is one that no midshift can open."""
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.execute(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)")
        connection.execute("CREATE TABLE sums (in_the_way INTEGER)")
        connection.commit()
    with pytest.raises(StoreError, match="table sums already exists"):
        SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}")

    assert {VERSION_TABLE, "sums"} == set(tables(tmp_path / "store.db"))


def test_the_schema_is_one_that_postgresql_understands() -> None:
    """The second database is to be a dialect, not a rewrite: moments keep their zone, one active upgrade is a rule."""
    statements: list[ExecutableDDLElement] = []
    engine = create_mock_engine("postgresql+psycopg://", lambda statement, *_: statements.append(statement))
    METADATA.create_all(engine, checkfirst=False)
    said = [str(statement.compile(dialect=engine.dialect)) for statement in statements]

    assert len(METADATA.tables) == len([one for one in said if "CREATE TABLE" in one])
    assert "CREATE UNIQUE INDEX ix_upgrades_one_active ON upgrades (workload) WHERE active" in said
    assert any("machine_at TIMESTAMP WITH TIME ZONE NOT NULL" in one for one in said)
    assert not any("DATETIME" in one for one in said)


def tables(path: Path) -> dict[str, tuple[dict[str, str], set[str]]]:
    """Each table: its columns with what is said of them, and everything else that is said of it."""
    with closing(sqlite3.connect(path)) as connection:
        statements = connection.execute(
            "SELECT tbl_name, type, sql FROM sqlite_master WHERE sql IS NOT NULL"
        ).fetchall()
    found: dict[str, tuple[dict[str, str], set[str]]] = {}
    for table, kind, sql in statements:
        columns, rules = found.setdefault(table, ({}, set()))
        if kind == "index":
            rules.add(" ".join(sql.split()))
            continue
        body, _, options = sql.partition("(")[2].rpartition(")")
        rules.add(options.strip())
        added = r", (?=\w+ [A-Z]+(?:\(\d+\))?\s*(?:,|$))"  # SQLite adds a column without a new line
        for part in re.split(rf",\s*\n|{added}", body):
            words = " ".join(part.split())
            if words.startswith("CONSTRAINT"):
                rules.add(words)
            else:
                name, _, said = words.partition(" ")
                columns[name.strip('"')] = said
    return found
