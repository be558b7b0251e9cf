"""What to paste into a variant's file so that its requests are taken, and what no variant can mend.

A proposal keeps what the variant says already and adds the least: fields to drop, bounds, and one value where a field
has to go under another name. It says what else it changes: a field that is set is set in every request.
Elsewhere: finding what is needed (preflight), what parameters do (domain.rendering).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from midshift.domain.clamping import EFFORT
from midshift.domain.rendering import GUARDS
from midshift.domain.variant import Json, Variant
from midshift.providers.capabilities import Capabilities, effort_bounds
from midshift.providers.preflight import Need, PreflightReport
from midshift.providers.preflight_rules import Outcome, Paste


@dataclass(frozen=True, slots=True)
class Remedy:
    """The parameters to paste, whole; `notes` say what they change beside, and what remains to be done by hand."""

    params: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to paste and nothing to do."""
        return not self.params and not self.notes


@dataclass(slots=True)
class _Draft:
    drop: set[str] = field(default_factory=set)
    put: dict[str, Any] = field(default_factory=dict)
    clamp: dict[str, list[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def remedy(report: PreflightReport, variant: Variant, capabilities: Capabilities) -> Remedy:
    """The parameters that would mend what can be mended, and a note for everything else that is fatal."""
    draft = _Draft()
    for need in sorted(report.needs, key=lambda need: (need.name, need.rule.id)):
        _mend(draft, need, report, capabilities)
    for row in report.rows:
        if row.outcome is Outcome.FATAL and row.advice:
            draft.notes.append(f"{row.field}: {row.advice}")
        if row.outcome is Outcome.FATAL and row.field.startswith("the variant's "):
            draft.notes.append(f"{row.field}: the variant sets it itself; take it out of its file")
    mended = bool(draft.drop or draft.put or draft.clamp)
    return Remedy(_merged(variant.parameters, draft) if mended else {}, tuple(dict.fromkeys(draft.notes)))


def _mend(draft: _Draft, need: Need, report: PreflightReport, capabilities: Capabilities) -> None:
    paste, name = need.rule.paste, need.name
    limit = capabilities.number("max_output_tokens")
    if paste is Paste.THINKING:
        _mend_thinking(draft, report, capabilities)
    elif paste is Paste.CLAMP_EFFORT:
        _mend_effort(draft, report, capabilities)
    elif "[" in name or name == "include":
        draft.notes.append(f"{name}: lies inside a list, where `params` do not reach; the app has to change it")
    elif paste is Paste.DROP:
        draft.drop.add(name)
    elif paste is Paste.CLAMP and limit is not None:
        draft.clamp[name] = [1, limit]
    elif paste is Paste.RENAME:
        _mend_name(draft, need, report, capabilities)


def _mend_thinking(draft: _Draft, report: PreflightReport, capabilities: Capabilities) -> None:
    if capabilities.flag("thinking_default_on") or not capabilities.flag("thinking_adaptive"):
        draft.drop.add("thinking")
        how = "by itself" if capabilities.flag("thinking_default_on") else "as it does without being asked"
        draft.notes.append(f"thinking: without the field the model thinks {how}; `effort` says how much")
        return
    draft.put["thinking"] = {"type": "adaptive"}
    if report.without_thinking:
        draft.notes.append(
            f"thinking: set in every request, also in the {report.without_thinking} of {report.requests} without it"
        )


def _mend_effort(draft: _Draft, report: PreflightReport, capabilities: Capabilities) -> None:
    bounds = effort_bounds(capabilities, report.efforts)
    if bounds is None:
        draft.notes.append("effort: no bounds mend it and leave what is taken; pin one, or ask the app")
        return
    draft.clamp[EFFORT] = list(bounds)
    draft.notes.append("effort: a request that is clamped is thought about more or less than the app asked for")


def _mend_name(draft: _Draft, need: Need, report: PreflightReport, capabilities: Capabilities) -> None:
    wanted, largest = capabilities.word(need.rule.capability), report.largest.get(need.name)
    limit = capabilities.number("max_output_tokens")
    draft.drop.add(need.name)
    if wanted is None or largest is None:
        return
    draft.put[wanted] = int(largest if limit is None else min(largest, limit))
    draft.notes.append(f"{wanted}: one value for every request, the largest {need.name} that was seen")


def _merged(parameters: Mapping[str, Json], draft: _Draft) -> dict[str, Any]:
    written = {name: plain(value) for name, value in parameters.items()}
    direct = {name: value for name, value in written.items() if name not in GUARDS and name not in draft.drop}
    drop = sorted({*written.get("drop", ()), *draft.drop} - draft.put.keys())
    put = {**written.get("set", {}), **draft.put}
    bounds = {**written.get("clamp", {}), **draft.clamp}
    clamp = {name: pair for name, pair in bounds.items() if name not in drop and name not in put}
    guards = {"drop": drop, "set": put, "clamp": clamp}
    return {**direct, **{name: value for name, value in guards.items() if value}}


def plain(value: Json) -> Any:
    """A parameter's value as lists and dicts, to be written down."""
    match value:
        case Mapping():
            return {name: plain(item) for name, item in value.items()}
        case tuple():
            return [plain(item) for item in value]
        case _:
            return value
