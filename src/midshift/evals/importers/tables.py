"""Rows of CSV, JSON, JSON lines and Parquet: known exports, and tables of anybody's own.

Seen: what the packages `langfuse` 5.0.4 (`DatasetItem`, in its own and in its API's names), `langsmith` 0.15.0
(`Example`) and `braintrust` 0.47.0 (datasets and experiments, as it sends and fetches them) write. By documentation
only: the files of these tools' export buttons. Langfuse's has the fields of the item with `projectId`, `validFrom`,
`htmlSourcePath` (its worker's source, the case `dataset_items`); LangSmith's CSV has `input_NAME` and `output_NAME`.
OpenAI evals: `input` and `ideal` of github.com/openai/evals. Rows of OpenAI's hosted evals are under `item`.
Elsewhere: output items of hosted evals (openai_runs), which field is what (row_cases).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from midshift.evals.importers import chat, data, row_cases
from midshift.evals.importers.result import Basket, File, Imported, Options
from midshift.evals.importers.row_cases import GUESSES, Form

PLAIN = Form("table")
BRAINTRUST = Form(
    "braintrust",
    {
        **GUESSES,
        "input": ("input",),
        "reference": ("expected",),
        "slice": ("metadata.slice", "metadata.category"),
        "cluster": (),
    },
    frozenset(
        "_xact_id _pagination_key created project_id dataset_id experiment_id span_id root_span_id is_root origin "
        "span_parents span_attributes metrics context output error scores log_id classifications facets comments "
        "audit_data attachments".split()
    ),
    {"dataset": ("dataset_id",), "version": ("_xact_id",)},
)
LANGFUSE = Form(
    "langfuse",
    {
        **GUESSES,
        "reference": ("expectedOutput", "expected_output"),
        "slice": ("metadata.slice", "metadata.category"),
        "cluster": (),
    },
    frozenset(
        "createdAt updatedAt created_at updated_at datasetId dataset_id datasetName dataset_name status version "
        "sourceTraceId sourceObservationId source_trace_id source_observation_id mediaReferences media_references "
        "projectId validFrom htmlSourcePath".split()
    ),
    {
        "dataset": ("datasetName", "dataset_name"),
        "version": ("version", "validFrom"),
        "trace_id": ("sourceTraceId", "source_trace_id"),
    },
)
LANGSMITH = Form(
    "langsmith",
    {**GUESSES, "input": ("inputs",), "reference": ("outputs",), "slice": ("metadata.slice", "metadata.category")},
    frozenset("created_at modified_at dataset_id source_run_id attachments".split()),
    {"dataset": ("dataset_id",), "trace_id": ("source_run_id",)},
)
OPENAI_EVALS = Form("openai-evals", {**GUESSES, "input": ("input",), "reference": ("ideal",)})
_ANSWERS = ("output", "answer", "response", "text", "result", "expected", "content", "generations")


def read_plain(file: File, options: Options) -> Imported:
    """A table of anybody's own; rows of OpenAI's hosted evals are under `item`.

    Raises:
        InputError: if no row is a case.
    """
    basket = Basket()
    for number, row in data.rows_of(file.data, file.name):
        place = _at(file, number)
        inner = row.get("item")
        is_hosted = isinstance(inner, Mapping) and row.keys() <= {"item", "sample"}
        if is_hosted and row.get("sample"):
            basket.lose(place, "sample", "an answer, and no part of a case")
        row_cases.add(basket, inner if is_hosted and inner else row, place, number, PLAIN, options)
    return _done(basket, file, options)


def read_openai_evals(file: File, options: Options) -> Imported:
    """Samples of github.com/openai/evals: the eval's class says how they are graded, and that is in no sample.

    Raises:
        InputError: if no row is a case.
    """
    basket = _all(data.rows_of(file.data, file.name), file, OPENAI_EVALS, options)
    basket.lose(
        file.name, "the eval's class", "it is in the registry's YAML; Match is starts_with, Includes is contains"
    )
    return _done(basket, file, options)


def read_braintrust(file: File, options: Options) -> Imported:
    """A dataset or an experiment of Braintrust; outputs and scores of an experiment are not cases.

    Raises:
        InputError: if no row is a case.
    """
    basket = Basket()
    for number, row in data.rows_of(file.data, file.name):
        place = _at(file, number)
        if _is_a_step(row):
            basket.lose(place, "the span", "a step inside of another row")
            continue
        for name in ("output", "error", "scores", "comments", "facets", "classifications", "attachments"):
            if row.get(name) not in (None, "", [], {}):
                basket.lose(place, name, "an answer or what was said of one, and no part of a case")
        _lose_what_is_elsewhere(basket, row, place, '_attachment"', "Braintrust")
        said = {"expected": _answer_in(row.get("expected"))} if "expected" in row else {}
        row_cases.add(basket, {**row, **said}, place, number, BRAINTRUST, options)
    return _done(basket, file, options)


def read_langfuse(file: File, options: Options) -> Imported:
    """Dataset items of Langfuse; archived ones stay behind.

    Raises:
        InputError: if no row is a case.
    """
    basket = Basket()
    for number, row in data.rows_of(file.data, file.name):
        place = _at(file, number)
        if str(row.get("status", "")).upper() == "ARCHIVED":
            basket.lose(place, "the item", "it is archived")
            continue
        _lose_what_is_elsewhere(basket, row, place, "@@@langfuseMedia:", "Langfuse")
        said = {name: _answer_in(row[name]) for name in ("expectedOutput", "expected_output") if name in row}
        row_cases.add(basket, {**row, **said}, place, number, LANGFUSE, options)
    return _done(basket, file, options)


def read_langsmith(file: File, options: Options) -> Imported:
    """Examples of LangSmith: of key and value, of texts, and chats.

    Raises:
        InputError: if no row is a case.
    """
    basket = Basket()
    for number, row in data.rows_of(file.data, file.name):
        place = _at(file, number)
        if row.get("attachments"):
            basket.lose(place, "attachments", "the files are kept at LangSmith")
        outputs = _answer(row_cases.opened(row.get("outputs")))
        row_cases.add(basket, _inputs({**row, "outputs": outputs}), place, number, LANGSMITH, options)
    return _done(basket, file, options)


def _is_a_step(row: Mapping[str, Any]) -> bool:
    """Whether a row of an experiment is a span within another one's trace.

    Its parents say so; the id of a trace's root span is not that of the trace (braintrust 0.47).
    """
    return row.get("is_root") in (False, "false") or row_cases.opened(row.get("span_parents")) not in (None, "", [])


def _lose_what_is_elsewhere(basket: Basket, row: Mapping[str, Any], place: str, sign: str, keeper: str) -> None:
    """Name the fields in which files stand that an export only points to."""
    for name, value in row.items():
        if sign in (value if isinstance(value, str) else json.dumps(value, default=str)):
            basket.lose(place, f"a file in {name}", f"it is kept at {keeper}; what points to it is carried")


def _answer_in(found: Any) -> Any:
    """The text of a reference that is a message, or a whole answer of OpenAI's chat API; anything else as it is."""
    match row_cases.opened(found):
        case {"role": _, "content": _} as message if not message.get("tool_calls"):
            return chat.answer_text(message) or found
        case {"choices": [{"message": {"content": str() as text} as message}]} if not message.get("tool_calls"):
            return text or found
        case _:
            return found


def _inputs(row: dict[str, Any]) -> dict[str, Any]:
    """A CSV of LangSmith has a column for each input, `input_NAME`, and for each output."""
    if "inputs" in row:
        return row
    inputs = {name.removeprefix("input_"): value for name, value in row.items() if name.startswith("input_")}
    outputs = {name.removeprefix("output_"): value for name, value in row.items() if name.startswith("output_")}
    rest = {name: value for name, value in row.items() if not name.startswith(("input_", "output_"))}
    return {**rest, "inputs": inputs, "outputs": _answer(outputs)}


def _answer(outputs: Any) -> Any:
    """The text of a reference output where it is one, else all of it."""
    match outputs:
        case (
            {"messages": [*_, {"tool_calls": [_, *_]}]}
            | {"message": {"tool_calls": [_, *_]}}
            | {"output": {"tool_calls": [_, *_]}}
        ):
            return outputs
        case {"messages": [*_, last]} | {"output": {"data": _} as last} | {"output": {"kwargs": _} as last}:
            return chat.answer_text(last) or outputs
        case {"message": {"role": _} as last} | {"output": {"role": _} as last}:
            return chat.answer_text(last) or outputs
        case {"role": _, "content": _} | {"choices": [_]}:
            return _answer_in(outputs)
        case {**inner} if len(inner) == 1:
            (name, only), *_ = inner.items()
            return only if name in _ANSWERS or isinstance(only, str) else outputs
        case {}:
            return None
        case _:
            return outputs


def _all(rows: Iterable[tuple[int, Mapping[str, Any]]], file: File, form: Form, options: Options) -> Basket:
    basket = Basket()
    for number, row in rows:
        row_cases.add(basket, row, _at(file, number), number, form, options)
    return basket


def _done(basket: Basket, file: File, options: Options) -> Imported:
    imported = basket.done(file.name)
    if any(case.slices for case in imported.cases) or "slice" in options.fields:
        return imported
    near = ", ".join(f"--field slice={name}" for name in _may_be_slices(imported))
    hint = f"; perhaps {near}" if near else ""
    return replace(imported, notes=(*imported.notes, f"no row names a slice{hint}"))


def _may_be_slices(imported: Imported) -> list[str]:
    """Fields that have few values for many rows."""
    values: dict[str, set[str]] = {}
    for case in imported.cases[:5000]:
        for name, value in case.metadata.items():
            if isinstance(value, str) and len(value) <= 60:
                values.setdefault(name, set()).add(value)
    most = max(2, min(30, len(imported.cases) // 2))
    inside = "" if imported.cases[0].source.get("system") == PLAIN.system else "metadata."
    return sorted(f"{inside}{name}" for name, found in values.items() if 2 <= len(found) <= most)[:3]


def _at(file: File, number: int) -> str:
    return f"{file.name}:{number}"
