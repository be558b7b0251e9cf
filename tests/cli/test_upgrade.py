"""`midshift upgrade …` and `midshift status`: beginning, looking, and what people say to an upgrade."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midshift.cli import in_force, upgrade
from midshift.cli.project import Target
from midshift.cli.rollback import NOBODY_SAID
from midshift.cli.state_folder import StateFolder
from midshift.cli.system import SystemClock
from midshift.domain.evidence import EvalEvidence
from midshift.domain.gate import Decision
from midshift.domain.gateways import GatewayProcess, Told
from midshift.domain.upgrade import Event, Kind, Stage, apply, route_of
from midshift.testing import ManualClock
from tests.cli.kept import kept
from tests.cli.test_defining import NEW_FILE, OLD_FILE, WORKLOAD, a_product, edit, run, store_of, walked

SHADOW = (Kind.EVAL_CLEARED,)
CANARY = (*SHADOW, Kind.SHADOW_COMPLETED)
HOME = Told(4, "forced")


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
    assert NOBODY_SAID == run(product, "rollback", WORKLOAD, "--who", "ada", "--why", "again")
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
        now = SystemClock().machine_now()
        for number, instance, told in ((1, "a", Told(4)), (1, "b", Told(4)), (2, "a", Told(3)), (3, "a", HOME)):
            store.report(GatewayProcess(f"gateway-{number}", instance), {WORKLOAD: told}, now)
        store.report(GatewayProcess("gateway-4"), {WORKLOAD: Told(4)}, now - timedelta(seconds=42))

    capsys.readouterr()

    assert 0 == run(product, "status", WORKLOAD, "--json")
    (route,) = json.loads(capsys.readouterr().out)["routes"]
    assert 0 == run(product, "status")

    assert [
        ("gateway-1", True, "serves", None),
        ("gateway-1", True, "serves", None),
        ("gateway-2", False, "behind", None),
        ("gateway-3", False, "home", "forced"),
        ("gateway-4", False, "silent", None),
    ] == [(item["name"], item["is_current"], item["standing"], item["home"]) for item in route["gateways"]]
    assert "99 % of units to sonnet-3.7" in (out := " ".join(capsys.readouterr().out.split()))
    assert "1 % to sonnet-4.6" in out
    assert "✔ gateway-1 serves epoch 4" in out
    assert "◌ gateway-2 serves epoch 3, which is not the present one" in out
    assert "⚠ gateway-3 is home: forced" in out
    assert "✖ gateway-4 is silent for 4" in out
    assert "several gateways run as 'gateway-1'" in out


def test_when_every_gateway_is_home_the_share_of_the_row_is_not_what_users_get(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The row says what was decided; the gateways say what is."""
    walked(product, *CANARY)
    with store_of(product) as store:
        store.report(GatewayProcess("gateway-1", "a"), {WORKLOAD: HOME}, SystemClock().machine_now())
    capsys.readouterr()

    assert 0 == run(product, "status")

    assert "⚠ every gateway is home: nobody gets the candidate" in " ".join(capsys.readouterr().out.split())


def test_a_row_that_nobody_watches_says_so(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its lease is over: what users get is no longer the share that was decided."""
    walked(product, *CANARY)
    with store_of(product) as store:
        now = SystemClock().machine_now()
        lease = store.take_lease("c1", now, timedelta(seconds=15))
        assert lease is not None
        store.extend_routes(now - timedelta(seconds=1), lease.epoch)
    capsys.readouterr()

    assert 0 == run(product, "status")

    assert "its lease is over, so nobody new gets the candidate" in " ".join(capsys.readouterr().out.split())


def test_in_shadow_it_is_said_how_many_of_the_others_are_answered_unseen(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them is not every other one."""
    walked(product, *SHADOW)
    capsys.readouterr()

    assert 0 == run(product, "status", WORKLOAD)

    assert "also answers 100 % of the others unseen (shadow)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", [("status",), ("upgrade", "status")])
def test_whether_anybody_decides_is_said_by_both_commands(
    product: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the controller dead nothing advances, and nobody stops a canary that does harm."""

    def seen() -> tuple[str, dict[str, Any] | None]:
        run(product, *command)
        text = " ".join(capsys.readouterr().out.split())
        run(product, *command, "--json")
        return text, json.loads(capsys.readouterr().out)["controller"]

    walked(product, *CANARY)
    capsys.readouterr()
    before, nobody = seen()
    with store_of(product) as store:
        lease = store.take_lease("c1", SystemClock().machine_now(), timedelta(seconds=15))
    during, looking = seen()
    with store_of(product) as store:
        assert lease is not None
        store.release(lease, SystemClock().machine_now())
    after, ended = seen()

    assert "no controller has ever looked. Type next: midshift serve controller" in before
    assert "controller: c1, looked 0" in during
    assert "no controller has looked for 0" in after
    assert "(the last was c1). Type next: midshift serve controller" in after
    assert nobody is None
    assert looking is not None
    assert ended is not None
    assert (("c1", True), ("c1", False)) == (
        (looking["name"], looking["is_looking"]),
        (ended["name"], ended["is_looking"]),
    )


def test_a_controller_of_the_version_before_looked_as_long_ago_as_its_lease_began(product: Path) -> None:
    """It does not say when it looked; a guess that makes it fresher than it can be would hide that it is dead."""
    with store_of(product) as store:
        until = SystemClock().machine_now() - timedelta(seconds=38)
        store.take_lease("c1", until - timedelta(seconds=15), timedelta(seconds=15))
        found = in_force.controller_record(store)

    assert found is not None
    assert 53.0 <= found["seconds_ago"] < 60.0


@pytest.mark.parametrize("what", ["german", "drift:length", "drift:length:chars", "coverage", "shadow"])
def test_a_waiver_is_kept_with_name_and_reason(product: Path, what: str) -> None:
    """What was let pass, and by whom, is what a review asks first."""
    walked(product, *SHADOW)

    assert 0 == run(product, "upgrade", "waive", WORKLOAD, what, "--who", "ada", "--why", "nobody there")

    with store_of(product) as store:
        (waiver,) = store.upgrade(f"{WORKLOAD}-1").waivers
        assert (what, "ada", "nobody there") == (waiver.what, waiver.who, waiver.why)


def test_a_budget_is_waived_by_the_name_of_its_gate(product: Path) -> None:
    """The gate has always asked for it, and the command has to take it."""
    edit(product / "midshift.yaml", "    upgrade:\n", "    budgets: {cost_per_call_usd: 0.01}\n    upgrade:\n")
    assert 0 == run(product, "apply", "--who", "ada")
    walked(product, *SHADOW)

    assert 0 == run(product, "upgrade", "waive", WORKLOAD, "budget:cost per call", "--who", "ada", "--why", "a week")
    assert 2 == run(product, "upgrade", "waive", WORKLOAD, "budget:p99 latency", "--who", "ada", "--why", "a week")


def test_why_somebody_halted_or_rolled_back_can_be_read(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reason that is asked for and shown nowhere is a form to fill in."""
    walked(product, *CANARY)
    run(product, "halt", WORKLOAD, "--who", "ada", "--why", "tickets about prices")
    capsys.readouterr()
    assert 0 == run(product, "status")
    halted = " ".join(capsys.readouterr().out.split())
    run(product, "upgrade", "resume", WORKLOAD, "--who", "bob")
    run(product, "upgrade", "waive", WORKLOAD, "german", "--who", "eve", "--why", "read by hand")
    run(product, "rollback", WORKLOAD, "--wait", "0", "--who", "grace", "--why", "enough is enough")
    capsys.readouterr()
    assert 0 == run(product, "upgrade", "status", WORKLOAD)
    back = " ".join(capsys.readouterr().out.split())
    assert 0 == run(product, "upgrade", "status", WORKLOAD, "--json")
    (record,) = json.loads(capsys.readouterr().out)["upgrades"]
    assert 0 == run(product, "upgrade", "log", WORKLOAD)
    said = capsys.readouterr().out
    assert 0 == run(product, "upgrade", "log", WORKLOAD, "--json")
    events = json.loads(capsys.readouterr().out)["events"]

    assert "by ada: tickets about prices" in halted and f"midshift upgrade resume {WORKLOAD}" in halted
    assert "by grace: enough is enough" in back
    assert "✔ eval" in back and "✔ shadow" in back and "✖ canary: rolled back" in back and "✖ 1%" in back
    assert ("canary", "grace", "enough is enough") == (
        *(record["reached"]["stage"], record["ended"]["who"]),
        record["ended"]["why"],
    )
    assert ["ada", "ada", "ada", "ada", "bob", "eve", "grace"] == [item["who"] for item in events]
    assert ("waived", "german", "read by hand") == tuple(events[5][name] for name in ("kind", "what", "why"))
    assert ({"stage": "canary", "step": 0}, {"stage": "rolled_back", "step": 0}) == (events[6]["from"], events[6]["to"])
    assert ["tickets about prices", "resumed", "read by hand", "enough is enough"] == [
        line.split("  ")[-1].strip() for line in said.splitlines()[4:]
    ]
    assert "halted: canary 1% → halted" in said and "rolled back: canary 1% → rolled back" in said


def test_too_few_cases_lead_to_the_suite_and_not_to_the_same_eval_again(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same cases once more say the same."""
    upgrade = walked(product)
    kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.COLLECT_MORE, "143 more cases for 2"))

    assert 0 == run(product, "upgrade", "status", WORKLOAD, "--state", str(product / "state"))

    said = " ".join(capsys.readouterr().out.split())
    assert "next: collect more cases" in said
    assert said.index(f"type: midshift suite check {WORKLOAD}") < said.index(f"type: midshift upgrade eval {WORKLOAD}")


def test_the_log_is_of_the_newest_upgrade_or_of_the_one_that_is_named(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the next one has begun, the last one's reasons are asked for most."""
    assert 2 == run(product, "upgrade", "log", WORKLOAD)
    start(product)
    run(product, "rollback", WORKLOAD, "--wait", "0", "--why", "the first")
    start(product)
    capsys.readouterr()

    assert 0 == run(product, "upgrade", "log", WORKLOAD)
    newest = capsys.readouterr().out
    assert 0 == run(product, "upgrade", "log", WORKLOAD, "--upgrade", f"{WORKLOAD}-1")
    first = capsys.readouterr().out
    assert 2 == run(product, "upgrade", "log", WORKLOAD, "--upgrade", "other-1")

    assert newest.startswith(f"{WORKLOAD}-2:") and "the first" not in newest
    assert "the first" in first and f"started with {NEW_FILE}" in first


@pytest.mark.parametrize("width", ["40", "80"])
def test_status_names_the_command_that_opens_what_waits(
    product: Path, width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence that is cut before the word to type helps nobody."""
    monkeypatch.setenv("COLUMNS", width)
    upgrade = walked(product)
    assert 0 == run(product, "upgrade", "status", WORKLOAD)
    before = "".join(capsys.readouterr().out.split())
    open_slices = EvalEvidence(
        upgrade.candidate, Decision.PROCEED_WITH_CAUTION, "so so", unproven=("german", "long ones"), regressed=("poor",)
    )
    kept(product, upgrade, open_slices)
    with store_of(product) as store:
        event = Event(Kind.EVAL_CLEARED, upgrade.entered, "ada", "because")
        after = apply(upgrade, event)
        store.commit(upgrade, after, event, {}, "test", route_of(after, 3, None), None)
    arguments = ["upgrade", "status", WORKLOAD, "--state", str(product / "state")]
    assert 0 == run(product, *arguments)
    waiting = "".join(capsys.readouterr().out.split()).replace("│", "")
    assert 0 == run(product, *arguments, "--json")

    assert f"type:midshiftupgradeeval{WORKLOAD}" in before.replace("│", "")
    assert "next:waitsforclock,coverage,slicegerman,slicelongones,slicepoor" in waiting
    assert [f'midshift upgrade waive {WORKLOAD} {name} --why "..."' for name in ("german", "'long ones'", "poor")] == (
        json.loads(capsys.readouterr().out)["upgrades"][0]["type_next"]
    )
    assert f"type:midshiftupgradewaive{WORKLOAD}'longones'" in waiting


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
