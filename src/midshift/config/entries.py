"""A workload's entry in the main file, and a provider's, in one plain form: what is written, hashed and compared.

What an entry leaves out stays out, so that a new field with a default changes no hash.
"""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

from midshift.config import units
from midshift.domain.plan import Halts, Plan
from midshift.domain.suite import SliceRole
from midshift.domain.workload import BodyEquals, Capture, DataPolicy, HeaderEquals, LanguageIs, When, Workload
from midshift.providers import presets
from midshift.providers.definition import MAX_CONNECTIONS, Provider
from midshift.providers.http.settings import Timeouts

FORMAT = "midshift.definition/1"
PROVIDERS_FORMAT = "midshift.providers/1"
PROVIDERS = ":providers"
"""Under which name a store keeps the providers; no workload can be called so."""

GRADERS_FORMAT = "midshift.graders/1"
GRADERS = ":graders"
"""Under which name a store keeps the functions that suites may grade with."""

Plain: TypeAlias = dict[str, object]


def entry(
    workload: Workload, plan: Plan, incumbent: str, safe_harbour: str | None, suite: str | None, runbook: str | None
) -> Plain:
    """The entry; `incumbent` and the rest are what it names: files, or a variant's id."""
    fields: Plain = {
        "claims": list(workload.claims),
        "unit": [str(source) for source in workload.unit],
        "cycle": workload.cycle.value,
        "stakes": workload.stakes.value,
        "slices": _slices(workload),
        "incumbent": incumbent,
        "safe_harbour": safe_harbour,
        "suite": suite,
        "upgrade": _upgrade(workload, plan),
        "budgets": given(
            p99_latency_ms=workload.budgets.p99_latency_ms, cost_per_call_usd=workload.budgets.cost_per_call_usd
        ),
        "data": _data(workload.data),
        "runbook": runbook,
    }
    return {name: value for name, value in fields.items() if value}


def provider(item: Provider) -> Plain:
    """A provider's entry."""
    fields = given(
        vendor=item.vendor if presets.bundled().vendor(item.name) != item.vendor else None,
        base_url=item.base_url,
        key=_text(item.key),
        shadow_key=_text(item.shadow_key),
        region=item.region,
        resource=item.resource,
        project=item.project,
        wires=[wire.value for wire in item.wires] or None,
        auth=_text(item.auth),
        headers=dict(item.headers) or None,
        timeouts=_timeouts(item.timeouts) or None,
        max_connections=item.max_connections if item.max_connections != MAX_CONNECTIONS else None,
        ca_file=item.ca_file,
        stream_usage=None if item.stream_usage is None else "ask" if item.stream_usage else "never",
    )
    return fields


def _timeouts(limits: Timeouts) -> Plain:
    usual = Timeouts()
    names = ("connect_s", "first_byte_s", "idle_s", "total_s")
    return {name: getattr(limits, name) for name in names if getattr(limits, name) != getattr(usual, name)}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def digest(name: str, fields: Plain) -> str:
    """SHA-256 over the canonical JSON of an entry, 64 hexadecimal digits."""
    canonical = json.dumps([FORMAT, name, fields], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def given(**fields: object) -> Plain:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def _slices(workload: Workload) -> Plain:
    rules = {rule.slice: rule.when for rule in workload.rules}
    return {
        part.name: given(
            when=_when(rules[part.name]) if part.name in rules else None,
            role=part.role.value if part.role is SliceRole.WATCH else None,
            margin=None if part.margin is None else units.in_points(part.margin.points),
        )
        for part in workload.slices
    }


def _when(when: When) -> Plain:
    match when:
        case HeaderEquals(header=header, equals=equals):
            return {"header": header, "equals": equals}
        case BodyEquals(body=body, equals=value):
            return {"body": body, "equals": value}
        case LanguageIs(language=language):
            return {"language": language}


def _upgrade(workload: Workload, plan: Plan) -> Plain:
    approvals: dict[str, list[Plain]] = {}
    for approval in plan.approvals:
        listed = approvals.setdefault(units.in_percent(approval.share), [])
        listed.append(given(role=approval.role, slice=approval.slice))
    entry: Plain = {
        "steps": [units.in_percent(step.share) for step in plan.steps],
        "holds": [units.in_units(step.hold) for step in plan.steps[:-1]],
        "margin": units.in_points(plan.margin.points),
        "shadow": units.in_units(plan.shadow),
        "soak": units.in_units(plan.soak),
        "halt": _halt(plan.halts),
    }
    shares = {name: units.in_percent(getattr(plan, name)) for name in ("noise", "pairs")}
    usual = Plan()
    entry |= {name: text for name, text in shares.items() if getattr(plan, name) != getattr(usual, name)}
    rings = {ring.name: given(when=None if ring.when is None else _when(ring.when)) for ring in workload.rings}
    return entry | ({"rings": rings} if rings else {}) | ({"approvals": approvals} if approvals else {})


def _halt(halts: Halts) -> Plain:
    return {
        "eval": units.in_points(halts.eval_points),
        "satisfaction": halts.satisfaction,
        "error_rate": units.in_points(halts.error_rate_points),
    }


def _data(data: DataPolicy) -> Plain:
    capture = None if data.capture == Capture() else _capture(data.capture)
    return given(vendors=list(data.vendors) or None, regions=list(data.regions) or None, capture=capture)


def _capture(capture: Capture) -> Plain:
    redact = [kind.value for kind in capture.redact]
    return given(texts=units.in_percent(capture.share), keep=units.in_units(capture.keep), redact=redact or None)
