"""Inputs of other tools as the messages of a chat request, and references as text or JSON.

Understood: a text; a list of messages of OpenAI's chat API; LangChain's messages (`{"type": "human", "data": {...}}`,
and the constructor form with `lc`, `id`, `kwargs`); Inspect's messages (content parts `text` and `image`, tool calls
with `function` and `arguments`); parts of OpenAI's Responses (`input_text`, `output_text`, `input_image`).
Sources: OpenAI chat completions and responses reference; langchain-core `messages_to_dict`;
inspect_ai `ChatMessage`.
Elsewhere: which field of a row holds them (row_cases).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_ROLE_OF = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "chat": "user"}
_CLASS_OF = {
    "HumanMessage": "user",
    "AIMessage": "assistant",
    "SystemMessage": "system",
    "ToolMessage": "tool",
    "HumanMessageChunk": "user",
    "AIMessageChunk": "assistant",
}
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_KEPT = ("role", "content", "name", "tool_calls", "tool_call_id", "refusal", "function_call")


class NotMessages(ValueError):
    """A value that is no input of a chat request, and why."""


def messages_of(value: Any) -> tuple[dict[str, Any], ...]:
    """The messages of an input.

    Raises:
        NotMessages: for what is none, naming what was found.
    """
    match value:
        case str() if value.strip():
            return _from_text(value)
        case {"messages": inner}:
            return messages_of(inner)
        case [] | "":
            raise NotMessages("it is empty")
        case [[*inner]] if all(isinstance(item, Mapping) for item in inner):
            return messages_of(inner)
        case [*items]:
            return tuple(_message(item) for item in items)
        case {"role": _} | {"type": "human" | "ai" | "system", "data": _} | {"lc": _, "kwargs": _}:
            return (_message(value),)
        case None:
            raise NotMessages("there is none")
        case Mapping():
            raise NotMessages(f"an object with {_names(value)}")
        case _:
            raise NotMessages(f"a {type(value).__name__}")


def is_chat(value: Any) -> bool:
    """Whether a value is a list of messages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) and item.get("role") in _ROLES for item in value)
    )


def chat_in(text: str) -> list[Any] | None:
    """The messages that a text is the JSON of; None for any other text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if is_chat(found) else None


def not_carried(value: Any) -> list[str]:
    """Names of what messages have and a chat request has not, such as a model's thoughts or the tokens it took."""
    if isinstance(value, str):
        value = chat_in(value)
    if isinstance(value, Mapping) and "messages" in value:
        return not_carried(value["messages"])
    items = value if isinstance(value, list) else [value]
    inner = [one for item in items for one in (item if isinstance(item, list) else [item])]
    return sorted({name for message in inner if isinstance(message, Mapping) for name in _beside(message)})


def _beside(message: Mapping[str, Any]) -> Iterator[str]:
    told = message.get("data", message.get("kwargs", message))
    if not isinstance(told, Mapping):
        return
    for name, value in told.items():
        if name not in (*_KEPT, "type", "data", "lc", "kwargs", "id") and value not in (None, "", [], {}, False):
            yield str(name)
    content = told.get("content")
    if isinstance(content, list) and any(_is_thought(part) for part in content):
        yield "thoughts"


def answer_text(message: Any) -> str | None:
    """What a message says, if it is a message with words."""
    try:
        content = _message(message).get("content")
    except NotMessages:
        return None
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        content = "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) and content else None


def calls_of(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message of the chat API as a grader wants them: names, with arguments that were JSON."""
    return [
        {"name": function["name"], "arguments": _decoded(function.get("arguments"))}
        for call in message.get("tool_calls") or ()
        if isinstance(call, Mapping) and isinstance(function := call.get("function"), Mapping) and "name" in function
    ]


def _from_text(text: str) -> tuple[dict[str, Any], ...]:
    chat = chat_in(text)
    return tuple(_message(item) for item in chat) if chat is not None else ({"role": "user", "content": text},)


def _message(item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise NotMessages(f"a message that is a {type(item).__name__}")
    match item:
        case {"role": role}:
            inner = item
        case {"type": kind, "data": Mapping() as inner}:
            role = _ROLE_OF.get(str(kind), kind)
        case {"id": [*_, name], "kwargs": Mapping() as inner}:
            role = _CLASS_OF.get(str(name), name)
        case {"type": str() as kind} if kind in _ROLE_OF:
            role, inner = _ROLE_OF[kind], item
        case _:
            raise NotMessages(f"a message with {_names(item)}")
    if role not in _ROLES:
        raise NotMessages(f"a message of the role {str(role)[:40]!r}")
    message = {name: inner[name] for name in _KEPT if inner.get(name) is not None} | {"role": role}
    earlier = inner.get("additional_kwargs")
    if not message.get("tool_calls") and isinstance(earlier, Mapping) and earlier.get("tool_calls"):
        message["tool_calls"] = earlier["tool_calls"]  # where LangChain had them before 0.2
    if message.get("tool_calls") == []:
        del message["tool_calls"]  # LangChain writes an empty list, and OpenAI refuses one
    if "content" in message:
        message["content"] = _content(message["content"])
    if "tool_calls" in message:
        message["tool_calls"] = _tool_calls(message["tool_calls"])
    if not ({"content", "tool_calls", "function_call", "refusal"} & message.keys()):
        message["content"] = ""
    return {"role": role, **message}


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise NotMessages(f"content that is a {type(content).__name__}")
    parts = [_part(part) for part in content if not _is_thought(part)]
    only = parts[0] if len(parts) == 1 else {}
    return only["text"] if only.keys() == {"type", "text"} and isinstance(only["text"], str) else parts


def _is_thought(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("reasoning", "thinking", "redacted_thinking")


def _part(part: Any) -> dict[str, Any]:
    match part:
        case str():
            return {"type": "text", "text": part}
        case {"type": "text" | "input_text" | "output_text", "text": str() as text}:
            return {"type": "text", "text": text}
        case {"type": "image", "image": str() as url}:
            detail = part.get("detail")
            return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}
        case {"type": "input_image", "image_url": str() as url}:
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "image_url" | "input_audio" | "file" | "refusal"}:
            return {name: _said(inner) for name, inner in part.items() if inner is not None}
        case {"type": kind}:
            raise NotMessages(f"a part of the type {str(kind)[:40]!r}")
        case _:
            raise NotMessages("a part that is no object with a type")


def _said(value: Any) -> Any:
    """A value without the fields that are null: tables have every field in every row, and providers refuse them."""
    if not isinstance(value, Mapping):
        return value
    return {name: inner for name, inner in value.items() if inner is not None}


def _tool_calls(calls: Any) -> list[dict[str, Any]]:
    if not isinstance(calls, list):
        raise NotMessages("tool_calls that are no list")
    return [_call(call) for call in calls]


def _call(call: Any) -> dict[str, Any]:
    match call:
        case {"function": {"name": _}}:
            return {name: _said(inner) for name, inner in call.items() if inner is not None}
        case {"function": str() as name} | {"name": str() as name}:
            arguments = call.get("arguments", call.get("args", {}))
            written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
            return {"id": str(call.get("id", "")), "type": "function", "function": {"name": name, "arguments": written}}
        case _:
            raise NotMessages("a tool call without a function")


def _decoded(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _names(value: Mapping[str, Any]) -> str:
    return ", ".join(repr(str(name)[:40]) for name in list(value)[:6]) or "no fields"
