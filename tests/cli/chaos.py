"""Trouble of every kind at once, and an account of each request: gateways that are killed, providers that fail, apps
that leave.

    python -m tests.cli.chaos --seconds 1800        # make soak

Gateways are processes of their own on one SQLite store; an app asks one of those that are up, and retries nothing. The
provider's trouble is drawn from the request, so the same request to the incumbent alone meets the same trouble again:
that is the oracle for each error that a user saw. Elsewhere: the rules that a run must keep (test_chaos).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from midshift.cli.system import SystemClock
from midshift.domain.exposure import Exposure
from midshift.domain.upgrade import Kind, Upgrade
from midshift.store.segments import Kind as Segments
from midshift.store.segments import Reading, exposures, segments
from midshift.testing import provider_server, simulated, traffic
from midshift.testing.scripted import (
    CutAnswer,
    Fault,
    NoAnswer,
    RateLimited,
    ScriptedProvider,
    ServerError,
    SlowFirstByte,
    Voice,
)
from tests.cli.test_project import a_product, run, walked

OLD, NEW = "sonnet-3.7", "sonnet-4.6"
STEPS = (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED, Kind.STEP_ADVANCED, Kind.STEP_ADVANCED)
LATENCY_SCALE = 0.02
now_s = SystemClock().monotonic_s
HANDED_OVER_S = 2.0
"""A record is handed over within a second, and written within 10 ms; a busy machine may take twice as long."""
PROVIDERS = """
providers:
  sim: {vendor: sim, timeouts: {first_byte_s: 2, idle_s: 6, total_s: 6}}
"""


def a_provider(seed: int) -> ScriptedProvider:
    """One that fails often where the candidate is asked, and sometimes where the incumbent is."""
    new, old = frozenset([NEW]), frozenset([OLD])
    faults = [
        Fault(ServerError(500), 0.05, new),
        Fault(ServerError(529), 0.03, new),
        Fault(RateLimited(1.0), 0.03, new),
        Fault(CutAnswer(0), 0.02, new),
        Fault(CutAnswer(1), 0.03, new),
        Fault(CutAnswer(4), 0.02, new),
        Fault(NoAnswer(), 0.01, new),
        Fault(SlowFirstByte(10.0), 0.05, new),
        Fault(ServerError(503), 0.02, old),
        Fault(RateLimited(1.0), 0.02, old),
        Fault(CutAnswer(3), 0.01, old),
        Fault(SlowFirstByte(10.0), 0.03, old),
    ]
    voices = {OLD: Voice(simulated.INCUMBENT), NEW: Voice(simulated.CANDIDATE)}
    return ScriptedProvider(voices, cases=200, faults=faults, seed=seed)


@dataclass(eq=False)
class Instance:
    """One life of one gateway. `killed_s` is when it was killed, `left_s` when it was asked to end."""

    name: str
    process: asyncio.subprocess.Process
    port: int
    killed_s: float | None = None
    sent: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What an app saw of one request. `error` is empty for a whole answer, and for an app that left by itself."""

    planned: traffic.Planned
    instance: Instance
    began_s: float
    ended_s: float
    status: int
    request_id: str
    variant: str
    error: str
    left: bool
    is_begun: bool


@dataclass
class Account:
    """A run, when it is over. `unexplained` are the errors that the incumbent alone would not have given."""

    upgrade: Upgrade
    seen: list[Seen]
    instances: list[Instance]
    unexplained: list[str]
    explained: Counter[str]
    exposures: dict[str, Exposure]
    repeated: list[str]

    @property
    def missing(self) -> list[str]:
        """Whole answers whose record had been handed over, and is not there."""
        return [
            seen.request_id
            for seen in self.seen
            if seen.request_id
            and not seen.error
            and not seen.left
            and seen.request_id not in self.exposures
            and (seen.instance.killed_s is None or seen.ended_s < seen.instance.killed_s - HANDED_OVER_S)
        ]

    @property
    def unreconciled(self) -> list[str]:
        """Gateways whose own counts do not come out, told as they ended in peace."""
        found = []
        for one in self.instances:
            if one.killed_s is not None:
                continue
            got = one.metrics
            ends = got["served_by_incumbent"] + got["served_by_candidate"] + got["refused"] + got["in_flight"]
            if not got["received"] == one.sent == ends or got["lost"] or got["in_flight"]:
                found.append(f"{one.name}: {one.sent} were sent, and it counted {dict(got)}")
        return found


class Chaos:
    """A product in its canary, three gateways, a provider in trouble, and a crowd."""

    def __init__(self, folder: Path, seed: int, gateways: int = 3) -> None:
        self._product = a_product(folder)
        self._seed = seed
        self._random = Random(seed)
        self._names = [f"gateway-{number}" for number in range(1, gateways + 1)]
        self._up: list[Instance] = []
        self.instances: list[Instance] = []
        self.seen: list[Seen] = []
        main = folder / "midshift.yaml"
        main.write_text(main.read_text(encoding="utf-8") + PROVIDERS, encoding="utf-8")
        assert 0 == run(self._product, "apply", "--who", "ada")
        self._upgrade = walked(self._product, *STEPS)

    async def run(
        self, seconds: float, concurrency: int, between_kills_s: float, tell: Callable[[str], None] = lambda _: None
    ) -> Account:
        """Everything for so long, and then the account."""
        provider = a_provider(self._seed)
        async with provider_server.serve(provider, latency_scale=LATENCY_SCALE) as url:
            await asyncio.gather(*(self._start(name, url) for name in self._names))
            until_s = now_s() + seconds
            plan = self._requests(provider)
            async with asyncio.TaskGroup() as tasks:
                for number in range(concurrency):
                    tasks.create_task(self._ask_on(plan, until_s, Random(self._seed + number)))
                tasks.create_task(self._kill_on(url, until_s, between_kills_s))
                tasks.create_task(self._tell_on(until_s, tell))
            await asyncio.gather(*(self._end(instance) for instance in list(self._up)))
        async with provider_server.serve(a_provider(self._seed), latency_scale=0.0) as url:
            return await self._account(url)

    def _requests(self, provider: ScriptedProvider) -> Iterator[traffic.Planned]:
        for number in range(10**9):
            arrivals = traffic.arrivals(traffic.Trace.steady(1.0), 1000.0, requests=1000, seed=self._seed + number)
            users = traffic.Units(2000, 0.5)
            yield from traffic.plan(
                arrivals, provider.questions, OLD, users, seed=number, stream_share=0.5, unit_header="x-user-id"
            )

    async def _ask_on(self, plan: Iterator[traffic.Planned], until_s: float, random: Random) -> None:
        while now_s() < until_s:
            if not self._up:
                await asyncio.sleep(0.01)
                continue
            instance = random.choice(self._up)
            leaves_after_s = random.uniform(0.0, 0.06) if random.random() < 0.08 else None
            self.seen.append(await _asked(next(plan), instance, leaves_after_s))

    async def _kill_on(self, url: str, until_s: float, between_s: float) -> None:
        while True:
            await asyncio.sleep(between_s * self._random.uniform(0.5, 1.5))
            if now_s() > until_s - 1.0:
                return
            instance = self._random.choice(self._up)
            if self._random.random() < 0.7 or not any(one.killed_s for one in self.instances):
                self._up.remove(instance)
                instance.killed_s = now_s()
                instance.process.kill()
                instance.code = await instance.process.wait()
            else:
                await self._end(instance)
            await self._start(instance.name, url)

    async def _tell_on(self, until_s: float, tell: Callable[[str], None]) -> None:
        while now_s() < until_s:
            await asyncio.sleep(min(30.0, max(0.0, until_s - now_s())))
            errors = sum(bool(seen.error) for seen in self.seen)
            sizes = ", ".join(f"{one.name} {_resident_mb(one.process.pid):.0f} MB" for one in self._up)
            tell(f"{len(self.seen)} requests, {errors} errors, {len(self.instances)} lives of gateways; {sizes}")

    async def _start(self, name: str, url: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "midshift", "serve", "gateway", "--name", name, "--port", "0"),
            *("--config", str(self._product), "--store", "file:store.txt", "--state", str(self._product / "state")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "MIDSHIFT_UNIT_KEY": "unit-key-0123456789", "MIDSHIFT_PROVIDER_SIM_URL": url},
        )
        assert process.stdout is not None
        said = (await process.stdout.readline()).decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", said)
        assert found is not None, said
        instance = Instance(name, process, int(found[1]))
        self.instances.append(instance)
        self._up.append(instance)

    async def _end(self, instance: Instance) -> None:
        """In peace: no new requests, its counts, SIGTERM, and what it says then."""
        self._up.remove(instance)
        while True:
            instance.metrics = await _metrics(instance.port)
            if not instance.metrics["in_flight"]:
                break
            await asyncio.sleep(0.02)
        instance.process.send_signal(signal.SIGTERM)
        instance.code = await instance.process.wait()

    async def _account(self, url: str) -> Account:
        found: dict[str, Exposure] = {}
        repeated = []
        for segment in segments(self._product / "state", Segments.EXPOSURES):
            for exposure in exposures(segment.path, Reading()):
                if exposure.request_id in found:
                    repeated.append(exposure.request_id)
                found[exposure.request_id] = exposure
        unexplained, explained = [], Counter[str]()
        for seen in self.seen:
            if seen.error:
                why = await _explanation(seen, found.get(seen.request_id), url, self._upgrade)
                explained[why or "nothing"] += 1
                if not why:
                    unexplained.append(f"{seen.error} (status {seen.status}, {seen.variant}, {seen.planned.headers})")
        return Account(self._upgrade, self.seen, self.instances, unexplained, explained, found, repeated)


async def _explanation(seen: Seen, exposure: Exposure | None, incumbent_url: str, upgrade: Upgrade) -> str:
    """Why the incumbent alone would have given this error, or why nobody could help it; empty if there is no reason."""
    killed_s = seen.instance.killed_s
    if killed_s is not None and seen.began_s <= killed_s <= seen.ended_s + 0.5 and seen.error.startswith("broken"):
        return "its gateway was killed"
    is_recorded = exposure.status == 502 if exposure is not None else killed_s is not None  # too late to be handed over
    if seen.is_begun and seen.variant == upgrade.candidate[:12] and is_recorded:
        return "the candidate broke off after its first content"
    alone = await _asked(seen.planned, Instance("alone", seen.instance.process, _port(incumbent_url)), None)
    if alone.error and alone.status in (200, seen.status):  # a 200 that breaks off is a 502 where there is time
        return "the incumbent failed"
    return ""


async def _asked(planned: traffic.Planned, instance: Instance, leaves_after_s: float | None) -> Seen:
    """One request, on a connection of its own."""
    began_s = now_s()
    answer = _Answer()
    error, left = "", False
    try:
        async with asyncio.timeout(leaves_after_s if leaves_after_s is not None else 30.0):
            async with _connected(instance.port) as (reader, writer):
                writer.write(_bytes(planned))
                instance.sent += 1
                await answer.read(reader)
    except TimeoutError:
        left = leaves_after_s is not None
        error = "" if left else "no answer within 30 s"
    except (ConnectionError, asyncio.IncompleteReadError, ValueError) as broken:
        error = f"broken: {broken!r}"
    else:
        error = answer.error
    return Seen(
        planned,
        instance,
        began_s,
        now_s(),
        answer.status,
        answer.headers.get("x-midshift-request-id", ""),
        answer.headers.get("x-midshift-variant", ""),
        error,
        left,
        b'"content":"' in answer.body.replace(b'"content":""', b""),
    )


@dataclass
class _Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Take it in as far as it comes."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self.headers.get("transfer-encoding") != "chunked":
            self.body = await reader.readexactly(int(self.headers["content-length"]))
            return
        while size := int(await reader.readuntil(b"\r\n"), 16):
            self.body += (await reader.readexactly(size + 2))[:-2]

    @property
    def error(self) -> str:
        """What is wrong with it for the app, which has all of it."""
        if self.status != 200:
            return f"status {self.status}: {self.body[:200]!r}"
        if "event-stream" not in self.headers.get("content-type", ""):
            return "" if _has_choices(self.body) else f"no answer: {self.body[:200]!r}"
        events = [line[5:].strip() for line in self.body.splitlines() if line.startswith(b"data:")]
        if not events or events[-1] != b"[DONE]":
            return f"a stream without its end: {self.body[-200:]!r}"
        return "" if all(map(_has_choices, events[:-1])) else f"an error in the stream: {self.body[-300:]!r}"


def _has_choices(text: bytes) -> bool:
    try:
        return "choices" in json.loads(text)
    except ValueError:
        return False


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def _bytes(planned: traffic.Planned) -> bytes:
    content = json.dumps(planned.body).encode()
    named: dict[str, Any] = {**planned.headers, "content-length": len(content)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode() + content


async def _metrics(port: int) -> dict[str, float]:
    """The counts that must come out, of one gateway."""
    answer = _Answer()
    async with _connected(port) as (reader, writer):
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        await answer.read(reader)
    found = Counter[str]()
    for line in answer.body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("midshift_requests_total"):
            found[name.partition('fate="')[2].partition('"')[0]] += float(value)  # type: ignore[assignment]
        elif name.startswith("midshift_lost_total"):
            found["lost"] += float(value)  # type: ignore[assignment]
        elif name in ("midshift_requests_received_total", "midshift_requests_in_flight"):
            found["received" if "received" in name else "in_flight"] = float(value)  # type: ignore[assignment]
    return found  # type: ignore[return-value]


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / (1 << 20)
    except OSError:
        return 0.0


def report(account: Account) -> str:
    """A run in a few lines."""
    kills = sum(one.killed_s is not None for one in account.instances)
    return "\n".join(
        (
            f"requests                {len(account.seen)}, of them left by the app {sum(s.left for s in account.seen)}",
            f"lives of gateways       {len(account.instances)}, killed {kills}",
            f"errors, explained       {dict(account.explained)}",
            f"errors, unexplained     {len(account.unexplained)} {account.unexplained[:3]}",
            f"records                 {len(account.exposures)}, missing {len(account.missing)}, twice "
            f"{len(account.repeated)}",
            f"counts not reconciled   {account.unreconciled}",
        )
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run, and say what was found; 1 if a rule was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=24)
    parser.add_argument("--between-kills-s", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chaos = Chaos(Path(folder), given.seed)
        account = asyncio.run(chaos.run(given.seconds, given.concurrency, given.between_kills_s, _say))
    _say(report(account))
    return int(bool(account.unexplained or account.missing or account.repeated or account.unreconciled))


if __name__ == "__main__":
    sys.exit(main())
