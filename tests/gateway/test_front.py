"""What comes over a raw socket: requests in two readings, slow apps, other protocols."""

from __future__ import annotations

import asyncio
import json

import pytest

from midshift.gateway.exchange import Exchange as GatewayExchange
from midshift.gateway.front import Front, Listener
from midshift.gateway.settings import Limits
from tests.gateway.fakes import Exchange, FakeTransport, Stage, a_question, a_stage, event, silent

BODY = json.dumps(a_question()).encode()
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
LENGTH = f"content-length: {len(BODY)}"
CHUNKS = "transfer-encoding: chunked"
CHAT = "POST /v1/chat/completions HTTP/1.1"


def a_request(*lines: str, tail: bytes = BODY, start: str = CHAT, host: str = "host: x") -> bytes:
    """A request, byte by byte."""
    named = "".join(f"{line}\r\n" for line in (host, *lines) if line)
    return f"{start}\r\n{named}\r\n".encode() + tail


async def sent(stage: Stage, data: bytes) -> bytes:
    """All that comes back until the gateway closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
    writer.write(data)
    found = await reader.read()
    writer.close()
    return found


AMBIGUOUS = {
    "a length beside chunks": a_request(LENGTH, CHUNKS, tail=CHUNKED),
    "chunks beside a length": a_request(CHUNKS, "content-length: 4", tail=CHUNKED),
    "one length twice": a_request(LENGTH, LENGTH),
    "two lengths": a_request(LENGTH, "content-length: 3"),
    "lengths in a list": a_request(f"{LENGTH}, {len(BODY)}"),
    "a length with a sign": a_request(f"content-length: +{len(BODY)}"),
    "a length below nothing": a_request("content-length: -1"),
    "a length beyond numbers": a_request(f"content-length: {'9' * 30}"),
    "a chunk that is no number": a_request(CHUNKS, tail=b"zz\r\n" + CHUNKED),
    "a chunk below nothing": a_request(CHUNKS, tail=b"-5\r\nhello\r\n0\r\n\r\n"),
    "a chunk in another notation": a_request(CHUNKS, tail=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk beyond numbers": a_request(CHUNKS, tail=b"f" * 20 + b"\r\n"),
    "a chunk longer than it says": a_request(CHUNKS, tail=b"%x\r\n%bXX0\r\n\r\n" % (len(BODY), BODY)),
    "a chunk whose line ends in LF": a_request(CHUNKS, tail=b"%x\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "an unknown coding": a_request("transfer-encoding: xchunked", tail=CHUNKED),
    "chunks that are not last": a_request("transfer-encoding: chunked, identity", tail=CHUNKED),
    "chunks twice": a_request(CHUNKS, CHUNKS, tail=CHUNKED),
    "a blank before the colon": a_request("transfer-encoding : chunked", tail=CHUNKED),
    "a header over two lines": a_request("x-a: 1\r\n b", LENGTH),
    "lines that end in LF": a_request(LENGTH).replace(b"\r\n", b"\n"),
    "a line break in a value": a_request("x-a: 1\rb", LENGTH),
    "a null in a value": a_request("x-a: 1\x00b", LENGTH),
    "no host": a_request(LENGTH, host=""),
    "two hosts": a_request("host: y", LENGTH),
    "a tunnel": a_request(start="CONNECT evil.example:443 HTTP/1.1", tail=b""),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
async def test_what_can_be_read_in_two_ways_is_refused_and_asks_nobody(data: bytes) -> None:
    """A proxy in front that reads it the other way would let one user's request end in another's."""
    async with a_stage() as stage:
        found = await sent(stage, data + a_request(LENGTH))
        await stage.settled()

        assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert 1 == found.count(b"HTTP/1.1 ")
        assert [] == stage.old.seen
        assert {"malformed": 1} == stage.gateway.counters.turned_away
        assert stage.gateway.counters.reconciles
        assert 0 == stage.gateway.load.in_flight


async def test_a_version_that_is_none_of_ours_is_named() -> None:
    """RFC 9110, 15.6.6."""
    async with a_stage() as stage:
        found = await sent(stage, a_request(LENGTH, start=CHAT.replace("1.1", "2.0")))

        assert found.startswith(b"HTTP/1.1 505 ")
        assert [] == stage.old.seen


async def test_a_body_in_another_coding_is_refused_in_words() -> None:
    """Its end is clear, so the connection lives; what it says cannot be read."""
    async with a_stage() as stage:
        answer = await stage.app.ask(BODY, [("transfer-encoding", "gzip, chunked"), ("content-length", "1")])
        assert 400 == answer.status

        found = await sent(stage, a_request("transfer-encoding: gzip, chunked", "connection: close", tail=CHUNKED))
        assert found.startswith(b"HTTP/1.1 501 ")
        assert [] == stage.old.seen


async def test_a_trailer_is_no_header() -> None:
    """Whoever checked the head has not seen it."""
    trailing = CHUNKED[:-2] + b"x-midshift-unit: somebody else\r\nopenai-beta: trailed\r\n\r\n"
    async with a_stage() as stage:
        found = await sent(stage, a_request(CHUNKS, "connection: close", tail=trailing))

        assert found.startswith(b"HTTP/1.1 200 ")
        assert "openai-beta" not in stage.old.seen[0].headers


@pytest.mark.parametrize("cut", [1, 200])
async def test_a_client_that_offers_http_2_is_served(cut: int) -> None:
    """Java's own client offers it in each request without TLS; a body that is lost by that is an outage."""
    offer = ("connection: Upgrade, HTTP2-Settings, close", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAAB")
    data = a_request(*offer, LENGTH)
    async with a_stage() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        for begin in range(0, len(data), len(data) // cut + 1):
            writer.write(data[begin : begin + len(data) // cut + 1])
            await asyncio.sleep(0)
        found = await reader.read()
        writer.close()

        assert found.startswith(b"HTTP/1.1 200 ")
        assert BODY == stage.old.seen[0].body
        assert not {"upgrade", "http2-settings", "connection"} & set(stage.old.seen[0].headers)


@pytest.mark.parametrize("path", ["/v1/realtime", "/v1/responses", "/v1/chat/completions", "/other"])
async def test_a_web_socket_is_refused_in_words(path: str) -> None:
    """A client that hangs, or a 404 on a path that works otherwise, costs somebody an afternoon."""
    offer = ("connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13", "sec-websocket-key: eA==")
    async with a_stage() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(a_request(*offer, start=f"GET {path} HTTP/1.1", tail=b""))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = await reader.readexactly(int(head.lower().partition("content-length: ")[2].partition("\r\n")[0]))
        writer.close()

        assert head.startswith("HTTP/1.1 501 ")
        assert "not served by this gateway" in json.loads(body)["error"]["message"]
        assert [] == stage.old.seen


@pytest.mark.parametrize("start", [CHAT + "\r\nhost: x\r\nx-a: ", "POST /v1"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_head_beyond_its_limit_is_refused(start: str, at_once: bool) -> None:
    """Nothing of it can be sent on before all of it is there: it would be memory that anybody can take."""
    end = b"\r\n\r\n" if "host" in start else b" HTTP/1.1\r\nhost: x\r\n\r\n"
    more = b"y" * 3000 + (end if at_once else b"")
    async with a_stage(limits=Limits(max_head_bytes=2000)) as stage:
        found = await sent(stage, start.encode() + more)

        assert found.startswith(b"HTTP/1.1 431 ")
        assert {"head_too_large": 1} == stage.gateway.counters.turned_away


async def test_a_trailer_beyond_the_limit_of_heads_is_refused() -> None:
    """Nobody reads it, no limit of bodies counts it, and to put it together took seconds of everybody's time."""
    turned_away = list[str]()
    front = Front(Listener(_waiting, Limits(max_head_bytes=2000), turned_away.append))
    front.connection_made(FakeTransport())
    front.data_received(a_request(CHUNKS, tail=CHUNKED[:-2] + b"x-trailer: "))
    front.data_received(b"y" * 2000)
    assert [] == turned_away

    front.data_received(b"y")
    assert ["trailer_too_large"] == turned_away


async def test_each_byte_of_a_body_buys_its_time_once() -> None:
    """A limit that counts twice lets an app take twice as long as was set."""
    limits, turned_away = Limits(body_s=1.0, slowest_body=100), list[str]()
    front = Front(Listener(_waiting, limits, turned_away.append))
    front.connection_made(FakeTransport())
    begun_s = asyncio.get_running_loop().time()
    front.data_received(a_request("content-length: 9999", tail=b""))
    front.data_received(b"x" * 1000)

    front.look(begun_s + 10.9)
    assert [] == turned_away
    front.look(begun_s + 11.5)
    assert ["body_timeout"] == turned_away


async def _waiting(exchange: GatewayExchange) -> None:
    while await exchange.part():
        pass


QUICK = Limits(head_s=0.02, body_s=0.02, slowest_body=1 << 30, stall_s=0.05)


@pytest.mark.parametrize(
    ("begun", "why"),
    [
        (b"", "head_timeout"),
        (b"\r\n\r\n", "head_timeout"),
        (b"POST /v1/chat", "head_timeout"),
        (a_request(LENGTH, tail=BODY[:10]), "body_timeout"),
        (a_request(CHUNKS, tail=CHUNKED[:10]), "body_timeout"),
        (a_request(CHUNKS, tail=CHUNKED[:-2] + b"x-trailer: 1\r\n"), "body_timeout"),
    ],
)
async def test_a_request_that_never_ends_to_come_is_ended(begun: bytes, why: str) -> None:
    """A few hundred of them hold a server that waits for each."""
    async with a_stage(limits=QUICK) as stage:
        found = await sent(stage, begun)
        await stage.settled()

        assert found.startswith(b"HTTP/1.1 408 ")
        assert {why: 1} == stage.gateway.counters.turned_away
        assert [] == stage.old.seen
        assert (0, 0) == (stage.gateway.load.in_flight, stage.gateway.load.held_bytes)


async def test_a_body_that_comes_fast_enough_may_take_its_time() -> None:
    """A large document over a thin line is no attack: each byte buys time."""
    limits = Limits(body_s=0.02, slowest_body=1)  # the first ten bytes buy ten seconds
    async with a_stage(limits=limits) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(a_request(LENGTH, tail=BODY[:10]))
        while not stage.gateway.load.in_flight:  # noqa: ASYNC110 - a plain number
            await asyncio.sleep(0)
        await asyncio.sleep(4 * limits.look_every_s)
        writer.write(BODY[10:])

        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_an_app_that_takes_nothing_of_its_answer_is_let_go() -> None:
    """It would hold a place and a provider's connection for as long as it likes."""

    async def endless(exchange: Exchange) -> None:
        await exchange.begin_stream()
        try:
            while True:
                await exchange.chunk(b"data: " + b"x" * 100_000 + b"\n\n")
        except ConnectionError:
            pass

    async with a_stage(endless, limits=QUICK) as stage:
        options = {"include_usage": True}
        async with stage.app.sent(a_question(stream=True, stream_options=options)) as (reader, _):
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await stage.old.left.wait()
            await stage.settled()

        assert {"reader_stalled": 1} == stage.gateway.counters.turned_away
        assert {"support": 1} == stage.gateway.counters.left
        assert 0 == stage.gateway.load.in_flight


async def test_a_long_silence_of_the_provider_is_no_slow_app() -> None:
    """The limits are for what the app owes."""

    async def late(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.chunk(event("Hel"))
        await asyncio.sleep(8 * QUICK.look_every_s)
        await silent(exchange)

    async with a_stage(late, limits=QUICK) as stage, stage.app.asking(a_question(stream=True)) as answer:
        assert event("Hel") == await answer.chunk()
        await asyncio.sleep(6 * QUICK.look_every_s)

        assert {} == stage.gateway.counters.turned_away


async def test_connections_beyond_the_limit_are_closed() -> None:
    """Each of them is a file that the process can open no more."""
    async with a_stage(limits=Limits(max_connections=1)) as stage:
        async with stage.app.sent(path="/healthz", method="GET") as (reader, _):
            await reader.readline()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await stage.app.ask(path="/healthz", method="GET")

        assert {"too_many_connections": 1} == stage.gateway.counters.turned_away


async def test_two_requests_at_once_on_one_connection_are_answered_one_after_the_other() -> None:
    """The second waits in the parser while the first is answered; neither's answer may close or eat the other's."""
    async with a_stage() as stage:
        found = await sent(stage, a_request(LENGTH) + a_request(LENGTH, "connection: close"))

        assert 2 == found.count(b"HTTP/1.1 200 OK\r\n")
        assert 1 == found.lower().count(b"connection: close")
        await stage.settled()
        assert [200, 200] == [exposure.status for exposure in stage.exposures]


async def test_an_app_that_leaves_with_a_second_request_behind_its_first_ends_both() -> None:
    """Reading stands still meanwhile; that the app is gone has to be heard all the same."""
    async with a_stage(silent) as stage:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(a_request(LENGTH) + a_request(LENGTH))
        await stage.old.asked.wait()
        writer.transport.abort()

        await stage.old.left.wait()
        await stage.settled()
        assert stage.gateway.counters.reconciles
        assert 499 == stage.exposures[0].status


async def test_a_whole_answer_leaves_in_one_piece() -> None:
    """A head on its own is a packet more for everybody on the way."""
    async with a_stage() as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.listening.port)
        writer.write(a_request(LENGTH))
        first = await reader.read(1 << 16)
        writer.close()

        head, _, body = first.partition(b"\r\n\r\n")
        assert b"content-length: %d" % len(body) in head.lower()
