"""Gateways: what each process reported last, and which of them are dead.

Elsewhere: the sums that they send (`sums`).
"""

from __future__ import annotations

from contextlib import closing

from midshift.domain.exposure import Sum
from midshift.domain.gateways import Death, GatewayProcess, GatewayReport, Told
from midshift.testing.contracts.runs import DAY, KEY, LATER, START, Check, MakeStore


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


def _one_that_is_said_to_be_dead_is_so_until_it_speaks(make_store: MakeStore) -> None:
    """Whoever says it saw the time before: a word of that process since then, however it came, is stronger."""
    dead, other = GatewayProcess("g1", "a"), GatewayProcess("g1", "b")
    said = Death("ada", "the node is gone", LATER)
    with closing(make_store()) as store:
        for process in (dead, other):
            store.report(process, {"support": Told(3), "billing": Told(1)}, START)
        store.say_dead(dead, START, Death("bob", "I think so", START))
        store.say_dead(dead, START, said)
        assert [said, said, None, None] == [report.death for report in store.reports()]

        store.report(dead, {"support": Told(3)}, LATER)
        assert [None] * 4 == [report.death for report in store.reports()]

        store.say_dead(other, START - DAY, said)  # by somebody who had not heard its last word
        assert [None] * 4 == [report.death for report in store.reports()]


def _two_processes_of_one_name_are_two(make_store: MakeStore) -> None:
    """Neither may speak for the other, or take its batches for its own."""
    one, two = GatewayProcess("g1", "a"), GatewayProcess("g1", "b")
    with closing(make_store()) as store:
        for process in (one, two):
            store.report(process, {"support": Told(3)}, START)
            assert store.last_sequence(process.key) is None
            assert store.merge_sums(process.key, 1, {KEY: Sum(1, 2.0, 4.0)})
        assert [report.process for report in store.reports()] == [one, two]
        assert store.sums("up-1") == {KEY: Sum(2, 4.0, 8.0)}


def _the_dead_of_a_name_are_forgotten_when_it_starts_again(make_store: MakeStore) -> None:
    """A restart is no second gateway, and numbers that nobody sends again need no room."""
    dead, other, long_ago = GatewayProcess("g1", "a"), GatewayProcess("g1", "b"), GatewayProcess("g2", "c")
    with closing(make_store()) as store:
        for process, at in ((dead, START), (other, START), (long_ago, START - 31 * DAY)):
            store.report(process, {"support": Told(3)}, at)
            store.merge_sums(process.key, 1, {KEY: Sum(1, 2.0, 4.0)})
        store.say_dead(dead, START, Death("ada", "the node is gone", START))
        store.enter(GatewayProcess("g1", "d"), ["a"], START)
        assert [report.process for report in store.reports()] == [other]
        store.report(dead, {"support": Told(3)}, START)
        assert [report.death for report in store.reports()] == [None, None]
        assert [store.last_sequence(process.key) for process in (dead, other, long_ago)] == [None, 1, None]


def _who_may_live_is_not_forgotten_by_the_clock_of_another(make_store: MakeStore) -> None:
    """What it sends again would count twice. One that said itself that it ended sends nothing any more."""
    silent, stopped, new = GatewayProcess("g1", "a"), GatewayProcess("g2", "b"), GatewayProcess("g1", "c")
    with closing(make_store()) as store:
        for process in (silent, stopped):
            store.report(process, {"support": Told(3)}, START)
            store.merge_sums(process.key, 1, {KEY: Sum(1, 2.0, 4.0)})
        store.leave(stopped, START)
        store.report(new, {"support": Told(3)}, LATER)
        store.enter(new, [], LATER)
        assert not store.merge_sums(silent.key, 1, {KEY: Sum(1, 2.0, 4.0)})
        assert [report.process for report in store.reports()] == [silent, new, stopped]

        store.report(GatewayProcess("g3", "d"), {"support": Told(3)}, START + 2 * DAY)
        store.enter(new, [], LATER)
        assert not store.merge_sums(silent.key, 1, {KEY: Sum(1, 2.0, 4.0)})
        assert store.last_sequence(stopped.key) is None
        assert store.sums("up-1") == {KEY: Sum(2, 4.0, 8.0)}


CHECKS: tuple[Check, ...] = (
    _the_last_report_of_each_gateway_counts,
    _one_that_is_said_to_be_dead_is_so_until_it_speaks,
    _two_processes_of_one_name_are_two,
    _the_dead_of_a_name_are_forgotten_when_it_starts_again,
    _who_may_live_is_not_forgotten_by_the_clock_of_another,
)
