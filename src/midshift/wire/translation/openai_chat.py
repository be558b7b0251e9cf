"""Chat completions, to and from the neutral form: requests.

Left out, because they cannot change what an answer says: `metadata`, `store`, the prompt cache's fields,
`service_tier`, `stream_options`. Refused by name, unless they say what holds without them: `n`, `logprobs`,
`logit_bias`, audio, `prediction`, `web_search_options`, custom tools, the old `functions`, a `name` of a speaker, an
image's `detail`, a system message after the leading ones, and every field that is not known here.

Elsewhere: whole answers (openai_chat_replies), streams (openai_chat_stream).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from midshift.wire import json_object as json
from midshift.wire import openai_chat_request as wire
from midshift.wire.protocol import Sent, Unreadable
from midshift.wire.translation import openai_parts as parts
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
from midshift.wire.translation.openai_chat_replies import read_reply as read_reply
from midshift.wire.translation.openai_chat_replies import write_reply as write_reply
from midshift.wire.translation.openai_chat_replies import written_call
from midshift.wire.translation.openai_chat_stream import ChatReader, ChatWriter

_CARRIED = frozenset(
    "model messages tools tool_choice parallel_tool_calls response_format max_completion_tokens max_tokens temperature"
    " top_p top_k stop seed frequency_penalty presence_penalty reasoning_effort user safety_identifier stream".split()
)
_HARMLESS: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "functions": ([],),
}
_LEFT_OUT = parts.LABELS | {"store"}
_IN_MESSAGE = ("role", "content", "tool_calls", "tool_call_id", "refusal", "reasoning_content", "reasoning")

_encoder = msgspec.json.Encoder()


def read_request(body: bytes, path: str = wire.PATH, query: str = "") -> Conversation:
    """See `Translation`."""
    request = wire.ChatRequest(body)
    found = json.read_values(body)
    for name, harmless in _HARMLESS.items():
        parts.only(found, name, harmless)
    parts.known(found, _CARRIED | _LEFT_OUT | _HARMLESS.keys())
    system, messages = _split(found["messages"])
    return Conversation(
        model=request.model,
        turns=tuple(_turns(messages, at=len(found["messages"]) - len(messages))),
        system=system,
        tools=tuple(_tool(tool, f"tools.{at}.") for at, tool in enumerate(parts.listed(found.get("tools"), "tools"))),
        tool_choice=_choice(found.get("tool_choice")),
        parallel_tools=parts.flag_in(found, "parallel_tool_calls"),
        format=_format(parts.object_in(found, "response_format") or {}),
        max_tokens=parts.whole_in(found, _said_first(found, "max_completion_tokens", "max_tokens")),
        temperature=parts.number_in(found, "temperature"),
        top_p=parts.number_in(found, "top_p"),
        top_k=parts.whole_in(found, "top_k"),
        stop=_stops(found.get("stop")),
        seed=parts.whole_in(found, "seed"),
        frequency_penalty=parts.number_in(found, "frequency_penalty"),
        presence_penalty=parts.number_in(found, "presence_penalty"),
        effort=parts.text_in(found, "reasoning_effort"),
        user=parts.text_in(found, _said_first(found, "user", "safety_identifier")),
        stream=request.stream,
    )


def write_request(conversation: Conversation) -> Sent:
    """See `Translation`. The limit is `max_completion_tokens`, which servers other than OpenAI's may not know."""
    if conversation.top_k is not None:
        raise Uncarried("top_k", "chat completions have no such field")
    if conversation.thinking_tokens is not None:
        raise Uncarried("thinking_tokens", "chat completions have an effort and no budget")
    choice = conversation.tool_choice
    fields = {
        "model": conversation.model,
        "messages": list(_messages(conversation)),
        "tools": [_written_tool(tool) for tool in conversation.tools] or None,
        "tool_choice": {"type": "function", "function": {"name": choice.name}} if isinstance(choice, Named) else choice,
        "parallel_tool_calls": conversation.parallel_tools,
        "response_format": _written_format(conversation.format),
        "max_completion_tokens": conversation.max_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "stop": list(conversation.stop) or None,
        "seed": conversation.seed,
        "frequency_penalty": conversation.frequency_penalty,
        "presence_penalty": conversation.presence_penalty,
        "reasoning_effort": conversation.effort,
        "user": conversation.user,
        "stream": conversation.stream or None,
    }
    said = {name: value for name, value in fields.items() if value is not None}
    return Sent(wire.PATH, _encoder.encode(said))


def reader() -> ChatReader:
    """See `Translation`."""
    return ChatReader()


def writer(include_usage: bool = True, created: int = 0) -> ChatWriter:
    """See `Translation`."""
    return ChatWriter(include_usage, created)


def _split(messages: list[Any]) -> tuple[str | None, list[Mapping[str, Any]]]:
    """The text of the leading system messages, and the messages after them."""
    found = parts.listed(messages, "messages")
    leading = next((at for at, one in enumerate(found) if one.get("role") not in ("system", "developer")), len(found))
    texts = [_system_text(message, f"messages.{at}.") for at, message in enumerate(found[:leading])]
    return "\n".join(texts) if texts else None, found[leading:]


def _system_text(message: Mapping[str, Any], place: str) -> str:
    parts.known(message, ("role", "content"), place)
    read = _parts(message.get("content"), f"{place}content")
    if not all(isinstance(part, Text) for part in read):
        raise Uncarried(f"{place}content", "a system prompt is text")
    return "\n".join(part.text for part in read if isinstance(part, Text))


def _turns(messages: Iterable[Mapping[str, Any]], at: int) -> Iterator[Turn]:
    """Each message is a turn; the answers of tools that were called together are one."""
    results: list[ToolResult] = []
    names: dict[str, str] = {}
    for place, message in ((f"messages.{number}.", message) for number, message in enumerate(messages, start=at)):
        if message.get("role") == "tool":
            results.append(_result(message, names, place))
            continue
        if results:
            yield Turn(Role.USER, tuple(results))
            results = []
        turn = _turn(message, place)
        names |= {part.id: part.name for part in turn.parts if isinstance(part, ToolCall)}
        yield turn
    if results:
        yield Turn(Role.USER, tuple(results))


def _turn(message: Mapping[str, Any], place: str) -> Turn:
    match message.get("role"):
        case "user":
            parts.known(message, ("role", "content"), place)
            return Turn(Role.USER, _parts(message.get("content"), f"{place}content"))
        case "assistant":
            parts.only(message, "annotations", ([],), place)
            parts.known(message, (*_IN_MESSAGE, "annotations"), place)
            refusal = parts.text(message.get("refusal"))
            said = _parts(message.get("content"), f"{place}content")
            return Turn(Role.ASSISTANT, (*said, *([Text(refusal)] if refusal else []), *_calls(message, place)))
        case "system" | "developer":
            raise Uncarried(f"{place}role", "a system message after the leading ones has no place on other wires")
        case other:
            raise Uncarried(f"{place}role", f"no other wire has the role {other!r}")


def _result(message: Mapping[str, Any], names: Mapping[str, str], place: str) -> ToolResult:
    parts.known(message, ("role", "content", "tool_call_id", "name"), place)
    call = parts.text(message.get("tool_call_id"))
    if call is None:
        raise Unreadable(f"'{place}tool_call_id' must be the id of a tool call", f"{place}tool_call_id")
    said = tuple(part for part in _parts(message.get("content"), f"{place}content") if isinstance(part, Text | Media))
    return ToolResult(call, said, name=parts.text(message.get("name")) or names.get(call))


def _parts(content: object, place: str) -> tuple[Part, ...]:
    match content:
        case None | "":
            return ()
        case str():
            return (Text(content),)
        case list():
            return tuple(_part(part, f"{place}.{at}") for at, part in enumerate(parts.listed(content, place)))
        case _:
            raise Unreadable(f"{place!r} must be a text or a list of parts", place)


def _part(part: Mapping[str, Any], place: str) -> Part:
    match part:
        case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return Text(text)
        case {"type": "image_url", "image_url": dict(image)}:
            parts.only(image, "detail", ("auto",), f"{place}.image_url.")
            return parts.media_at(parts.IMAGE, image.get("url"), f"{place}.image_url.url")
        case {"type": "input_audio"}:
            return parts.sound_of(part, f"{place}.input_audio")
        case {"type": "file", "file": dict(file)}:
            parts.known(file, ("file_data", "filename"), f"{place}.file.")
            name = parts.text(file.get("filename"))
            return parts.file_of(file.get("file_data"), f"{place}.file.file_data", name)
        case _:
            raise Uncarried(f"{place}.type", f"no other wire has parts of type {part.get('type')!r}")


def _calls(message: Mapping[str, Any], place: str) -> Iterator[ToolCall]:
    for at, call in enumerate(parts.listed(message.get("tool_calls"), f"{place}tool_calls")):
        match call:
            case {"id": str(id_), "function": {"name": str(name), "arguments": str(arguments)}}:
                yield ToolCall(id_, name, arguments)
            case _:
                raise Uncarried(f"{place}tool_calls.{at}", "only calls of functions can be carried")


def _tool(tool: Mapping[str, Any], place: str) -> Tool:
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, dict):
        raise Uncarried(f"{place}type", "only functions can be carried")
    parts.known(function, ("name", "description", "parameters", "strict"), f"{place}function.")
    name = parts.text(function.get("name"))
    if name is None:
        raise Unreadable(f"'{place}function.name' must be a name", f"{place}function.name")
    inside = f"{place}function."
    return Tool(
        name,
        parts.text_in(function, "description", inside),
        parts.object_in(function, "parameters", inside),
        parts.flag_in(function, "strict", inside),
    )


def _choice(choice: object) -> Choice | Named | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return Choice(choice)
        case {"type": "function", "function": {"name": str(name)}}:
            return Named(name)
        case _:
            raise Uncarried("tool_choice", "only auto, none, required or one function can be carried")


def _format(format_: Mapping[str, Any]) -> JsonFormat | None:
    match format_.get("type"):
        case None | "text":
            return None
        case "json_object":
            return JsonFormat()
        case "json_schema":
            schema, place = parts.mapping(format_.get("json_schema")), "response_format.json_schema."
            parts.known(schema, ("name", "schema", "strict"), place)
            name, strict = parts.text_in(schema, "name", place), parts.flag_in(schema, "strict", place)
            return JsonFormat(parts.object_in(schema, "schema", place) or {}, name, strict)
        case other:
            raise Uncarried("response_format.type", f"no other wire has the format {other!r}")


def _stops(stop: object) -> tuple[str, ...]:
    match stop:
        case None:
            return ()
        case str():
            return (stop,)
        case list() if all(isinstance(one, str) for one in stop):
            return tuple(stop)
        case _:
            raise Unreadable("'stop' must be a text or a list of texts", "stop")


def _said_first(found: Mapping[str, Any], *names: str) -> str:
    return next((name for name in names if found.get(name) is not None), names[0])


def _messages(conversation: Conversation) -> Iterator[dict[str, Any]]:
    if conversation.system is not None:
        yield {"role": "system", "content": conversation.system}
    for at, turn in enumerate(conversation.turns):
        for part in turn.parts:
            if isinstance(part, ToolResult):
                said = parts.result_text(part.parts, part.is_error, f"turns.{at}")
                yield {"role": "tool", "tool_call_id": part.call_id, "content": said}
        spoken = [part for part in turn.parts if not isinstance(part, ToolResult)]
        if spoken or not turn.parts:
            yield _message(turn.role, spoken, f"turns.{at}")


def _message(role: Role, spoken: list[Text | Media | ToolCall], place: str) -> dict[str, Any]:
    """Calls come after the words, whatever their order was: a message keeps them apart."""
    calls = [written_call(part) for part in spoken if isinstance(part, ToolCall)]
    said = [part for part in spoken if not isinstance(part, ToolCall)]
    if role is Role.ASSISTANT and any(isinstance(part, Media) for part in said):
        raise Uncarried(place, "an assistant says text here")
    content = _written_content(said, place) if said or not calls else None
    return {"role": role, "content": content} | ({"tool_calls": calls} if calls else {})


def _written_content(said: list[Text | Media], place: str) -> str | list[dict[str, Any]]:
    match said:
        case []:
            return ""
        case [Text(text)]:
            return text
        case _:
            return [_written_part(part, place) for part in said]


def _written_part(part: Text | Media, place: str) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Media(kind=parts.IMAGE):
            return {"type": "image_url", "image_url": {"url": parts.media_url(part, place)}}
        case Media(kind=parts.AUDIO):
            return parts.sound_part(part, place)
        case Media(kind=parts.DOCUMENT, url=None):
            named = {} if part.name is None else {"filename": part.name}
            return {"type": "file", "file": {"file_data": parts.media_url(part, place), **named}}
        case _:
            raise Uncarried(place, f"chat completions have no {part.kind} by URL")


def _written_tool(tool: Tool) -> dict[str, Any]:
    fields = {"description": tool.description, "parameters": tool.parameters, "strict": tool.strict}
    said = {name: value for name, value in fields.items() if value is not None}
    return {"type": "function", "function": {"name": tool.name, **said}}


def _written_format(format_: JsonFormat | None) -> dict[str, Any] | None:
    if format_ is None:
        return None
    if format_.schema is None:
        return {"type": "json_object"}
    strict = {} if format_.strict is None else {"strict": format_.strict}
    schema = {"name": format_.name or "answer", "schema": format_.schema, **strict}
    return {"type": "json_schema", "json_schema": schema}
