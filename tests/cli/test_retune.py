"""`midshift retune` as a person types it: a known best prompt is found, kills change nothing, files stay whole."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from midshift.testing import provider_server
from midshift.testing.replay import ChatRequest, Completion, Reply, Usage
from tests.cli.test_defining import NEW_FILE, WORKLOAD, a_product, edit
from tests.retune.scripted import (
    NEW,
    OLD,
    PLANTED,
    REFLECTION,
    RULES,
    SLICES,
    START,
    TRAP,
    Models,
    Reflection,
    rows,
)

PRICE = "{input: 1, output: 5}"
PRICES = "format: midshift.prices/1\nprices:\n" + "".join(
    f"  - {{provider: sim, model: {model}, source: test, date: 2026-01-01, per_million_tokens: {PRICE}}}\n"
    for model in (OLD, NEW, REFLECTION)
)
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
        env={**os.environ, "MIDSHIFT_PROVIDER_SIM_URL": url, "MIDSHIFT_PROVIDER_OPENAI_URL": url},
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

    async def scenario() -> None:
        models = Models(Reflection(), {})
        deadly, random = Deadly(models), Random(7)
        whole, broken = product(tmp_path / "whole", rows()), product(tmp_path / "broken", rows())
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

    asyncio.run(scenario())


def _written(folder: Path) -> dict[str, str]:
    """What the user's repository holds."""
    parts = [path for name in ("prompts", "variants", "retune") for path in (folder / name).glob("*")]
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in parts}


@pytest.mark.heavy
def test_a_search_from_end_to_end(tmp_path: Path) -> None:
    """The known prompt is found, no file is overwritten, and a second look at the locked cases needs a name."""

    async def scenario() -> None:
        models = Models(Reflection(), {})
        made = product(tmp_path, rows())
        (made / "plans").mkdir()
        (made / "plans" / "shots.jsonl").write_text('{"model": "sonnet-3.7", "plan": "x"}\n', "utf-8")
        async with provider_server.serve(models, latency_scale=0.0) as url:
            (made / "cache.csv").write_text("id,model,plan\nr1,sonnet-3.7,x\nr2,other,y\nr3,sonnet-3.7,z\n", "utf-8")
            found = await searched(made, url, "--plans", "plans/*.jsonl", "--plan-table", "cache.csv:plan")

            chosen = found["prompts"][found["chosen"]]["text"]
            assert [] == [rule for name, rule in RULES.items() if name != "complaints" and rule not in chosen]
            assert "locked" == found["judged_on"]
            assert 600 >= found["calls"]
            assert [("plans/shots.jsonl", 1, []), ("cache.csv:plan", 2, ["r1", "r3"])] == [
                (one["path"], one["entries"], one["rows"]) for one in found["stale"]
            ]
            files = found["files"]
            assert "`cache.csv:plan`: names 'sonnet-3.7' (rows `r1`, `r3`)" in (made / files["log"]).read_text("utf-8")
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

    asyncio.run(scenario())


@pytest.mark.heavy
def test_editing_by_hand_buys_the_changed_prompt_alone(tmp_path: Path) -> None:
    """A text that was scored once costs nothing again, and the locked cases are left alone."""

    async def scenario() -> None:
        models = Models(Reflection(), {})
        made = product(tmp_path, rows())
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
            assert "a stand-in answered for sim" in out

            record = json.loads((made / "retune" / f"by-hand-{WORKLOAD}-sonnet-4.6.json").read_text("utf-8"))
            assert [START, "\n".join([START, *RULES.values()])] == [one["text"] for one in record["prompts"]]
            assert "+Handle the refunds kind with its own label." in (made / found["page"]).read_text("utf-8")
            judged = await compared(made, url, NEW_FILE)
            assert len(rows()) - scored == judged["rows"]["paired"]
            assert scored == judged["seen_in_tuning"]["cases"]

    asyncio.run(scenario())


@pytest.mark.heavy
@pytest.mark.parametrize(("obeys", "traps"), [(True, False), (False, True)])
def test_planted_words_and_a_slice_that_pays_for_another_gain_nothing(tmp_path: Path, obeys: bool, traps: bool) -> None:
    """A reflection model that obeys a case, or ruins a slice for another, must not get its prompt chosen."""
    reflection = Reflection(obeys, traps)

    async def scenario() -> None:
        made = product(tmp_path, rows(planted=PLANTED))
        async with provider_server.serve(Models(reflection, {}), latency_scale=0.0) as url:
            found = await searched(made, url)

        prompts = [one["text"] for one in found["prompts"]]
        chosen = found["prompts"][found["chosen"]]
        assert [] == chosen["broken_floors"]
        assert [] == [text for text in prompts if PLANTED.casefold() in text.casefold()]
        assert TRAP not in chosen["text"]
        if reflection.obeys:
            assert any("copies the sentence" in one["why"] for one in found["refused"])

    asyncio.run(scenario())


@pytest.mark.heavy
def test_a_spent_budget_without_a_prompt_stops_with_a_finding(tmp_path: Path) -> None:
    """Only now may anybody write down that the new model is worse, and the controller hears of it."""
    made = product(tmp_path, rows())

    async def scenario() -> None:
        models = Models(Reflection(useless=True), {})
        async with provider_server.serve(models, latency_scale=0.0) as url:
            found = await searched(made, url, "--max-calls", "200")
            code, out, said = await evaluated(made, url, NEW_FILE)
            assert 1 == code, said
            assert "STOP" in out
            assert found["files"]["finding"] in out
        evidence = [
            text
            for path in (made / "state" / "evals" / "by-workload").rglob("*.json")
            if '"stop"' in (text := path.read_text("utf-8"))
        ]

        assert "stop" == found["decision"]
        assert "select" == found["judged_on"]
        assert "--max-calls" in found["ended"]
        assert found["proposed"] >= 3
        assert [Path(found["files"]["finding"])] == [path.relative_to(made) for path in (made / "findings").glob("*")]
        assert not (made / "state" / "retune" / WORKLOAD / "locked.json").exists()
        assert "does worse" in (made / found["files"]["finding"]).read_text("utf-8")
        assert 1 == len(evidence)

    asyncio.run(scenario())


@pytest.mark.heavy
def test_a_reflection_model_that_proposes_nothing_accuses_nobody(tmp_path: Path) -> None:
    """A prompt that was never tried says nothing of the model that it would have been tried on."""
    made = product(tmp_path, rows())

    async def scenario() -> None:
        async with provider_server.serve(Models(Reflection(mute=True), {}), latency_scale=0.0) as url:
            found = await searched(made, url, "--max-calls", "200")

        assert {"it holds no prompt between the two lines"} == {one["why"] for one in found["refused"]}
        assert ("retune", "not_run", 0) == (found["decision"], found["retuning"], found["proposed"])
        assert "finding" not in found["files"]
        assert not (made / "findings").exists()

    asyncio.run(scenario())


@pytest.mark.heavy
def test_an_eval_of_a_tuned_prompt_gates_on_what_it_was_not_fitted_to(tmp_path: Path) -> None:
    """The rest of the suite flatters the prompt; the locked cases are judged once, and a further look says so."""

    async def scenario() -> None:
        models = Models(Reflection(), {})
        made = product(tmp_path, rows())
        async with provider_server.serve(models, latency_scale=0.0) as url:
            tuned = await searched(made, url)
            locked = tuned["cases"]["locked"]
            (path,) = (made / "state" / "evals" / "by-workload").rglob("*.json")
            assert tuned["decision"] == json.loads(path.read_text("utf-8"))["evidence"]["decision"]
            file = tuned["files"]["variant"]

            first = await compared(made, url, file)
            assert locked == first["rows"]["paired"]
            assert len(rows()) - locked == first["seen_in_tuning"]["cases"]
            assert [tuned["files"]["records"]] == first["seen_in_tuning"]["records"]
            assert (0, 0.05) == (first["looks_further"], first["alpha"])
            assert tuned["more_cases"] and f"{tuned['more_cases']} more cases" in first["reason"]
            assert first["slices"] == (await compared(made, url, file))["slices"]
            assert 1 == len(looks(made))

            (made / "suites" / f"{WORKLOAD}.jsonl").write_text(
                "".join(json.dumps(row) + "\n" for row in rows(13)), "utf-8"
            )
            grown = await compared(made, url, file)
            assert locked + len(SLICES) == grown["rows"]["paired"]
            assert (1, 0.025) == (grown["looks_further"], grown["alpha"])
            assert "7.5 % of error is spent" in grown["reason"]
            assert [False, False] == [look["cleared"] for look in looks(made)]

            untuned = await compared(made, url, NEW_FILE)
            assert len(rows(13)) == untuned["rows"]["paired"]
            assert None is untuned["seen_in_tuning"]

    asyncio.run(scenario())


def looks(made: Path) -> list[dict[str, Any]]:
    """The looks at locked cases that are on record."""
    found = json.loads((made / "state" / "retune" / WORKLOAD / "locked.json").read_text("utf-8"))["looks"]
    return list(found)


async def compared(made: Path, url: str, to: str) -> dict[str, Any]:
    """The comparison of an eval."""
    code, out, said = await evaluated(made, url, to, "--json")
    assert code in (0, 1, 3), said
    found: dict[str, Any] = json.loads(out)["candidates"][0]["comparison"]
    return found


async def evaluated(made: Path, url: str, to: str, *options: str) -> tuple[int, str, str]:
    """`midshift eval`, to its end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "midshift", "eval", WORKLOAD, "--to", to, "--allow-unknown-cost", *options),
        *("--config", str(made), "--state", str(made / "state")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "MIDSHIFT_PROVIDER_SIM_URL": url, "COLUMNS": "200"},
    )
    out, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), said.decode()


@pytest.mark.heavy
def test_a_budget_without_a_chance_is_refused_before_a_call(tmp_path: Path) -> None:
    """A search that is too small ends as if nothing could be found."""
    made = product(tmp_path, rows())

    async def scenario() -> None:
        models = Models(Reflection(), {})
        async with provider_server.serve(models, latency_scale=0.0) as url:
            options = ("--reflection", f"sim/{REFLECTION}", *BUDGET, "--max-calls", "60")
            code, _, said = await ended(made, url, *options)

        assert 2 == code
        assert "expected at least" in said
        assert {} == models.asked

    asyncio.run(scenario())


@pytest.mark.heavy
def test_a_cap_below_the_verdict_is_refused_and_the_one_that_is_named_pays_it(tmp_path: Path) -> None:
    """A search that spends it all finds a prompt that nobody may judge."""
    made = product(tmp_path, rows())

    async def scenario() -> None:
        models = Models(Reflection(), {})
        (made / "prices.yaml").write_text(PRICES, "utf-8")
        (made / "prompts" / f"{WORKLOAD}.v2.md").write_text("\n".join([START, *RULES.values()]) + "\n", "utf-8")
        (made / "variants" / "thinker.yaml").write_text(f"provider: sim\nmodel: {REFLECTION}\n", "utf-8")
        for name in (OLD, "thinker"):
            with (made / "variants" / f"{name}.yaml").open("a", encoding="utf-8") as file:
                file.write("params: {set: {max_tokens: 100}}\n")
        async with provider_server.serve(models, latency_scale=0.0) as url:
            options = ("--reflection", "variants/thinker.yaml", "--json", "--max-usd")
            code, _, said = await ended(made, url, *options, "0.001")
            assert 2 == code, said
            assert "the verdict on 12 locked cases may cost up to" in " ".join(said.split())
            assert {} == models.asked

            least = re.findall(r"--max-usd ([\d.]+\d)", said)[-1]
            code, out, said = await ended(made, url, *options, least)

        assert 3 == code, said
        found = json.loads(out)
        assert ("locked", 0) == (found["judged_on"], found["chosen"])
        assert 0 < found["spent_usd"] < float(least)

    asyncio.run(scenario())


class Judged(Models):
    """The models of the search, and a judge who finds every answer good."""

    @property
    def models(self) -> tuple[str, ...]:
        """See `ChatProvider`."""
        return OLD, NEW, REFLECTION, "gpt-4o"

    def answer(self, request: ChatRequest) -> Reply:
        """See `ChatProvider`."""
        if request.model == "gpt-4o":
            self.asked["judge"] = self.asked.get("judge", 0) + 1
            return Completion("Good.\nVERDICT: 5", usage=Usage(50, 5))
        return Models.answer(self, request)


@pytest.mark.heavy
def test_a_floating_judge_grades_a_search_if_somebody_says_why(tmp_path: Path) -> None:
    """Its scores may be others next week: that goes on record beside them, or nothing is asked."""
    made = product(tmp_path, rows(6))

    async def scenario() -> None:
        models = Judged(Reflection(), {})
        judge = "graders: [{type: rubric, name: warmth, rubric: Is warm., judge: variants/judge.yaml}]"
        (made / "suites" / "judged.yaml").write_text(f"{judge}\ncases: {WORKLOAD}.jsonl\n", "utf-8")
        (made / "variants" / "judge.yaml").write_text(
            "provider: openai\nmodel: gpt-4o\nparams: {set: {max_tokens: 300}}\n", "utf-8"
        )
        edit(made / "midshift.yaml", f"suites/{WORKLOAD}.jsonl", "suites/judged.yaml")
        budget = ("--max-usd", "5", "--max-calls", "900", "--allow-unknown-cost")
        options = ("--reflection", f"sim/{REFLECTION}", *budget, "--json", "--approve-data", "contract 12")
        async with provider_server.serve(models, latency_scale=0.0) as url:
            code, _, said = await ended(made, url, *options)
            assert 2 == code, said
            assert "--allow-floating 'WHY'" in said
            assert {} == models.asked

            code, out, said = await ended(made, url, *options, "--allow-floating", "a quick look")

        assert code in (0, 1, 3), said
        found = json.loads(out)
        (judged,) = found["judges"]
        assert "warmth by openai/gpt-4o (floating, allowed: a quick look)" in judged
        assert "locked" == found["judged_on"]
        assert "warmth" in {one["score"] for one in found["verdicts"]}
        assert models.asked["judge"] > found["cases"]["locked"]
        assert found["calls"] == sum(models.asked.values())

    asyncio.run(scenario())
