"""A whole answer of chat completions, to and from the neutral form.

A refusal is read as text and as `Stop.REFUSED`. An answer with calls that ended well is read as `Stop.TOOL_CALLS`:
where the app names the function OpenAI says `stop`, and some servers always do. Thinking is `reasoning_content`, which
OpenAI's own models do not send and many servers of this format do; clients that do not know it skip it.
Elsewhere: requests (openai_chat), streams (openai_chat_stream), the words that both share (openai_chat_words).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from midshift.domain.usage import Usage
from midshift.wire import usage as usage_of
from midshift.wire.openai_chat import text_of
from midshift.wire.protocol import Unreadable
from midshift.wire.translation import openai_parts as parts
from midshift.wire.translation.conversation import Reply, Stop, Text, ToolCall
from midshift.wire.translation.openai_chat_words import FINISH, STOPS, thinking_in, usage_fields

_encoder = msgspec.json.Encoder()


def read_reply(body: bytes) -> Reply | None:
    """See `Translation`. Of several choices, the first."""
    found = parts.decoded(body) or {}
    choices = parts.objects(found.get("choices"))
    if not choices or found.get("error") is not None:
        return None
    message = parts.mapping(choices[0].get("message"))
    said, refusal = text_of(message.get("content")), parts.text(message.get("refusal"))
    texts = [Text(text) for text in (said, refusal) if text]
    try:
        calls = tuple(_called(message, parts.text(found.get("id")) or ""))
    except Unreadable:
        return None
    stop = STOPS.get(str(choices[0].get("finish_reason")))
    return Reply(
        id=parts.text(found.get("id")) or "",
        model=parts.text(found.get("model")) or "",
        parts=(*texts, *calls),
        stop=Stop.REFUSED if refusal else Stop.TOOL_CALLS if calls and stop is Stop.END else stop,
        usage=usage_of.openai_chat(found.get("usage"), found.get("service_tier")),
        thinking=thinking_in(message),
    )


def write_reply(reply: Reply) -> bytes:
    """See `Translation`. `created` is not known and is 0."""
    calls = [written_call(part) for part in reply.parts if isinstance(part, ToolCall)]
    said = "".join(part.text for part in reply.parts if isinstance(part, Text))
    message: dict[str, Any] = {"role": "assistant", "content": said or (None if calls else ""), "refusal": None}
    if reply.thinking is not None:
        message["reasoning_content"] = reply.thinking
    if calls:
        message["tool_calls"] = calls
    finish = None if reply.stop is None else FINISH[reply.stop]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    head = {"id": reply.id, "object": "chat.completion", "created": 0, "model": reply.model, "choices": [choice]}
    return _encoder.encode({**head, **_usage(reply.usage)})


def written_call(call: ToolCall) -> dict[str, Any]:
    """A call, as messages have it in both directions."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _called(message: Mapping[str, Any], answer_id: str) -> Iterator[ToolCall]:
    """The calls of an answer. Some servers give no id, or arguments as an object instead of its JSON, or as null."""
    for at, call in enumerate(parts.listed(message.get("tool_calls"), "tool_calls")):
        function = parts.mapping(call.get("function"))
        name, arguments = parts.text(function.get("name")), function.get("arguments")
        if not name or not isinstance(arguments, str | dict | None):
            raise Unreadable("a call must name a function, with its arguments", f"tool_calls.{at}")
        made = "_".join(part for part in ("call", answer_id, str(at)) if part)
        said = arguments if isinstance(arguments, str) else _encoder.encode(arguments or {}).decode()
        yield ToolCall(parts.text(call.get("id")) or made, name, said)


def _usage(usage: Usage) -> dict[str, Any]:
    fields = usage_fields(usage)
    return parts.tier_of(usage) | ({} if fields is None else {"usage": fields})
