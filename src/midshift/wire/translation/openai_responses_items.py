"""The items of the Responses wire: those of an input as turns, those of an output as words and calls, and back.

Elsewhere: the fields around them (openai_responses of this package), their events (openai_responses_stream).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from midshift.domain.usage import Usage
from midshift.wire.openai_responses import finish_reason
from midshift.wire.openai_responses_request import MADE_HERE
from midshift.wire.protocol import Unreadable
from midshift.wire.translation import openai_parts as parts
from midshift.wire.translation.conversation import (
    Media,
    Part,
    Role,
    Stop,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Uncarried,
)

_STOPS = MappingProxyType(
    {
        "stop": Stop.END,
        "tool_calls": Stop.TOOL_CALLS,
        "length": Stop.LENGTH,
        "content_filter": Stop.REFUSED,
    }
)
_REASONS = MappingProxyType(
    {Stop.LENGTH: "max_output_tokens", Stop.CONTEXT: "max_output_tokens", Stop.REFUSED: "content_filter"}
)
Placed: TypeAlias = tuple[str, Mapping[str, Any]]
"""Where an item stands in the input, and the item."""

_RESPONSE_ID = f"resp{MADE_HERE}"


def without_system(found: list[Mapping[str, Any]]) -> tuple[list[str], list[Placed]]:
    """The texts of the leading system items, and the items from there on, each after its place in the input.

    Raises:
        Uncarried: for a system item that is not text.
    """
    placed = [(f"input.{at}.", item) for at, item in enumerate(found)]
    leading = next((at for at, item in enumerate(found) if not _is_system(item)), len(found))
    return [_system_text(place, item) for place, item in placed[:leading]], placed[leading:]


def turns(found: Iterable[Placed]) -> Iterator[Turn]:
    """Items as turns: what an assistant said and called in one go is one, and so are the answers to its calls.

    Raises:
        Uncarried: for an item that no other wire has.
        Unreadable: for one that is not well formed.
    """
    role, said, is_open = Role.USER, list[Part](), False
    for place, item in found:
        speaker, added, joins = _spoken(place, item)
        if speaker is None:
            continue
        if is_open and (speaker is not role or not joins or (role is Role.USER and not _are_results(said))):
            yield Turn(role, tuple(said))
            said = []
        role, is_open = speaker, True
        said.extend(added)
    if is_open:
        yield Turn(role, tuple(said))


def said_in(output: Iterable[Mapping[str, Any]]) -> Iterator[Text | ToolCall]:
    """Words, refusals and calls of an output."""
    for item in output:
        match item:
            case {"type": "message"}:
                for part in parts.objects(item.get("content")):
                    if text := parts.text(part.get("text")) or parts.text(part.get("refusal")):
                        yield Text(text)
            case {"type": "function_call", "call_id": str(id_), "name": str(name), "arguments": str(arguments)}:
                yield ToolCall(id_, name, arguments)


def is_refusal(output: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the model refuses."""
    return any(part.get("type") == "refusal" for item in output for part in parts.objects(item.get("content")))


def thinking_in(output: Iterable[Mapping[str, Any]]) -> str | None:
    """The reasoning that an output shows: its summaries, or the text itself where a server sends it."""
    reasoning = [item for item in output if item.get("type") == "reasoning"]
    shown = [part for item in reasoning for name in ("summary", "content") for part in parts.objects(item.get(name))]
    texts = [text for part in shown if (text := parts.text(part.get("text")))]
    return "\n\n".join(texts) if texts else None


def stop_of(status: object, incomplete_details: object, has_calls: bool) -> Stop | None:
    """Why an answer is over; None where it does not say."""
    return _STOPS.get(finish_reason(status, incomplete_details, has_calls) or "")


def status_of(stop: Stop | None) -> str:
    """The status of a response; one that does not say why it stopped is incomplete, for no reason."""
    return "incomplete" if stop is None or stop in _REASONS else "completed"


def response(
    id_: str, model: str, created: int, status: str, output: list[dict[str, Any]], stop: Stop | None, usage: Usage
) -> dict[str, Any]:
    """A response with all the fields that clients expect; of the request it repeats nothing."""
    reason = None if stop is None else _REASONS.get(stop)
    return {
        "id": id_ if id_.startswith("resp_") else f"{_RESPONSE_ID}{id_}",
        "object": "response",
        "created_at": created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reason} if reason is not None else None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "store": False,
        "usage": _usage(usage),
        **parts.tier_of(usage),
    }


def own_id(id_: object) -> str:
    """The id that a provider gave, without the mark of a response that was made here."""
    return (parts.text(id_) or "").removeprefix(_RESPONSE_ID)


def item_id(kind: str, response_id: str, at: int) -> str:
    """The id of an item that no provider made: known again by its mark."""
    return f"{kind}{MADE_HERE}{response_id}_{at}"


def text_part(text: str) -> dict[str, Any]:
    """Words of an output."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message_item(id_: str, content: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """A message of an output."""
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}


def reasoning_item(id_: str, thinking: str) -> dict[str, Any]:
    """The reasoning of an output, as its summary: it cannot be handed back to a model."""
    return {"id": id_, "type": "reasoning", "summary": [{"type": "summary_text", "text": thinking}]}


def call_item(id_: str, call: ToolCall, status: str) -> dict[str, Any]:
    """A call of an output."""
    called = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
    return {"id": id_, "type": "function_call", "status": status, **called}


def written_part(part: Text | Media, place: str) -> dict[str, Any]:
    """A part of an input.

    Raises:
        Uncarried: for audio, and for data of an unknown type.
    """
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Media(kind=parts.IMAGE):
            return {"type": "input_image", "image_url": parts.media_url(part, place), "detail": "auto"}
        case Media(kind=parts.DOCUMENT):
            named = {} if part.name is None else {"filename": part.name}
            field = "file_data" if part.url is None else "file_url"
            return {"type": "input_file", field: parts.media_url(part, place), **named}
        case _:
            raise Uncarried(place, f"responses take no {part.kind}")


def _usage(usage: Usage) -> dict[str, Any] | None:
    """The field `usage`; None if a total is not known.

    Three counts within are numbers in the types of OpenAI's client, and an answer without one is none to it: there the
    unknown is 0. What is recorded is read from the provider's own answer.
    """
    if usage.tokens_in is None or usage.tokens_out is None:
        return None
    return {
        "input_tokens": usage.tokens_in,
        "input_tokens_details": parts.details(
            cached_tokens=usage.cached_in or 0,
            cache_write_tokens=usage.cache_write_in or 0,
            audio_tokens=usage.audio_in,
        ),
        "output_tokens": usage.tokens_out,
        "output_tokens_details": parts.details(reasoning_tokens=usage.reasoning_out or 0, audio_tokens=usage.audio_out),
        "total_tokens": usage.tokens_in + usage.tokens_out,
    }


def _is_system(item: Mapping[str, Any]) -> bool:
    return item.get("type", "message") == "message" and item.get("role") in ("system", "developer")


def _are_results(said: list[Part]) -> bool:
    return all(isinstance(part, ToolResult) for part in said)


def _spoken(place: str, item: Mapping[str, Any]) -> tuple[Role | None, tuple[Part, ...], bool]:
    """Who says what in an item, and whether it goes on with what the same speaker said before."""
    match item.get("type", "message"):
        case "message" if item.get("role") == "user":
            return Role.USER, _content(item, place), False
        case "message" if item.get("role") == "assistant":
            return Role.ASSISTANT, _content(item, place), True
        case "function_call":
            return Role.ASSISTANT, (_call(item, place),), True
        case "function_call_output":
            return Role.USER, (_result(item, place),), True
        case "reasoning":
            return None, (), True
        case "message":
            raise Uncarried(f"{place}role", "a system message after the leading ones has no place on other wires")
        case other:
            raise Uncarried(f"{place}type", f"no other wire has items of type {other!r}")


def _content(item: Mapping[str, Any], place: str) -> tuple[Text | Media, ...]:
    parts.known(item, ("type", "role", "content", "id", "status", "phase"), place)
    return _parts(item.get("content"), f"{place}content")


def _system_text(place: str, item: Mapping[str, Any]) -> str:
    said = _content(item, place)
    if not all(isinstance(part, Text) for part in said):
        raise Uncarried(f"{place}content", "a system prompt is text")
    return "\n".join(part.text for part in said if isinstance(part, Text))


def _call(item: Mapping[str, Any], place: str) -> ToolCall:
    parts.only(item, "caller", ({"type": "direct"},), place)
    parts.known(item, ("type", "id", "status", "call_id", "name", "arguments", "caller"), place)
    match item:
        case {"call_id": str(id_), "name": str(name), "arguments": str(arguments)}:
            return ToolCall(id_, name, arguments)
        case _:
            raise Unreadable(f"'{place}call_id', name and arguments must be texts", f"{place}call_id")


def _result(item: Mapping[str, Any], place: str) -> ToolResult:
    parts.only(item, "caller", ({"type": "direct"},), place)
    parts.known(item, ("type", "id", "status", "call_id", "name", "output", "caller"), place)
    id_ = parts.text(item.get("call_id"))
    if id_ is None:
        raise Unreadable(f"'{place}call_id' must be the id of a call", f"{place}call_id")
    return ToolResult(id_, _parts(item.get("output"), f"{place}output"), name=parts.text(item.get("name")))


def _parts(content: object, place: str) -> tuple[Text | Media, ...]:
    match content:
        case None | "":
            return ()
        case str():
            return (Text(content),)
        case _:
            return tuple(_part(part, f"{place}.{at}") for at, part in enumerate(parts.listed(content, place)))


def _part(part: Mapping[str, Any], place: str) -> Text | Media:
    match part:
        case {"type": "input_text" | "output_text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return Text(text)
        case {"type": "input_image", "image_url": str(url)}:
            parts.only(part, "detail", ("auto",), f"{place}.")
            return parts.media_at(parts.IMAGE, url, f"{place}.image_url")
        case {"type": "input_file"}:
            parts.only(part, "file_id", (), f"{place}.")
            parts.only(part, "detail", ("auto",), f"{place}.")
            name, data = parts.text(part.get("filename")), part.get("file_data")
            if data is not None:
                return parts.file_of(data, f"{place}.file_data", name)
            return parts.media_at(parts.DOCUMENT, part.get("file_url"), f"{place}.file_url", name)
        case {"type": "input_audio"}:
            return parts.sound_of(part, f"{place}.input_audio")
        case _:
            raise Uncarried(f"{place}.type", f"no other wire has parts of type {part.get('type')!r} in this form")
