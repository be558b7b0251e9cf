"""The tool calls of an answer or of a stream, in one form for all wires, for the record of pairs.

Elsewhere: the text and the usage of an answer (each wire), how tool calls changed (shadow).
"""

from __future__ import annotations

import msgspec

from midshift.wire.protocol import Answer, WireName
from midshift.wire.translation.conversation import ToolBegan, ToolCall, ToolDelta
from midshift.wire.translation.translate import TRANSLATIONS, UNFORESEEN

_encoder = msgspec.json.Encoder()


def tool_calls(answer: Answer, wire: WireName, body: bytes, streamed: bool) -> str | None:
    """A JSON list of `{"name", "arguments"}` in the order of the calls; None where there is none that can be read.

    `answer` is what was read of `body` before: most call nothing, and whoever read them has seen it.

    `arguments` is the text that the model wrote, which need not be JSON. Ids are left out: they are new every time.
    """
    if not answer.may_call or not _may_call(body):
        return None
    try:
        calls = _streamed(wire, body) if streamed else _whole(wire, body)
    except UNFORESEEN:
        return None
    listed = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return _encoder.encode(listed).decode() if listed else None


def _may_call(body: bytes) -> bool:
    """Whether to look closer: all wires name a call by one of these words, whose letters JSON may spell as escapes."""
    return b"tool" in body or b"function" in body or b"\\u006" in body or b"\\u007" in body


def _whole(wire: WireName, body: bytes) -> list[tuple[str, str]]:
    reply = TRANSLATIONS[wire].read_reply(body)
    parts = reply.parts if reply is not None else ()
    return [(part.name, part.arguments) for part in parts if isinstance(part, ToolCall)]


def _streamed(wire: WireName, body: bytes) -> list[tuple[str, str]]:
    reader = TRANSLATIONS[wire].reader()
    names: dict[int, str] = {}
    arguments: dict[int, list[str]] = {}
    for event in (*reader.feed(body), *reader.end()):
        match event:
            case ToolBegan(index=index, name=name):
                names[index] = name
            case ToolDelta(index=index, arguments=more):
                arguments.setdefault(index, []).append(more)
            case _:
                pass
    return [(name, "".join(arguments.get(index, []))) for index, name in names.items()]
