"""From the text of a YAML file to a tree that knows the place of everything.

Only the part of YAML that every reader agrees on: no tags, no merge keys, no second document, no field twice, and
bounds on size, depth and on what aliases unfold to. Nothing is ever constructed from a file but text. What a plain
scalar means (`resolve`) is YAML 1.2's core, as in editors; what YAML 1.1 reads otherwise is told apart.
Elsewhere: what belongs where (reading).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import yaml

from midshift.config.problems import Place, Report, shown
from midshift.config.secrets import looks_like_secret, names_secret

LONGEST_TEXT = 256 * 1024
DEEPEST = 24
MOST_NODES = 20_000

HOW_TO_NAME_A_SECRET = "put it into an environment variable and write env:NAME (or into a file: file:PATH)"


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value as it was written, from `start` to `end` in the text; `plain` without quotes."""

    text: str
    place: Place
    plain: bool = True
    start: int = 0
    end: int = 0
    anchored: bool = False
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    place: Place
    size: int = 1


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, in the order of the file; `damaged` if a field was left out that had a problem of its own."""

    entries: tuple[tuple[Scalar, Node], ...]
    place: Place
    size: int = 1
    damaged: bool = False

    def get(self, name: str) -> Node | None:
        """The value of a field, if it is there."""
        return next((value for key, value in self.entries if key.text == name), None)


Node: TypeAlias = Scalar | Items | Fields


class Ambiguous(str):
    """A plain scalar that some readers take for text and some for something else."""

    __slots__ = ()


def read(file: str, text: str, report: Report) -> Node | None:
    """The tree of a file's text; None, with a problem noted, if there is none."""
    if len(text) > LONGEST_TEXT:
        report.add(
            Place(file),
            f"{len(text):,} characters",
            f"at most {LONGEST_TEXT:,}",
            f"ls -l {file}   (is it the right file?)",
        )
        return None
    builder = _Builder(file, report)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.take(event)
            if builder.stopped:
                return None
    except yaml.YAMLError as error:
        _report_syntax(file, text, error, report)
        return None
    except (ValueError, OverflowError):  # PyYAML on "\UFFFFFFFF" and on %YAML 1.<five thousand digits>
        report.add(Place(file), "an impossible number", "a character or a version that exists", "remove the escape")
        return None
    if builder.root is None and not builder.stopped:
        report.add(Place(file), "an empty file", "definitions", _instead_of_nothing(file))
    return builder.root


def _instead_of_nothing(file: str) -> str:
    """An empty file is there, so that `midshift init` would leave it as it is."""
    if file == "midshift.yaml":
        return f"rm {file} && midshift init   (writes a commented start)"
    return f"{file}: write it, or take it away"


@dataclass(slots=True)
class _Frame:
    place: Place
    is_mapping: bool
    anchor: str | None
    children: list[Node] = field(default_factory=list)
    size: int = 1


@dataclass(slots=True)
class _Builder:
    """Turns parser events into a tree, without recursion, so that no depth can break it."""

    file: str
    report: Report
    root: Node | None = None
    stopped: bool = False
    _frames: list[_Frame] = field(default_factory=list)
    _anchors: dict[str, Node | None] = field(default_factory=dict)
    _documents: int = 0
    _nodes: int = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._stop(self._place(event), "a second document", "one document a file", "remove the line ---")
            case yaml.ScalarEvent():
                self._refuse_tag(event)
                self._attach(self._scalar(event), event.anchor)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._refuse_tag(event)
                self._open(event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._close()

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1) if mark is not None else Place(self.file)

    def _stop(self, place: Place, found: str, expected: str, type_next: str) -> None:
        self.report.add(place, found, expected, type_next)
        self.stopped = True

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            self.report.add(
                self._place(event), f"the tag {shown(event.tag)}", "plain values without tags", "remove the tag"
            )

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        place, text = self._place(event), event.value
        start, end = _span(event)
        node = Scalar(text, place, event.style is None, start, end, event.anchor is not None)
        if looks_like_secret(text):
            self.report.add(
                place, "what looks like a key or password (not shown)", "a reference to it", HOW_TO_NAME_A_SECRET
            )
            return replace(node, text="", withheld=True)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.report.add(place, f"half a character in {shown(text)}", "whole characters", "remove the \\u escape")
            return replace(node, text="", withheld=True)
        return node

    def _alias(self, event: yaml.AliasEvent) -> None:
        place, name = self._place(event), event.anchor or ""
        target = self._anchors.get(name)
        if target is None:
            inside = " inside of itself" if name in self._anchors else ""
            self._stop(
                place,
                f"the alias {shown('*' + name)}{inside}",
                "an alias of something that stands above",
                "the value itself in its place",
            )
            return
        if isinstance(target, Scalar):
            start, end = _span(event)
            target = replace(target, place=place, start=start, end=end, anchored=False)
        self._attach(target, None)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._frames) >= DEEPEST:
            self._stop(
                self._place(event), f"more than {DEEPEST} levels of nesting", "fewer", "write it flatter, or in quotes"
            )
            return
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._frames.append(_Frame(self._place(event), isinstance(event, yaml.MappingStartEvent), event.anchor))

    def _close(self) -> None:
        frame = self._frames.pop()
        if frame.is_mapping:
            self._attach(self._fields(frame), frame.anchor)
        else:
            self._attach(Items(tuple(frame.children), frame.place, frame.size), frame.anchor)

    def _attach(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._frames:
            self.root = node
            return
        size = 1 if isinstance(node, Scalar) else node.size
        self._frames[-1].children.append(node)
        self._frames[-1].size += size
        if sum(frame.size for frame in self._frames) > MOST_NODES:
            self._stop(
                node.place, f"more than {MOST_NODES:,} values", "fewer; each alias counts in full", "split the file"
            )

    def _fields(self, frame: _Frame) -> Fields:
        entries: dict[str, tuple[Scalar, Node]] = {}
        for key, value in zip(frame.children[::2], frame.children[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.report.add(key.place, "a list or mapping as a name", "a name", "quote it, if it is a name")
            elif key.withheld:
                continue
            elif key.plain and key.text == "<<":
                self.report.add(key.place, "the merge key <<", "fields written out", "copy the fields here")
            elif key.text in entries:
                first = entries[key.text][0].place.line
                self.report.add(
                    key.place, f"{shown(key.text)} again, first on line {first}", "it once", "remove one of them"
                )
            else:
                entries[key.text] = (key, self._unless_secret(key, value))
        damaged = len(entries) < len(frame.children) // 2
        return Fields(tuple(entries.values()), frame.place, frame.size, damaged)

    def _unless_secret(self, key: Scalar, value: Node) -> Node:
        """The value, or a withheld one where the field's name says that it is a secret."""
        if not names_secret(key.text) or not isinstance(value, Scalar) or value.withheld or _is_reference(value):
            return value
        if not isinstance(resolve(value), str):
            return value
        self.report.add(
            value.place, f"a literal value for {shown(key.text)} (not shown)", "a reference to it", HOW_TO_NAME_A_SECRET
        )
        return replace(value, text="", withheld=True)


def _span(event: yaml.Event) -> tuple[int, int]:
    if event.start_mark is None or event.end_mark is None:
        return 0, 0
    return event.start_mark.index, event.end_mark.index


def _is_reference(value: Scalar) -> bool:
    return value.text.startswith(("env:", "file:"))


_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {name: value for value in (True, False) for name in (f"{value}", f"{value}".lower(), f"{value}".upper())}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# What YAML 1.1 reads as a boolean, an octal, a number with underscores, base 60 or a date, and YAML 1.2 as text or
# another number; and the numbers that JSON has not.
_AMBIGUOUS = re.compile(
    r"(?i:y|yes|n|no|on|off)|[-+]?0[0-9_]+|[-+]?0[obx][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*_[0-9_.]*"
    r"|[-+]?[0-9]+(?::[0-5]?[0-9])+(?:\.[0-9]*)?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?|[-+]?\.(?i:inf)|\.(?i:nan)"
)
_LONGEST_AMBIGUOUS = 64  # keeps the pattern's backtracking short on hostile text
_LARGEST = 2**63


def resolve(node: Scalar) -> None | bool | int | float | str:
    """What a scalar means: text where it is quoted, and otherwise what YAML 1.2's core and JSON take it for."""
    text = node.text
    if not node.plain:
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) <= _LONGEST_AMBIGUOUS and _AMBIGUOUS.fullmatch(text):
        return Ambiguous(text)
    if _INT.fullmatch(text):
        whole = int(text) if len(text) <= 20 else _LARGEST
        return whole if -_LARGEST <= whole < _LARGEST else Ambiguous(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else Ambiguous(text)
    return text


_ADVICE = (
    ("cannot start any token", "quote the value: '...' (and indent with spaces, not tabs)"),
    ("mapping values are not allowed", "a space less in the indent, or quotes around a value that holds ': '"),
    ("could not find expected ':'", "NAME: VALUE   (a colon and a space)"),
    ("expected <block end>", "the same indent as the lines around it"),
    ("did not find expected", "the same indent as the lines around it"),
    ("expected ',' or", "the missing comma or closing bracket"),
    ("found unexpected end of stream", "the missing closing quote"),
    ("special characters are not allowed", "the file again without control characters"),
)


def _report_syntax(file: str, text: str, error: yaml.YAMLError, report: Report) -> None:
    place, found = Place(file), "text that is not YAML"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            place = Place(file, mark.line + 1, mark.column + 1)
        found = _in_one_line(error.problem or error.context or found)
    elif isinstance(error, yaml.reader.ReaderError):
        line, column = place_of(text, int(error.position))
        place, found = Place(file, line, column), f"special characters are not allowed: {shown(chr(error.character))}"
    advice = next((advice for words, advice in _ADVICE if words in found), "what the reference shows for this place")
    report.add(place, f"broken YAML ({found})", "well-formed YAML", advice)


def _in_one_line(words: str) -> str:
    """A parser's message; quoted as a whole if it repeats anything that should not reach a terminal or a log."""
    if looks_like_secret(words):
        return "not shown, it looks like a secret"
    return words if words.isprintable() and len(words) <= 200 else shown(words)


def place_of(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1, of a character of a text."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
