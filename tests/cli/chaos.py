"""Trouble of every kind at once, and an account of each request: gateways that are killed or stopped under load,
providers that fail, apps that leave, a rollback in the midst of it.

    python -m tests.cli.chaos --seconds 1800        # make soak

Gateways are processes of their own on one SQLite store; an app asks one of those that are up, and retries nothing. The
provider's trouble is drawn from the request, and it keeps an account of what it was asked for each: so for every
answer it is known who gave it, and what the incumbent alone would have done.
Elsewhere: what a user may see (chaos_rules), how apps ask (chaos_apps), the provider (chaos_provider), what a run must
hold (test_chaos).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import signal
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from math import inf
from pathlib import Path
from random import Random
from typing import TypeAlias

from midshift.cli.rollback import NOT_ALL
from midshift.cli.system import SystemClock
from midshift.domain.exposure import Exposure
from midshift.domain.routing import Arm
from midshift.domain.suite import AGGREGATE
from midshift.domain.upgrade import Kind, Upgrade
from midshift.store.segments import Kind as Segments
from midshift.store.segments import Reading, exposures, segments
from midshift.testing import provider_server, traffic
from tests.cli.chaos_apps import SHARES, Answer, Instance, Manner, Saw, Seen, asked, connected, now_s
from tests.cli.chaos_provider import Witness, a_provider
from tests.cli.chaos_rules import HANDED_OVER_S, NEW, OLD, Asked, faults
from tests.cli.test_defining import WORKLOAD, a_product, run, store_of, walked

Key: TypeAlias = tuple[Arm, int]
CLOCK = SystemClock()
STEPS = (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED, Kind.STEP_ADVANCED, Kind.STEP_ADVANCED)
LATENCY_SCALE = 0.02
ENDS_WITHIN_S = 40.0
ROLLED_BACK_AFTER = 0.8
"""This part of a run has a candidate; in the rest nobody may get it."""

ASKED_AT_HOME_S = 0.5
"""For so long at least requests come after the rollback, however long that took."""

PROVIDERS = """
providers:
  sim: {vendor: sim, timeouts: {first_byte_s: 4, idle_s: 8, total_s: 8}}
"""


class Ending(Enum):
    """How lives of gateways end, in turn."""

    KILLED = "killed"
    AT_WORK = "asked to end, with answers under way"
    KILLED_AGAIN = "killed again"
    IDLE = "asked to end, with nothing under way"


@dataclass
class Flip:
    """The rollback: when it was asked for, when every gateway had acknowledged it, and how variants are named."""

    variants: dict[str, str]
    asked_s: float = inf
    acknowledged_s: float = inf


@dataclass
class Account:
    """A run, when it is over. `faults` are the rules that were broken, each with the request that broke it."""

    upgrade: Upgrade
    seen: list[Seen]
    instances: list[Instance]
    exposures: dict[str, Exposure]
    repeated: list[str]
    faults: list[str]
    sums: Counter[Key]
    """How many requests the sums of the upgrade have counted, by arm and block."""
    flip: Flip = field(default_factory=lambda: Flip({}))

    @property
    def broken_rules(self) -> list[str]:
        """All of them."""
        found = [*self.faults, *self._unreconciled(), *self._unsummed()]
        found += [f"recorded twice: {request_id}" for request_id in self.repeated]
        found += ["the rollback was not acknowledged"] if self.flip.acknowledged_s == inf else []
        found += [
            f"{one.name} ended with {one.code}" for one in self.instances if one.killed_s is None and one.code != 0
        ]
        return found

    def _unreconciled(self) -> Iterator[str]:
        """Gateways whose own counts do not come out, told when nothing was under way."""
        for one in self.instances:
            got = one.metrics
            if not got:
                continue
            ends = got["served_by_incumbent"] + got["served_by_candidate"] + got["refused"]
            if not got["received"] == one.sent == ends or got["lost"] or got["in_flight"]:
                yield f"{one.name}: {one.sent} were sent, and it counted {dict(got)}"

    def _unsummed(self) -> Iterator[str]:
        """Of each arm and block, sums are less than the records by what killed gateways had not merged, at most."""
        told = {one.request_id: _was_late(one) for one in self.seen}
        kills = [one.killed_at for one in self.instances if one.killed_at is not None]
        counted, late = Counter[Key](), Counter[Key]()
        for one in self.exposures.values():
            if one.upgrade is None:
                continue
            key = one.assigned, one.block
            counted[key] += 1
            late[key] += told.get(one.request_id, any(_is_just_before(one.at, killed_at) for killed_at in kills))
        unrecorded = sum(_was_late(one) and one.request_id not in self.exposures for one in self.seen)
        for key in counted | self.sums:
            missing = counted[key] - self.sums[key]
            if missing > late[key] or -missing > unrecorded:
                yield f"{key}: {counted[key]} records, and {self.sums[key]} in sums; {late[key]} may be missing there"


def _was_late(seen: Seen) -> bool:
    killed_s = seen.instance.killed_s
    return killed_s is not None and seen.ended_s > killed_s - HANDED_OVER_S


def _is_just_before(at: datetime | None, killed_at: datetime) -> bool:
    return at is not None and 0.0 <= (killed_at - at).total_seconds() < HANDED_OVER_S


class Chaos:
    """A product in its canary, three gateways, a provider in trouble, and a crowd."""

    def __init__(self, folder: Path, seed: int, gateways: int = 3) -> None:
        self._product = a_product(folder)
        self._random = Random(seed)
        self._seed = seed
        self._names = [f"gateway-{number}" for number in range(1, gateways + 1)]
        self._up: list[Instance] = []
        self._witness = Witness(a_provider(seed))
        self._alone: dict[int, Asked] = {}
        self.instances: list[Instance] = []
        self.seen: list[Seen] = []
        main = folder / "midshift.yaml"
        main.write_text(main.read_text(encoding="utf-8") + PROVIDERS, encoding="utf-8")
        assert 0 == run(self._product, "apply", "--who", "ada")
        self._upgrade = walked(self._product, *STEPS)
        self._home_s = inf
        self.flip = Flip({OLD: self._upgrade.home[:12], NEW: self._upgrade.candidate[:12]})

    async def run(
        self, seconds: float, concurrency: int, between_kills_s: float, tell: Callable[[str], None] = lambda _: None
    ) -> Account:
        """Everything for so long, and then the account."""
        async with provider_server.serve(self._witness, latency_scale=LATENCY_SCALE) as url:
            await asyncio.gather(*(self._start(name, url) for name in self._names))
            began_s = now_s()
            until_s = began_s + seconds
            plan = enumerate(self._requests(), start=1)
            async with asyncio.TaskGroup() as tasks:
                for number in range(concurrency):
                    tasks.create_task(self._ask_on(plan, until_s, Random(self._seed * 1000 + number)))
                tasks.create_task(self._kill_on(url, until_s, between_kills_s))
                tasks.create_task(self._go_home(began_s + ROLLED_BACK_AFTER * seconds))
                tasks.create_task(self._tell_on(until_s, tell))
            await asyncio.gather(*(self._end(instance, is_idle=True) for instance in list(self._up)))
        return self._account()

    def _requests(self) -> Iterator[traffic.Planned]:
        for number in itertools.count():
            arrivals = traffic.arrivals(traffic.Trace.steady(1.0), 1000.0, requests=1000, seed=self._seed + number)
            users = traffic.Units(2000, 0.5)
            questions = self._witness.questions
            yield from traffic.plan(
                arrivals, questions, OLD, users, seed=number, stream_share=0.5, unit_header="x-user-id"
            )

    async def _ask_on(self, plan: Iterator[tuple[int, traffic.Planned]], until_s: float, random: Random) -> None:
        while now_s() < max(until_s, self._home_s + ASKED_AT_HOME_S):
            if not self._up:
                await asyncio.sleep(0.01)
                continue
            (manner,) = random.choices(list(SHARES), list(SHARES.values()))
            plans = list(itertools.islice(plan, 3 if manner in (Manner.KEPT, Manner.PIPELINED) else 1))
            self._alone |= {number: self._witness.alone(planned) for number, planned in plans}
            self.seen += await asked(plans, random.choice(self._up), manner, random)

    async def _kill_on(self, url: str, until_s: float, between_s: float) -> None:
        for end in itertools.cycle(Ending):
            await asyncio.sleep(between_s * self._random.uniform(0.5, 1.5))
            if now_s() > until_s - 1.0:
                return
            instance = self._random.choice(self._up)
            if end is Ending.IDLE or end is Ending.AT_WORK:
                await self._end(instance, is_idle=end is Ending.IDLE)
            else:
                self._leave(instance)
                instance.killed_s, instance.killed_at = now_s(), CLOCK.machine_now()
                instance.process.kill()
                instance.code = await instance.process.wait()
            await self._start(instance.name, url)

    async def _go_home(self, at_s: float) -> None:
        """Roll back, and see that every gateway has heard of it."""
        await asyncio.sleep(at_s - now_s())
        self.flip.asked_s = now_s()
        try:
            await self._all_home()
        finally:
            self._home_s = now_s()

    async def _all_home(self) -> None:
        code = await asyncio.to_thread(run, self._product, "rollback", WORKLOAD, "--wait", "1")
        assert code in (0, NOT_ALL), "a gateway that was killed a moment ago may be one that serves on"
        with store_of(self._product) as store:
            route = store.route(WORKLOAD)
            assert route is not None
            while any(report.epoch < route.epoch for report in store.reports()):
                if now_s() > self.flip.asked_s + ENDS_WITHIN_S:
                    return
                await asyncio.sleep(0.02)
        self.flip.acknowledged_s = now_s()

    async def _tell_on(self, until_s: float, tell: Callable[[str], None]) -> None:
        while now_s() < until_s:
            await asyncio.sleep(min(30.0, max(0.0, until_s - now_s())))
            whole = sum(seen.saw is Saw.WHOLE for seen in self.seen)
            sizes = ", ".join(f"{one.name} {_resident_mb(one.process.pid):.0f} MB" for one in self._up)
            tell(f"{len(self.seen)} requests, {whole} whole, {len(self.instances)} lives of gateways; {sizes}")

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

    def _leave(self, instance: Instance) -> None:
        self._up.remove(instance)
        instance.is_up = False

    async def _end(self, instance: Instance, is_idle: bool) -> None:
        """Ask it to end, when it has all that it was sent; with nothing under way its counts are read before."""
        self._leave(instance)
        until_s = now_s() + ENDS_WITHIN_S
        while now_s() < until_s:
            metrics = await _metrics(instance.port)
            has_all = metrics["received"] == instance.sent and not instance.unsent
            if has_all and not (is_idle and (metrics["in_flight"] or instance.begun)):
                break
            await asyncio.sleep(0.01)
        instance.metrics = metrics if is_idle else {}
        instance.process.send_signal(signal.SIGTERM)
        instance.code = await asyncio.wait_for(instance.process.wait(), ENDS_WITHIN_S)

    def _account(self) -> Account:
        found: dict[str, Exposure] = {}
        repeated = []
        for segment in segments(self._product / "state", Segments.EXPOSURES):
            for exposure in exposures(segment.path, Reading()):
                if exposure.request_id in found:
                    repeated.append(exposure.request_id)
                found[exposure.request_id] = exposure
        with store_of(self._product) as store:
            summed = store.sums(self._upgrade.id, ("error",), (AGGREGATE,))
        broken = [
            f"{fault} [request {seen.number}, {seen.manner.name}, {'stream' if seen.is_stream else 'whole'}, "
            f"{seen.saw.name} {seen.status} by {seen.variant!r}, asked {self._asked(seen)}; {seen.began_s:.3f} to "
            f"{seen.ended_s:.3f} at {seen.instance.name}, killed {seen.instance.killed_s}, ended {seen.instance.code}]"
            for seen in self.seen
            for fault in faults(
                seen,
                self._witness.asked.get(seen.number, ()),
                self._alone[seen.number],
                found.get(seen.request_id),
                self.flip,
            )
        ]
        counted = Counter[Key]()
        for key, one in summed.items():
            counted[key.arm, key.block] += one.n
        return Account(self._upgrade, self.seen, self.instances, found, repeated, broken, counted, self.flip)

    def _asked(self, seen: Seen) -> str:
        calls: Sequence[Asked] = self._witness.asked.get(seen.number, ())
        return ", ".join(f"{call.model} {call.how.value} {call.status}" for call in calls)


async def _metrics(port: int) -> dict[str, float]:
    """The counts that must come out, of one gateway."""
    answer = Answer()
    async with connected(port) as (reader, writer):
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        await answer.read(reader)
    found: defaultdict[str, float] = defaultdict(float)
    for line in answer.body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("midshift_requests_total"):
            found[name.partition('fate="')[2].partition('"')[0]] += float(value)
        elif name.startswith("midshift_lost_total"):
            found["lost"] += float(value)
        elif name in ("midshift_requests_received_total", "midshift_requests_in_flight"):
            found["received" if "received" in name else "in_flight"] = float(value)
    return found


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / (1 << 20)
    except OSError:
        return 0.0


def report(account: Account) -> str:
    """A run in a few lines."""
    kills = sum(one.killed_s is not None for one in account.instances)
    idle = sum(bool(one.metrics) for one in account.instances)
    broken = account.broken_rules
    fates = Counter(one.fate.value for one in account.exposures.values())
    reasons = Counter(one.fell_back_reason for one in account.exposures.values() if one.fell_back)
    flip_ms = 1000 * (account.flip.acknowledged_s - account.flip.asked_s)
    return "\n".join(
        (
            f"requests                {len(account.seen)}: {dict(Counter(seen.saw.name for seen in account.seen))}",
            f"asked                   {dict(Counter(seen.manner.name for seen in account.seen))}",
            f"lives of gateways       {len(account.instances)}: {kills} killed, {idle} ended with nothing under way",
            f"records                 {len(account.exposures)} {dict(fates)}, in sums {account.sums.total()}",
            f"fell back               {dict(reasons)}",
            f"rollback                acknowledged by all after {flip_ms:.0f} ms",
            f"rules broken            {len(broken)}",
            *broken[:40],
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
    return int(bool(account.broken_rules))


if __name__ == "__main__":
    sys.exit(main())
