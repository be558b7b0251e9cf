"""What one workload reads of its requests: units, slices, rings, and what is nobody else's business. Worked out once.

Elsewhere: what becomes of it (intake), the rules themselves (domain.workload).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from midshift.domain.workload import BodyEquals, HeaderEquals, LanguageIs, UnitKind, UnitSource, When, Workload
from midshift.gateway import headers
from midshift.gateway.headers import Lines
from midshift.gateway.heads import Head
from midshift.wire.protocol import WireRequest

Found: TypeAlias = Mapping[bytes, bytes]
_Scalar: TypeAlias = str | int | float | bool | None
_SCALARS = (str, int, float, bool, type(None))

SLICE_HEADER = b"x-midshift-slice"
RING_HEADER = b"x-midshift-ring"


class Reading:
    """One workload's view of a request. `private` are the names of headers by which an app tells about its user."""

    __slots__ = ("_names", "_rings", "_slices", "private", "workload")

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.private = private_headers(workload)
        self._names = tuple([part.name for part in workload.slices])
        self._slices = _Rules((rule.slice, rule.when) for rule in workload.rules)
        self._rings = _Rules((ring.name, ring.when) for ring in workload.rings if ring.when is not None)

    def to_provider(self, head: Head) -> Lines:
        """The header lines that a provider may see."""
        return headers.to_provider(head.lines, self.private)

    def slices(self, request: WireRequest, labels: Found) -> tuple[str, ...]:
        """The slices of a request: by the workload's rules, and by name where the app may say so."""
        named = _listed(labels, SLICE_HEADER)
        if not named and not self._slices:
            return ()
        held = self._slices.held(request, labels) | named
        return tuple([name for name in self._names if name in held]) if held else ()

    def rings(self, request: WireRequest, labels: Found) -> set[str]:
        """The rings that a request is a member of: by the workload's rules, and by name where the app may say so."""
        return self._rings.held(request, labels) | _listed(labels, RING_HEADER)


class _Rules:
    """Conditions by what they look at, so that nothing of a request is looked at twice."""

    __slots__ = ("_by_header", "_by_path")

    def __init__(self, rules: Iterable[tuple[str, When]]) -> None:
        self._by_path: dict[str, dict[tuple[bool, _Scalar], list[str]]] = {}
        self._by_header: dict[bytes, dict[bytes, list[str]]] = {}
        for name, when in rules:
            match when:
                case BodyEquals(body=path, equals=equals):
                    self._by_path.setdefault(path, {}).setdefault(_typed(equals), []).append(name)
                case HeaderEquals(header=header, equals=equals):
                    self._by_header.setdefault(header.encode(), {}).setdefault(equals.encode(), []).append(name)
                case LanguageIs():
                    pass  # too dear for the path of a request: told from the record

    def __bool__(self) -> bool:
        return bool(self._by_path or self._by_header)

    def held(self, request: WireRequest, found: Found) -> set[str]:
        """The names of those that hold."""
        names: set[str] = set()
        for path, expected in self._by_path.items():
            value = request.value_at(path)
            if isinstance(value, _SCALARS):
                names.update(expected.get(_typed(value), ()))
        for header, wanted in self._by_header.items():
            if (shown := found.get(header)) is not None:  # a header that is not there is not an empty one
                names.update(wanted.get(shown, ()))
        return names


def private_headers(workload: Workload) -> Collection[bytes]:
    """Names of headers by which an app tells us about its user; none of a provider's business."""
    units = {source.name.encode() for source in workload.unit if source.kind is UnitKind.HEADER}
    conditions = [*(rule.when for rule in workload.rules), *(ring.when for ring in workload.rings)]
    rules = {when.header.encode() for when in conditions if isinstance(when, HeaderEquals)}
    return frozenset(units | rules)


def unit_value(source: UnitSource, request: WireRequest, found: Found) -> bytes:
    """What a source says of the unit of a request, with what kind of name it is; nothing where it says nothing."""
    match source.kind:
        case UnitKind.HEADER:
            named = found.get(source.name.encode(), b"")
            return b"unit:" + named if named and not source.name.startswith("x-midshift-") else b""
        case UnitKind.BODY:
            value = request.value_at(source.name)
            return f"unit:{value}".encode("utf-8", "surrogatepass") if _is_name(value) else b""
        case UnitKind.CONVERSATION:
            opening = request.opening
            return b"conversation:" + opening.encode("utf-8", "surrogatepass") if opening else b""


def _is_name(value: object) -> bool:
    return (isinstance(value, str) and value != "") or (isinstance(value, int) and not isinstance(value, bool))


def _listed(found: Found, header: bytes) -> set[str]:
    """The names in a header, between commas."""
    said = found.get(header)
    return {name.strip() for name in said.decode("latin-1").split(",")} if said else set()


def _typed(value: _Scalar) -> tuple[bool, _Scalar]:
    """A value to look up: a truth value is not the number that Python takes it for."""
    return isinstance(value, bool), value
