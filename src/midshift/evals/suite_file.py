"""Read and write the cases of a suite: JSON lines, one case a line.

    {"id": "r-17", "slice": "refunds", "messages": [{"role": "user", "content": "..."}], "reference": "...",
     "graders": [{"type": "contains"}]}

Contract: pure, and strict. A field that is not known is a fault with its line and column, so that nothing which
somebody wrote is silently without effect; notes go into `metadata`. A draft reference (`reference_status: draft`)
lands in `draft` and leaves `reference` empty: no grader can take what the incumbent once said for what is right.
Elsewhere: a suite in YAML (config.suite_files), what graders mean (graders), where cases come from (importers).
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from midshift.domain.suite import AGGREGATE, Margin, SliceRole
from midshift.errors import InputError

DRAFT = "draft"
LONGEST_LINE_BYTES = 64 << 20
_FAULTS_SHOWN = 5
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_GATING_NEEDS_SLICES = "a gate needs slices, because an average can hide the requests that matter"
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_AT_BYTE = re.compile(r"\(byte (\d+)\)")
_AT_FIELD = re.compile(r"at `\$\.(\w+)")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")


class Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A case as it is written."""

    id: str | int
    messages: list[dict[str, Any]]
    slice: str | list[str] | None = None
    cluster: str | int | None = None
    weight: float | msgspec.UnsetType = msgspec.UNSET
    reference: Any = None
    reference_status: Literal["draft", "confirmed"] = "confirmed"
    expects: str | dict[str, Any] | None = None
    graders: list[dict[str, Any]] = msgspec.field(default_factory=list)
    tools: list[dict[str, Any]] = msgspec.field(default_factory=list)
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    variables: dict[str, Any] = msgspec.field(default_factory=dict)
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    source: dict[str, Any] = msgspec.field(default_factory=dict)


FIELDS = tuple(item.encode_name for item in msgspec.structs.fields(Line))


@dataclass(frozen=True, slots=True)
class EvalCase:
    """One request of a suite, as it is put to a variant. `reference` is what graders compare with, if anything.

    `tools` and `params` are fields of the chat request beside the messages, as the app sends them. `graders` are the
    case's own, beside those of its suite. `draft` is a reference that nobody has confirmed. `variables`, `metadata` and
    `source` (where the case comes from) are carried and never asked.
    """

    place: int
    id: str
    messages: tuple[Mapping[str, Any], ...]
    slices: tuple[str, ...]
    cluster: str | None = None
    weight: float = 1.0
    reference: object = None
    expects: str | Mapping[str, object] | None = None
    draft: object = None
    graders: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """What is asked, as fields of a chat request: messages, tools if there are any, and the app's parameters."""
        tools = {"tools": [dict(tool) for tool in self.tools]} if self.tools else {}
        return {"messages": [dict(message) for message in self.messages], **tools, **self.params}

    @property
    def content_hash(self) -> str:
        """SHA-256 of what is asked: equal for equal requests, whatever their ids, slices and graders."""
        return hashlib.sha256(msgspec.json.encode(self.body, order="deterministic")).hexdigest()


@dataclass(frozen=True, slots=True)
class SliceNote:
    """What a suite says of a slice: what an upgrade does with it, and a margin of its own."""

    role: SliceRole = SliceRole.CRITICAL
    margin: Margin | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases with what holds for all of them: `graders` grade every case, beside the case's own."""

    name: str
    cases: tuple[EvalCase, ...]
    graders: tuple[Mapping[str, Any], ...] = ()
    slices: Mapping[str, SliceNote] = field(default_factory=dict)

    def graders_of(self, case: EvalCase) -> tuple[Mapping[str, Any], ...]:
        """Everything that grades a case, the suite's own first."""
        return (*self.graders, *case.graders)


def read(lines: Iterable[bytes], name: str) -> list[EvalCase]:
    """The cases of a suite, in order.

    Raises:
        InputError: naming the first lines that are not cases, for repeated ids, for no case at all, or for a suite
            in which no case has a slice.
    """
    return gateable(read_cases(lines, name), name)


def read_cases(lines: Iterable[bytes], name: str) -> list[EvalCase]:
    """The cases of a suite, with or without slices.

    Raises:
        InputError: as `read`, but for slices.
    """
    cases: list[EvalCase] = []
    faults: list[str] = []
    for place, line in enumerate(lines, start=1):
        line = line.removeprefix(b"\xef\xbb\xbf") if place == 1 else line
        if not line.strip():
            continue
        try:
            cases.append(_decoded(line, place))
        except _Fault as fault:
            faults.append(f"{name}:{place}:{fault.column}: {fault}")
    return checked(cases, name, faults)


def checked(cases: list[EvalCase], name: str, faults: Sequence[str] = ()) -> list[EvalCase]:
    """The cases, if there are some, each with an id of its own, and no `faults` were found before.

    Raises:
        InputError: with the first of what is wrong.
    """
    found, seen = list(faults), dict[str, int]()
    for case in cases:
        if case.id in seen:
            found.append(
                f"{name}:{case.place}:1: id {case.id!r} again (see {seen[case.id]}); each case needs an id of its own"
            )
        seen.setdefault(case.id, case.place)
    if found:
        more = f" (and {len(found) - _FAULTS_SHOWN} more)" if len(found) > _FAULTS_SHOWN else ""
        raise InputError("; ".join(found[:_FAULTS_SHOWN]) + more)
    if not cases:
        raise InputError(f"{name} holds no case; expected one JSON object with id and messages a line")
    return cases


def gateable(cases: list[EvalCase], name: str) -> list[EvalCase]:
    """The cases, if an upgrade can be gated by them.

    Raises:
        InputError: for a suite in which no case has a slice.
    """
    if not any(case.slices for case in cases):
        raise InputError(f"{name}: no case has a slice; {_GATING_NEEDS_SLICES}. Add `slice` to the cases")
    return cases


def slice_names(cases: Sequence[EvalCase]) -> list[str]:
    """Every slice of a suite, by name."""
    return sorted({name for case in cases for name in case.slices})


def case_of(written: Mapping[str, Any], place: int) -> EvalCase:
    """The case that a JSON object is.

    Raises:
        ValueError: saying what is wrong with it.
    """
    return _case(msgspec.convert(dict(written), Line), place)


def line_of(case: EvalCase) -> bytes:
    """The case as a line, with its line break; reading it gives the case again."""
    line = Line(
        id=case.id,
        messages=[dict(message) for message in case.messages],
        slice=case.slices[0] if len(case.slices) == 1 else list(case.slices) or None,
        cluster=case.cluster,
        weight=msgspec.UNSET if case.weight == 1.0 else case.weight,
        reference=case.reference if case.draft is None else case.draft,
        reference_status="confirmed" if case.draft is None else "draft",
        expects=case.expects if case.expects is None or isinstance(case.expects, str) else dict(case.expects),
        graders=[dict(grader) for grader in case.graders],
        tools=[dict(tool) for tool in case.tools],
        params=dict(case.params),
        variables=dict(case.variables),
        metadata=dict(case.metadata),
        source=dict(case.source),
    )
    return msgspec.json.encode(line) + b"\n"


def confirmed(case: EvalCase) -> EvalCase:
    """The case with its draft as its reference; unchanged where there is no draft."""
    return case if case.draft is None else replace(case, reference=case.draft, draft=None)


class _Fault(ValueError):
    """What is wrong with a line, and at which of its columns."""

    def __init__(self, message: str, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


def _decoded(line: bytes, place: int) -> EvalCase:
    if len(line) > LONGEST_LINE_BYTES:
        raise _Fault(f"a line of {len(line):,} bytes, expected at most {LONGEST_LINE_BYTES:,}")
    try:
        return _case(_DECODER.decode(line), place)
    except RecursionError:
        raise _Fault("nested too deeply, expected a case") from None
    except UnicodeDecodeError as error:
        raise _Fault(f"byte {error.start + 1} is not UTF-8, expected UTF-8 text", error.start + 1) from None
    except ValueError as error:
        raise _Fault(_in_words(str(error)), _column(line, str(error))) from None


_DECODER = msgspec.json.Decoder(Line)


def _in_words(error: str) -> str:
    """msgspec's message, with the field that was probably meant."""
    unknown = _UNKNOWN.search(error)
    if unknown is None:
        return error
    near = difflib.get_close_matches(unknown[1], FIELDS, 1)
    return f"unknown field {unknown[1]!r}, expected {f'{near[0]!r}' if near else 'it under metadata'}"


def _column(line: bytes, error: str) -> int:
    """Where in a line the trouble is; 1 where nobody can say."""
    if (at := _AT_BYTE.search(error)) is not None:
        return int(at[1]) + 1
    name = _UNKNOWN.search(error) or _AT_FIELD.search(error)
    return line.find(f'"{name[1]}"'.encode()) + 1 or 1 if name is not None else 1


def _case(line: Line, place: int) -> EvalCase:
    names = [line.slice] if isinstance(line.slice, str) else line.slice or []
    if any(not name.strip() or name == AGGREGATE for name in names):
        raise ValueError(f"slice {names!r}: expected names other than {AGGREGATE!r} - at `$.slice`")
    if not line.messages or not str(line.id):
        raise ValueError("expected an id and at least one message - at `$.messages`")
    for message in line.messages:
        if message.get("role") not in _ROLES:
            raise ValueError(
                f"role {message.get('role')!r}, expected one of {', '.join(sorted(_ROLES))} - at `$.messages`"
            )
    weight = 1.0 if line.weight is msgspec.UNSET else line.weight
    if not (weight > 0.0 and math.isfinite(weight)):
        raise ValueError(f"weight is {weight!r}, expected a number above 0 - at `$.weight`")
    if any(not isinstance(grader.get("type"), str) for grader in line.graders):
        raise ValueError('a grader without a type, expected {"type": NAME, ...} - at `$.graders`')
    is_draft = line.reference_status == DRAFT
    return EvalCase(
        place=place,
        id=str(line.id),
        messages=tuple(line.messages),
        slices=tuple(dict.fromkeys(names)),
        cluster=None if line.cluster is None else str(line.cluster),
        weight=weight,
        reference=None if is_draft else line.reference,
        expects=line.expects,
        draft=line.reference if is_draft else None,
        graders=tuple(line.graders),
        tools=tuple(line.tools),
        params=line.params,
        variables=line.variables,
        metadata=line.metadata,
        source=line.source,
    )
