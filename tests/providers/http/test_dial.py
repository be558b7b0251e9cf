"""Addresses, proxies and TLS, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing

import pytest

from midshift.providers.http.dial import first_to_connect
from midshift.providers.http.messages import CallFailed, Failure, Request
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Timeouts, Upstream
from tests.providers.http.authority import Authority
from tests.servers import Exchange, FakeProvider

ANSWER = b"hello"
HOST = "provider.test"  # a name that only the proxy of these tests can resolve


async def plain(exchange: Exchange) -> None:
    """A whole answer."""
    await exchange.answer(ANSWER)


async def ask(pool: Pool) -> bytes:
    """One call, read to its end."""
    call = await pool.send(Request("/chat", [], b"{}"), streamed=False)
    try:
        return await call.read(1000)
    finally:
        call.close()


class Proxy:
    """A proxy that takes every host for this machine. It keeps what it was told, and what went through a tunnel."""

    def __init__(self, reply: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n", stays: bool = False) -> None:
        self.reply = reply
        self.stays = stays
        self.heads: list[bytes] = []
        self.through = b""
        self.port = 0

    @asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
        """Listen as long as the block lasts."""
        async with asyncio.TaskGroup() as self._tasks:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
            self.port = server.sockets[0].getsockname()[1]
            try:
                yield self
            finally:
                server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        writer.write(self.reply)
        if b" 200 " in self.reply:
            port = int(head.split(b" ")[1].rpartition(b":")[2])
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            back = self._tasks.create_task(self._pump(far_reader, writer))
            await self._pump(reader, far_writer)
            await back
        elif self.stays:
            await reader.read()
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.through += data
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()


@asynccontextmanager
async def a_pool(upstream: Upstream, environment: Mapping[str, str] | None = None) -> AsyncIterator[Pool]:
    """A pool that is closed, and whose connections have heard of it."""
    pool = Pool(upstream, "sk-key", environment or {})
    try:
        yield pool
    finally:
        pool.close()
        for _ in range(3):
            await asyncio.sleep(0)


async def test_a_host_is_verified_against_the_authorities_and_by_its_name(authority: Authority) -> None:
    """Whoever is in between would read every prompt, and the key."""
    context = authority.server_context("IP:127.0.0.1")
    async with FakeProvider(plain).running(ssl=context) as provider:
        url = f"https://127.0.0.1:{provider.port}/v1"
        async with a_pool(Upstream(url, ca_file=authority.ca_file)) as pool:
            assert [ANSWER, ANSWER] == [await ask(pool), await ask(pool)]
        assert 1 == provider.connections

        async with a_pool(Upstream(url)) as pool:
            with pytest.raises(CallFailed, match="unreachable: .*certificate verify failed"):
                await ask(pool)
        other = url.replace("127.0.0.1", "localhost")
        async with a_pool(Upstream(other, ca_file=authority.ca_file)) as pool:
            with pytest.raises(CallFailed, match=r"unreachable: .*not valid for 'localhost'"):
                await ask(pool)
        assert 2 == len(provider.seen)


async def test_a_server_is_told_the_name_that_is_asked_for_and_the_protocol(authority: Authority) -> None:
    """Many hosts share one address; and HTTP/2 is not spoken here."""
    context = authority.server_context("DNS:localhost")
    context.set_alpn_protocols(["h2", "http/1.1"])
    names: list[object] = []
    context.sni_callback = lambda connection, name, _: names.append(name)
    async with FakeProvider(plain).running(ssl=context) as provider:
        async with a_pool(Upstream(f"https://localhost:{provider.port}", ca_file=authority.ca_file)) as pool:
            call = await pool.send(Request("/x", []), streamed=False)
            (connection,) = pool._all
            assert connection.transport is not None
            assert "http/1.1" == connection.transport.get_extra_info("ssl_object").selected_alpn_protocol()
            assert "TLSv1.3" == connection.transport.get_extra_info("ssl_object").version()
            call.close()

    assert ["localhost"] == names


async def test_an_old_tls_is_refused(authority: Authority) -> None:
    """A server that speaks nothing newer is not asked."""
    context = authority.server_context("IP:127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with FakeProvider(plain).running(ssl=context) as provider:
        url = f"https://127.0.0.1:{provider.port}"
        async with a_pool(Upstream(url, ca_file=authority.ca_file)) as pool:
            with pytest.raises(CallFailed, match="unreachable"):
                await ask(pool)


@pytest.mark.parametrize("is_proxy_secure", [False, True], ids=["http proxy", "https proxy"])
async def test_a_secure_host_is_reached_through_a_tunnel(authority: Authority, is_proxy_secure: bool) -> None:
    """The proxy learns where to, and nothing else; the provider learns nothing of the proxy."""
    context = authority.server_context(f"DNS:{HOST},IP:127.0.0.1")
    async with (
        FakeProvider(plain).running(ssl=context) as provider,
        Proxy().running(context if is_proxy_secure else None) as proxy,
    ):
        scheme = "https" if is_proxy_secure else "http"
        environment = {"HTTPS_PROXY": f"{scheme}://user:p%40ss@127.0.0.1:{proxy.port}"}
        upstream = Upstream(f"https://{HOST}:{provider.port}/v1", ca_file=authority.ca_file)
        async with a_pool(upstream, environment) as pool:
            assert [ANSWER, ANSWER] == [await ask(pool), await ask(pool)]

        where = f"{HOST}:{provider.port}"
        expected = f"CONNECT {where} HTTP/1.1\r\nhost: {where}\r\nproxy-authorization: Basic dXNlcjpwQHNz\r\n\r\n"
        assert [expected.encode()] == proxy.heads
        assert b"sk-key" not in proxy.through
        assert ["Bearer sk-key"] * 2 == [seen.headers["authorization"] for seen in provider.seen]
        assert "proxy-authorization" not in provider.seen[0].headers


async def test_a_host_behind_a_proxy_is_verified_by_its_own_name(authority: Authority) -> None:
    """A proxy is the very place for somebody in between."""
    context = authority.server_context("IP:127.0.0.1")
    async with FakeProvider(plain).running(ssl=context) as provider, Proxy().running() as proxy:
        upstream = Upstream(f"https://{HOST}:{provider.port}", ca_file=authority.ca_file)
        async with a_pool(upstream, {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}) as pool:
            with pytest.raises(CallFailed, match=rf"unreachable: .*not valid for '{HOST}'"):
                await ask(pool)
        assert [] == provider.seen


async def test_a_plain_host_is_asked_for_through_its_proxy() -> None:
    """There is no tunnel: the proxy reads the request, and answers it."""
    async with FakeProvider(plain).running() as proxy:
        environment = {"HTTP_PROXY": f"http://a:b@127.0.0.1:{proxy.port}"}
        async with a_pool(Upstream(f"http://{HOST}:8000/v1"), environment) as pool:
            assert ANSWER == await ask(pool)

        seen = proxy.seen[0]
        assert f"http://{HOST}:8000/v1/chat" == seen.path
        assert (f"{HOST}:8000", "Basic YTpi") == (seen.headers["host"], seen.headers["proxy-authorization"])


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n", "CONNECT with status 407"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "CONNECT with status 503"),
        (b"SSH-2.0\r\n", "gives no HTTP answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closes the connection"),
        (b"HTTP/1.1 502 x\r\nx: " + b"y" * 100_000, "does not come to an end"),
        (b"", "closes the connection"),
    ],
)
async def test_a_proxy_that_gives_no_tunnel_says_why(reply: bytes, reason: str) -> None:
    """Whoever runs the network must be able to read what to mend; and the key is not in it."""
    async with Proxy(reply, stays="closes" not in reason).running() as proxy:
        environment = {"HTTPS_PROXY": f"http://user:secret@127.0.0.1:{proxy.port}"}
        async with a_pool(Upstream(f"https://{HOST}"), environment) as pool:
            with pytest.raises(CallFailed, match=f"unreachable: .*{reason}") as failed:
                await ask(pool)

    assert "secret" not in str(failed.value)


async def test_a_proxy_that_says_nothing_is_a_connect_timeout() -> None:
    """Its silence is part of connecting."""
    gone = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    environment = {"HTTPS_PROXY": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"}
    upstream = Upstream(f"https://{HOST}", timeouts=Timeouts(connect_s=0.05))
    async with a_pool(upstream, environment) as pool:
        with pytest.raises(CallFailed) as failed:
            await ask(pool)
        await gone.wait()

    assert Failure.CONNECT_TIMEOUT is failed.value.failure
    server.close()


async def test_a_name_that_is_none_is_unreachable() -> None:
    """Said as any other address that leads nowhere."""
    for host in ("a..test", "a" * 64 + ".test"):
        async with a_pool(Upstream(f"http://{host}:1")) as pool:
            with pytest.raises(CallFailed, match="unreachable"):
                await ask(pool)


def listening(backlog: int = 8) -> socket.socket:
    """A socket that accepts as many."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(backlog)
    return server


async def test_an_address_that_refuses_costs_no_time() -> None:
    """A host with IPv6 in its name and none in its network."""
    with closing(listening()) as refusing:
        refused = refusing.getsockname()
    with closing(listening()) as server:
        first, second = (socket.AF_INET, refused), (socket.AF_INET, server.getsockname())

        with closing(await first_to_connect([first, second], stagger_s=60.0)) as connected:
            assert server.getsockname() == connected.getpeername()


async def test_an_address_that_says_nothing_costs_a_moment() -> None:
    """The system would try it for minutes: a line that is full looks like a network that leads nowhere."""
    loop = asyncio.get_running_loop()
    with closing(listening(0)) as full, closing(listening()) as server, closing(socket.socket()) as taking:
        taking.connect(full.getsockname())
        first, second = (socket.AF_INET, full.getsockname()), (socket.AF_INET, server.getsockname())
        begun = loop.time()

        with closing(await first_to_connect([first, second], stagger_s=0.05)) as connected:
            assert server.getsockname() == connected.getpeername()
        assert 0.04 < loop.time() - begun < 1.0


async def test_where_no_address_answers_the_first_error_is_told() -> None:
    """One of them is enough to know what is wrong."""
    with closing(listening()) as one, closing(listening()) as two:
        addresses = [(socket.AF_INET, one.getsockname()), (socket.AF_INET, two.getsockname())]

    with pytest.raises(ConnectionRefusedError):
        await first_to_connect(addresses)
