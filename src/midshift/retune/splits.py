"""Three parts of a suite: cases to learn from, cases to choose by, and cases that are scored once, at the end.

    tune     shown to the reflection model, failures and all
    select   never shown; the floors of every slice are held here, and the prompt is chosen here
    locked   scored once for the chosen prompt: the only number that nothing was fitted to

A case that was dealt stays where it was (`Kept`): a suite that has grown must not lock what an earlier prompt was
fitted to. Only a locked case that was judged may become one to learn from, if there are new ones to lock.

Contract: pure, and the same for the same cases and seed in whatever order they come. Cases of one cluster, and cases
that ask the same, are never in two parts. Slices are dealt rarest first (iterative stratification: Sechidis, Tsoumakas
and Vlahavas, ECML PKDD 2011). What could not be done is said in `notes`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from midshift.evals.suite_file import EvalCase

ENOUGH = 3
"""A slice of so many cases is in every part, unless clusters or other slices are in the way."""


class Part(StrEnum):
    """Which part of the suite; in the order in which a slice that is too small for all of them gets its cases."""

    SELECT = "select"
    LOCKED = "locked"
    TUNE = "tune"


_SAW_MOST = (Part.TUNE, Part.SELECT, Part.LOCKED)
_OPEN = (Part.SELECT, Part.TUNE)
SHARES: Mapping[Part, float] = {Part.TUNE: 0.4, Part.SELECT: 0.3, Part.LOCKED: 0.3}


@dataclass(frozen=True, slots=True)
class Kept:
    """What earlier re-tunings did, by the marks of cases: the part of each, and which were judged when locked."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    judged: frozenset[str] = frozenset()


NOTHING = Kept()


@dataclass(frozen=True, slots=True)
class Splits:
    """The parts, each in the order of the suite."""

    tune: tuple[EvalCase, ...]
    select: tuple[EvalCase, ...]
    locked: tuple[EvalCase, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Unit:
    """Cases that stay together; `order` is drawn by the seed, `allowed` are the parts that they may go to."""

    cases: tuple[EvalCase, ...]
    slices: frozenset[str]
    order: bytes
    allowed: tuple[Part, ...] = tuple(Part)


def marks(case: EvalCase) -> tuple[str, ...]:
    """What a case is known by, without saying what it says: what it asks, and its cluster."""
    cluster = () if case.cluster is None else (_mark("c", case.cluster),)
    return _mark("a", case.content_hash), *cluster


def part_of(case: EvalCase, parts: Mapping[str, Part]) -> Part | None:
    """Where a case was dealt, by the marks of others; where they disagree, the part that saw most of it."""
    found = [parts[mark] for mark in marks(case) if mark in parts]
    return min(found, key=_SAW_MOST.index, default=None)


def split(cases: Sequence[EvalCase], seed: str, shares: Mapping[Part, float] = SHARES, kept: Kept = NOTHING) -> Splits:
    """Deal the cases into three parts; `shares` add up to 1, and what is `kept` stays."""
    units = [_bound(unit, kept) for unit in sorted(_units(cases, seed), key=lambda unit: unit.order)]
    dealt: dict[str, Part] = {}
    for unit, part in _dealt(units, shares):
        dealt |= dict.fromkeys((case.id for case in unit.cases), part)
    parts = {part: tuple(case for case in cases if dealt[case.id] is part) for part in Part}
    return Splits(parts[Part.TUNE], parts[Part.SELECT], parts[Part.LOCKED], tuple(_notes(units, parts)))


def merged(found: Iterable[Mapping[str, Part]]) -> dict[str, Part]:
    """Several deals as one: a case that one of them showed to the search was shown."""
    parts: dict[str, Part] = {}
    for one in found:
        for mark, part in one.items():
            parts[mark] = min(part, parts.get(mark, part), key=_SAW_MOST.index)
    return parts


def _bound(unit: _Unit, kept: Kept) -> _Unit:
    """The unit with the parts that it may still go to."""
    parts = [part for case in unit.cases if (part := part_of(case, kept.parts)) is not None]
    part = min(parts, key=_SAW_MOST.index, default=Part.LOCKED)
    is_judged = any(mark in kept.judged for case in unit.cases for mark in marks(case))
    if is_judged and part is Part.LOCKED:
        return replace(unit, allowed=_OPEN)
    return replace(unit, allowed=(part,)) if parts else unit


def _mark(kind: str, text: str) -> str:
    return f"{kind}:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _units(cases: Sequence[EvalCase], seed: str) -> list[_Unit]:
    """Cases that share a cluster or ask the same, joined as far as that reaches."""
    leader: dict[str, str] = {}

    def found(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for case in cases:
        names = [f"asks {case.content_hash}", *([f"cluster {case.cluster}"] if case.cluster is not None else [])]
        roots = sorted({found(name) for name in names})
        leader |= dict.fromkeys(roots, roots[0])
    together: dict[str, list[EvalCase]] = {}
    for case in cases:
        together.setdefault(found(f"asks {case.content_hash}"), []).append(case)
    return [_unit(members, seed) for members in together.values()]


def _unit(members: Sequence[EvalCase], seed: str) -> _Unit:
    slices = frozenset(name for case in members for name in case.slices or ("",))
    first = min(case.id for case in members)
    return _Unit(tuple(members), slices, hashlib.sha256(f"{seed}\0{first}".encode()).digest())


def _dealt(units: Sequence[_Unit], shares: Mapping[Part, float]) -> Iterable[tuple[_Unit, Part]]:
    sizes = _sizes(units)
    want = {(part, name): share * size for part, share in shares.items() for name, size in sizes.items()}
    has: Counter[tuple[Part, str]] = Counter()

    def put(unit: _Unit, part: Part) -> tuple[_Unit, Part]:
        for case in unit.cases:
            for name in case.slices or ("",):
                want[part, name] -= 1
                has[part, name] += 1
        return unit, part

    for unit in units:
        if len(unit.allowed) == 1:
            yield put(unit, unit.allowed[0])
    left = [unit for unit in units if len(unit.allowed) > 1]
    while left:
        rarest = min(_sizes(left).items(), key=lambda item: (item[1], item[0]))[0]
        for unit in [unit for unit in left if rarest in unit.slices]:
            yield put(unit, _neediest(rarest, unit, want, has, shares))
        left = [unit for unit in left if rarest not in unit.slices]


def _neediest(
    name: str,
    unit: _Unit,
    want: Mapping[tuple[Part, str], float],
    has: Mapping[tuple[Part, str], int],
    shares: Mapping[Part, float],
) -> Part:
    """First a part that lacks the slice, then the one that wants most of it, then of the unit's other slices."""
    is_small = sum(want[part, name] + has.get((part, name), 0) for part in Part) < ENOUGH - 0.5

    def need(part: Part) -> tuple[bool, float, float]:
        lacks = not has.get((part, name), 0)
        others = sum(want[part, other] for other in unit.slices) / shares[part]
        return (lacks, 0.0, 0.0) if is_small else (lacks, round(want[part, name], 9), others)

    return max(unit.allowed, key=need)  # of equals, the first: select, locked, tune


def _sizes(units: Iterable[_Unit]) -> Counter[str]:
    return Counter(name for unit in units for case in unit.cases for name in case.slices or ("",))


def _notes(units: Sequence[_Unit], parts: Mapping[Part, Sequence[EvalCase]]) -> Iterable[str]:
    sizes = _sizes(units)
    for name in sorted(filter(None, sizes)):
        missing = [part.value for part in Part if not any(name in case.slices for case in parts[part])]
        if missing:
            together = sum(name in unit.slices for unit in units)
            why = (
                "" if together == sizes[name] else f" in {together} group{'' if together == 1 else 's'} that stay whole"
            )
            plural = "" if sizes[name] == 1 else "s"
            yield f"slice {name!r} has {sizes[name]} case{plural}{why}: none in {' or '.join(missing)}"
    for part in Part:
        if not parts[part]:
            yield f"no case is left for {part.value}"
