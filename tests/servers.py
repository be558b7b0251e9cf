"""HTTP servers on loopback, as small as a test can need them.

A server does what its script says, byte by byte if need be, and keeps what it was asked. Nothing sleeps: tests wait for
events.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

Lines: TypeAlias = Sequence[tuple[str, str]]


@dataclass
class Seen:
    """A request as a provider got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as plain values."""
        return json.loads(self.body)


class Exchange:
    """One request at a provider, and the means to answer it piece by piece."""

    def __init__(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen = seen
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, body: bytes, status: int = 200, lines: Lines = ()) -> None:
        """A whole answer."""
        named = {"content-type": "application/json", **dict(lines), "content-length": str(len(body))}
        await self.send(_head(status, named) + body)

    async def begin_stream(self, lines: Lines = ()) -> None:
        """The head of a stream of events."""
        await self.send(
            _head(200, {"content-type": "text/event-stream", **dict(lines), "transfer-encoding": "chunked"})
        )

    async def chunk(self, data: bytes) -> None:
        """A part of a stream."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_stream(self) -> None:
        """The end of a stream."""
        await self.send(b"0\r\n\r\n")

    def cut(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the other side has closed."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            pass


Script: TypeAlias = Callable[[Exchange], Awaitable[None]]


class FakeProvider:
    """An HTTP/1.1 server that keeps what it saw."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def base_url(self) -> str:
        """Where it is, as a client is told."""
        return f"http://127.0.0.1:{self.port}/v1"

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[FakeProvider]:
        """Listen as long as the block lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20, **options)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.close_connections()

    async def was_left(self, within_s: float = 5.0) -> bool:
        """Whether whoever asked has gone, or goes in so much time."""
        try:
            async with asyncio.timeout(within_s):
                return await self.left.wait()
        except TimeoutError:
            return False

    def close_connections(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for writer in list(self._open):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                seen = await _request(reader)
                self.seen.append(seen)
                self.asked.set()
                await self.script(Exchange(seen, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            self._open.discard(writer)
            writer.close()
            self.left.set()


async def silent(exchange: Exchange) -> None:
    """Takes the request and says nothing until the other side has gone."""
    await exchange.gone()
    raise ConnectionResetError


async def cutting(exchange: Exchange) -> None:
    """Takes the request and breaks the connection."""
    exchange.cut()


def _head(status: int, lines: Mapping[str, str]) -> bytes:
    named = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{named}\r\n".encode()


async def _request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split()
    lines = (line.split(": ", 1) for line in head[1:] if line)
    named = {name.lower(): value for name, value in lines}
    body = await reader.readexactly(int(named.get("content-length", "0")))
    return Seen(method, path, named, body)
