"""How recorded requests go to a candidate: on which wire, by which rules, and what its variant's parameters do.

The parameters are taken as the wires apply them: a name is a dotted path, a bare one on Gemini's wire is of the
generation config, and on Anthropic's an effort is the whole dial of thinking.
Elsewhere: what becomes of a field (preflight), when a rule holds (preflight_conditions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from midshift.domain.clamping import EFFORT, Bounds
from midshift.domain.rendering import Changes, Recipe
from midshift.domain.variant import Json, Variant
from midshift.providers.capabilities import Capabilities
from midshift.providers.preflight_rules import Rule
from midshift.providers.request_fields import Found, parameter_path, pinned_fields
from midshift.providers.request_places import PLACES, Aspect
from midshift.wire.protocol import WireName


class Doing(StrEnum):
    """What is done to a field on the way, and not by the model."""

    DROPPED = "variant-drop"
    SET = "variant-set"
    CLAMPED = "variant-clamp"
    CARRIED = "carried"
    API_VERSION = "api-version-sent"
    NO_LIMIT = "limit-missing"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant with what is known of its model, and the wires on which its provider is asked, the preferred first.

    `api_version` is sent whatever the app sends; `usual_version` where a request comes over from another wire.
    """

    variant: Variant
    capabilities: Capabilities
    wires: tuple[WireName, ...]
    api_version: str | None = None
    usual_version: str | None = None

    def wire_for(self, request: WireName) -> WireName:
        """The wire on which a request goes out: its own where the provider speaks it."""
        return request if request in self.wires else self.wires[0]


@dataclass(frozen=True, slots=True)
class Way:
    """How requests of one wire go to the candidate: the wire, its rules, and what the variant does there, by place."""

    spoken: WireName
    wire: WireName
    by_aspect: Mapping[Aspect, tuple[Rule, ...]]
    by_field: Mapping[str, tuple[Rule, ...]]
    pinned: tuple[Found, ...]
    changes: Changes
    dropped: frozenset[str] = frozenset()
    put: frozenset[str] = frozenset()
    clamped: Mapping[str, Bounds] = field(default_factory=dict)

    @property
    def crosses(self) -> bool:
        return self.spoken is not self.wire

    def lacks_limit(self, found: Iterable[Found]) -> bool:
        """Whether a request arrives without the limit that Anthropic's wire requires: the gateway refuses it then."""
        if not self.crosses or self.wire is not WireName.ANTHROPIC or "max_tokens" in self.put:
            return False
        return not any(one.aspect is Aspect.MAX_TOKENS for one in found)

    def name(self, found: Found) -> str | None:
        """The field's name on the candidate's wire; None where it has none there."""
        return PLACES[self.wire].get(found.aspect) if self.crosses else found.path


def way_of(spoken: WireName, candidate: Candidate, rules: Sequence[Rule]) -> Way:
    """The way of requests of one wire."""
    changes = Recipe.of(candidate.variant).always
    wire = candidate.wire_for(spoken)
    provider, model = candidate.capabilities.provider, candidate.capabilities.model
    by_aspect: dict[Aspect, tuple[Rule, ...]] = {}
    by_field: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        if rule.is_about(provider, model, wire):
            for aspect in rule.aspects:
                by_aspect[aspect] = (*by_aspect.get(aspect, ()), rule)
            for path in rule.fields:
                by_field[path] = (*by_field.get(path, ()), rule)
    pinned = [found for found in pinned_fields(wire, _plain(changes.set)) if found.aspect is not Aspect.SYSTEM]
    if changes.effort is not None:
        pinned.append(_pinned_effort(wire, changes.effort))
    paths = {name: parameter_path(wire, name) for name in (*changes.drop, *changes.set, *changes.clamp)}
    return Way(
        spoken,
        wire,
        by_aspect,
        by_field,
        tuple(pinned),
        changes,
        frozenset(paths[name] for name in changes.drop),
        frozenset(paths[name] for name in changes.set),
        {paths[name]: bounds for name, bounds in changes.clamp.items() if name != EFFORT},
    )


def _pinned_effort(wire: WireName, effort: str) -> Found:
    """What a variant's own effort says on a wire; on Anthropic's some of the scale is a kind of thinking."""
    kind = _kind_of_thinking(effort) if wire is WireName.ANTHROPIC else None
    return Found(Aspect.EFFORT, "effort", effort) if kind is None else Found(Aspect.THINKING, "effort", kind)


def _kind_of_thinking(effort: str) -> str | None:
    if effort in ("none", "budget:0"):
        return "disabled"
    if effort.startswith("budget:"):
        return "enabled"
    return "adaptive" if effort == "auto" else None


def _names_of(path: str) -> tuple[str, ...]:
    """The names that take a field along: its own, and those of the objects that it is in."""
    steps = path.partition("[")[0].split(".")
    return (path, *(".".join(steps[:length]) for length in range(1, len(steps) + 1)))


def guarded(way: Way, found: Found, name: str | None) -> tuple[Doing | None, Any]:
    """What the variant's parameters do to a field: the doing (None: nothing), and the value that goes on."""
    if name is None or found.aspect in (Aspect.LENGTH, Aspect.API_VERSION):
        return None, found.value
    changes, names = way.changes, _names_of(name)
    if any(one in way.dropped for one in names):
        return Doing.DROPPED, None
    if any(one in way.put for one in names):
        return Doing.SET, None
    if found.aspect is Aspect.EFFORT:
        return (Doing.SET, None) if changes.effort is not None else _bounded(changes.clamp.get(EFFORT), found)
    if found.aspect is Aspect.THINKING and way.wire is WireName.ANTHROPIC:
        return _thought(found, changes)
    return _bounded(way.clamped.get(name), found)


def _thought(found: Found, changes: Changes) -> tuple[Doing | None, Any]:
    """On Anthropic's wire an effort is the whole dial: the app's own kind of thinking gives way to it."""
    effort, bounds = changes.effort, changes.clamp.get(EFFORT)
    if effort is None:
        is_raised = found.value == "disabled" and bounds is not None and bounds.clamped("none") != "none"
        return (Doing.CLAMPED, "adaptive") if is_raised else (None, found.value)
    if _kind_of_thinking(effort) is not None:
        return Doing.SET, None
    return (Doing.SET, "adaptive") if found.value in ("enabled", "disabled") else (None, found.value)


def _bounded(bounds: Bounds | None, found: Found) -> tuple[Doing | None, Any]:
    value = found.value if bounds is None else bounds.clamped(found.value)
    return (None, value) if value == found.value else (Doing.CLAMPED, value)


def _plain(values: Mapping[str, Json]) -> dict[str, Any]:
    return {name: _plain(value) if isinstance(value, Mapping) else value for name, value in values.items()}
