"""A conversation as a request of Anthropic's.

`max_tokens`, which this API needs, is left out where the app's wire gave none: any number of ours would cut answers
short in silence. A variant pins it (`set: {max_tokens: N}`), and that is applied after this; without it the API
refuses the request and names the field.

The API wants the results of tools at the head of the user turn that follows the calls, and no block without text. Where
the last turn is blank, what is left would end in an assistant turn, which the API continues: that is refused here.
Reasoning that an app asks for by its effort is adaptive thinking with that effort.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Raw

from midshift.wire.anthropic.request import PATH
from midshift.wire.json_object import object_of
from midshift.wire.protocol import Sent
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

_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_CONTINUES = (
    "Anthropic's API continues a last assistant turn instead of answering it, and takes no turn of the user after it "
    "that is blank"
)
_NO_PARAMETERS = {"type": "object", "properties": {}}


def write_request(conversation: Conversation) -> Sent:
    """See `Translation`."""
    _refuse_others(conversation)
    messages = list(_messages(conversation.turns))
    if messages and messages[-1]["role"] == Role.ASSISTANT:
        raise Uncarried("messages", _CONTINUES)
    fields = {
        "model": conversation.model,
        "max_tokens": conversation.max_tokens,
        "system": conversation.system or None,
        "messages": messages,
        "tools": [_tool(tool) for tool in conversation.tools] or None,
        "tool_choice": _tool_choice(conversation),
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "top_k": conversation.top_k,
        "stop_sequences": list(conversation.stop) or None,
        "thinking": _thinking(conversation),
        "output_config": _output_config(conversation),
        "metadata": {"user_id": conversation.user} if conversation.user is not None else None,
        "stream": True if conversation.stream else None,
    }
    return Sent(PATH, msgspec.json.encode({name: value for name, value in fields.items() if value is not None}))


def _refuse_others(conversation: Conversation) -> None:
    if conversation.seed is not None:
        raise Uncarried("seed", "Anthropic's API has no seed")
    if conversation.frequency_penalty:
        raise Uncarried("frequency_penalty", "Anthropic's API has no penalties")
    if conversation.presence_penalty:
        raise Uncarried("presence_penalty", "Anthropic's API has no penalties")
    if conversation.temperature is not None and conversation.temperature > 1:
        raise Uncarried("temperature", "Anthropic's API takes 0 to 1")


def _messages(turns: tuple[Turn, ...]) -> Iterator[dict[str, Any]]:
    """One message for all turns in a row of one speaker: results of parallel tools belong into one."""
    place = 0
    for role, group in groupby(turns, key=lambda turn: turn.role):
        parts = [part for turn in group for part in turn.parts]
        content = [_block(part, f"messages.{place}") for part in _in_order(parts) if not _is_blank(part)]
        if content:
            place += 1
            yield {"role": role.value, "content": content}


def _in_order(parts: list[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: not isinstance(part, ToolResult))


def _is_blank(part: Part) -> bool:
    return isinstance(part, Text) and not part.text.strip()


def _block(part: Part, place: str) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "text": text}
        case Media():
            return _media(part, place)
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": id, "name": name, "input": _input(arguments, place)}
        case ToolResult(call_id, results, is_error):
            content = [_block(result, place) for result in results if not _is_blank(result)]
            error = {"is_error": True} if is_error else {}
            return {"type": "tool_result", "tool_use_id": call_id, "content": content, **error}


def _input(arguments: str, place: str) -> Raw:
    """The arguments of a call, in the spelling that the model gave them."""
    text = Raw(arguments.strip().encode() or b"{}")
    if object_of(text) is None:
        raise Uncarried(place, "the arguments of a tool call are no JSON object")
    return text


def _media(media: Media, place: str) -> dict[str, Any]:
    if media.kind == "image":
        return {"type": "image", "source": _image_source(media, place)}
    if media.kind == "document":
        title = {"title": media.name} if media.name is not None else {}
        return {"type": "document", "source": _document_source(media, place), **title}
    raise Uncarried(place, f"Anthropic's API takes images and documents, not the kind {media.kind!r}")


def _image_source(media: Media, place: str) -> dict[str, Any]:
    if media.url is not None:
        return {"type": "url", "url": media.url}
    if media.media_type not in _IMAGES:
        raise Uncarried(place, f"Anthropic's API takes images as {', '.join(_IMAGES)}, not {media.media_type!r}")
    return {"type": "base64", "media_type": media.media_type, "data": media.data or ""}


def _document_source(media: Media, place: str) -> dict[str, Any]:
    if media.media_type == "text/plain" and media.data is not None:
        return {"type": "text", "media_type": "text/plain", "data": _decoded(media.data, place)}
    if media.media_type not in (None, "application/pdf"):
        raise Uncarried(place, f"Anthropic's API takes documents as PDF or plain text, not {media.media_type!r}")
    if media.url is not None:
        return {"type": "url", "url": media.url}
    return {"type": "base64", "media_type": "application/pdf", "data": media.data or ""}


def _decoded(data: str, place: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except ValueError:
        raise Uncarried(place, "a plain text document is no text in UTF-8") from None


def _tool(tool: Tool) -> dict[str, Any]:
    description = {"description": tool.description} if tool.description is not None else {}
    strict = {"strict": tool.strict} if tool.strict is not None else {}
    schema = tool.parameters if tool.parameters is not None else _NO_PARAMETERS
    return {"name": tool.name, **description, "input_schema": schema, **strict}


def _tool_choice(conversation: Conversation) -> dict[str, Any] | None:
    """How tools are chosen; whether several at once is a part of that here, and nothing of it is said without tools."""
    choice, is_parallel = conversation.tool_choice, conversation.parallel_tools
    if not conversation.tools or (choice is None and is_parallel is None):
        return None
    parallel = {} if is_parallel is None else {"disable_parallel_tool_use": not is_parallel}
    match choice:
        case Named(name):
            return {"type": "tool", "name": name, **parallel}
        case Choice.NONE:
            return {"type": "none"}
        case Choice.REQUIRED:
            return {"type": "any", **parallel}
        case Choice.AUTO | None:
            return {"type": "auto", **parallel}


def _thinking(conversation: Conversation) -> dict[str, Any] | None:
    budget, effort = conversation.thinking_tokens, conversation.effort
    if effort == "none" or budget == 0:
        return {"type": "disabled"}
    if budget is not None:
        # Nobody's thinking is carried here, and the API takes no results of a turn with a budget that has none.
        goes_on = any(isinstance(part, ToolResult) for turn in conversation.turns[-1:] for part in turn.parts)
        return {"type": "disabled"} if goes_on else {"type": "enabled", "budget_tokens": budget}
    return {"type": "adaptive"} if effort is not None else None


def _output_config(conversation: Conversation) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    effort = conversation.effort
    if effort not in (None, "none", *_EFFORTS):
        raise Uncarried("effort", f"Anthropic's API has {', '.join(_EFFORTS)}, not {effort!r}")
    if effort in _EFFORTS:
        found["effort"] = effort
    if conversation.format is not None:
        found["format"] = {"type": "json_schema", "schema": _schema(conversation.format)}
    return found or None


def _schema(format: JsonFormat) -> Mapping[str, object]:
    if format.schema is None:
        raise Uncarried("response_format", "Anthropic's API gives JSON of a schema, not just any JSON")
    return format.schema
