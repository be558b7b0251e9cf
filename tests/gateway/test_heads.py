"""A head that is known again is read as the parser would have read it, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.gateway.exchange import Exchange
from midshift.gateway.front import MOST_WAITING, Front, Listener
from midshift.gateway.heads import Head, Known, known
from midshift.gateway.inbound import MOST_LEARNT
from midshift.gateway.settings import Limits
from tests.gateway.fakes import FakeTransport

USUAL = b"POST /v1/messages?a=%41 HTTP/1.1\r\nHost: x\r\nX-User: ann\r\nContent-Length: 5\r\nAccept: */*\r\n\r\nhello"
TURNS = 8 * MOST_WAITING


@dataclass(frozen=True)
class Read:
    """What was read of one request."""

    method: str
    path: str
    query: str
    lines: tuple[tuple[bytes, bytes], ...]
    length: int | None
    body: bytes


async def read(pieces: Sequence[bytes]) -> tuple[list[Read], list[str]]:
    """The requests that a connection reads in these pieces, and why it was closed."""
    found, refused = list[Read](), list[str]()

    async def answer(exchange: Exchange) -> None:
        body = b""
        while part := await exchange.part():
            body += part
        head = exchange.head
        found.append(Read(head.method, head.path, head.query, tuple(head.lines), exchange.length, body))
        await exchange.answer(200, [(b"content-length", b"0")], b"")

    listener = Listener(answer, Limits(), refused.append)
    front = Front(listener)
    front.connection_made(FakeTransport())
    for piece in pieces:
        front.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    for task in list(listener.workers.tasks):
        task.cancel()
    return found, refused


def a_request(
    length: bytes, body: bytes, name: bytes = b"Content-Length", lines: Sequence[bytes] = (), start: bytes = b"POST /p"
) -> bytes:
    """One request, as bytes."""
    own = b"".join(line + b"\r\n" for line in lines)
    return b"%b HTTP/1.1\r\nHost: x\r\n%b%b: %b\r\nAccept: */*\r\n\r\n%b" % (start, own, name, length, body)


BODIES = st.binary(max_size=40) | st.sampled_from([b"", b"\r\n\r\n", USUAL, b"\r\ncontent-length: 3\r\n\r\nabc"])
LINES = st.sampled_from([b"X-A: 1", b"X-A: 2", b"X-Content-Length: 9", b"Content-Length : 5", b"X: content-length: 3"])
LENGTHS = st.sampled_from([b"%d", b"0%d", b"+%d", b"%d ", b" %d", b"%d, %d", b"1%d", b"-%d"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Requests that look alike, some of which lie about themselves."""
    body = draw(BODIES)
    spelt = draw(st.one_of(st.just(b"%d"), LENGTHS))
    length = spelt.replace(b"%d", b"%d" % len(body))
    name = draw(st.sampled_from([b"Content-Length", b"Content-Length", b"content-length"]))
    start = draw(st.sampled_from([b"POST /p", b"POST /p", b"GET /p", b"\r\nPOST /p"]))
    return a_request(length, body, name, draw(st.lists(LINES, max_size=1)), start)


@given(st.lists(requests(), min_size=1, max_size=MOST_WAITING), st.data())
def test_a_known_head_is_read_as_the_parser_reads_it(sent: list[bytes], data: st.DataObject) -> None:
    """Whatever is sent, in whatever pieces: the same requests as one byte at a time, where no head is ever known."""
    stream = b"".join(sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=3), label="cuts")
    whole = [sum(map(len, sent[:number])) for number in range(1, len(sent))]
    together = data.draw(st.sets(st.sampled_from(whole)) if whole else st.just(set[int]()), label="sent together")
    ends = sorted({0, *(set(whole) - together), *cuts, len(stream)})
    pieces = [stream[begin:end] for begin, end in zip(ends, ends[1:], strict=False)]

    slowly = asyncio.run(read([stream[at : at + 1] for at in range(len(stream))]))
    assert slowly == asyncio.run(read(pieces))


async def test_a_head_that_came_before_is_known_by_all_but_its_length() -> None:
    """The same head, other bodies: what an app's client sends all day."""
    head = Head("POST", b"/p", [(b"host", b"x"), (b"content-length", b"2")])
    found = known(head, a_request(b"2", b"{}"), 2)

    assert found is not None
    assert b"hello" == found.body_of(a_request(b"5", b"hello"))
    assert b"" == found.body_of(a_request(b"0", b""))
    assert [(b"host", b"x")] == found.head.lines


@pytest.mark.parametrize(
    "data",
    [
        a_request(b"5", b"hell"),
        a_request(b"5", b"hello!"),
        a_request(b"", b""),
        a_request(b"+5", b"hello"),
        a_request(b"5 ", b"hello"),
        a_request(b"\xb2", b"he"),
        a_request(b"5", b"hello", lines=[b"Content-Length: 5"]),
        a_request(b"5", b"hello", lines=[b"Transfer-Encoding: chunked"]),
        a_request(b"5", b"hello", start=b"POST /q"),
        a_request(b"5", b"hello").replace(b"*/*", b"*"),
        a_request(b"2", b"{}") * 2,
        b"",
    ],
)
def test_what_is_not_one_request_with_that_head_goes_to_the_parser(data: bytes) -> None:
    """The parser knows what to refuse."""
    found = known(Head("POST", b"/p", [(b"host", b"x")]), a_request(b"2", b"{}"), 2)

    assert isinstance(found, Known)
    assert found.body_of(data) is None


async def test_the_rest_of_a_head_is_not_a_known_request() -> None:
    """Of two requests that a proxy sends on one connection, the second would be taken for somebody else's."""
    inner = a_request(b"2", b"{}")
    pieces = [inner, inner, inner + b"POST /p HTTP/1.1\r\nX-Inner: ", inner, b"\r\n"]

    found, refused = await read(pieces)
    bytewise = b"".join(pieces)

    assert (found, refused) == await read([bytewise[at : at + 1] for at in range(len(bytewise))])


async def test_of_two_requests_at_once_no_head_is_learnt() -> None:
    """The head of the second would be known by the bytes of the first: another user's."""
    ann, bob = (a_request(b"2", b"{}", lines=[b"X-User: " + name]) for name in (b"ann", b"bob"))

    found, _ = await read([ann + bob, ann])

    assert [b"ann", b"bob", b"ann"] == [dict(one.lines)[b"x-user"] for one in found]


async def test_nothing_is_known_behind_a_request_that_closes() -> None:
    """The parser leaves it unread."""
    usual = a_request(b"2", b"{}")
    closing = b"GET /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    found, _ = await read([usual, closing, usual])

    assert ["POST", "GET"] == [one.method for one in found]


async def test_a_head_is_told_about_once() -> None:
    """Whose key it shows is asked of every request, and costs a hash."""
    told = list[Head]()
    head = Head("GET", b"/", [])

    assert [None, None] == [head.once(told.append), head.once(told.append)]
    assert [head] == told


async def test_what_raises_is_asked_again() -> None:
    """A refusal is no fact about a head."""
    head, asked = Head("GET", b"/", []), list[Head]()

    def refuse(of: Head) -> None:
        asked.append(of)
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            head.once(refuse)
    assert [head, head] == asked


async def test_a_connection_whose_heads_change_is_not_learnt_for_ever() -> None:
    """It would cost every request something and help none."""
    listener = Listener(_nobody, Limits(), list[str]().append)
    front = Front(listener)
    front.connection_made(FakeTransport())
    for number in range(MOST_LEARNT):
        front.data_received(a_request(b"0", b"", lines=[b"X-Trace: %d" % number]))
        await asyncio.sleep(0)
    last = front._inbound._known
    front.data_received(a_request(b"0", b"", lines=[b"X-Trace: other"]))

    assert last is not None
    assert last is front._inbound._known


async def _nobody(exchange: Exchange) -> None:
    await exchange.answer(200, [(b"content-length", b"0")], b"")
