"""How long the texts of a request are, whatever wire it is written on: what tells a tokenizer from a longer prompt.

Counted are Unicode code points of what a model reads as words: instructions, messages, tool calls and results, and the
names, descriptions and schemas of tools. The wire's own JSON is not, so the same conversation is equally long on every
wire. A request with an image, a sound or a file has no length: its tokens are not those of a text.
Elsewhere: the cost of it (domain.cost_split), the length of an answer (providers.paid.buyer).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from midshift.wire.protocol import Sent, Unreadable, WireName
from midshift.wire.translation.conversation import Conversation, Media, Part, Text, Tool, ToolCall, Uncarried
from midshift.wire.translation.translate import TRANSLATIONS

_TEXTS = frozenset(
    "model max_tokens messages system tools instructions input contents systemInstruction system_instruction".split()
)
"""What a text can be in, and what a request needs to be one; any other field need not be understood."""


def of_request(wire: WireName, sent: Sent) -> int | None:
    """The length of a request's texts; None if not all of it is text that can be read."""
    target, _, query = sent.target.partition("?")
    fields = msgspec.json.decode(sent.body, type=dict[str, Any])
    body = msgspec.json.encode({name: value for name, value in fields.items() if name in _TEXTS})
    try:
        return of_conversation(TRANSLATIONS[wire].read_request(body, target, query))
    except (Unreadable, Uncarried):
        return None


def of_conversation(conversation: Conversation) -> int | None:
    """The length of a conversation; None if not all of it is text."""
    lengths = [len(conversation.system or ""), *map(_of_tool, conversation.tools)]
    lengths += _lengths(part for turn in conversation.turns for part in turn.parts)
    return None if -1 in lengths else sum(lengths)


def _lengths(parts: Iterable[Part]) -> Iterator[int]:
    """One for each part; -1 for what is no text."""
    for part in parts:
        match part:
            case Text(text):
                yield len(text)
            case ToolCall(_, name, arguments):
                yield len(name) + len(arguments)
            case Media():
                yield -1
            case _:
                yield from _lengths(part.parts)


def _of_tool(tool: Tool) -> int:
    schema = "" if tool.parameters is None else msgspec.json.encode(tool.parameters).decode()
    return len(tool.name) + len(tool.description or "") + len(schema)
