"""From a rollback to its effect, over eight gateway processes on one SQLite store, under load.

    python bench/bench_flip.py [--gateways 8] [--flips 15]

Three ways home are measured, from the moment that somebody asks to the beginning of the last request that the candidate
still answered: `midshift rollback` (one write; it returns when every gateway has reported the epoch), and with the
store destroyed, the admin ports and the file on the host. Times hold the whole way: command, write, poll, report.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import re
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from midshift.cli import main as cli
from midshift.cli.system import SystemClock
from midshift.config import load_variant
from midshift.domain.routing import Route
from midshift.store.sql import SqlStore
from midshift.testing import provider_server, simulated
from midshift.testing.scripted import ScriptedProvider, Voice

WORKLOAD, OLD, NEW = "support-reply", "sonnet-3.7", "sonnet-4.6"
ADMIN_KEY = "an-admin-key-for-this-bench-0123"
PAUSE_S = 0.02
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Begun:
    """One answer: when its request was begun, and whether the candidate gave it."""

    at_s: float
    by_candidate: bool


@dataclass(frozen=True, slots=True)
class Flip:
    """One way home, once. `late` are requests begun after everybody had acknowledged, and answered by the candidate."""

    effect_ms: float
    acknowledged_ms: float
    late: int
    before: int
    """Of the last 200 answers before, those by the candidate: none would be a flip of nothing."""


@dataclass
class Fleet:
    """Gateways at work. `ports` and `admin_ports` are in one order."""

    folder: Path
    candidate: str
    ports: list[int] = field(default_factory=list)
    admin_ports: list[int] = field(default_factory=list)
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)
    broken: int = 0

    @property
    def store_path(self) -> Path:
        """The file of the store."""
        return self.folder / "midshift.db"

    @property
    def force_file(self) -> Path:
        """The file that sends everybody home."""
        return self.folder / "state" / "force-incumbent"

    def store(self) -> SqlStore:
        """The store that all of them follow."""
        return SqlStore.open(f"sqlite:///{self.store_path}")

    async def promote(self, share: float = 0.5) -> Route:
        """Give users the candidate, and wait until every gateway does."""
        with self.store() as store:
            before = store.route(WORKLOAD)
            assert before is not None
            route = replace(
                before,
                epoch=before.epoch + 1,
                candidate=self.candidate,
                share=share,
                salt="salt",
                lease_until=CLOCK.machine_now() + timedelta(minutes=10),
            )
            store.put_route(route, before.epoch)
            while {item.gateway for item in store.reports() if item.epoch == route.epoch} < set(self.names):  # noqa: ASYNC110 - other processes
                await asyncio.sleep(0.02)
        return route

    @property
    def names(self) -> list[str]:
        """What the gateways are called."""
        return [f"gateway-{number}" for number in range(1, len(self.processes) + 1)]

    async def flip(self, ask: Callable[[], Awaitable[None]], epoch: int | None = None) -> Flip:
        """Go home by some way, under load, and see when the last request began that did not.

        Where the row of an `epoch` is what is asked by, time counts from when it was written.
        """
        await asyncio.sleep(0.3)
        first, asked_s = len(self.begun), CLOCK.monotonic_s()
        before = sum(one.by_candidate for one in self.begun[-200:])
        watching = asyncio.create_task(self.written(epoch)) if epoch is not None else None
        await ask()
        acknowledged_s = CLOCK.monotonic_s()
        asked_s = asked_s if watching is None else await watching
        await asyncio.sleep(0.7)
        candidates = [one.at_s for one in self.begun[first:] if one.by_candidate]
        effect_s = max([at_s - asked_s for at_s in candidates if at_s > asked_s], default=0.0)
        late = sum(at_s > acknowledged_s for at_s in candidates)
        return Flip(1000 * effect_s, 1000 * (acknowledged_s - asked_s), late, before)

    async def ask_on(self, port: int, user: int) -> None:
        """An app that asks one gateway for ever, each request for another of its users."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.closing(writer):
            await self._ask_on(reader, writer, user)

    async def _ask_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        short = self.candidate[:12].encode()
        while True:
            number += 1
            content = json.dumps({"model": OLD, "messages": [{"role": "user", "content": "Hi"}]}).encode()
            at_s = CLOCK.monotonic_s()
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-user-id: user-%d\r\ncontent-length: %d\r\n\r\n%b"
                % (number % 500, len(content), content)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            self.broken += b" 200 " not in head.partition(b"\r\n")[0]
            self.begun.append(Begun(at_s, b"x-midshift-variant: " + short in head))
            await asyncio.sleep(PAUSE_S)

    async def by_command(self) -> None:
        """What the runbook says."""
        arguments = ["--config", str(self.folder), "--store", "file:store.txt", "--wait", "5"]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            assert 0 == await asyncio.to_thread(cli.run, ["rollback", WORKLOAD, *arguments]), said.getvalue()

    async def written(self, epoch: int) -> float:
        """When the row of that epoch could be read for the first time."""
        with self.store() as store:
            while (route := store.route(WORKLOAD)) is None or route.epoch < epoch:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.001)
        return CLOCK.monotonic_s()

    async def by_admin_ports(self) -> None:
        """All of them at once."""
        await asyncio.gather(*map(_force_incumbent, self.admin_ports))

    async def by_file(self) -> None:
        """The file that all gateways of a host look at."""
        self.force_file.touch()

    def destroy_store(self) -> None:
        """As a broken disk does it: the file is there, and says nothing that can be read."""
        for path in (self.store_path, self.store_path.with_name("midshift.db-wal")):
            os.truncate(path, 0)  # not the -shm: it is memory, and whoever has it open would die


async def _force_incumbent(port: int) -> None:
    nonce = await _admin(port, "GET /-/nonce", "")
    await _admin(port, "POST /-/force-incumbent", f"x-midshift-nonce: {nonce}\r\n")


async def _admin(port: int, what: str, more: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"{what} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\n{more}content-length: 0\r\n"
        "connection: close\r\n\r\n".encode()
    )
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    assert " 200 " in head.partition("\r\n")[0], head
    return body


@asynccontextmanager
async def fleet(folder: Path, gateways: int, apps: int = 2) -> AsyncIterator[Fleet]:
    """Gateways with their provider and their apps, as long as the block lasts."""
    assert 0 == cli.run(["init", str(folder)])
    (folder / "store.txt").write_text(f"sqlite:///{folder / 'midshift.db'}\n", encoding="utf-8")
    assert 0 == cli.run(["apply", "--who", "ada", "--config", str(folder), "--store", "file:store.txt"])
    variant = load_variant(folder, f"variants/{NEW}.yaml").variant
    found = Fleet(folder, variant.id)
    with found.store() as store:
        store.put_variant(variant)
    voices = {OLD: Voice(simulated.INCUMBENT), NEW: Voice(simulated.CANDIDATE)}
    async with AsyncExitStack() as stack:
        provider = ScriptedProvider(voices, cases=20)
        url = await stack.enter_async_context(provider_server.serve(provider, latency_scale=0.0))
        for number in range(1, gateways + 1):
            await _start(found, f"gateway-{number}", url)
            stack.push_async_callback(_kill, found.processes[-1])
        tasks = [
            asyncio.create_task(found.ask_on(port, user))
            for index, port in enumerate(found.ports)
            for user in range(index, index + 17 * apps, 17)
        ]
        try:
            yield found
        finally:
            failed = [task.exception() for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert not failed, failed


async def _start(found: Fleet, name: str, url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "midshift", "serve", "gateway", "--name", name, "--port", "0", "--admin-port", "0"),
        *("--config", str(found.folder), "--store", "file:store.txt", "--state", str(found.folder / "state")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={
            **os.environ,
            "MIDSHIFT_UNIT_KEY": "unit-key-0123456789",
            "MIDSHIFT_ADMIN_KEY": ADMIN_KEY,
            "MIDSHIFT_PROVIDER_SIM_URL": url,
        },
    )
    found.processes.append(process)
    assert process.stdout is not None
    said = (await process.stdout.readline()).decode()
    ports = re.search(r"http://127\.0\.0\.1:(\d+)/v1; admin port (\d+)", said)
    assert ports is not None, said
    found.ports.append(int(ports[1]))
    found.admin_ports.append(int(ports[2]))


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def shown(what: str, flips: Sequence[Flip]) -> str:
    """One line: how long until the effect, how long until the acknowledgement, and who was late."""
    effects = sorted(flip.effect_ms for flip in flips)
    waits = sorted(flip.acknowledged_ms for flip in flips)
    late = sum(flip.late for flip in flips)
    return (
        f"{what:<22} effect p50 {statistics.median(effects):6.0f} ms, worst {effects[-1]:6.0f} ms; acknowledged p50 "
        f"{statistics.median(waits):6.0f} ms, worst {waits[-1]:6.0f} ms; late {late}; n {len(flips)}"
    )


async def measure(folder: Path, gateways: int, flips: int) -> list[str]:
    """Every way home; the last two without a store."""
    lines = []
    async with fleet(folder, gateways) as found:
        by_command = []
        for _ in range(flips):
            route = await found.promote()
            by_command.append(await found.flip(found.by_command, route.epoch + 1))
        lines.append(shown("midshift rollback", by_command))
        await found.promote()
        found.destroy_store()
        await asyncio.sleep(0.5)
        by_file = await found.flip(found.by_file)
        lines.append(shown("file, without a store", [replace(by_file, late=0)]))  # a file acknowledges nothing
        found.force_file.unlink()
        await asyncio.sleep(0.5)
        lines.append(shown("admin, without a store", [await found.flip(found.by_admin_ports)]))
        lines.append(f"requests {len(found.begun)}, not answered with 200: {found.broken}")
    return lines


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateways", type=int, default=8)
    parser.add_argument("--flips", type=int, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(asyncio.run(measure(Path(folder), given.gateways, given.flips))))


if __name__ == "__main__":
    main()
