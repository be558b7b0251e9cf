"""What every store must hold to, as checks that anyone can run on their own.

    @pytest.mark.parametrize("check", STORE_CHECKS, ids=name_of)
    def test_my_store_keeps_the_contract(check, tmp_path):
        check(lambda: MyStore.open(...))

A check asks for one empty store, raises AssertionError where the store breaks a promise of `ports.Store`, and closes
it. There is a module for each thing that a store keeps: `serving`, `upgrades`, `leases`, `sums`, `gateways`.
Elsewhere: what only a real machine can show, such as crashes and two processes (the tests of each store).
"""

from __future__ import annotations

from midshift.domain.exposure import Sum
from midshift.errors import StoreError
from midshift.testing.contracts import gateways, leases, serving, sums, upgrades
from midshift.testing.contracts.runs import (
    CANDIDATE,
    INCUMBENT,
    KEY,
    LATER,
    OTHER,
    START,
    TO_SOAK,
    Check,
    MakeStore,
    Run,
    assert_whole,
    refused,
)

__all__ = [
    "CANDIDATE",
    "INCUMBENT",
    "LATER",
    "OTHER",
    "START",
    "STORE_CHECKS",
    "TO_SOAK",
    "Check",
    "MakeStore",
    "Run",
    "assert_whole",
    "check_store",
    "name_of",
]


def _a_closed_store_refuses(make_store: MakeStore) -> None:
    """A write into nowhere that looks like success would be the worst answer."""
    store = make_store()
    store.put_variant(INCUMBENT)
    store.close()
    store.close()
    refused(StoreError, lambda: store.put_variant(INCUMBENT))
    refused(StoreError, lambda: store.merge_sums("g1", 1, {KEY: Sum(1, 1.0, 1.0)}))
    refused(StoreError, store.routes)
    refused(StoreError, store.changed)


STORE_CHECKS: tuple[Check, ...] = (
    *serving.CHECKS,
    *upgrades.CHECKS,
    *leases.CHECKS,
    *sums.CHECKS,
    *gateways.CHECKS,
    _a_closed_store_refuses,
)
"""Every promise, in the order in which a new store is best made to keep them."""


def check_store(make_store: MakeStore) -> None:
    """Run every check, each on an empty store of its own.

    Raises:
        AssertionError: where a promise is broken.
    """
    for check in STORE_CHECKS:
        check(make_store)


def name_of(check: Check) -> str:
    """The promise that a check is about, in words."""
    return check.__name__.lstrip("_").replace("_", " ")
