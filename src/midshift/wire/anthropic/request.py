"""A request for a message, or for the number of its tokens: read as far as it is asked about, and rewritten.

Fields change in this order: what the app sent is clamped, then come the variant's model and effort, then what it drops
and sets, which has the last word, then its prompt. A count of tokens takes fewer fields than a message: what a variant
sets beyond them (`max_tokens`) stays away.
Elsewhere: changing fields and keeping bytes (wire.json_object), the effort's two fields (effort), signatures (state).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from midshift.domain.clamping import EFFORT
from midshift.domain.rendering import Changes
from midshift.wire import json_object as json
from midshift.wire import prompt_texts
from midshift.wire.anthropic import state
from midshift.wire.anthropic.effort import clamp_effort, set_effort
from midshift.wire.json_object import NULL, TRUE, Fields, items_of, listed, object_of, plain, text_of
from midshift.wire.once import once
from midshift.wire.protocol import Sent

PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"

_COUNTED = frozenset(
    ("messages", "model", "cache_control", "output_config", "speed", "system", "thinking", "tool_choice", "tools")
)
_RUN_BY_APP = re.compile(
    r"(?:custom|bash|text_editor|computer|computer_toolset|browser_toolset|memory"
    r"|tool_search_tool_regex|tool_search_tool_bm25)(?:_\d{8})?"
)
_HELD_BY_SERVER = ("mcp_servers", "container", "thread", "fallback_credit_token")
_NOTHING = (NULL, Raw(b"[]"))


class MessagesRequest:
    """A request, read as far as it is asked about; a `WireRequest`.

    Raises:
        Unreadable: if it is not a JSON object with a model and a list of messages.
    """

    asks_usage: bool = True  # usage is always in a stream of this wire
    prompt_is_elsewhere: bool = False

    def __init__(self, body: bytes, path: str = PATH, query: str = "") -> None:
        self.body = body
        self._counts = path.endswith("/count_tokens")
        self._target = (COUNT_PATH if self._counts else PATH) + (f"?{query}" if query else "")
        self._fields = json.read_fields(body)
        self.model = json.required_text(self._fields, "model", "the name of a model")
        self.messages = json.required_items(self._fields, "messages", "a list of messages")
        self.stream = self._fields.get("stream") == TRUE

    @once
    def metadata(self) -> Mapping[str, str]:
        """The texts that the app sent along by name; the API has one, `user_id`."""
        found = plain(self._fields.get("metadata", NULL))
        pairs = found.items() if isinstance(found, dict) else ()
        return {name: value for name, value in pairs if isinstance(value, str)}

    @once
    def system(self) -> str | None:
        """The top-level system prompt, its blocks on lines of their own; None where there is none that can be read.

        Messages with the role `system` further on are part of the conversation, and no variant's business.
        """
        return prompt_texts.joined(self._prompt)

    @property
    def prompt_is_text(self) -> bool:
        """See `Readable`."""
        return self._prompt is not None

    @once
    def _prompt(self) -> list[str] | None:
        raw = self._fields.get("system", NULL)
        found = plain(raw)
        return None if found is None and raw != NULL else prompt_texts.texts_of(found)

    @once
    def opening(self) -> str | None:
        """What the user said first: the same in every turn of a conversation."""
        for message in self.messages:
            found = object_of(message) or {}
            if text_of(found.get("role", NULL)) == "user":
                return _text(found.get("content", NULL)) or bytes(message).decode("utf-8", "backslashreplace")
        return None

    @once
    def has_side_effects(self) -> bool:
        """Whether answering it twice would do something twice: tools of the server, its containers, what it keeps.

        A custom tool, bash, an editor, a computer, a browser and a memory are run by the app, so a second answer only
        asks for them; a search among the request's own tools changes nothing. A type that is not known here counts as
        the server's.
        """
        if self._counts:
            return False
        return not self._tools_are_the_apps() or any(
            self._fields.get(name, NULL) not in _NOTHING for name in _HELD_BY_SERVER
        )

    @once
    def bound_state(self) -> tuple[tuple[str, str], ...]:
        """Signatures of thinking, encrypted results, and ids of files, containers and threads."""
        return state.bound_state(self._fields, self.messages) if state.may_be_in(self.body) else ()

    def value_at(self, path: str) -> Any:
        """The plain value at a dotted path; None where there is nothing."""
        return json.value_at(self._fields, path)

    def rewritten(self, changes: Changes, ask_usage: bool = False, strip_state: bool = False) -> Sent:
        """See `WireRequest`.

        The effort `none` strips thinking too: where it is disabled, some models refuse a last turn that holds it.
        """
        changed = dict(self._fields)
        _clamp(changed, changes)
        if changes.model is not None:
            json.put(changed, "model", changes.model)
        if changes.effort is not None:
            set_effort(changed, changes.effort)
        self._drop_and_set(changed, changes)
        if changes.system is not None and changes.system != self.system:
            _set_system(changed, changes.system)
        if strip_state or changes.effort == "none":
            state.strip(changed, self.messages)
        if any(changed.get(name) != self._fields.get(name) for name in ("thinking", "messages")):
            state.settle(changed)
        return Sent(self._target, json.written(changed, self._fields, self.body))

    def _drop_and_set(self, changed: Fields, changes: Changes) -> None:
        for name in sorted(changes.drop):
            json.remove(changed, name)
        for name, value in changes.set.items():
            if not self._counts or name.partition(".")[0] in _COUNTED | self._fields.keys():
                json.put(changed, name, value)

    def _tools_are_the_apps(self) -> bool:
        tools = self._fields.get("tools", NULL)
        found = items_of(tools)
        return tools == NULL or (found is not None and all(map(_is_run_by_app, found)))


def read_request(body: bytes, path: str = PATH, query: str = "") -> MessagesRequest:
    """See `Wire`."""
    return MessagesRequest(body, path, query)


def unstored(changes: Changes) -> Changes:
    """See `Wire`: a message is not stored on this wire."""
    return changes


def _clamp(changed: Fields, changes: Changes) -> None:
    for name, bounds in changes.clamp.items():
        if name == EFFORT:
            clamp_effort(changed, bounds)
        else:
            json.clamp(changed, name, bounds)


def _set_system(changed: Fields, text: str) -> None:
    """A prompt in the form of the one that it takes the place of, with the last block's cache marker.

    An app that asked for prompt caching keeps it. The API takes no block without text, so an empty prompt is none.
    """
    last = object_of((items_of(changed.get("system", NULL)) or [NULL])[-1])
    if not text:
        json.remove(changed, "system")
    elif last is None:
        json.put(changed, "system", text)
    else:
        json.put(last, "text", text)
        changed["system"] = listed([json.joined(last)])


def _is_run_by_app(tool: Raw) -> bool:
    found = object_of(tool)
    if found is None:
        return False
    kind = found.get("type", NULL)
    return kind == NULL or _RUN_BY_APP.fullmatch(text_of(kind) or "") is not None


def _text(content: Raw) -> str | None:
    """A text, or the text blocks of a list on lines of their own; None where there is none."""
    blocks = items_of(content)
    if blocks is None:
        return text_of(content)
    found = [object_of(block) or {} for block in blocks]
    texts = [text for block in found if (text := text_of(block.get("text", NULL))) is not None]
    return "\n".join(texts) if texts else None
