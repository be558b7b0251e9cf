"""Asking any machine anything, off the request path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from midshift.errors import ConfigError, UsageError
from midshift.ports import Http, HttpAnswer, HttpFailed, HttpRequest
from midshift.providers.http.client import HttpClient
from tests.providers.http.authority import Authority
from tests.servers import Exchange, FakeProvider, Script, cutting, silent

PATIENT_S = 60.0


async def plain(exchange: Exchange) -> None:
    """A whole answer."""
    await exchange.answer(b'{"data":[]}', lines=(("x-one", "1"),))


@asynccontextmanager
async def asking(script: Script, **options: Any) -> AsyncIterator[tuple[HttpClient, FakeProvider, str]]:
    """A client, a server, and the server's address."""
    async with FakeProvider(script).running() as server, HttpClient({}, **options) as client:
        yield client, server, f"http://127.0.0.1:{server.port}"
        client.close()
        await asyncio.sleep(0)


async def why(client: Http, url: str, timeout_s: float = PATIENT_S) -> str:
    """The reason for which there is no answer."""
    with pytest.raises(HttpFailed) as failed:
        await client.ask(HttpRequest("GET", url), timeout_s)
    assert "127.0.0.1" in str(failed.value)
    return failed.value.reason


async def test_a_request_is_sent_as_it_is_and_its_answer_comes_whole() -> None:
    """Any method, any path; what the client says itself is not said twice."""
    async with asking(plain) as (client, server, url):
        ours = {"Host": "evil", "Content-Length": "9", "Accept-Encoding": "gzip", "Connection": "close"}
        request = HttpRequest("PUT", f"{url}/a%20b?c=d&e#f", {"X-Two": "zwei", **ours}, b"body")

        answer = await client.ask(request, PATIENT_S)

        seen = server.seen[0]
        assert ("PUT", "/a%20b?c=d&e", b"body") == (seen.method, seen.path, seen.body)
        expected = {"host": f"127.0.0.1:{server.port}", "accept-encoding": "identity", "content-length": "4"}
        assert {**expected, "x-two": "zwei"} == seen.headers
        assert (200, b'{"data":[]}', "1") == (answer.status, answer.body, answer.headers["x-one"])


async def test_a_host_keeps_its_connection_and_another_gets_its_own() -> None:
    """A page of prices a day, or ten thousand cases of an eval."""
    async with asking(plain) as (client, server, url), FakeProvider(plain).running() as other:
        for path in ("", "/a", "/b"):
            await client.ask(HttpRequest("GET", url + path), PATIENT_S)
        await client.ask(HttpRequest("GET", f"http://127.0.0.1:{other.port}/"), PATIENT_S)

        assert ["/", "/a", "/b"] == [seen.path for seen in server.seen]
        assert (1, 1) == (server.connections, other.connections)


async def test_no_more_is_asked_of_a_host_at_once_than_was_said() -> None:
    """The others wait for their turn, and not for longer than they have time."""
    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await go_on.wait()
        await plain(exchange)

    async with asking(slow, max_connections=2) as (client, server, url):
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(client.ask(HttpRequest("GET", url), PATIENT_S)) for _ in range(5)]
            await server.asked.wait()
            assert "busy" == await why(client, url, 0.05)
            go_on.set()

        assert [200] * 5 == [task.result().status for task in asked]
        assert 2 == server.connections


async def test_a_redirect_is_an_answer() -> None:
    """Followed, it would take the key along to wherever it leads."""

    async def elsewhere(exchange: Exchange) -> None:
        await exchange.answer(b"", 302, (("location", "http://evil.test/"),))

    async with asking(elsewhere) as (client, server, url):
        answer = await client.ask(HttpRequest("GET", url, {"authorization": "Bearer k"}), PATIENT_S)

        assert (302, "http://evil.test/", 1) == (answer.status, answer.headers["location"], len(server.seen))


async def test_lines_of_one_name_are_one_value() -> None:
    """RFC 9110, 5.3."""

    async def twice(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nLink: <a>\r\nlink: <b>\r\ncontent-length: 0\r\n\r\n")

    async with asking(twice) as (client, _, url):
        expected = HttpAnswer(200, {"link": "<a>, <b>", "content-length": "0"}, b"")
        assert expected == await client.ask(HttpRequest("GET", url), PATIENT_S)


async def test_every_failure_has_its_reason() -> None:
    """They are told to people, and some of them may be tried again."""

    async def large(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await exchange.chunk(bytes(3000))
        await silent(exchange)

    for script, expected in ((cutting, "broken"), (large, "too_large")):
        async with asking(script, largest_answer=2000) as (client, _, url):
            assert expected == await why(client, url)
    async with asking(silent) as (client, server, url):
        assert "timeout" == await why(client, url, 0.05)
        await server.left.wait()
    async with HttpClient({}) as client:
        assert "unreachable" == await why(client, url)


async def test_a_question_that_is_given_up_is_not_answered() -> None:
    """A model that is not told goes on writing, and is paid for it."""
    async with asking(silent) as (client, server, url):
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(client.ask(HttpRequest("GET", url), PATIENT_S))
            await server.asked.wait()
            asked.cancel()

        assert asked.cancelled()
        assert await server.was_left()


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest("GET", "ftp://127.0.0.1/"),
        HttpRequest("GET", "127.0.0.1"),
        HttpRequest("GET", "http://user:secret@127.0.0.1/"),
        HttpRequest("GET", "http://127.0.0.1:99999/"),
        HttpRequest("GET", "http://127.0.0.1/a b"),
        HttpRequest("GET /x", "http://127.0.0.1/"),
        HttpRequest("GET", "http://127.0.0.1/", {"x": "1\r\ny: 2"}),
        HttpRequest("GET", "http://127.0.0.1/", {"x": "\u0394"}),
        HttpRequest("GET", "http://127.0.0.1/", {"\u00fc": "1"}),
    ],
)
async def test_what_cannot_be_asked_is_refused(request_: HttpRequest) -> None:
    """Nothing is sent of it, and no secret is repeated."""
    async with HttpClient({}) as client:
        with pytest.raises((UsageError, ConfigError)) as refused:
            await client.ask(request_, PATIENT_S)

    assert "secret" not in str(refused.value)


async def test_a_secure_host_is_verified(authority: Authority) -> None:
    """By the authorities of the environment, or a file of one's own."""
    context = authority.server_context("IP:127.0.0.1")
    trusting = {"SSL_CERT_FILE": str(authority.ca_file)}
    async with FakeProvider(plain).running(ssl=context) as server:
        url = f"https://127.0.0.1:{server.port}/"
        for client in (HttpClient(trusting), HttpClient({}, ca_file=authority.ca_file)):
            async with client:
                assert 200 == (await client.ask(HttpRequest("GET", url), PATIENT_S)).status
        async with HttpClient({}) as client:
            assert "unreachable" == await why(client, url)
        await asyncio.sleep(0)


async def test_a_proxy_of_the_environment_is_used() -> None:
    """Many networks have no other way out."""
    async with FakeProvider(plain).running() as proxy:
        async with HttpClient({"http_proxy": f"http://127.0.0.1:{proxy.port}"}) as client:
            await client.ask(HttpRequest("GET", "http://prices.test/list?x=1"), PATIENT_S)
        await asyncio.sleep(0)

        assert ["http://prices.test/list?x=1"] == [seen.path for seen in proxy.seen]
