"""A suite as a file: JSON lines of cases, or YAML with what holds for all of them.

    name: support
    cases: support.jsonl            # or a list of cases, here
    graders: [{type: contains}]     # for every case, beside its own
    slices: {german: {role: watch, margin: 3pt}}
    defaults: {expects: json, params: {max_tokens: 400}}

Every problem of the YAML is named with its file, line and column; those of JSON lines come from their reader.
Elsewhere: cases (evals.suite_file), how many each slice has for `midshift check` (suites).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from midshift.config import tree, units
from midshift.config.definitions import Source, Unreadable, beside
from midshift.config.problems import Place, Report, refuse
from midshift.config.reading import Cursor, Reading, read, unset
from midshift.config.tree import Fields, Items, Node
from midshift.config.values import Document, Points
from midshift.config.workloads import check_margin
from midshift.domain.suite import Margin, SliceRole
from midshift.errors import InputError
from midshift.evals import suite_file
from midshift.evals.suite_file import EvalCase, SliceNote, Suite

Fetch: TypeAlias = Callable[[str], Source | None]
_EXAMPLE = {"type": "contains"}


class SliceEntry(Document, frozen=True, kw_only=True):
    """What the suite says of one slice, for an eval without an upgrade."""

    role: Annotated[SliceRole, Meta(description="Whether an upgrade waits for it.")] = SliceRole.CRITICAL
    margin: Annotated[Points | UnsetType, Meta(description="Its own largest drop that is still not worse.")] = UNSET


class Defaults(Document, frozen=True, kw_only=True):
    """What a case has unless it says otherwise."""

    expects: Annotated[Any, Meta(description="A contract: json, or a schema.", examples=["json"])] = None
    params: Annotated[
        dict[str, Any], Meta(description="Fields of the chat request.", examples=[{"max_tokens": 400}])
    ] = {}
    tools: Annotated[tuple[dict[str, Any], ...], Meta(description="Tools of the chat request.", examples=[[]])] = ()
    system: Annotated[str, Meta(description="A system message before those of a case.", examples=["Be brief."])] = ""


class SuiteDocument(Document, frozen=True, kw_only=True):
    """A suite in YAML."""

    cases: Annotated[
        Any, Meta(description="The cases: a list, or the name of a .jsonl file.", examples=["support.jsonl"])
    ]
    name: Annotated[str, Meta(description="What to call it.", examples=["support"])] = ""
    version: Annotated[Literal[1], Meta(description="The version of this form.")] = 1
    graders: Annotated[
        tuple[dict[str, Any], ...], Meta(description="Graders of every case.", examples=[[_EXAMPLE]])
    ] = ()
    slices: Annotated[
        dict[str, SliceEntry], Meta(description="What is special about a slice.", examples=[{"german": {}}])
    ] = {}
    defaults: Annotated[Defaults, Meta(description="What a case has unless it says otherwise.", examples=[{}])] = (
        Defaults()
    )


def load(path: str, fetch: Fetch) -> Suite:
    """A suite by its path, whichever form it has; `fetch` gives the text of a file.

    Raises:
        InvalidConfig: for YAML that is no suite, with every problem.
        InputError: for cases that are none.
    """
    text = _text(path, fetch)
    if not path.endswith((".yaml", ".yml")):
        return Suite(path, tuple(_cases(text, path)))
    report = Report()
    root = tree.read(path, text.removeprefix("\ufeff"), report)
    report.settle()
    assert root is not None, "a report without problems comes with a tree"
    reading = read(root, SuiteDocument, report)
    document, at = reading.document, Cursor(reading, report)
    graders = _graders(document, at)
    for name, entry in document.slices.items():
        check_margin(unset(entry.margin), at / "slices" / name / "margin")
    report.settle()
    cases = _cases_of(document, reading, root, path, fetch)
    slices = {name: _note(entry) for name, entry in document.slices.items()}
    found = [_with_defaults(case, document.defaults) for case in cases]
    unknown = sorted(set(slices) - set(suite_file.slice_names(found)))
    if unknown:
        place = reading.names.get(("slices", unknown[0]), Place(path))
        refuse(place, f"slice {unknown[0]!r}", "one that a case has", "midshift suite check FILE   (lists them)")
    return Suite(document.name or path, tuple(found), graders, slices)


def _text(path: str, fetch: Fetch) -> str:
    source = fetch(path)
    if source is None:
        raise InputError(f"{path} is not there, expected a suite. Type next: midshift suite build --help")
    if isinstance(source, Unreadable):
        refuse(Place(path, source.line, source.column), source.found, source.expected, source.type_next)
    return source


def _cases(text: str, path: str) -> list[EvalCase]:
    return suite_file.read_cases((line.encode() + b"\n" for line in text.split("\n")), path)


def _graders(document: SuiteDocument, at: Cursor) -> tuple[Mapping[str, Any], ...]:
    for number, grader in enumerate(document.graders):
        if not isinstance(grader.get("type"), str):
            (at / "graders" / number).complain("a grader without a type", "one", "type: contains")
    return tuple(_plain(document.graders))


def _cases_of(
    document: SuiteDocument, reading: Reading[SuiteDocument], root: Node, path: str, fetch: Fetch
) -> list[EvalCase]:
    """The cases that stand in the YAML, or in the file of JSON lines that it names."""
    if isinstance(document.cases, list | tuple):
        return _written_here(_plain(document.cases), root, path)
    place = reading.places[("cases",)]
    inner = beside(path, document.cases) if isinstance(document.cases, str) else None
    if inner is None or not inner.endswith((".jsonl", ".ndjson", ".json")):
        refuse(place, repr(document.cases), "a list of cases, or the name of a .jsonl file", "cases: NAME.jsonl")
    if fetch(inner) is None:
        refuse(place, f"{inner!r}, and no such file", "the name of a .jsonl file", f"cases: FILE   (or write {inner})")
    return _cases(_text(inner, fetch), inner)


def _written_here(written: list[Any], root: Node, path: str) -> list[EvalCase]:
    nodes = root.get("cases") if isinstance(root, Fields) else None
    places = [item.place for item in nodes.items] if isinstance(nodes, Items) else []
    cases = []
    for place, one in zip(places, written, strict=True):
        if not isinstance(one, dict):
            refuse(place, "a case that is no mapping", "id and messages", "- {id: t-1, messages: [...]}")
        try:
            cases.append(suite_file.case_of(one, place.line))
        except ValueError as error:
            refuse(place, f"a case that is none ({error})", "id and messages", "- {id: t-1, messages: [...]}")
    return suite_file.checked(cases, path)


def _plain(value: Any) -> Any:
    """Lists where the tree has tuples: what a JSON line would have given."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, Mapping) else value


def _with_defaults(case: EvalCase, defaults: Defaults) -> EvalCase:
    has_system = any(message["role"] in ("system", "developer") for message in case.messages)
    head = ({"role": "system", "content": defaults.system},) if defaults.system and not has_system else ()
    return replace(
        case,
        messages=(*head, *case.messages),
        expects=_plain(defaults.expects) if case.expects is None else case.expects,
        params={**_plain(defaults.params), **case.params},
        tools=case.tools or tuple(_plain(defaults.tools)),
    )


def _note(entry: SliceEntry) -> SliceNote:
    margin = None if isinstance(entry.margin, UnsetType) else Margin(units.points(entry.margin))
    return SliceNote(entry.role, margin)
