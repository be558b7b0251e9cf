"""What serves: variants, routing rows, and the definitions that they come from.

Elsewhere: routing rows that an upgrade moves (`upgrades`), the sign of life that they carry (`leases`).
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone

from midshift.domain.routing import Other, Route
from midshift.domain.variant import Prompt, PromptMode
from midshift.errors import Fenced, StoreError, UsageError
from midshift.ports import Definition
from midshift.testing.contracts.runs import CANDIDATE, DAY, INCUMBENT, LATER, OTHER, START, Check, MakeStore, refused


def _a_variant_comes_back_whole_and_is_stored_once(make_store: MakeStore) -> None:
    """A flip never reads a file: what an id names must be in the store, to the last character."""
    with closing(make_store()) as store:
        odd = replace(CANDIDATE, prompt=Prompt(PromptMode.REPLACE, "\ud800 \0 é 漢 \U0001f355\n"))
        for variant in (CANDIDATE, odd, CANDIDATE):
            assert store.put_variant(variant) == variant.id
            assert store.variant(variant.id) == variant
            assert store.variant(variant.id).parameters == variant.parameters
        refused(StoreError, lambda: store.variant("no-such-hash"))


def _a_route_comes_back_exactly(make_store: MakeStore) -> None:
    """Shares and salts decide who gets what: a rounded one would reassign users."""
    with closing(make_store()) as store:
        zone = timezone(timedelta(hours=5, minutes=45))
        route = Route(
            "support",
            store.put_variant(INCUMBENT),
            1,
            store.put_variant(CANDIDATE),
            share=0.1 + 0.2,
            shadow_share=1e-300,
            salt="sält",
            step=3,
            upgrade="up-1",
            lease_until=datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=zone),
            noise_share=0.1 + 0.7,
            pair_share=1e-300,
            reverse_share=1.0,
            others=(Other(store.put_variant(OTHER), 0.3),),
            rings=("opt-in", "staff"),
        )
        store.put_route(route, 0)
        assert store.route("support") == route
        assert list(store.routes()) == [route]
        assert store.route("unheard-of") is None


def _a_route_is_replaced_only_by_who_read_it_last(make_store: MakeStore) -> None:
    """Two people with two terminals: the second must look again, not overwrite."""
    with closing(make_store()) as store:
        first = Route("support", store.put_variant(INCUMBENT), 1)
        store.put_route(first, 0)
        refused(Fenced, lambda: store.put_route(first, 0))
        second = replace(first, epoch=2, salt="mine")
        store.put_route(second, 1)
        refused(Fenced, lambda: store.put_route(replace(first, epoch=2, salt="late"), 1))
        refused(UsageError, lambda: store.put_route(replace(first, epoch=9), 2))
        refused(Fenced, lambda: store.put_route(replace(first, epoch=9), 8))
        assert store.route("support") == second
        assert [change.route for change in store.route_changes("support")] == [first, second]


def _a_route_names_only_variants_that_are_stored(make_store: MakeStore) -> None:
    """A gateway that cannot find what it is told to serve serves nothing."""
    with closing(make_store()) as store:
        refused(StoreError, lambda: store.put_route(Route("support", INCUMBENT.id, 1), 0))
        named = Route("support", store.put_variant(INCUMBENT), 1, store.put_variant(CANDIDATE))
        refused(StoreError, lambda: store.put_route(replace(named, others=(Other(OTHER.id, 0.1),)), 0))
        assert list(store.routes()) == []


def _a_change_is_noticed_and_quiet_is_not(make_store: MakeStore) -> None:
    """Gateways ask ten times a second: a missed change serves the wrong variant, a false one costs a read."""
    with closing(make_store()) as store:
        assert store.changed()
        assert not store.changed()
        store.put_variant(INCUMBENT)
        store.put_route(Route("support", INCUMBENT.id, 1), 0)
        assert store.changed()
        store.routes()
        assert not store.changed()


def _definitions_are_kept_and_the_newest_is_shown(make_store: MakeStore) -> None:
    """What was applied, when and by whom is an audit's first question; the same again is no event."""
    with closing(make_store()) as store:
        first = Definition("support", "h1", {"claims": ["m"], "nested": {"a": None}}, START, "ada", "c0ffee")
        second = replace(first, hash="h2", applied_at=START + DAY, who="bob", git_commit=None)
        other = replace(first, workload="billing")
        store.apply_definitions([first, other], [INCUMBENT])
        store.apply_definitions([second])
        store.apply_definitions([replace(second, applied_at=LATER, who="carol")])
        assert list(store.definitions()) == [other, second]
        assert store.variant(INCUMBENT.id) == INCUMBENT


def _an_apply_never_moves_traffic(make_store: MakeStore) -> None:
    """A re-apply after a rollback keeps the rollback, and an incumbent changes only through an upgrade."""
    with closing(make_store()) as store:
        first = Route("support", INCUMBENT.id, 1)
        store.apply_definitions([], [INCUMBENT, OTHER], [first])
        assert store.route("support") == first
        rolled_back = store.roll_back("support", "ada", "smells", START)
        store.apply_definitions([], [], [first])
        assert store.route("support") == rolled_back
        definition = Definition("support", "h", {}, START, "ada")
        changed = replace(first, incumbent=OTHER.id)
        refused(StoreError, lambda: store.apply_definitions([definition], [], [changed]))
        assert list(store.definitions()) == []


CHECKS: tuple[Check, ...] = (
    _a_variant_comes_back_whole_and_is_stored_once,
    _a_route_comes_back_exactly,
    _a_route_is_replaced_only_by_who_read_it_last,
    _a_route_names_only_variants_that_are_stored,
    _a_change_is_noticed_and_quiet_is_not,
    _definitions_are_kept_and_the_newest_is_shown,
    _an_apply_never_moves_traffic,
)
