"""The head of a request, and how it is known again: an app sends nearly the same one with every request.

Contract. What is told from a head alone is told once for all requests that come with it. A head is only known again by
its bytes: all but the digits of the body's length are those of one that the parser has read on the same connection, so
nothing is read in two ways. A request counts as known when it came whole and by itself; any other goes to the parser.
Elsewhere: the parser (front), a request with its body (exchange).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote

import httptools

from midshift.gateway.headers import Lines

T = TypeVar("T")

_LENGTH = b"content-length"
_DIGITS = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})\r\n", re.IGNORECASE)


class Head:
    """One head without the length of its body. `found` is the last header of each name; names are in lower case."""

    __slots__ = ("_told", "expects_continue", "found", "is_old", "keeps_alive", "lines", "method", "path", "query")

    def __init__(
        self, method: str, target: bytes, lines: Lines, keeps_alive: bool = True, is_old: bool = False
    ) -> None:
        self.method = method
        self.path, self.query = _path_and_query(target)
        self.lines = [line for line in lines if line[0] != _LENGTH]
        self.found = dict(self.lines)
        self.keeps_alive = keeps_alive
        self.is_old = is_old  # HTTP/1.0, which knows no chunks and no 100 Continue
        self.expects_continue = not is_old and self.found.get(b"expect", b"").lower() == b"100-continue"
        self._told: dict[object, Any] = {}

    def once(self, tell: Callable[[Head], T]) -> T:
        """What `tell` says of this head, asked once. It reads nothing but the head, and what never changes."""
        try:
            told: T = self._told[tell]
        except KeyError:
            told = self._told[tell] = tell(self)
        return told


class Known:
    """A head as it came, up to the digits of its length and from there on."""

    __slots__ = ("_before", "_begin", "_behind", "_more", "head")

    def __init__(self, head: Head, before: bytes, behind: bytes) -> None:
        self.head = head
        self._before, self._begin = before, len(before)
        self._behind, self._more = behind, len(behind)

    def body_of(self, data: bytes) -> bytes | None:
        """The body of a request that has this head, if it is all of `data`; None for anything else."""
        if not data.startswith(self._before):
            return None
        begin = self._begin
        end = data.find(self._behind, begin)
        body = data[end + self._more :]
        return body if end > 0 and data[begin:end] == b"%d" % len(body) else None


def known(head: Head, data: bytes, length: int) -> Known | None:
    """How to know a head again, if `data` is nothing but one request with this head and a body of `length` bytes."""
    end = data.find(b"\r\n\r\n") + 4
    if not head.keeps_alive or end < 4 or end + length != len(data):
        return None
    digits = _DIGITS.search(data, 0, end - 2)
    return None if digits is None else Known(head, data[: digits.start(1)], data[digits.end(1) : end])


def _path_and_query(target: bytes) -> tuple[str, str]:
    """Both as text, the path without escapes; of a whole address too (RFC 9112, 3.2.2), as proxies are told it."""
    if target[:1] == b"/" and b"#" not in target:
        path, _, query = target.partition(b"?")
    elif target == b"*":
        path, query = target, b""
    else:
        parsed = httptools.parse_url(target)
        path, query = parsed.path or b"/", parsed.query or b""
    text = path.decode("latin-1")
    return unquote(text) if "%" in text else text, query.decode("latin-1")
