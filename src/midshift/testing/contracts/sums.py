"""Sums, histograms and feedback: what gateways send counts once, exactly, or not at all.

Elsewhere: the gateways that send it (`gateways`), what the numbers are (domain.sums).
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from threading import Thread

from midshift.domain.exposure import Credit, Exposure, Fate, HistogramKey, Sum, feedback_sums
from midshift.domain.histogram import Histogram
from midshift.domain.light import replaced
from midshift.domain.routing import Arm
from midshift.domain.sums import Sums
from midshift.errors import MidshiftError
from midshift.testing.contracts.runs import DAY, KEY, START, Check, MakeStore, refused


def _sums_add_up_exactly_once(make_store: MakeStore) -> None:
    """A gateway that got no answer sends its batch again: that must not count its users twice."""
    with closing(make_store()) as store:
        first, second = KEY, replace(KEY, arm=Arm.INCUMBENT, block=7)
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
        assert store.merge_sums("g1", 1, {KEY: Sum(3, 3.0, 4.5)}, {key: first, other: second})
        assert not store.merge_sums("g1", 1, {}, {key: first})
        assert store.merge_sums("g2", 1, {}, {key: second, replace(key, upgrade="up-2"): first})
        both = Histogram.of([0.5, 0.5, 2.0, 2.0])
        assert store.histograms("up-1") == {key: both, other: second}
        assert store.histograms("up-1", ("latency_s",), ("*",)) == {key: both}
        assert store.histograms("up-1", ("ttft_s",)) == {}


def _the_first_feedback_on_a_request_counts(make_store: MakeStore) -> None:
    """Over all gateways, and with its sums or not at all."""
    with closing(make_store()) as store:
        said = {KEY: Sum(1, 1.0, 1.0)}
        refused(MidshiftError, lambda: store.take_feedback("r-1", "support", START, {KEY: Sum(1, float("inf"), 1.0)}))
        assert store.take_feedback("r-1", "support", START, said)
        assert not store.take_feedback("r-1", "support", START + DAY, {KEY: Sum(1, 0.0, 0.0)})
        assert store.take_feedback("r-2", "support", START + DAY, {})
        assert store.sums("up-1") == said
        threads = [Thread(target=store.take_feedback, args=("r-3", "support", START + DAY, said)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.sums("up-1") == {KEY: Sum(2, 2.0, 2.0)}


def _a_batch_with_a_number_that_is_none_changes_nothing(make_store: MakeStore) -> None:
    """One NaN would spoil a sum for the rest of the upgrade."""
    with closing(make_store()) as store:
        good = {KEY: Sum(1, 1.0, 1.0)}
        bad = {**good, replace(KEY, block=9): Sum(1, float("nan"), 1.0)}
        refused(MidshiftError, lambda: store.merge_sums("g1", 1, bad))
        for cost in (float("nan"), float("inf"), float("-inf")):
            refused(MidshiftError, partial(store.merge_sums, "g1", 1, _costing(0.5, cost).by_key))
        assert store.sums("up-1") == {}
        assert store.merge_sums("g1", 1, good)


def _requests_added_up_and_sums_by_name_are_one(make_store: MakeStore) -> None:
    """Feedback comes days after its request, and a newer gateway may know a metric that nobody here has heard of."""
    with closing(make_store()) as store:
        served = Exposure("r-1", "support", 1, Fate.CANDIDATE, Arm.CANDIDATE, "up-1", 1, block=3, slices=("german",))
        batch, unseen = Sums(), {replace(KEY, metric="thinking_s"): Sum(2, 3.5, 7.25)}
        batch.add(replaced(served, status=200, latency_s=0.5, tokens_out=7, usage_unknown=False))
        batch.add(replaced(served, status=503))
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
            replace(KEY, metric="feedback_rate"): Sum(4, 2.0, 2.0),
            **unseen,
        }


def _sums_of_many_threads_add_up(make_store: MakeStore) -> None:
    """Gateways are not one after the other, and neither may lose the other's."""
    with closing(make_store()) as store:

        def send(gateway: str) -> None:
            for sequence in range(25):
                store.merge_sums(gateway, sequence, {KEY: Sum(1, 2.0, 4.0)})

        threads = [Thread(target=send, args=(f"g{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.sums("up-1") == {KEY: Sum(100, 200.0, 400.0)}


CHECKS: tuple[Check, ...] = (
    _sums_add_up_exactly_once,
    _histograms_add_up_with_their_sums,
    _the_first_feedback_on_a_request_counts,
    _a_batch_with_a_number_that_is_none_changes_nothing,
    _requests_added_up_and_sums_by_name_are_one,
    _sums_of_many_threads_add_up,
)


def _costing(*costs_usd: float) -> Sums:
    """Requests that cost this, each in a block of its own."""
    sums = Sums()
    for block, cost_usd in enumerate(costs_usd):
        sums.add(Exposure("r", "support", 1, Fate.CANDIDATE, Arm.CANDIDATE, "up-1", block=block, cost_usd=cost_usd))
    return sums
