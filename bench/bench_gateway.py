"""What a gateway adds to a call: latency, CPU, memory; and how long a flip takes.

    python bench/bench_gateway.py [--requests 3000]

Ratios count, not seconds: every figure stands beside the same call without a gateway, made in turns with it in the same
run. The provider is a mock in a process of its own (uvloop and httptools, which do nothing but parse and answer), so
its CPU per call is the least that any server in Python spends. The gateway runs as in production, with a canary at
25 %, keys, sums and the record on; the route source is a file. On a machine with two cores or more, the gateway has
one to itself, as far as its neighbours leave it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httptools
import msgspec
import uvloop

from midshift.domain.exposure import Exposure, Pair, Sum, SumKey
from midshift.domain.routing import Route
from midshift.domain.suite import Slice
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.domain.workload import UnitSource, Workload
from midshift.gateway.app import Gateway
from midshift.gateway.server import Listening, run
from midshift.gateway.settings import Admin, ClientKey, GatewaySettings
from midshift.providers.http.settings import Upstream

OLD = Variant("mock", "old-model")
NEW = Variant("mock", "new-model", Prompt(PromptMode.REPLACE, "Be brief, and polite. " * 20), effort="low")
KEY = "a-client-key-for-the-benchmark-1"
ADMIN_KEY = "an-admin-key-for-the-benchmark-2"
USERS = 500
EVENTS = 50
ANSWER = json.dumps(
    {
        "id": "c-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x" * 1800}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 450, "total_tokens": 750},
    }
).encode()
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
LAST = b'data: {"choices":[],"usage":{"prompt_tokens":300,"completion_tokens":50}}\n\ndata: [DONE]\n\n'


class Mock(asyncio.Protocol):
    """A provider that parses, and answers at once; a stream is one event at once and the others a millisecond apart."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        streamed, self.body = b'"stream":true' in self.body or b'"stream": true' in self.body, b""
        if streamed:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            self.transport.write(head + _chunk(EVENT))
            self._next(EVENTS - 1)
        else:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
            self.transport.write(head + ANSWER)

    def _next(self, left: int) -> None:
        if left:
            self.transport.write(_chunk(EVENT))
            asyncio.get_running_loop().call_later(0.001, self._next, left - 1)
        else:
            self.transport.write(_chunk(LAST) + b"0\r\n\r\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def provide() -> None:
    """The mock's process."""
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Clock:
    """The machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    machine_now = now

    def monotonic_s(self) -> float:
        return time.monotonic()


class FileSource:
    """A route in a file: changed when the file is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0

    def changed(self) -> bool:
        seen, self._seen = self._seen, self._path.stat().st_mtime_ns
        return seen != self._seen

    def routes(self) -> Sequence[Route]:
        return [msgspec.json.decode(self._path.read_bytes(), type=Route)]

    def variant(self, variant_id: str) -> Variant:
        return {OLD.id: OLD, NEW.id: NEW}[variant_id]


class Sink:
    """Takes everything and keeps nothing."""

    def record(self, exposure: Exposure) -> None:
        pass

    def record_pair(self, pair: Pair) -> None:
        pass

    def merge_sums(self, gateway: str, sequence: int, sums: Mapping[SumKey, Sum]) -> bool:
        return True

    def last_sequence(self, gateway: str) -> int | None:
        return None


def serve(provider_port: int, route: Path) -> None:
    """The gateway's process."""
    workload = Workload("support", ("old-model",), OLD, (Slice("all"),), unit=(UnitSource.parse("body:user"),))
    settings = GatewaySettings(
        "bench",
        (workload,),
        {"mock": Upstream(f"http://127.0.0.1:{provider_port}/v1", api_key="k")},
        b"a unit key for the benchmark",
        client_keys=(ClientKey("bench", KEY),),
        admin=Admin(ADMIN_KEY, port=0),
        port=0,
    )
    clock, sink = Clock(), Sink()
    gateway = Gateway(settings, clock=clock, source=FileSource(route), sink=sink, sums=sink)

    def tell(where: Listening) -> None:
        print(where.port, where.admin_port, flush=True)

    run(gateway, clock, tell)


@dataclass(frozen=True)
class Process:
    """A child that has said where it listens."""

    child: subprocess.Popen[str]
    ports: tuple[int, ...]

    @property
    def cpu_s(self) -> float:
        """What it has spent so far, in user and kernel mode."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_mb(self) -> float:
        """Its largest resident set."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@contextlib.contextmanager
def process(core: int, *arguments: str) -> Iterator[Process]:
    """Run this file as something else, on one core where there are two."""
    child = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(child.pid, {cores[core % len(cores)]})
    assert child.stdout is not None
    try:
        yield Process(child, tuple(map(int, child.stdout.readline().split())))
    finally:
        child.terminate()
        child.wait()


def a_request(user: int, stream: bool = False) -> bytes:
    """About 1.5 KB, as a client sends it."""
    messages = [
        {"role": "system", "content": "You are the bank's assistant. Be formally polite. " * 10},
        *({"role": ("user", "assistant")[turn % 2], "content": "y" * 150} for turn in range(5)),
    ]
    body = json.dumps(
        {"model": "old-model", "messages": messages, "user": f"u{user}", "temperature": 0.2, "stream": stream},
        separators=(",", ":"),
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}"
    )
    return f"{head}\r\n\r\n".encode() + body


class Line:
    """One connection of a client that waits for each answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> tuple[float, float, bytes]:
        """Seconds to the first byte of the body, seconds to its end, and the answer."""
        began = time.perf_counter()
        self._socket.sendall(request)
        received, first_s = b"", 0.0
        while True:
            received += self._socket.recv(65536)
            head, found, body = received.partition(b"\r\n\r\n")
            if found and body and not first_s:
                first_s = time.perf_counter() - began
            if found and _is_whole(head, body):
                return first_s, time.perf_counter() - began, received


def _is_whole(head: bytes, body: bytes) -> bool:
    if b"chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


def in_turns(lines: Sequence[Line], requests: int, stream: bool = False) -> list[list[tuple[float, float]]]:
    """Latencies of the same requests on each line, one line after the other, so that noise falls on all of them."""
    found: list[list[tuple[float, float]]] = [[] for _ in lines]
    for number in range(requests):
        for line, times in zip(lines, found, strict=True):
            first_s, whole_s, _ = line.ask(a_request(number % USERS, stream))
            times.append((first_s, whole_s))
    return found


class Crowd(asyncio.Protocol):
    """One of many clients: the next request as soon as an answer is there."""

    def __init__(self, take: Callable[[], bytes | None], done: Callable[[], None]) -> None:
        self._take = take
        self._done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = httptools.HttpResponseParser(self)
        self.on_message_complete()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        request = self._take()
        if request is None:
            self.transport.close()
            self._done()
        else:
            self.transport.write(request)


async def crowd(port: int, requests: int, stream: bool = False, clients: int = 32) -> float:
    """Seconds that many clients take together for so many requests."""
    loop = asyncio.get_running_loop()
    prepared = [a_request(user, stream) for user in range(USERS)]
    left = iter(range(requests))
    over = asyncio.Event()
    open_clients = clients

    def take() -> bytes | None:
        number = next(left, None)
        return None if number is None else prepared[number % USERS]

    def done() -> None:
        nonlocal open_clients
        open_clients -= 1
        if not open_clients:
            over.set()

    began = time.perf_counter()
    for _ in range(clients):
        await loop.create_connection(lambda: Crowd(take, done), "127.0.0.1", port)
    await over.wait()
    return time.perf_counter() - began


def cpu_us(process: Process, port: int, requests: int, stream: bool = False) -> tuple[float, float]:
    """CPU that a process spends on each request of a crowd, and requests a second."""
    uvloop.run(crowd(port, requests // 4, stream))
    before = process.cpu_s
    seconds = uvloop.run(crowd(port, requests, stream))
    return (process.cpu_s - before) / requests * 1e6, requests / seconds


def put(path: Path, route: Route) -> None:
    """Change the route, at once and whole."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(route))
    draft.replace(path)


def time_to_flip(line: Line, path: Path, canary: Route) -> float:
    """Milliseconds from the write of a rollback to the first answer by the incumbent."""
    put(path, canary)
    while NEW.short_id.encode() not in line.ask(a_request(1))[2]:
        pass
    put(path, canary.rolled_back())
    began = time.perf_counter()
    while NEW.short_id.encode() in line.ask(a_request(1))[2]:
        pass
    return (time.perf_counter() - began) * 1000


def percentiles(times: Sequence[tuple[float, float]], which: int) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    cuts = statistics.quantiles([pair[which] * 1000 for pair in times], n=100)
    return cuts[49], cuts[98]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    requests = parser.parse_args().requests
    canary = Route("support", OLD.id, 1, NEW.id, 0.25, salt="s", step=2, upgrade="up-1")
    with tempfile.TemporaryDirectory() as folder, process(0, "provide") as provider:
        path = Path(folder) / "route.json"
        put(path, canary)
        began = time.perf_counter()
        with process(1, "serve", str(provider.ports[0]), str(path)) as gateway:
            print(f"start                {(time.perf_counter() - began) * 1000:8.0f} ms")
            report(provider, gateway, path, canary, requests)
            print(f"peak memory          {gateway.peak_mb:8.0f} MB")


def report(provider: Process, gateway: Process, path: Path, canary: Route, requests: int) -> None:
    """Every figure of one gateway."""
    direct, through = Line(provider.ports[0]), Line(gateway.ports[0])
    in_turns([direct, through], 200)
    bare, added = in_turns([direct, through], requests)
    show_latency("whole answer", percentiles(bare, 1), percentiles(added, 1))
    bare, added = in_turns([direct, through], max(requests // 20, 50), stream=True)
    show_latency("stream, first byte", percentiles(bare, 0), percentiles(added, 0))
    show_latency(f"stream, {EVENTS} events", percentiles(bare, 1), percentiles(added, 1))

    bare_us, _ = cpu_us(provider, provider.ports[0], 4 * requests)
    show_cpu("call", bare_us, *cpu_us(gateway, gateway.ports[0], 2 * requests))
    put(path, replace(canary, epoch=2, share=0.0, shadow_share=1.0))
    time.sleep(0.3)
    show_cpu("call, all mirrored", bare_us, *cpu_us(gateway, gateway.ports[0], 2 * requests))
    put(path, replace(canary, epoch=3))
    time.sleep(0.3)
    bare_us, _ = cpu_us(provider, provider.ports[0], requests // 4, stream=True)
    show_cpu(f"stream of {EVENTS}", bare_us, *cpu_us(gateway, gateway.ports[0], requests // 4, stream=True))

    flips = [time_to_flip(through, path, replace(canary, epoch=4 + 2 * n, share=1.0)) for n in range(15)]
    print(f"flip to effect       {statistics.median(flips):8.0f} ms median, {max(flips):.0f} ms worst of {len(flips)}")


def show_latency(what: str, bare: tuple[float, float], through: tuple[float, float]) -> None:
    """One line: percentiles of both, what is added, and the ratio."""
    for name, alone, behind in zip(("p50", "p99"), bare, through, strict=True):
        figures = f"direct {alone:7.3f} ms  gateway {behind:7.3f}  +{behind - alone:6.3f}  x{behind / alone:5.2f}"
        print(f"{what:<20} {name}  {figures}")


def show_cpu(what: str, bare_us: float, us: float, per_s: float) -> None:
    """One line: CPU of both, the ratio, and what one core carries."""
    print(f"{what:<20} CPU  bare {bare_us:9.1f} us  gateway {us:8.1f}  x{us / bare_us:5.2f}  {per_s:7.0f}/s seen")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["provide"]:
            uvloop.run(provide())
        case ["serve", port, path]:
            serve(int(port), Path(path))
        case _:
            main()
