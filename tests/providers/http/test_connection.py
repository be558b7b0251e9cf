"""From bytes to an answer, without a socket: whatever a server sends, and however it is cut into pieces."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.providers.http.connection import Connection
from midshift.providers.http.messages import CallFailed, Failure, Head
from midshift.providers.http.settings import Timeouts

OK = b"HTTP/1.1 200 OK\r\n"
HEADS = [
    (OK + b"content-length: %d\r\n", b"%b"),
    (OK + b"x-length: %d\r\ntransfer-encoding: chunked\r\n", None),
    (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK + b"content-length: %d\r\nset-cookie: a\r\n", b"%b"),
    (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: %d\r\n", b"%b"),
]
OTHERS = [
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
    OK + b"connection: close\r\ncontent-length: 2\r\n\r\nab",
    OK + b"connection: close\r\n\r\nabc",
    b"HTTP/1.0 200 OK\r\n\r\nabc",
    OK + b"transfer-encoding: gzip\r\n\r\nabc",
    OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\nabc",
    OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"content-length: 4\r\n\r\nabc",
    OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    OK + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
    OK + b"transfer-encoding: chunked\r\n\r\n-1\r\nabc",
    OK + b"x : y\r\ncontent-length: 0\r\n\r\n",
    OK + b"x: y\r\n folded\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 099 Odd\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc",
    b"HTTP/1.1 101 Switching\r\n\r\n" + OK + b"content-length: 0\r\n\r\n",
    b"nonsense",
]


@dataclass
class Wire:
    """A transport that goes nowhere."""

    is_aborted: bool = False

    def __post_init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()

    def get_extra_info(self, name: str) -> socket.socket:
        return self.ours

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@dataclass
class Answer:
    """Implements `Receiver`: what came, joined."""

    has_body: bool = True
    is_written: bool = True
    head: Head | None = None
    body: bytes = b""
    end: Failure | str = "none"
    is_unsent: bool = False

    def began(self, head: Head) -> None:
        assert self.head is None
        self.head = head

    def more(self, data: bytes) -> None:
        assert "none" == self.end
        self.body += data

    def completed(self, rest: bytes) -> bool:
        if rest:
            self.more(rest)
        assert "none" == self.end
        self.end = "whole"
        return self.is_written

    def failed(self, why: Failure) -> None:
        assert "none" == self.end
        self.end = why

    def resumed(self) -> None: ...


@dataclass
class Keeper:
    """Implements `Owner`."""

    kept: list[bool] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    is_lost: bool = False

    def opened(self, connection: Connection) -> None: ...

    def released(self, connection: Connection, is_reusable: bool) -> None:
        self.kept.append(is_reusable)

    def lost(self, connection: Connection) -> None:
        self.is_lost = True

    def failed(self, why: Failure) -> None:
        self.failures.append(why)

    def left(self) -> None: ...

    async def another(self, limits: Timeouts) -> Connection:
        raise CallFailed(Failure.UNREACHABLE)


class Line:
    """A connection between a transport and a keeper, both fakes."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.keeper = Keeper()
        self.connection = Connection(self.keeper)
        made: Any = wire
        self.connection.connection_made(made)

    def answered(self, pieces: list[bytes], has_body: bool = True, error: Exception | None = None) -> Answer:
        """The answer to one request; afterwards the server closes, if the answer is not over."""
        answer = Answer(has_body)
        self.connection.call = answer
        for piece in pieces:
            if not self.wire.is_aborted:
                self.connection.data_received(piece)
        if "none" == answer.end:
            self.connection.connection_lost(error)
        return answer


@pytest.fixture(scope="module")
def wires() -> Iterator[list[Wire]]:
    """Transports to take from: two sockets each."""
    made: list[Wire] = []
    yield made
    for wire in made:
        wire.close()


@pytest.fixture
def line(wires: list[Wire]) -> Line:
    """A connection that was not used yet."""
    wires.append(Wire())
    return Line(wires[-1])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The same bytes in pieces."""
    marks = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in zip(marks, marks[1:], strict=False) if a < b]


def in_chunks(body: bytes, size: int) -> bytes:
    """A chunked body with an extension and a trailer."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x;x=y\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nx-late: 1\r\n\r\n"


def result(data: bytes, places: list[int], has_body: bool = True) -> tuple[Answer, list[bool]]:
    """What a fresh connection makes of it."""
    wire = Wire()
    try:
        line = Line(wire)
        return line.answered(cut(data, places), has_body), line.keeper.kept
    finally:
        wire.close()


@given(
    kind=st.sampled_from(HEADS),
    body=st.binary(max_size=60),
    size=st.integers(1, 30),
    places=st.lists(st.integers(0, 400), max_size=8),
)
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(
    kind: tuple[bytes, bytes | None], body: bytes, size: int, places: list[int]
) -> None:
    """Networks cut wherever they like, also within a line."""
    head, plain = kind
    sent = head % len(body) + b"\r\n" + (body if plain else in_chunks(body, size))

    answer, kept = result(sent, places)

    assert ("whole", 200, body, [True]) == (answer.end, answer.head and answer.head.status, answer.body, kept)
    assert answer.head is not None and not answer.head.value(b"x-late")


@given(sent=st.sampled_from(OTHERS), places=st.lists(st.integers(0, 200), max_size=8))
def test_other_answers_are_the_same_in_whatever_pieces_they_come(sent: bytes, places: list[int]) -> None:
    """As above, for bodies without a length, and for what is no answer: how it ends never depends on the pieces."""
    whole, kept = result(sent, [])
    pieces, kept_of_pieces = result(sent, places)

    assert (whole.end, whole.head, kept) == (pieces.end, pieces.head, kept_of_pieces)
    assert whole.end is Failure.BROKEN or whole.body == pieces.body


@given(sent=st.binary(max_size=200), places=st.lists(st.integers(0, 200), max_size=3))
def test_whatever_comes_there_is_an_end(sent: bytes, places: list[int]) -> None:
    """An exception in here would leave somebody waiting for ever."""
    answer, _ = result(OK + sent, places)

    assert answer.end in ("whole", Failure.BROKEN)


def test_what_one_read_has_brought_of_a_body_is_one_part(line: Line) -> None:
    """A provider that is quick puts many events into a packet: each of them would be written to the app by itself."""
    parts = list[bytes]()

    class Parts(Answer):
        def more(self, data: bytes) -> None:
            parts.append(data)

    line.connection.call = Parts()
    head = OK + b"transfer-encoding: chunked\r\n\r\n"
    for piece in (head + b"1\r\na\r\n1\r\nb\r\n", b"1\r\nc\r\n", b"1\r\nd\r\n1\r\ne\r\n0\r\n\r\n"):
        line.connection.data_received(piece)

    assert [b"ab", b"c", b"de"] == parts
    assert [True] == line.keeper.kept


def test_what_came_before_an_answer_broke_is_handed_over(line: Line) -> None:
    """Of a stream the app has then what the provider has said."""
    answer = line.answered([OK + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\nnonsense"])

    assert (200, b"ab", Failure.BROKEN) == (answer.head and answer.head.status, answer.body, answer.end)


@pytest.mark.parametrize(
    "behind",
    [
        OK + b"content-length: 4\r\n\r\nevil",
        OK + b"x: ",
        b"H",
        b"garbage",
        OK + b"content-length: 4\r\n\r\n",
    ],
    ids=["an answer", "half a header", "one byte", "no HTTP", "half an answer"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_what_comes_behind_an_answer_never_gets_into_the_next_one(line: Line, behind: bytes, at_once: bool) -> None:
    """Somebody else's answer, or the wrong end of one: whoever asks next would be given it."""
    ours = OK + b"content-length: 3\r\n\r\nabc"

    answer = line.answered([ours + behind] if at_once else [ours])
    if not at_once:
        line.connection.data_received(behind)

    assert ("whole", b"abc") == (answer.end, answer.body)
    assert at_once != (line.keeper.kept == [True])
    assert at_once or line.wire.is_aborted


def test_bytes_that_wait_in_the_system_make_a_connection_stale(line: Line) -> None:
    """The loop has not seen them yet, and the next request would be sent on it."""
    assert not line.connection.is_stale()

    line.wire.theirs.send(b"x")

    assert line.connection.is_stale()


def test_the_answer_to_head_ends_with_its_head(line: Line) -> None:
    """Its length is that of a body that does not come."""
    answer = line.answered([OK + b"content-length: 5\r\n\r\n"], has_body=False)

    assert ("whole", b"", [False]) == (answer.end, answer.body, line.keeper.kept)


@pytest.mark.parametrize(
    ("sent", "error", "expected"),
    [
        (OK + b"\r\nabc", None, "whole"),
        (OK + b"\r\nabc", ConnectionResetError(), Failure.BROKEN),
        (OK + b"content-length: 4\r\n\r\nabc", None, Failure.BROKEN),
        (OK + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", None, Failure.BROKEN),
        (OK, None, Failure.BROKEN),
        (b"", None, Failure.BROKEN),
    ],
)
def test_the_end_of_the_connection_ends_only_an_answer_without_a_length(
    line: Line, sent: bytes, error: Exception | None, expected: object
) -> None:
    """Half an answer must never look like a whole one."""
    answer = line.answered([sent] if sent else [], error=error)

    assert expected == answer.end
    assert ([Failure.BROKEN] if expected is Failure.BROKEN else []) == line.keeper.failures


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (OK + b"x: ", b"y" * 65536),
        (OK, b"x: y\r\n" * 8192),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4096),
        (OK + b"transfer-encoding: chunked\r\n\r\n0\r\nx-late: ", b"y" * 65536),
        (OK + b"transfer-encoding: chunked\r\n\r\n1;x=", b"y" * 65536),
    ],
    ids=["one header", "many headers", "interim answers", "a trailer", "an extension"],
)
def test_what_brings_nothing_for_long_is_broken_off(line: Line, start: bytes, piece: bytes) -> None:
    """It would fill the memory, or keep somebody waiting for ever."""
    answer = line.answered([start, *[piece] * 8])

    assert Failure.BROKEN is answer.end
    assert line.wire.is_aborted


def test_an_answer_that_is_whole_has_not_brought_nothing_however_long_its_head(line: Line) -> None:
    """What it has said was heard to its end, and the next answer begins behind it."""
    answer = line.answered([OK + b"x: ", b"y" * 200_000, b"y" * 100_000 + b"\r\ncontent-length: 0\r\n\r\n"])

    assert ("whole", [True]) == (answer.end, line.keeper.kept)


def test_a_connection_in_the_middle_of_a_request_is_not_kept(line: Line) -> None:
    """The rest of the body would be read as the next request, or the next request as the rest of the body."""
    answer = Answer(is_written=False)
    line.connection.call = answer

    line.connection.data_received(OK + b"content-length: 0\r\n\r\n")

    assert ("whole", [False]) == (answer.end, line.keeper.kept)


def test_a_closed_connection_leaves_nothing_to_the_collector(line: Line) -> None:
    """It holds its parser and is held by it; a provider that closes after each answer would leave one each time."""
    line.answered([b"HTTP/1.1 204 No Content\r\n\r\n"])
    gc.collect()
    gc.disable()
    try:
        line.connection.connection_lost(None)
        line.connection = Connection(line.keeper)
        assert [line.connection] == [one for one in gc.get_objects() if isinstance(one, Connection)]
    finally:
        gc.enable()
