"""What in a request only one model, provider or account can read; and taking out what can be taken out.

A thinking block is signed by the model that wrote it, and newer models bind it to all that stood before it: a changed
system prompt, tool or earlier message invalidates it, and the API refuses the request or drops the block (Anthropic's
page "Preserved thinking"). Without the blocks of earlier turns a request is valid, with one exception: where thinking
is `enabled` with a budget, the assistant turn whose tool results are being sent must begin with its thinking. If that
is not there, be it stripped or never thought, thinking is disabled for this one request, as the API's message advises.
Elsewhere: when that is needed (gateway).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Raw

from midshift.wire import tokens
from midshift.wire.anthropic.effort import disable_thinking, thinking_type
from midshift.wire.json_object import (
    NULL,
    Fields,
    inside,
    items_of,
    joined,
    listed,
    object_of,
    plain,
    text_of,
    value_at,
)

THINKING = ("thinking", "redacted_thinking")

_SIGNED = ("signature", "encrypted_content", "encrypted_index", "encrypted_stdout", "file_id")
_MARKED = tokens.named(*_SIGNED, "redacted_thinking")
_HELD_BY_SERVER = ("container", "container.id", "thread.previous_message_id", "fallback_credit_token")
_ANYWHERE = tokens.named(*_SIGNED, "redacted_thinking", *(name.partition(".")[0] for name in _HELD_BY_SERVER))
_OF_CALLS = ("toolu_", "srvtoolu_", "mcptoolu_")
_MADE = tokens.texts_of(*_SIGNED, "data", "id")


def state_in(part: bytes) -> list[str]:
    """See `Wire`: signatures, the data of redacted thinking, encrypted results, ids of messages, files, containers."""
    return [token for token in tokens.found(_MADE, part) if not token.startswith(_OF_CALLS)]


def may_be_in(body: bytes) -> bool:
    """Whether a request can hold state at all: most do not, and need not be looked through message by message."""
    return _ANYWHERE.search(body) is not None


def bound_state(fields: Fields, messages: Sequence[Raw]) -> tuple[tuple[str, str], ...]:
    """Tokens that stand for what another model or provider does not have, as (field, token), in their order."""
    held = [(name, value_at(fields, name)) for name in _HELD_BY_SERVER]
    signed = [pair for message in messages if _is_marked(message) for pair in _signed(plain(message))]
    return tuple((name, token) for name, token in [*held, *signed] if isinstance(token, str) and token)


def without_thinking(messages: Sequence[Raw]) -> list[Raw]:
    """The messages without blocks of thinking; a turn that held nothing else goes too.

    The API joins the turns before and after it: consecutive messages of one role are one turn.
    """
    kept = map(_without_thinking, messages)
    return [message for message in kept if message is not None]


def strip(fields: Fields, messages: Sequence[Raw]) -> None:
    """Take the thinking out of earlier turns."""
    kept = without_thinking(messages)
    if kept != list(messages):
        fields["messages"] = listed(kept)


def settle(fields: Fields) -> None:
    """Disable thinking with a budget where the turn that goes on has none to go on from."""
    if thinking_type(fields) != "enabled":
        return
    first = _first_of_turn(items_of(fields["messages"]) or [])
    if first is not None and not any(_type(block) in THINKING for block in _blocks(first)[:1]):
        disable_thinking(fields)


def _without_thinking(message: Raw) -> Raw | None:
    if b"thinking" not in bytes(message):
        return message
    fields = object_of(message) or {}
    blocks = items_of(fields.get("content", NULL))
    if blocks is None or text_of(fields.get("role", NULL)) != "assistant":
        return message
    kept = [block for block in blocks if _type(block) not in THINKING]
    if len(kept) == len(blocks):
        return message
    return joined(fields | {"content": listed(kept)}) if kept else None


def _first_of_turn(messages: Sequence[Raw]) -> Raw | None:
    """The first assistant message of the turn whose tool results are being sent; None where none are."""
    first = None
    for at, message in enumerate(reversed(messages)):
        is_users = text_of((object_of(message) or {}).get("role", NULL)) == "user"
        if is_users and not any(_type(block) == "tool_result" for block in _blocks(message)):
            return first
        if not is_users and at == 0:
            return None
        first = first if is_users else message
    return first


def _blocks(message: Raw) -> list[Raw]:
    return items_of((object_of(message) or {}).get("content", NULL)) or []


def _type(block: Raw) -> str | None:
    return text_of((object_of(block) or {}).get("type", NULL))


def _is_marked(message: Raw) -> bool:
    """Whether it can hold state at all: a look at the bytes, before megabytes of images are decoded."""
    return _MARKED.search(bytes(message)) is not None


def _signed(value: Any) -> Iterator[tuple[str, str]]:
    """Tokens within a message, at whatever depth; the input of a tool is the app's own data."""
    match value:
        case list():
            for item in value:
                yield from _signed(item)
        case dict():
            if value.get("type") == "redacted_thinking":
                yield "redacted_thinking", inside(value, "data")
            for name, item in value.items():
                if name in _SIGNED:
                    yield name, item
                elif name != "input":
                    yield from _signed(item)
