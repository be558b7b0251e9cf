"""One test of promptfoo, prompt rendered, as a case with graders.

Elsewhere: configurations (promptfoo_config), results (promptfoo_results), what an assertion means (promptfoo_asserts).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from midshift.errors import InputError
from midshift.evals.importers import data, templates
from midshift.evals.importers.promptfoo_asserts import JUDGED, NotCarried, grader_of, type_of
from midshift.evals.importers.result import Basket, File, Options
from midshift.evals.importers.row_cases import slices_of
from midshift.evals.suite_file import DRAFT, EvalCase

_OF_A_TEST = frozenset({"vars", "assert", "metadata", "description", "options", "threshold", "id"})
_CHANGES_THE_ANSWER = ("transform", "postprocess")
CODE = (".js", ".cjs", ".mjs", ".ts", ".py", ".rb", ".sh")
"""Endings of files that an import never opens."""

OTHER_PROMPT = "each test is put to one prompt; choose it with --prompt LABEL"


@dataclass(slots=True)
class Reader:
    """One reading: the file, what a person said about it, and what was found."""

    file: File
    options: Options
    basket: Basket = field(default_factory=Basket)
    tests: int = 0

    def lose(self, what: str, why: str, place: str = "") -> None:
        """Say that something stays behind."""
        self.basket.lose(place or self.file.name, what, why)


def add_case(
    reader: Reader,
    number: int,
    test: Mapping[str, Any],
    messages: tuple[Mapping[str, Any], ...],
    variables: Mapping[str, Any],
) -> None:
    """Put a test whose prompt is rendered into the basket."""
    place = f"{reader.file.name}: test {number}"
    metadata = dict(mapping(test.get("metadata")))
    own = mapping(metadata.pop("midshift", None))
    metadata = {name: value for name, value in metadata.items() if not name.startswith("_promptfoo")}
    for name in sorted(set(test) - _OF_A_TEST):
        if test[name] not in (None, {}, [], ""):
            reader.lose(name, "a case has no such part", place)
    if test.get("threshold") is not None:
        reader.lose("threshold", "a gate compares two variants; it needs no share that must pass", place)
    is_draft = own.get("reference_status") == DRAFT
    slices = slices_of(metadata.pop("slice", None) or metadata.pop("category", None), place, reader.basket)
    description = test.get("description")
    if isinstance(description, str) and description:
        metadata.setdefault("description", description)
    reader.basket.add(
        EvalCase(
            place=number + 1,
            id=str(metadata.pop("id", None) or f"test {number}"),
            messages=messages,
            slices=slices,
            cluster=_text_or_none(own.get("cluster")),
            weight=_weight(own.get("weight")),
            reference=None if is_draft else own.get("reference"),
            expects=own.get("expects"),
            draft=own.get("reference") if is_draft else None,
            graders=_graders(test, variables, place, reader),
            tools=tuple(listed(own.get("tools"))),
            params=mapping(own.get("params")),
            variables=mapping(own["variables"]) if "variables" in own else variables,
            metadata={**metadata, **mapping(own.get("metadata"))},
            source=mapping(own.get("source")) if own else {"system": "promptfoo"},
        ),
        place,
    )


def is_reserved(name: str) -> bool:
    """Whether a name in a test's metadata is no note: it is read as something else, or written by promptfoo."""
    return name in ("id", "slice", "category", "midshift") or name.startswith("_promptfoo")


def _graders(
    test: Mapping[str, Any], variables: Mapping[str, Any], place: str, reader: Reader
) -> tuple[Mapping[str, Any], ...]:
    asserts = listed(test.get("assert"))
    options = mapping(test.get("options"))
    changed = next((name for name in _CHANGES_THE_ANSWER if options.get(name)), None)
    if changed is not None:
        reader.lose(f"options.{changed}", "it changes the answer before that is graded: no assertion is carried", place)
        return ()
    if test.get("assertScoringFunction"):
        reader.lose("assertScoringFunction", "it is code", place)
    graders = []
    for assertion in _flat(asserts, place, reader):
        try:
            graders.append(grader_of(_filled(assertion, variables, reader, place)))
        except NotCarried as error:
            reader.lose(type_of(assertion), str(error), place)
            continue
        if type_of(assertion) in JUDGED:
            reader.basket.note("the words of judged assertions are carried; midshift's own judge scores them")
        if assertion.get("threshold") is not None and type_of(assertion) != "llm-rubric":
            reader.lose(f"{type_of(assertion)} threshold", "the grader has none", place)
        if assertion.get("provider"):
            reader.lose(f"{type_of(assertion)} provider", "which model judges is said in midshift.yaml", place)
    return tuple(graders)


def _flat(asserts: Sequence[Any], place: str, reader: Reader) -> Iterator[Mapping[str, Any]]:
    for assertion in asserts:
        match assertion:
            case {"type": "assert-set", "assert": [*inner]}:
                reader.lose("assert-set", "its assertions are carried one by one, without the set's threshold", place)
                yield from (one for one in inner if isinstance(one, dict))
            case {"$ref": _}:
                reader.lose("$ref", "an assertion by reference", place)
            case dict():
                yield assertion
            case _:
                reader.lose("assertion", "no object", place)


def _filled(
    assertion: Mapping[str, Any], variables: Mapping[str, Any], reader: Reader, place: str
) -> Mapping[str, Any]:
    value = assertion.get("value")
    if isinstance(value, str) and value.startswith("file://") and value.endswith((".json", ".yaml", ".yml", ".txt")):
        path = value.removeprefix("file://")
        held = reader.file.beside(path)
        if held is None:
            raise NotCarried(f"{value[:80]!r} is no file in the folder of the configuration")
        text = data.text_of(held, path)
        value = text if path.endswith(".txt") else data.yaml_of(held, path)
    elif isinstance(value, str) and type_of(assertion).endswith("is-json"):
        value = _schema(value)
    try:
        return {**assertion, "value": templates.rendered(value, variables, lambda name: None)}
    except templates.NotPlain as error:
        raise NotCarried(f"its template: {error}") from None


def _schema(text: str) -> Any:
    try:
        return data.yaml_of(text.encode(), "schema")
    except InputError:
        return text


def _weight(found: Any) -> float:
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) and found > 0 else 1.0


def _text_or_none(found: Any) -> str | None:
    return found if isinstance(found, str) else None


def mapping(found: Any) -> dict[str, Any]:
    """An object with its names as texts; an empty one for anything else."""
    return {str(name): value for name, value in found.items()} if isinstance(found, Mapping) else {}


def listed(found: Any) -> list[Any]:
    """A list; an empty one for anything else."""
    return found if isinstance(found, list) else []
