"""What a variant settles in a conversation before it is written: the effort, the values that it sets, its bounds.

The provider's wire applies all of that to what is written. But a value of the app's that this wire has no words for
(a temperature of 1.3 for Anthropic, the effort `max` for Gemini) has to be out of the way by then. Named here are the
fields that a wire may refuse for what stands in them; a field that it does not have at all can only be dropped.

An effort of the canonical scale is written here, because a wire may say more than the level with it (Anthropic:
adaptive thinking). `auto`, `budget:N` and what else a vendor's model may know are left to the provider's wire alone.
Elsewhere: bounds (domain.clamping), how parameters are named (each wire's request).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from midshift.domain.clamping import EFFORT, EFFORTS, Bounds
from midshift.domain.rendering import Changes
from midshift.wire.protocol import WireName
from midshift.wire.translation.conversation import Conversation

_TEMPERATURE, _FORMAT, _BUDGET = "temperature", "format", "thinking_tokens"
_FIELDS: Mapping[WireName, Mapping[str, str]] = MappingProxyType(
    {
        WireName.OPENAI_CHAT: {"reasoning_effort": EFFORT, "temperature": _TEMPERATURE},
        WireName.OPENAI_RESPONSES: {"reasoning.effort": EFFORT, "temperature": _TEMPERATURE},
        WireName.ANTHROPIC: {
            "output_config.effort": EFFORT,
            "output_config.format": _FORMAT,
            "temperature": _TEMPERATURE,
        },
        WireName.GEMINI: {
            "generationConfig.thinkingConfig.thinkingLevel": EFFORT,
            "generationConfig.thinkingConfig.thinkingBudget": _BUDGET,
            "generationConfig.temperature": _TEMPERATURE,
        },
    }
)
"""Where such a field stands on a wire, and which one of the conversation it is."""

_GEMINIS_CONFIG = "generationConfig"


def settled(told: Conversation, wanted: WireName, changes: Changes) -> Conversation:
    """The conversation as `wanted` is to write it before `changes` are applied to that."""
    for name, bounds in changes.clamp.items():
        told = _bounded(told, EFFORT if name == EFFORT else _FIELDS[wanted].get(_path(wanted, name)), bounds)
    if changes.effort is not None:
        told = _thinking(told, changes.effort)
    for name, value in changes.set.items():
        told = _pinned(told, wanted, _path(wanted, name), value)
    return told


def _bounded(told: Conversation, field: str | None, bounds: Bounds) -> Conversation:
    if field == EFFORT:
        effort = bounds.clamped(told.effort)
        return told if effort == told.effort else _thinking(told, effort)
    temperature = bounds.clamped(told.temperature)
    if field == _TEMPERATURE and isinstance(temperature, int | float):
        return replace(told, temperature=temperature)
    return told


def _pinned(told: Conversation, wanted: WireName, path: str, value: Any) -> Conversation:
    """Take what a field holds that is set, or that lies within one, out of the way: it is written anew after this."""
    for place, field in _FIELDS[wanted].items():
        if place != path and not place.startswith(f"{path}."):
            continue
        match field:
            case "effort":
                said = _within(value, place.removeprefix(path).removeprefix("."))
                told = _thinking(told, said.lower() if isinstance(said, str) else None)
            case "thinking_tokens":
                told = _thinking(told, told.effort if place != path else None)
            case "format":
                told = replace(told, format=None)
            case _:
                told = replace(told, temperature=None)
    return told


def _thinking(told: Conversation, effort: Any) -> Conversation:
    """An effort takes the place of whatever the app said of thinking."""
    return replace(told, effort=effort if effort in EFFORTS else None, thinking_tokens=None)


def _within(value: Any, path: str) -> Any:
    for name in path.split(".") if path else ():
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _path(wanted: WireName, name: str) -> str:
    """A parameter's name as in `_FIELDS`: Gemini's has two spellings, and a bare one is the config's."""
    if wanted is not WireName.GEMINI:
        return name
    path = ".".join(map(_camel, name.split(".")))
    return path if "." in path or path == _GEMINIS_CONFIG else f"{_GEMINIS_CONFIG}.{path}"


def _camel(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)
