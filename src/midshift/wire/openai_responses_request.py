"""A request of the OpenAI Responses wire: read as far as it is asked about, and rewritten in what a variant changes.

The system prompt is `instructions` and the leading `input` items with role `developer` or `system`; `input` may be a
plain text. A `prompt` object stands for a prompt in OpenAI's own store: its text is not known here and it is never
rewritten, so such a request has no `system`, and the object is reported as bound state.

What can only be read where it was made: `previous_response_id`, `conversation`, `prompt`, item references and
compactions, which cannot be left out; reasoning items, which can. Without its reasoning, the `id` of a message or a
call has to go as well: OpenAI refuses an item whose "required 'reasoning' item" is missing, and one that it has not
stored. Ids with `MADE_HERE` in them are midshift's own (an answer that was translated): they never leave the house.
Elsewhere: answers, streams and errors (openai_responses).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from midshift.domain.clamping import EFFORT
from midshift.domain.rendering import Changes
from midshift.wire import json_object as json
from midshift.wire import prompt_texts, tokens
from midshift.wire.json_object import NULL, TRUE, WRONG, Fields
from midshift.wire.once import once
from midshift.wire.protocol import Sent, Unreadable

PATH = "/responses"
COUNT_PATH = "/responses/input_tokens"
MADE_HERE = "_midshift_"

_EFFORT = "reasoning.effort"
_UNREADABLE = "unreadable"
_EMPTY = Raw(b'""')
_SYSTEM_ROLES = ("system", "developer")
_INSTEAD_OF_INPUT = ("previous_response_id", "prompt", "conversation")
_RUN_BY_THE_APP = ("function", "custom", "local_shell", "apply_patch")
_ID_MAY_GO = ("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output")
_COUNTED = frozenset(
    "conversation input instructions model parallel_tool_calls personality previous_response_id reasoning text"
    " tool_choice tools truncation".split()
)
"""What `input_tokens` takes (`InputTokenCountParams` of OpenAI's Python client 3.54): anything else is refused."""

_BOUND = tokens.named(
    *("previous_response_id", "conversation", "prompt", "encrypted_content", "file_id"),
    *("reasoning", "item_reference", "compaction"),
)
"""Without any of these in its bytes a request holds no state; most hold none, and need not be looked through."""

_items = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()


class _Item(msgspec.Struct):
    """The head of an input item; leaves are `Any`, so that one odd value does not hide the others."""

    type: Any = None
    role: Any = None
    id: Any = None
    encrypted_content: Any = None
    content: Any = None
    output: Any = None

    @property
    def kind(self) -> str:
        """Its type; a message may leave it out."""
        return self.type if isinstance(self.type, str) else "message"


_item = msgspec.json.Decoder(_Item)


class ResponsesRequest:
    """A request, read as far as it is asked about; a `WireRequest`.

    Raises:
        Unreadable: if it is not a JSON object with a model, and an input or what stands for it.
    """

    asks_usage = True  # `response.completed` always carries it

    def __init__(self, body: bytes, target: str = PATH) -> None:
        self.body = body
        self.target = target
        self._fields = json.read_fields(body)
        self.model = self._required("model", _text, "the name of a model")
        self.stream = self._fields.get("stream") == TRUE
        self._items = self._read_items()

    @once
    def metadata(self) -> Mapping[str, str]:
        """The texts that the app sent along by name."""
        found = self._plain("metadata")
        return {key: value for key, value in _mapping(found).items() if isinstance(value, str)}

    @once
    def system(self) -> str | None:
        """The instructions and the leading system items; None if there are none, or if one cannot be read."""
        if self._has("prompt"):
            return None
        return prompt_texts.joined(self._prompt)

    @property
    def prompt_is_text(self) -> bool:
        """See `Readable`."""
        return self._prompt is not None

    @property
    def prompt_is_elsewhere(self) -> bool:
        """Whether it names a `prompt` of OpenAI's store."""
        return self._has("prompt")

    @once
    def opening(self) -> str | None:
        """What the user said first. A `conversation` is its own opening; a turn that only names the response before
        it (`previous_response_id`) does not hold it.
        """
        if self._has("previous_response_id"):
            return None
        if (conversation := self._conversation) is not None:
            return conversation
        if self._items is None:
            text = self._plain("input")
            return text if isinstance(text, str) else None
        return next(_openings(self._items[self._leading :]), None)

    @once
    def has_side_effects(self) -> bool:
        """Whether answering it twice would do something twice: a job in the background, items that are added to a
        `conversation`, tools that OpenAI runs, or a stored `prompt` whose tools nobody can see here.

        That an answer is stored is none: a second request is sent with `store: false` (`openai_responses.unstored`).
        """
        return (
            self._fields.get("background") == TRUE
            or self._has("conversation")
            or self._has("prompt")
            or not _are_run_by_the_app(self._plain("tools"))
        )

    @once
    def bound_state(self) -> tuple[tuple[str, str], ...]:
        """See `WireRequest`; fields are dotted paths such as `input.3.encrypted_content`."""
        return tuple(self._bound()) if _BOUND.search(self.body) is not None else ()

    def value_at(self, path: str) -> Any:
        """The plain value at a dotted path; None where there is nothing."""
        return json.value_at(self._fields, path)

    def rewritten(self, changes: Changes, ask_usage: bool = False, strip_state: bool = False) -> Sent:
        """See `WireRequest`. A stored `prompt` keeps its text: a variant's system prompt does not reach it."""
        changed = dict(self._fields)
        _apply(changed, self._taken(changes))
        items = self._items
        if items is not None and (strip_state or MADE_HERE.encode() in self.body):
            items = [kept for item in items if (kept := _portable(item, every=strip_state)) is not None]
        if changes.system is not None and changes.system != self.system and not self._has("prompt"):
            items = self._with_system(changed, items, changes.system)
        if items is not None and items != self._items:
            changed["input"] = json.listed(items)
        return Sent(self.target, json.written(changed, self._fields, self.body))

    def _taken(self, changes: Changes) -> Changes:
        """The changes that the target takes: a token count is refused with fields that only shape an answer."""
        if self.target != COUNT_PATH:
            return changes
        taken = {name: value for name, value in changes.set.items() if name.partition(".")[0] in _COUNTED}
        return Changes(taken, changes.drop, changes.system, changes.model, changes.effort, changes.clamp)

    def _with_system(self, changed: Fields, items: list[Raw] | None, text: str) -> list[Raw] | None:
        """Put the prompt where the app has its own, in `changed` or in the items that are returned."""
        leading, rest = (items or [])[: self._leading], (items or [])[self._leading :]
        if not leading or self._fields.get("instructions", NULL) not in (NULL, _EMPTY):
            json.put(changed, "instructions", text)
            return rest if leading else items
        return [_system_item(text, leading[-1]), *rest]

    @once
    def _prompt(self) -> list[str] | None:
        heads = list(map(_head, (self._items or [])[: self._leading + 1]))
        if heads[self._leading :] and heads[-1].kind == _UNREADABLE:  # it may be one of them
            return None
        leading = [prompt_texts.texts_of(head.content) for head in heads[: self._leading]]
        instructions = None if self._instructions is None else [self._instructions]
        return prompt_texts.together([instructions, *leading] if self._has("instructions") else leading)

    @once
    def _leading(self) -> int:
        items = self._items or []
        return next((at for at, item in enumerate(items) if not _is_system(_head(item))), len(items))

    @once
    def _instructions(self) -> str | None:
        found = self._plain("instructions")
        return found if isinstance(found, str) else None

    @once
    def _conversation(self) -> str | None:
        found = self._plain("conversation")
        name = _mapping(found).get("id", found)
        return name if isinstance(name, str) else None

    def _bound(self) -> Iterator[tuple[str, str]]:
        previous = self._plain("previous_response_id")
        if isinstance(previous, str):
            yield "previous_response_id", previous
        if self._conversation is not None:
            yield "conversation", self._conversation
        prompt = _mapping(self._plain("prompt"))
        if prompt:
            yield "prompt", "@".join(str(prompt[name]) for name in ("id", "version") if prompt.get(name) is not None)
        for at, item in enumerate(self._items or ()):
            yield from _bound_in(f"input.{at}", _head(item))

    def _read_items(self) -> list[Raw] | None:
        """The items of the input; None where it is a text, or absent."""
        raw = self._fields.get("input", NULL)
        if raw == NULL and any(map(self._has, _INSTEAD_OF_INPUT)):
            return None
        if bytes(memoryview(raw)[:1]) == b'"':
            return None
        found: list[Raw] = self._required("input", _items, "a text or a list of items")
        return found

    def _plain(self, name: str) -> Any:
        return json.plain(self._fields.get(name, NULL))

    def _has(self, name: str) -> bool:
        return self._fields.get(name, NULL) != NULL

    def _required(self, name: str, decoder: msgspec.json.Decoder[Any], expected: str) -> Any:
        try:
            return decoder.decode(self._fields.get(name, NULL))
        except WRONG:
            raise Unreadable(f"{name!r} must be {expected}", name) from None


def _apply(fields: Fields, changes: Changes) -> None:
    """Drop, clamp and set what the changes name; the system prompt has places of its own."""
    for path in changes.drop:
        json.remove(fields, path)
    for name, bounds in changes.clamp.items():
        json.clamp(fields, _EFFORT if name == EFFORT else name, bounds)
    for path, value in changes.set.items():
        json.put(fields, path, value)
    if changes.model is not None:
        json.put(fields, "model", changes.model)
    if changes.effort is not None:
        json.put(fields, _EFFORT, changes.effort)


def _head(item: Raw) -> _Item:
    try:
        return _item.decode(item)
    except WRONG:
        return _Item(_UNREADABLE)


def _is_system(item: _Item) -> bool:
    return item.kind == "message" and item.role in _SYSTEM_ROLES


def _text_of(item: _Item) -> str | None:
    """The text of a message: its content, or the text parts of it on lines of their own."""
    if isinstance(item.content, list):
        texts = [text for part in item.content if isinstance(text := _mapping(part).get("text"), str)]
        return "\n".join(texts) if texts else None
    return item.content if isinstance(item.content, str) else None


def _openings(items: Iterable[Raw]) -> Iterator[str]:
    for item in items:
        head = _head(item)
        if head.kind == "message" and head.role == "user":
            yield _text_of(head) or bytes(item).decode("utf-8", "backslashreplace")


def _are_run_by_the_app(tools: object) -> bool:
    """Whether a second answer would only ask for the tools again; a namespace is what is in it."""
    if tools is None:
        return True
    if not isinstance(tools, list):
        return False
    kinds = [_mapping(tool).get("type") for tool in tools]
    nested = [_mapping(tool).get("tools") for tool, kind in zip(tools, kinds, strict=True) if kind == "namespace"]
    return all(kind in (*_RUN_BY_THE_APP, "namespace") for kind in kinds) and all(map(_are_run_by_the_app, nested))


def _bound_in(place: str, item: _Item) -> Iterator[tuple[str, str]]:
    if _is_ours(item) and item.kind == "reasoning":
        return
    if isinstance(item.encrypted_content, str):
        yield f"{place}.encrypted_content", item.encrypted_content
    elif item.kind in ("reasoning", "item_reference", "compaction") and isinstance(item.id, str):
        yield f"{place}.id", item.id
    for name, parts in (("content", item.content), ("output", item.output)):
        for at, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(file := _mapping(part).get("file_id"), str):
                yield f"{place}.{name}.{at}.file_id", file


def _portable(item: Raw, every: bool) -> Raw | None:
    """An item without what only its maker can read; None if that is all it is. Not `every`: without what is ours."""
    head = _head(item)
    if not every and not _is_ours(head):
        return item
    if head.kind == "reasoning":
        return None
    if head.id is None or head.kind not in _ID_MAY_GO:
        return item
    kept = json.object_of(item) or {}
    del kept["id"]
    return json.joined(kept)


def _is_ours(item: _Item) -> bool:
    return isinstance(item.id, str) and MADE_HERE in item.id


def _system_item(text: str, like: Raw) -> Raw:
    """An item with this text in the form of the one that it takes the place of: role and cache marker stay."""
    kept = json.object_of(like) or {}
    match json.plain(kept.get("content", NULL)):
        case [*_, dict(part)]:
            json.put(kept, "content", Raw(_encoder.encode([{**part, "text": text}])))
        case _:
            json.put(kept, "content", text)
    return json.joined(kept)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
