"""The public contract, on each database that the store runs on."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import pytest

from midshift.domain.exposure import HistogramKey, Sum, SumKey
from midshift.domain.histogram import Histogram
from midshift.domain.routing import Route
from midshift.domain.upgrade import Event, Upgrade
from midshift.domain.variant import Variant
from midshift.errors import StoreError
from midshift.store.sql import SqlStore
from midshift.testing.contracts import OTHER, STORE_CHECKS, Check, check_store, name_of


@pytest.mark.parametrize("check", STORE_CHECKS, ids=name_of)
def test_a_store_in_a_file_keeps_the_contract(check: Check, tmp_path: Path) -> None:
    """The store of a machine: many processes share this file."""
    check(lambda: SqlStore.open(f"sqlite:///{tmp_path / 'store.db'}"))


@pytest.mark.parametrize("check", STORE_CHECKS, ids=name_of)
def test_a_store_in_memory_keeps_the_contract(check: Check) -> None:
    """The store of a demo: it must not behave better or worse than the real one."""
    check(lambda: SqlStore.open("sqlite://"))


class Forgetful(SqlStore):
    """Counts a batch again each time that it comes."""

    def merge_sums(
        self,
        gateway: str,
        sequence: int,
        sums: Mapping[SumKey, Sum],
        histograms: Mapping[HistogramKey, Histogram] = MappingProxyType({}),
    ) -> bool:
        """Never remembers a number."""
        return super().merge_sums(gateway, (self.last_sequence(gateway) or 0) + 1, sums, histograms)


class Trusting(SqlStore):
    """Lets anyone decide who ever had a lease."""

    def commit(
        self,
        before: Upgrade,
        after: Upgrade,
        event: Event,
        evidence: Mapping[str, object],
        policy: str,
        route: Route | None,
        lease_epoch: int | None,
    ) -> None:
        """Never looks at the lease."""
        super().commit(before, after, event, evidence, policy, route, None)


class Hesitant(SqlStore):
    """Rolls back the route and forgets the upgrade."""

    def roll_back(self, workload: str, who: str, why: str, at: datetime) -> Route:
        """Never closes the upgrade."""
        route = self.route(workload)
        if route is None:
            raise StoreError("no route")
        self.put_route(route.rolled_back(), route.epoch)
        return route.rolled_back()


class Confused(SqlStore):
    """Finds a variant under every hash, and always the same."""

    def variant(self, variant_id: str) -> Variant:
        """Never looks."""
        return OTHER


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Forgetful, "sums add up exactly once"),
        (Trusting, "only the holder of the last lease decides"),
        (Hesitant, "a rollback asks nobody"),
    ],
)
def test_the_kit_finds_a_store_that_breaks_a_promise(broken: type[SqlStore], promise: str) -> None:
    """A check that cannot fail protects nothing."""
    [check] = [check for check in STORE_CHECKS if name_of(check) == promise]

    with pytest.raises(AssertionError):
        check(lambda: broken.open("sqlite://"))


def test_the_whole_kit_runs_in_one_call() -> None:
    """Whoever writes a store of their own calls it once, and hears of the first broken promise."""
    with pytest.raises(AssertionError):
        check_store(lambda: Confused.open("sqlite://"))
