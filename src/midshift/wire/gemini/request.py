"""A request of Gemini's: read as far as it is asked about, and rewritten where a variant changes it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from midshift.domain.clamping import EFFORT
from midshift.domain.rendering import Changes
from midshift.wire import json_object as fields
from midshift.wire.gemini.parts import parts_of
from midshift.wire.json_object import NULL, Fields
from midshift.wire.protocol import Sent, Unreadable

_SYSTEM = ("systemInstruction", "system_instruction")
_CONFIG = ("generationConfig", "generation_config")
_THINKING = ("thinkingConfig", "thinking_config")
_LEVEL, _BUDGET = ("thinkingLevel", "thinking_level"), ("thinkingBudget", "thinking_budget")
_APPS_OWN_TOOLS = {"functionDeclarations", "function_declarations"}
_TOP_LEVEL = frozenset(
    ("contents", "tools", "toolConfig", "safetySettings", "systemInstruction", "generationConfig", "cachedContent")
    + ("labels", "store", "serviceTier", "tool_config", "safety_settings", "generation_config", "cached_content")
)
_BUDGET_OF_NONE = 0
"""The thinking budget that switches thinking off."""


class GeminiRequest:
    """A request, read as far as it is asked about.

    Raises:
        Unreadable: if it is not a JSON object with contents, or asks for a stream that is no event stream.
    """

    asks_usage = True  # every stream reports it

    def __init__(self, body: bytes, path: str, query: str = "") -> None:
        self.body = body
        self._fields = fields.read_fields(body)
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
        if operation != "countTokens":
            fields.required_items(self._fields, "contents", "a list of contents")

    @cached_property
    def system(self) -> str | None:
        """The text of the system instruction; None where there is none."""
        found = fields.plain(self._fields.get(self._system_name, NULL))
        if isinstance(found, str):
            return found
        texts = [part["text"] for part in parts_of(found) if isinstance(part.get("text"), str)]
        return "\n".join(texts) if texts else None

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """The labels that the app sent along (Vertex AI takes them)."""
        found = fields.plain(self._fields.get("labels", NULL))
        items = found.items() if isinstance(found, dict) else ()
        return {name: value for name, value in items if isinstance(value, str)}

    @cached_property
    def opening(self) -> str | None:
        """What the user said first."""
        for content in self._contents:
            if content.get("role", "user") == "user":
                texts = [part["text"] for part in parts_of(content) if isinstance(part.get("text"), str)]
                return "\n".join(texts) if texts else repr(content.get("parts"))
        return None

    @cached_property
    def has_side_effects(self) -> bool:
        """Whether Google would run tools of its own. A function that is declared is run by the app."""
        tools = fields.plain(self._fields.get("tools", NULL))
        named = [name for tool in tools or () if isinstance(tool, dict) for name in tool]
        return (
            any(name not in _APPS_OWN_TOOLS for name in named) or fields.plain(self._fields.get("store", NULL)) is True
        )

    @cached_property
    def bound_state(self) -> tuple[tuple[str, str], ...]:
        """Thought signatures, uploaded files and cached contents: only their maker can read them."""
        cached = self.value_at("cachedContent") or self.value_at("cached_content")
        found = [("cachedContent", cached)] if isinstance(cached, str) else []
        for at, content in enumerate(self._contents):
            for number, part in enumerate(parts_of(content)):
                signature = part.get("thoughtSignature", part.get("thought_signature"))
                file = part.get("fileData", part.get("file_data"))
                uri = file.get("fileUri", file.get("file_uri")) if isinstance(file, dict) else None
                if isinstance(signature, str):
                    found.append((f"contents.{at}.parts.{number}.thoughtSignature", signature))
                if isinstance(uri, str) and "/files/" in uri:
                    found.append((f"contents.{at}.parts.{number}.fileData", uri))
        return tuple(found)

    def value_at(self, path: str) -> Any:
        """The plain value at a dotted path of the body; None where there is nothing."""
        return fields.value_at(self._fields, path)

    def rewritten(self, changes: Changes, ask_usage: bool = False, strip_state: bool = False) -> Sent:
        """See `WireRequest`."""
        changed = dict(self._fields)
        for name in changes.drop:
            fields.remove(changed, self._place(name))
        for name, value in changes.set.items():
            fields.put(changed, self._place(name), value)
        if changes.effort is not None:
            self._set_effort(changed, changes.effort)
        for name, bounds in changes.clamp.items():
            if name == EFFORT:
                clamped = bounds.clamped(self._effort(changed))
                if isinstance(clamped, str) and clamped != self._effort(changed):
                    self._set_effort(changed, clamped)
            else:
                fields.clamp(changed, self._place(name), bounds)
        if changes.system is not None and changes.system != self.system:
            fields.put(changed, self._system_name, self._with_system(changes.system))
        if strip_state and any("thoughtSignature" in place for place, _ in self.bound_state):
            fields.put(changed, "contents", _frozen([_unsigned(content) for content in self._contents]))
        model = quote(self.model if changes.model is None else changes.model, safe="-._~/@")
        query = f"?{self._query}" if self._query else ""
        target = f"{self._version}/models/{model}:{self._operation}{query}"
        return Sent(target, fields.written(changed, self._fields, self.body))

    @cached_property
    def _contents(self) -> list[dict[str, Any]]:
        found = fields.plain(self._fields.get("contents", NULL))
        return [content for content in found if isinstance(content, dict)] if isinstance(found, list) else []

    @cached_property
    def _system_name(self) -> str:
        return _spelled(self._fields, _SYSTEM)

    @cached_property
    def _config_name(self) -> str:
        return _spelled(self._fields, _CONFIG)

    def _place(self, name: str) -> str:
        """Where a parameter stands: a bare name that is none of the request's own is the generation config's."""
        return name if "." in name or name in _TOP_LEVEL else f"{self._config_name}.{name}"

    def _with_system(self, text: str) -> Any:
        found = fields.plain(self._fields.get(self._system_name, NULL))
        kept = found if isinstance(found, dict) else {}
        return _frozen({**kept, "parts": [{"text": text}]})

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
        elif effort.startswith("budget:"):
            fields.put(changed, f"{place}.thinkingBudget", int(effort.removeprefix("budget:")))
        else:
            fields.put(changed, f"{place}.thinkingLevel", effort.upper())


def read_request(body: bytes, path: str, query: str = "") -> GeminiRequest:
    """See `Wire`."""
    return GeminiRequest(body, path, query)


def _unsigned(content: dict[str, Any]) -> dict[str, Any]:
    parts = content.get("parts")
    if not isinstance(parts, list):
        return content
    names = ("thoughtSignature", "thought_signature")
    bare = [{k: v for k, v in part.items() if k not in names} if isinstance(part, dict) else part for part in parts]
    return {**content, "parts": bare}


def _spelled(found: Mapping[str, object], names: tuple[str, str]) -> str:
    return names[1] if names[1] in found and names[0] not in found else names[0]


def _frozen(value: Any) -> Any:
    return msgspec.Raw(msgspec.json.encode(value))
