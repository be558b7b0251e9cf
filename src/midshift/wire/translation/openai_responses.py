"""OpenAI Responses, to and from the neutral form: requests and whole answers.

A request has to say `store: false`: without it the app may ask for the answer by its id, or go on from it with
`previous_response_id` or an item reference, and another wire keeps nothing. Left out, because they cannot change what
an answer says: labels, hints for caches, the class of service, `reasoning.summary`, earlier reasoning items (nobody
else can read them), and what `include` asks for beside log probabilities. Everything else that is not carried is
refused by name, the built-in tools among it.

Responses are strict about the schema of a function where nothing is said and the schema allows it, chat completions are
not (strict_schemas): what is written always says which. `include: [reasoning.encrypted_content]` is not asked for,
because no other wire could hand it back. The ids of what is written hold `MADE_HERE`, so that they are known again.
Elsewhere: streams (openai_responses_stream), that mark (wire.openai_responses_request).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from midshift.wire import json_object as json
from midshift.wire import openai_responses as wire
from midshift.wire.openai_responses_request import PATH, ResponsesRequest
from midshift.wire.protocol import Sent, Unreadable
from midshift.wire.translation import openai_parts as parts
from midshift.wire.translation import openai_responses_items as items
from midshift.wire.translation.conversation import (
    Choice,
    Conversation,
    JsonFormat,
    Media,
    Named,
    Reply,
    Role,
    Stop,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Uncarried,
)
from midshift.wire.translation.openai_responses_stream import ResponsesReader, ResponsesWriter
from midshift.wire.translation.strict_schemas import is_strict

_CARRIED = frozenset(
    "model input instructions tools tool_choice parallel_tool_calls text max_output_tokens temperature top_p"
    " reasoning user safety_identifier stream store".split()
)
_HARMLESS: Mapping[str, tuple[object, ...]] = {
    "background": (False,),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
    "context_management": ([],),
}
_LEFT_OUT = parts.LABELS | {"include", "max_tool_calls"}
_LOG_PROBABILITIES = "message.output_text.logprobs"
_UNSAID: Mapping[str, tuple[object, ...]] = {
    "stop": ((),),
    "seed": (None,),
    "top_k": (None,),
    "thinking_tokens": (None,),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
}
"""What a neutral request may say and a response has no field for, with the values that say nothing."""

_encoder = msgspec.json.Encoder()


def read_request(body: bytes, path: str = PATH, query: str = "") -> Conversation:
    """See `Translation`."""
    request = ResponsesRequest(body)
    found = json.read_values(body)
    _refuse(found)
    system, said = items.without_system(_read_items(found.get("input")))
    instructions = parts.text_in(found, "instructions")
    texts = [*([] if instructions is None else [instructions]), *system]
    reasoning, text = parts.mapping(found.get("reasoning")), parts.mapping(found.get("text"))
    return Conversation(
        model=request.model,
        turns=tuple(items.turns(said)),
        system="\n".join(texts) if texts else None,
        tools=tuple(_tool(tool, f"tools.{at}.") for at, tool in enumerate(parts.listed(found.get("tools"), "tools"))),
        tool_choice=_choice(found.get("tool_choice")),
        parallel_tools=parts.flag_in(found, "parallel_tool_calls"),
        format=_format(parts.object_in(text, "format", "text.") or {}),
        max_tokens=parts.whole_in(found, "max_output_tokens"),
        temperature=parts.number_in(found, "temperature"),
        top_p=parts.number_in(found, "top_p"),
        effort=parts.text_in(reasoning, "effort", "reasoning."),
        user=parts.text_in(found, "user" if found.get("user") is not None else "safety_identifier"),
        stream=request.stream,
    )


def write_request(conversation: Conversation) -> Sent:
    """See `Translation`."""
    for name, unsaid in _UNSAID.items():
        if getattr(conversation, name) not in unsaid:
            raise Uncarried(name, "responses have no such field")
    choice, format_ = conversation.tool_choice, _written_format(conversation.format)
    fields = {
        "model": conversation.model,
        "instructions": conversation.system,
        "input": [item for at, turn in enumerate(conversation.turns) for item in _written_turn(turn, f"turns.{at}")],
        "tools": [_written_tool(tool) for tool in conversation.tools] or None,
        "tool_choice": {"type": "function", "name": choice.name} if isinstance(choice, Named) else choice,
        "parallel_tool_calls": conversation.parallel_tools,
        "text": None if format_ is None else {"format": format_},
        "max_output_tokens": conversation.max_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "reasoning": None if conversation.effort is None else {"effort": conversation.effort},
        "user": conversation.user,
        "store": False,
        "stream": conversation.stream or None,
    }
    return Sent(PATH, _encoder.encode({name: value for name, value in fields.items() if value is not None}))


def read_reply(body: bytes) -> Reply | None:
    """See `Translation`. What built-in tools did is not among it: no request that is carried asks for them."""
    found = parts.decoded(body) or {}
    if not isinstance(found.get("output"), list) or found.get("error") is not None or found.get("status") == "failed":
        return None
    output = parts.objects(found["output"])
    said = tuple(items.said_in(output))
    has_calls = any(isinstance(part, ToolCall) for part in said)
    stop = items.stop_of(found.get("status"), found.get("incomplete_details"), has_calls)
    return Reply(
        id=items.own_id(found.get("id")),
        model=parts.text(found.get("model")) or "",
        parts=said,
        stop=Stop.REFUSED if items.is_refusal(output) else stop,
        usage=wire.usage_in(found),
        thinking=items.thinking_in(output),
    )


def write_reply(reply: Reply) -> bytes:
    """See `Translation`. `created_at` is not known and is 0."""
    status = items.status_of(reply.stop)
    output: list[dict[str, Any]] = []
    if reply.thinking is not None:
        output.append(items.reasoning_item(items.item_id("rs", reply.id, 0), reply.thinking))
    texts = [items.text_part(part.text) for part in reply.parts if isinstance(part, Text)]
    if texts or not any(isinstance(part, ToolCall) for part in reply.parts):
        output.append(items.message_item(items.item_id("msg", reply.id, len(output)), texts, status))
    for part in reply.parts:
        if isinstance(part, ToolCall):
            output.append(items.call_item(items.item_id("fc", reply.id, len(output)), part, status))
    return _encoder.encode(items.response(reply.id, reply.model, 0, status, output, reply.stop, reply.usage))


def reader() -> ResponsesReader:
    """See `Translation`."""
    return ResponsesReader()


def writer(include_usage: bool = True, created: int = 0) -> ResponsesWriter:
    """See `Translation`. Usage always comes on this wire."""
    return ResponsesWriter(created)


def _refuse(found: Mapping[str, Any]) -> None:
    if found.get("store") is not False:
        raise Uncarried("store", "the app may ask for this answer by its id later, so send store: false")
    for name, harmless in _HARMLESS.items():
        parts.only(found, name, harmless)
    include = found.get("include")
    if isinstance(include, list) and _LOG_PROBABILITIES in include:
        raise Uncarried("include", "no other wire has log probabilities in this form")
    parts.known(found, _CARRIED | _LEFT_OUT | _HARMLESS.keys())
    reasoning, text = parts.object_in(found, "reasoning") or {}, parts.object_in(found, "text") or {}
    parts.only(reasoning, "context", ("auto",), "reasoning.")
    parts.only(reasoning, "mode", ("standard",), "reasoning.")
    parts.known(reasoning, ("effort", "summary", "generate_summary", "context", "mode"), "reasoning.")
    parts.only(text, "verbosity", ("medium",), "text.")
    parts.known(text, ("format", "verbosity"), "text.")


def _read_items(found: object) -> list[Mapping[str, Any]]:
    if isinstance(found, str):
        return [{"role": "user", "content": found}]
    return parts.listed(found, "input")


def _tool(tool: Mapping[str, Any], place: str) -> Tool:
    if tool.get("type") != "function":
        raise Uncarried(f"{place}type", "only functions can be carried")
    parts.only(tool, "defer_loading", (False,), place)
    parts.only(tool, "async", (False,), place)
    parts.only(tool, "allowed_callers", ([], ["direct"]), place)
    said = ("type", "name", "description", "parameters", "strict", "defer_loading", "async", "allowed_callers")
    parts.known(tool, said, place)
    name = parts.text(tool.get("name"))
    if name is None:
        raise Unreadable(f"'{place}name' must be a name", f"{place}name")
    description = parts.text_in(tool, "description", place)
    schema, strict = parts.object_in(tool, "parameters", place), parts.flag_in(tool, "strict", place)
    return Tool(name, description, schema, True if strict is None and is_strict(schema) else strict)


def _choice(choice: object) -> Choice | Named | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return Choice(choice)
        case {"type": "function", "name": str(name)}:
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
            parts.known(format_, ("type", "name", "schema", "strict"), "text.format.")
            name, strict = (
                parts.text_in(format_, "name", "text.format."),
                parts.flag_in(format_, "strict", "text.format."),
            )
            return JsonFormat(parts.object_in(format_, "schema", "text.format.") or {}, name, strict)
        case other:
            raise Uncarried("text.format.type", f"no other wire has the format {other!r}")


def _written_format(format_: JsonFormat | None) -> dict[str, Any] | None:
    if format_ is None:
        return None
    if format_.schema is None:
        return {"type": "json_object"}
    strict = {} if format_.strict is None else {"strict": format_.strict}
    return {"type": "json_schema", "name": format_.name or "answer", "schema": format_.schema, **strict}


def _written_tool(tool: Tool) -> dict[str, Any]:
    described = {} if tool.description is None else {"description": tool.description}
    return {
        "type": "function",
        "name": tool.name,
        **described,
        "parameters": tool.parameters,
        "strict": tool.strict is True,
    }


def _written_turn(turn: Turn, place: str) -> Iterator[dict[str, Any]]:
    """The items of a turn, in its order; words and media that stand together are one message."""
    spoken: list[Text | Media] = []
    for part in turn.parts:
        if isinstance(part, Text | Media):
            spoken.append(part)
            continue
        yield from _written_message(turn.role, spoken, place)
        spoken = []
        yield _written_call(part) if isinstance(part, ToolCall) else _written_result(part, place)
    yield from _written_message(turn.role, spoken, place, is_empty=not turn.parts)


def _written_message(
    role: Role, spoken: Iterable[Text | Media], place: str, is_empty: bool = False
) -> Iterator[dict[str, Any]]:
    match list(spoken):
        case []:
            if is_empty:
                yield {"role": role, "content": ""}
        case [Text(text)]:
            yield {"role": role, "content": text}
        case several if role is Role.USER:
            yield {"role": role, "content": [items.written_part(part, place) for part in several]}
        case several:
            if not all(isinstance(part, Text) for part in several):
                raise Uncarried(place, "an assistant says text here")
            texts = [{"type": "output_text", "text": part.text} for part in several if isinstance(part, Text)]
            yield {"role": role, "content": texts}


def _written_call(call: ToolCall) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def _written_result(result: ToolResult, place: str) -> dict[str, Any]:
    output: str | list[dict[str, Any]]
    if all(isinstance(part, Text) for part in result.parts):
        output = parts.result_text(result.parts, result.is_error, place)
    else:
        mark = [{"type": "input_text", "text": "Error:"}] if result.is_error else []
        output = [*mark, *(items.written_part(part, place) for part in result.parts)]
    return {"type": "function_call_output", "call_id": result.call_id, "output": output}
