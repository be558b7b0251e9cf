"""What a model takes: facts by name, each with its value, source, date and evidence; what nobody states is unknown.

Contract: facts come in layers, and the first layer that knows a fact decides it: the user's own word, curated rules,
the vendor's live answer, the catalogue. Unknown stays unknown: it is neither "yes" nor "no", and whoever asks has to
say so. `guard` and `effort_ladder` use only what is known, so that preflight, gateway and effort sweep agree.
Elsewhere: reading the layers (capability_sources), what a request asks for (request_fields), judging (preflight).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, TypeVar

from midshift.domain.clamping import EFFORT, EFFORTS
from midshift.domain.variant import Json
from midshift.errors import InputError
from midshift.wire.protocol import WireName

T = TypeVar("T")

Value = bool | int | str | tuple[str, ...]


class Evidence(StrEnum):
    """How a fact is known."""

    RUN = "R"
    PACKAGE = "S"
    DOCUMENTED = "D"
    THIRD_PARTY = "T"
    NOT_VERIFIED = "N"
    LIVE = "L"
    USER = "U"

    @property
    def in_words(self) -> str:
        """For people."""
        return _IN_WORDS[self]


_IN_WORDS = {
    Evidence.RUN: "seen in an answer of the vendor's",
    Evidence.PACKAGE: "read in the vendor's package",
    Evidence.DOCUMENTED: "read in the vendor's documentation",
    Evidence.THIRD_PARTY: "stated by a third party",
    Evidence.NOT_VERIFIED: "not verified",
    Evidence.LIVE: "told by the vendor's API",
    Evidence.USER: "your own word",
}


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A value with where it is from; `value` None is "not known", and then the rest says nothing."""

    value: T | None = None
    source: str = ""
    as_of: date | None = None
    evidence: Evidence = Evidence.NOT_VERIFIED


Facts = Mapping[str, Fact[Value]]

SAMPLING = ("any", "default_only", "with_effort_none", "rejected")
"""Who may send sampling parameters: anybody; only their default; only with effort `none`; nobody."""
_TOOLS_ON_CHAT = ("yes", "with_effort_none", "no")
_MAX_TOKENS = ("any", "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")

NUMBERS = frozenset({"context_tokens", "max_output_tokens", "prompt_cache_min_tokens"})
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sampling": SAMPLING,
        "logprobs": SAMPLING,
        "chat_tools": _TOOLS_ON_CHAT,
        "max_tokens_field": _MAX_TOKENS,
        "default_effort": EFFORTS,
    }
)
LISTS = frozenset({"api_versions"})
FLAGS = frozenset(
    {
        "assistant_prefill",
        "audio_input",
        "endpoint_chat",
        "endpoint_responses",
        "forced_tools",
        "images",
        "json_mode",
        "logit_bias",
        "n",
        "parallel_tools",
        "pdf",
        "penalties",
        "prompt_caching",
        "response_schema",
        "seed",
        "stop",
        "system_messages",
        "thinking_adaptive",
        "thinking_between_tools",
        "thinking_bound_to_model",
        "thinking_default_on",
        "thinking_disabled",
        "thinking_enabled",
        "tool_choice",
        "tools",
        *(f"effort_{level}" for level in EFFORTS),
    }
)
NAMES = tuple(sorted(NUMBERS | LISTS | FLAGS | WORDS.keys()))
"""Every capability that there is a name for."""

_UNKNOWN: Fact[Value] = Fact()
_SAMPLED = ("temperature", "top_p", "top_k")
_ON_WIRE = {
    WireName.OPENAI_CHAT: ("temperature", "top_p"),
    WireName.OPENAI_RESPONSES: ("temperature", "top_p"),
    WireName.ANTHROPIC: _SAMPLED,
    WireName.GEMINI: ("temperature", "topP", "topK"),  # bare names are those of generationConfig
}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model at a provider takes, as far as it is known."""

    provider: str
    model: str
    facts: Facts = field(default_factory=dict)

    def fact(self, name: str) -> Fact[Value]:
        """A fact by its name; an unknown one where no layer states it.

        Raises:
            KeyError: for a name that is none of `NAMES`.
        """
        if name not in self.facts and name not in NAMES:
            raise KeyError(f"{name!r} is no capability; expected one of: {', '.join(NAMES)}")
        return self.facts.get(name, _UNKNOWN)

    def flag(self, name: str) -> bool | None:
        """A capability that is yes or no; None where it is not known."""
        found = self.fact(name).value
        return found if isinstance(found, bool) else None

    def number(self, name: str) -> int | None:
        """A limit in tokens; None where it is not known."""
        found = self.fact(name).value
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def word(self, name: str) -> str | None:
        """A capability that is one of a few words; None where it is not known."""
        found = self.fact(name).value
        return found if isinstance(found, str) else None


def layered(provider: str, model: str, layers: Iterable[Facts]) -> Capabilities:
    """The capabilities that layers of facts give, the strongest layer first."""
    found: dict[str, Fact[Value]] = {}
    for layer in layers:
        for name, fact in layer.items():
            if fact.value is not None:
                found.setdefault(name, fact)
    return Capabilities(provider, model, MappingProxyType(found))


def checked(name: str, value: object, place: str) -> Value:
    """The value of a fact as it stands in a file.

    Raises:
        InputError: for a name that is none, or a value that it cannot have.
    """
    if name in FLAGS and isinstance(value, bool):
        return value
    if name in NUMBERS and isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    if name in WORDS and isinstance(value, str) and value in WORDS[name]:
        return value
    if name in LISTS and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise InputError(f"{place}: found {name!r} with {value!r}, expected {_expected(name)}")


def effort_ladder(capabilities: Capabilities) -> tuple[str, ...]:
    """The efforts that the model is known to take, from the least; empty where nothing is known."""
    return tuple(level for level in EFFORTS if capabilities.flag(f"effort_{level}"))


def effort_bounds(capabilities: Capabilities, seen: Collection[str] = EFFORTS) -> tuple[str, str] | None:
    """The bounds that keep an app's efforts from the ends of the scale that are known to be refused.

    An effort among `seen` that is not refused stays what it is; a refused one becomes the nearest beyond it that is
    known to be taken. None where nothing at an end is refused, or nothing beyond it is known to be taken: an app's
    `low` must not become `xhigh` because nobody wrote down that `low` is fine, nor `none` become `low` because the
    model has no `minimal`.
    """
    refused = [at for at, level in enumerate(EFFORTS) if capabilities.flag(f"effort_{level}") is False]
    taken = [EFFORTS.index(level) for level in effort_ladder(capabilities)]
    asked = sorted(EFFORTS.index(level) for level in seen if level in EFFORTS)
    kept = [at for at in asked if at not in refused]
    below = [at for at in asked if at in refused and (not kept or at < kept[0])]
    above = [at for at in asked if at in refused and kept and at > kept[-1]]
    free = [at for at in range(len(EFFORTS)) if at not in refused]
    low = next((at for at in taken if at > below[-1]), None) if below else min(free, default=None)
    high = next((at for at in reversed(taken) if at < above[0]), None) if above else max(free, default=None)
    if not (below or above) or low is None or high is None or low > high:
        return None
    disturbs = kept and (low > kept[0] or high < kept[-1])
    return None if disturbs else (EFFORTS[low], EFFORTS[high])


def guard(capabilities: Capabilities, wire: WireName, effort: str | None = None) -> dict[str, Json]:
    """The `params` that keep a request from what is known to be refused, whatever the app sends.

    `effort` is the variant's own. Only `drop` and `clamp`: what to set is somebody's decision.
    """
    drop = [name for name in _ON_WIRE[wire] if _refuses_sampling(capabilities, effort)]
    clamp: dict[str, Json] = {}
    limit = capabilities.number("max_output_tokens")
    if limit is not None:
        clamp[_limit_field(capabilities, wire)] = (1, limit)
    bounds = effort_bounds(capabilities)
    if bounds is not None and effort is None:
        clamp[EFFORT] = bounds
    return {**({"drop": tuple(drop)} if drop else {}), **({"clamp": clamp} if clamp else {})}


def _refuses_sampling(capabilities: Capabilities, effort: str | None) -> bool:
    match capabilities.word("sampling"):
        case "rejected" | "default_only":
            return True
        case "with_effort_none":
            return (effort or capabilities.word("default_effort")) != "none"
        case _:
            return False


def _limit_field(capabilities: Capabilities, wire: WireName) -> str:
    match wire:
        case WireName.OPENAI_RESPONSES:
            return "max_output_tokens"
        case WireName.GEMINI:
            return "maxOutputTokens"
        case _:
            found = capabilities.word("max_tokens_field")
            return "max_tokens" if found in (None, "any") else found


def _expected(name: str) -> str:
    if name in FLAGS:
        return "true or false"
    if name in NUMBERS:
        return "a whole number of tokens above 0"
    if name in LISTS:
        return "a list of texts"
    return f"one of: {', '.join(WORDS[name])}" if name in WORDS else f"a capability, one of: {', '.join(NAMES)}"
