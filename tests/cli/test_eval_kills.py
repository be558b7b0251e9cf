"""SIGKILL, again and again, in the middle of an eval: no call is paid twice in silence, and the end is the same."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path
from random import Random
from typing import Any

import pytest

from midshift.testing import provider_server, simulated
from midshift.testing.replay import ChatRequest, Reply
from midshift.testing.scripted import ScriptedProvider, Voice
from tests.cli.test_defining import NEW_FILE, WORKLOAD, a_product

KILLS = 20
CASES = 400


class Deadly:
    """A provider that kills whoever asks, at one of the requests, before it answers."""

    def __init__(self, provider: ScriptedProvider) -> None:
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


@pytest.mark.heavy
def test_twenty_kills_pay_for_nothing_twice_and_change_no_verdict(tmp_path: Path) -> None:
    """What was lost is held until somebody says that it may be bought again; then the eval ends as if nothing was."""

    async def scenario() -> None:
        provider = ScriptedProvider(
            {"sonnet-3.7": Voice(simulated.INCUMBENT), "sonnet-4.6": Voice(simulated.CANDIDATE)}, cases=CASES
        )
        deadly, calls, random = Deadly(provider), provider_server.Calls(), Random(11)
        whole, broken = (_product(tmp_path / name, provider) for name in ("whole", "broken"))
        async with provider_server.serve(deadly, calls=calls, latency_scale=0.0) as url:
            undisturbed = await _finished(whole, url)
            assert 2 * CASES == calls.total
            calls.by_case.clear()
            for _ in range(KILLS):
                deadly.in_requests = random.randint(1, 20)
                deadly.victim = await _started(broken, url, "--skip-unknown")
                assert -signal.SIGKILL == await deadly.victim.wait()
            deadly.victim = None

            assert {1} == set(calls.by_case.values())
            paid = dict(calls.by_case)
            said = await _refused(broken, url)
            assert "calls that may have been served and paid" in said
            assert paid == calls.by_case

            found = await _finished(broken, url, "--rebuy-unknown")
            again = [case for case, count in calls.by_case.items() if count == 2]
            assert 2 * CASES == len(calls.by_case)
            assert {1, 2} == set(calls.by_case.values())
            assert KILLS <= len(again) <= KILLS * 16
            assert undisturbed == found

            before = dict(calls.by_case)
            assert undisturbed == await _finished(broken, url)
            assert before == calls.by_case

    asyncio.run(scenario())


def _product(folder: Path, provider: ScriptedProvider) -> Path:
    product = a_product(folder)
    rows = (
        {
            "id": case.id,
            "slice": list(case.slices),
            "messages": list(case.messages),
            "graders": [{"type": "contains", "value": "parcel", "ignore_case": True, "name": "on_topic"}],
        }
        for case in provider.questions
    )
    suite = product / "suites" / f"{WORKLOAD}.jsonl"
    suite.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return product


async def _started(product: Path, url: str, *options: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "midshift", "eval", WORKLOAD, "--to", NEW_FILE, "--json", *options),
        *("--config", str(product), "--state", str(product / "state")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "MIDSHIFT_PROVIDER_SIM_URL": url},
    )


async def _refused(product: Path, url: str) -> str:
    process = await _started(product, url)
    _, said = await process.communicate()
    assert 2 == process.returncode
    return said.decode()


async def _finished(product: Path, url: str, *options: str) -> list[dict[str, Any]]:
    """The verdicts of a run that comes to its end, and its pairs without what the clock had a part in."""
    process = await _started(product, url, *options)
    out, said = await process.communicate()
    assert process.returncode in (0, 1, 3), said.decode()
    found = json.loads(out)
    (candidate,) = found["candidates"]
    verdicts: list[dict[str, Any]] = candidate["comparison"]["slices"]
    return [*verdicts, *_pairs(Path(candidate["pairs"]))]


def _pairs(file: Path) -> list[dict[str, Any]]:
    rows = [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        for output in row["outputs"].values():
            output.pop("latency_s", None)
    return rows
