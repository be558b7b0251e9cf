"""What an eval is evidence of, and what it may spend: own graders, looks at a growing suite, a key that was wrong."""

import asyncio
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Waiting
from threading import Thread
from typing import Any

import pytest

from midshift.cli import main
from midshift.cli.basis import Holding
from midshift.cli.eval_looks import Looks
from midshift.cli.project import Target
from midshift.cli.state_folder import StateFolder
from midshift.domain.gate import Decision
from midshift.errors import InputError, UsageError
from midshift.providers.paid.buyer import TurnedAway
from midshift.stats.looks import Look
from midshift.testing import ManualClock, provider_server
from midshift.testing.replay import ChatRequest, Completion, Failure, Reply, Usage
from tests.cli.test_defining import WORKLOAD, edit, run
from tests.cli.test_eval import _upgrade, evaluated, found, product, provider

__all__ = ("product", "provider")  # fixtures


def rows(product: Path) -> list[dict[str, Any]]:
    """The cases of the suite as they are written."""
    return [json.loads(line) for line in _suite(product).read_text().splitlines()]


def write(product: Path, cases: list[dict[str, Any]]) -> None:
    """Other cases in the suite's place."""
    _suite(product).write_text("".join(json.dumps(case) + "\n" for case in cases))


def _suite(product: Path) -> Path:
    return product / "suites" / f"{WORKLOAD}.jsonl"


def decision_of(product: Path, candidate: str) -> Decision | None:
    """What the controller would read."""
    kept = StateFolder(product / "state", ManualClock()).eval_of(_upgrade(product, candidate))
    return None if kept is None else kept.decision


# What it rests on


def test_a_grader_in_place_of_the_suites_own_is_no_evidence(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever names a milder one would open the gate, and what was shown before would be gone."""
    write(
        product, [{**row, "graders": [{"type": "equals", "value": "yes", "name": "strict"}]} for row in rows(product)]
    )
    candidate = found(product, provider[0], capsys)[1]["candidates"][0]["id"]
    before = decision_of(product, candidate)

    evaluated(product, provider[0], grader="contains")

    assert Decision.RETUNE is before is decision_of(product, candidate)
    assert "no evidence for an upgrade: --grader contains replaces the suite's own" in capsys.readouterr().out


def test_a_grader_for_a_suite_that_names_none_is_evidence(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody has to say how it is graded."""
    write(product, [{**row, "graders": []} for row in rows(product)])

    candidate = found(product, provider[0], capsys, grader="contains")[1]["candidates"][0]["id"]

    assert Decision.RETUNE is decision_of(product, candidate)


def test_what_was_just_evaluated_is_evidence_for_the_upgrade_it_was_evaluated_for(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two sides say what it rests on, the eval and whoever reads it: with functions and judges as without."""
    edit(product / "midshift.yaml", "version: 1\n", "version: 1\ngraders: ['own_graders:right']\n")
    edit(product / "midshift.yaml", f"suites/{WORKLOAD}.jsonl", "suites/own.yaml")
    (product / "own_graders.py").write_text("def right(case, answer):\n    return 1.0\n")
    (product / "variants" / "judge.yaml").write_text("provider: sim\nmodel: judge\n")
    (product / "suites" / "own.yaml").write_text(
        "graders:\n"
        "  - {type: python, import: 'own_graders:right', name: own}\n"
        "  - {type: rubric, rubric: 'is it so?', judge: variants/judge.yaml}\n"
        f"cases: {WORKLOAD}.jsonl\nslices: {{german: {{role: watch, margin: 25pt}}}}\n"
    )
    assert 0 == run(product, "apply", "--who", "ada")
    candidate = found(product, provider[0], capsys, allow_floating="a test")[1]["candidates"][0]["id"]
    target, clock, upgrade = Target(product, store="file:store.txt"), ManualClock(), _upgrade(product, candidate)

    with target.open_store() as store:
        folder = StateFolder(product / "state", clock, Holding(target, store, clock))
        assert ("", True) == (folder.eval_trouble(upgrade), folder.eval_of(upgrade) is not None)
        (product / "own_graders.py").write_text("def right(case, answer):\n    return 0.0\n")
        later = StateFolder(product / "state", clock, Holding(target, store, clock))
        assert "rests on other graders" in later.eval_trouble(upgrade)


# Looks


def looked(product: Path, url: str, capsys: pytest.CaptureFixture[str], **said: Any) -> tuple[float, int, int, int]:
    """Level and look of an eval."""
    comparison = found(product, url, capsys, **said)[1]["candidates"][0]["comparison"]
    return comparison["alpha"], comparison["looks"], comparison["looks_planned"], comparison["looks_further"]


def test_each_look_at_a_growing_suite_spends_less(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Who adds cases until the gate opens would find it open by chance; the same again is the same look."""
    every, seen = rows(product), []
    for cases in (30, 45, 45, 60):
        write(product, every[:cases])
        seen.append(looked(product, provider[0], capsys))

    assert [(0.05, 1, 1, 0), (0.025, 1, 1, 1), (0.025, 1, 1, 1), (0.0125, 1, 1, 2)] == seen


def test_planned_looks_share_the_error(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan is that of the first look, and holds without being said again."""
    every, seen = rows(product), []
    for cases, said in ((30, {"looks": 2}), (45, {}), (60, {})):
        write(product, every[:cases])
        seen.append(looked(product, provider[0], capsys, **said))

    assert [(0.025, 1, 2, 0), (0.025, 2, 2, 0), (0.0125, 2, 2, 1)] == seen
    with pytest.raises(UsageError, match="--looks 9: the first look .* 2 were planned"):
        evaluated(product, provider[0], looks=9)


def test_the_command_that_is_printed_judges_at_the_same_level(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """At another margin or as a first look, the same pairs would open a gate that the eval left shut."""
    every = rows(product)
    for cases in (30, 60):
        write(product, every[:cases])
        comparison = found(product, provider[0], capsys)[1]["candidates"][0]["comparison"]
    evaluated(product, provider[0])
    command = " ".join(capsys.readouterr().out.split()).rpartition("to judge the same pairs again: midshift ")[2]

    main.run([*shlex.split(command), "--json"])

    again = json.loads(capsys.readouterr().out)
    assert "--look 1/1+1" in command
    for name in ("alpha", "looks", "looks_planned", "looks_further", "slices"):
        assert comparison[name] == again[name]


def test_a_look_that_gates_nothing_is_none(
    product: Path, provider: tuple[str, provider_server.Calls], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the cases open no gate, so they spend nothing of its error."""
    looked(product, provider[0], capsys, limit=30)

    assert (0.05, 1, 1, 0) == looked(product, provider[0], capsys)


def take(looks: Looks, cases: str, outputs: str, cleared: bool = False) -> Look:
    """A look at cases and outputs of one letter each, and its record."""
    found = looks.look(cases, list(outputs))
    looks.take(found, cases, list(outputs), cleared, "2026-11-22T12:00:00+00:00")
    return found


def test_looks_are_counted_over_cases_that_were_seen(tmp_path: Path) -> None:
    """Other cases are another sample, and a look after one that cleared can only take that back."""
    looks = Looks(tmp_path, "w", "new")

    assert Look() == take(looks, "ab", "12")
    assert Look() == take(looks, "cd", "34", cleared=True)
    assert Look() == take(looks, "cde", "345")
    assert Look(further=2) == take(Looks(tmp_path, "w", "new"), "abc", "123")
    assert Look() == Looks(tmp_path, "w", "other").look("ab", ["1", "2"])


def test_a_suite_that_lost_cases_is_another_look(tmp_path: Path) -> None:
    """Who leaves out what went wrong has looked, and chooses by it."""
    take(Looks(tmp_path, "w", "new"), "abc", "123")

    assert Look(further=1) == Looks(tmp_path, "w", "new").look("ab", ["1", "2"])


def test_a_broken_record_of_looks_is_named(tmp_path: Path) -> None:
    """Taken for none, it would give the error back that was spent."""
    take(Looks(tmp_path, "w", "new"), "abc", "123")
    (file,) = tmp_path.rglob("*.json")
    file.write_text("{}")

    with pytest.raises(InputError, match="found no record of looks"):
        Looks(tmp_path, "w", "new")


# A key that was wrong


class Denied:
    """A provider whose candidate is not for this key, until somebody mends it."""

    models = ("sonnet-3.7", "sonnet-4.6")

    def __init__(self) -> None:
        self.is_mended = False

    def answer(self, request: ChatRequest) -> Reply:
        """See `ChatProvider`."""
        if not self.is_mended and request.model == "sonnet-4.6":
            return Failure(401, "Incorrect API key provided", "authentication_error")
        return Completion("yes", usage=Usage(10, 100))


@contextmanager
def serving(denied: Denied) -> Iterator[str]:
    """The provider on a loop of its own thread."""
    ready, over, url = Waiting(), Waiting(), list[str]()

    async def serve() -> None:
        async with provider_server.serve(denied) as here:
            url.append(here)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    yield url[0]
    over.set()
    thread.join()


def test_a_key_that_was_wrong_is_no_regression(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is judged by it, and when it is mended the same command asks again."""
    denied = Denied()
    with serving(denied) as url:
        with pytest.raises(TurnedAway, match="status 401: Incorrect API key provided.*Type next: midshift check"):
            evaluated(product, url)
        denied.is_mended = True

        code, said = found(product, url, capsys)

    assert (0, "proceed") == (code, said["candidates"][0]["decision"])
