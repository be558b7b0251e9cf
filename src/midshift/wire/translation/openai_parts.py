"""What both OpenAI translations share: data URLs, plain values of a request, and fields that may be left out.

Elsewhere: each wire's own words (openai_chat, openai_responses of this package).
"""

from __future__ import annotations

import mimetypes
import re
import sys
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from midshift.domain.usage import Usage
from midshift.wire.json_object import WRONG
from midshift.wire.protocol import Unreadable
from midshift.wire.translation.conversation import Media, Text, Uncarried

IMAGE, DOCUMENT, AUDIO = "image", "document", "audio"
LABELS = frozenset(
    "metadata prompt_cache_key prompt_cache_options prompt_cache_retention service_tier stream_options".split()
)
"""What cannot change an answer's content: names for reports, hints for caches, the class of service."""
TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")

_DATA_URL = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)
_WEB_URL = re.compile(r"https?://", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*[=\s]*")
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def decoded(body: bytes) -> dict[str, Any] | None:
    """The plain values of a JSON object; None for anything else."""
    try:
        found = msgspec.json.decode(body)
    except WRONG:
        return None
    return found if isinstance(found, dict) else None


def mapping(value: object) -> Mapping[str, Any]:
    """An object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[Mapping[str, Any]]:
    """The objects of a list; one that is no object counts as empty."""
    return [mapping(item) for item in value] if isinstance(value, list) else []


def listed(value: object, place: str) -> list[Mapping[str, Any]]:
    """The objects of a list that may be absent.

    Raises:
        Unreadable: if it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Unreadable(f"{place!r} must be a list of objects", place)
    return value


def text(value: object) -> str | None:
    """A text, or None."""
    return value if isinstance(value, str) else None


def text_in(fields: Mapping[str, Any], name: str, place: str = "") -> str | None:
    """A text that a request may hold.

    Raises:
        Unreadable: if it is something else.
    """
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _not_a("text", place + name)


def flag_in(fields: Mapping[str, Any], name: str, place: str = "") -> bool | None:
    """A truth value that a request may hold.

    Raises:
        Unreadable: if it is something else.
    """
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise _not_a("truth value", place + name)


def object_in(fields: Mapping[str, Any], name: str, place: str = "") -> Mapping[str, Any] | None:
    """An object that a request may hold.

    Raises:
        Unreadable: if it is something else.
    """
    value = fields.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise _not_a("JSON object", place + name)


def number_in(fields: Mapping[str, Any], name: str) -> float | None:
    """A number that a request may hold, as it is written there.

    Raises:
        Unreadable: if it is something else, or beyond all bounds.
    """
    value = fields.get(name)
    if value is None or (_is_number(value) and abs(value) <= sys.float_info.max):
        return value
    raise _not_a("number", name)


def whole_in(fields: Mapping[str, Any], name: str) -> int | None:
    """A whole number that a request may hold.

    Raises:
        Unreadable: if it is something else.
    """
    value = number_in(fields, name)
    if value is None or int(value) == value:
        return value if value is None else int(value)
    raise _not_a("whole number", name)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _not_a(kind: str, place: str) -> Unreadable:
    return Unreadable(f"{place!r} must be a {kind}", place)


def known(fields: Mapping[str, Any], names: Collection[str], place: str = "") -> None:
    """Make sure that an object has no field but these; one that is null says nothing.

    Raises:
        Uncarried: for the first other field.
    """
    for name, value in fields.items():
        if value is not None and name not in names:
            raise Uncarried(f"{place}{name}", "no other wire has it")


def only(fields: Mapping[str, Any], name: str, harmless: Collection[object], place: str = "") -> None:
    """Make sure that a field that cannot be carried is absent, or says what holds without it.

    Raises:
        Uncarried: if it says anything else.
    """
    value = fields.get(name)
    if value is not None and not any(type(value) is type(one) and value == one for one in harmless):
        raise Uncarried(f"{place}{name}", "no other wire has it")


def media_at(kind: str, url: object, place: str, name: str | None = None) -> Media:
    """What a URL names: the data within it, or where they lie.

    Raises:
        Uncarried: if it is no URL that another vendor could read: of the web, or with data in base64.
    """
    found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    if found:
        return Media(kind, found[1], found[2], name=name)
    if not isinstance(url, str) or not _WEB_URL.match(url):
        raise Uncarried(place, "expected a URL of http or https, or one with data: data:TYPE;base64,DATA")
    return Media(kind, url=url, name=name)


def file_of(data: object, place: str, name: str | None) -> Media:
    """The field `file_data`: a URL with data, or the bare base64 of a file whose name says its type.

    Raises:
        Uncarried: if its type is not known, or if it is no base64.
    """
    if not isinstance(data, str) or data.startswith("data:"):
        return media_at(DOCUMENT, data, place, name)
    kind, _ = mimetypes.guess_type(name or "")
    if kind is None or not _BASE64.fullmatch(data):
        raise Uncarried(place, "expected data with its type: data:TYPE;base64,DATA")
    return Media(DOCUMENT, kind, data, name=name)


def media_url(media: Media, place: str) -> str:
    """Where a medium lies, or a URL that holds it.

    Raises:
        Uncarried: for data of an unknown type.
    """
    if media.url is not None:
        return media.url
    if media.media_type is None or media.data is None:
        raise Uncarried(place, "the type of its data is not known")
    return f"data:{media.media_type};base64,{media.data}"


def sound_of(part: Mapping[str, Any], place: str) -> Media:
    """An `input_audio` part.

    Raises:
        Uncarried: for a format that has no media type here.
    """
    sound = mapping(part.get("input_audio"))
    kind, data = _AUDIO_TYPES.get(str(sound.get("format"))), sound.get("data")
    if kind is None or not isinstance(data, str):
        raise Uncarried(place, "expected base64 data in the format wav or mp3")
    return Media(AUDIO, kind, data)


def sound_part(media: Media, place: str) -> dict[str, Any]:
    """The same as a part.

    Raises:
        Uncarried: for a URL, and for any format but wav and mp3.
    """
    kind = _AUDIO_FORMATS.get(media.media_type or "")
    if kind is None or media.data is None:
        raise Uncarried(place, "audio is data in the format wav or mp3 here")
    return {"type": "input_audio", "input_audio": {"data": media.data, "format": kind}}


def result_text(parts: tuple[Text | Media, ...], is_error: bool, place: str) -> str:
    """What a tool answered, as text. OpenAI's wires have no mark for a tool that failed, so the words say it.

    Raises:
        Uncarried: for media.
    """
    if not all(isinstance(part, Text) for part in parts):
        raise Uncarried(place, "a tool's answer is text here")
    said = "\n".join(part.text for part in parts if isinstance(part, Text))
    return f"Error: {said}" if is_error else said


def details(**counts: int | None) -> dict[str, int]:
    """The counts that are known."""
    return {name: count for name, count in counts.items() if count is not None}


def tier_of(usage: Usage) -> dict[str, str]:
    """The field `service_tier`, if what served is a tier of OpenAI's."""
    return {"service_tier": usage.service_tier} if usage.service_tier in TIERS else {}
