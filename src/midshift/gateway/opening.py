"""Where the answer in a stream begins: before that, a candidate that fails can still be answered for.

On every wire something comes before the first word: a role, `message_start`, `response.created`, pings. A provider
that is overloaded often says so right after them. They are held until the first event with content, or an end, but not
for longer than `hold_s` from the first of them: a model may think for minutes, and its app should see that it is there.
Elsewhere: who answers instead (relay), what an error looks like (wire).
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from midshift.providers.http.messages import Call
from midshift.wire import sse
from midshift.wire.json_object import WRONG
from midshift.wire.protocol import WireName
from midshift.wire.wires import WIRES

LONGEST = 64 * 1024
FAILED = 502

_OPENING = {
    WireName.ANTHROPIC: frozenset(("ping", "message_start", "content_block_start")),
    WireName.OPENAI_RESPONSES: frozenset(
        (
            *("response.created", "response.queued", "response.in_progress", "response.output_item.added"),
            *("response.content_part.added", "response.reasoning_summary_part.added"),
        )
    ),
}


class _Typed(msgspec.Struct):
    type: str = ""


class _Choice(msgspec.Struct):
    delta: dict[str, Any] | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []


class _Content(msgspec.Struct):
    parts: list[dict[str, Any]] = []


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: str | None = None


class _Generated(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] = []
    prompt_feedback: dict[str, Any] | None = None


_typed = msgspec.json.Decoder(_Typed)
_chunk = msgspec.json.Decoder(_Chunk)
_generated = msgspec.json.Decoder(_Generated)


async def begun(call: Call, wire: WireName, hold_s: float) -> bytes | int:
    """A stream up to its first content; `FAILED` if it fails or ends before. Comments and pings are nothing yet.

    Raises:
        CallFailed: if the call does.
    """
    held, blocks, spoken = b"", sse.Blocks(), WIRES[wire]
    try:
        async with asyncio.timeout(None) as holding:
            while chunk := await call.chunk():
                held += chunk
                for event in map(sse.parse, blocks.feed(chunk)):
                    if event is None or spoken.is_ping(event):
                        continue
                    if spoken.is_error(event):
                        return FAILED
                    if not is_opening(event, wire):
                        return held
                    if holding.when() is None:
                        holding.reschedule(asyncio.get_running_loop().time() + hold_s)
                if len(held) > LONGEST:
                    return held
    except TimeoutError:
        return held
    return FAILED


def is_opening(event: sse.Event, wire: WireName) -> bool:
    """Whether an event comes before all content. What cannot be read is content: it is not ours to hold."""
    try:
        match wire:
            case WireName.OPENAI_CHAT:
                return all(map(_is_empty, _chunk.decode(event.data).choices))
            case WireName.GEMINI:
                found = _generated.decode(event.data)
                return found.prompt_feedback is None and all(map(_is_bare, found.candidates))
            case _:
                return (_typed.decode(event.data).type or event.type) in _OPENING[wire]
    except WRONG:
        return False


def _is_empty(choice: _Choice) -> bool:
    """A choice that names its role, and says nothing."""
    said = any(value for name, value in (choice.delta or {}).items() if name != "role")
    return choice.finish_reason is None and not said


def _is_bare(candidate: _Candidate) -> bool:
    parts = candidate.content.parts if candidate.content is not None else []
    return candidate.finish_reason is None and not any(value for part in parts for value in part.values())
