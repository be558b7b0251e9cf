"""A JSON object that is read one level deep, changed in a few places, and otherwise keeps its bytes.

What is not asked about stays `Raw`: a number keeps its spelling, a signature its escapes, an object its order. A dotted
name leads into objects within objects. Only the objects on the way are written anew, and a request that nothing has
changed is the very bytes that came, unless a field stands in it twice.
Elsewhere: which fields a wire has (its own module), what a variant changes (domain.rendering).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from midshift.domain.clamping import Bounds
from midshift.domain.variant import Json
from midshift.wire.protocol import Unreadable

Fields: TypeAlias = dict[str, Raw]

NULL, TRUE = Raw(b"null"), Raw(b"true")
WRONG = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no such JSON; the last of them for what lies too deep in itself."""

_BEFORE_VALUE = re.compile(rb'[ \t\r\n]*[{,][ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*')
_AFTER_VALUES = re.compile(rb"[ \t\r\n]*}[ \t\r\n]*\Z")

_SMALL = 64 * 1024
"""Bodies up to this size are written anew to be compared; beyond it that would be memory for nothing."""

_MOST_NAMES, _LONGEST_NAME = 32, 64

_LOOKED_AT = 64
"""How a body is spelt shows behind the first name: a blank, or none. Where that misleads, all of it is looked at."""

_fields = msgspec.json.Decoder(Fields)
_items = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_value = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def read_fields(body: bytes) -> Fields:
    """The fields of a request.

    Raises:
        Unreadable: if it is not a JSON object.
    """
    try:
        return _fields.decode(body)
    except WRONG as error:
        raise Unreadable(f"the request body is not a JSON object: {error}") from None


def read_values(body: bytes) -> dict[str, Any]:
    """The fields of a request as plain values.

    Raises:
        Unreadable: if it is not a JSON object, or if a value within it cannot be read; `param` is the field.
    """
    return {name: value_of(raw, name) for name, raw in read_fields(body).items()}


def value_of(raw: Raw, name: str) -> Any:
    """The plain value of the field `name`, where what cannot be read must not pass for null.

    Raises:
        Unreadable: if it cannot be read: `Raw` holds a byte that is no UTF-8, or a number beyond all bounds, as it is.
    """
    try:
        return msgspec.json.decode(raw)
    except WRONG as error:
        raise Unreadable(f"{name!r} holds what cannot be read as JSON in UTF-8: {error}", name) from None


def required_text(fields: Fields, name: str, expected: str) -> str:
    """A text that a request must have.

    Raises:
        Unreadable: if it has none.
    """
    found = text_of(fields.get(name, NULL))
    if found is None:
        raise Unreadable(f"{name!r} must be {expected}", name)
    return found


def required_items(fields: Fields, name: str, expected: str) -> list[Raw]:
    """A list that a request must have.

    Raises:
        Unreadable: if it has none.
    """
    found = items_of(fields.get(name, NULL))
    if found is None:
        raise Unreadable(f"{name!r} must be {expected}", name)
    return found


def object_of(raw: Raw) -> Fields | None:
    """The fields of an object; None for anything else."""
    try:
        return _fields.decode(raw)
    except WRONG:
        return None


def items_of(raw: Raw) -> list[Raw] | None:
    """The items of a list; None for anything else."""
    try:
        return _items.decode(raw)
    except WRONG:
        return None


def text_of(raw: Raw) -> str | None:
    """A text; None for anything else."""
    try:
        return _text.decode(raw)
    except WRONG:
        return None


def plain(raw: Raw) -> Any:
    """The plain value; None for what cannot be read (`value_of` tells that from null)."""
    try:
        return _value.decode(raw)
    except WRONG:
        return None


def inside(value: Any, path: str) -> Any:
    """The plain value at a dotted path within one; None where there is nothing."""
    for name in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and name == str(int(name)) and int(name) < len(value):
            value = value[int(name)]  # `00` is no place: redaction has to find every place that can be read
        else:
            return None
    return value


def value_at(fields: Fields, path: str) -> Any:
    """The plain value at a dotted path; None where there is nothing."""
    first, dot, rest = path.partition(".")
    if first not in fields:
        return None
    value = plain(fields[first])
    return inside(value, rest) if dot else value


def put(fields: Fields, path: str, value: Json | Raw) -> None:
    """Set the field at a dotted path; where it is there already with this very value, nothing changes."""
    first, dot, rest = path.partition(".")
    if not dot:
        fields[first] = value if isinstance(value, Raw) else encoded(value)
        return
    inner = object_of(fields.get(first, NULL)) or {}
    before = dict(inner)
    put(inner, rest, value)
    if inner != before:
        fields[first] = joined(inner)


def remove(fields: Fields, path: str) -> None:
    """Remove the field at a dotted path; an object that is empty by that goes with it."""
    first, dot, rest = path.partition(".")
    if not dot:
        fields.pop(first, None)
        return
    inner = object_of(fields.get(first, NULL))
    if not inner:
        return
    before = dict(inner)
    remove(inner, rest)
    if not inner:
        del fields[first]
    elif inner != before:
        fields[first] = joined(inner)


def clamp(fields: Fields, path: str, bounds: Bounds) -> None:
    """Bring the field at a dotted path within its bounds; one that is not there, or inside, keeps its bytes."""
    value = value_at(fields, path)
    clamped = bounds.clamped(value)
    if clamped != value:
        put(fields, path, clamped)


def encoded(value: Json) -> Raw:
    """The JSON of a value of a variant, whose lists and objects are frozen."""
    return Raw(_encoder.encode(_unfrozen(value)))


def joined(fields: Fields) -> Raw:
    """The JSON of an object of fields."""
    return Raw(_encoder.encode(fields))


def listed(items: Sequence[Raw]) -> Raw:
    """The JSON of a list of items."""
    return Raw(_encoder.encode(items))


def written(fields: Mapping[str, Any], before: Fields, body: bytes) -> bytes:
    """The JSON of fields, `Raw` or plain; the very bytes of the body that they were read from, if none has changed."""
    if fields != before:
        return _encoder.encode(fields)
    if len(body) <= _SMALL and _is_spelt_as_usual(fields, body):
        return body
    return body if _stand_once(before, body) else _encoder.encode(fields)


def _is_spelt_as_usual(fields: Mapping[str, Any], body: bytes) -> bool:
    """Whether a body is these fields, each once, written with no blank at all, or as `json.dumps` of Python does."""
    if body.find(b'": ', 0, _LOOKED_AT) < 0:
        return body == _encoder.encode(fields)
    try:
        return body == _frame(tuple(fields)) % tuple(fields.values())
    except _Unusual:
        return False


class _Unusual(Exception):
    """Long names of fields, or many: they come from an app, and no request of a vendor has them."""


@lru_cache(256)
def _frame(names: tuple[str, ...]) -> bytes:
    """An object with these fields as `json.dumps` of Python writes it, with a place for each value.

    The few sets of fields that come with every request are kept, and what is `_Unusual` is not.
    """
    if len(names) > _MOST_NAMES or any(len(name) > _LONGEST_NAME for name in names):
        raise _Unusual
    return b"{%b}" % b", ".join([_encoder.encode(name).replace(b"%", b"%%") + b": %b" for name in names])


def _stand_once(fields: Fields, body: bytes) -> bool:
    """Whether each field stands in the body once: one that is read last here may be read first elsewhere."""
    at = 0
    for name, value in fields.items():
        before = _BEFORE_VALUE.match(body, at)
        if before is None or _text.decode(before[1]) != name or not body.startswith(memoryview(value), before.end()):
            return False
        at = before.end() + len(memoryview(value))
    return _AFTER_VALUES.match(body, at) is not None


def _unfrozen(value: Json) -> Any:
    match value:
        case Mapping():
            return {name: _unfrozen(item) for name, item in value.items()}
        case str():
            return value
        case Sequence():
            return [_unfrozen(item) for item in value]
        case _:
            return value
