"""A request of Anthropic's as a conversation.

What stands in a request for caches, accounting or display changes no answer and is left out: `cache_control`,
`metadata` beside its user, `service_tier`, `speed`, `diagnostics`, how thinking is shown. Blocks of thinking are left
out too: no other model can read them. All else that has no neutral form is `Uncarried`, with its place; so is a
request that ends in an assistant turn, which this API continues and others answer.
"""

from __future__ import annotations

import base64
import sys
from typing import Any

import msgspec

from midshift.wire import json_object as json
from midshift.wire.anthropic.state import THINKING
from midshift.wire.json_object import NULL, Fields, items_of, object_of, plain, text_of
from midshift.wire.protocol import Unreadable
from midshift.wire.translation.conversation import (
    Choice,
    Conversation,
    JsonFormat,
    Media,
    Named,
    Part,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Uncarried,
)

_CARRIED = frozenset(
    (
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "stream",
        "thinking",
        "output_config",
        "output_format",
    )
)
_LABELS = frozenset(("metadata", "cache_control", "service_tier", "speed", "diagnostics"))
_EMPTY: tuple[object, ...] = (None, [], {})
_OFF: tuple[object, ...] = (*_EMPTY, False, {"enabled": False})
_KINDS = {str: "a text", bool: "a truth value", dict: "an object", list: "a list"}
_CHOICES = {"auto": Choice.AUTO, "any": Choice.REQUIRED, "none": Choice.NONE}


def read_request(body: bytes, path: str, query: str = "") -> Conversation:
    """See `Translation`."""
    json.read_values(body)  # below here a value that cannot be read would pass for null
    fields = json.read_fields(body)
    _refuse_others(fields)
    model = json.required_text(fields, "model", "the name of a model")
    messages = json.required_items(fields, "messages", "a list of messages")
    system, turns = _spoken(fields, [_fields(message, f"messages.{at}") for at, message in enumerate(messages)])
    effort, thinking_tokens = _effort(fields)
    choice, is_parallel = _tool_choice(plain(fields.get("tool_choice", NULL)))
    return Conversation(
        model=model,
        turns=turns,
        system=system,
        tools=tuple(_tool(tool, at) for at, tool in enumerate(_list(fields, "tools"))),
        tool_choice=choice,
        parallel_tools=is_parallel,
        format=_format(fields),
        max_tokens=_number(fields, "max_tokens", int),
        temperature=_number(fields, "temperature", float),
        top_p=_number(fields, "top_p", float),
        top_k=_number(fields, "top_k", int),
        stop=_stops(fields),
        effort=effort,
        thinking_tokens=thinking_tokens,
        user=_user(fields),
        stream=fields.get("stream") == json.TRUE,
    )


def _refuse_others(fields: Fields) -> None:
    for name in fields:
        if name not in _CARRIED | _LABELS and plain(fields[name]) not in _EMPTY:
            raise Uncarried(name, "only Anthropic's API knows this field")


def _spoken(fields: Fields, messages: list[Fields]) -> tuple[str | None, tuple[Turn, ...]]:
    """The system prompt with the system messages that lead, and the turns."""
    roles = [text_of(message.get("role", NULL)) for message in messages]
    first = next((at for at, role in enumerate(roles) if role != "system"), len(roles))
    if "system" in roles[first:]:
        at = roles.index("system", first)
        raise Uncarried(f"messages.{at}", "a system message in the middle of a conversation has no place there")
    if roles and roles[-1] == "assistant":
        raise Uncarried(f"messages.{len(roles) - 1}", "Anthropic continues a last assistant turn, others answer it")
    leading = [_text(message.get("content", NULL), f"messages.{at}") for at, message in enumerate(messages[:first])]
    texts = [_text(fields["system"], "system")] if fields.get("system", NULL) != NULL else []
    turns = [_turn(message, f"messages.{at}") for at, message in enumerate(messages[first:], first)]
    return "\n".join(texts + leading) if texts or leading else None, tuple(turn for turn in turns if turn.parts)


def _turn(message: Fields, place: str) -> Turn:
    try:
        role = Role(text_of(message.get("role", NULL)) or "")
    except ValueError:
        raise Unreadable(f"'{place}.role' must be user or assistant", f"{place}.role") from None
    return Turn(role, tuple(_parts(message.get("content", NULL), f"{place}.content")))


def _parts(content: msgspec.Raw, place: str) -> list[Part]:
    text = text_of(content)
    if text is not None:
        return [Text(text)]
    blocks = items_of(content)
    if blocks is None:
        raise Unreadable(f"{place!r} must be a text or a list of blocks", place)
    found = (_part(_fields(block, f"{place}.{at}"), f"{place}.{at}") for at, block in enumerate(blocks))
    return [part for part in found if part is not None]


def _part(block: Fields, place: str) -> Part | None:
    match text_of(block.get("type", NULL)):
        case "text" | "image" | "document":
            return _shown(block, place)
        case "tool_use":
            _refuse(block, place, ("toolset_name",))
            if plain(block.get("caller", NULL)) not in (None, {"type": "direct"}):
                raise Uncarried(f"{place}.caller", "other models call tools themselves, not from code")
            arguments = bytes(block.get("input", b"{}")).decode()
            return ToolCall(_word(block, "id", place), _word(block, "name", place), arguments)
        case "tool_result":
            _refuse(block, place, ("toolset_name",))
            return ToolResult(
                _word(block, "tool_use_id", place),
                tuple(_results(block.get("content", NULL), f"{place}.content")),
                is_error=block.get("is_error") == json.TRUE,
            )
        case kind if kind in THINKING:
            return None
        case kind:
            raise Uncarried(place, f"a block of the type {kind!r} is known to Anthropic's API alone")


def _results(content: msgspec.Raw, place: str) -> list[Text | Media]:
    if content == NULL:
        return []
    parts = _parts(content, place)
    if not all(isinstance(part, Text | Media) for part in parts):
        raise Unreadable(f"{place!r} must hold texts, images and documents", place)
    return [part for part in parts if isinstance(part, Text | Media)]


def _shown(block: Fields, place: str) -> Text | Media:
    kind = text_of(block["type"]) or ""
    _refuse(block, place, ("citations", "context", "transformations"))
    if kind == "text":
        return Text(_word(block, "text", place))
    source = plain(block.get("source", NULL))
    name = text_of(block.get("title", NULL))
    match source:
        case {"type": "base64", "media_type": str(media_type), "data": str(data)}:
            return Media(kind, media_type, data=data, name=name)
        case {"type": "text", "data": str(text)}:
            return Media(kind, "text/plain", data=base64.b64encode(text.encode()).decode(), name=name)
        case {"type": "url", "url": str(url)}:
            return Media(kind, "application/pdf" if kind == "document" else None, url=url, name=name)
        case _:
            raise Uncarried(
                f"{place}.source", "a file of Anthropic's, or a source made of blocks, is not known elsewhere"
            )


def _tool(tool: Any, at: int) -> Tool:
    place = f"tools.{at}"
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise Unreadable(f"{place!r} must be a tool with a name", place)
    if tool.get("type") not in (None, "custom"):
        raise Uncarried(f"{place}.type", f"a tool of the type {tool['type']!r} is known to Anthropic's API alone")
    for name in ("defer_loading", "input_examples"):
        if tool.get(name) not in _OFF:
            raise Uncarried(f"{place}.{name}", "only Anthropic's API knows this field")
    if tool.get("allowed_callers") not in (None, ["direct"]):
        raise Uncarried(f"{place}.allowed_callers", "other models call tools themselves, not from code")
    return Tool(
        tool["name"],
        _of_kind(tool.get("description"), str, f"{place}.description"),
        _of_kind(tool.get("input_schema"), dict, f"{place}.input_schema"),
        _of_kind(tool.get("strict"), bool, f"{place}.strict"),
    )


def _tool_choice(value: Any) -> tuple[Choice | Named | None, bool | None]:
    if value is None:
        return None, None
    one_only = json.inside(value, "disable_parallel_tool_use")
    is_parallel = None if not isinstance(one_only, bool) else not one_only
    match value:
        case {"type": "tool", "name": str(name)}:
            return Named(name), is_parallel
        case {"type": "auto" | "any" | "none" as kind}:
            return _CHOICES[kind], is_parallel
        case _:
            raise Unreadable("'tool_choice' must be of the type auto, any, tool or none", "tool_choice")


def _format(fields: Fields) -> JsonFormat | None:
    """`output_config.format`, or the field of the beta before it. The API holds answers to the schema: it is strict."""
    config = _of_kind(plain(fields.get("output_config", NULL)), dict, "output_config") or {}
    for name in config:
        if name not in ("effort", "format") and config[name] not in _EMPTY:
            raise Uncarried(f"output_config.{name}", "only Anthropic's API knows this field")
    match json.inside(config, "format") or plain(fields.get("output_format", NULL)):
        case None:
            return None
        case {"type": "json_schema", "schema": dict(schema)}:
            return JsonFormat(schema, strict=True)
        case _:
            raise Uncarried("output_config.format", "only a JSON schema is known elsewhere")


def _effort(fields: Fields) -> tuple[str | None, int | None]:
    """The effort on the canonical scale, and the budget of thinking; adaptive thinking alone says neither."""
    level = _of_kind(json.value_at(fields, "output_config.effort"), str, "output_config.effort")
    match plain(fields.get("thinking", NULL)):
        case {"type": "disabled"}:
            return "none", None
        case {"type": "enabled", "budget_tokens": int(budget)}:
            return level, budget
        case None | {"type": "adaptive"}:
            return level, None
        case _:
            raise Uncarried("thinking", "this kind of thinking is known to Anthropic's API alone")


def _user(fields: Fields) -> str | None:
    user = json.value_at(fields, "metadata.user_id")
    return user if isinstance(user, str) else None


def _text(content: msgspec.Raw, place: str) -> str:
    parts = _parts(content, place)
    if not all(isinstance(part, Text) for part in parts):
        raise Unreadable(f"{place!r} must be a text or a list of text blocks", place)
    return "\n".join(part.text for part in parts if isinstance(part, Text))


def _refuse(block: Fields, place: str, names: tuple[str, ...]) -> None:
    for name in names:
        if plain(block.get(name, NULL)) not in _OFF:
            raise Uncarried(f"{place}.{name}", "only Anthropic's API knows this field")


def _fields(raw: msgspec.Raw, place: str) -> Fields:
    found = object_of(raw)
    if found is None:
        raise Unreadable(f"{place!r} must be an object", place)
    return found


def _word(block: Fields, name: str, place: str) -> str:
    found = text_of(block.get(name, NULL))
    if found is None:
        raise Unreadable(f"'{place}.{name}' must be a text", f"{place}.{name}")
    return found


def _stops(fields: Fields) -> tuple[str, ...]:
    found = _list(fields, "stop_sequences")
    if not all(isinstance(text, str) for text in found):
        raise Unreadable("'stop_sequences' must be a list of texts", "stop_sequences")
    return tuple(found)


def _list(fields: Fields, name: str) -> list[Any]:
    return _of_kind(plain(fields.get(name, NULL)), list, name) or []


def _of_kind(value: Any, kind: type, place: str) -> Any:
    if value is not None and not isinstance(value, kind):
        raise Unreadable(f"{place!r} must be {_KINDS[kind]}", place)
    return value


def _number(fields: Fields, name: str, kind: type) -> Any:
    found = plain(fields.get(name, NULL))
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int if kind is int else int | float):
        raise Unreadable(f"{name!r} must be a number", name)
    if abs(found) > sys.float_info.max:
        raise Unreadable(f"{name!r} is beyond what a number can be", name)
    return kind(found)
