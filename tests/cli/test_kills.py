"""SIGKILL, again and again: gateway and controller as processes, killed in the middle of traffic."""

import asyncio
import os
import re
import signal
import sys
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from midshift.domain.routing import Arm
from midshift.domain.upgrade import Kind, replay
from midshift.testing import provider_server, simulated, traffic
from midshift.testing.scripted import ScriptedProvider, Voice
from tests.cli.test_defining import WORKLOAD, a_product, run, store_of, walked

KILLS = 20
REQUESTS_A_ROUND = 60
AT_25_PER_CENT = (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED, Kind.STEP_ADVANCED, Kind.STEP_ADVANCED)


@pytest.mark.slow
def test_twenty_kills_lose_no_decision_and_move_no_user(tmp_path: Path) -> None:
    """The row says 25 %, whoever dies: every user keeps the variant, no batch is counted twice, the log is whole."""
    product = a_product(tmp_path)
    run(product, "apply", "--who", "ada")
    upgrade = walked(product, *AT_25_PER_CENT)

    seen, answered = asyncio.run(_killed(product))

    with store_of(product) as store:
        now, route = store.upgrade(upgrade.id), store.route(WORKLOAD)
        sums = store.sums(upgrade.id, metrics=("error",), slices=("*",))
        assert route is not None
        assert replay(store.began(upgrade.id), [entry.event for entry in store.events(upgrade.id)]) == now
        assert (now.share, 0.25) == (route.share, route.share)
    assert [] == [unit for unit, variants in seen.items() if len(variants) > 1]
    candidates = [variants for variants in seen.values() if variants == {upgrade.candidate[:12]}]
    assert 0.10 < len(candidates) / len(seen) < 0.40
    assert 0 < sum(found.n for found in sums.values()) <= answered
    assert {Arm.INCUMBENT, Arm.CANDIDATE} == {key.arm for key in sums}


async def _killed(product: Path) -> tuple[dict[str, set[str]], int]:
    """Traffic through gateways that are killed at a random response, beside controllers that are killed with them."""
    random, seen, sent = Random(7), defaultdict[str, set[str]](set), 0
    voices = {"sonnet-3.7": Voice(simulated.INCUMBENT), "sonnet-4.6": Voice(simulated.CANDIDATE)}
    provider = ScriptedProvider(voices, cases=50)
    async with provider_server.serve(provider, latency_scale=0.0) as url:
        for round_number in range(KILLS // 2):
            controller, _ = await _started(product, url, "controller", "--every", "50ms")
            gateway, said = await _started(product, url, "gateway", "--name", "gateway-1", "--port", "0")
            address = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert address is not None, said
            dies_at = random.randrange(5, REQUESTS_A_ROUND)
            answers = 0

            def take(planned: traffic.Planned, outcome: traffic.Outcome, body: bytes) -> None:
                nonlocal answers
                answers += 1
                if outcome.status == 200:
                    seen[planned.unit].add(outcome.variant)
                if answers == dies_at:  # noqa: B023 - called in this round only
                    gateway.kill()  # noqa: B023
                    controller.kill()  # noqa: B023

            planned = list(_requests(provider, round_number))
            sent += len(planned)
            await traffic.drive(f"{address[0]}/v1", planned, concurrency=4, timeout_s=10.0, take=take)
            assert -signal.SIGKILL == await gateway.wait()
            assert -signal.SIGKILL == await controller.wait()
        gateway, said = await _started(product, url, "gateway", "--name", "gateway-1", "--port", "0")
        address = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert address is not None, said
        last = list(_requests(provider, KILLS))
        tally = await traffic.drive(f"{address[0]}/v1", last, concurrency=4)
        assert {200: len(last)} == dict(tally.by_status)
        gateway.terminate()
        assert 0 == await gateway.wait()
    return seen, sent + len(last)


def _requests(provider: ScriptedProvider, seed: int) -> list[traffic.Planned]:
    arrivals = traffic.arrivals(traffic.Trace.steady(1.0), 60.0, requests=REQUESTS_A_ROUND, seed=seed)
    users = traffic.Units(120, 0.0)
    return list(traffic.plan(arrivals, provider.questions, "sonnet-3.7", users, seed=seed, unit_header="x-user-id"))


async def _started(product: Path, url: str, *arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    """A process of `midshift serve`, once it has said its first line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "midshift", "serve", *arguments, "--config", str(product)),
        *("--store", "file:store.txt", "--state", str(product / "state")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "MIDSHIFT_UNIT_KEY": "unit-key-0123456789", "MIDSHIFT_PROVIDER_SIM_URL": url},
    )
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode()
