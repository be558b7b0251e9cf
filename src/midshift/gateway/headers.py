"""Which headers pass a gateway, in either direction.

To the provider: what the app sent, without its credentials (ours take their place), without what belongs to one
connection, without what says who the user is, and without what is meant for another vendor. That is a list of what is
known to stay, since what a provider calls its own is known to the app and not to us. To the app: an allow-list, because
a provider's headers are not ours to publish: an account's name, a cookie, an address.
Elsewhere: what those before us add about users (standing_before).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from itertools import compress
from operator import itemgetter

from midshift.gateway.standing_before import is_theirs
from midshift.wire.protocol import WireName

Lines = list[tuple[bytes, bytes]]

_MOST_NAMES = 1024

MIDSHIFT = b"x-midshift-"

COME_AGAIN = (b"retry-after", b"1")
"""What the gateway's own refusals of 429 and 503 say: the vendors' clients wait for as many seconds."""

_OF_ONE_CONNECTION = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"host", b"content-length", b"expect", b"accept-encoding"),
    )
)
_CREDENTIALS = frozenset(
    (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"proxy-authorization", b"cookie", b"set-cookie")
)
_STAYS_HERE = _OF_ONE_CONNECTION | _CREDENTIALS

_VENDOR_PREFIXES = {
    WireName.OPENAI_CHAT: b"openai-",
    WireName.OPENAI_RESPONSES: b"openai-",
    WireName.ANTHROPIC: b"anthropic-",
    WireName.GEMINI: b"x-goog-",
}
_FOREIGN_PREFIXES = {
    wire: tuple(prefix for prefix in set(_VENDOR_PREFIXES.values()) if prefix != own)
    for wire, own in _VENDOR_PREFIXES.items()
}
_ACCOUNT = frozenset((b"openai-organization", b"openai-project", b"x-goog-user-project"))
"""Whose account it is; names something at the vendor that the app was written for, and nothing at any other."""

_OF_ONE_REQUEST = frozenset(
    (
        *(b"idempotency-key", b"x-idempotency-key", b"x-client-request-id", b"x-request-id", b"x-correlation-id"),
        *(b"x-stainless-retry-count", b"traceparent", b"tracestate", b"baggage", b"b3", b"x-amzn-trace-id"),
    )
)

_GOES_BACK = frozenset(
    (
        *(b"content-type", b"content-encoding", b"cache-control", b"date", b"retry-after", b"retry-after-ms"),
        *(b"x-should-retry", b"x-request-id", b"request-id", b"deprecation", b"sunset"),
        *(b"openai-processing-ms", b"openai-version", b"openai-model"),
    )
)
_name = itemgetter(0)
_ABOUT_THE_BODY = (b"content-type", b"content-encoding")
_PREFIXES_THAT_GO_BACK = (b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-")


def to_provider(headers: Iterable[tuple[bytes, bytes]], private: Collection[bytes] = ()) -> Lines:
    """The app's header lines that a provider may see; `private` are names that a workload finds its units by."""
    lines = [line for line in headers if line[0] == b"connection" or (line[0] not in private and _may_leave(line[0]))]
    named = {name.strip().lower() for key, value in lines if key == b"connection" for name in value.split(b",") if name}
    return [line for line in lines if line[0] not in named and line[0] != b"connection"] if named else lines


def on_wire(lines: Lines, wire: WireName, is_apps_own: bool, is_mirror: bool = False) -> Lines:
    """The lines for a provider that is asked on `wire`: no other vendor's, and account names only to the app's own.

    A mirror sends nothing that names one request.
    """
    left_out = _OF_ONE_REQUEST if is_mirror else ()
    return [line for line in lines if line[0] not in left_out and _is_for(line[0], wire, is_apps_own)]


def to_app(headers: Sequence[tuple[bytes, bytes]]) -> Lines:
    """The provider's header lines that an app may see."""
    return list(compress(headers, map(_goes_back, map(_name, headers))))


def of_json(headers: Sequence[tuple[bytes, bytes]]) -> Lines:
    """The same for a body that was written anew, as JSON: what the provider said of its own body is void."""
    said = [line for line in to_app(headers) if line[0] not in _ABOUT_THE_BODY]
    return [(b"content-type", b"application/json"), *said]


# The same few names come with every request: each is judged once.


@lru_cache(_MOST_NAMES)
def _may_leave(name: bytes) -> bool:
    spelled = name.replace(b"_", b"-")  # many servers take one for the other, as CGI did
    return not (spelled in _STAYS_HERE or spelled.startswith(MIDSHIFT) or is_theirs(spelled))


@lru_cache(_MOST_NAMES)
def _is_for(name: bytes, wire: WireName, is_apps_own: bool) -> bool:
    return not name.startswith(_FOREIGN_PREFIXES[wire]) and (is_apps_own or name not in _ACCOUNT)


@lru_cache(_MOST_NAMES)
def _goes_back(name: bytes) -> bool:
    return name in _GOES_BACK or name.startswith(_PREFIXES_THAT_GO_BACK)
