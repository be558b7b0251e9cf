"""A unit as it is stored: an HMAC under the deployment's key, which does not say who it was.

Elsewhere: where a request names its unit (gateway.intake), finding all that is stored of one (cli.erase).
"""

from __future__ import annotations

from functools import lru_cache

from midshift.domain.keyed import hmac_under

_LENGTH = 32
_LONGEST_KEPT = 200


def stored_unit(key: bytes, value: bytes) -> str:
    """128 bits of HMAC-SHA-256 in hexadecimal. `value` says what kind of name it is first: `unit:ada`."""
    return _kept(key, value) if len(value) <= _LONGEST_KEPT else _hashed(key, value)


def _hashed(key: bytes, value: bytes) -> str:
    return hmac_under(key)(value).hex()[:_LENGTH]


_kept = lru_cache(8192)(_hashed)


def values_of(name: str) -> tuple[bytes, ...]:
    """What a person's name in requests may have been stored as: an id of its own, or the opening of a conversation."""
    spelt = name.encode("utf-8", "surrogatepass")
    return b"unit:" + spelt, b"conversation:" + spelt
