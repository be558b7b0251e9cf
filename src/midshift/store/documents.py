"""Values of the domain as JSON, exact in both directions, and the version of the form written into each.

A value that would not come back as it is, is refused when it is written: months later would be too late.
Whoever changes a type so that old documents mean something else, or are no longer allowed, raises its version in
`_FORMS` and keeps reading the old one. A new field with a default needs neither.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any, TypeAlias, TypeVar, cast

import msgspec

from midshift.domain.forcing import Forced
from midshift.domain.plan import Plan
from midshift.domain.routing import Other, Route
from midshift.domain.upgrade import Event, Upgrade
from midshift.domain.variant import Json, Prompt, PromptMode, Variant
from midshift.errors import StoreError

Document: TypeAlias = Plan | Upgrade | Event | Route
D = TypeVar("D", bound=Plan | Upgrade | Event | Route)

_FORMS: dict[type, str] = {
    Plan: "midshift.plan/1",
    Upgrade: "midshift.upgrade/1",
    Event: "midshift.event/1",
    Route: "midshift.route/1",
}


class _Envelope(msgspec.Struct):
    format: str
    value: msgspec.Raw


def encode(value: Document) -> str:
    """One line of JSON that `decode` turns into an equal value, with its moments in UTC.

    Raises:
        StoreError: if no JSON does, such as for a time without a zone, or a number that is not finite.
    """
    form = _FORMS[type(value)]
    try:
        text = msgspec.json.encode({"format": form, "value": in_utc(value)}).decode()
        exact = decode(type(value), text) == in_utc(value)
    except (ValueError, StoreError) as error:
        raise StoreError(f"a {form} cannot be stored: {error}") from None
    if not exact:
        raise StoreError(f"a {form} cannot be stored: it would not come back as it is, found {value!r}")
    return text


def decode(kind: type[D], text: str) -> D:
    """The value that `encode` made the text of.

    Raises:
        StoreError: if it is damaged, or of a form that this midshift does not know.
    """
    form = _FORMS[kind]
    try:
        envelope = msgspec.json.decode(text, type=_Envelope)
        if envelope.format != form:
            raise StoreError(
                f"found a document of form {envelope.format!r}, expected {form!r}: it was written by another midshift; "
                "use that one, or upgrade this one (pip install --upgrade midshift)"
            )
        return msgspec.json.decode(envelope.value, type=kind)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise StoreError(f"found a damaged {form} ({error}): {text[:200]!r}; restore the store from a backup") from None


def in_utc(value: D) -> D:
    """The same with its moments in UTC, which is how it comes back.

    JSON knows offsets of whole minutes only. And in the hour that clocks show twice in autumn, Python calls a moment
    unequal to itself in another zone (PEP 495): compare with what was stored only after this.

    Raises:
        ValueError: for a time without a zone.
    """
    match value:
        case Upgrade():
            return replace(value, entered=_utc(value.entered))
        case Event():
            return replace(value, at=_utc(value.at))
        case Route(lease_until=datetime() as until):
            return replace(value, lease_until=_utc(until))
        case _:
            return value


def encode_others(others: Sequence[Other]) -> str:
    """The further candidates of a routing row, as they stand in its column."""
    return msgspec.json.encode(others).decode()


def decode_others(text: str) -> tuple[Other, ...]:
    """The same.

    Raises:
        StoreError: if the column is damaged.
    """
    try:
        return msgspec.json.decode(text, type=tuple[Other, ...])
    except msgspec.MsgspecError as error:
        raise StoreError(f"found damaged others of a route ({error}): {text[:200]!r}") from None


def encode_names(names: Sequence[str]) -> str:
    """Names, such as the rings of a routing row, as they stand in a column."""
    return msgspec.json.encode(names).decode()


def decode_names(text: str) -> tuple[str, ...]:
    """The same.

    Raises:
        StoreError: if the column is damaged.
    """
    try:
        return msgspec.json.decode(text, type=tuple[str, ...])
    except msgspec.MsgspecError as error:
        raise StoreError(f"found damaged names in a row ({error}): {text[:200]!r}") from None


def encode_forced(forced: Forced | None) -> str | None:
    """The record of a forced upgrade, as it stands in the column of its event."""
    return None if forced is None else check_printable("forced", msgspec.json.encode(forced).decode())


def decode_forced(text: str | None) -> Forced | None:
    """The same.

    Raises:
        StoreError: if the column is damaged.
    """
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Forced)
    except msgspec.MsgspecError as error:
        raise StoreError(f"found a damaged record of a forced upgrade ({error}): {text[:200]!r}") from None


def encode_variant(variant: Variant) -> str:
    """A variant whole.

    Raises:
        StoreError: if what comes back would have another hash: the variant has a part that this does not know.
    """
    content = {
        "provider": variant.provider,
        "model": variant.model,
        "prompt": {"mode": variant.prompt.mode.value, "text": variant.prompt.text},
        "effort": variant.effort,
        "parameters": plain(variant.parameters),
    }
    text = _dumps(content)
    decode_variant(variant.id, text)
    return text


def decode_variant(variant_id: str, text: str) -> Variant:
    """The variant of that hash.

    Raises:
        StoreError: if the content has another.
    """
    content: dict[str, Any] = json.loads(text)
    variant = Variant(
        provider=content["provider"],
        model=content["model"],
        prompt=Prompt(PromptMode(content["prompt"]["mode"]), content["prompt"]["text"]),
        effort=content["effort"],
        parameters=cast("Mapping[str, Json]", content["parameters"]),
    )
    if variant.id != variant_id:
        raise StoreError(
            f"variant {variant_id!r} has content of the hash {variant.id!r}: found {text[:200]!r}; "
            "it is damaged, or was made by another midshift. Restore the store from a backup, or use that midshift"
        )
    return variant


def encode_plain(value: Mapping[str, object]) -> str:
    """Whatever was found, as JSON: for evidence and definitions, which must never be why a decision is not written."""
    return _dumps(plain(value))


def decode_plain(text: str) -> dict[str, object]:
    """The same as dictionaries, lists, texts and numbers."""
    return cast("dict[str, object]", json.loads(text))


def plain(value: object) -> object:
    """A value as JSON has it: a number that is not finite becomes its name, anything unknown what it prints as."""
    match value:
        case Enum():
            return plain(value.value)
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case date():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case Sequence() | Set() if not isinstance(value, bytes | bytearray):
            return [plain(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case msgspec.Struct():
            return plain(msgspec.structs.asdict(value))
        case _:
            return str(value)


def printable(text: str) -> str:
    """The text without what some database refuses: zero characters, halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def check_printable(place: str, text: str) -> str:
    """The text.

    Raises:
        StoreError: if some database would refuse it, naming the place.
    """
    if printable(text) != text:
        raise StoreError(
            f"{place}: found {text!r}, expected text without zero characters and halves of surrogate pairs"
        )
    return text


def _dumps(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"found a time without a zone, {value!r}; expected one with tzinfo, like UTC")
    return value.astimezone(UTC)
