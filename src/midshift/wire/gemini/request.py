"""A request of Gemini's: read as far as it is asked about, and rewritten where a variant changes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from msgspec import Raw

from midshift.domain.clamping import EFFORT, Bounds
from midshift.domain.rendering import Changes
from midshift.wire import json_object as fields
from midshift.wire import prompt_texts, tokens
from midshift.wire.gemini.parts import parts_of
from midshift.wire.gemini.state import bound_parts, without_signatures
from midshift.wire.json_object import NULL, Fields
from midshift.wire.once import once
from midshift.wire.protocol import Sent, Unreadable

_BOUND = tokens.named(
    *("thoughtSignature", "thought_signature", "fileData", "file_data", "cachedContent", "cached_content")
)
_COUNT = "countTokens"
_SYSTEM = ("systemInstruction", "system_instruction")
_CONFIG = ("generationConfig", "generation_config")
_THINKING = ("thinkingConfig", "thinking_config")
_LEVEL, _BUDGET = ("thinkingLevel", "thinking_level"), ("thinkingBudget", "thinking_budget")
_APPS_OWN_TOOLS = {"functionDeclarations", "function_declarations"}
_TOP_LEVEL = frozenset(
    ("contents", "tools", "toolConfig", "safetySettings", "systemInstruction", "generationConfig", "cachedContent")
    + ("labels", "store", "serviceTier")
)
_COUNTED = ("generateContentRequest", "generate_content_request")
_BUDGET_OF_NONE, _BUDGET_OF_AUTO = 0, -1
"""The thinking budgets that switch thinking off, and that leave it to the model."""


class GeminiRequest:
    """A request, read as far as it is asked about.

    Raises:
        Unreadable: if it is not a JSON object with contents, or asks for a stream that is no event stream.
    """

    asks_usage = True  # every stream reports it
    prompt_is_elsewhere = False

    def __init__(self, body: bytes, path: str, query: str = "") -> None:
        self.body = body
        self._outer = fields.read_fields(body)
        head, _, operation = path.rpartition(":")
        self._version, _, model = head.rpartition("/models/")
        self._operation = operation
        self._query = query
        self.model = unquote(model)
        self.stream = operation == "streamGenerateContent"
        if not self.model:
            raise Unreadable(
                f"the path {path!r} names no model; expected /v1beta/models/MODEL:generateContent", "model"
            )
        if self.stream and "alt=sse" not in query.split("&"):
            raise Unreadable(
                "this gateway streams server-sent events only: ask for streamGenerateContent?alt=sse", "alt"
            )
        wrapped = fields.object_of(self._outer.get(_spelled(self._outer, _COUNTED), NULL))
        self._is_wrapped = operation == _COUNT and wrapped is not None
        self._fields = wrapped if self._is_wrapped and wrapped is not None else self._outer
        if operation != _COUNT:
            fields.required_items(self._fields, "contents", "a list of contents")

    @once
    def system(self) -> str | None:
        """The text of the system instruction; None where there is none, or one that is not all text."""
        return prompt_texts.joined(self._prompt)

    @property
    def prompt_is_text(self) -> bool:
        """See `Readable`."""
        return self._prompt is not None

    @once
    def _prompt(self) -> list[str] | None:
        raw = self._fields.get(self._system_name, NULL)
        match fields.plain(raw):
            case None:
                return [] if raw == NULL else None
            case str(text):
                return [text]
            case {**instruction}:
                found = instruction.get("parts")
                return prompt_texts.texts_of([found] if isinstance(found, dict) else found)
            case _:
                return None

    @once
    def metadata(self) -> Mapping[str, str]:
        """The labels that the app sent along (Vertex AI takes them)."""
        found = fields.plain(self._fields.get("labels", NULL))
        items = found.items() if isinstance(found, dict) else ()
        return {name: value for name, value in items if isinstance(value, str)}

    @once
    def opening(self) -> str | None:
        """What the user said first."""
        for raw in self._contents:
            content = fields.plain(raw)
            if isinstance(content, dict) and content.get("role", "user") == "user":
                texts = [part["text"] for part in parts_of(content) if isinstance(part.get("text"), str)]
                return "\n".join(texts) if texts else repr(content.get("parts"))
        return None

    @once
    def has_side_effects(self) -> bool:
        """Whether Google would run tools of its own. A function that is declared is run by the app."""
        if fields.plain(self._fields.get("store", NULL)) is True:
            return True
        tools = fields.plain(self._fields.get("tools", NULL)) or []
        return not isinstance(tools, list) or not all(isinstance(tool, dict) and _is_apps_own(tool) for tool in tools)

    @once
    def bound_state(self) -> tuple[tuple[str, str], ...]:
        """Thought signatures, uploaded files and cached contents: only their maker can read them."""
        if _BOUND.search(self.body) is None:
            return ()
        cached = self.value_at("cachedContent") or self.value_at("cached_content")
        found = [("cachedContent", cached)] if isinstance(cached, str) else []
        return (*found, *bound_parts(self._contents))

    def value_at(self, path: str) -> Any:
        """The plain value at a dotted path of the body; None where there is nothing."""
        return fields.value_at(self._fields, path)

    def rewritten(self, changes: Changes, ask_usage: bool = False, strip_state: bool = False) -> Sent:
        """See `WireRequest`."""
        model = quote(self.model if changes.model is None else changes.model, safe="-._~/@")
        query = f"?{self._query}" if self._query else ""
        target = f"{self._version}/models/{model}:{self._operation}{query}"
        if self._operation == _COUNT:
            return Sent(target, self._counted(changes))
        return Sent(target, fields.written(self._changed(changes, strip_state), self._fields, self.body))

    def _changed(self, changes: Changes, strip_state: bool) -> Fields:
        changed = dict(self._fields)
        for name in changes.drop:
            fields.remove(changed, self._place(changed, name))
        if changes.effort is not None:
            self._set_effort(changed, changes.effort)
        self._clamp(changed, changes.clamp)
        for name, value in changes.set.items():
            fields.put(changed, self._place(changed, name), value)
        if changes.system is not None and changes.system != (self.system or ""):
            self._set_system(changed, changes.system)
        if strip_state:
            contents = without_signatures(self._contents)
            if contents != self._contents:
                changed["contents"] = fields.listed(contents)
        return changed

    def _counted(self, changes: Changes) -> bytes:
        """A count takes contents alone, or the whole request that is to be counted, which names its model again."""
        inner = dict(self._fields)
        if changes.system is not None and changes.system != (self.system or ""):
            self._set_system(inner, changes.system)
        model = f"models/{self.model if changes.model is None else changes.model}"
        if self._is_wrapped and changes.model is not None and "model" in inner:
            fields.put(inner, "model", model)
        if inner == self._fields:
            return fields.written(self._outer, self._outer, self.body)
        if self._is_wrapped:
            outer = self._outer | {_spelled(self._outer, _COUNTED): fields.joined(inner)}
        elif self.system is not None:  # Vertex AI takes it beside the contents
            outer = inner
        else:
            outer = {_COUNTED[0]: fields.joined({"model": fields.encoded(model), **inner})}
        return fields.written(outer, self._outer, self.body)

    @once
    def _contents(self) -> list[Raw]:
        return fields.items_of(self._fields.get("contents", NULL)) or []

    @once
    def _system_name(self) -> str:
        return _spelled(self._fields, _SYSTEM)

    @once
    def _config_name(self) -> str:
        return _spelled(self._fields, _CONFIG)

    def _place(self, changed: Fields, name: str) -> str:
        """Where a parameter stands, as the app spells it: a bare name is the generation config's if not the request's.

        Of `maxOutputTokens` and `max_output_tokens` in one request, nobody knows which one counts.
        """
        bare = "." not in name and _camel(name) not in _TOP_LEVEL
        found: Fields | None = changed
        spelled = []
        for step in (f"{self._config_name}.{name}" if bare else name).split("."):
            known = next((same for same in (step, _camel(step), _snake(step)) if same in (found or {})), step)
            spelled.append(known)
            found = fields.object_of(found[known]) if found and known in found else None
        return ".".join(spelled)

    def _clamp(self, changed: Fields, clamp: Mapping[str, Bounds]) -> None:
        for name, bounds in clamp.items():
            if name != EFFORT:
                fields.clamp(changed, self._place(changed, name), bounds)
                continue
            effort = self._effort(changed)
            clamped = bounds.clamped(effort)
            if isinstance(clamped, str) and clamped != effort:
                self._set_effort(changed, clamped)

    def _set_system(self, changed: Fields, text: str) -> None:
        """One part takes the place of all; an empty text is none, which the API would refuse as a part."""
        if text == "":
            changed.pop(self._system_name, None)
            return
        kept = fields.object_of(changed.get(self._system_name, NULL)) or {}
        changed[self._system_name] = fields.joined(kept | {"parts": fields.encoded(({"text": text},))})

    def _thinking(self, changed: Fields) -> str:
        config = fields.object_of(changed.get(self._config_name, NULL)) or {}
        return f"{self._config_name}.{_spelled(config, _THINKING)}"

    def _effort(self, changed: Fields) -> str | None:
        thinking = fields.value_at(changed, self._thinking(changed))
        found = thinking if isinstance(thinking, dict) else {}
        level = next((found[name] for name in _LEVEL if isinstance(found.get(name), str)), None)
        budget = next((found[name] for name in _BUDGET if name in found), None)
        return level.lower() if level is not None else "none" if budget == _BUDGET_OF_NONE else None

    def _set_effort(self, changed: Fields, effort: str) -> None:
        """An effort takes the place of whatever the app said of thinking: level and budget exclude each other."""
        place = self._thinking(changed)
        for name in (*_LEVEL, *_BUDGET):
            fields.remove(changed, f"{place}.{name}")
        if effort == "none":
            fields.put(changed, f"{place}.thinkingBudget", _BUDGET_OF_NONE)
        elif effort == "auto":
            fields.put(changed, f"{place}.thinkingBudget", _BUDGET_OF_AUTO)
        elif effort.startswith("budget:"):
            fields.put(changed, f"{place}.thinkingBudget", int(effort.removeprefix("budget:")))
        else:
            fields.put(changed, f"{place}.thinkingLevel", effort.upper())


def read_request(body: bytes, path: str, query: str = "") -> GeminiRequest:
    """See `Wire`."""
    return GeminiRequest(body, path, query)


def unstored(changes: Changes) -> Changes:
    """See `Wire`: generated content is not stored on this wire."""
    return changes


def _is_apps_own(tool: dict[str, Any]) -> bool:
    return _APPS_OWN_TOOLS.issuperset(tool)


def _spelled(found: Mapping[str, object], names: tuple[str, str]) -> str:
    return names[1] if names[1] in found and names[0] not in found else names[0]


def _camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
