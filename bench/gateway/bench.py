"""What a gateway costs and carries on one core, ours beside others, with one mock and one load in one run.

    python -m bench.gateway.bench [--seconds 4] [--rounds 3] [--only midshift,envoy] [--in-front] [--json FILE]
                                  [--phases plain,tls,shadow,streams,paced,open]              # make bench-gateway

A gateway has the last core to itself, as far as the machine's other tenants leave it; mock and load have the first.
The figure to trust is CPU per answer, and what one core carries by it (`per core`). It moves less than the answers a
second that were seen, when others use the machine, and moves with the processor all the same: by half on a virtual
machine, from one minute to the next. So everybody is measured in each of some rounds, what is shown and judged are
medians of them, and `yard ms` says how long the core took, just before, for a loop of Python that is always the same.
`--in-front` lets the measured processes go before all others (it needs root, and is rude on a shared machine): the
latencies mean little without it where others are busy.
Elsewhere: what was measured, its medians and the floors (measured), our gateway and what it does (ours),
the others (peers), TLS (tls), the provider (mock.c), the clients (load.c), what the system says of processes
(processes), what was measured where (docs/why/gateway-speed.md).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.gateway import ours, tls
from bench.gateway.measured import PHASES, Measured, floors, over_rounds, show
from bench.gateway.peers import Peer, peers
from bench.gateway.processes import cpu_s, peak_mb, resident_mb, yard_ms
from bench.gateway.starting import answered, start_s

HERE = Path(__file__).parent
PROVIDER_PORT, SLOW_PORT, TLS_PORT, OUR_PORT = 9000, 9001, 9002, 8001
CONNECTIONS, PACED_PER_S = 64, 200
OPEN, SLOW_MS = 4000, 5000
"""Requests open at once: as many as are due while a provider takes that long for each."""

ROOM = ("--max-in-flight", "4200", "--max-in-flight-per-workload", "4200")
"""For those and for the measure's own; a gateway takes 4,000 and a workload 3,000 unless it is told otherwise."""

SHADOWED = 32
"""Connections where all is mirrored: a gateway mirrors 64 calls at once, and sheds what is beyond."""
_COUNTED = re.compile(r"midshift_(?:lost_total|shadow_total|shadow_unpaired_total|requests_total)\{(.*)\}")


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is, and for how long it runs."""

    folder: Path
    seconds: float
    in_front: bool

    @contextlib.contextmanager
    def process(
        self, core: int, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A process on one core, in a session of its own, ended with all its children."""
        log = (self.folder / f"{Path(command[0]).name}.log").open("ab")
        cores = sorted(os.sched_getaffinity(0))
        pinned = ["taskset", "-c", str(cores[0] if core == 0 else cores[-1]), *command]
        child = subprocess.Popen(
            pinned, stdout=log, stderr=log, env={**os.environ, **(environment or {})}, start_new_session=True
        )
        self.put_in_front(child.pid)
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            log.close()

    def put_in_front(self, pid: int) -> None:
        """Before everybody else on the machine, if that was asked for."""
        if self.in_front:
            Path(f"/proc/{pid}/autogroup").write_text("-19", encoding="ascii")

    def provider(self, port: int = PROVIDER_PORT, delay_ms: int = 0) -> contextlib.AbstractContextManager[Any]:
        """The mock."""
        return self.process(0, [str(self.folder / "mock"), str(port), str(delay_ms), "50", "2", "1600"])

    def load(self, port: int, request: Path, connections: int, rate: float = 0, warm_s: float = 1.0) -> dict[str, Any]:
        """What the clients saw."""
        cores = sorted(os.sched_getaffinity(0))
        command = [str(self.folder / "load"), str(port), str(connections), str(self.seconds), str(warm_s), str(rate)]
        child = subprocess.Popen(
            ["taskset", "-c", str(cores[0]), *command, str(request)], stdout=subprocess.PIPE, start_new_session=True
        )
        self.put_in_front(child.pid)
        out, _ = child.communicate()
        return dict(json.loads(out))


def build(folder: Path) -> None:
    """Compile mock and load: in Python either would be slower than what it measures."""
    compiler = shutil.which("cc")
    if compiler is None or shutil.which("taskset") is None:
        raise SystemExit("bench: needs a C compiler and taskset. Type next: apt-get install gcc libc6-dev util-linux")
    for name in ("mock", "load"):
        subprocess.run([compiler, "-O2", "-o", str(folder / name), str(HERE / f"{name}.c")], check=True)


def request_file(path: Path, lines: Mapping[str, str], stream: bool) -> Path:
    """One request of about 1.6 KB, as an app sends it; its user is a number that changes."""
    messages = [
        {"role": "system", "content": "You are the assistant of a bank. Be polite, concise and correct. " * 10},
        {"role": "user", "content": "My card was charged twice for one order, please draft a reply to me. " * 9},
    ]
    body: dict[str, Any] = {
        "model": ours.MODEL,
        "messages": messages,
        "temperature": 0.2,
        "max_tokens": 600,
        "user": "u-@@@@@@",
        "metadata": {"tenant": "acme", "ticket": "48213"},
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    content = json.dumps(body).encode()
    named = {"authorization": f"Bearer {ours.KEY}", "content-type": "application/json", **lines}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**named, "content-length": len(content)}.items())
    path.write_bytes(f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n{head}\r\n".encode() + content)
    return path


def asked_so_far(port: int = PROVIDER_PORT) -> int:
    """How many requests the provider has had."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats", timeout=10) as answer:
        return int(json.load(answer)["requests"])


def measure(bench: Bench, peer: Peer, phase: str, session: int, begins_s: float, port: int = PROVIDER_PORT) -> Measured:
    """One phase of a contender that runs."""
    raw = request_file(bench.folder / "request", peer.lines, phase == "streams")
    numbers = {"streams": peer.stream_connections, "paced": 512, "open": OPEN, "shadow": SHADOWED}
    connections = numbers.get(phase, CONNECTIONS)
    rate = {"paced": PACED_PER_S, "open": OPEN * 1000 / SLOW_MS}.get(phase, 0)
    if phase == "open":  # rise, stay, fall
        bench = replace(bench, seconds=max(bench.seconds, 3 * SLOW_MS / 1000))
    else:
        bench.load(peer.port, raw, connections, rate, 0.5)
    yard = yard_ms(max(os.sched_getaffinity(0)))
    asked, spent, began = asked_so_far(port), cpu_s(session), time.monotonic()
    got = bench.load(peer.port, raw, connections, rate, 0.0)
    took_s = time.monotonic() - began
    count = max(1, got["answers"])
    return Measured(
        peer.name,
        phase,
        got["answers"] / took_s,
        (cpu_s(session) - spent) / count * 1e6,
        got["answers"],
        got["not_200"] + got["broken"],
        (asked_so_far(port) - asked) / count,
        resident_mb(session),
        peak_mb(session),
        got["p50_us"] / 1000,
        got["p99_us"] / 1000,
        got["ttfb_p50_us"] / 1000,
        got["ttfb_p99_us"] / 1000,
        begins_s,
        os.getloadavg()[0],
        yard,
        {"open at once": got["open"], **counts(peer.port)} if peer.name.startswith("midshift") else {},
    )


def counts(port: int) -> dict[str, float]:
    """What our gateway says of itself: what was lost, and what became of the unseen answers."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"authorization": f"Bearer {ours.KEY}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, float] = {}
    for line in lines:
        name, _, value = line.rpartition(" ")
        if match := _COUNTED.match(name):
            key = ", ".join(re.findall(r'(?:kind|fate|reason|end)="([^"]*)"', match[1])) or match[1]
            found[key] = found.get(key, 0.0) + float(value)
    return found


def run_peer(bench: Bench, peer: Peer, phases: Sequence[str]) -> list[Measured]:
    """Every phase of one contender, in one life of it."""
    wanted = [phase for phase in phases if phase in peer.phases]
    if not wanted:
        return []
    with bench.provider(), contextlib.suppress(ChildProcessError):
        raw = request_file(bench.folder / "first", peer.lines, stream=False)
        took_s = start_s(partial(bench.process, 1, peer.command, peer.environment), peer.port, raw, 90.0)
        with bench.process(1, peer.command, peer.environment) as child:
            answered(peer.port, raw, 90.0)
            return [measure(bench, peer, phase, child.pid, took_s) for phase in wanted]
    return []


@dataclass(frozen=True, slots=True)
class Life:
    """One life of ours: how much is captured, served by the candidate and mirrored, and what the provider is like."""

    phases: Sequence[str]
    texts_percent: int = 5
    share: float = 0.25
    shadow_share: float = 0.0
    delay_ms: int = 0
    is_encrypted: bool = False


LIVES = (
    Life(("plain", "streams", "paced")),
    Life(("tls",), is_encrypted=True),
    Life(("shadow",), texts_percent=100, share=0.0, shadow_share=1.0),
    Life(("open",), delay_ms=SLOW_MS),
)


def run_ours(bench: Bench, phases: Sequence[str]) -> list[Measured]:
    """Ours: with a canary at 25 %, over TLS, with a full shadow, and before a provider that takes seconds."""
    found = []
    for life in LIVES:
        if todo := [phase for phase in life.phases if phase in phases]:
            found += run_life(bench, life, todo)
    return found


def run_life(bench: Bench, life: Life, phases: Sequence[str]) -> list[Measured]:
    """The phases of one life."""
    port = SLOW_PORT if life.delay_ms else PROVIDER_PORT
    product = Path(tempfile.mkdtemp(dir=bench.folder))
    raw = request_file(bench.folder / "first", {}, stream=False)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(bench.provider(port, life.delay_ms))
            asked_port, ca_file = encrypted(bench, stack, port) if life.is_encrypted else (port, None)
            with contextlib.redirect_stdout(sys.stderr):
                ours.prepare(product, asked_port, life.texts_percent, life.share, life.shadow_share, ca_file)
            command = ours.command(product, OUR_PORT, *ROOM)
            begun = partial(bench.process, 1, command, ours.environment())
            took_s = start_s(begun, OUR_PORT, raw, 60.0) - life.delay_ms / 1000
            child = stack.enter_context(begun())
            answered(OUR_PORT, raw, 60.0)
            peer = Peer("midshift", command, OUR_PORT, phases, environment=ours.environment())
            return [measure(bench, peer, phase, child.pid, took_s, port) for phase in phases]
    finally:
        shutil.rmtree(product)


def encrypted(bench: Bench, stack: contextlib.ExitStack, provider_port: int) -> tuple[int, Path]:
    """The port where the provider is encrypted, and whom to trust."""
    who, command, ca_file = tls.terminator(bench.folder, TLS_PORT, provider_port)
    print(f"tls: decrypted by {who}")
    stack.enter_context(bench.process(0, command))
    return TLS_PORT, ca_file


def run_direct(bench: Bench) -> Measured:
    """The provider alone, paced: what latencies are compared with."""
    peer = Peer("direct", ("none",), PROVIDER_PORT, ("paced",))
    with bench.provider() as child:
        answered(PROVIDER_PORT, request_file(bench.folder / "first", {}, stream=False), 10.0)
        return replace(measure(bench, peer, "paced", child.pid, 0.0), cpu_us=0.0)


def run_round(bench: Bench, phases: Sequence[str], only: Sequence[str]) -> list[Measured]:
    """Everybody once, the provider alone first."""
    found = [run_direct(bench)] if "paced" in phases else []
    if not only or "midshift" in only:
        found += run_ours(bench, phases)
    for peer in peers(bench.folder, PROVIDER_PORT):
        if only and peer.name.partition(" ")[0] not in only:
            continue
        if not peer.command:
            print(f"{peer.name}: not measured here (not found)")
            continue
        try:
            found += run_peer(bench, peer, phases)
        except SystemExit as failed:
            print(f"{peer.name}: not measured here ({failed})")
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--in-front", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    phases = [phase for phase in PHASES if phase in given.phases.split(",")]
    only = [name for name in given.only.split(",") if name]
    rounds: list[Measured] = []
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), given.seconds, given.in_front)
        build(bench.folder)
        for number in range(given.rounds):
            print(f"round {number + 1} of {given.rounds}", file=sys.stderr)
            rounds += run_round(bench, phases, only)
    found = over_rounds(rounds)
    show(found)
    print()
    for what, value, floor, holds in floors(found):
        print(f"{what:<14}{value:10.2f}   floor {floor:<8g} {'holds' if holds else 'DOES NOT HOLD'}")
    if given.json is not None:
        written = [{**asdict(one), "per_core": one.per_core if one.cpu_us else None} for one in found]
        given.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
