"""How a request is spelled up to its body: what is the same in every request of a pool, and what is not.

Contract. One request is written, whatever its target and headers hold: a line break in them is refused, since a
server would read what follows as another header or another request.
Elsewhere: which lines show the key (settings), the body (call).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TypeAlias
from urllib.parse import urlsplit

from midshift.errors import UsageError
from midshift.providers.http.dial import Way
from midshift.providers.http.messages import Headers, Request

_MOST_HEADS = 128

_HAVE_A_BODY = frozenset(("POST", "PUT", "PATCH"))


_Spelled: TypeAlias = Callable[[str, str, tuple[tuple[bytes, bytes], ...]], bytes]


class Writer:
    """Spells requests to one base URL. A proxy in front of a host without TLS is told the whole address.

    An app sends nearly the same head with every request: the last few are spelled once.
    """

    __slots__ = ("_spelled",)

    def __init__(self, base_url: str, lines: Headers, way: Way) -> None:
        parts = urlsplit(base_url)
        reader = None if way.is_secure else way.proxy  # in a tunnel, no proxy reads what is said
        path = parts.path.rstrip("/")
        prefix = f"http://{parts.netloc}{path}" if reader else path
        shown = [(b"proxy-authorization", reader.authorization)] if reader and reader.authorization else []
        # Answers come uncompressed, so that their usage can be read.
        fixed = [(b"host", parts.netloc.encode()), *lines, *shown, (b"accept-encoding", b"identity")]
        spelled: _Spelled = partial(_spelled, prefix, b"".join(b"%b: %b\r\n" % line for line in fixed))
        self._spelled: _Spelled = lru_cache(_MOST_HEADS)(spelled)

    def head(self, request: Request) -> bytes:
        """The request up to its body. A method that usually has one says so when it has none (RFC 9110, 8.6).

        Raises:
            UsageError: for what a server would read as more than one request, or one header as more.
        """
        head = self._spelled(request.method, request.target, tuple(request.headers))
        length = len(request.body)
        if length or request.method in _HAVE_A_BODY:
            return b"%bcontent-length: %d\r\n\r\n" % (head, length)
        return head + b"\r\n"


def _spelled(prefix: str, fixed: bytes, method: str, target: str, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """All of a head but what depends on the body."""
    start = f"{method} {prefix}{target} HTTP/1.1"
    lines = b"\r\n".join([*map(b": ".join, headers), b""])
    if not _is_one_line(start) or not lines.count(b"\n") == lines.count(b"\r") == len(headers):
        raise UsageError(
            f"no request can be made of method {method!r} and target {target!r}: expected visible "
            "ASCII without blanks in both, and no line break in a header"
        )
    return b"%b\r\n%b%b" % (start.encode(), fixed, lines)


def _is_one_line(start: str) -> bool:
    return start.count(" ") == 2 and start.isascii() and start.isprintable()
