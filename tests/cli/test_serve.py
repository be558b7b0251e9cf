"""`midshift serve`: what the two processes are told, and that they live, die and come back."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import takewhile
from pathlib import Path

import pytest

from midshift.cli import serve
from midshift.cli.basis import Holding
from midshift.cli.limits import SaidLimits
from midshift.cli.project import Target, applied
from midshift.domain.evidence import EvalEvidence
from midshift.domain.exposure import Pair, ShadowAnswer
from midshift.domain.gate import Decision
from midshift.domain.unseen import PairKind
from midshift.domain.upgrade import Kind, Stage, Upgrade
from midshift.errors import ConfigError, UsageError
from midshift.gateway.settings import GatewaySettings, Limits
from midshift.store.recorder import SegmentWriter
from midshift.testing import ManualClock
from tests.cli.kept import kept
from tests.cli.test_defining import OLD_FILE, WORKLOAD, a_product, edit, run, store_of, walked

LATER = timedelta(days=1)
UNIT_KEY = "unit-key-0123456789"
PRICES = """
format: midshift.prices/1
prices:
  - {provider: sim, model: sonnet-3.7, per_million_tokens: {input: 3, output: 15}, source: made up, date: 2026-01-01}
"""
HEAVY = {"sqlalchemy", "alembic", "genai_prices", "pydantic", "jsonschema", "numpy", "scipy", "duckdb"}
KNOWN = {"MIDSHIFT_UNIT_KEY": UNIT_KEY, "MIDSHIFT_PROVIDER_SIM_URL": "http://127.0.0.1:9/v1"}


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product whose definitions are applied."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")
    return tmp_path


def settings(product: Path, environment: Mapping[str, str], host: str = "127.0.0.1") -> GatewaySettings:
    """What a gateway would be told."""
    options = serve.GatewayOptions(product / "state", "gateway-1", host, 0)
    with store_of(product) as store:
        return serve.gateway_settings(store, applied(store), options, environment)


def test_a_gateway_is_told_what_was_applied(product: Path) -> None:
    """Files define, the store decides: a gateway on another host has no files."""
    found = settings(product, KNOWN)

    assert [WORKLOAD] == [workload.name for workload in found.workloads]
    assert {"sim": "http://127.0.0.1:9/v1"} == {name: one.base_url for name, one in found.upstreams.items()}
    assert product / "state" / "gateways" / "gateway-1" == found.state_dir


def test_beyond_loopback_a_gateway_asks_for_keys(product: Path) -> None:
    """Anybody could spend the provider's key otherwise."""
    with pytest.raises(ConfigError, match="MIDSHIFT_CLIENT_KEYS"):
        settings(product, KNOWN, host="0.0.0.0")

    keys = "client-key-0123456789, client-key-9876543210"
    found = settings(product, {**KNOWN, "MIDSHIFT_CLIENT_KEYS": keys}, host="0.0.0.0")
    assert ["client-1", "client-2"] == [key.name for key in found.client_keys]


@pytest.mark.parametrize("missing", sorted(KNOWN))
def test_what_a_gateway_lacks_is_said_by_its_variable(product: Path, missing: str) -> None:
    """A process that does not start must say what to type."""
    with pytest.raises(ConfigError, match=f"found no {missing}.*Type next: export {missing}="):
        settings(product, {name: value for name, value in KNOWN.items() if name != missing})


PROVIDERS = """
providers:
  my-host: {vendor: openai_compatible, base_url: "https://vllm.example:8000/v1", key: env:MY_KEY, region: eu}
  anthropic: {shadow_key: env:SHADOW}
"""


def test_a_gateway_takes_addresses_from_what_was_applied(tmp_path: Path) -> None:
    """The files are not on its host: whoever changes an address has to apply it, under a name, with a commit."""
    a_product(tmp_path)
    main = tmp_path / "midshift.yaml"
    main.write_text(main.read_text(encoding="utf-8") + PROVIDERS, encoding="utf-8")
    edit(main, "vendors: [sim]", "vendors: [my-host, anthropic]")
    edit(tmp_path / OLD_FILE, "provider: sim", "provider: my-host")
    run(tmp_path, "apply", "--who", "ada")
    main.unlink()
    keys = {"MY_KEY": "k-1", "ANTHROPIC_API_KEY": "k-2", "SHADOW": "k-3"}

    found = settings(tmp_path, {"MIDSHIFT_UNIT_KEY": UNIT_KEY, **keys}).upstreams
    with pytest.raises(ConfigError, match="provider 'my-host' has no key: found no MY_KEY"):
        settings(tmp_path, {"MIDSHIFT_UNIT_KEY": UNIT_KEY})

    assert {"my-host", "anthropic"} == set(found)
    assert ("https://vllm.example:8000/v1", "k-1") == (found["my-host"].base_url, found["my-host"].api_key)
    assert ("k-2", "k-3") == (found["anthropic"].api_key, found["anthropic"].shadow_api_key)
    with store_of(tmp_path) as store:
        stored = json.dumps([item.content for item in store.definitions()])
    assert "env:MY_KEY" in stored
    assert [] == [key for key in keys.values() if key in stored]


@pytest.mark.parametrize(("text", "expected"), [("1s", 1.0), ("200ms", 0.2), ("0.5s", 0.5), ("1m", 60.0)])
def test_a_time_is_read(text: str, expected: float) -> None:
    """As people write it."""
    assert expected == serve.seconds(text)


@pytest.mark.parametrize("text", ["", "1", "0s", "-1s", "2m", "1h", "1s1s"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    """A loop without a pause would keep a core busy, an hour would let the lease run out."""
    with pytest.raises(UsageError, match="--every 1s"):
        serve.seconds(text)


def test_an_eval_comes_back_as_it_was_written(product: Path) -> None:
    """The controller decides on it, in another process, maybe days later."""
    upgrade = walked(product)
    evidence = EvalEvidence(upgrade.candidate, Decision.PROCEED_WITH_CAUTION, "so", ("german",), ("everyday",))
    folder = serve.StateFolder(product / "state", ManualClock())
    assert folder.eval_of(upgrade) is None

    path = kept(product, upgrade, evidence)

    found = folder.eval_of(upgrade)
    assert found is not None
    assert (evidence, WORKLOAD) == (replace(found, basis=None), found.basis and found.basis.workload)
    assert f"{upgrade.candidate}.json" == path.name


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "another/1", "evidence": {}}', b"\xff"])
def test_an_eval_that_cannot_be_read_is_no_eval(product: Path, content: bytes) -> None:
    """Missing evidence is never success, and no reason to stop looking at other upgrades."""
    upgrade = walked(product)
    folder = serve.StateFolder(product / "state", ManualClock())
    kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.PROCEED, "so")).write_bytes(content)

    assert folder.eval_of(upgrade) is None
    assert f"counts as none. Type next: midshift upgrade eval {WORKLOAD}" in folder.eval_trouble(upgrade)


def test_an_eval_of_an_earlier_form_is_none_and_says_so(product: Path) -> None:
    """It does not say which cases, graders and margins it rests on, so nobody knows what it proves."""
    upgrade = walked(product)
    folder = serve.StateFolder(product / "state", ManualClock())
    assert "" == folder.eval_trouble(upgrade)
    (product / "state" / "evals").mkdir(parents=True)
    (product / "state" / "evals" / f"{upgrade.candidate}.json").write_text("{}")

    assert folder.eval_of(upgrade) is None
    assert "of an earlier form" in folder.eval_trouble(upgrade)


@pytest.mark.parametrize(
    ("name", "old", "new", "part"),
    [
        ("suites/support_reply.jsonl", "messages", "messages", ""),
        ("suites/support_reply.jsonl", '"role": "user", "content": "', '"role": "user", "content": "x', "other cases"),
        ("midshift.yaml", "margin: 2pt ", "margin: 1pt ", "margins (* 2pt"),
    ],
    ids=["nothing", "cases", "margin"],
)
def test_an_eval_that_rests_on_something_else_counts_as_none(
    product: Path, name: str, old: str, new: str, part: str
) -> None:
    """And whoever waits for it hears which part differs, and what to type."""
    upgrade = walked(product)
    kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.PROCEED, "so"))
    file = product / name.replace("support_reply", WORKLOAD)
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    assert 0 == run(product, "apply", "--who", "ada")

    with store_of(product) as store:
        target, clock = Target(product, store="file:store.txt"), ManualClock()
        folder = serve.StateFolder(product / "state", clock, Holding(target, store, clock))

        assert (part == "") == (folder.eval_of(upgrade) is not None)
        assert part in folder.eval_trouble(upgrade)


@pytest.mark.parametrize("part", ["workload", "incumbent"])
def test_an_eval_of_another_workload_or_incumbent_counts_as_none(product: Path, part: str) -> None:
    """Two workloads may have one candidate: what is shown for one is not shown for the other."""
    upgrade = walked(product)
    path = kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.PROCEED, "so"))
    content = json.loads(path.read_text())
    content["evidence"]["basis"][part] = "another"
    path.write_text(json.dumps(content))
    folder = serve.StateFolder(product / "state", ManualClock())

    assert folder.eval_of(upgrade) is None
    assert f"rests on other {part}: it counts as none" in folder.eval_trouble(upgrade)


def test_two_workloads_with_one_candidate_have_an_eval_each(product: Path) -> None:
    upgrade = walked(product)
    evidence = EvalEvidence(upgrade.candidate, Decision.PROCEED, "so")
    path = kept(product, upgrade, evidence)
    basis = serve.StateFolder(product / "state", ManualClock()).eval_of(upgrade)
    assert basis is not None and basis.basis is not None

    other = replace(evidence, basis=replace(basis.basis, workload="another"))

    assert path != serve.StateFolder(product / "state", ManualClock()).write_eval(other)
    assert basis == serve.StateFolder(product / "state", ManualClock()).eval_of(upgrade)


def a_pair(upgrade: Upgrade, number: int, text: str) -> Pair:
    """Two answers to one request; the incumbent's is always the same."""
    old = ShadowAnswer("Yes, of course. Is there anything else?", 200, 1.0, 10, 10, 0.001, "stop")
    return Pair(f"r-{number}", WORKLOAD, upgrade.id, upgrade.candidate, (), old, replace(old, text=text))


def test_drift_is_found_in_the_pairs_of_this_upgrade(product: Path) -> None:
    """What shadow has shown must reach the gate; other candidates' pairs are none of it."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            writer.record_pair(a_pair(upgrade, number, "Yes."))
            writer.record_pair(a_pair(replace(upgrade, id="another"), number, "{}"))

    found = serve.StateFolder(product / "state", ManualClock()).flagged_drift(upgrade)

    assert "length:chars" in found
    assert [] == [name for name in found if name.startswith("json")]


@pytest.mark.parametrize("kind", [PairKind.LIVE, PairKind.REVERSE, PairKind.NOISE])
def test_drift_of_a_shadow_is_seen_in_shadow_pairs_alone(product: Path, kind: PairKind) -> None:
    """The others are samples of other requests, and a noise pair has no candidate in it."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            writer.record_pair(replace(a_pair(upgrade, number, "Yes."), kind=kind))

    assert () == serve.StateFolder(product / "state", ManualClock()).flagged_drift(upgrade)


def test_divergence_is_net_of_what_the_incumbent_differs_from_itself(product: Path) -> None:
    """The incumbent says it in other words each time; the candidate says something else."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            shadow = a_pair(upgrade, number, '{"answer": "yes"}')
            again = replace(shadow.incumbent, text="Yes, of course! Is there anything else?")
            noise = replace(shadow, kind=PairKind.NOISE, candidate_id=upgrade.incumbent, candidate=again)
            writer.record_pair(shadow)
            writer.record_pair(noise)
            writer.record_pair(replace(noise, request_id=f"f-{number}", candidate=ShadowAnswer(None, 500)))

    found = serve.StateFolder(product / "state", ManualClock()).divergence(upgrade)

    words = next(item for item in found if item.metric == "words")
    assert (0.0 < words.incumbent < words.candidate, 60) == (True, words.net.n)
    assert words.net.low > 0.0
    form = next(item for item in found if item.metric == "form")
    assert (1.0, 0.0) == (form.candidate, form.incumbent)


def test_the_drift_of_an_upgrade_is_shown(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words for people, as JSON for the rest; and 3 as long as there is nothing to show."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    arguments = ("upgrade", "drift", WORKLOAD, "--state", str(product / "state"))
    assert 3 == run(product, *arguments)
    assert f"Type next: midshift upgrade status {WORKLOAD}" in capsys.readouterr().out
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            writer.record_pair(a_pair(upgrade, number, "Yes."))

    assert 0 == run(product, *arguments)
    assert "drift beyond chance" in capsys.readouterr().out
    assert 0 == run(product, *arguments, "--json")
    content = json.loads(capsys.readouterr().out)
    assert (upgrade.id, []) == (content["upgrade"], content["divergence"])
    assert any(item["flagged"] for item in content["drift"])


def test_the_drift_of_a_workload_without_an_upgrade_is_refused(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what there is, and what to type."""
    assert 2 == run(product, "upgrade", "drift", "suport-reply")
    assert "has had no upgrade; those that have: none at all" in capsys.readouterr().err


def test_a_gateway_is_told_its_shadow_budget(product: Path) -> None:
    """In dollars a day; without one there is no limit."""
    with store_of(product) as store:
        for budget in (None, 20.0):
            options = serve.GatewayOptions(product / "state", "g", "127.0.0.1", 0, None, budget)
            found = serve.gateway_settings(store, applied(store), options, KNOWN)
            assert budget == found.shadow.budget_usd_per_day


def test_a_gateway_is_told_its_limits(product: Path) -> None:
    """What is typed reaches the process that refuses by it."""
    with store_of(product) as store:
        options = serve.GatewayOptions(product / "state", "g", "127.0.0.1", 0, limits=SaidLimits(max_in_flight=5000))
        found = serve.gateway_settings(store, applied(store), options, KNOWN)

    assert Limits(max_in_flight=5000) == found.limits


def test_drift_is_computed_again_when_there_is_more(product: Path) -> None:
    """A look at all pairs is dear, so not at every tick; but what came later must not be missed."""
    upgrade, clock = walked(product, Kind.EVAL_CLEARED), ManualClock()
    folder = serve.StateFolder(product / "state", clock)
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            writer.record_pair(a_pair(upgrade, number, "Yes, of course. Is there anything else?"))
        writer.flush()
        before = folder.flagged_drift(upgrade)
        for number in range(60, 80):
            writer.record_pair(a_pair(upgrade, number, "No."))
        writer.flush()
        at_once = folder.flagged_drift(upgrade)
        clock.advance(601.0)

        assert ((), ()) == (before, at_once)
        assert "length:chars" in folder.flagged_drift(upgrade)


@contextmanager
def process(product: Path, *arguments: str, python: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """`midshift serve …` as a process of its own; `python` is what the interpreter is told."""
    command = [sys.executable, *python, "-m", "midshift", "serve", *arguments, "--config", str(product)]
    state = ["--store", "file:store.txt", "--state", str(product / "state")]
    environment = {**os.environ, **KNOWN}
    with subprocess.Popen(
        [*command, *state], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def line_of(running: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert running.stdout is not None
    return running.stdout.readline()


@pytest.mark.slow
def test_a_controller_decides_and_another_goes_on_after_it_was_killed(product: Path) -> None:
    """Whatever happens to the process, what was decided stays, and the next one takes over where it was."""
    upgrade = walked(product)
    with process(product, "controller", "--every", "50ms") as first:
        assert "looks every 0.05 s" in line_of(first)
        kept(product, upgrade, EvalEvidence(upgrade.candidate, Decision.PROCEED, "it is fine"))
        assert "eval_cleared: eval → shadow" in line_of(first)
        first.send_signal(signal.SIGKILL)
        assert -signal.SIGKILL == first.wait(30)

    assert 0 == run(product, "upgrade", "waive", WORKLOAD, "shadow", "--who", "ada", "--why", "seen before")
    with store_of(product) as store:  # the dead one's lease: its owner's name is no longer used
        lease = store.take_lease("nobody", store.route_changes(WORKLOAD)[0].machine_at + LATER, LATER)
        assert lease is not None
        store.release(lease, store.route_changes(WORKLOAD)[0].machine_at)
    with process(product, "controller", "--every", "50ms") as second:
        assert "looks every" in line_of(second)
        assert "shadow_waived: shadow → canary at 1 %" in line_of(second)
        second.send_signal(signal.SIGTERM)
        assert ("controller: ended\n", 0) == (line_of(second), second.wait(30))

    with store_of(product) as store:
        assert Stage.CANARY is store.upgrade(upgrade.id).stage


@pytest.mark.slow
def test_a_controller_says_that_nothing_is_applied_yet(tmp_path: Path) -> None:
    """A process that runs for ever in silence looks like one that watches."""
    a_product(tmp_path)
    store_of(tmp_path).close()
    with process(tmp_path, "controller", "--every", "50ms") as running:
        assert "looks every" in line_of(running)
        assert "nothing is applied yet" in line_of(running)
        running.send_signal(signal.SIGTERM)
        assert 0 == running.wait(30)


def test_a_unit_key_that_is_too_short_is_named_with_one_to_type(product: Path) -> None:
    """A person set an environment variable, and knows nothing of a field called `unit_key`."""
    with pytest.raises(ConfigError, match=r"MIDSHIFT_UNIT_KEY has 5 bytes, expected at least 16.*Type next: export"):
        settings(product, {**KNOWN, "MIDSHIFT_UNIT_KEY": "short"})


@pytest.mark.slow
def test_a_port_that_is_taken_is_answered_with_what_to_type(product: Path) -> None:
    """Another gateway is there already, mostly."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with process(product, "gateway", "--name", "gateway-1", "--port", port) as running:
            said, _ = running.communicate(timeout=30)

    assert 2 == running.returncode
    assert f"cannot listen on 127.0.0.1 port {port}" in said and "Type next: ss -ltnp" in said


@pytest.mark.slow
def test_a_gateway_answers_until_it_is_told_to_end(product: Path) -> None:
    """The other process: it says where it listens, reports what it serves, and leaves on SIGTERM."""
    (product / "prices.yaml").write_text(PRICES)
    with process(product, "gateway", "--name", "gateway-1", "--port", "0") as running:
        said = line_of(running)
        address = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert address is not None, said
        with urllib.request.urlopen(f"{address[0]}/v1/models", timeout=30) as answer:
            models = [model["id"] for model in json.load(answer)["data"]]
        with store_of(product) as store:
            while not store.reports():
                assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        assert ("gateway gateway-1: ended\n", 0) == (line_of(running), running.wait(30))

    assert ["sonnet-3.7"] == models
    with store_of(product) as store:
        assert [("gateway-1", 1, True)] == [(item.gateway, item.epoch, item.is_stopped) for item in store.reports()]


@pytest.mark.slow
def test_a_second_gateway_of_a_name_is_refused_and_one_that_was_killed_starts_again_at_once(product: Path) -> None:
    """Two of one name would speak for each other; a dead one must not keep the living out."""
    with process(product, "gateway", "--name", "gateway-1", "--port", "0") as first:
        assert "listens on" in line_of(first)
        with process(product, "gateway", "--name", "gateway-1", "--port", "0") as second:
            assert "--name 'gateway-1': a gateway of that name runs here already" in line_of(second)
            assert 2 == second.wait(30)
        first.send_signal(signal.SIGKILL)
        first.wait(30)
    with process(product, "gateway", "--name", "gateway-1", "--port", "0") as again:
        assert "listens on" in line_of(again)


@pytest.mark.slow
def test_a_gateway_starts_while_nobody_can_write_to_the_store(product: Path) -> None:
    """Somebody else's long transaction, a full disk: reading is enough to answer users. It reports when it can."""
    file = next(product.glob("*.db"))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with process(product, "gateway", "--name", "gateway-1", "--port", "0") as running:
            assert "listens on" in line_of(running)
            other.execute("COMMIT")
            with store_of(product) as store:
                while not store.reports():
                    assert running.poll() is None


@pytest.mark.slow
def test_a_name_that_is_none_makes_no_folder(product: Path) -> None:
    """It would lie outside of the state folder."""
    with process(product, "gateway", "--name", "../../outside", "--port", "0") as running:
        assert "gateway name: found '../../outside'" in line_of(running)

    assert not (product / "outside").exists()


@pytest.mark.slow
def test_a_gateway_that_never_listened_never_reported(product: Path) -> None:
    """A rollback would wait for it, and name it to people who find nothing there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with process(product, "gateway", "--name", "gateway-1", "--port", port) as failing:
            assert 0 != failing.wait(30)

    with store_of(product) as store:
        assert [] == list(store.reports())


@pytest.mark.slow
def test_a_gateway_says_whose_cost_nobody_will_know(product: Path) -> None:
    """A budget over unknown costs holds nothing: whoever starts it should know on the first day."""
    (product / "prices.yaml").unlink(missing_ok=True)
    with process(product, "gateway", "--name", "gateway-1", "--port", "0") as running:
        assert "listens on" in line_of(running)
        assert "no price for 'sonnet-3.7' at 'sim'" in line_of(running)


@pytest.mark.slow
def test_a_gateway_listens_before_it_loads_what_is_heavy(product: Path) -> None:
    """A gateway that restarts is missed for so long: what it can do without, or has time for, does not come first."""
    with process(product, "gateway", "--name", "gateway-1", "--port", "0", python=("-X", "importtime")) as running:
        before = list(takewhile(lambda line: "listens on" not in line, iter(lambda: line_of(running), "")))
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in before}

    assert {"midshift", "uvloop"} <= loaded
    assert set() == HEAVY & loaded
