"""Leases: one controller decides, and whoever looks can see whether one is there.

Elsewhere: what is decided (`upgrades`).
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from midshift.domain.routing import Route
from midshift.domain.upgrade import Kind
from midshift.errors import Fenced
from midshift.testing.contracts.runs import (
    DAY,
    INCUMBENT,
    LATER,
    START,
    TTL,
    Check,
    MakeStore,
    Run,
    assert_whole,
    refused,
    taken,
)


def _only_the_holder_of_the_last_lease_decides(make_store: MakeStore) -> None:
    """A controller that was asleep for a minute still believes in its lease; the store must not."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        refused(Fenced, lambda: run.step(Kind.EVAL_CLEARED, lease_epoch=1))
        old = taken(store, "a", START)
        assert store.take_lease("b", START + TTL / 2, TTL) is None
        new = taken(store, "b", START + TTL)
        assert new.epoch > old.epoch
        refused(Fenced, lambda: run.step(Kind.EVAL_CLEARED, lease_epoch=old.epoch))
        refused(Fenced, lambda: store.extend_routes(LATER, old.epoch))
        assert store.upgrade("up-1") == run.upgrade
        run.step(Kind.EVAL_CLEARED, lease_epoch=new.epoch)
        assert_whole(store)


def _a_lease_is_kept_by_renewing_and_passed_on_by_releasing(make_store: MakeStore) -> None:
    """A clean stop hands over at once; a restart of the same owner need not wait for itself."""
    with closing(make_store()) as store:
        first = taken(store, "a", START)
        renewed = store.renew(first, START + TTL / 2, TTL)
        assert renewed == replace(first, until=START + TTL / 2 + TTL, looked_at=START + TTL / 2)
        assert store.take_lease("b", START + TTL, TTL) is None
        restarted = taken(store, "a", START + TTL)
        assert restarted.epoch > first.epoch
        refused(Fenced, lambda: store.renew(first, START + TTL, TTL))
        store.release(first, START)
        assert store.take_lease("b", START + TTL, TTL) is None
        store.release(restarted, START + TTL)
        assert taken(store, "b", START + TTL).epoch > restarted.epoch
        assert store.take_lease("a", START + TTL, TTL) is None


def _extending_routes_changes_no_routing(make_store: MakeStore) -> None:
    """A sign of life every few seconds must not look like a new decision."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        run.walk(Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)
        store.put_route(Route("billing", INCUMBENT.id, 1), 0)
        before = store.route("support")
        assert before is not None
        until = LATER + DAY
        store.extend_routes(until, taken(store, "a", START).epoch)
        assert store.route("support") == replace(before, lease_until=until)
        assert store.route("billing") == Route("billing", INCUMBENT.id, 1)


def _a_lease_says_when_its_holder_looked(make_store: MakeStore) -> None:
    """Whoever looks must see that nobody decides, while the old lease still lies there."""
    with closing(make_store()) as store:
        assert store.lease() is None
        lease = taken(store, "controller-1", START)
        assert store.lease() == lease
        renewed = store.renew(lease, LATER, TTL)
        assert (renewed.looked_at, store.lease()) == (LATER, renewed)
        store.release(renewed, LATER)
        last = store.lease()
        assert last is not None
        assert (last.owner, last.until, last.looked_at) == ("controller-1", LATER, LATER)


CHECKS: tuple[Check, ...] = (
    _only_the_holder_of_the_last_lease_decides,
    _a_lease_is_kept_by_renewing_and_passed_on_by_releasing,
    _extending_routes_changes_no_routing,
    _a_lease_says_when_its_holder_looked,
)
