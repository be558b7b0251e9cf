"""`midshift upgrade …` and `midshift status`: beginning, looking, and what people say to an upgrade."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from midshift.cli import upgrade
from midshift.cli.project import Target
from midshift.cli.serve import StateFolder
from midshift.domain.evidence import EvalEvidence
from midshift.domain.gate import Decision
from midshift.domain.upgrade import Kind, Stage
from midshift.testing import ManualClock
from tests.cli.kept import kept
from tests.cli.test_project import NEW_FILE, OLD_FILE, WORKLOAD, a_product, edit, run, store_of, walked

SHADOW = (Kind.EVAL_CLEARED,)
CANARY = (*SHADOW, Kind.SHADOW_COMPLETED)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product whose definitions are applied."""
    a_product(tmp_path)
    edit(tmp_path / "midshift.yaml", "# approvals:", "approvals:")
    run(tmp_path, "apply", "--who", "ada")
    return tmp_path


PRICES = """\
format: midshift.prices/1
prices:
  - {provider: sim, model: sonnet-3.7, source: test, date: 2026-01-01, per_million_tokens: {input: 3, output: 15}}
  - {provider: sim, model: sonnet-4.6, source: test, date: 2026-01-01, per_million_tokens: {input: 2, output: 10}}
"""


@pytest.fixture
def provider() -> Iterator[str]:
    """The address of a scripted provider, in a process of its own: both models answer alike."""
    voices = [f"--voice={model}=sim/sonnet-3.7" for model in ("sonnet-3.7", "sonnet-4.6")]
    command = [sys.executable, "-m", "midshift.testing.provider_server", "scripted", "--until-eof", "--latency-scale=0"]
    with subprocess.Popen([*command, *voices], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.kill()


def start(product: Path, to: str = NEW_FILE) -> int:
    """Begin an upgrade."""
    return run(product, "upgrade", "start", WORKLOAD, "--to", to, "--who", "ada")


def test_an_upgrade_begins_at_its_eval_and_says_what_to_type(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No user may notice that one has begun; who began it is in the log."""
    assert 0 == start(product)

    with store_of(product) as store:
        begun, change = store.upgrade(f"{WORKLOAD}-1"), store.route_changes(WORKLOAD)[-1]
        assert (Stage.EVAL, "sonnet-4.6") == (begun.stage, store.variant(begun.candidate).model)
        assert ("ada", None, 0.0) == (change.who, change.route.candidate, change.route.share)
    assert f"Type next: midshift upgrade eval {WORKLOAD}" in capsys.readouterr().out


def test_upgrades_of_a_workload_are_numbered(product: Path) -> None:
    """An id that people can say aloud."""
    start(product)
    run(product, "rollback", WORKLOAD, "--wait", "0")
    start(product)

    with store_of(product) as store:
        assert [f"{WORKLOAD}-1", f"{WORKLOAD}-2"] == [item.id for item in store.upgrades()]


@pytest.mark.parametrize("suite", [None, '{"id": "a", "messages": [{"role": "user", "content": "q"}]}\n', "no json\n"])
def test_without_a_suite_with_slices_there_is_no_upgrade(
    product: Path, suite: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """An upgrade that nobody can judge is refused before it begins, with what to write."""
    path = product / "suites" / f"{WORKLOAD}.jsonl"
    path.unlink()
    if suite is not None:
        path.write_text(suite, encoding="utf-8")

    assert 2 == start(product)

    assert f"no suite, no upgrade. Type next: midshift suite build {WORKLOAD}" in capsys.readouterr().err
    with store_of(product) as store:
        assert [] == list(store.upgrades())


def test_an_upgrade_of_files_that_were_not_applied_is_refused(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is judged must be what is recorded."""
    edit(product / "midshift.yaml", "margin: 2pt", "margin: 9pt")

    assert 2 == start(product)

    assert "Type next: midshift apply" in capsys.readouterr().err


def test_one_workload_has_one_upgrade_at_a_time(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two candidates at once, and nobody could say which of them did it."""
    start(product)

    assert 2 == start(product)

    assert f"has the upgrade '{WORKLOAD}-1' in stage eval" in capsys.readouterr().err


def test_what_serves_already_is_no_candidate(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weeks of waiting for the same model would be a poor joke."""
    assert 2 == start(product, OLD_FILE)

    assert "serves 'support-reply' already" in capsys.readouterr().err


def test_a_candidate_at_a_vendor_that_may_not_see_the_data_is_refused(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shadow traffic would hand every user's text to somebody who was never approved."""
    edit(product / NEW_FILE, "provider: sim", "provider: mistral")

    assert 2 == start(product)

    assert "vendors: [sim, mistral]" in capsys.readouterr().err


def test_a_candidate_in_a_region_that_nobody_says_is_refused(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is unknown is in no list of regions."""
    edit(product / "midshift.yaml", "vendors: [sim]", "regions: [eu]")
    run(product, "apply", "--who", "ada")

    assert 2 == start(product)

    assert "found a candidate at 'sim', whose region nobody says" in capsys.readouterr().err


def test_a_data_approval_takes_a_name_and_a_reason_and_stays_with_the_upgrade(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An audit asks who let the data go there; another candidate needs another approval."""
    edit(product / NEW_FILE, "provider: sim", "provider: openai")
    edit(product / NEW_FILE, "model: sonnet-4.6", "model: gpt-4o-2024-08-06")
    begin = ["upgrade", "start", WORKLOAD, "--to", NEW_FILE, "--who", "ada"]

    assert 2 == run(product, *begin, "--approve-data", " ")
    assert 0 == run(product, *begin, "--approve-data", "contract 12 signed")

    with store_of(product) as store:
        (waiver,) = store.upgrade(f"{WORKLOAD}-1").waivers
    assert ("data:openai", "ada") == (waiver.what, waiver.who)
    assert waiver.why.startswith("contract 12 signed ('openai', which is not among")
    assert "the data goes to openai, approved by ada" in capsys.readouterr().out

    again = (product / NEW_FILE).read_text(encoding="utf-8")
    again = again.replace("openai", "anthropic").replace("gpt-4o-2024-08-06", "claude-sonnet-4-6")
    (product / "variants" / "again.yaml").write_text(again, encoding="utf-8")
    change = ["upgrade", "candidate", WORKLOAD, "--to", "variants/again.yaml", "--who", "bob", "--why", "cheaper"]
    assert 2 == run(product, *change)
    assert 0 == run(product, *change, "--approve-data", "contract 13")
    with store_of(product) as store:
        assert [("data:anthropic", "bob")] == [(item.what, item.who) for item in store.upgrade(f"{WORKLOAD}-1").waivers]


def test_an_eval_sends_nothing_where_the_data_may_no_longer_go(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A policy that was narrowed since counts from the next byte on."""
    start(product)
    edit(product / "midshift.yaml", "vendors: [sim]", "vendors: [openai]")
    run(product, "apply", "--who", "ada")

    assert 2 == run(product, "upgrade", "eval", WORKLOAD, "--grader", "exact")

    assert "which is not among the vendors that may see the data" in capsys.readouterr().err


def test_an_eval_that_counts_as_none_is_told_at_the_start_and_in_the_status(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody has run it, and would wait for an upgrade that waits for them."""
    start(product)
    with store_of(product) as store:
        upgrade = store.upgrade(f"{WORKLOAD}-1")
    kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.PROCEED, "it is fine"))
    suite = product / "suites" / f"{WORKLOAD}.jsonl"
    suite.write_text(suite.read_text().replace('"content": "', '"content": "Please: '))
    state = ("--state", str(product / "state"))
    trouble = f"the eval on record rests on other cases: it counts as none. Type next: midshift upgrade eval {WORKLOAD}"
    capsys.readouterr()

    assert 0 == run(product, "upgrade", "status", WORKLOAD, "--json", *state)

    (found,) = json.loads(capsys.readouterr().out)["upgrades"]
    assert ("eval", None, trouble) == (found["stage"], found["next"], found["reason"])
    assert 0 == run(product, "rollback", WORKLOAD, "--who", "ada", "--why", "again")
    assert 0 == run(product, "upgrade", "start", WORKLOAD, "--to", NEW_FILE, "--who", "ada", *state)
    assert trouble in capsys.readouterr().out


def test_status_says_what_the_controller_would_do_and_does_nothing(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Looking must be harmless: no event, no new epoch, no lease."""
    start(product)
    with store_of(product) as store:
        upgrade = store.upgrade(f"{WORKLOAD}-1")
    kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.PROCEED, "it is fine"))
    capsys.readouterr()

    assert 0 == run(product, "upgrade", "status", WORKLOAD, "--json", "--state", str(product / "state"))

    (found,) = json.loads(capsys.readouterr().out)["upgrades"]
    assert ("eval", "eval_cleared", "it is fine") == (found["stage"], found["next"], found["reason"])
    with store_of(product) as store:
        assert [] == list(store.events(f"{WORKLOAD}-1"))


def test_watch_without_a_terminal_prints_once(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe must end."""
    start(product)
    capsys.readouterr()

    assert 0 == run(product, "upgrade", "status", "--watch")

    assert 1 == capsys.readouterr().out.count(f"{WORKLOAD}-1")


def test_status_shows_what_each_gateway_serves(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second step of every rollback is to look whether it has arrived."""
    walked(product, *CANARY)
    with store_of(product) as store:
        store.report("gateway-1", {WORKLOAD: 4}, ManualClock().now())
        store.report("gateway-2", {WORKLOAD: 3}, ManualClock().now())

    capsys.readouterr()

    assert 0 == run(product, "status", WORKLOAD, "--json")
    (route,) = json.loads(capsys.readouterr().out)["routes"]
    assert 0 == run(product, "status")

    assert [("gateway-1", True), ("gateway-2", False)] == [
        (item["name"], item["is_current"]) for item in route["gateways"]
    ]
    assert "99 % of units to sonnet-3.7" in (out := capsys.readouterr().out.replace("\n", " "))
    assert "1 % to sonnet-4.6" in out


@pytest.mark.parametrize("what", ["german", "drift:length", "drift:length:chars", "coverage", "shadow"])
def test_a_waiver_is_kept_with_name_and_reason(product: Path, what: str) -> None:
    """What was let pass, and by whom, is what a review asks first."""
    walked(product, *SHADOW)

    assert 0 == run(product, "upgrade", "waive", WORKLOAD, what, "--who", "ada", "--why", "nobody there")

    with store_of(product) as store:
        (waiver,) = store.upgrade(f"{WORKLOAD}-1").waivers
        assert (what, "ada", "nobody there") == (waiver.what, waiver.who, waiver.why)


@pytest.mark.parametrize(("what", "why"), [("germn", "x"), ("drift:lenght", "x"), ("drift", "x"), ("german", " ")])
def test_a_waiver_for_nothing_or_without_reason_is_refused(
    product: Path, what: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would open nothing, and the upgrade would wait for nobody knows what."""
    walked(product, *SHADOW)

    assert 2 == run(product, "upgrade", "waive", WORKLOAD, what, "--who", "ada", "--why", why)

    assert "Type next:" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["legal@25%", "legal@25"])
def test_an_approval_is_the_one_that_the_plan_asks_for(product: Path, typed: str) -> None:
    """The controller compares texts: what is recorded is the plan's own."""
    walked(product, *CANARY)

    assert 0 == run(product, "upgrade", "approve", WORKLOAD, typed, "--who", "bob")

    with store_of(product) as store:
        assert ("legal@25%",) == store.upgrade(f"{WORKLOAD}-1").approvals


def test_an_approval_that_nobody_waits_for_is_refused(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The person would believe to have approved something."""
    walked(product, *CANARY)

    assert 2 == run(product, "upgrade", "approve", WORKLOAD, "legal@5%", "--who", "bob")

    assert "expected legal@25%" in capsys.readouterr().err


def test_a_pause_lasts_until_it_is_resumed(product: Path) -> None:
    """Before a holiday nothing should advance, and what users have should stay."""
    walked(product, *CANARY)

    assert 0 == run(product, "upgrade", "pause", WORKLOAD, "--who", "ada")
    with store_of(product) as store:
        paused = store.upgrade(f"{WORKLOAD}-1")
    assert 0 == run(product, "upgrade", "resume", WORKLOAD, "--who", "ada")

    with store_of(product) as store:
        assert (True, False) == (paused.paused, store.upgrade(f"{WORKLOAD}-1").paused)
        assert Stage.CANARY is store.upgrade(f"{WORKLOAD}-1").stage
    assert 2 == run(product, "upgrade", "resume", WORKLOAD, "--who", "ada")


def test_another_candidate_goes_back_to_the_eval(product: Path) -> None:
    """A re-tuned prompt is a new variant: nothing that was shown of the old one counts."""
    walked(product, Kind.EVAL_FAILED)
    again = (product / NEW_FILE).read_text(encoding="utf-8").replace("effort: low", "effort: high")
    (product / "variants" / "again.yaml").write_text(again, encoding="utf-8")

    arguments = ["--to", "variants/again.yaml", "--who", "ada", "--why", "re-tuned"]
    assert 0 == run(product, "upgrade", "candidate", WORKLOAD, *arguments)

    with store_of(product) as store:
        found = store.upgrade(f"{WORKLOAD}-1")
        assert (Stage.EVAL, "high") == (found.stage, store.variant(found.candidate).effort)


@pytest.mark.slow
def test_an_eval_over_http_is_kept_where_the_controller_finds_it(
    product: Path, provider: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gate of the first stage: 600 cases asked of both, judged, and known to whoever decides."""
    case = {"messages": [{"role": "user", "content": "Where is my parcel?"}], "reference": "e"}
    lines = [{"id": f"t-{n}", "slice": ("escalations", "everyday")[n % 2], **case} for n in range(600)]
    suite = product / "suites" / f"{WORKLOAD}.jsonl"
    suite.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (product / "prices.yaml").write_text(PRICES, encoding="utf-8")
    start(product)
    options = upgrade.EvalOptions(WORKLOAD, "contains", product / "state", product / "eval.html")

    target = Target(product, store="file:store.txt")
    code = upgrade.evaluate(target, options, {"MIDSHIFT_PROVIDER_SIM_URL": provider})

    assert (0, True) == (code, (product / "eval.html").exists())
    assert "kept for the controller:" in capsys.readouterr().out
    with store_of(product) as store:
        evidence = StateFolder(product / "state", ManualClock()).eval_of(store.upgrade(f"{WORKLOAD}-1"))
    assert evidence is not None
    assert Decision.PROCEED is evidence.decision


def test_an_eval_without_an_upgrade_names_the_one_that_needs_none(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There are two, and whoever types the wrong one should not have to look for the other."""
    assert 2 == run(product, "upgrade", "eval", WORKLOAD)

    said = capsys.readouterr().err
    assert f"midshift upgrade start {WORKLOAD} --to" in said
    assert f"or to compare files without one: midshift eval {WORKLOAD} --to" in said


def test_an_eval_without_an_address_says_which_variable(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A provider that nobody named an address for cannot be asked."""
    start(product)

    assert 2 == run(product, "upgrade", "eval", WORKLOAD, "--grader", "exact")

    assert "export MIDSHIFT_PROVIDER_SIM_URL=" in capsys.readouterr().err
