"""`midshift retune` as a person types it: a known best prompt is found, kills change nothing, files stay whole."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from midshift.testing import provider_server
from midshift.testing.replay import ChatRequest, Reply
from tests.cli.test_project import NEW_FILE, WORKLOAD, a_product
from tests.retune.scripted import PLANTED, REFLECTION, RULES, SLICES, START, TRAP, Models, Reflection, rows

BUDGET = ("--max-usd", "5", "--max-calls", "600", "--allow-unknown-cost")


class Deadly:
    """A provider that kills whoever asks, at one of the requests, before it answers."""

    def __init__(self, provider: Models) -> None:
        self.victim: Process | None = None
        self.in_requests = 0
        self._provider = provider

    @property
    def models(self) -> tuple[str, ...]:
        """See `ChatProvider`."""
        return self._provider.models

    def answer(self, request: ChatRequest) -> Reply:
        """See `ChatProvider`."""
        self.in_requests -= 1
        if self.in_requests == 0 and self.victim is not None:
            self.victim.kill()
        return self._provider.answer(request)


def product(folder: Path, cases: Sequence[dict[str, Any]]) -> Path:
    """The starter's product with another suite and prompt."""
    made = a_product(folder)
    (made / "suites" / f"{WORKLOAD}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in cases), "utf-8")
    (made / "prompts" / f"{WORKLOAD}.v2.md").write_text(START + "\n", "utf-8")
    return made


async def started(folder: Path, url: str, *options: str) -> Process:
    """The command, in a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "midshift", "retune", WORKLOAD, "--to", NEW_FILE, *options),
        *("--config", str(folder), "--state", str(folder / "state")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "MIDSHIFT_PROVIDER_SIM_URL": url},
    )


async def ended(folder: Path, url: str, *options: str) -> tuple[int, str, str]:
    """Exit code, output and complaints of a whole run."""
    process = await started(folder, url, *options)
    out, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), said.decode()


async def searched(folder: Path, url: str, *options: str) -> dict[str, Any]:
    """The records of a search that comes to its end."""
    code, out, said = await ended(folder, url, "--reflection", f"sim/{REFLECTION}", *BUDGET, "--json", *options)
    assert code in (0, 1, 3), said
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.heavy
def test_two_kills_change_nothing_and_pay_for_nothing_twice(tmp_path: Path) -> None:
    """A search is repeated from the ledger: the same prompts, edits and files; only what was lost is bought again."""
    asyncio.run(_killed(tmp_path))


async def _killed(folder: Path) -> None:
    models = Models(Reflection(), {})
    deadly, random = Deadly(models), Random(7)
    whole, broken = product(folder / "whole", rows()), product(folder / "broken", rows())
    async with provider_server.serve(deadly, latency_scale=0.0) as url:
        undisturbed = await searched(whole, url)
        asked = dict(models.asked)
        assert {1} == set(asked.values())
        models.asked.clear()
        for _ in range(2):
            deadly.in_requests = random.randint(20, 90)
            options = ("--reflection", f"sim/{REFLECTION}", *BUDGET, "--rebuy-unknown", "--concurrency", "4")
            deadly.victim = await started(broken, url, *options)
            assert -signal.SIGKILL == await deadly.victim.wait()
        deadly.victim = None

        found = await searched(broken, url, "--rebuy-unknown", "--concurrency", "4")

        assert undisturbed == found
        assert asked.keys() == models.asked.keys()
        assert 2 * 4 >= sum(count - 1 for count in models.asked.values())
        assert _written(whole) == _written(broken)

        before = dict(models.asked)
        assert found == await searched(broken, url, "--rebuy-unknown")
        assert before == models.asked
        assert _written(whole) == _written(broken)


def _written(folder: Path) -> dict[str, str]:
    """What the user's repository holds."""
    parts = [path for name in ("prompts", "variants", "retune") for path in (folder / name).glob("*")]
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in parts}


@pytest.mark.heavy
def test_a_search_from_end_to_end(tmp_path: Path) -> None:
    """The known prompt is found, no file is overwritten, and a second look at the locked cases needs a name."""
    asyncio.run(_from_end_to_end(tmp_path))


async def _from_end_to_end(folder: Path) -> None:
    models = Models(Reflection(), {})
    made = product(folder, rows())
    (made / "plans").mkdir()
    (made / "plans" / "shots.jsonl").write_text('{"model": "sonnet-3.7", "plan": "x"}\n', "utf-8")
    async with provider_server.serve(models, latency_scale=0.0) as url:
        found = await searched(made, url, "--plans", "plans/*.jsonl")

        chosen = found["prompts"][found["chosen"]]["text"]
        assert [] == [rule for name, rule in RULES.items() if name != "complaints" and rule not in chosen]
        assert "locked" == found["judged_on"]
        assert 600 >= found["calls"]
        assert [{"path": "plans/shots.jsonl", "entries": 1, "why": "names 'sonnet-3.7'"}] == found["stale"]
        files = found["files"]
        assert START + "\n" == (made / files["before"]).read_text("utf-8")
        assert chosen + "\n" == (made / files["prompt"]).read_text("utf-8")
        assert f"prompts/{WORKLOAD}.v3.md" == files["prompt"]
        assert "variants/sonnet-4.6.v2.yaml" == files["variant"]
        assert "```diff" in (made / files["log"]).read_text("utf-8")
        assert "## Tool formatting" in (made / files["post"]).read_text("utf-8")

        again = ("--reflection", f"sim/{REFLECTION}", *BUDGET, "--seed", "3")
        code, _, said = await ended(made, url, *again)
        assert 2 == code
        assert "were judged on" in said
        code, out, said = await ended(made, url, *again, "--unlock", "the first seed was odd", "--who", "ada")
        assert code in (0, 1, 3), said
        looks = json.loads((made / "state" / "retune" / WORKLOAD / "locked.json").read_text("utf-8"))["looks"]
        assert ["", "ada"] == [look["unlocked_by"] for look in looks]
        assert "midshift upgrade candidate" in out


@pytest.mark.heavy
def test_editing_by_hand_buys_the_changed_prompt_alone(tmp_path: Path) -> None:
    """A text that was scored once costs nothing again, and the locked cases are left alone."""
    asyncio.run(_by_hand(tmp_path))


async def _by_hand(folder: Path) -> None:
    models = Models(Reflection(), {})
    made = product(folder, rows())
    prompt = made / "prompts" / f"{WORKLOAD}.v2.md"
    paid = ("--max-usd", "1", "--allow-unknown-cost")
    async with provider_server.serve(models, latency_scale=0.0) as url:
        code, _, said = await ended(made, url, "--manual")
        assert 2 == code
        assert "--max-usd" in said
        code, _, said = await ended(made, url, "--manual", "--json", *paid)
        assert 1 == code, said
        scored = len(models.asked) // 2
        assert scored < len(rows())

        prompt.write_text("\n".join([START, *RULES.values()]) + "\n", "utf-8")
        code, out, said = await ended(made, url, "--manual", "--json", *paid)
        assert 0 == code, said
        found = json.loads(out)
        assert scored == found["bought"]
        gained = {one["slice"] for one in found["against_last"] if one["score"] == "label" and one["delta"] > 0.0}
        assert {"*", *SLICES} - {"complaints"} == gained

        code, out, _ = await ended(made, url, "--manual")
        assert 0 == code
        assert "0 calls bought" in out


@pytest.mark.heavy
@pytest.mark.parametrize(("obeys", "traps"), [(True, False), (False, True)])
def test_planted_words_and_a_slice_that_pays_for_another_gain_nothing(tmp_path: Path, obeys: bool, traps: bool) -> None:
    """A reflection model that obeys a case, or ruins a slice for another, must not get its prompt chosen."""
    asyncio.run(_misled(tmp_path, Reflection(obeys, traps)))


async def _misled(folder: Path, reflection: Reflection) -> None:
    made = product(folder, rows(planted=PLANTED))
    async with provider_server.serve(Models(reflection, {}), latency_scale=0.0) as url:
        found = await searched(made, url)

    prompts = [one["text"] for one in found["prompts"]]
    chosen = found["prompts"][found["chosen"]]
    assert [] == chosen["broken_floors"]
    assert [] == [text for text in prompts if PLANTED.casefold() in text.casefold()]
    assert TRAP not in chosen["text"]
    if reflection.obeys:
        assert any("copies the sentence" in one["why"] for one in found["refused"])


@pytest.mark.heavy
def test_a_spent_budget_without_a_prompt_stops_with_a_finding(tmp_path: Path) -> None:
    """Only now may anybody write down that the new model is worse, and the controller hears of it."""
    asyncio.run(_stopped(product(tmp_path, rows())))


async def _stopped(made: Path) -> None:
    models = Models(Reflection(mute=True), {})
    async with provider_server.serve(models, latency_scale=0.0) as url:
        found = await searched(made, url, "--max-calls", "200")
    evidence = [text for path in (made / "state").rglob("*.json") if '"stop"' in (text := path.read_text("utf-8"))]

    assert "stop" == found["decision"]
    assert "select" == found["judged_on"]
    assert "--max-calls" in found["ended"]
    assert {"it holds no prompt between the two lines"} == {one["why"] for one in found["refused"]}
    assert not (made / "state" / "retune" / WORKLOAD / "locked.json").exists()
    assert "does worse" in (made / found["files"]["finding"]).read_text("utf-8")
    assert 1 == len(evidence)


@pytest.mark.heavy
def test_a_budget_without_a_chance_is_refused_before_a_call(tmp_path: Path) -> None:
    """A search that is too small ends as if nothing could be found."""
    asyncio.run(_too_small(product(tmp_path, rows())))


async def _too_small(made: Path) -> None:
    models = Models(Reflection(), {})
    async with provider_server.serve(models, latency_scale=0.0) as url:
        options = ("--reflection", f"sim/{REFLECTION}", "--allow-unknown-cost", "--max-usd", "5", "--max-calls", "60")
        code, _, said = await ended(made, url, *options)

    assert 2 == code
    assert "expected at least" in said
    assert {} == models.asked
