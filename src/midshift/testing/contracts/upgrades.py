"""Upgrades: an event, the state that it leads to and the routing row are written together or not at all.

Elsewhere: who may write (`leases`).
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from midshift.domain.plan import Plan
from midshift.domain.routing import Route
from midshift.domain.upgrade import Kind, Stage, apply, begin
from midshift.errors import Fenced, InvalidTransition, StoreError, UsageError
from midshift.ports import Standing
from midshift.testing.contracts.runs import (
    CANDIDATE,
    DAY,
    INCUMBENT,
    OTHER,
    START,
    TO_SOAK,
    Check,
    MakeStore,
    Run,
    assert_whole,
    refused,
    taken,
)


def _a_whole_upgrade_comes_back_as_it_was_decided(make_store: MakeStore) -> None:
    """The log is the proof: what was decided, on what, by whom, under which policy, and what users got."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        assert store.upgrade("up-1") == store.active_upgrade("support") == run.upgrade
        for kind in (*TO_SOAK, Kind.SOAK_COMPLETED):
            run.step(kind, evidence={"kind": kind, "bounds": (-0.02, float("inf")), "n": 312})
            assert store.upgrade("up-1") == run.upgrade
            assert_whole(store)
        assert run.upgrade.stage is Stage.DONE
        assert store.active_upgrade("support") is None
        assert store.standing("support") == Standing(store.route("support"), None)
        last = store.events("up-1")[-1]
        assert last.evidence == {"kind": "soak_completed", "bounds": [-0.02, "inf"], "n": 312}
        assert (last.policy, last.event.who, last.event.why) == ("p/1", "ada", "because")
        assert [upgrade.id for upgrade in store.upgrades()] == ["up-1"]
        refused(StoreError, lambda: store.upgrade("unheard-of"))
        assert list(store.events("unheard-of")) == []


def _a_workload_has_one_active_upgrade(make_store: MakeStore) -> None:
    """Two at a time would each judge the other's traffic."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        refused(StoreError, lambda: Run.begun(store, upgrade_id="up-2"))
        Run.begun(store, workload="billing", upgrade_id="up-3")
        assert [upgrade.id for upgrade in store.upgrades()] == ["up-1", "up-3"]
        run.step(Kind.ROLLED_BACK)
        Run.begun(store, upgrade_id="up-2")
        refused(StoreError, lambda: Run.begun(store, workload="third", upgrade_id="up-1"))
        assert_whole(store)


def _an_upgrade_begins_only_from_what_serves(make_store: MakeStore) -> None:
    """Its evidence compares with the incumbent, so that must be the one that users have."""
    with closing(make_store()) as store:
        store.put_variant(OTHER)
        store.put_variant(INCUMBENT)
        store.put_route(Route("support", OTHER.id, 1), 0)
        upgrade = begin("up-1", "support", INCUMBENT.id, CANDIDATE.id, Plan(), START, "salt")
        refused(Fenced, lambda: store.start_upgrade(upgrade, None))
        later = replace(upgrade, version=3)
        refused(UsageError, lambda: store.start_upgrade(later, None))
        assert list(store.upgrades()) == []


def _a_decision_on_an_old_state_is_not_written(make_store: MakeStore) -> None:
    """Two controllers read the same state; only one of their decisions may become history."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        other = Run(store, run.upgrade)
        run.step(Kind.EVAL_CLEARED)
        standing = store.standing("support")
        refused(Fenced, lambda: other.step(Kind.EVAL_FAILED))
        refused(Fenced, lambda: other.step(Kind.EVAL_CLEARED))
        forged = Run(store, replace(run.upgrade, salt="forged"))
        refused(Fenced, lambda: forged.step(Kind.SHADOW_COMPLETED))
        assert store.standing("support") == standing
        assert len(store.events("up-1")) == 1
        assert_whole(store)


def _a_decision_on_an_old_route_is_not_written(make_store: MakeStore) -> None:
    """Somebody may change the routing row by hand between a controller's reading and its writing."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        event = run.event(Kind.EVAL_CLEARED)
        after = apply(run.upgrade, event)
        route = run.route_after(after)
        store.put_route(replace(route, candidate=None, shadow_share=0.0, noise_share=0.0), route.epoch - 1)
        refused(Fenced, lambda: store.commit(run.upgrade, after, event, {}, "p/1", route, None))
        assert store.upgrade("up-1") == run.upgrade
        assert list(store.events("up-1")) == []


def _an_event_that_cannot_happen_is_not_written(make_store: MakeStore) -> None:
    """Neither a transition that the table does not have, nor a state that the event does not lead to."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        promoted = replace(run.upgrade, stage=Stage.DONE, version=1)
        done = run.event(Kind.SOAK_COMPLETED)
        refused(InvalidTransition, lambda: store.commit(run.upgrade, promoted, done, {}, "p/1", None, None))
        cleared = run.event(Kind.EVAL_CLEARED)
        refused(UsageError, lambda: store.commit(run.upgrade, promoted, cleared, {}, "p/1", None, None))
        assert store.upgrade("up-1") == run.upgrade


def _the_log_never_says_another_share_than_users_get(make_store: MakeStore) -> None:
    """A halt without its routing row would be a halt on paper."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        run.walk(Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)
        event = run.event(Kind.HALTED)
        halted = apply(run.upgrade, event)
        refused(UsageError, lambda: store.commit(run.upgrade, halted, event, {}, "p/1", None, None))
        route = run.route_after(halted)
        wrong = replace(route, candidate=run.upgrade.candidate, share=0.5)
        refused(UsageError, lambda: store.commit(run.upgrade, halted, event, {}, "p/1", wrong, None))
        foreign = replace(route, workload="billing")
        refused(UsageError, lambda: store.commit(run.upgrade, halted, event, {}, "p/1", foreign, None))
        assert store.upgrade("up-1") == run.upgrade
        run.step(Kind.HALTED)
        assert_whole(store)


def _a_remark_needs_no_route(make_store: MakeStore) -> None:
    """A pause or an approval changes nobody's answers, so gateways need not hear of it."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        run.walk(Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)
        route = store.route("support")
        event = replace(run.event(Kind.APPROVED), what="legal@25%")
        after = apply(run.upgrade, event)
        store.commit(run.upgrade, after, event, {}, "p/1", None, None)
        assert store.upgrade("up-1") == after
        assert store.route("support") == route
        assert_whole(store)


def _a_rollback_asks_nobody(make_store: MakeStore) -> None:
    """One write puts the incumbent everywhere, while a controller lives and whatever its clock says."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        lease = taken(store, "controller-1", START)
        for kind in TO_SOAK:
            run.step(kind, lease.epoch)
        before = store.route("support")
        assert before is not None
        assert before.share == 1.0
        rolled_back = store.roll_back("support", "ada", "users \ud800 complain", START - DAY)
        assert rolled_back == before.rolled_back() == store.route("support")
        last = store.events("up-1")[-1]
        assert (last.event.kind, last.event.who, last.event.at) == (Kind.ROLLED_BACK, "ada", run.upgrade.entered)
        assert store.upgrade("up-1").stage is Stage.ROLLED_BACK
        assert store.active_upgrade("support") is None
        refused(Fenced, lambda: run.step(Kind.SOAK_COMPLETED, lease.epoch))
        assert store.route("support") == rolled_back
        assert_whole(store)


def _a_rollback_needs_no_upgrade(make_store: MakeStore) -> None:
    """Whoever types it at three in the morning wants the incumbent, not a lesson."""
    with closing(make_store()) as store:
        store.put_variant(INCUMBENT)
        store.put_variant(CANDIDATE)
        route = Route("support", INCUMBENT.id, 1, CANDIDATE.id, share=0.5, salt="by hand")
        store.put_route(route, 0)
        assert store.roll_back("support", "ada", "to be safe", START) == route.rolled_back()
        assert store.roll_back("support", "ada", "again", START) == route.rolled_back().rolled_back()
        last = store.route_changes("support")[-1]
        assert (last.who, last.why) == ("ada", "again")
        refused(StoreError, lambda: store.roll_back("unheard-of", "ada", "typo", START))


CHECKS: tuple[Check, ...] = (
    _a_whole_upgrade_comes_back_as_it_was_decided,
    _a_workload_has_one_active_upgrade,
    _an_upgrade_begins_only_from_what_serves,
    _a_decision_on_an_old_state_is_not_written,
    _a_decision_on_an_old_route_is_not_written,
    _an_event_that_cannot_happen_is_not_written,
    _the_log_never_says_another_share_than_users_get,
    _a_remark_needs_no_route,
    _a_rollback_asks_nobody,
    _a_rollback_needs_no_upgrade,
)
