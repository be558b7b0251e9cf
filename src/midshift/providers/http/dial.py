"""From a host's name to an open connection: addresses, the proxy in between, TLS.

Contract. The addresses of a host are tried in turns, IPv6 and IPv4, each a quarter of a second after the one before
(RFC 8305): a family that leads nowhere costs that long and not the whole limit. Through a proxy an encrypted
connection is a CONNECT tunnel (RFC 9110, 9.3.6), encrypted from end to end; an `https` proxy is itself spoken to
encrypted. Nothing that was begun stays open when `connect` fails or is cancelled. The caller limits the time.
Elsewhere: whom to trust (tls), which proxy (proxies), the request through a proxy without TLS (pool).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, TypeAlias, cast

import httptools

from midshift.providers.http.proxies import Proxy

STAGGER_S = 0.25
_LONGEST_REPLY = 64 * 1024

# A provider that thinks for ten minutes sends nothing meanwhile, and the networks between forget such a connection
# after as little as 350 s: AWS, "NAT gateway idle timeout".
_ALIVE = [
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 30),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 5),
]

Address: TypeAlias = tuple[socket.AddressFamily, Any]
"""A family, and what `socket.connect` takes for it."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a host is reached. `tls` verifies the host, and the proxy where that is spoken to encrypted."""

    host: str
    port: int
    is_secure: bool
    tls: ssl.SSLContext | None
    proxy: Proxy | None


async def connect(way: Way, protocol: asyncio.Protocol) -> None:
    """Open a connection; `protocol.connection_made` has been called when this returns.

    Raises:
        OSError: if it cannot be opened, by what the system, the proxy or the verification says.
    """
    if way.proxy is None:
        await _opened(way.host, way.port, way.tls if way.is_secure else None, protocol)
    elif not way.is_secure:
        await _opened(way.proxy.host, way.proxy.port, way.tls if way.proxy.is_secure else None, protocol)
    else:
        await _through(way, way.proxy, protocol)


async def first_to_connect(addresses: Sequence[Address], stagger_s: float = STAGGER_S) -> socket.socket:
    """A connected socket to the address that answers first, of those that were tried.

    Raises:
        OSError: the first of them, if none answers.
    """
    left = deque(addresses)
    begun: list[asyncio.Task[socket.socket | OSError]] = []
    running: set[asyncio.Task[socket.socket | OSError]] = set()
    errors: list[OSError] = []
    won = None
    async with asyncio.TaskGroup() as tasks:
        try:
            while won is None and (left or running):
                if left:
                    begun.append(tasks.create_task(_attempt(left.popleft())))
                    running.add(begun[-1])
                done, running = await asyncio.wait(
                    running, timeout=stagger_s if left else None, return_when=asyncio.FIRST_COMPLETED
                )
                results = [task.result() for task in done]
                errors += [result for result in results if isinstance(result, OSError)]
                won = next((result for result in results if not isinstance(result, OSError)), None)
        finally:
            _let_go(begun, won)
    if won is None:
        raise errors[0]
    return won


async def _opened(host: str, port: int, tls: ssl.SSLContext | None, protocol: asyncio.Protocol) -> None:
    connected = await _dialled(host, port)
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: protocol, sock=connected, ssl=tls, server_hostname=host if tls else None
        )
    except BaseException:
        connected.close()
        raise


async def _through(way: Way, proxy: Proxy, protocol: asyncio.Protocol) -> None:
    """A tunnel, and TLS inside of it."""
    assert way.tls is not None
    loop = asyncio.get_running_loop()
    tunnel = _Tunnel(loop.create_future())
    await _opened(proxy.host, proxy.port, way.tls if proxy.is_secure else None, tunnel)
    try:
        status = await tunnel.asked(f"[{way.host}]" if ":" in way.host else way.host, way.port, proxy.authorization)
        if not 200 <= status < 300:
            raise ConnectionRefusedError(f"the proxy {proxy.host} answers CONNECT with status {status}")
        encrypted = await loop.start_tls(tunnel.transport, protocol, way.tls, server_hostname=way.host)
    except BaseException:
        tunnel.transport.abort()
        raise
    assert encrypted is not None
    protocol.connection_made(encrypted)


async def _dialled(host: str, port: int) -> socket.socket:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [(family, address) for family, _, _, _, address in found]
    if len(addresses) > 1:
        return await first_to_connect(_in_turns(addresses))
    result = await _attempt(addresses[0])
    if isinstance(result, OSError):
        raise result
    return result


def _in_turns(addresses: Sequence[Address]) -> list[Address]:
    """The families in turns, and in the order of the resolver within each."""
    first = [address for address in addresses if address[0] == addresses[0][0]]
    others = [address for address in addresses if address[0] != addresses[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, others)) if address is not None]


async def _attempt(address: Address) -> socket.socket | OSError:
    """A connected socket, or why there is none; nothing is left open when it is cancelled."""
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        for level, option, value in _ALIVE:
            if hasattr(socket, option):
                sock.setsockopt(level, getattr(socket, option), value)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except OSError as error:
        sock.close()
        return error
    except BaseException:
        sock.close()
        raise
    return sock


def _let_go(begun: Sequence[asyncio.Task[socket.socket | OSError]], won: socket.socket | None) -> None:
    """End the attempts that did not win, and close what they opened."""
    for task in begun:
        if not task.done():
            task.cancel()
        elif not task.cancelled() and isinstance(result := task.result(), socket.socket) and result is not won:
            result.close()


class _Tunnel(asyncio.Protocol):
    """The other end of a CONNECT request, until it has answered."""

    def __init__(self, status: asyncio.Future[int]) -> None:
        self._status = status
        self._parser = httptools.HttpResponseParser(self)
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    async def asked(self, host: str, port: int, authorization: bytes) -> int:
        """Ask for a tunnel; the status of the answer."""
        lines = b"proxy-authorization: %b\r\n" % authorization if authorization else b""
        where = f"{host}:{port}".encode()
        self.transport.write(b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (where, where, lines))
        return await self._status

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._failed("gives no HTTP answer to CONNECT")
        if self._received > _LONGEST_REPLY:
            self._failed("does not come to an end in answering CONNECT")

    def connection_lost(self, error: Exception | None) -> None:
        self._failed("closes the connection instead of answering CONNECT")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200 and not self._status.done():
            self._status.set_result(status)

    def _failed(self, what: str) -> None:
        if not self._status.done():
            self._status.set_exception(ConnectionResetError(f"the proxy {what}"))
