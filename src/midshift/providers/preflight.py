"""Preflight: recorded requests against a candidate, before a token is spent.

Pure. Each field of each request meets the rules: it is ok, dropped, clamped, translated, fatal (the provider would
answer 400), or unknown. What the variant's own `params` do is done first and reported as the variant's doing; what it
sets is judged like what an app sends. Counts are of requests, examples name some; texts are never shown.
Elsewhere: the rules (preflight_rules) and when they hold (preflight_conditions), the way to the candidate
(preflight_way), what a request holds (request_fields), what to paste (preflight_remedy).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from midshift.domain.clamping import EFFORT
from midshift.domain.rendering import Recipe
from midshift.providers.capabilities import Capabilities, Evidence, Fact, Value
from midshift.providers.preflight_conditions import USUAL_BYTES_A_TOKEN, Terms, holds
from midshift.providers.preflight_rules import SEVERITY, Condition, Outcome, Rule
from midshift.providers.preflight_way import Candidate, Doing, Way, guarded, way_of
from midshift.providers.request_fields import (
    VERSION_HEADER,
    Found,
    RecordedRequest,
    fields,
)
from midshift.providers.request_places import Aspect
from midshift.wire.protocol import WireName

_EXAMPLES = 3
_LONGEST_VALUE = 40
_PLACELESS = frozenset({Aspect.LENGTH, Aspect.API_VERSION, Aspect.SYSTEM})


_DONE = {
    Doing.DROPPED: (Outcome.DROPPED, "dropped by the variant"),
    Doing.SET: (Outcome.TRANSLATED, "set by the variant"),
    Doing.CLAMPED: (Outcome.CLAMPED, "held within the variant's bounds"),
    Doing.CARRIED: (Outcome.TRANSLATED, "it has another place on the candidate's wire"),
    Doing.API_VERSION: (Outcome.TRANSLATED, "it goes out with the version that was asked for"),
    Doing.NO_LIMIT: (Outcome.FATAL, "the request has no limit, and the candidate's wire requires one"),
}
_ADVICE = {Doing.NO_LIMIT: "pin one for every request: params: {set: {max_tokens: N}}"}


@dataclass(frozen=True, slots=True)
class Row:
    """What becomes of a field in some of the requests, by which rule; `examples` are (request, value in words).

    `rule` is empty where the field is ok. `by_variant` is true for what the variant's own parameters do.
    """

    field: str
    outcome: Outcome
    count: int
    examples: tuple[tuple[str, str], ...]
    rule: str = ""
    why: str = ""
    source: str = ""
    evidence: Evidence | None = None
    advice: str = ""
    by_variant: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """A field that a rule could mend by a variant's parameters: its name on the candidate's wire, and the rule."""

    name: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """The rows, worst first; how many requests there were, and how many by their worst outcome.

    `needs` are the refusals that parameters could mend; `largest` is the highest number seen in each of their fields,
    `without_thinking` how many requests did not ask for thinking, and `efforts` those that requests ask for.
    """

    rows: tuple[Row, ...]
    requests: int
    worst: Mapping[Outcome, int]
    needs: tuple[Need, ...] = ()
    largest: Mapping[str, float] = field(default_factory=dict)
    without_thinking: int = 0
    efforts: frozenset[str] = frozenset()

    @property
    def is_fatal(self) -> bool:
        """Whether some request would be refused."""
        return self.worst.get(Outcome.FATAL, 0) > 0


def preflight(requests: Iterable[RecordedRequest], candidate: Candidate, rules: Sequence[Rule]) -> PreflightReport:
    """Judge every request."""
    judge = _Judge(candidate, rules)
    for request in requests:
        judge.add(request)
    return judge.report()


@dataclass(slots=True)
class _Count:
    rule: Rule | Doing | None
    fact: Fact[Value] | None
    number: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)


class _Judge:
    def __init__(self, candidate: Candidate, rules: Sequence[Rule]) -> None:
        self._candidate = candidate
        self._rules = rules
        self._changes = Recipe.of(candidate.variant).always
        self._ways: dict[WireName, Way] = {}
        self._counts: dict[tuple[str, Outcome, str], _Count] = {}
        self._needs: dict[tuple[str, str], Need] = {}
        self._largest: dict[str, float] = {}
        self._worst: dict[Outcome, int] = {}
        self._requests = 0
        self._without_thinking = 0
        self._efforts: set[str] = set()

    def add(self, request: RecordedRequest) -> None:
        way = self._way(request.wire)
        found = fields(request)
        terms = self._terms(request, way, found)
        worst = Outcome.OK
        seen = {one.path for one in found}
        own = [Found(Aspect.OTHER, path, _at(request.body, path)) for path in way.by_field if path not in seen]
        for one in [*found, *(one for one in own if one.value is not None)]:
            worst = max(worst, self._judge(request.id, way, one, terms), key=SEVERITY.__getitem__)
        for one in way.pinned:
            worst = max(worst, self._judge_pinned(request.id, way, one, terms), key=SEVERITY.__getitem__)
        if way.lacks_limit(found):
            worst, none = _DONE[Doing.NO_LIMIT][0], Found(Aspect.MAX_TOKENS, "max_tokens", "absent")
            self._count(none.path, worst, Doing.NO_LIMIT, request.id, none)
        self._requests += 1
        self._without_thinking += Aspect.THINKING not in {one.aspect for one in found}
        self._efforts.update(str(one.value) for one in found if one.aspect is Aspect.EFFORT)
        self._efforts.update("none" for one in found if one.aspect is Aspect.THINKING and one.value == "disabled")
        self._worst[worst] = self._worst.get(worst, 0) + 1

    def report(self) -> PreflightReport:
        rows = [_row(path, outcome, name, count) for (path, outcome, name), count in self._counts.items()]
        rows.sort(key=lambda row: (-SEVERITY[row.outcome], -row.count, row.field, row.rule))
        return PreflightReport(
            tuple(rows),
            self._requests,
            self._worst,
            tuple(self._needs.values()),
            self._largest,
            self._without_thinking,
            frozenset(self._efforts),
        )

    def _way(self, spoken: WireName) -> Way:
        if spoken not in self._ways:
            self._ways[spoken] = way_of(spoken, self._candidate, self._rules)
        return self._ways[spoken]

    def _judge(self, request: str, way: Way, found: Found, terms: Terms) -> Outcome:
        if found.aspect is Aspect.API_VERSION and self._candidate.api_version not in (None, found.value):
            self._count(found.path, Outcome.TRANSLATED, Doing.API_VERSION, request, found)
            found = Found(found.aspect, found.path, self._candidate.api_version)
        name = way.name(found)
        done, value = guarded(way, found, name)
        if done is not None and value is None:
            self._count(found.path, _DONE[done][0], done, request, found)
            return _DONE[done][0]
        outcome, rule = self._worst_of(way, Found(found.aspect, found.path, value), terms)
        if outcome is Outcome.FATAL and rule is not None and rule.paste is not None:
            self._need(name or found.path, rule, value)
        if done is None and way.crosses and found.aspect not in _PLACELESS and name not in (None, found.path):
            done = Doing.CARRIED
        if done is not None and SEVERITY[outcome] < SEVERITY[_DONE[done][0]]:
            self._count(found.path, _DONE[done][0], done, request, found)
            return _DONE[done][0]
        self._count(found.path, outcome, rule, request, found)
        return outcome

    def _judge_pinned(self, request: str, way: Way, found: Found, terms: Terms) -> Outcome:
        outcome, rule = self._worst_of(way, found, terms)
        if outcome is not Outcome.OK:
            self._count(f"the variant's {found.path}", outcome, rule, request, found)
        return outcome

    def _worst_of(self, way: Way, found: Found, terms: Terms) -> tuple[Outcome, Rule | None]:
        worst: Outcome = Outcome.OK
        by: Rule | None = None
        for rule in (*way.by_aspect.get(found.aspect, ()), *way.by_field.get(found.path, ())):
            outcome = self._outcome(rule, way, found, terms)
            if SEVERITY[outcome] > SEVERITY[worst]:
                worst, by = outcome, rule
        return worst, by

    def _outcome(self, rule: Rule, way: Way, found: Found, terms: Terms) -> Outcome:
        if (rule.is_same_wire and way.crosses) or not rule.is_about_value(found.value):
            return Outcome.OK
        is_so = holds(rule, way, found, terms, self._candidate.capabilities)
        if is_so is None:
            return Outcome.OK if rule.is_quiet else Outcome.UNKNOWN
        return rule.outcome_at.get(self._candidate.capabilities.provider, rule.outcome) if is_so else Outcome.OK

    def _terms(self, request: RecordedRequest, way: Way, found: Sequence[Found]) -> Terms:
        return Terms(self._effort(found), self._version(request, way))

    def _effort(self, found: Sequence[Found]) -> str | None:
        asked = next((one.value for one in found if one.aspect is Aspect.EFFORT), None)
        bounds = self._changes.clamp.get(EFFORT)
        if isinstance(asked, str) and bounds is not None:
            asked = bounds.clamped(asked)
        said = self._changes.effort or self._changes.set.get("reasoning_effort") or asked
        return said if isinstance(said, str) else self._candidate.capabilities.word("default_effort")

    def _version(self, request: RecordedRequest, way: Way) -> str | None:
        if self._candidate.api_version is not None:
            return self._candidate.api_version
        return self._candidate.usual_version if way.crosses else request.headers.get(VERSION_HEADER)

    def _need(self, name: str, rule: Rule, value: object) -> None:
        self._needs.setdefault((name, rule.id), Need(name, rule))
        if isinstance(value, int | float) and not isinstance(value, bool):
            self._largest[name] = max(value, self._largest.get(name, value))

    def _count(self, path: str, outcome: Outcome, rule: Rule | Doing | None, request: str, found: Found) -> None:
        key = (path, outcome, rule.id if isinstance(rule, Rule) else (rule or ""))
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(rule, _fact(rule, found, self._candidate.capabilities))
        count.number += 1
        if len(count.examples) < _EXAMPLES:
            count.examples.append((request[:_LONGEST_VALUE], _shown(found)))


def _shown(found: Found) -> str:
    if found.aspect in (Aspect.LENGTH, Aspect.CACHE_MARK):
        return f"about {found.value // USUAL_BYTES_A_TOKEN} tokens"
    return in_words(found.value)


def in_words(value: object) -> str:
    """A value, short and without anybody's words: texts of more than one word are only measured."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case str() if len(value) <= _LONGEST_VALUE and not any(character.isspace() for character in value):
            return value
        case str():
            return f"a text of {len(value)} characters"
        case list() | tuple():
            return f"a list of {len(value)}"
        case Mapping():
            return f"an object of {len(value)}"
        case _:
            return "null"


def _at(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _row(path: str, outcome: Outcome, name: str, count: _Count) -> Row:
    rule, examples = count.rule, tuple(count.examples)
    match rule:
        case None:
            return Row(path, outcome, count.number, examples)
        case Doing():
            is_own = rule in (Doing.DROPPED, Doing.SET, Doing.CLAMPED)
            advice = _ADVICE.get(rule, "")
            return Row(path, outcome, count.number, examples, name, _DONE[rule][1], advice=advice, by_variant=is_own)
        case Rule() if outcome is Outcome.UNKNOWN and rule.outcome is not Outcome.UNKNOWN:
            return Row(path, outcome, count.number, examples, name, _open(rule, count.fact))
        case Rule():
            source = count.fact.source if count.fact is not None else rule.source
            evidence = count.fact.evidence if count.fact is not None else rule.evidence
            return Row(path, outcome, count.number, examples, name, rule.why, source, evidence, rule.advice)


def _open(rule: Rule, fact: Fact[Value] | None) -> str:
    """What is not known, in words."""
    if rule.condition is Condition.API_VERSION:
        return f"not known which API version it goes out with: {rule.why}"
    if rule.condition is Condition.NEEDS_EFFORT_NONE and fact is not None:
        return f"not known which effort the model has by itself: {rule.why}"
    if rule.condition is Condition.ESTIMATE_OVER and fact is not None:
        return f"not known, it is too near the limit for an estimate, whether {rule.why}"
    return f"not known whether {rule.why}"


def _fact(rule: Rule | Doing | None, found: Found, capabilities: Capabilities) -> Fact[Value] | None:
    """The fact about the model that a rule rests on: its source counts, and not the rule's."""
    if not isinstance(rule, Rule) or not rule.capability:
        return None
    name = rule.capability.format(value=found.value)
    return capabilities.facts.get(name)
