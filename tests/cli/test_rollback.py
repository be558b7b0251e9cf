"""`midshift rollback` and `midshift halt`: nothing may stand between a person and the incumbent."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from midshift.cli import main
from midshift.cli.rollback import NOBODY_SAID
from midshift.domain.gateways import GatewayProcess, Told
from midshift.domain.upgrade import Kind, Stage
from midshift.store.sql import SqlStore
from tests.cli.test_defining import WORKLOAD, a_product, run, store_of, walked

CANARY = (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)
WHOLE = (*CANARY, Kind.STEP_ADVANCED, Kind.STEP_ADVANCED, Kind.FULLY_ROLLED_OUT)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product in its canary."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")
    walked(tmp_path, *CANARY)
    return tmp_path


def test_a_rollback_is_what_the_runbook_says_and_no_more(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The runbook has `midshift rollback WORKLOAD`: who and why are asked of nobody in a hurry."""
    assert NOBODY_SAID == run(product, "rollback", WORKLOAD, "--wait", "0")

    with store_of(product) as store:
        route = store.route(WORKLOAD)
        assert route is not None
        assert (None, 0.0, 5) == (route.candidate, route.share, route.epoch)
        assert Stage.ROLLED_BACK is store.upgrades()[0].stage
    assert "(epoch 5, written in " in capsys.readouterr().out


def test_who_and_why_are_in_the_log(product: Path) -> None:
    """Afterwards is the time to ask."""
    run(product, "rollback", WORKLOAD, "--who", "ada", "--why", "it is rude", "--wait", "0")

    with store_of(product) as store:
        last = store.events(f"{WORKLOAD}-1")[-1].event
        assert (Kind.ROLLED_BACK, "ada", "it is rude") == (last.kind, last.who, last.why)


def test_a_rollback_needs_no_file_at_all(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A broken definition, a half-merged pull request: none of it may be in the way."""
    (product / "midshift.yaml").write_text("workloads: [", encoding="utf-8")
    (product / "elsewhere").mkdir()
    (product / "elsewhere" / "store.txt").write_text((product / "store.txt").read_text(), encoding="utf-8")

    at = ["--config", str(product / "elsewhere" / "midshift.yaml"), "--store", "file:store.txt"]
    assert NOBODY_SAID == main.run(["rollback", WORKLOAD, "--wait", "0", *at])

    assert "serves everybody" in capsys.readouterr().out


def test_a_fault_in_another_part_of_the_file_does_not_hinder_a_rollback(product: Path) -> None:
    """Only the environments are read: on-call is not the one to mend a margin."""
    main_file = product / "midshift.yaml"
    text = main_file.read_text(encoding="utf-8").replace("env:MIDSHIFT_DB", "file:store.txt")
    main_file.write_text(text.replace("margin: 2pt", "margin: [what]"), encoding="utf-8")

    assert NOBODY_SAID == main.run(["rollback", WORKLOAD, "--wait", "0", "--config", str(product)])


def test_a_workload_that_is_not_there_is_answered_with_those_that_are(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error in an incident must be mended by reading one line."""
    assert 2 == run(product, "rollback", "suport-reply")

    assert f"expected '{WORKLOAD}'" in capsys.readouterr().err


def test_the_gateways_that_follow_are_counted_and_the_others_named(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A write is not yet a served incumbent: one gateway that hangs is one to walk up to."""
    with store_of(product) as store:
        now = machine_now()
        store.report(GatewayProcess("quick"), {WORKLOAD: Told(5)}, now)
        store.report(GatewayProcess("slow"), {WORKLOAD: Told(4)}, now)
        store.report(GatewayProcess("long-gone"), {WORKLOAD: Told(1)}, now - timedelta(hours=1))

    assert 4 == run(product, "rollback", WORKLOAD, "--wait", "0")

    assert "1 of 2 gateways serve it" in (out := capsys.readouterr().out)
    assert "not yet: slow." in out
    assert "Silent for longer: long-gone. Nobody gets the candidate there" in out


def test_when_all_follow_the_code_is_0(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one code on which a script may rest: no user can get the candidate any more."""
    reported(product, Told(5))

    assert 0 == run(product, "rollback", WORKLOAD, "--wait", "0")
    assert "1 of 1 gateways serve it" in capsys.readouterr().out


def test_a_gateway_that_is_home_by_itself_is_safe(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It gives everybody the incumbent already, whichever row it knows."""
    reported(product, Told(4, "forced"))

    assert 0 == run(product, "rollback", WORKLOAD, "--wait", "0")
    assert "Home by themselves, with the incumbent for everybody: gateway-1 (forced)" in capsys.readouterr().out


def test_a_gateway_that_is_silent_may_be_cut_off_with_the_candidate(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can tell a dead one from one that serves on: a script must not take it for a success."""
    reported(product, Told(4), seconds_ago=42.0)

    assert 4 == run(product, "rollback", WORKLOAD, "--wait", "0")
    assert "Silent: gateway-1. Dead, or cut off from the store" in capsys.readouterr().out


def test_a_gateway_that_stopped_in_order_is_not_waited_for(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It serves nobody, and reads the row before it serves anybody again."""
    reported(product, Told(4))
    with store_of(product) as store:
        store.leave(GatewayProcess("gateway-1", "a"), machine_now())

    assert 0 == run(product, "rollback", WORKLOAD, "--wait", "0")
    assert "No gateway runs: stopped are gateway-1" in capsys.readouterr().out


def test_without_a_word_from_any_gateway_nobody_knows(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The row is written, and nothing says that anybody reads it."""
    assert NOBODY_SAID == run(product, "rollback", WORKLOAD, "--wait", "0")
    assert "No gateway has reported" in capsys.readouterr().out


def test_two_gateways_of_one_name_both_have_to_follow(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one that follows must not speak for the one that does not."""
    reported(product, Told(5))
    reported(product, Told(4), instance="b")

    assert 4 == run(product, "rollback", WORKLOAD, "--wait", "0")
    assert "1 of 2 gateways serve it" in capsys.readouterr().out


def test_a_process_that_is_cut_off_is_named_although_another_of_its_name_follows(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It serves the candidate under the name of the one that answers: two hosts, or one that was thought dead."""
    reported(product, Told(4), seconds_ago=60.0)
    reported(product, Told(5), instance="b")

    assert 4 == run(product, "rollback", WORKLOAD, "--wait", "0")
    out = capsys.readouterr().out
    assert "1 of 1 gateways serve it" in out and "Silent: gateway-1 (a process silent for 6" in out


def test_a_process_that_is_cut_off_is_named_although_another_of_its_name_stopped(product: Path) -> None:
    """Its end is nobody else's."""
    reported(product, Told(4), seconds_ago=60.0)
    reported(product, Told(4), instance="b")
    with store_of(product) as store:
        store.leave(GatewayProcess("gateway-1", "b"), machine_now())

    assert 4 == run(product, "rollback", WORKLOAD, "--wait", "0")


@pytest.mark.parametrize(("is_whole", "code"), [(True, 4), (False, 0)])
def test_one_that_is_cut_off_for_more_than_a_day_is_forgotten_only_below_100_percent(
    tmp_path: Path, is_whole: bool, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """At 100 % nothing sends it home: the incumbent may be gone."""
    epoch = stood_at(tmp_path, *(WHOLE if is_whole else CANARY))
    reported(tmp_path, Told(epoch), seconds_ago=90_000.0)
    with store_of(tmp_path) as store:
        store.report(GatewayProcess("gateway-2", "b"), {WORKLOAD: Told(epoch + 1)}, machine_now())

    assert code == run(tmp_path, "rollback", WORKLOAD, "--wait", "0")
    assert is_whole is ("gateway-1 (a process silent for 25 h)" in capsys.readouterr().out)


def test_one_that_is_cut_off_with_what_is_the_incumbent_by_now_is_no_danger(tmp_path: Path) -> None:
    """Else each gateway that was killed in an earlier soak would be named at every rollback for weeks."""
    epoch = stood_at(tmp_path, *WHOLE, Kind.SOAK_COMPLETED)
    reported(tmp_path, Told(epoch - 1), seconds_ago=3600.0)
    with store_of(tmp_path) as store:
        store.report(GatewayProcess("gateway-1", "b"), {WORKLOAD: Told(epoch + 1)}, machine_now())

    assert 0 == run(tmp_path, "rollback", WORKLOAD, "--wait", "0")


def test_those_that_somebody_has_to_walk_up_to_are_all_named(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list that ends in an ellipsis leaves users with the candidate."""
    names = [f"gateway-eu-west-{number:03d}" for number in range(100)]
    with store_of(product) as store:
        for name in names:
            store.report(GatewayProcess(name, "a"), {WORKLOAD: Told(4)}, machine_now())

    assert 4 == run(product, "rollback", WORKLOAD, "--wait", "0")
    lines = capsys.readouterr().out.splitlines()
    assert names == [line.strip() for line in lines if line.startswith("  ")]


def test_without_a_word_the_text_says_no_more_than_the_code(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 3 is that nobody knows: that nobody gets the candidate may not stand beside it."""
    reported(product, Told(4), seconds_ago=660.0)

    assert NOBODY_SAID == run(product, "rollback", WORKLOAD, "--wait", "0")
    out = capsys.readouterr().out
    assert "Silent for longer: gateway-1." in out and "Nobody gets" not in out


def test_what_users_get_after_a_rollback_is_no_evidence_of_the_upgrade_that_ended(product: Path) -> None:
    """Its sums are what it was ended on; the incumbent's later requests must not be added to them."""
    run(product, "rollback", WORKLOAD, "--wait", "0")

    with store_of(product) as store:
        route = store.route(WORKLOAD)
        assert route is not None
        assert (None, 0) == (route.upgrade, route.step)


def reported(product: Path, told: Told, seconds_ago: float = 0.0, instance: str = "a") -> None:
    """A gateway has said this."""
    with store_of(product) as store:
        at = machine_now() - timedelta(seconds=seconds_ago)
        store.report(GatewayProcess("gateway-1", instance), {WORKLOAD: told}, at)


def stood_at(folder: Path, *kinds: Kind) -> int:
    """A product whose upgrade has come that far, and the epoch of its row."""
    a_product(folder)
    run(folder, "apply", "--who", "ada")
    walked(folder, *kinds)
    with store_of(folder) as store:
        route = store.route(WORKLOAD)
        assert route is not None
        return route.epoch


def machine_now() -> datetime:
    """Gateways report machine time."""
    return datetime.now(UTC)  # noqa: TID251 - compared with the clock of the command


def test_a_rollback_loads_no_numerics_and_no_pages(product: Path) -> None:
    """What is loaded can be broken, and takes its time, in the very moment when there is none."""
    program = (
        "import sys; from midshift.cli import main; "
        f"code = main.run(['rollback', {WORKLOAD!r}, '--config', {str(product)!r}, '--store', 'file:store.txt']); "
        "print(code, {'numpy', 'scipy', 'jinja2'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "3 set()" == done.stdout.splitlines()[-1]


def test_a_halt_can_be_resumed_where_it_was(product: Path) -> None:
    """Halt and rollback are two verbs: the first keeps the evidence, the step and the way on."""
    assert 0 == run(product, "halt", WORKLOAD, "--who", "ada", "--why", "looks odd")
    with store_of(product) as store:
        halted = standing(store)
    assert 0 == run(product, "upgrade", "resume", WORKLOAD, "--who", "ada")
    with store_of(product) as store:
        resumed = standing(store)
        route = store.route(WORKLOAD)

    assert ((Stage.HALTED, 0.0), (Stage.CANARY, 0.01)) == (halted, resumed)
    assert route is not None
    assert route.lease_until is not None  # without a controller, gateways go home by themselves


def test_what_cannot_be_halted_is_answered_with_what_can_be_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In soak nobody is left on the incumbent: the way back is the rollback."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")
    walked(tmp_path, *CANARY, Kind.STEP_ADVANCED, Kind.STEP_ADVANCED, Kind.FULLY_ROLLED_OUT)

    assert 2 == run(tmp_path, "halt", WORKLOAD, "--who", "ada", "--why", "looks odd")

    assert f"midshift rollback {WORKLOAD}" in capsys.readouterr().err


def standing(store: SqlStore) -> tuple[Stage, float]:
    """Where the upgrade stands, and the share that users get."""
    found = store.standing(WORKLOAD)
    assert found.upgrade is not None
    assert found.route is not None
    return found.upgrade.stage, found.route.share
