"""The rules of preflight, as data: which field of a request meets which capability of a model, and what comes of it.

One JSON file (`data/preflight_rules.json`). A rule is about aspects of a request and holds by its condition; each says
where it is from and how sure that is. The conditions are the only code:

    capability_is      the model's capability has one of `values`
    value_flag         the capability that the request's own value names (`effort_{value}`) is a no
    needs_effort_none  the capability is `with_effort_none`, and the request's effort is not none
    over               the value is above the model's number
    estimate_over      the prompt is longer than the number, estimated     estimate_under   shorter
    api_version        the request goes out with one of `values` or a later version
    not_listed         the value is not in the capability's list
    other_name         the field has another name than the capability says
    crossing           the candidate is on another wire                    no_place   ... which has no such field
    always             whatever the model

A rule that is quiet says nothing where its capability is not known: there a refusal is the exception.
Elsewhere: applying them (preflight), the capabilities (capabilities).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import msgspec

from midshift.domain.clamping import EFFORTS
from midshift.errors import InputError
from midshift.providers.capabilities import NAMES, Evidence
from midshift.providers.request_places import Aspect
from midshift.wire.protocol import WireName

FORMAT = "midshift.preflight-rules/1"


class Outcome(StrEnum):
    """What becomes of a field at the candidate, the mildest first."""

    OK = "ok"
    DROPPED = "dropped"
    CLAMPED = "clamped"
    TRANSLATED = "translated"
    UNKNOWN = "unknown"
    FATAL = "fatal"


class Condition(StrEnum):
    """When a rule holds."""

    CAPABILITY_IS = "capability_is"
    VALUE_FLAG = "value_flag"
    NEEDS_EFFORT_NONE = "needs_effort_none"
    OVER = "over"
    ESTIMATE_OVER = "estimate_over"
    ESTIMATE_UNDER = "estimate_under"
    API_VERSION = "api_version"
    NOT_LISTED = "not_listed"
    OTHER_NAME = "other_name"
    CROSSING = "crossing"
    NO_PLACE = "no_place"
    ALWAYS = "always"


class Paste(StrEnum):
    """What in a variant's `params` would mend it."""

    DROP = "drop"
    CLAMP = "clamp"
    CLAMP_EFFORT = "clamp_effort"
    RENAME = "rename"
    THINKING = "thinking"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule. An empty `wires`, `providers` or `models` means any; `outcome_at` is another outcome at a provider.

    It is about `aspects`, or by a user's own word about `fields` as they stand in the body.

    `only_values` and `except_values` are values of the request that the rule is about, or is not about.
    """

    id: str
    aspects: tuple[Aspect, ...]
    condition: Condition
    outcome: Outcome
    why: str
    source: str
    evidence: Evidence
    as_of: date
    wires: tuple[WireName, ...] = ()
    providers: tuple[str, ...] = ()
    models: str = ""
    fields: tuple[str, ...] = ()
    capability: str = ""
    values: tuple[Any, ...] = ()
    only_values: tuple[Any, ...] = ()
    except_values: tuple[Any, ...] = ()
    outcome_at: dict[str, Outcome] = {}
    paste: Paste | None = None
    advice: str = ""
    is_quiet: bool = False
    is_same_wire: bool = False

    def is_about(self, provider: str, model: str, wire: WireName) -> bool:
        """Whether the rule is about a model there, on that wire."""
        return (
            (not self.wires or wire in self.wires)
            and (not self.providers or provider in self.providers)
            and re.search(self.models, model) is not None
        )

    def is_about_value(self, value: object) -> bool:
        """Whether the rule is about a request with this value."""
        if self.only_values and not _is_among(value, self.only_values):
            return False
        return not (self.except_values and _is_among(value, self.except_values))


class _File(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    rules: tuple[Rule, ...]


@cache
def bundled() -> tuple[Rule, ...]:
    """The rules that come with this version of midshift."""
    return read((resources.files("midshift.providers") / "data" / "preflight_rules.json").read_bytes())


def read(content: bytes) -> tuple[Rule, ...]:
    """Read a file of rules, each of which must say where it is from.

    Raises:
        InputError: naming every rule that has no source, and the first that is none.
    """
    try:
        found = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"these are no rules of preflight: {error}") from None
    if found.format != FORMAT:
        raise InputError(f"these rules have the format {found.format!r}, expected {FORMAT!r}")
    if unsourced := [rule.id for rule in found.rules if not rule.source.strip()]:
        raise InputError(f"rules without a source: {', '.join(unsourced)}")
    if unnamed := [rule.id for rule in found.rules if not _names_capability(rule)]:
        raise InputError(f"rules about a capability that there is no name for: {', '.join(unnamed)}")
    if len({rule.id for rule in found.rules}) < len(found.rules):
        raise InputError("two rules have the same id, expected each to have its own")
    return found.rules


def overrides(values: object, place: str, as_of: date) -> tuple[Rule, ...]:
    """Rules about single fields from a user's file (`{"fields": [{"field": "prediction", "outcome": "fatal", ...}]}`).

    Each has `field` and may have `provider`, `model`, `wire`, `values`, `outcome` (fatal), `source` and `evidence`.

    Raises:
        InputError: naming what was found in place of one.
    """
    rows = values.get("fields", []) if isinstance(values, Mapping) else None
    if not isinstance(rows, list):
        raise InputError(f"{place}: expected a list under 'fields', got {values!r:.200}")
    made = []
    for index, row in enumerate(rows):
        try:
            field = msgspec.convert(row, type=_Field)
            re.compile(field.model)
        except (msgspec.ValidationError, re.error) as error:
            raise InputError(f"{place}: fields[{index}]: {error}") from None
        made.append(_own_rule(field, f"{place}#{index}", place, as_of))
    return tuple(made)


class _Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    field: str
    provider: str = ""
    model: str = ""
    wire: WireName | None = None
    values: tuple[Any, ...] = ()
    outcome: Outcome = Outcome.FATAL
    source: str = ""
    evidence: Evidence = Evidence.USER
    as_of: date | None = None


def _own_rule(field: _Field, name: str, place: str, as_of: date) -> Rule:
    return Rule(
        id=name,
        aspects=(),
        condition=Condition.ALWAYS,
        outcome=field.outcome,
        why="your own rule says so",
        source=f"{place}: {field.source}" if field.source else place,
        evidence=field.evidence,
        as_of=field.as_of or as_of,
        providers=(field.provider,) if field.provider else (),
        wires=(field.wire,) if field.wire is not None else (),
        models=field.model,
        fields=(field.field,),
        only_values=field.values,
        paste=Paste.DROP if field.outcome is Outcome.FATAL else None,
    )


def _names_capability(rule: Rule) -> bool:
    if rule.condition in (Condition.CROSSING, Condition.NO_PLACE, Condition.ALWAYS, Condition.API_VERSION):
        return rule.capability == ""
    if "{value}" in rule.capability:
        return any(rule.capability.format(value=value) in NAMES for value in (*EFFORTS, "enabled"))
    return rule.capability in NAMES


def _is_among(value: object, values: tuple[Any, ...]) -> bool:
    """Whether a value is one of a list; True is not 1 here, as it is not in JSON."""
    return any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in values)


SEVERITY: Mapping[Outcome, int] = MappingProxyType({outcome: rank for rank, outcome in enumerate(Outcome)})
