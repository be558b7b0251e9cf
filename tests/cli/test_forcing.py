"""`midshift upgrade force`: what it asks for, what it puts on record, and the way from a stop to the safe harbour."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from midshift.cli import forcing, main, upgrade
from midshift.cli.project import Target
from midshift.cli.rollback import NOBODY_SAID
from midshift.cli.state_folder import StateFolder
from midshift.controller.loop import Controller
from midshift.domain.evidence import EvalEvidence
from midshift.domain.exposure import Exposure, Fate, ShadowFate
from midshift.domain.gate import Decision
from midshift.domain.retirement import Source
from midshift.domain.routing import Arm, Route
from midshift.domain.sums import Sums
from midshift.domain.upgrade import Kind, Stage, Upgrade
from midshift.errors import MidshiftError
from midshift.store.sql import SqlStore
from midshift.testing import ManualClock
from tests.cli.kept import kept
from tests.cli.test_defining import NEW_FILE, OLD_FILE, WORKLOAD, a_product, edit, run, store_of, walked
from tests.cli.test_upgrade import PRICES

HARBOUR_FILE = "variants/haiku-4.5.yaml"
DATES = "retirements: {sim/sonnet-3.7: 2030-03-01, sim/haiku-4.5: 2031-01-01}\n"
START = datetime(2030, 2, 1, tzinfo=UTC)
WHY = "sonnet-3.7 shuts down in March"
DAY = 86_400.0


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product with a safe harbour, whose definitions are applied, with an upgrade in re-tuning."""
    a_product(tmp_path)
    old = (tmp_path / OLD_FILE).read_text(encoding="utf-8")
    (tmp_path / HARBOUR_FILE).write_text(old.replace("sonnet-3.7", "haiku-4.5"), encoding="utf-8")
    edit(
        tmp_path / "midshift.yaml", f"incumbent: {OLD_FILE}", f"incumbent: {OLD_FILE}\n    safe_harbour: {HARBOUR_FILE}"
    )
    with (tmp_path / "midshift.yaml").open("a", encoding="utf-8") as file:
        file.write(DATES)
    run(tmp_path, "apply", "--who", "ada")
    return tmp_path


@pytest.fixture
def provider() -> Iterator[str]:
    """The address of a scripted provider, in a process of its own: both models answer alike."""
    voices = [f"--voice={model}=sim/sonnet-3.7" for model in ("sonnet-3.7", "sonnet-4.6")]
    command = [sys.executable, "-m", "midshift.testing.provider_server", "scripted", "--until-eof", "--latency-scale=0"]
    with subprocess.Popen([*command, *voices], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.kill()


def stopped(product: Path, upgrade: Upgrade, decision: Decision = Decision.STOP) -> EvalEvidence:
    """An eval of its candidate, as the controller finds it."""
    found = EvalEvidence(upgrade.candidate, decision, "s: worse by 4 points", (), ("german",), failed=("*",))
    kept(product, upgrade, found, ".midshift")
    return found


def force(product: Path, *more: str) -> int:
    """The command, asking no vendor."""
    state = ("--state", str(product / ".midshift"))
    return run(product, "upgrade", "force", WORKLOAD, "--who", "ada", "--why", WHY, "--offline", *state, *more)


def waive(product: Path, what: str) -> int:
    """A failed part, by its name."""
    state = ("--state", str(product / ".midshift"))
    return run(product, "upgrade", "waive", WORKLOAD, what, "--who", "ada", "--why", WHY, *state)


def test_an_upgrade_in_retune_is_forced_by_name_with_the_date_and_who_says_so(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record is all that is left to explain it later, and it opens nothing."""
    stopped(product, walked(product, Kind.EVAL_FAILED))
    capsys.readouterr()

    assert 0 == force(product)

    with store_of(product) as store:
        upgrade = store.upgrade(f"{WORKLOAD}-1")
        record = upgrade.forced
        assert record is not None
        assert "haiku-4.5" == store.variant(record.safe_harbour).model
    assert ("ada", WHY, "2030-03-01", Source.USER) == (
        record.who,
        record.why,
        record.retires_on.isoformat(),
        record.source,
    )
    assert (Stage.RETUNE, ()) == (upgrade.stage, upgrade.waivers)
    out = capsys.readouterr().out
    assert f"midshift upgrade waive {WORKLOAD} '*' --why 'WHY'\n  midshift upgrade waive {WORKLOAD} german" in out


def test_one_that_the_controller_has_stopped_begins_again_with_the_same_candidate(product: Path) -> None:
    """A controller stops within a second of the eval: nobody types as fast."""
    before = walked(product, Kind.EVAL_FAILED, Kind.STOPPED)
    stopped(product, before)

    assert 0 == force(product)

    with store_of(product) as store:
        upgrade = store.upgrade(f"{WORKLOAD}-2")
    assert (before.candidate, Stage.EVAL, ()) == (upgrade.candidate, upgrade.stage, upgrade.waivers)
    assert upgrade.forced is not None


def test_of_several_that_were_stopped_the_best_is_named_by_its_file(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one that was not stopped is no choice."""
    stopped(product, walked(product, Kind.EVAL_FAILED, Kind.STOPPED))

    assert 2 == force(product, "--to", HARBOUR_FILE)
    assert f"none that its eval has stopped with --to '{HARBOUR_FILE}'" in capsys.readouterr().err
    assert 0 == force(product, "--to", NEW_FILE)


@pytest.mark.parametrize("decision", [None, Decision.RETUNE, Decision.COLLECT_MORE, Decision.PROCEED_WITH_CAUTION])
def test_only_what_was_tuned_and_still_fails_is_forced(
    product: Path, decision: Decision | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has stage two before them is told to take it."""
    upgrade = walked(product, Kind.EVAL_FAILED)
    if decision is not None:
        stopped(product, upgrade, decision)

    assert 2 == force(product)

    err = capsys.readouterr().err
    assert "expected 'stop'" in err
    assert f"Type next: midshift {'retune' if decision is Decision.RETUNE else 'upgrade eval'} {WORKLOAD}" in err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sim/sonnet-3.7: 2030-03-01, ", "", "retirements: {sim/sonnet-3.7: YEAR-MONTH-DAY}"),
        (", sim/haiku-4.5: 2031-01-01", "", "expected one that is alive beyond the end of soak"),
        ("haiku-4.5: 2031-01-01", "haiku-4.5: 2026-12-01", "expected one that is alive beyond the end of soak"),
    ],
    ids=["no date", "nobody knows the harbour's", "the harbour retires as well"],
)
def test_without_the_dates_nothing_is_forced(
    product: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An incumbent of which nobody says that it retires is no reason, and a harbour that retires is none."""
    stopped(product, walked(product, Kind.EVAL_FAILED))
    edit(product / "midshift.yaml", old, new)

    assert 2 == force(product)

    err = capsys.readouterr().err
    assert said in err
    assert "Type next:" in err
    with store_of(product) as store:
        assert store.upgrade(f"{WORKLOAD}-1").forced is None


def test_without_a_safe_harbour_nothing_is_forced(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There would be no way back from the day of the retirement on."""
    stopped(product, walked(product, Kind.EVAL_FAILED))
    edit(product / "midshift.yaml", f"    safe_harbour: {HARBOUR_FILE}\n", "")
    run(product, "apply", "--who", "ada")

    assert 2 == force(product)

    assert "Type next: safe_harbour: variants/ANOTHER.yaml, and: midshift apply" in capsys.readouterr().err


def test_the_candidate_is_no_safe_harbour(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A way back to what has failed is none."""
    stopped(product, walked(product, Kind.EVAL_FAILED))
    edit(product / "midshift.yaml", f"safe_harbour: {HARBOUR_FILE}", f"safe_harbour: {NEW_FILE}")
    run(product, "apply", "--who", "ada")

    assert 2 == force(product)

    assert "the candidate itself, expected a third variant" in capsys.readouterr().err


def test_a_safe_harbour_that_may_change_under_its_name_is_refused(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows what one would go back to, on the worst of days."""
    stopped(product, walked(product, Kind.EVAL_FAILED))
    path = product / "variants" / "latest.yaml"
    text = (product / HARBOUR_FILE).read_text(encoding="utf-8")
    path.write_text(text.replace("haiku-4.5", "gpt-4o").replace("sim", "openai"), encoding="utf-8")
    edit(product / "midshift.yaml", f"safe_harbour: {HARBOUR_FILE}", "safe_harbour: variants/latest.yaml")
    edit(product / "midshift.yaml", "vendors: [sim]", "vendors: [sim, openai]")
    edit(product / "midshift.yaml", "sim/haiku-4.5", "openai/gpt-4o")
    run(product, "apply", "--who", "ada")

    assert 2 == force(product)

    assert "safe harbour 'gpt-4o' at 'openai' (floating)" in capsys.readouterr().err


def test_what_failed_can_be_waived_in_a_forced_upgrade_alone(product: Path) -> None:
    """Elsewhere it would open nothing, and nobody would know why."""
    stopped(product, walked(product, Kind.EVAL_FAILED))
    assert 2 == waive(product, "*")
    force(product)

    assert 0 == waive(product, "*")
    assert 2 == waive(product, "G9")


def test_status_says_who_forced_it_and_where_a_rollback_leads(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever is called at night reads this, and nothing else."""
    stopped(product, walked(product, Kind.EVAL_FAILED))
    force(product)
    capsys.readouterr()

    assert 0 == run(product, "upgrade", "status", "--json", "--state", str(product / ".midshift"))
    (found,) = json.loads(capsys.readouterr().out)["upgrades"]
    assert 0 == run(product, "upgrade", "status", "--state", str(product / ".midshift"))
    shown = " ".join(capsys.readouterr().out.split())

    assert ("ada", WHY, "2030-03-01", "user") == tuple(
        found["forced"][name] for name in ("who", "why", "incumbent_retires_on", "source")
    )
    assert "incumbent" == found["rollback_to"]["role"]
    assert found["forced"]["safe_harbour"]["name"].startswith("haiku-4.5")
    assert f"FORCED by ada: {WHY}" in shown
    assert "the incumbent retires on 2030-03-01 (midshift.yaml" in shown
    assert "rollback leads to the incumbent sonnet-3.7" in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "in_shadow", "in_canary", "model"),
    [
        (START, "sonnet-3.7", 0.0, "sonnet-3.7"),
        (START, "sonnet-3.7", 13.0, "haiku-4.5"),
        (datetime(2030, 3, 1, tzinfo=UTC), "haiku-4.5", 0.0, "haiku-4.5"),
    ],
    ids=["before the retirement", "in the middle of it", "after it"],
)
def test_from_a_stop_to_a_fault_in_canary_and_home(
    product: Path, start: datetime, in_shadow: str, in_canary: float, model: str
) -> None:
    """Eval says stop; the best goes on with its names; users are hurt; they go to a model that still answers."""
    stopped(product, walked(product, Kind.EVAL_FAILED, Kind.STOPPED))
    clock, name = ManualClock(start), f"{WORKLOAD}-2"
    options = forcing.Options(WORKLOAD, "ada", WHY, product / ".midshift", offline=True)
    forcing.force(Target(product, store="file:store.txt"), options, {}, clock)

    with store_of(product) as store:
        controller = Controller(store, StateFolder(product / ".midshift", clock), clock, "c1")
        assert Stage.EVAL is turned(controller, store)
        for what in ("*", "german"):
            waive(product, what)
        assert (Stage.SHADOW, in_shadow) == (turned(controller, store), served_by(store))

        serve(store, name, requests=400, shadowed=True)
        clock.advance(15 * DAY)
        assert (Stage.CANARY, in_shadow) == (turned(controller, store), served_by(store))

        clock.advance(in_canary * DAY)
        assert (Stage.CANARY, model) == (turned(controller, store), served_by(store))
        serve(store, name, requests=4000, broken=True)
        assert (Stage.HALTED, model) == (turned(controller, store), served_by(store))
        store.roll_back(WORKLOAD, "ada", "broken", clock.now())
        assert (Stage.ROLLED_BACK, model) == (store.upgrade(name).stage, served_by(store))


def turned(controller: Controller, store: SqlStore) -> Stage:
    """Until the controller has nothing more to do at this moment; the stage of the newest upgrade then."""
    for _ in range(5):
        controller.tick()
    return store.upgrades()[-1].stage


def served_by(store: SqlStore) -> str:
    """The model of everybody who has no candidate."""
    route = store.route(WORKLOAD)
    assert route is not None
    return store.variant(route.incumbent).model


def serve(store: SqlStore, upgrade: str, requests: int, broken: bool = False, shadowed: bool = False) -> None:
    """Requests as a gateway would count them, one in five of a canary's to the candidate."""
    route = store.route(WORKLOAD)
    assert route is not None
    sums = Sums()
    for number in range(requests):
        is_candidate = not shadowed and number % 5 == 0
        sums.add(_exposure(route, upgrade, number, is_candidate, broken, shadowed))
    sequence = store.last_sequence("g1") or 0
    store.merge_sums("g1", sequence + 1, sums.by_key, sums.histograms)


def _exposure(route: Route, upgrade: str, number: int, is_candidate: bool, broken: bool, shadowed: bool) -> Exposure:
    return Exposure(
        request_id=f"r{number}",
        workload=WORKLOAD,
        epoch=route.epoch,
        fate=Fate.CANDIDATE if is_candidate else Fate.INCUMBENT,
        assigned=Arm.CANDIDATE if is_candidate else Arm.INCUMBENT,
        upgrade=upgrade,
        step=route.step,
        block=number % 256,
        status=500 if is_candidate and broken else 200,
        shadow=ShadowFate.PAIRED if shadowed else None,
    )


def test_after_a_rollback_to_the_harbour_the_files_can_tell_the_truth_again(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It serves, so it is no harbour any more: a file that named it twice would be refused."""
    stopped(product, walked(product, Kind.EVAL_FAILED, Kind.STOPPED))
    force(product)
    with store_of(product) as store:
        store.roll_back(WORKLOAD, "ada", "broken", datetime(2030, 3, 2, tzinfo=UTC))
    capsys.readouterr()

    assert 0 == run(product, "sync", WORKLOAD)

    text = (product / "midshift.yaml").read_text(encoding="utf-8")
    assert f"incumbent: {HARBOUR_FILE}\n" in text
    assert "safe_harbour" not in text
    assert 0 == run(product, "apply", "--who", "ada")


def test_the_command_says_that_a_rollback_has_led_to_the_harbour(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever types it at night expects the incumbent."""
    edit(product / "midshift.yaml", "sonnet-3.7: 2030-03-01", "sonnet-3.7: 2026-01-01")
    stopped(product, walked(product, Kind.EVAL_FAILED, Kind.STOPPED))
    force(product)
    capsys.readouterr()

    assert NOBODY_SAID == run(product, "rollback", WORKLOAD, "--who", "ada", "--wait", "0")

    out = capsys.readouterr().out
    assert "haiku-4.5" in out
    assert f"That is the safe harbour of {WORKLOAD}-2: the incumbent sonnet-3.7" in out


def test_a_force_without_a_name_or_a_reason_is_refused(product: Path) -> None:
    """It is somebody's decision."""
    stopped(product, walked(product, Kind.EVAL_FAILED))
    state = product / ".midshift"

    for who, why in ((" ", WHY), ("ada", "")):
        options = forcing.Options(WORKLOAD, who, why, state, offline=True)
        with pytest.raises(MidshiftError, match="Type next"):
            forcing.force(Target(product, store="file:store.txt"), options, {})


def test_the_help_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    """It is looked for on a bad day."""
    assert 0 == main.run(["upgrade", "force", "--help"])
    assert "The incumbent retires" in capsys.readouterr().out


@pytest.mark.slow
def test_the_eval_of_a_forced_upgrade_shows_who_took_what_upon_themselves(
    product: Path, provider: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its report is what gets sent around, and it must not look like any other."""
    case = {"messages": [{"role": "user", "content": "Where is my parcel?"}], "reference": "e"}
    lines = [{"id": f"t-{n}", "slice": ("escalations", "everyday")[n % 2], **case} for n in range(12)]
    suite = product / "suites" / f"{WORKLOAD}.jsonl"
    suite.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (product / "prices.yaml").write_text(PRICES, encoding="utf-8")
    stopped(product, walked(product, Kind.EVAL_FAILED))
    force(product)
    waive(product, "*")
    options = upgrade.EvalOptions(WORKLOAD, "contains", product / "state", product / "eval.html")
    capsys.readouterr()

    upgrade.evaluate(Target(product, store="file:store.txt"), options, {"MIDSHIFT_PROVIDER_SIM_URL": provider})

    page, shown = (product / "eval.html").read_text(encoding="utf-8"), capsys.readouterr().out
    for text in (page, " ".join(shown.split())):
        assert f"FORCED by ada: {WHY}" in text
        assert f"waived * by ada: {WHY}" in text
    assert '<p class="taken-on"' in page
