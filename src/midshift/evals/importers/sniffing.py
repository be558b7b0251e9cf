"""Which importer reads a file, told from its name, its first bytes, and the fields of its first row."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from midshift.errors import InputError, UsageError
from midshift.evals.importers import (
    chat,
    data,
    fine_tuning,
    inspect_dataset,
    inspect_log,
    lm_eval,
    openai_runs,
    parquet,
    promptfoo_config,
    promptfoo_results,
    tables,
)
from midshift.evals.importers.result import File, Imported, Importer, Options
from midshift.evals.importers.row_cases import OURS


class Source(StrEnum):
    """The forms that can be imported, as `--from` names them."""

    PROMPTFOO = "promptfoo"
    PROMPTFOO_RESULTS = "promptfoo-results"
    INSPECT = "inspect"
    INSPECT_LOG = "inspect-log"
    OPENAI_EVALS = "openai-evals"
    OPENAI_EVALS_RUN = "openai-evals-run"
    OPENAI_FINE_TUNING = "openai-fine-tuning"
    BRAINTRUST = "braintrust"
    LANGFUSE = "langfuse"
    LANGSMITH = "langsmith"
    LM_EVAL = "lm-eval"
    TABLE = "table"


IMPORTERS: Mapping[Source, Importer] = MappingProxyType(
    {
        Source.PROMPTFOO: promptfoo_config.read,
        Source.PROMPTFOO_RESULTS: promptfoo_results.read,
        Source.INSPECT: inspect_dataset.read,
        Source.INSPECT_LOG: inspect_log.read,
        Source.OPENAI_EVALS: tables.read_openai_evals,
        Source.OPENAI_EVALS_RUN: openai_runs.read,
        Source.OPENAI_FINE_TUNING: fine_tuning.read,
        Source.BRAINTRUST: tables.read_braintrust,
        Source.LANGFUSE: tables.read_langfuse,
        Source.LANGSMITH: tables.read_langsmith,
        Source.LM_EVAL: lm_eval.read,
        Source.TABLE: tables.read_plain,
    }
)


_FIELDS: Mapping[Source, frozenset[str]] = MappingProxyType(
    {
        Source.PROMPTFOO: frozenset(),
        Source.PROMPTFOO_RESULTS: frozenset(),
        Source.OPENAI_FINE_TUNING: frozenset(),
        Source.OPENAI_EVALS_RUN: frozenset({"id", "input", "reference", "slice", "cluster", "weight"}),
        Source.INSPECT: frozenset({"id", "input", "reference", "slice", "metadata"}),
        Source.INSPECT_LOG: frozenset({"id", "input", "reference", "slice", "metadata"}),
        Source.LM_EVAL: frozenset({"slice"}),
    }
)
"""What can be mapped with --field, where that is not all of a case."""

_WITH_PROMPTS = frozenset({Source.PROMPTFOO, Source.PROMPTFOO_RESULTS})


def import_file(file: File, source: Source | None, options: Options) -> tuple[Source, Imported]:
    """The cases of a file, by the importer that is named or that fits.

    Raises:
        InputError: if the file is none of this form, too large, or without a usable case.
        UsageError: for a field that is none of a case.
    """
    if len(file.data) > data.LARGEST_FILE:
        raise InputError(f"{file.name}: {len(file.data):,} bytes, expected at most {data.LARGEST_FILE:,}")
    if not file.data.strip():
        raise InputError(f"{file.name} is empty, expected a suite of another tool")
    found = sniffed(file) if source is None else source
    _require_use(found, options)
    return found, IMPORTERS[found](file, options)


def _require_use(source: Source, options: Options) -> None:
    """What a person says about a file must have an effect."""
    allowed = _FIELDS.get(source, frozenset(OURS))
    for name in options.fields:
        if name not in allowed:
            known = (
                f"expected one of {', '.join(one for one in OURS if one in allowed)}" if allowed else "expected none"
            )
            raise UsageError(f"--field {name}=...: {known} for {source.value}. Type next: leave it out")
    if options.prompt is not None and source not in _WITH_PROMPTS:
        raise UsageError(
            f"--prompt: only promptfoo has prompts to choose from, not {source.value}. Type next: leave it out"
        )


def sniffed(file: File) -> Source:
    """The form of a file; a table where nothing else fits.

    Raises:
        InputError: for a file that is no text and no known archive, or whose first row cannot be read.
    """
    if file.data.startswith(b"PK\x03\x04"):
        return Source.INSPECT_LOG
    if file.data.startswith(parquet.MAGIC):
        return _by_fields(next((row for _, row in data.rows_of(file.data, file.name)), {}))
    if file.name.lower().endswith((".yaml", ".yml")):
        return Source.PROMPTFOO
    if file.name.lower().endswith((".csv", ".tsv")):
        return _by_fields(_first_row(file))
    head = file.data.removeprefix(data.UTF8_MARK).lstrip()[:1]
    if head not in (b"{", b"["):
        raise InputError(
            f"{file.name}: neither JSON, YAML, CSV, Parquet nor an Inspect log by its name and first bytes. "
            "Type next: --from NAME, or give the file the ending that it should have"
        )
    return _by_fields(_first_row(file))


def _first_row(file: File) -> Mapping[str, Any]:
    first = file.data.partition(b"\n")[0]
    try:
        whole = data.json_of(file.data if _is_one_document(file.data, first) else first, file.name)
        if isinstance(whole, dict) and _of_a_document(whole) is not None:
            return whole
    except InputError:
        pass  # CSV, or a line that its reader will name
    for _, row in data.rows_of(file.data, file.name):
        return row
    return {}


def _is_one_document(held: bytes, first: bytes) -> bool:
    return first.strip() in (b"{", b"[") or not held[len(first) :].strip()


def _of_a_document(found: Mapping[str, Any]) -> Source | None:
    """The form of a JSON document that is not a list of rows."""
    match found:
        case {"results": {"version": _}} | {"results": {"results": [*_]}} | {"evalId": _}:
            return Source.PROMPTFOO_RESULTS
        case {"prompts": _, "tests": _} | {"prompts": _, "providers": _} | {"prompts": _, "scenarios": _}:
            return Source.PROMPTFOO
        case {"eval": {"task": _}, "samples": _}:
            return Source.INSPECT_LOG
        case _:
            return None


def _by_fields(row: Mapping[str, Any]) -> Source:
    document = _of_a_document(row)
    if document is not None:
        return document
    names = set(row)
    if {"promptIdx", "testIdx"} <= names:
        return Source.PROMPTFOO_RESULTS
    if "vars" in names and ("assert" in names or names <= {"vars", "metadata", "description"}):
        raise InputError("tests of promptfoo without their prompts, expected promptfooconfig.yaml beside them")
    if {"arguments", "doc_id"} <= names:
        return Source.LM_EVAL
    if {"datasource_item", "sample"} <= names:
        return Source.OPENAI_EVALS_RUN
    if {"input", "ideal"} <= names:
        return Source.OPENAI_EVALS
    if "expectedOutput" in names or {"expected_output", "source_trace_id"} <= names:
        return Source.LANGFUSE
    if {"inputs", "outputs"} <= names:
        return Source.LANGSMITH
    if {"_xact_id"} <= names or ("expected" in names and {"span_id", "root_span_id", "dataset_id"} & names):
        return Source.BRAINTRUST
    if {"input", "target"} <= names:
        return Source.INSPECT
    is_training = chat.is_chat(row.get("messages")) and names <= {
        "messages",
        "tools",
        "functions",
        "parallel_tool_calls",
    }
    return Source.OPENAI_FINE_TUNING if is_training else Source.TABLE
