"""`midshift serve`: the two processes live, die and come back."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import takewhile
from pathlib import Path

import pytest

from midshift.cli import serve
from midshift.domain.evidence import EvalEvidence
from midshift.domain.gate import Decision
from midshift.domain.upgrade import Stage
from midshift.errors import UsageError
from tests.cli.kept import kept
from tests.cli.test_defining import WORKLOAD, a_product, run, store_of, walked
from tests.cli.test_gateway_settings import KNOWN

LATER = timedelta(days=1)
PRICES = """
format: midshift.prices/1
prices:
  - {provider: sim, model: sonnet-3.7, per_million_tokens: {input: 3, output: 15}, source: made up, date: 2026-01-01}
"""
HEAVY = {"sqlalchemy", "alembic", "genai_prices", "pydantic", "jsonschema", "numpy", "scipy", "duckdb"}


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product whose definitions are applied."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")
    return tmp_path


@pytest.mark.parametrize(("text", "expected"), [("1s", 1.0), ("200ms", 0.2), ("0.5s", 0.5), ("1m", 60.0)])
def test_a_time_is_read(text: str, expected: float) -> None:
    """As people write it."""
    assert expected == serve.seconds(text)


@pytest.mark.parametrize("text", ["", "1", "0s", "-1s", "2m", "1h", "1s1s"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    """A loop without a pause would keep a core busy, an hour would let the lease run out."""
    with pytest.raises(UsageError, match="--every 1s"):
        serve.seconds(text)


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
