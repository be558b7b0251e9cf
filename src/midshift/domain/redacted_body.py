"""A JSON body with its texts blacked out, and without whom it names.

Pure, and linear in the size of the body. It can still be read as what it was: names of fields, roles and ids stay, and
JSON within a text stays JSON. Files in it are left out, with their length.
Elsewhere: what is blacked out of a text, and how it is told apart (redaction).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from midshift.domain.redaction import may_be_redacted, redacted
from midshift.domain.workload import Redaction

LEFT_OUT = "[left out: {} characters of data]"
LONGEST_WORD = 2000
"""A text without any space beyond this is a file, not words: an image, a document, audio."""

_STRUCTURE = frozenset({"type", "role", "model", "id", "call_id", "tool_call_id", "tool_use_id", "finish_reason"})
_NAMES_A_PERSON = frozenset({"user", "user_id", "safety_identifier", "prompt_cache_key"})
_PLAIN_AT_ROOT = (str, int, float, type(None), list)
_JSON_TEXTS = frozenset({"arguments", "partial_json"})
_OF_JSON_TEXTS = re.compile(f'"(?:{"|".join(sorted(_JSON_TEXTS))})":')


def redacted_json(value: Any, kinds: Collection[Redaction], units: Collection[str] = ()) -> Any:
    """A JSON value with every text in it redacted; files within it are left out, with their length.

    `units` are dotted paths whose value names a person; so do the fields that vendors have for it. Both become
    `[unit]`. Names of fields, roles and ids stay, so that it can still be read as what it was.
    """
    return _walked(without_units(value, units), kinds)


def without_units(value: Any, units: Collection[str]) -> Any:
    """The same value with `[unit]` where it names a person, and nothing else redacted."""
    return _unnamed(value, _places(tuple(units)), 0)


def may_hold(text: str, kinds: Collection[Redaction]) -> bool:
    """Whether redacting the texts of a JSON value may black something out, by a look at all of it as compact JSON.

    What stands in a text stands in the JSON too, with no more than escapes between: those that JSON asks for. In one
    that escapes more, such as a slash or what is not ASCII, things would be overlooked. JSON within a text is looked
    into, since its own escapes may hide something; without any escape there are numbers in it at most, and no text.
    """
    return (
        ("\\" in text and _OF_JSON_TEXTS.search(text) is not None)
        or _has_long_word(text)
        or may_be_redacted(text, kinds)
    )


@dataclass(slots=True)
class _Place:
    """A place in a body: whether a unit stands there, and the places below it on the way to others.

    `telling` are the names below it that may be a unit's or lead to one. What stands under any other tells of nobody,
    but at the root: there it may be an object with such a name in it.
    """

    is_unit: bool = False
    below: dict[str, _Place] = field(default_factory=dict)
    telling: frozenset[str] = _NAMES_A_PERSON


_NOWHERE = _Place()
"""No unit stands there nor below; most places are like it."""


@lru_cache(256)
def _places(units: tuple[str, ...]) -> _Place:
    """The root of these dotted paths, the same in every request of a workload."""
    root = _Place()
    for path in units:
        place = root
        for name in path.split("."):
            place.telling |= {name}
            place = place.below.setdefault(name, _Place())
        place.is_unit = True
    return root


def _unnamed(value: Any, place: _Place, depth: int) -> Any:
    """`value` stands at `place`, below `depth` names or items. Vendors name a person at most two below the root."""
    if not place.below and (depth > 1 or (depth == 1 and isinstance(value, list))):
        return value
    match value:
        case dict() | Mapping():
            return _unnamed_fields(value, place, depth)
        case list() | tuple():
            items = [(place.below.get(str(at), _NOWHERE), inner) for at, inner in enumerate(value)]
            return ["[unit]" if at.is_unit else _unnamed(inner, at, depth + 1) for at, inner in items]
    return value


def _unnamed_fields(fields: Mapping[str, Any], place: _Place, depth: int) -> Mapping[str, Any]:
    telling = place.telling
    if depth and telling.isdisjoint(fields):
        return fields
    plain = object if depth else _PLAIN_AT_ROOT
    shown = dict(fields)
    for name, inner in fields.items():
        if name in telling or not isinstance(inner, plain):
            shown[name] = _unit_or_not(name, inner, place, depth)
    return shown


def _unit_or_not(name: str, value: Any, parent: _Place, depth: int) -> Any:
    place = parent.below.get(name, _NOWHERE)
    if place.is_unit or (depth < 2 and name in _NAMES_A_PERSON and value is not None):
        return "[unit]"
    return _unnamed(value, place, depth + 1)


def _walked(value: Any, kinds: Collection[Redaction]) -> Any:
    """In the order of what is met most: to tell a mapping that is no dict is dear."""
    match value:
        case str():
            return _spoken(value, kinds)
        case list():
            return [_walked(inner, kinds) for inner in value]
        case None | float() | bool():
            return value
        case int():  # no key is a number
            if kinds and (shown := redacted(str(value), kinds)) != str(value):
                return shown
        case dict() | Mapping():
            return {name: _field(str(name), inner, kinds) for name, inner in value.items()}
        case tuple():
            return [_walked(inner, kinds) for inner in value]
    return value


def _field(name: str, value: Any, kinds: Collection[Redaction]) -> Any:
    if isinstance(value, str):
        if name in _STRUCTURE and len(value) < 200:
            return value
        return _json_text(value, kinds) if name in _JSON_TEXTS else _spoken(value, kinds)
    return _walked(value, kinds)


def _json_text(text: str, kinds: Collection[Redaction]) -> str:
    """JSON within a text stays JSON: a number that is blacked out becomes a text in it."""
    try:
        inner = json.loads(text)
    except ValueError:
        return _spoken(text, kinds)
    return json.dumps(_walked(inner, kinds), ensure_ascii=False)


def _spoken(text: str, kinds: Collection[Redaction]) -> str:
    if len(text) > LONGEST_WORD and not any(character.isspace() for character in text[:LONGEST_WORD]):
        return LEFT_OUT.format(len(text))
    return redacted(text, kinds)


def _has_long_word(text: str) -> bool:
    """Whether a word may be as long as a file: of one that is, half its length at one of these places has no space."""
    half = LONGEST_WORD // 2
    return len(text) >= LONGEST_WORD and any(
        text.find(" ", at, at + half) < 0 for at in range(0, len(text) - half + 1, half)
    )
