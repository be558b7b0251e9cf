"""Where facts about models come from: the user's file, curated rules, the vendors' live answers, the catalogue.

Curated rules (`data/capabilities.json`) say for which providers and models they hold and what they are known from; the
first rule that states a fact wins, so the narrower ones stand first. The user's file has the same rules, and needs no
evidence: it is the user's word. Live answers are read from what the vendor's API gave; nothing here asks it.
Elsewhere: the names of facts and their layers (capabilities), the catalogue's own format (catalogue).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from midshift.domain.clamping import EFFORTS
from midshift.errors import InputError
from midshift.providers.capabilities import NAMES, Capabilities, Evidence, Fact, Facts, Value, checked, layered
from midshift.providers.catalogue import Catalogue, Entry

FORMAT = "midshift.capabilities/1"

_FROM_CATALOGUE = {
    "max_input_tokens": "context_tokens",
    "max_output_tokens": "max_output_tokens",
    "prompt_cache_min_tokens": "prompt_cache_min_tokens",
    "default_reasoning_effort": "default_effort",
    "supports_adaptive_thinking": "thinking_adaptive",
    "supports_assistant_prefill": "assistant_prefill",
    "supports_audio_input": "audio_input",
    "supports_forced_tool_use": "forced_tools",
    "supports_function_calling": "tools",
    "supports_legacy_thinking": "thinking_enabled",
    "supports_parallel_function_calling": "parallel_tools",
    "supports_pdf_input": "pdf",
    "supports_prompt_caching": "prompt_caching",
    "supports_response_schema": "response_schema",
    "supports_system_messages": "system_messages",
    "supports_tool_choice": "tool_choice",
    "supports_vision": "images",
    **{f"supports_{level}_reasoning_effort": f"effort_{level}" for level in EFFORTS},
}
_CATALOGUED_AS = {"bedrock_mantle": "bedrock"}
_ENDPOINTS = {"endpoint_chat": "/v1/chat/completions", "endpoint_responses": "/v1/responses"}
_OF_OPENROUTER = {
    "seed": "seed",
    "stop": "stop",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "parallel_tools",
    "structured_outputs": "response_schema",
    "response_format": "json_mode",
    "logit_bias": "logit_bias",
    "frequency_penalty": "penalties",
}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts about the models of some providers. An empty `provider` means any; `model` is searched for in the id."""

    facts: dict[str, Any]
    provider: tuple[str, ...] = ()
    model: str = ""
    source: str = ""
    evidence: str = ""
    as_of: date | None = None
    note: str = ""

    def holds_for(self, provider: str, model: str) -> bool:
        """Whether the rule is about this model."""
        return (not self.provider or provider in self.provider) and re.search(self.model, model) is not None


class _File(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    rules: tuple[Rule, ...]


def capabilities(
    provider: str,
    model: str,
    catalogue: Catalogue | None,
    overrides: Sequence[Rule] = (),
    live: Facts | None = None,
) -> Capabilities:
    """Everything that is known of a model, the user's word first."""
    entry = None if catalogue is None else catalogue.entry(_CATALOGUED_AS.get(provider, provider), model)
    layers: list[Facts] = [stated(overrides, provider, model), stated(curated(), provider, model), live or {}]
    if catalogue is not None and entry is not None:
        layers.append(of_entry(entry, catalogue))
    return layered(provider, model, layers)


@cache
def curated() -> tuple[Rule, ...]:
    """The rules that come with this version of midshift."""
    return read((resources.files("midshift.providers") / "data" / "capabilities.json").read_bytes())


def read(content: bytes) -> tuple[Rule, ...]:
    """Read a file of rules whose every fact must say where it is from.

    Raises:
        InputError: naming the first rule that is not one, or that has no source or no known evidence.
    """
    try:
        found = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"these are no capabilities: {error}") from None
    if found.format != FORMAT:
        raise InputError(f"these capabilities have the format {found.format!r}, expected {FORMAT!r}")
    if unsourced := [name for rule in found.rules if not _is_sourced(rule) for name in _names(rule)]:
        raise InputError(f"facts without a source, a date or a known mark of evidence: {', '.join(unsourced)}")
    for index, rule in enumerate(found.rules):
        _check(rule, f"rules[{index}]")
    return found.rules


def overrides(values: object, place: str, as_of: date | None = None) -> tuple[Rule, ...]:
    """The rules of a user's file, read from its plain values (`{"rules": [{"model": ..., "facts": {...}}]}`).

    Raises:
        InputError: naming what was found in place of a rule.
    """
    rules = values.get("rules", []) if isinstance(values, Mapping) else None
    if not isinstance(rules, list):
        raise InputError(f"{place}: expected a list under 'rules', got {values!r:.200}")
    made = []
    for index, item in enumerate(rules):
        try:
            rule = msgspec.convert(item, type=Rule)
        except msgspec.ValidationError as error:
            raise InputError(f"{place}: rules[{index}]: {error}") from None
        _check(rule, f"{place}: rules[{index}]")
        made.append(
            msgspec.structs.replace(
                rule,
                source=f"{place}: {rule.source}" if rule.source else place,
                evidence=rule.evidence or Evidence.USER.value,
                as_of=rule.as_of or as_of,
            )
        )
    return tuple(made)


def stated(rules: Iterable[Rule], provider: str, model: str) -> dict[str, Fact[Value]]:
    """What rules state about a model; of two that state the same, the first."""
    found: dict[str, Fact[Value]] = {}
    for rule in rules:
        if rule.holds_for(provider, model):
            for name, value in rule.facts.items():
                known = checked(name, value, rule.source)
                found.setdefault(name, Fact(known, rule.source, rule.as_of, Evidence(rule.evidence)))
    return found


def of_entry(entry: Entry, catalogue: Catalogue) -> dict[str, Fact[Value]]:
    """What the catalogue says of a model. It is a third party's word, with the page that the third party names."""
    source = f"LiteLLM {catalogue.version.removeprefix('litellm ')}, " + (entry.source or catalogue.origin)
    found = {name: entry.facts[theirs] for theirs, name in _FROM_CATALOGUE.items() if theirs in entry.facts}
    levels = entry.facts.get("reasoning_effort_levels")
    if isinstance(levels, list):
        found |= {f"effort_{level}": level in levels for level in EFFORTS}
    if entry.flag("thinking_always_on"):
        found |= {"thinking_disabled": False, "effort_none": False}
    if entry.flag("supports_sampling_params") is False:
        found["sampling"] = "default_only"
    served = entry.facts.get("supported_endpoints")
    if isinstance(served, list) and entry.provider in ("openai", "azure"):
        found |= {name: path in served for name, path in _ENDPOINTS.items()}
    return _facts(found, source, catalogue.taken_on, Evidence.THIRD_PARTY)


def of_anthropic(info: Mapping[str, Any], as_of: date) -> dict[str, Fact[Value]]:
    """What Anthropic's `GET /v1/models/{id}` says: limits, and `capabilities` where they are stated.

    Fields as in `ModelInfo` and `ModelCapabilities` of the package anthropic 2.12.0. A key that is missing is unknown;
    `capabilities: null` states nothing.
    """
    able = info.get("capabilities")
    able = able if isinstance(able, Mapping) else {}
    found: dict[str, Any] = {
        "context_tokens": info.get("max_input_tokens"),
        "max_output_tokens": info.get("max_tokens"),
        "images": _supported(able, "image_input"),
        "pdf": _supported(able, "pdf_input"),
        "response_schema": _supported(able, "structured_outputs"),
    }
    efforts = able.get("effort")
    if isinstance(efforts, Mapping):
        levels = ("low", "medium", "high", "xhigh", "max")
        has_any = _supported(able, "effort")
        found |= {f"effort_{level}": False if has_any is False else _supported(efforts, level) for level in levels}
    thinking = able.get("thinking")
    types = thinking.get("types") if isinstance(thinking, Mapping) else None
    if isinstance(types, Mapping):
        kinds = ("enabled", "adaptive", "disabled", "between_tools")
        found |= {f"thinking_{kind}": _supported(types, kind) for kind in kinds}
    return _facts(found, f"GET /v1/models/{info.get('id', '?')}", as_of, Evidence.LIVE)


def of_openrouter(model: Mapping[str, Any], as_of: date) -> dict[str, Fact[Value]]:
    """What OpenRouter's `GET /models` says of one model: limits, `supported_parameters`, `reasoning`, modalities.

    Fields as in `Model` and `ModelReasoning` of the package openrouter 1.3.84. A parameter that is not listed is one
    that the gateway leaves out without a word.
    """
    top = model.get("top_provider")
    found: dict[str, Any] = {"context_tokens": model.get("context_length")}
    if isinstance(top, Mapping):
        found["max_output_tokens"] = top.get("max_completion_tokens")
    listed = model.get("supported_parameters")
    if isinstance(listed, list):
        found |= {name: theirs in listed for theirs, name in _OF_OPENROUTER.items()}
        found["sampling"] = "any" if "temperature" in listed else "rejected"
        found["logprobs"] = "any" if "logprobs" in listed else "rejected"
    made_of = model.get("architecture")
    inputs = made_of.get("input_modalities") if isinstance(made_of, Mapping) else None
    if isinstance(inputs, list):
        found |= {"images": "image" in inputs, "pdf": "file" in inputs, "audio_input": "audio" in inputs}
    found |= _reasoning_at_openrouter(model.get("reasoning"))
    return _facts(found, f"GET /models, {model.get('id', '?')}", as_of, Evidence.LIVE)


def _reasoning_at_openrouter(reasoning: object) -> dict[str, Any]:
    if not isinstance(reasoning, Mapping):
        return {}
    found: dict[str, Any] = {"default_effort": reasoning.get("default_effort")}
    if "supported_efforts" in reasoning:
        listed = reasoning["supported_efforts"]
        levels = EFFORTS if listed is None else listed
        found |= {f"effort_{level}": level in levels for level in EFFORTS}
    if reasoning.get("mandatory") is True:
        found["effort_none"] = False
    return found


def _facts(values: Mapping[str, object], source: str, as_of: date, evidence: Evidence) -> dict[str, Fact[Value]]:
    """Values as facts; one that is missing or of another kind than the capability's is left out, as not known."""
    made: dict[str, Fact[Value]] = {}
    for name, value in values.items():
        try:
            made[name] = Fact(checked(name, value, source), source, as_of, evidence)
        except InputError:
            continue
    return made


def _supported(able: Mapping[str, Any], name: str) -> bool | None:
    found = able.get(name)
    said = found.get("supported") if isinstance(found, Mapping) else None
    return said if isinstance(said, bool) else None


def _names(rule: Rule) -> list[str]:
    return [f"{'|'.join(rule.provider) or 'any'}/{rule.model or 'any'}: {name}" for name in rule.facts]


def _is_sourced(rule: Rule) -> bool:
    return bool(rule.source.strip()) and rule.as_of is not None and rule.evidence in list(Evidence)


def _check(rule: Rule, place: str) -> None:
    try:
        re.compile(rule.model)
    except re.error as error:
        raise InputError(f"{place}: the model {rule.model!r} is no pattern ({error})") from None
    if rule.evidence and rule.evidence not in list(Evidence):
        known = ", ".join(f"{mark.value} ({mark.in_words})" for mark in Evidence)
        raise InputError(f"{place}: found the evidence {rule.evidence!r}, expected one of: {known}")
    if not rule.facts:
        raise InputError(f"{place}: a rule without facts, expected some of: {', '.join(NAMES)}")
    for name, value in rule.facts.items():
        checked(name, value, place)
