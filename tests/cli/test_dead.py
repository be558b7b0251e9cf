"""`midshift dead`: who has looked at a silent gateway can say so, and a rollback asks after it no more."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from midshift.cli.rollback import NOBODY_SAID
from midshift.domain.gateways import Death, GatewayProcess, Told
from midshift.domain.upgrade import Kind
from tests.cli.test_defining import WORKLOAD, a_product, run, store_of, walked

WHOLE = (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED, Kind.STEP_ADVANCED, Kind.STEP_ADVANCED, Kind.FULLY_ROLLED_OUT)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product whose candidate serves everybody, with one gateway heard and one silent for an hour."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")
    walked(tmp_path, *WHOLE)
    heard(tmp_path, GatewayProcess("killed", "a"), timedelta(hours=1))
    heard(tmp_path, GatewayProcess("lives", "b"), timedelta(0), epoch=9)
    return tmp_path


def heard(product: Path, process: GatewayProcess, ago: timedelta, epoch: int | None = None) -> None:
    """What a process says, with the row in force as the one that it knows."""
    with store_of(product) as store:
        route = store.route(WORKLOAD)
        assert route is not None
        told = Told(route.epoch if epoch is None else epoch)
        store.report(process, {WORKLOAD: told}, datetime.now(UTC) - ago)  # noqa: TID251 - as the command's


def test_a_rollback_asks_after_a_killed_gateway_until_somebody_says_that_it_is_dead(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 100 % one that is cut off would serve the candidate for ever, so silence alone is never success."""
    assert 4 == run(product, "rollback", WORKLOAD, "--wait", "0")
    assert "midshift dead GATEWAY --why REASON" in capsys.readouterr().out

    assert 0 == run(product, "dead", "killed", "--why", "node-7 is gone", "--who", "ada")
    assert 0 == run(product, "rollback", WORKLOAD, "--wait", "0")
    assert "Dead: killed (says ada)" in capsys.readouterr().out


def test_whoever_speaks_again_is_not_dead(product: Path) -> None:
    """What somebody saw may have been wrong, and was about the time before."""
    run(product, "dead", "killed", "--why", "node-7 is gone")
    heard(product, GatewayProcess("killed", "a"), timedelta(minutes=59))

    with store_of(product) as store:
        assert [None, None] == [report.death for report in store.reports()]
    assert 4 == run(product, "rollback", WORKLOAD, "--wait", "0")


def test_the_status_says_who_said_it_and_why(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It rests on somebody's word, and the next one on call must know whose."""
    run(product, "dead", "killed", "--why", "node-7 is gone", "--who", "ada")
    capsys.readouterr()

    run(product, "status")
    assert "killed is dead, says ada: node-7 is gone" in capsys.readouterr().out

    run(product, "status", "--json")
    gateways = json.loads(capsys.readouterr().out)["routes"][0]["gateways"]
    found = {item["name"]: (item["standing"], item["death"]) for item in gateways}
    assert ("dead", {"who": "ada", "why": "node-7 is gone"}) == found["killed"]
    assert None is found["lives"][1]


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (["lives", "--why", "x"], "gateway 'lives': serves, heard last "),
        (["killed", "other", "--why", "x"], "gateway 'other': not known, expected one of 'killed', 'lives'"),
        (["killed", "--why", " "], "--why: found ' ', expected how you know"),
        (["killed"], "Missing option '--why'"),
    ],
)
def test_what_cannot_be_so_is_refused_and_nothing_is_written(
    product: Path, capsys: pytest.CaptureFixture[str], said: list[str], complaint: str
) -> None:
    """One that is heard is not dead, and a typing error is no gateway."""
    assert 2 == run(product, "dead", *said)

    assert complaint in capsys.readouterr().err
    with store_of(product) as store:
        assert [None, None] == [report.death for report in store.reports()]


def test_one_process_of_a_name_may_be_dead_while_another_serves(product: Path) -> None:
    """A pod comes back under its name, and its store of the old process is another's."""
    heard(product, GatewayProcess("killed", "later"), timedelta(0), epoch=9)
    assert 0 == run(product, "dead", "killed", "--why", "node-7 is gone", "--who", "ada")

    with store_of(product) as store:
        said = {report.process: report.death for report in store.reports()}
    assert isinstance(said[GatewayProcess("killed", "a")], Death)
    assert None is said[GatewayProcess("killed", "later")]
    assert 0 == run(product, "rollback", WORKLOAD, "--wait", "0")


def test_no_gateway_at_all_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The list of those that there are may be empty."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")

    assert 2 == run(tmp_path, "dead", "killed", "--why", "x")
    assert "none: no gateway has ever reported" in capsys.readouterr().err
    assert NOBODY_SAID == run(tmp_path, "rollback", WORKLOAD, "--wait", "0")
