"""What a vendor can say about the end of a model, and how its JSON is read.

A field that is missing or of another type is not an answer: the reader refuses it, and the radar falls back and says
so. `null` where a vendor documents it is one: nothing is announced.
Elsewhere: each vendor's own fields (the vendors' modules).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlsplit

import msgspec

from midshift.domain.retirement import State
from midshift.errors import InputError
from midshift.ports import HttpRequest

LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Found:
    """What a vendor says about a model that it knows; `note` is what has to be said along with it."""

    state: State
    shuts_down_on: date | None = None
    replacement: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """Where a vendor is asked, and with what: `base_url` None is its own address. Secrets are never shown.

    `secret` is the key, for AWS the bearer token; `signing` are keys that sign instead. `vendor` is who is behind a
    provider of another name; None where the name says it.
    """

    base_url: str | None = None
    secret: str | None = None
    region: str | None = None
    signing: SigningKeys | None = None
    vendor: str | None = None

    def __repr__(self) -> str:
        return f"Access({self.base_url!r}, region={self.region!r}, vendor={self.vendor!r})"


@dataclass(frozen=True, slots=True, repr=False)
class SigningKeys:
    """AWS credentials as the environment has them; `session_token` goes with temporary ones."""

    key_id: str
    secret: str
    session_token: str | None = None


@dataclass(frozen=True, slots=True)
class NotAsked:
    """Why a vendor cannot be asked about a model; `words` say what would help."""

    words: str


@dataclass(frozen=True, slots=True)
class Vendor:
    """How one vendor is asked.

    `requests` are tried in this order, the next one where a key or a version was refused (400, 401, 403). `read` gives
    None for an answer in which the model is not, and raises InputError for one that is not the vendor's. `names` are
    the ids under which the same model is listed elsewhere, the nearest first.
    """

    requests: Callable[[str, Access, datetime], Sequence[HttpRequest] | NotAsked]
    read: Callable[[bytes, str], Found | None]
    names: Callable[[str], Sequence[str]] = lambda model: (model,)


def fields(body: bytes) -> Mapping[str, object]:
    """The fields of a JSON object.

    Raises:
        InputError: for anything else.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InputError(f"the answer is no JSON, it begins with {body[:40]!r}") from None
    return mapping(found, "the answer")


def mapping(value: object, what: str) -> Mapping[str, object]:
    """A JSON object.

    Raises:
        InputError: for anything else.
    """
    if not isinstance(value, dict):
        raise InputError(f"{what} is {_kind(value)}, expected an object")
    return value


def records(value: object, what: str) -> list[Mapping[str, object]]:
    """A JSON array of objects.

    Raises:
        InputError: for anything else.
    """
    if not isinstance(value, list):
        raise InputError(f"{what} is {_kind(value)}, expected a list")
    return [mapping(item, f"an item of {what}") for item in value]


def optional_text(value: Mapping[str, object], name: str) -> str | None:
    """A text that may be null or absent, cut to 200 characters.

    Raises:
        InputError: if it is something else.
    """
    found = value.get(name)
    if found is not None and not isinstance(found, str):
        raise InputError(f"{name!r} is {_kind(found)}, expected text or null")
    return found[:LONGEST_TEXT] or None if found else None


def stated_day(value: Mapping[str, object], name: str) -> date | None:
    """A day that is `null` where none is announced.

    Raises:
        InputError: if the field is absent or no date: silence is not "none announced".
    """
    if name not in value:
        raise InputError(f"the answer has no field {name!r}")
    return optional_day(value, name)


def optional_day(value: Mapping[str, object], name: str) -> date | None:
    """The day of an ISO 8601 date or time, which may be null or absent. A time counts by its UTC day.

    Raises:
        InputError: if it is something else.
    """
    found = value.get(name)
    if found is None:
        return None
    if not isinstance(found, str):
        raise InputError(f"{name!r} is {_kind(found)}, expected a date")
    try:
        return msgspec.convert(found, date) if len(found) == _DATE else _utc_day(found)
    except (msgspec.ValidationError, ValueError, OverflowError):
        raise InputError(f"{name!r} is {found[:40]!r}, expected a date") from None


def at_root(base_url: str, path: str) -> str:
    """`base_url` with `path` if it has none of its own: an address may be given with or without its version."""
    bare = base_url.rstrip("/")
    return bare if urlsplit(bare).path else bare + path


_DATE = len("2027-01-31")


def _utc_day(text: str) -> date:
    found = datetime.fromisoformat(text)
    offset = found.utcoffset()
    return (found.replace(tzinfo=None) - offset).date() if offset else found.date()


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
