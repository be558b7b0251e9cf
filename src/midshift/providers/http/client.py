"""Asking other machines off the request path of users: prices, models, lifecycles, evals.

Contract. `HttpClient` implements `ports.Http` over the pools of the hot path, a small one for each host: any method,
any http(s) address, whole answers of at most 32 MB. Redirects are answers like any other and are not followed: a key
must not follow one. Nothing is asked twice. A client belongs to one event loop, and is closed.
Elsewhere: proxies, TLS, limits (pool).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit

from midshift.errors import UsageError
from midshift.ports import HttpAnswer, HttpFailed, HttpRequest
from midshift.providers.http.messages import CallFailed, Failure, Head, Request
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Timeouts, Upstream
from midshift.providers.http.tls import Contexts

LARGEST_ANSWER = 32 << 20
MAX_CONNECTIONS = 8

# Said by the client itself, about the connection or the body that it sends.
_OURS = frozenset(("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect"))


class HttpClient:
    """Implements `ports.Http`; proxies and authorities are what the environment says, or `ca_file`."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        ca_file: Path | None = None,
        max_connections: int = MAX_CONNECTIONS,
        largest_answer: int = LARGEST_ANSWER,
    ) -> None:
        self._environment = environment
        self._ca_file = ca_file
        self._max_connections = max_connections
        self._largest_answer = largest_answer
        self._contexts = Contexts(environment)
        self._pools: dict[tuple[str, str], Pool] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def ask(self, request: HttpRequest, timeout_s: float) -> HttpAnswer:
        """The whole answer within the time, whatever its status.

        Raises:
            HttpFailed: if there is none.
            UsageError: for a request that cannot be sent, such as an address that is none.
            ConfigError: if the environment names no proxy where it should, or nobody to trust.
        """
        parts = urlsplit(request.url)
        pool = self._pool(parts)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        sent = Request(target, _lines(request), request.body, request.method)
        try:
            call = await pool.send(sent, False, Timeouts(timeout_s, timeout_s, timeout_s, timeout_s))
            try:
                head = await call.head()
                body = await call.read(self._largest_answer)
            finally:
                call.close()
        except CallFailed as failed:
            raise HttpFailed(_reason(failed.failure), f"{parts.hostname}: {failed}") from None
        return HttpAnswer(head.status, _named(head), body)

    def close(self) -> None:
        """Close every connection, also those in use."""
        for pool in self._pools.values():
            pool.close()

    def _pool(self, parts: SplitResult) -> Pool:
        key = (parts.scheme, parts.netloc)
        if key not in self._pools:
            self._pools[key] = self._new_pool(parts)
        return self._pools[key]

    def _new_pool(self, parts: SplitResult) -> Pool:
        """One for a host that was not asked before; all of them share the authorities."""
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise UsageError(
                f"cannot ask scheme {parts.scheme!r}, host {parts.hostname!r}: expected http(s)://HOST[:PORT]/PATH, "
                "without user and password"
            )
        upstream = Upstream(
            f"{parts.scheme}://{parts.netloc}", ca_file=self._ca_file, max_connections=self._max_connections
        )
        return Pool(upstream, None, self._environment, self._contexts)


def _lines(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    try:
        return [
            (name.encode("ascii"), value.encode("latin-1"))
            for name, value in request.headers.items()
            if name.lower() not in _OURS
        ]
    except UnicodeEncodeError:
        raise UsageError("a header has a character that HTTP cannot carry: expected latin-1") from None


def _named(head: Head) -> dict[str, str]:
    """Lines of one name are one value, as RFC 9110, 5.3 has it."""
    named: dict[str, str] = {}
    for name, value in head.headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        named[key] = f"{named[key]}, {text}" if key in named else text
    return named


def _reason(failure: Failure) -> str:
    match failure:
        case Failure.UNREACHABLE | Failure.BUSY | Failure.BROKEN | Failure.TOO_LARGE:
            return failure.value
        case _:
            return "timeout"
