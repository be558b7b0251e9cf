"""A gateway's side of the store: the same promises on the same file, without an SQL toolkit."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import pytest

from midshift.domain.exposure import HistogramKey, Sum, SumKey
from midshift.domain.gateways import GatewayProcess, GatewayReport, Told
from midshift.domain.histogram import Histogram
from midshift.domain.routing import Route
from midshift.domain.upgrade import Upgrade
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import StoreError
from midshift.ports import Definition
from midshift.store.gateway_side import GatewaySide, is_current
from midshift.store.sql import SqlStore
from midshift.store.sqlite_file import CHECKPOINT_BYTES, Location
from midshift.store.versions import VERSION_TABLE
from midshift.testing.contracts import INCUMBENT, START, STORE_CHECKS, Check, name_of
from tests.store.children import KEY


class BothSides(SqlStore):
    """A store whose gateway's calls take the gateway's way: whatever the contract asks of them holds there too."""

    side: GatewaySide

    @classmethod
    def on(cls, file: Path) -> BothSides:
        """Both on one file."""
        store = cls.open(f"sqlite:///{file}")
        store.side = GatewaySide(Location(str(file)))
        return store

    def close(self) -> None:
        """Close both."""
        self.side.close()
        super().close()

    def changed(self) -> bool:
        """As a gateway asks."""
        return self.side.changed()

    def definitions(self) -> Sequence[Definition]:
        """As a gateway asks."""
        return self.side.definitions()

    def routes(self) -> Sequence[Route]:
        """As a gateway asks."""
        return self.side.routes()

    def upgrades(self) -> Sequence[Upgrade]:
        """As a gateway asks."""
        return self.side.upgrades()

    def variant(self, variant_id: str) -> Variant:
        """As a gateway asks."""
        return self.side.variant(variant_id)

    def merge_sums(
        self,
        gateway: str,
        sequence: int,
        sums: Mapping[SumKey, Sum],
        histograms: Mapping[HistogramKey, Histogram] = MappingProxyType({}),
    ) -> bool:
        """As a gateway writes."""
        return self.side.merge_sums(gateway, sequence, sums, histograms)

    def last_sequence(self, gateway: str) -> int | None:
        """As a gateway asks."""
        return self.side.last_sequence(gateway)

    def take_feedback(self, request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
        """As a gateway writes."""
        return self.side.take_feedback(request, workload, at, sums)

    def enter(self, process: GatewayProcess, dead: Collection[str], at: datetime) -> None:
        """As a gateway writes."""
        self.side.enter(process, dead, at)

    def report(self, process: GatewayProcess, told: Mapping[str, Told], at: datetime) -> None:
        """As a gateway writes."""
        self.side.report(process, told, at)

    def leave(self, process: GatewayProcess, at: datetime) -> None:
        """As a gateway writes."""
        self.side.leave(process, at)

    def reports(self) -> Sequence[GatewayReport]:
        """As a gateway asks, before it takes a name."""
        return self.side.reports()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store's file, with its tables."""
    SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}").close()
    return tmp_path / "store.db"


@pytest.mark.parametrize("check", STORE_CHECKS, ids=name_of)
def test_a_gateways_side_keeps_the_contract(check: Check, tmp_path: Path) -> None:
    """Two ways into one file that differed would be two stores."""
    check(lambda: BothSides.on(tmp_path / "store.db"))


def test_measurements_give_way_to_the_disk_as_they_do_elsewhere(file: Path) -> None:
    """A file that one side wrote is opened by the other, with its log still there."""
    with GatewaySide(Location(str(file))) as side:
        assert side.merge_sums("gateway-1", 1, {KEY: Sum(2, 3.0, 5.0)})
        with SqlStore.open(f"sqlite:///{file}") as store:
            assert {KEY: Sum(2, 3.0, 5.0)} == store.sums(KEY.upgrade)
            assert side.changed()
            store.put_variant(INCUMBENT)
            assert side.changed()
            assert not side.changed()
            assert INCUMBENT == side.variant(INCUMBENT.id)


def test_a_long_log_is_folded_by_a_gateway_too(file: Path) -> None:
    """Gateways write most: if they left it to others, nobody would."""
    big = Variant("p", "m", Prompt(PromptMode.REPLACE, "x" * (CHECKPOINT_BYTES + 1)))
    with closing(sqlite3.connect(file)) as other, GatewaySide(Location(str(file))) as side:
        other.execute("PRAGMA wal_autocheckpoint=0")
        other.execute("INSERT INTO variants (id, content) VALUES (?, ?)", ("x", big.prompt.text))
        other.commit()
        assert CHECKPOINT_BYTES < Path(f"{file}-wal").stat().st_size

        side.report(GatewayProcess("gateway-1"), {"support": Told(1)}, START)

        assert CHECKPOINT_BYTES > Path(f"{file}-wal").stat().st_size


def test_a_log_that_cannot_be_folded_stops_no_writer(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A backup reads for an hour; sums go on, and the log is folded when it has left."""
    caplog.set_level(logging.WARNING)
    with closing(sqlite3.connect(file)) as other, GatewaySide(Location(str(file), 0.05)) as side:
        other.execute("PRAGMA wal_autocheckpoint=0")
        other.execute("INSERT INTO variants (id, content) VALUES (?, ?)", ("x", "x" * (CHECKPOINT_BYTES + 1)))
        other.commit()
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM variants").fetchone()

        assert side.merge_sums("gateway-1", 1, {KEY: Sum(1, 1.0, 1.0)})
        assert side.merge_sums("gateway-1", 2, {KEY: Sum(1, 1.0, 1.0)})
        assert 2 == side.last_sequence("gateway-1")


def test_a_writer_that_waits_too_long_is_told_who_to_look_for(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other, GatewaySide(Location(str(file), 0.01)) as side:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"write lock for too long.*fuser FILE"):
            side.report(GatewayProcess("gateway-1"), {"support": Told(1)}, START)
        other.rollback()
        assert [] == list(side.reports())

        side.report(GatewayProcess("gateway-1"), {"support": Told(1)}, START)
        assert ["gateway-1"] == [report.gateway for report in side.reports()]


def test_only_tables_that_are_known_are_current(file: Path, tmp_path: Path) -> None:
    """Whatever else is there is for `SqlStore.open` to bring up to date, or to refuse with a reason."""
    other = tmp_path / "other.db"
    assert is_current(Location(str(file)))
    assert not is_current(Location(str(other)))
    assert not other.exists()

    other.write_bytes(b"no database at all, and long enough to be asked about")
    assert not is_current(Location(str(other)))

    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
        connection.commit()
    assert not is_current(Location(str(file)))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("sqlite:////srv/store.db", Location("/srv/store.db")),
        ("sqlite:///store.db?timeout=2.5", Location("store.db", 2.5)),
        ("sqlite+pysqlite:///a b.db", Location("a b.db")),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file:store.db?uri=true", None),
        ("sqlite:///store.db?cache=shared", None),
        ("postgresql://user:word@host/store", None),
        ("store.db", None),
    ],
)
def test_an_address_is_a_file_or_for_somebody_else(address: str, expected: Location | None) -> None:
    """What is no plain file goes to the toolkit, which knows more of addresses."""
    assert expected == Location.of(address)
