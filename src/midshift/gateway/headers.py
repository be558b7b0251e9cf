"""Which headers pass a gateway, in either direction.

To the provider: what the app sent, without its credentials (ours take their place), without what belongs to one
connection, and without what says who the user is. To the app: an allow-list, because a provider's headers are not
ours to publish: an account's name, a cookie, an address.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

Lines = list[tuple[bytes, bytes]]

MIDSHIFT = b"x-midshift-"

_OF_ONE_CONNECTION = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
        *(b"host", b"content-length", b"expect", b"accept-encoding"),
    )
)
_CREDENTIALS = frozenset(
    (
        *(b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"proxy-authorization", b"cookie"),
        *(b"helicone-auth", b"ocp-apim-subscription-key"),
    )
)
_ABOUT_THE_USER = frozenset((b"forwarded", b"x-real-ip", b"via", b"true-client-ip", b"cf-connecting-ip"))
_USER_PREFIXES = (MIDSHIFT, b"x-forwarded-", b"x-envoy-", b"cf-")
_STAYS_HERE = _OF_ONE_CONNECTION | _CREDENTIALS | _ABOUT_THE_USER

_GOES_BACK = frozenset(
    (
        *(b"content-type", b"content-encoding", b"cache-control", b"date", b"retry-after", b"retry-after-ms"),
        *(b"x-should-retry", b"x-request-id", b"request-id", b"deprecation", b"sunset"),
        *(b"openai-processing-ms", b"openai-version", b"openai-model"),
    )
)
_PREFIXES_THAT_GO_BACK = (b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-")


def to_provider(headers: Iterable[tuple[bytes, bytes]], private: Collection[bytes] = ()) -> Lines:
    """The app's header lines that a provider may see; `private` are names that a workload finds its units by."""
    lines = list(headers)
    named = {name.strip().lower() for key, value in lines if key == b"connection" for name in value.split(b",") if name}
    return [
        (name, value)
        for name, value in lines
        if name not in _STAYS_HERE and name not in named and name not in private and not name.startswith(_USER_PREFIXES)
    ]


def to_app(headers: Iterable[tuple[bytes, bytes]]) -> Lines:
    """The provider's header lines that an app may see."""
    return [(name, value) for name, value in headers if name in _GOES_BACK or name.startswith(_PREFIXES_THAT_GO_BACK)]
