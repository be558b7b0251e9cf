"""A conversation as a request of Gemini's.

Schemas are written as JSON Schema (`parametersJsonSchema`, `responseJsonSchema`). A result names its function, which
is looked up among the calls before it. A call that another model made carries the value that Google documents for it
in place of a signature. That strict tools are what the mode `VALIDATED` does is Google's word; it is marked a preview.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from midshift.wire.gemini.state import STAND_IN
from midshift.wire.json_object import WRONG
from midshift.wire.protocol import Sent
from midshift.wire.translation.conversation import (
    Choice,
    Conversation,
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

_MODES = {Choice.AUTO: "AUTO", Choice.NONE: "NONE", Choice.REQUIRED: "ANY"}
_WRAPPERS = {"error", "result", "output"}
"""Fields of a response that say by themselves what it is."""
_EFFORTS = ("minimal", "low", "medium", "high", "xhigh")


def write_request(conversation: Conversation) -> Sent:
    """See `Translation`."""
    if conversation.parallel_tools is False and conversation.tools:
        raise Uncarried("parallel_tool_calls", "Gemini's API cannot be told to call one function at a time")
    names: dict[str, str] = {}
    declared = [_tool(tool) for tool in conversation.tools]
    fields = {
        "systemInstruction": {"parts": [{"text": conversation.system}]} if conversation.system else None,
        "contents": [_content(turn, at, names) for at, turn in enumerate(conversation.turns)],
        "tools": [{"functionDeclarations": declared}] if declared else None,
        "toolConfig": _tool_config(conversation),
        "generationConfig": _said(_config(conversation)) or None,
    }
    operation = "streamGenerateContent?alt=sse" if conversation.stream else "generateContent"
    target = f"/v1beta/models/{quote(conversation.model, safe='-._~/@')}:{operation}"
    return Sent(target, msgspec.json.encode(_said(fields)))


def _config(conversation: Conversation) -> dict[str, Any]:
    asked = conversation.format
    return {
        "temperature": conversation.temperature,
        "topP": conversation.top_p,
        "topK": conversation.top_k,
        "maxOutputTokens": conversation.max_tokens,
        "stopSequences": list(conversation.stop) or None,
        "seed": conversation.seed,
        "frequencyPenalty": conversation.frequency_penalty,
        "presencePenalty": conversation.presence_penalty,
        "responseMimeType": "application/json" if asked is not None else None,
        "responseJsonSchema": asked.schema if asked is not None else None,
        "thinkingConfig": _thinking(conversation),
    }


def _thinking(conversation: Conversation) -> dict[str, Any] | None:
    """A level or a budget: the API refuses both in one request."""
    budget = conversation.thinking_tokens
    if conversation.effort == "none":
        return {"thinkingBudget": 0}
    if conversation.effort is None:
        return None if budget is None else {"thinkingBudget": budget}
    if budget is not None:
        raise Uncarried("thinking.budget_tokens", "Gemini's API takes a budget of thinking or an effort, not both")
    if conversation.effort not in _EFFORTS:
        raise Uncarried("effort", f"Gemini's API knows no thinking level {conversation.effort!r}")
    return {"thinkingLevel": conversation.effort.upper()}


def _content(turn: Turn, at: int, names: dict[str, str]) -> dict[str, Any]:
    """A turn; `names` of the calls so far grows with it."""
    names |= {part.id: part.name for part in turn.parts if isinstance(part, ToolCall)}
    parts = [_part(part, f"messages.{at}", names) for part in turn.parts]
    first = next((part for part in parts if "functionCall" in part), None)
    if first is not None:
        first["thoughtSignature"] = STAND_IN
    return {"role": "model" if turn.role is Role.ASSISTANT else "user", "parts": parts}


def _part(part: Part, place: str, names: Mapping[str, str]) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"text": text}
        case Media(data=data, url=url):
            return _media(part, part.media_type or _guessed(part), data, url, place)
        case ToolCall(id, name, arguments):
            return {"functionCall": {"id": id, "name": name, "args": _arguments(arguments, place)}}
        case ToolResult(call_id, parts, is_error, name):
            return {"functionResponse": _response(call_id, parts, is_error, name or names.get(call_id), place)}


def _media(part: Media, kind: str | None, data: str | None, url: str | None, place: str) -> dict[str, Any]:
    if kind is None:
        raise Uncarried(place, f"the media type of this {part.kind} is not known, and Gemini's API wants it")
    if data is not None:
        return {"inlineData": {"mimeType": kind, "data": data}}
    return {"fileData": {"mimeType": kind, "fileUri": url}}


def _guessed(part: Media) -> str | None:
    """The media type that an address ends in, if it is of the kind that the other wire says."""
    kind, _ = mimetypes.guess_type(urlsplit(part.url or "").path)
    is_document = kind is not None and kind.split("/")[0] in ("application", "text")
    return kind if kind is not None and (kind.startswith(f"{part.kind}/") or is_document) else None


def _response(call_id: str, parts: tuple[Text | Media, ...], is_error: bool, name: str | None, place: str) -> Any:
    if name is None:
        raise Uncarried(place, f"the call {call_id!r} that it answers is not in the conversation")
    texts = [part.text for part in parts if isinstance(part, Text)]
    if len(texts) < len(parts):
        raise Uncarried(place, "a tool's result holds only text there")
    text = "\n".join(texts)
    found = {"error": text} if is_error else _object(text)
    is_plain = found is None or (not is_error and len(found) == 1 and not _WRAPPERS.isdisjoint(found))
    return {"id": call_id, "name": name, "response": {"result": text} if is_plain else found}


def _tool(tool: Tool) -> dict[str, Any]:
    return _said({"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters})


def _tool_config(conversation: Conversation) -> dict[str, Any] | None:
    is_strict = any(tool.strict for tool in conversation.tools)
    match conversation.tool_choice:
        case None | Choice.AUTO if is_strict:
            return {"functionCallingConfig": {"mode": "VALIDATED"}}
        case None:
            return None
        case Named(name):
            return {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [name]}}
        case choice:
            return {"functionCallingConfig": {"mode": _MODES[choice]}}


def _arguments(arguments: str, place: str) -> dict[str, Any]:
    found = _object(arguments or "{}")
    if found is None:
        raise Uncarried(place, "the arguments of a call are an object there, and these are none")
    return found


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(text)
    except WRONG:
        return None
    return found if isinstance(found, dict) else None


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
