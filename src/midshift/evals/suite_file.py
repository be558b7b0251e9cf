"""Read a suite: JSON lines, one case a line, in the words of the paired-outputs file but without the outputs.

{"id": "r-17", "slice": "refunds", "messages": [{"role": "user", "content": "..."}], "reference": "..."}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from midshift.domain.suite import AGGREGATE
from midshift.errors import InputError

_GATING_NEEDS_SLICES = "a gate needs slices, because an average can hide the requests that matter"


class _Line(msgspec.Struct):
    id: str | int
    messages: list[dict[str, Any]]
    slice: str | list[str] | None = None
    cluster: str | int | None = None
    weight: float = 1.0
    reference: Any = None
    expects: str | dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class EvalCase:
    """One request of a suite, as it is put to a variant. `reference` is what graders compare with, if anything."""

    place: int
    id: str
    messages: tuple[Mapping[str, Any], ...]
    slices: tuple[str, ...]
    cluster: str | None = None
    weight: float = 1.0
    reference: object = None
    expects: str | Mapping[str, object] | None = None


def read(lines: Iterable[bytes], name: str) -> list[EvalCase]:
    """The cases of a suite, in order.

    Raises:
        InputError: naming the first lines that are not cases, for repeated ids, for no case at all, or for a suite
            in which no case has a slice.
    """
    cases, faults, seen = [], [], set()
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            case = _case(msgspec.json.decode(line, type=_Line), place)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            faults.append(f"{name}:{place}: {error}")
            continue
        if case.id in seen:
            faults.append(f"{name}:{place}: id {case.id!r} again; each case needs an id of its own")
        seen.add(case.id)
        cases.append(case)
    if faults:
        more = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""
        raise InputError("; ".join(faults[:5]) + more)
    if not cases:
        raise InputError(f"{name} holds no case; expected one JSON object with id and messages a line")
    if not any(case.slices for case in cases):
        raise InputError(f"{name}: no case has a slice; {_GATING_NEEDS_SLICES}. Add `slice` to the cases")
    return cases


def slice_names(cases: Sequence[EvalCase]) -> list[str]:
    """Every slice of a suite, by name."""
    return sorted({name for case in cases for name in case.slices})


def _case(line: _Line, place: int) -> EvalCase:
    names = [line.slice] if isinstance(line.slice, str) else line.slice or []
    if any(not name.strip() or name == AGGREGATE for name in names):
        raise msgspec.ValidationError(f"slice {names!r}: expected names other than {AGGREGATE!r}")
    if not line.messages or not str(line.id):
        raise msgspec.ValidationError("expected an id and at least one message")
    if not line.weight > 0.0:
        raise msgspec.ValidationError(f"weight is {line.weight!r}, expected a number above 0")
    return EvalCase(
        place=place,
        id=str(line.id),
        messages=tuple(line.messages),
        slices=tuple(dict.fromkeys(names)),
        cluster=None if line.cluster is None else str(line.cluster),
        weight=line.weight,
        reference=line.reference,
        expects=line.expects,
    )
