"""A chat completion as it is asked for: what is read of it, and how it is rewritten.

A request is read one level deep: what midshift does not need stays the bytes that the app sent, and a rewritten
request differs from the original in the fields that were changed and in nothing else.

Facts about the format: the system prompt is the leading messages with role `system` or `developer`, text or parts.
Elsewhere: answers, streams and errors (openai_chat).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from midshift.domain.clamping import EFFORT, Bounds
from midshift.domain.rendering import Changes
from midshift.wire import prompt_texts
from midshift.wire.json_object import WRONG, encoded, inside, plain, text_of, written
from midshift.wire.once import once
from midshift.wire.protocol import Sent, Unreadable

PATH = "/chat/completions"

_NULL, _TRUE = Raw(b"null"), Raw(b"true")
_MAY_DO_SOMETHING = frozenset(("store", "background", "web_search_options", "tools"))
_SYSTEM_ROLES = ("system", "developer")

_fields = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()


class _Head(msgspec.Struct, gc=False):
    role: str = ""


class _Message(msgspec.Struct):
    content: Any = None


class _Tool(msgspec.Struct):
    type: str = "function"


_head = msgspec.json.Decoder(_Head)
_message = msgspec.json.Decoder(_Message)
_tools = msgspec.json.Decoder(list[_Tool] | None)
_mapping = msgspec.json.Decoder(dict[str, Any])


class ChatRequest:
    """A request, read as far as it is asked about; a `domain.rendering.Readable`.

    Raises:
        Unreadable: if it is not a JSON object with a model and a list of messages.
    """

    bound_state: tuple[tuple[str, str], ...] = ()  # chat completions keep nothing between two requests
    prompt_is_elsewhere: bool = False

    def __init__(self, body: bytes) -> None:
        self.body = body
        try:
            fields = self._fields = _fields.decode(body)
        except WRONG as error:
            raise Unreadable(f"the request body is not a JSON object: {error}") from None
        try:
            self.model = _text.decode(fields["model"])
            self.messages = _items.decode(fields["messages"])
        except (KeyError, *WRONG):
            raise _incomplete(fields) from None
        self.stream = fields.get("stream") == _TRUE
        self._plain: dict[str, Any] = {}

    @once
    def asks_usage(self) -> bool:
        """Whether the app itself wants usage in the stream."""
        return _plain_mapping(self._raw("stream_options")).get("include_usage") is True

    @once
    def metadata(self) -> Mapping[str, str]:
        """The texts that the app sent along by name."""
        found = _plain_mapping(self._raw("metadata"))
        return {key: value for key, value in found.items() if isinstance(value, str)}

    @property
    def system(self) -> str | None:
        """The text of the leading system messages; None where there is none, or one that cannot be read."""
        return prompt_texts.joined(self._prompt)

    @property
    def prompt_is_text(self) -> bool:
        """See `Readable`."""
        return self._prompt is not None

    @property  # not kept: it may be as large as the request
    def opening(self) -> str | None:
        """What the user said first: the same in every turn of a conversation."""
        for message in self.messages[self._leading :]:
            if _role(message) == "user":
                return _text_of(message) or bytes(message).decode("utf-8", "backslashreplace")
        return None

    @property
    def has_side_effects(self) -> bool:
        """Whether answering it twice would do something twice: the server stores it, or runs tools of its own.

        A tool of type `function` or `custom` is run by the app, so a second answer only asks for it.
        """
        fields = self._fields
        if _MAY_DO_SOMETHING.isdisjoint(fields):
            return False
        return (
            fields.get("store") == _TRUE
            or fields.get("background") == _TRUE
            or fields.get("web_search_options", _NULL) != _NULL
            or not self._tools_are_the_apps()
        )

    def value_at(self, path: str) -> Any:
        """The plain value at a dotted path; None where there is nothing."""
        first, dot, rest = path.partition(".")
        found = self._fields.get(first)
        if found is None:
            return None
        if not dot:
            return plain(found)
        value = self._plain.get(first)
        if value is None:
            value = self._plain[first] = plain(found)
        return inside(value, rest)

    def rewritten(self, changes: Changes, ask_usage: bool = False, strip_state: bool = False) -> Sent:
        """See `WireRequest`."""
        fields = self._fields
        kept = _changed(fields, changes) if changes.drop or changes.clamp or changes.set else fields
        changed: dict[str, Any] = kept | _spelt(changes.model, changes.effort)
        if changes.system is not None:
            self._put_system(changed, changes.system)
        if ask_usage and self.stream and not self.asks_usage:
            options = {**_plain_mapping(self._raw("stream_options")), "include_usage": True}
            changed["stream_options"] = Raw(_encoder.encode(options))
        return Sent(PATH, written(changed, fields, self.body))

    @once
    def _prompt(self) -> list[str] | None:
        return prompt_texts.together(map(_prompt_of, self.messages[: self._leading]))

    @once
    def _leading(self) -> int:
        leading = 0
        try:
            for head in map(_head.decode, self.messages):
                if head.role not in _SYSTEM_ROLES:
                    break
                leading += 1
        except WRONG:
            pass  # whatever it is, it is no system message
        return leading

    def _put_system(self, fields: dict[str, Any], text: str) -> None:
        """Give the messages this system prompt; they stay as they are, where they say it already.

        It takes the place of the last leading message, whose role and name stay.
        """
        leading, messages = self._leading, self.messages
        message = (_plain_mapping(messages[leading - 1]) if leading else {}) or {"role": "system"}
        content = message.get("content")
        if text != (content if leading == 1 and isinstance(content, str) else self.system):
            message["content"] = _in_place_of(content, text) if isinstance(content, list) else text
            fields["messages"] = [message, *messages[leading:]]

    def _tools_are_the_apps(self) -> bool:
        try:
            tools = _tools.decode(self._raw("tools")) or []
        except WRONG:
            return False
        return all(tool.type in ("function", "custom") for tool in tools)

    def _raw(self, name: str) -> Raw:
        return self._fields.get(name, _NULL)


def _incomplete(fields: dict[str, Raw]) -> Unreadable:
    """What is wrong with a request that has no model, or no list of messages."""
    is_model = text_of(fields.get("model", _NULL)) is None
    name, expected = ("model", "the name of a model") if is_model else ("messages", "a list of messages")
    return Unreadable(f"{name!r} must be {expected}", name)


def _plain_mapping(raw: Raw) -> dict[str, Any]:
    try:
        return _mapping.decode(raw)
    except WRONG:
        return {}


def _role(message: Raw) -> str:
    try:
        return _head.decode(message).role
    except WRONG:
        return ""


def _text_of(message: Raw) -> str | None:
    """The text of a message: its content, or the text parts of it on lines of their own."""
    try:
        content = _message.decode(message).content
    except WRONG:
        return None
    if isinstance(content, list):
        texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        return "\n".join(texts) if texts else None
    return content if isinstance(content, str) else None


def _prompt_of(message: Raw) -> list[str] | None:
    try:
        return prompt_texts.texts_of(_message.decode(message).content)
    except WRONG:
        return None


def _in_place_of(parts: list[Any], text: str) -> str | list[Any]:
    """A text in the form of the last of the parts, whose cache marker stays: an app that asked for one keeps it."""
    return [{**last, "text": text}] if parts and isinstance(last := parts[-1], dict) else text


def _changed(read: dict[str, Raw], changes: Changes) -> dict[str, Raw]:
    """The fields as a variant's parameters want them."""
    fields = read.copy()
    for name in changes.drop:
        fields.pop(name, None)
    for name, bounds in changes.clamp.items():
        _clamp(fields, "reasoning_effort" if name == EFFORT else name, bounds)
    for name, value in changes.set.items():
        fields[name] = encoded(value)
    return fields


@lru_cache(1024)
def _spelt(model: str | None, effort: str | None) -> dict[str, Raw]:
    """The fields of a model and an effort, where they are named: a variant has the same for every request."""
    named = {"model": model, "reasoning_effort": effort}
    return {field: Raw(_encoder.encode(value)) for field, value in named.items() if value is not None}


def _clamp(fields: dict[str, Raw], name: str, bounds: Bounds) -> None:
    """Bring a field within its bounds; one that is not there, or already inside, keeps its bytes."""
    if name not in fields:
        return
    try:
        value = msgspec.json.decode(fields[name])
    except WRONG:
        return
    clamped = bounds.clamped(value)
    if clamped != value:
        fields[name] = encoded(clamped)
