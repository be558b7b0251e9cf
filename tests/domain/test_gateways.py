"""What the reports of gateways mean, for status and rollback alike."""

from datetime import UTC, datetime, timedelta

import pytest

from midshift.domain.gateways import Death, GatewayProcess, GatewayReport, Standing, doubled, hidden, present
from midshift.domain.routing import Route

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEATH = Death("ada", "node-7 is gone", NOW)


def said(
    seconds_ago: float = 1.0,
    epoch: int = 3,
    home: str = "",
    name: str = "g1",
    instance: str = "a",
    is_stopped: bool = False,
    death: Death | None = None,
) -> GatewayReport:
    """What a gateway said about `support`."""
    at = NOW - timedelta(seconds=seconds_ago)
    return GatewayReport(name, "support", epoch, at, home, instance, is_stopped, death)


def a_row(share: float) -> Route:
    """The row that a gateway of epoch 3 knows."""
    return Route("support", "old", 3, "new" if share else None, share)


@pytest.mark.parametrize(
    ("report", "standing"),
    [
        (said(), Standing.SERVES),
        (said(epoch=2), Standing.BEHIND),
        (said(home="forced"), Standing.HOME),
        (said(epoch=2, home="lease"), Standing.HOME),
        (said(30.0), Standing.SERVES),
        (said(31.0), Standing.SILENT),
        (said(31.0, home="forced"), Standing.SILENT),
        (said(1.0, is_stopped=True), Standing.STOPPED),
        (said(31.0, death=DEATH), Standing.DEAD),
        (said(31.0, is_stopped=True, death=DEATH), Standing.STOPPED),
    ],
)
def test_how_a_gateway_stands_is_said_by_its_last_report_and_its_age(report: GatewayReport, standing: Standing) -> None:
    """One rule for text, JSON and rollback."""
    assert standing is report.standing(3, NOW)


@pytest.mark.parametrize(
    ("report", "share", "may_serve"),
    [
        (said(epoch=4), 0.5, False),
        (said(), 0.5, True),
        (said(), 0.0, True),  # it lives, and should have followed: nobody knows why it does not
        (said(home="forced"), 0.5, False),
        (said(home="unrouted"), 0.5, True),
        (said(is_stopped=True), 0.5, False),
        (said(42.0), 0.5, True),
        (said(601.0), 0.5, False),
        (said(601.0), 1.0, True),
        (said(601.0, death=DEATH), 1.0, False),
        (said(42.0), 0.0, False),
        (said(42.0, epoch=4), 0.5, False),
    ],
)
def test_whoever_is_silent_may_serve_on_by_the_row_that_it_knew(
    report: GatewayReport, share: float, may_serve: bool
) -> None:
    """Cut off is not dead: below 100 % it goes home after ten minutes, and at 100 % it stays."""
    assert may_serve is report.may_serve_candidate(4, a_row(share), NOW)


def test_of_a_row_that_nobody_knows_the_worst_is_assumed() -> None:
    """Unknown is never no."""
    assert said(42.0).may_serve_candidate(4, None, NOW)


def test_a_restart_is_no_dead_gateway() -> None:
    """The process before it is gone, and another answers under its name."""
    new = said(instance="b")

    assert [new] == present([said(40.0), new], "support", NOW)
    assert [said(40.0)] == present([said(80.0, instance="z"), said(40.0)], "support", NOW)


def test_a_silent_process_is_not_shown_behind_one_of_its_name_and_is_still_known() -> None:
    """Nobody proved it dead: cut off from the store, it serves on under the same name."""
    cut_off, new = said(60.0), said(instance="b", epoch=4)
    stopped = said(40.0, instance="c", is_stopped=True)

    assert [cut_off] == hidden([cut_off, new], "support", NOW)
    assert [cut_off] == hidden([cut_off, stopped], "support", NOW)
    assert [] == hidden([cut_off], "support", NOW)  # shown
    assert [] == hidden([cut_off, new], "billing", NOW)


def test_one_that_is_said_to_be_dead_is_not_asked_after_behind_one_of_its_name() -> None:
    """Somebody has looked: it is not cut off."""
    assert [] == hidden([said(60.0, death=DEATH), said(instance="b", epoch=4)], "support", NOW)


def test_a_process_that_is_silent_for_more_than_a_day_is_still_known() -> None:
    """At 100 % it may serve the candidate for as long as it is cut off."""
    assert [said(90_000.0)] == hidden([said(90_000.0)], "support", NOW)


def test_what_was_not_heard_for_a_day_is_forgotten() -> None:
    """A name that comes no more is no news."""
    assert [] == present([said(86_401.0)], "support", NOW)
    assert [] == present([said()], "billing", NOW)


def test_two_that_live_under_one_name_both_count() -> None:
    """One of them may serve the candidate while the other speaks for it."""
    both = [said(), said(instance="b"), said(name="g2"), said(50.0, name="g2", instance="b")]

    assert 3 == len(present(both, "support", NOW))
    assert ["g1"] == doubled(both, NOW)


def test_two_processes_of_one_name_count_their_batches_apart() -> None:
    """A gateway that does not say which process it is counts by its name, as ever."""
    assert ("g1/a", "g1") == (GatewayProcess("g1", "a").key, GatewayProcess("g1").key)
