"""What an app sends on one connection, as requests: HTTP/1.1 on httptools, and heads that are known again.

Contract. What can be read in two ways is `Wrong`: a length that stands beside chunks, two lengths, bad sizes of chunks
(llhttp refuses these), no host or two. A head is bounded in bytes, and so is what is neither a head nor a body.
Trailers are dropped. Nobody is upgraded: a request that offers another protocol is read as one that does not (RFC 9110,
7.8), as clients in Java that offer HTTP/2 expect.
Elsewhere: how long it may take, and what is answered (front), heads (heads).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

import httptools

from midshift.gateway.headers import Lines
from midshift.gateway.heads import Head, Known, known

MOST_LEARNT = 4
"""So many heads are learnt on a connection: one whose heads change all the time gains nothing by it."""

_OF_AN_UPGRADE = (b"connection", b"upgrade", b"http2-settings")


class Wrong(Exception):
    """What is sent is no request that can be served: a status, and why in a word."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Requests(Protocol):
    """Whoever the requests are for."""

    def request_came(self, head: Head, body: bytes) -> None:
        """A whole request has come at once, with a length."""
        ...

    def some_came(self) -> None:
        """Something else has come, which is read now."""
        ...

    def head_came(self, head: Head, length: int | None) -> None:
        """A request has begun, with a body of this length, or in chunks, or without any."""
        ...

    def body_came(self, body: bytes) -> None:
        """A part of its body has come."""
        ...

    def whole_came(self) -> None:
        """It is whole."""
        ...


class Inbound:
    """The requests in the bytes of one connection. `is_between` says that nothing of the next one has come yet."""

    __slots__ = (
        "_barren",
        "_for",
        "_in_head",
        "_known",
        "_last",
        "_lines",
        "_most_head_bytes",
        "_parser",
        "_plain_head",
        "_unlearnt",
        "_url",
        "_why",
        "is_between",
    )

    def __init__(self, requests: Requests, most_head_bytes: int) -> None:
        self._for = requests
        self._most_head_bytes = most_head_bytes
        self._parser = _parser(self)
        self._barren = 0  # bytes since the last that were a part of a body, or the end of a head or a request
        self._why = Wrong(HTTPStatus.BAD_REQUEST, "malformed")
        self._plain_head: bytes | None = None
        self._url = b""
        self._lines: Lines = []
        self._in_head = True
        self.is_between = True
        self._known: Known | None = None
        self._last: tuple[Head, int | None] | None = None
        self._unlearnt = MOST_LEARNT

    def feed(self, data: bytes) -> None:
        """Read more.

        Raises:
            Wrong: for what can be no request, and cannot be read on from.
        """
        usual = self._known
        if usual is not None and self.is_between and (body := usual.body_of(data)) is not None:
            self._for.request_came(usual.head, body)
        else:
            self._for.some_came()
            self._read(data)

    def close(self) -> None:
        """Let go of all that holds this one: the collector, which comes seldom, would have to find it."""
        del self._parser, self._for

    def _read(self, data: bytes) -> None:
        is_between = self.is_between
        self._barren += len(data)
        rest = data
        try:
            while rest:
                rest = self._parsed(rest)
        except httptools.HttpParserError:
            raise self._why from None
        if self._barren > self._most_head_bytes:
            is_head = self._in_head or self.is_between
            raise Wrong(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large" if is_head else "trailer_too_large"
            )
        if is_between and self._unlearnt and self.is_between:
            self._learn(data)

    def _learn(self, data: bytes) -> None:
        """Know the last head again, if the data was one request and nothing else."""
        if self._last is not None and self._last[1] is not None:
            self._known = known(self._last[0], data, self._last[1])
            self._unlearnt -= 1

    def _parsed(self, data: bytes) -> bytes:
        """What is to be read anew, as from a request that offers nothing: llhttp gives no body to one that does."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            plain, self._plain_head = self._plain_head, None
            if plain is None or plain.startswith(b"CONNECT "):
                raise httptools.HttpParserError from None
            self._parser = _parser(self)
            self._barren = 0
            return plain + data[upgrade.args[0] :]
        return b""

    # What the parser finds

    def on_message_begin(self) -> None:
        self._url, self._lines, self._in_head, self.is_between = b"", [], True, False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # not a trailer
            self._lines.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser, lines = self._parser, self._lines
        version = parser.get_http_version()
        self._check_head(version)
        if parser.should_upgrade():
            self._plain_head = self._head_without_upgrade()
            return
        self._in_head = False
        self._barren = 0
        is_old = version == "1.0"
        keeps_alive = not is_old and parser.should_keep_alive()
        head = Head(parser.get_method().decode("ascii"), self._url, lines, keeps_alive, is_old)
        length = next((int(value) for name, value in lines if name == b"content-length"), None)
        self._last = head, length
        if not keeps_alive:  # what comes behind it is left unread
            self._known, self._unlearnt = None, 0
        self._for.head_came(head, length)

    def on_body(self, body: bytes) -> None:
        self._barren = 0
        self._for.body_came(body)

    def on_message_complete(self) -> None:
        if self._plain_head is None:
            self._barren = 0
            self.is_between = True
            self._for.whole_came()

    def _check_head(self, version: str) -> None:
        """Refuse what llhttp takes and the standard does not (RFC 9112, 2.3, 3.2 and 5.4)."""
        hosts, size = 0, len(self._url)
        for name, value in self._lines:
            hosts += name == b"host"
            size += len(name) + len(value)
        if version not in ("1.1", "1.0"):
            self._why = Wrong(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "malformed")
        elif size > self._most_head_bytes:
            self._why = Wrong(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        elif hosts == 1 or (hosts == 0 and version == "1.0"):
            return
        raise self._why  # leaves the parser, which stops by it

    def _head_without_upgrade(self) -> bytes:
        closes = any(name == b"connection" and b"close" in value.lower() for name, value in self._lines)
        lines = [b"%b: %b\r\n" % line for line in self._lines if line[0] not in _OF_AN_UPGRADE]
        version = self._parser.get_http_version().encode()
        start = b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self._url, version)
        return b"".join((start, *lines, b"connection: close\r\n" if closes else b"", b"\r\n"))


def _parser(inbound: Inbound) -> httptools.HttpRequestParser:
    """What comes behind a request that closes is left unread; else its answer could not be sent."""
    parser = httptools.HttpRequestParser(inbound)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
