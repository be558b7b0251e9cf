"""Foreign bytes to plain values, with bounds: JSON, JSON lines, CSV, YAML, and whatever `parquet` reads.

Every bound is on what a file costs after it is decoded: depth, rows, and what YAML's aliases unfold to. YAML is read
as YAML 1.2 reads plain scalars (`yes` and `2026-01-01` are texts), as the tools that write these files do; no tag
constructs anything.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import yaml

from midshift.errors import InputError
from midshift.evals.importers import parquet

LARGEST_FILE = 256 << 20
MOST_ROWS = 1_000_000
DEEPEST = 64
MOST_YAML_NODES = 400_000
UTF8_MARK = b"\xef\xbb\xbf"


def text_of(data: bytes, name: str) -> str:
    """The text of a file.

    Raises:
        InputError: if it is not UTF-8.
    """
    try:
        return data.removeprefix(UTF8_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: byte {error.start + 1} is not UTF-8, expected UTF-8 text") from None


def json_of(data: bytes, name: str) -> Any:
    """One JSON value; NaN and lone surrogates are read as Python reads them.

    Raises:
        InputError: for anything else, or for one that is nested too deeply.
    """
    try:
        return msgspec.json.decode(data.removeprefix(UTF8_MARK))
    except RecursionError:
        raise InputError(f"{name}: nested too deeply, expected at most {DEEPEST} levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            return json.loads(data.removeprefix(UTF8_MARK).decode("utf-8"))
        except (ValueError, RecursionError):
            raise InputError(f"{name}: not JSON: {error}") from None


def rows_of(data: bytes, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a CSV, Parquet, JSON or JSON lines file, each with its place (line or number from 1).

    A JSON document may be a list, or an object with the list under `data`, `items`, `examples`, `rows` or `events`.

    Raises:
        InputError: for what is none of these.
    """
    if data.startswith(parquet.MAGIC):
        return _bounded(parquet.rows(data, name, DEEPEST), name)
    if name.lower().endswith((".csv", ".tsv")):
        return _bounded(_csv_rows(data, name), name)
    head = data.removeprefix(UTF8_MARK).lstrip()[:1]
    if head not in (b"{", b"["):
        raise InputError(f"{name}: found neither JSON nor a name that ends in .csv, expected rows")
    whole = _whole(data, name, head)
    return _bounded(_json_lines(data, name) if whole is None else _objects(whole, name), name)


_LISTS = ("data", "items", "examples", "rows", "events")


def _whole(data: bytes, name: str, head: bytes) -> list[Any] | None:
    """The rows of a file that is one JSON value; None for JSON lines."""
    if head == b"[":
        found = json_of(data, name)
        return found if isinstance(found, list) else None
    first, _, rest = data.partition(b"\n")
    if rest.strip() and _is_object(first):
        return None
    try:
        found = json_of(data, name)
    except InputError:
        return None
    inner = next((found[key] for key in _LISTS if isinstance(found.get(key), list)), None)
    return [found] if inner is None else inner


def _is_object(line: bytes) -> bool:
    try:
        msgspec.json.decode(line.removeprefix(UTF8_MARK), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _objects(values: list[Any], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise InputError(f"{name}: item {number} is a {type(value).__name__}, expected a JSON object")
        yield number, value


def _json_lines(data: bytes, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(io.BytesIO(data), start=1):
        if not line.strip():
            continue
        value = json_of(line, f"{name}:{number}")
        if not isinstance(value, dict):
            raise InputError(f"{name}:{number}: a {type(value).__name__}, expected a JSON object a line")
        yield number, value


def _csv_rows(data: bytes, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    delimiter = "\t" if name.lower().endswith(".tsv") else ","
    reader = csv.DictReader(io.StringIO(text_of(data, name), newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if None in row:
                raise InputError(f"{name}:{reader.line_num}: more values than the header has columns")
            yield reader.line_num, {key.strip(): value for key, value in row.items() if value is not None}
    except csv.Error as error:
        raise InputError(f"{name}:{reader.line_num}: {error}, expected CSV with a header line") from None


def _bounded(rows: Iterator[tuple[int, Mapping[str, Any]]], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for count, (number, row) in enumerate(rows):
        if count >= MOST_ROWS:
            raise InputError(f"{name}: more than {MOST_ROWS:,} rows, expected fewer. Type next: split -l 100000")
        if _depth(row) > DEEPEST:
            raise InputError(f"{name}:{number}: nested more than {DEEPEST} levels deep, expected less")
        yield number, row


def _depth(value: Any) -> int:
    """How many levels of lists and objects there are, without recursion."""
    deepest, left = 0, [(value, 1)]
    while left:
        found, level = left.pop()
        deepest = max(deepest, level)
        if level > DEEPEST:
            return level
        inner = found.values() if isinstance(found, dict) else found if isinstance(found, list | tuple) else ()
        left += [(one, level + 1) for one in inner if isinstance(one, dict | list | tuple)]
    return deepest


def yaml_of(data: bytes, name: str) -> Any:
    """One YAML document as plain values.

    Raises:
        InputError: for what is not YAML, has tags, or unfolds to too much.
    """
    text = text_of(data, name)
    try:
        _require_small(text, name)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
        raise InputError(f"{name}{where}: not YAML: {error.problem or error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not YAML: {error}") from None
    except (ValueError, OverflowError, RecursionError, TypeError) as error:
        raise InputError(f"{name}: not YAML that can be read: {error}") from None


def _require_small(text: str, name: str) -> None:
    """What the aliases unfold to, counted on events: each anchor's size is known before anybody can use it."""
    anchors: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        match event:
            case yaml.CollectionStartEvent():
                open_.append((event.anchor, total))
                total += 1
            case yaml.CollectionEndEvent():
                anchor, before = open_.pop()
                if anchor is not None:
                    anchors[anchor] = total - before
            case yaml.ScalarEvent():
                total += 1
                if event.anchor is not None:
                    anchors[event.anchor] = 1
            case yaml.AliasEvent():
                if event.anchor in {anchor for anchor, _ in open_}:
                    raise InputError(f"{name}: an alias to what it stands in, expected plain values")
                total += anchors.get(event.anchor or "", 1)
        if total > MOST_YAML_NODES or len(open_) > DEEPEST:
            raise InputError(
                f"{name}: more than {MOST_YAML_NODES:,} values or {DEEPEST} levels, expected less. "
                "Type next: put the tests into a file of JSON lines"
            )


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core of plain scalars: no yes and no, no dates, no numbers in base 60."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,4000})", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
