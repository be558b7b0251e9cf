"""From a tree to typed documents: every problem of a file at once, each at its place.

A field that cannot be read gets a stand-in, so that its neighbours are still looked at; `Reading.whole` tells a value
from a stand-in. Nothing may be used further until the report is settled.
Elsewhere: what the types are (documents), what their values mean together (assemble).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

import msgspec
from msgspec import inspect

from midshift.config.problems import Place, Report, one_of, shown
from midshift.config.tree import Ambiguous, Fields, Items, Node, Scalar, resolve
from midshift.config.units import DURATION, PERCENT, POINTS, meant_duration

T = TypeVar("T")
Path: TypeAlias = "tuple[str | int, ...]"

_TYPEABLE = re.compile(r"[A-Za-z0-9_./%:@+ -]{1,200}")
_SIMPLE = re.compile(r"[A-Za-z0-9_.%-]{1,63}")


@dataclass(slots=True)
class Reading(Generic[T]):
    """A document with the places of its values; `broken` are the paths that hold stand-ins or lack something."""

    document: T
    places: Mapping[Path, Place]
    names: Mapping[Path, Place]
    broken: frozenset[Path]


@dataclass(frozen=True, slots=True)
class Cursor:
    """A path into a reading, from which a problem can be reported."""

    reading: Reading[Any]
    report: Report
    path: Path = ()

    def __truediv__(self, step: str | int) -> Cursor:
        return Cursor(self.reading, self.report, (*self.path, step))

    @property
    def whole(self) -> bool:
        """Whether everything here and below was read as it stands in the file."""
        size = len(self.path)
        return not any(path[:size] == self.path or path == self.path[: len(path)] for path in self.reading.broken)

    @property
    def place(self) -> Place:
        """Where the value stands; where its owner stands, if the value is a default."""
        places = self.reading.places
        return next(places[self.path[:size]] for size in range(len(self.path), -1, -1) if self.path[:size] in places)

    @property
    def name_place(self) -> Place:
        """Where the field's name stands."""
        return self.reading.names.get(self.path, self.place)

    def complain(self, found: str, expected: str, type_next: str, *, at_name: bool = False) -> None:
        """Report a problem with the value here, or with its name."""
        self.report.add(self.name_place if at_name else self.place, found, expected, type_next)


def read(root: Node, kind: type[T], report: Report) -> Reading[T]:
    """The document of a tree; what is wrong with it is noted in the report."""
    reader = _Reader(report)
    document = reader.read(root, _Wanted(inspect.type_info(kind)), ())
    if document is _FAILED:
        document = _stand_in(inspect.type_info(kind))
    return Reading(cast(T, document), reader.places, reader.names, frozenset(reader.broken))


class _Failed:
    pass


_FAILED: Final = _Failed()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A type with what its annotations say, the nearest to the field first."""

    kind: inspect.Type
    notes: Mapping[str, Any] = field(default_factory=dict)
    withhold: str | None = None
    """What must not be in a text that is shown."""

    def bare(self) -> _Wanted:
        wanted = self
        while isinstance(wanted.kind, inspect.Metadata):
            meta = wanted.kind
            wanted = _Wanted(
                meta.type,
                {**(meta.extra_json_schema or {}), **wanted.notes},
                (meta.extra or {}).get("withhold", wanted.withhold),
            )
        return wanted

    @property
    def expected(self) -> str:
        match self.kind:
            case inspect.EnumType(cls=members):
                return one_of([str(member.value) for member in members])
            case inspect.LiteralType(values=values):
                return " or ".join(map(str, values))
        return str(self.notes.get("title") or _in_words(self.kind))

    def type_next(self, path: Path) -> str:
        """What to type here: the field with an example, or an example of an item."""
        if not path and isinstance(self.example, dict):
            name, value = next(iter(self.example.items()))
            return f"{name}: {flow(value)}"
        return f"{path[-1]}: {flow(self.example)}" if path and isinstance(path[-1], str) else flow(self.example)

    @property
    def example(self) -> object:
        match self.kind:
            case inspect.EnumType(cls=members):
                return next(iter(members)).value
            case inspect.StructType(fields=fields) if "examples" not in self.notes:
                return {item.encode_name: _Wanted(item.type).bare().example for item in fields if item.required}
        return next(iter(self.notes.get("examples", ["VALUE"])))


@dataclass(slots=True)
class _Reader:
    report: Report
    places: dict[Path, Place] = field(default_factory=dict)
    names: dict[Path, Place] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)

    def read(self, node: Node, wanted: _Wanted, path: Path) -> object:
        """The value of a node, or _FAILED with the problem noted."""
        self.places[path] = node.place
        wanted = wanted.bare()
        match wanted.kind, node:
            case inspect.StructType() as kind, Fields():
                return self._struct(node, kind, path)
            case inspect.DictType() as kind, Fields():
                return self._dict(node, kind, wanted, path)
            case inspect.VarTupleType() | inspect.ListType() as kind, Items():
                return self._items(node, kind, wanted, path)
            case inspect.AnyType(), _:
                return self._json(node, path)
            case _, Scalar():
                return self._scalar(node, wanted, path)
            case _:
                return self._fail(node, wanted, path)

    def _fail(self, node: Node, wanted: _Wanted, path: Path, found: str = "") -> _Failed:
        self.broken.add(path)
        if not (isinstance(node, Scalar) and node.withheld):
            found = found or ("a literal (not shown)" if self._is_private(node, wanted) else _found(node))
            where = _where(path)
            self.report.add(
                node.place, f"{found} in {where}" if where else found, wanted.expected, self._mended(node, wanted, path)
            )
        return _FAILED

    def _is_private(self, node: Node, wanted: _Wanted) -> bool:
        return (
            wanted.withhold is not None
            and isinstance(node, Scalar)
            and resolve(node) is not None
            and re.search(wanted.withhold, node.text) is not None
        )

    def _mended(self, node: Node, wanted: _Wanted, path: Path) -> str:
        if isinstance(wanted.kind, inspect.EnumType) and isinstance(node, Scalar):
            near = nearest(node.text, [str(member.value) for member in wanted.kind.cls])
            if near:
                return _typed(path, near)
        if isinstance(wanted.kind, inspect.StrType) and isinstance(node, Scalar) and not node.withheld:
            meant = _meant(node.text, wanted.kind)
            if meant is not None:
                return _typed(path, meant)
        return wanted.type_next(path)

    def _struct(self, node: Fields, kind: inspect.StructType, path: Path) -> object:
        known = {item.encode_name: item for item in kind.fields}
        self._note_damage(node, path)
        values: dict[str, object] = {}
        meant: set[str | None] = set()
        for key, child in node.entries:
            item = known.get(key.text)
            if item is None:
                meant.add(self._unknown(key, list(known), path))
                continue
            self.names[*path, key.text] = key.place
            value = self.read(child, _Wanted(item.type), (*path, key.text))
            values[item.name] = _stand_in(item.type) if value is _FAILED else value
        for item in kind.fields:
            if item.name not in values and item.required:
                values[item.name] = _stand_in(item.type)
                self.broken.add((*path, item.encode_name))
                if item.encode_name not in meant and not node.damaged:
                    self._missing(item, self.names.get(path, node.place), path)
        return kind.cls(**values)

    def _missing(self, item: inspect.Field, place: Place, path: Path) -> None:
        wanted = _Wanted(item.type).bare()
        self.report.add(
            place,
            f"no {item.encode_name!r} in {_where(path) or 'the file'}",
            f"it: {_sentence(wanted.notes.get('description'))}",
            wanted.type_next((item.encode_name,)),
        )

    def _unknown(self, key: Scalar, known: list[str], path: Path) -> str | None:
        """Report a field, and say which one was meant, if that can be guessed."""
        self.broken.add((*path, key.text))
        near = nearest(key.text, known)
        self.report.add(
            key.place,
            f"the unknown field {shown(key.text)} in {_where(path) or 'the file'}",
            f"{near!r}, perhaps" if near else one_of(known),
            f"{near or known[0]}:",
        )
        return near

    def _dict(self, node: Fields, kind: inspect.DictType, wanted: _Wanted, path: Path) -> object:
        self._note_damage(node, path)
        values: dict[object, object] = {}
        for key, child in node.entries:
            self.names[*path, key.text] = key.place
            self._name(key, _Wanted(kind.key_type).bare(), path)
            value = self.read(child, _Wanted(kind.value_type), (*path, key.text))
            values[key.text] = _stand_in(kind.value_type) if value is _FAILED else value
        if not values and kind.min_length and not node.damaged:
            self.broken.add(path)
            self.report.add(node.place, f"nothing in {_where(path)}", "at least one", wanted.type_next(path))
        return values

    def _note_damage(self, node: Fields, path: Path) -> None:
        if node.damaged:
            self.broken.add((*path, "?"))  # the mapping is not whole, the fields beside the lost one are

    def _name(self, key: Scalar, wanted: _Wanted, path: Path) -> None:
        if isinstance(wanted.kind, inspect.StrType) and not _fits(key.text, wanted.kind):
            self.broken.add((*path, key.text))
            self.report.add(
                key.place, f"the name {shown(key.text)} in {_where(path)}", wanted.expected, f"{flow(wanted.example)}:"
            )

    def _items(self, node: Items, kind: inspect.VarTupleType | inspect.ListType, wanted: _Wanted, path: Path) -> object:
        values = []
        for index, child in enumerate(node.items):
            value = self.read(child, _Wanted(kind.item_type), (*path, index))
            values.append(_stand_in(kind.item_type) if value is _FAILED else value)
        fewest, most = kind.min_length or 0, kind.max_length
        if len(values) < fewest or (most is not None and len(values) > most):
            self.broken.add(path)
            bounds = f"at least {fewest}" if most is None or len(values) < fewest else f"at most {most}"
            found = f"{len(values)} value{'s' * (len(values) != 1)} in {_where(path) or 'the file'}"
            self.report.add(node.place, found, bounds, wanted.type_next(path))
        return tuple(values)

    def _scalar(self, node: Scalar, wanted: _Wanted, path: Path) -> object:
        value = resolve(node)
        match wanted.kind:
            case inspect.StrType() as kind if isinstance(value, str) and not node.withheld and _fits(value, kind):
                return str(value)
            case inspect.EnumType(cls=members) if isinstance(value, str):
                if value in [member.value for member in members]:
                    return members(str(value))
            case inspect.LiteralType(values=values) if any(value == v and type(value) is type(v) for v in values):
                return value
            case inspect.FloatType() as kind if isinstance(value, int | float) and not isinstance(value, bool):
                above = kind.gt is None or value > kind.gt
                if above and (kind.le is None or value <= kind.le):
                    return float(value)
            case inspect.UnionType():
                return self._plain(node, value, path)
        return self._fail(node, wanted, path)

    def _plain(self, node: Scalar, value: object, path: Path) -> object:
        """A value of free JSON; what YAML's readers disagree on has to be quoted."""
        if node.withheld:
            self.broken.add(path)
            return _FAILED
        if isinstance(value, Ambiguous):
            self.broken.add(path)
            self.report.add(
                node.place,
                f"{value[:40]} in {_where(path)}, which readers of YAML understand in different ways or not at all",
                "quotes around text, or a number of JSON, true or false",
                f"'{value}'" if len(value) <= 30 else "'...'",
            )
            return _FAILED
        return value

    def _json(self, node: Node, path: Path) -> object:
        self.places[path] = node.place
        match node:
            case Scalar():
                return self._plain(node, resolve(node), path)
            case Items():
                return tuple(self._json(child, (*path, index)) for index, child in enumerate(node.items))
            case Fields():
                for key, _ in node.entries:
                    self.names[*path, key.text] = key.place
                return {key.text: self._json(child, (*path, key.text)) for key, child in node.entries}


def flow(value: object) -> str:
    """A value as it can be typed on one line of YAML."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(flow, value)) + "]"
        case bool():
            return str(value).lower()
        case None:
            return "null"
        case str() if not _TYPEABLE.fullmatch(value):
            return repr(value)
        case _:
            return str(value)


def _stand_in(kind: inspect.Type) -> object:
    """Something of the right shape, never used for more than looking at what is beside it."""
    match kind:
        case inspect.Metadata(type=inner):
            return _stand_in(inner)
        case inspect.StructType(cls=cls, fields=fields):
            return cls(**{item.name: _stand_in(item.type) for item in fields if item.required})
        case inspect.DictType():
            return {}
        case inspect.VarTupleType() | inspect.ListType():
            return ()
        case inspect.EnumType(cls=members):
            return next(iter(members))
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.FloatType():
            return 1.0
        case inspect.AnyType():
            return None
        case _:
            return ""


def _in_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.StructType() | inspect.DictType():
            return "a mapping"
        case inspect.VarTupleType() | inspect.ListType():
            return "a list"
        case inspect.FloatType():
            return "a number"
        case inspect.UnionType() | inspect.AnyType():
            return "a plain value"
        case _:
            return "text"


def _typed(path: Path, text: str) -> str:
    return f"{path[-1]}: {text}" if path and isinstance(path[-1], str) else text


def _meant(text: str, kind: inspect.StrType) -> str | None:
    """The value itself in the form that is expected, where that is clear: an example would change what it says."""
    if kind.pattern == DURATION:
        return meant_duration(text)
    packed = text.replace(" ", "")
    return packed if kind.pattern in (PERCENT, POINTS) and _fits(packed, kind) else None


def _fits(text: str, kind: inspect.StrType) -> bool:
    return len(text) >= (kind.min_length or 0) and (kind.pattern is None or bool(re.fullmatch(kind.pattern, text)))


def _found(node: Node) -> str:
    match node:
        case Items():
            return "a list"
        case Fields():
            return "a mapping"
        case Scalar():
            value = resolve(node)
            match value:
                case None:
                    return "nothing"
                case bool():
                    return f"the boolean {node.text}"
                case int() | float():
                    return f"the number {node.text}"
            return shown(value)


def _where(path: Path) -> str:
    """The path as a person would say it."""
    return ".".join(str(step) if isinstance(step, int) or _SIMPLE.fullmatch(step) else shown(step) for step in path)


def _sentence(description: object) -> str:
    """The first sentence of a field's description, without its full stop."""
    text = str(description or "a value")
    first = text.split(". ")[0].removesuffix(".")
    return first[0].lower() + first[1:]


def nearest(name: str, known: list[str]) -> str | None:
    folded = name[:60].lower().replace("-", "_")
    return next(iter(difflib.get_close_matches(folded, known, n=1, cutoff=0.6)), None)


def unset(value: T | msgspec.UnsetType) -> T | None:
    """None for a field that was left out."""
    return None if isinstance(value, msgspec.UnsetType) else value
