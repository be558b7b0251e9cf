"""What one workload reads of its requests: units, slices, rings, and what is nobody else's business. Worked out once.

Elsewhere: what becomes of it (intake), whose head it is (caller), the rules themselves (domain.workload).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Protocol, TypeAlias, TypeVar

from midshift.domain.workload import BodyEquals, HeaderEquals, LanguageIs, UnitKind, UnitSource, When, Workload
from midshift.gateway import headers
from midshift.gateway.headers import Lines
from midshift.wire.protocol import WireRequest

T = TypeVar("T")
Found: TypeAlias = Mapping[bytes, bytes]
_Names: TypeAlias = frozenset[str]
_Scalar: TypeAlias = str | int | float | bool | None
_SCALARS = (str, int, float, bool, type(None))
_NONE: _Names = frozenset()

UNIT_HEADER = b"x-midshift-unit"
SLICE_HEADER = b"x-midshift-slice"
RING_HEADER = b"x-midshift-ring"


class Way(Protocol):
    """The way to one provider; known by itself, and not by what it is like."""

    def lines(self, said: Lines) -> Sequence[tuple[bytes, bytes]]:
        """Of the lines of an app those that the provider is told."""
        ...


class Said:
    """What one head says to one workload, and to its providers: the same for all requests that come with it.

    `lines` are the header lines that a provider may see; `unit` is the name that the app gives, `slices` and `rings`
    are those that hold by headers, whatever is in the body.
    """

    __slots__ = ("_onward", "lines", "rings", "slices", "unit")

    def __init__(self, lines: Lines, unit: bytes, slices: _Names, rings: _Names) -> None:
        self.lines = lines
        self.unit = unit
        self.slices = slices
        self.rings = rings
        self._onward: dict[Way, tuple[tuple[bytes, bytes], ...]] = {}

    def onward(self, way: Way) -> Sequence[tuple[bytes, bytes]]:
        """The lines for the provider at the end of a way. There are few, and each is kept for good."""
        lines = self._onward.get(way)
        if lines is None:
            lines = self._onward[way] = tuple(way.lines(self.lines))
        return lines


class UnitFinder:
    """One source of units, prepared: `found_in` says what it says of a request, with what kind of name it is."""

    __slots__ = ("found_in", "is_conversation")

    def __init__(self, source: UnitSource) -> None:
        self.is_conversation = source.kind is UnitKind.CONVERSATION
        self.found_in = _finder(source)


class Reading:
    """One workload's view of a request. `private` are the names of headers by which an app tells about its user."""

    __slots__ = ("_names", "_rings", "_slices", "private", "units", "workload")

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.private = private_headers(workload)
        self.units = tuple(map(UnitFinder, workload.unit))
        self._names = tuple([part.name for part in workload.slices])
        self._slices = _Rules((rule.slice, rule.when) for rule in workload.rules)
        self._rings = _Rules((ring.name, ring.when) for ring in workload.rings if ring.when is not None)

    def said(self, lines: Lines, labels: Found) -> Said:
        """What a head of these lines says; `labels` are its headers, as far as the app may say who its users are."""
        return Said(
            headers.to_provider(lines, self.private),
            labels.get(UNIT_HEADER, b""),
            self._slices.by_header(labels) | _listed(labels, SLICE_HEADER).intersection(self._names),
            self._rings.by_header(labels) | _listed(labels, RING_HEADER),
        )

    def slices(self, request: WireRequest, said: Said) -> tuple[str, ...]:
        """The slices of a request: by the workload's rules, and by name where the app may say so."""
        held = self._slices.by_body(request, said.slices)
        return _in_order(self._names, held) if held else ()

    def rings(self, request: WireRequest, said: Said) -> _Names:
        """The rings that a request is a member of: by the workload's rules, and by name where the app may say so."""
        return self._rings.by_body(request, said.rings)


class _Rules:
    """Conditions by what they look at, so that nothing of a request is looked at twice."""

    __slots__ = ("_by_header", "_by_path")

    def __init__(self, rules: Iterable[tuple[str, When]]) -> None:
        by_path: dict[str, dict[tuple[bool, _Scalar], _Names]] = {}
        by_header: dict[bytes, dict[bytes, _Names]] = {}
        for name, when in rules:
            match when:
                case BodyEquals(body=path, equals=equals):
                    _add(by_path.setdefault(path, {}), (isinstance(equals, bool), equals), name)
                case HeaderEquals(header=header, equals=equals):
                    _add(by_header.setdefault(header.encode(), {}), equals.encode(), name)
                case LanguageIs():
                    pass  # too dear for the path of a request: told from the record
        self._by_path = tuple(by_path.items())
        self._by_header = tuple(by_header.items())

    def by_body(self, request: WireRequest, names: _Names) -> _Names:
        """`names`, and those that hold by what is in the body. A truth value is not the number it is to Python."""
        for path, wanted in self._by_path:
            value = request.value_at(path)
            if isinstance(value, _SCALARS) and (held := wanted.get((isinstance(value, bool), value))):
                names = names | held if names else held
        return names

    def by_header(self, found: Found) -> _Names:
        """The names of those that hold by headers; one that is not there is not an empty one."""
        return _NONE.union(*(wanted.get(found[name], _NONE) for name, wanted in self._by_header if name in found))


def private_headers(workload: Workload) -> Collection[bytes]:
    """Names of headers by which an app tells us about its user; none of a provider's business."""
    units = {source.name.encode() for source in workload.unit if source.kind is UnitKind.HEADER}
    conditions = [*(rule.when for rule in workload.rules), *(ring.when for ring in workload.rings)]
    rules = {when.header.encode() for when in conditions if isinstance(when, HeaderEquals)}
    return frozenset(units | rules)


def _finder(source: UnitSource) -> Callable[[WireRequest, Found], bytes]:
    match source.kind:
        case UnitKind.HEADER:
            return _in_header(source.name)
        case UnitKind.BODY:
            return _in_body(source.name)
        case UnitKind.CONVERSATION:
            return _opening


def _in_header(name: str) -> Callable[[WireRequest, Found], bytes]:
    header, is_label = name.encode(), name.startswith("x-midshift-")  # labels are read where they may be set

    def found_in(request: WireRequest, found: Found) -> bytes:
        named = found.get(header)
        return b"unit:" + named if named and not is_label else b""

    return found_in


def _in_body(path: str) -> Callable[[WireRequest, Found], bytes]:
    def found_in(request: WireRequest, found: Found) -> bytes:
        value = request.value_at(path)
        is_name = value != "" if isinstance(value, str) else isinstance(value, int) and not isinstance(value, bool)
        return f"unit:{value}".encode("utf-8", "surrogatepass") if is_name else b""

    return found_in


def _opening(request: WireRequest, found: Found) -> bytes:
    opening = request.opening
    return b"conversation:" + opening.encode("utf-8", "surrogatepass") if opening else b""


def _listed(found: Found, header: bytes) -> _Names:
    """The names in a header, between commas."""
    said = found.get(header)
    return frozenset(name.strip() for name in said.decode("latin-1").split(",")) if said else _NONE


def _add(by: dict[T, _Names], key: T, name: str) -> None:
    by[key] = by.get(key, _NONE) | {name}


@lru_cache(1024)
def _in_order(names: tuple[str, ...], held: _Names) -> tuple[str, ...]:
    """Those of the names that hold. There are few sets of slices, and each comes with many requests."""
    return tuple([name for name in names if name in held])
