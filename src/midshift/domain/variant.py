"""What an upgrade exchanges: a model together with everything that shapes its answers.

A variant is a value. Its id is the hash of its content, so two effort settings, two prompts or two snapshots are two
variants, and a variant that was stored under its hash can be served years later without reading a file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

Json: TypeAlias = "None | bool | int | float | str | tuple[Json, ...] | Mapping[str, Json]"

SHORT_ID_LENGTH = 12


class PromptMode(StrEnum):
    """How a variant's system prompt is made from the one that the app sends."""

    KEEP = "keep"
    EDIT = "edit"
    REPLACE = "replace"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A system prompt: the app's own (`keep`), or `text` applied by `mode`.

    Raises:
        ValueError: for `keep` with a text, or any other mode without one.
    """

    mode: PromptMode = PromptMode.KEEP
    text: str = ""

    def __post_init__(self) -> None:
        if (self.mode is PromptMode.KEEP) != (self.text == ""):
            expected = "no text" if self.mode is PromptMode.KEEP else "a text"
            raise ValueError(f"prompt mode {self.mode.value!r} goes with {expected}, got {self.text!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Variant:
    """(provider, model, prompt, effort, parameters): immutable, and known by the hash of its content.

    `effort=None` means "the provider's default", which is a value of its own: it is not the same variant as the
    effort that the default happens to resolve to today. `parameters` are further request fields that are pinned.

    Raises:
        ValueError: for an empty provider or model, or a parameter that is not plain JSON (NaN is not).
    """

    provider: str
    model: str
    prompt: Prompt = Prompt()
    effort: str | None = None
    parameters: Mapping[str, Json] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("provider", self.provider), ("model", self.model)):
            if not value.strip():
                raise ValueError(f"a variant needs a {name}, got {value!r}")
        frozen = {key: _frozen(value, f"parameters.{key}") for key, value in self.parameters.items()}
        object.__setattr__(self, "parameters", MappingProxyType(frozen))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Variant) and self.id == other.id  # in Python 1 == 1.0 == True; on the wire it is not

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        """SHA-256 over the canonical JSON of the content, 64 hexadecimal digits."""
        content = {
            "provider": self.provider,
            "model": self.model,
            "prompt": {"mode": self.prompt.mode.value, "text": self.prompt.text},
            "effort": self.effort,
            "parameters": _plain(self.parameters),
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def short_id(self) -> str:
        """The first 12 digits of `id`, for people."""
        return self.id[:SHORT_ID_LENGTH]


def _frozen(value: object, place: str) -> Json:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{place}: JSON has no {value!r}; expected a finite number")
            return value
        case list() | tuple():
            return tuple(_frozen(item, f"{place}[{index}]") for index, item in enumerate(value))
        case Mapping():
            return MappingProxyType({str(key): _frozen(item, f"{place}.{key}") for key, item in value.items()})
        case _:
            raise ValueError(f"{place}: expected plain JSON, got {type(value).__name__} {value!r}")


def _plain(value: Json) -> object:
    match value:
        case tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
