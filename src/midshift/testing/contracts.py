"""What every store must hold to, as checks that anyone can run on their own.

    @pytest.mark.parametrize("check", STORE_CHECKS, ids=name_of)
    def test_my_store_keeps_the_contract(check, tmp_path):
        check(lambda: MyStore.open(...))

A check asks for one empty store, raises AssertionError where the store breaks a promise of `ports.Store`, and closes
it. Elsewhere: what only a real machine can show, such as crashes and two processes (the tests of each store).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from threading import Thread
from typing import TypeAlias

from midshift.domain.exposure import Credit, Exposure, Fate, HistogramKey, Sum, SumKey, feedback_sums
from midshift.domain.gateways import GatewayProcess, GatewayReport, Told
from midshift.domain.histogram import Histogram
from midshift.domain.plan import Plan
from midshift.domain.routing import Arm, Other, Route
from midshift.domain.sums import Sums
from midshift.domain.upgrade import Event, Kind, Stage, Upgrade, apply, begin, replay, route_of, settled
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import Fenced, InvalidTransition, MidshiftError, StoreError, UsageError
from midshift.ports import Definition, Lease, Standing, Store

MakeStore: TypeAlias = Callable[[], Store]
Check: TypeAlias = Callable[[MakeStore], None]

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LATER = START + 400 * DAY
TTL = timedelta(seconds=10)
INCUMBENT = Variant("sim", "old-model")
CANDIDATE = Variant("sim", "new-model", Prompt(PromptMode.REPLACE, "Be brief."), "low", {"stop": ("a", {"b": 1.0})})
OTHER = Variant("sim", "other-model")
TO_SOAK = (
    Kind.EVAL_CLEARED,
    Kind.SHADOW_COMPLETED,
    Kind.STEP_ADVANCED,
    Kind.STEP_ADVANCED,
    Kind.FULLY_ROLLED_OUT,
)


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


@dataclass
class Run:
    """One upgrade of one workload in a store, walked from event to event. For checks, tests and demos."""

    store: Store
    upgrade: Upgrade

    @classmethod
    def begun(cls, store: Store, workload: str = "support", upgrade_id: str = "up-1", at: datetime = START) -> Run:
        """A workload with its routing row, and an upgrade of it that begins."""
        incumbent, candidate = store.put_variant(INCUMBENT), store.put_variant(CANDIDATE)
        current = store.route(workload)
        if current is None:
            current = Route(workload, incumbent, 1)
            store.put_route(current, 0)
        upgrade = begin(upgrade_id, workload, incumbent, candidate, Plan(), at, salt=f"salt-{upgrade_id}")
        store.start_upgrade(upgrade, route_of(upgrade, current.epoch + 1, None))
        return cls(store, upgrade)

    def event(self, kind: Kind) -> Event:
        """The next event, a day after the last."""
        return Event(kind, self.upgrade.entered + DAY, who="ada", why="because")

    def route_after(self, after: Upgrade) -> Route:
        """The next routing row."""
        route = self.store.route(after.workload)
        epoch = 1 if route is None else route.epoch + 1
        return settled(after, epoch) if after.stage.is_final else route_of(after, epoch, LATER)

    def step(self, kind: Kind, lease_epoch: int | None = None, evidence: Mapping[str, object] | None = None) -> Upgrade:
        """Commit one event with the routing row that it leads to."""
        event = self.event(kind)
        after = apply(self.upgrade, event)
        self.store.commit(self.upgrade, after, event, evidence or {}, "p/1", self.route_after(after), lease_epoch)
        self.upgrade = after
        return after

    def walk(self, *kinds: Kind) -> Upgrade:
        """Commit one event after the other."""
        for kind in kinds:
            self.step(kind)
        return self.upgrade


def assert_whole(store: Store) -> None:
    """Nothing in the store contradicts anything else, whatever happened to the processes that wrote it.

    Raises:
        AssertionError: where a state is not the replay of its events, or users get another share than it says.
    """
    for upgrade in store.upgrades():
        log = store.events(upgrade.id)
        assert [logged.version for logged in log] == list(range(1, upgrade.version + 1)), (upgrade, log)
        assert replay(store.began(upgrade.id), [logged.event for logged in log]) == upgrade, (upgrade, log)
        standing = store.standing(upgrade.workload)
        if standing.upgrade == upgrade:
            assert standing.route is not None
            assert standing.route.share == upgrade.share, standing
    for route in store.routes():
        changes = store.route_changes(route.workload)
        assert [change.route.epoch for change in changes] == list(range(1, route.epoch + 1)), (route, changes)
        for variant_id in (route.incumbent, route.candidate or route.incumbent):
            assert store.variant(variant_id).id == variant_id


def _a_variant_comes_back_whole_and_is_stored_once(make_store: MakeStore) -> None:
    """A flip never reads a file: what an id names must be in the store, to the last character."""
    with closing(make_store()) as store:
        odd = replace(CANDIDATE, prompt=Prompt(PromptMode.REPLACE, "\ud800 \0 é 漢 \U0001f355\n"))
        for variant in (CANDIDATE, odd, CANDIDATE):
            assert store.put_variant(variant) == variant.id
            assert store.variant(variant.id) == variant
            assert store.variant(variant.id).parameters == variant.parameters
        _refused(StoreError, lambda: store.variant("no-such-hash"))


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
        _refused(Fenced, lambda: store.put_route(first, 0))
        second = replace(first, epoch=2, salt="mine")
        store.put_route(second, 1)
        _refused(Fenced, lambda: store.put_route(replace(first, epoch=2, salt="late"), 1))
        _refused(UsageError, lambda: store.put_route(replace(first, epoch=9), 2))
        _refused(Fenced, lambda: store.put_route(replace(first, epoch=9), 8))
        assert store.route("support") == second
        assert [change.route for change in store.route_changes("support")] == [first, second]


def _a_route_names_only_variants_that_are_stored(make_store: MakeStore) -> None:
    """A gateway that cannot find what it is told to serve serves nothing."""
    with closing(make_store()) as store:
        _refused(StoreError, lambda: store.put_route(Route("support", INCUMBENT.id, 1), 0))
        named = Route("support", store.put_variant(INCUMBENT), 1, store.put_variant(CANDIDATE))
        _refused(StoreError, lambda: store.put_route(replace(named, others=(Other(OTHER.id, 0.1),)), 0))
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
        _refused(StoreError, lambda: store.apply_definitions([definition], [], [changed]))
        assert list(store.definitions()) == []


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
        _refused(StoreError, lambda: store.upgrade("unheard-of"))
        assert list(store.events("unheard-of")) == []


def _a_workload_has_one_active_upgrade(make_store: MakeStore) -> None:
    """Two at a time would each judge the other's traffic."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        _refused(StoreError, lambda: Run.begun(store, upgrade_id="up-2"))
        Run.begun(store, workload="billing", upgrade_id="up-3")
        assert [upgrade.id for upgrade in store.upgrades()] == ["up-1", "up-3"]
        run.step(Kind.ROLLED_BACK)
        Run.begun(store, upgrade_id="up-2")
        _refused(StoreError, lambda: Run.begun(store, workload="third", upgrade_id="up-1"))
        assert_whole(store)


def _an_upgrade_begins_only_from_what_serves(make_store: MakeStore) -> None:
    """Its evidence compares with the incumbent, so that must be the one that users have."""
    with closing(make_store()) as store:
        store.put_variant(OTHER)
        store.put_variant(INCUMBENT)
        store.put_route(Route("support", OTHER.id, 1), 0)
        upgrade = begin("up-1", "support", INCUMBENT.id, CANDIDATE.id, Plan(), START, "salt")
        _refused(Fenced, lambda: store.start_upgrade(upgrade, None))
        later = replace(upgrade, version=3)
        _refused(UsageError, lambda: store.start_upgrade(later, None))
        assert list(store.upgrades()) == []


def _a_decision_on_an_old_state_is_not_written(make_store: MakeStore) -> None:
    """Two controllers read the same state; only one of their decisions may become history."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        other = Run(store, run.upgrade)
        run.step(Kind.EVAL_CLEARED)
        standing = store.standing("support")
        _refused(Fenced, lambda: other.step(Kind.EVAL_FAILED))
        _refused(Fenced, lambda: other.step(Kind.EVAL_CLEARED))
        forged = Run(store, replace(run.upgrade, salt="forged"))
        _refused(Fenced, lambda: forged.step(Kind.SHADOW_COMPLETED))
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
        _refused(Fenced, lambda: store.commit(run.upgrade, after, event, {}, "p/1", route, None))
        assert store.upgrade("up-1") == run.upgrade
        assert list(store.events("up-1")) == []


def _an_event_that_cannot_happen_is_not_written(make_store: MakeStore) -> None:
    """Neither a transition that the table does not have, nor a state that the event does not lead to."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        promoted = replace(run.upgrade, stage=Stage.DONE, version=1)
        done = run.event(Kind.SOAK_COMPLETED)
        _refused(InvalidTransition, lambda: store.commit(run.upgrade, promoted, done, {}, "p/1", None, None))
        cleared = run.event(Kind.EVAL_CLEARED)
        _refused(UsageError, lambda: store.commit(run.upgrade, promoted, cleared, {}, "p/1", None, None))
        assert store.upgrade("up-1") == run.upgrade


def _the_log_never_says_another_share_than_users_get(make_store: MakeStore) -> None:
    """A halt without its routing row would be a halt on paper."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        run.walk(Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)
        event = run.event(Kind.HALTED)
        halted = apply(run.upgrade, event)
        _refused(UsageError, lambda: store.commit(run.upgrade, halted, event, {}, "p/1", None, None))
        route = run.route_after(halted)
        wrong = replace(route, candidate=run.upgrade.candidate, share=0.5)
        _refused(UsageError, lambda: store.commit(run.upgrade, halted, event, {}, "p/1", wrong, None))
        foreign = replace(route, workload="billing")
        _refused(UsageError, lambda: store.commit(run.upgrade, halted, event, {}, "p/1", foreign, None))
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


def _only_the_holder_of_the_last_lease_decides(make_store: MakeStore) -> None:
    """A controller that was asleep for a minute still believes in its lease; the store must not."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        _refused(Fenced, lambda: run.step(Kind.EVAL_CLEARED, lease_epoch=1))
        old = _taken(store, "a", START)
        assert store.take_lease("b", START + TTL / 2, TTL) is None
        new = _taken(store, "b", START + TTL)
        assert new.epoch > old.epoch
        _refused(Fenced, lambda: run.step(Kind.EVAL_CLEARED, lease_epoch=old.epoch))
        _refused(Fenced, lambda: store.extend_routes(LATER, old.epoch))
        assert store.upgrade("up-1") == run.upgrade
        run.step(Kind.EVAL_CLEARED, lease_epoch=new.epoch)
        assert_whole(store)


def _a_lease_is_kept_by_renewing_and_passed_on_by_releasing(make_store: MakeStore) -> None:
    """A clean stop hands over at once; a restart of the same owner need not wait for itself."""
    with closing(make_store()) as store:
        first = _taken(store, "a", START)
        renewed = store.renew(first, START + TTL / 2, TTL)
        assert renewed == replace(first, until=START + TTL / 2 + TTL, looked_at=START + TTL / 2)
        assert store.take_lease("b", START + TTL, TTL) is None
        restarted = _taken(store, "a", START + TTL)
        assert restarted.epoch > first.epoch
        _refused(Fenced, lambda: store.renew(first, START + TTL, TTL))
        store.release(first, START)
        assert store.take_lease("b", START + TTL, TTL) is None
        store.release(restarted, START + TTL)
        assert _taken(store, "b", START + TTL).epoch > restarted.epoch
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
        store.extend_routes(until, _taken(store, "a", START).epoch)
        assert store.route("support") == replace(before, lease_until=until)
        assert store.route("billing") == Route("billing", INCUMBENT.id, 1)


def _a_rollback_asks_nobody(make_store: MakeStore) -> None:
    """One write puts the incumbent everywhere, while a controller lives and whatever its clock says."""
    with closing(make_store()) as store:
        run = Run.begun(store)
        lease = _taken(store, "controller-1", START)
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
        _refused(Fenced, lambda: run.step(Kind.SOAK_COMPLETED, lease.epoch))
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
        _refused(StoreError, lambda: store.roll_back("unheard-of", "ada", "typo", START))


def _sums_add_up_exactly_once(make_store: MakeStore) -> None:
    """A gateway that got no answer sends its batch again: that must not count its users twice."""
    with closing(make_store()) as store:
        first, second = _key(), replace(_key(), arm=Arm.INCUMBENT, block=7)
        assert store.last_sequence("g1") is None
        assert store.merge_sums("g1", 1, {first: Sum(2, 3.0, 5.0), second: Sum(1, 0.1, 0.01)})
        assert not store.merge_sums("g1", 1, {first: Sum(2, 3.0, 5.0)})
        assert store.merge_sums("g2", 1, {first: Sum(1, -1.0, 1.0)})
        assert store.merge_sums("g1", 3, {first: Sum(1, 1.0, 1.0)})
        assert store.merge_sums("g1", 2, {})
        assert not store.merge_sums("g1", 2, {first: Sum(1, 1.0, 1.0)})
        assert store.last_sequence("g1") == 3
        assert store.merge_sums("g1", 4, {replace(first, upgrade="up-2"): Sum(9, 9.0, 9.0)})
        assert store.sums("up-1") == {first: Sum(4, 3.0, 7.0), second: Sum(1, 0.1, 0.01)}
        assert store.sums("unheard-of") == {}


def _histograms_add_up_with_their_sums(make_store: MakeStore) -> None:
    """A batch that is merged once is merged once as a whole, or a p99 would come of other requests than its mean."""
    with closing(make_store()) as store:
        key = HistogramKey("support", "up-1", 1, Arm.CANDIDATE, "*", "latency_s")
        other = replace(key, slice="german")
        first, second = Histogram.of([0.5, 0.5, 2.0]), Histogram.of([2.0])
        assert store.merge_sums("g1", 1, {_key(): Sum(3, 3.0, 4.5)}, {key: first, other: second})
        assert not store.merge_sums("g1", 1, {}, {key: first})
        assert store.merge_sums("g2", 1, {}, {key: second, replace(key, upgrade="up-2"): first})
        both = Histogram.of([0.5, 0.5, 2.0, 2.0])
        assert store.histograms("up-1") == {key: both, other: second}
        assert store.histograms("up-1", ("latency_s",), ("*",)) == {key: both}
        assert store.histograms("up-1", ("ttft_s",)) == {}


def _the_first_feedback_on_a_request_counts(make_store: MakeStore) -> None:
    """Over all gateways, and with its sums or not at all."""
    with closing(make_store()) as store:
        said = {_key(): Sum(1, 1.0, 1.0)}
        _refused(
            MidshiftError, lambda: store.take_feedback("r-1", "support", START, {_key(): Sum(1, float("inf"), 1.0)})
        )
        assert store.take_feedback("r-1", "support", START, said)
        assert not store.take_feedback("r-1", "support", START + DAY, {_key(): Sum(1, 0.0, 0.0)})
        assert store.take_feedback("r-2", "support", START + DAY, {})
        assert store.sums("up-1") == said
        threads = [Thread(target=store.take_feedback, args=("r-3", "support", START + DAY, said)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.sums("up-1") == {_key(): Sum(2, 2.0, 2.0)}


def _a_batch_with_a_number_that_is_none_changes_nothing(make_store: MakeStore) -> None:
    """One NaN would spoil a sum for the rest of the upgrade."""
    with closing(make_store()) as store:
        good = {_key(): Sum(1, 1.0, 1.0)}
        bad = {**good, replace(_key(), block=9): Sum(1, float("nan"), 1.0)}
        _refused(MidshiftError, lambda: store.merge_sums("g1", 1, bad))
        for cost in (float("nan"), float("inf"), float("-inf")):
            _refused(MidshiftError, partial(store.merge_sums, "g1", 1, _costing(0.5, cost).by_key))
        assert store.sums("up-1") == {}
        assert store.merge_sums("g1", 1, good)


def _requests_added_up_and_sums_by_name_are_one(make_store: MakeStore) -> None:
    """Feedback comes days after its request, and a newer gateway may know a metric that nobody here has heard of."""
    with closing(make_store()) as store:
        served = Exposure("r-1", "support", 1, Fate.CANDIDATE, Arm.CANDIDATE, "up-1", 1, block=3, slices=("german",))
        batch, unseen = Sums(), {replace(_key(), metric="thinking_s"): Sum(2, 3.5, 7.25)}
        batch.add(replace(served, status=200, latency_s=0.5, tokens_out=7, usage_unknown=False))
        batch.add(replace(served, status=503))
        said = feedback_sums(Credit("support", "up-1", 1, Arm.CANDIDATE, ("german",), 3), 0.5, has_ticket=True)
        assert store.take_feedback("r-1", "support", START, said)
        assert store.merge_sums("g1", 1, batch.by_key, batch.histograms)
        assert store.merge_sums("g2", 1, {**batch.by_key, **unseen}, batch.histograms)
        assert store.take_feedback("r-2", "support", START, said)
        expected = Sums()
        for added in (batch.by_key, said, unseen, batch.by_key, said):
            expected.merge(added)
        assert store.sums("up-1") == expected.by_key
        assert store.sums("up-1", ("feedback_rate", "thinking_s"), ("*",)) == {
            replace(_key(), metric="feedback_rate"): Sum(4, 2.0, 2.0),
            **unseen,
        }


def _sums_of_many_threads_add_up(make_store: MakeStore) -> None:
    """Gateways are not one after the other, and neither may lose the other's."""
    with closing(make_store()) as store:

        def send(gateway: str) -> None:
            for sequence in range(25):
                store.merge_sums(gateway, sequence, {_key(): Sum(1, 2.0, 4.0)})

        threads = [Thread(target=send, args=(f"g{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.sums("up-1") == {_key(): Sum(100, 200.0, 400.0)}


def _the_last_report_of_each_gateway_counts(make_store: MakeStore) -> None:
    """A change has arrived when every gateway that is alive says so."""
    with closing(make_store()) as store:
        one, two, three = (GatewayProcess(f"g{number}", "a") for number in (1, 2, 3))
        store.report(one, {"support": Told(3), "billing": Told(1)}, START)
        store.report(two, {"support": Told(3)}, START)
        store.report(one, {"support": Told(4, "forced")}, LATER)
        store.report(three, {}, START)
        assert list(store.reports()) == [
            GatewayReport("g1", "billing", 1, START, "", "a"),
            GatewayReport("g1", "support", 4, LATER, "forced", "a"),
            GatewayReport("g2", "support", 3, START, "", "a"),
        ]
        store.leave(two, LATER)
        assert [report.is_stopped for report in store.reports()] == [False, False, True]
        assert store.reports()[-1].at == LATER


def _two_processes_of_one_name_are_two(make_store: MakeStore) -> None:
    """Neither may speak for the other, or take its batches for its own."""
    one, two = GatewayProcess("g1", "a"), GatewayProcess("g1", "b")
    with closing(make_store()) as store:
        for process in (one, two):
            store.report(process, {"support": Told(3)}, START)
            assert store.last_sequence(process.key) is None
            assert store.merge_sums(process.key, 1, {_key(): Sum(1, 2.0, 4.0)})
        assert [report.process for report in store.reports()] == [one, two]
        assert store.sums("up-1") == {_key(): Sum(2, 4.0, 8.0)}


def _the_dead_of_a_name_are_forgotten_when_it_starts_again(make_store: MakeStore) -> None:
    """A restart is no second gateway, and numbers that nobody sends again need no room."""
    dead, other, long_ago = GatewayProcess("g1", "a"), GatewayProcess("g1", "b"), GatewayProcess("g2", "c")
    with closing(make_store()) as store:
        for process, at in ((dead, START), (other, START), (long_ago, START - 31 * DAY)):
            store.report(process, {"support": Told(3)}, at)
            store.merge_sums(process.key, 1, {_key(): Sum(1, 2.0, 4.0)})
        store.enter(GatewayProcess("g1", "d"), ["a"], START)
        assert [report.process for report in store.reports()] == [other]
        assert [store.last_sequence(process.key) for process in (dead, other, long_ago)] == [None, 1, None]


def _who_may_live_is_not_forgotten_by_the_clock_of_another(make_store: MakeStore) -> None:
    """What it sends again would count twice. One that said itself that it ended sends nothing any more."""
    silent, stopped, new = GatewayProcess("g1", "a"), GatewayProcess("g2", "b"), GatewayProcess("g1", "c")
    with closing(make_store()) as store:
        for process in (silent, stopped):
            store.report(process, {"support": Told(3)}, START)
            store.merge_sums(process.key, 1, {_key(): Sum(1, 2.0, 4.0)})
        store.leave(stopped, START)
        store.report(new, {"support": Told(3)}, LATER)
        store.enter(new, [], LATER)
        assert not store.merge_sums(silent.key, 1, {_key(): Sum(1, 2.0, 4.0)})
        assert [report.process for report in store.reports()] == [silent, new, stopped]

        store.report(GatewayProcess("g3", "d"), {"support": Told(3)}, START + 2 * DAY)
        store.enter(new, [], LATER)
        assert not store.merge_sums(silent.key, 1, {_key(): Sum(1, 2.0, 4.0)})
        assert store.last_sequence(stopped.key) is None
        assert store.sums("up-1") == {_key(): Sum(2, 4.0, 8.0)}


def _a_lease_says_when_its_holder_looked(make_store: MakeStore) -> None:
    """Whoever looks must see that nobody decides, while the old lease still lies there."""
    with closing(make_store()) as store:
        assert store.lease() is None
        lease = _taken(store, "controller-1", START)
        assert store.lease() == lease
        renewed = store.renew(lease, LATER, TTL)
        assert (renewed.looked_at, store.lease()) == (LATER, renewed)
        store.release(renewed, LATER)
        last = store.lease()
        assert last is not None
        assert (last.owner, last.until, last.looked_at) == ("controller-1", LATER, LATER)


def _a_closed_store_refuses(make_store: MakeStore) -> None:
    """A write into nowhere that looks like success would be the worst answer."""
    store = make_store()
    store.put_variant(INCUMBENT)
    store.close()
    store.close()
    _refused(StoreError, lambda: store.put_variant(INCUMBENT))
    _refused(StoreError, lambda: store.merge_sums("g1", 1, {_key(): Sum(1, 1.0, 1.0)}))
    _refused(StoreError, store.routes)
    _refused(StoreError, store.changed)


STORE_CHECKS: tuple[Check, ...] = (
    _a_variant_comes_back_whole_and_is_stored_once,
    _a_route_comes_back_exactly,
    _a_route_is_replaced_only_by_who_read_it_last,
    _a_route_names_only_variants_that_are_stored,
    _a_change_is_noticed_and_quiet_is_not,
    _definitions_are_kept_and_the_newest_is_shown,
    _an_apply_never_moves_traffic,
    _a_whole_upgrade_comes_back_as_it_was_decided,
    _a_workload_has_one_active_upgrade,
    _an_upgrade_begins_only_from_what_serves,
    _a_decision_on_an_old_state_is_not_written,
    _a_decision_on_an_old_route_is_not_written,
    _an_event_that_cannot_happen_is_not_written,
    _the_log_never_says_another_share_than_users_get,
    _a_remark_needs_no_route,
    _only_the_holder_of_the_last_lease_decides,
    _a_lease_is_kept_by_renewing_and_passed_on_by_releasing,
    _extending_routes_changes_no_routing,
    _a_rollback_asks_nobody,
    _a_rollback_needs_no_upgrade,
    _sums_add_up_exactly_once,
    _histograms_add_up_with_their_sums,
    _the_first_feedback_on_a_request_counts,
    _a_batch_with_a_number_that_is_none_changes_nothing,
    _requests_added_up_and_sums_by_name_are_one,
    _sums_of_many_threads_add_up,
    _the_last_report_of_each_gateway_counts,
    _two_processes_of_one_name_are_two,
    _the_dead_of_a_name_are_forgotten_when_it_starts_again,
    _who_may_live_is_not_forgotten_by_the_clock_of_another,
    _a_lease_says_when_its_holder_looked,
    _a_closed_store_refuses,
)
"""Every promise, in the order in which a new store is best made to keep them."""


def _costing(*costs_usd: float) -> Sums:
    """Requests that cost this, each in a block of its own."""
    sums = Sums()
    for block, cost_usd in enumerate(costs_usd):
        sums.add(Exposure("r", "support", 1, Fate.CANDIDATE, Arm.CANDIDATE, "up-1", block=block, cost_usd=cost_usd))
    return sums


def _key() -> SumKey:
    return SumKey("support", "up-1", 1, Arm.CANDIDATE, "*", "error", 3)


def _taken(store: Store, owner: str, now: datetime) -> Lease:
    lease = store.take_lease(owner, now, TTL)
    assert lease is not None, f"{owner!r} was refused a lease that is free"
    return lease


def _refused(kind: type[MidshiftError], call: Callable[[], object]) -> None:
    try:
        found = call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}, found the answer {found!r}")
