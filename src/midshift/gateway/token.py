"""The request id as a token: it says by itself what the request was served as, and nobody else can make one.

Contract: pure. `x-midshift-request-id` carries the workload, upgrade, step, arm, slices, block, epoch and the second
of issue under an HMAC of the deployment's key, so that any gateway of the deployment can credit late feedback without
looking anything up. It is URL-safe, shorter than 200 characters, unique, and holds nothing about the user. Names that
are long stand in it as digests, which the reader's own definitions give their meaning.
Elsewhere: what is done with it (feedback), the sums that it credits (domain.exposure).

    req_ + base64url( 1 | nonce 12 | seconds 4 | epoch 6 | step 2 | flags 1 | block 1 | workload 4 |
                      slices: n, 3 each | upgrade: text | HMAC-SHA-256, 16 of 32 )
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeAlias

from midshift.domain.exposure import Credit
from midshift.domain.keyed import hmac_under
from midshift.domain.routing import Arm

PREFIX = "req_"
LONGEST = 199
NONCE_BYTES = 12

_HEAD = struct.Struct(">B12sI6sHBB4sB")
_STAMP, _FIXED = struct.Struct(">B12sI"), struct.Struct(">6sHBB4sB")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_VERSION = 1
_MAC_BYTES = 16
_MOST_SLICES = 8
_LONGEST_UPGRADE = (LONGEST - len(PREFIX)) * 3 // 4 - _HEAD.size - _MAC_BYTES - 3 * _MOST_SLICES
_CANDIDATE, _HAS_UPGRADE = 1, 2

About: TypeAlias = tuple[str, str | None, int, Arm, tuple[str, ...], int, int]
"""Workload, upgrade, step, arm, slices, block and epoch of a request: of these there are as many as blocks that are
served."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What a token says: what the request counts as, at which epoch of the route, and when it came (machine time)."""

    credit: Credit
    epoch: int
    at: datetime


class BadToken(ValueError):
    """A text that is no token of this deployment."""


def key_of(unit_key: bytes) -> bytes:
    """The key of tokens, which is none of the units': whoever learns one of them has not learnt the other."""
    return hmac.digest(unit_key, b"midshift: request id, version 1", "sha256")


def make(key: bytes, nonce: bytes, issued: Issued) -> str:
    """The token of a request. `nonce` are 12 random bytes.

    Slices beyond the eighth are left out: late feedback is credited to the first eight.

    Raises:
        ValueError: for an upgrade whose id is longer than 74 bytes, or a number that is out of range.
    """
    credit = issued.credit
    about = credit.workload, credit.upgrade, credit.step, credit.arm, credit.slices, credit.block, issued.epoch
    return Tokens(key).make(nonce, issued.at.timestamp(), about)


class Tokens:
    """Makes the tokens of one gateway: `make`, with what many requests have in common prepared once.

    Beyond a limit all that is prepared is let go and prepared again.
    """

    def __init__(self, key: bytes, most: int = 8192) -> None:
        self._digest_of = hmac_under(key)
        self._most = most
        self._prepared: dict[About, bytes] = {}

    def make(self, nonce: bytes, at_s: float, about: About) -> str:
        """The token of a request that came `at_s` seconds after 1970, machine time.

        Raises:
            ValueError: as `make`.
        """
        prepared = self._prepared.get(about) or self._prepare(about)
        try:
            said = _STAMP.pack(_VERSION, nonce, int(at_s)) + prepared
        except struct.error as error:  # beyond the year 2106, or before 1970
            raise ValueError(f"a number of a request id is out of range: {error}") from None
        whole = b2a_base64(said + self._digest_of(said)[:_MAC_BYTES], newline=False)
        return PREFIX + whole.translate(_URL_SAFE, b"=").decode()

    def _prepare(self, about: About) -> bytes:
        if len(self._prepared) >= self._most:
            self._prepared.clear()
        workload, upgrade, step, arm, slices, block, epoch = about
        said = self._prepared[about] = _said_of(Credit(workload, upgrade, step, arm, slices, block), epoch)
        return said


def read(key: bytes, token: str, slices: Mapping[str, tuple[str, ...]]) -> Issued:
    """What a token says, if it is one of this deployment's.

    `slices` are the names that the reader knows, by workload; slices that it does not know are left out.

    Raises:
        BadToken: for anything else, saying in which way; never what a good one would have been.
    """
    said = _authenticated(key, token)
    _, _, seconds, epoch, step, flags, block, named, count = _HEAD.unpack_from(said)
    slices_end = _HEAD.size + 3 * count
    digests = {said[at : at + 3] for at in range(_HEAD.size, slices_end, 3)}
    workload = next((name for name in slices if _named(name, 4) == named), None)
    if workload is None:
        raise BadToken("it is of a workload that this gateway does not serve")
    return Issued(
        Credit(
            workload=workload,
            upgrade=said[slices_end:].decode() if flags & _HAS_UPGRADE else None,
            step=step,
            arm=Arm.CANDIDATE if flags & _CANDIDATE else Arm.INCUMBENT,
            slices=tuple(_whose(digests, slices[workload])),
            block=block,
        ),
        int.from_bytes(epoch, "big"),
        datetime.fromtimestamp(seconds, UTC),
    )


def digest(token: str) -> str:
    """What a store knows a request by: 128 bits in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def _said_of(credit: Credit, epoch: int) -> bytes:
    """What a token says after its nonce and its time.

    Raises:
        ValueError: as `make`.
    """
    upgrade = (credit.upgrade or "").encode()
    if len(upgrade) > _LONGEST_UPGRADE:
        raise ValueError(f"an upgrade's id in a request id has at most {_LONGEST_UPGRADE} bytes, got {len(upgrade)}")
    slices = credit.slices[:_MOST_SLICES]
    flags = _CANDIDATE * (credit.arm is Arm.CANDIDATE) | _HAS_UPGRADE * (credit.upgrade is not None)
    named = _named(credit.workload, 4)
    try:
        fixed = _FIXED.pack(epoch.to_bytes(6, "big"), credit.step, flags, credit.block, named, len(slices))
    except (struct.error, OverflowError) as error:
        raise ValueError(f"a number of a request id is out of range: {error}") from None
    return b"".join((fixed, *(_named(name, 3) for name in slices), upgrade))


def _authenticated(key: bytes, token: str) -> bytes:
    """The signed part of a token."""
    text = token.removeprefix(PREFIX)
    if text == token or len(token) > LONGEST or not token.isascii():
        raise BadToken("it does not look like an x-midshift-request-id of a served request")
    try:
        whole = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise BadToken("it does not look like an x-midshift-request-id of a served request") from None
    said, mac = whole[:-_MAC_BYTES], whole[-_MAC_BYTES:]
    is_canonical = urlsafe_b64encode(whole).rstrip(b"=").decode() == text  # one spelling: it is counted by its text
    if len(said) < _HEAD.size or not (is_canonical and hmac.compare_digest(hmac_under(key)(said)[:_MAC_BYTES], mac)):
        raise BadToken("it was not made by a gateway of this deployment, or has been changed")
    if said[0] != _VERSION:
        raise BadToken("it is of another version of midshift")
    return said


@lru_cache(1024)
def _named(name: str, size: int) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=size).digest()


def _whose(digests: set[bytes], names: Iterable[str]) -> Iterable[str]:
    return (name for name in names if _named(name, 3) in digests)
