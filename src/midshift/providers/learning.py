"""From a vendor's 400 to a rule that would have foreseen it: a proposal to paste, never a fact by itself.

Pure. The three vendors say what they refused in their own ways: OpenAI names the field (`param`) and a `code`,
Anthropic writes a sentence, Gemini a sentence or a list of fields. A sentence that is not known teaches nothing. The
texts below were quoted by users of the vendors' APIs; no live vendor was asked. The evidence keeps the vendor's words,
without anything that looks like somebody else's.
Elsewhere: the file that the proposals go into (capability_sources.overrides, preflight_rules.overrides).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from midshift.domain.clamping import EFFORTS
from midshift.providers.capabilities import Evidence
from midshift.providers.request_fields import RecordedRequest
from midshift.wire.protocol import WireName

REFUSALS = frozenset({400, 422})
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class ProposedRule:
    """A rule for the user's own file: facts about a model, or one field (with values, if only these are refused)."""

    model: str
    wire: WireName
    evidence: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    field: str = ""
    values: tuple[Any, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As it is pasted: under `rules` if it has facts, else under `fields`."""
        known = {"model": f"^{_literally(self.model)}$", "source": self.evidence, "evidence": Evidence.RUN.value}
        if self.facts:
            return {"facts": dict(self.facts), **known}
        values = {"values": list(self.values)} if self.values else {}
        return {"field": self.field, "wire": self.wire.value, **values, **known}


_Taught = Callable[[re.Match[str]], dict[str, Any]]


def _number(name: str, less: int = 0) -> _Taught:
    return lambda found: {name: int(found[1].replace(",", "")) - less}


def _efforts(found: re.Match[str]) -> dict[str, Any]:
    taken = re.findall(r"'(\w+)'", found[2])
    return {f"effort_{level}": level in taken for level in EFFORTS}


def _thinking(found: re.Match[str]) -> dict[str, Any]:
    other = {"thinking_adaptive": True} if "adaptive" in found.string and found[1] != "adaptive" else {}
    return {f"thinking_{found[1]}": False, **other}


_LIMITS: tuple[tuple[str, _Taught], ...] = (
    (r"max_tokens: \d+ > (\d+), which is the maximum allowed number of output tokens", _number("max_output_tokens")),
    (r"supports at most ([\d,]+) completion tokens", _number("max_output_tokens")),
    (r"maxOutputTokens value of \d+ but the supported range is from \d+ \(inclusive\) to (\d+) \(exclusive\)",
     _number("max_output_tokens", less=1)),
    (r"prompt is too long: \d+ tokens > (\d+) maximum", _number("context_tokens")),
    (r"maximum context length is ([\d,]+) tokens", _number("context_tokens")),
    (r"exceeds the maximum number of tokens allowed \(?(\d+)", _number("context_tokens")),
)  # fmt: skip
_SENTENCES: tuple[tuple[str, _Taught], ...] = (
    *_LIMITS,
    (r"does not support assistant message prefill|Prefilling assistant messages is not supported",
     lambda _: {"assistant_prefill": False}),
    (r'"?thinking\.type\.(enabled|adaptive|disabled)"? is not supported', _thinking),
    (r"'(reasoning_effort|reasoning\.effort)' does not support .*Supported values are: ([^.]*)", _efforts),
    (r"Only the default \(1\) value is supported", lambda _: {"sampling": "default_only"}),
    (r"Use '(max_completion_tokens|max_tokens)' instead", lambda found: {"max_tokens_field": found[1]}),
    (r"Function tools with reasoning_effort are not supported .*set reasoning_effort to 'none'",
     lambda _: {"chat_tools": "with_effort_none"}),
)  # fmt: skip
_FIELDS = (
    r"^`?(\w+)`? is deprecated for this model",
    r"^([\w.]+): Extra inputs are not permitted",
    r"[Uu]n(?:supported|known) parameter: '([\w.]+)'",
    r"because ([a-z_]\w*) is not supported by this model",
)
_CODES = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
_OF_GEMINI = MappingProxyType({"thinking_level": "generationConfig.thinkingConfig.thinkingLevel"})


def learn(error: object, wire: WireName, status: int, request: RecordedRequest) -> ProposedRule | None:
    """What a refusal teaches about the model that gave it; None for anything but a refusal that is understood.

    `error` is the body of the answer, read as JSON.
    """
    told = _told(error)
    model = request.model
    if status not in REFUSALS or told is None or not model:
        return None
    evidence = f"{status} for {request.id}: {_quoted(told.message)}"
    facts = _facts(told.message)
    if facts:
        return ProposedRule(model, wire, evidence, facts)
    name = told.param if told.code in _CODES and told.param else _field_of(told, wire)
    if name is None:
        return None
    values = _refused_values(name, told, request)
    return ProposedRule(model, wire, evidence, field=name, values=values)


def merged(proposals: Iterable[ProposedRule]) -> dict[str, list[dict[str, Any]]]:
    """Proposals as one file's content, each once, the first evidence kept."""
    rules: dict[str, dict[str, Any]] = {}
    fields: dict[str, dict[str, Any]] = {}
    for proposal in proposals:
        plain = proposal.plain()
        key = repr({name: value for name, value in plain.items() if name != "source"})
        (rules if proposal.facts else fields).setdefault(key, plain)
    both = {"rules": list(rules.values()), "fields": list(fields.values())}
    return {name: rows for name, rows in both.items() if rows}


@dataclass(frozen=True, slots=True)
class _Told:
    message: str
    code: str = ""
    param: str = ""
    violations: tuple[str, ...] = ()


def _told(error: object) -> _Told | None:
    if isinstance(error, list) and error:
        error = error[0]
    inner = error.get("error", error) if isinstance(error, Mapping) else None
    message = inner.get("message") if isinstance(inner, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(message, str):
        return None
    code, param, details = inner.get("code"), inner.get("param"), inner.get("details")
    return _Told(
        message,
        code if isinstance(code, str) else "",
        param if isinstance(param, str) else "",
        tuple(_violations(details if isinstance(details, list) else [])),
    )


def _violations(details: list[Any]) -> Iterable[str]:
    for detail in details:
        listed = detail.get("fieldViolations") if isinstance(detail, Mapping) else None
        for violation in listed if isinstance(listed, list) else ():
            name = violation.get("field") if isinstance(violation, Mapping) else None
            if isinstance(name, str) and name:
                yield name


def _facts(message: str) -> dict[str, Any]:
    for pattern, taught in _SENTENCES:
        found = re.search(pattern, message, re.DOTALL)
        if found is not None:
            return taught(found)
    return {}


def _field_of(told: _Told, wire: WireName) -> str | None:
    if told.violations:
        return _camel(told.violations[0])
    for pattern in _FIELDS:
        found = re.search(pattern, told.message)
        if found is not None:
            return _OF_GEMINI.get(found[1], found[1]) if wire is WireName.GEMINI else found[1]
    return None


def _refused_values(name: str, told: _Told, request: RecordedRequest) -> tuple[Any, ...]:
    """The request's own value, where the vendor refused a value and not the field."""
    value = request.body.get(name)
    is_plain = isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 40)
    return (value,) if told.code == "unsupported_value" and is_plain else ()


def _quoted(message: str) -> str:
    """The vendor's sentence on one line, cut; long runs of letters and digits may be ids or keys, and are left out."""
    line = re.sub(r"[A-Za-z0-9_-]{24,}", "...", " ".join(message.split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _camel(path: str) -> str:
    return ".".join(re.sub(r"_([a-z])", lambda found: found[1].upper(), name) for name in path.split("."))


def _literally(text: str) -> str:
    """A pattern that finds this text and no other; `re.escape` would escape every dash of a model's name."""
    return re.sub(r"([.^$*+?{}\[\]\\|()])", r"\\\1", text)
