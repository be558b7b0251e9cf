"""Whatever stands in any field that a format knows: it is carried, named as lost, or said to be wrong."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.errors import InputError, UsageError
from midshift.evals.importers import File, Options, Source, import_file, tables
from midshift.evals.suite_file import line_of
from tests.evals.importers.imports import EVERY, assert_a_suite_holds, imported, lines
from tests.evals.importers.test_hostile import GOOD, JSON

FORMS = {
    Source.BRAINTRUST: tables.BRAINTRUST,
    Source.LANGFUSE: tables.LANGFUSE,
    Source.LANGSMITH: tables.LANGSMITH,
    Source.OPENAI_EVALS: tables.OPENAI_EVALS,
    Source.TABLE: tables.PLAIN,
}
IDENTITY = {"id", "object", "created_at", "run_id", "status", "datasource_item_id", "filter", "resps", "metrics"}
"""What is of a run and of no case, in formats without a form."""


OTHER_WORDS = {"human", "ai", "assistant", "\n"}
"""Roles that are called something else in a case, roles of an answer, and where lm_eval stops one (which it names)."""


def known(source: Source) -> list[str]:
    """Every field that a format has."""
    form = FORMS.get(source)
    paths = [path for tried in form.fields.values() for path in tried] if form else []
    return sorted({*EVERY[source], *(path for path in paths if "." not in path), *(form.bookkeeping if form else ())})


def read(held: str, name: str, source: Source) -> None:
    """Cases that a suite can hold, or an error that names the file."""
    try:
        found = import_file(File(name, held.encode("utf-8", "surrogatepass")), source, Options())[1]
    except InputError as error:
        assert name in str(error)
        return
    assert_a_suite_holds(found.cases)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(data=st.data(), source=st.sampled_from(sorted(EVERY)), value=JSON)
def test_any_json_in_any_known_field_gives_cases_or_an_error_that_names_the_file(
    data: st.DataObject, source: Source, value: Any
) -> None:
    """Never a traceback."""
    field = data.draw(st.sampled_from(known(source)))
    read(lines(EVERY[source], {**EVERY[source], field: value}), "x.jsonl", source)
    read(lines({field: value}), "x.jsonl", source)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(data=st.data(), source=st.sampled_from(sorted(FORMS)), value=JSON, text=st.text(max_size=20))
def test_any_text_in_any_cell_of_a_csv_gives_cases_or_an_error(
    data: st.DataObject, source: Source, value: Any, text: str
) -> None:
    """Objects are kept as text there, and half of them are cut off somewhere."""
    row = {**EVERY[source], data.draw(st.sampled_from(known(source))): data.draw(st.sampled_from([value, text]))}
    cells = {name: cell if isinstance(cell, str) else json.dumps(cell) for name, cell in row.items()}
    out = io.StringIO()
    writer = csv.DictWriter(out, list(cells))
    writer.writeheader()
    writer.writerow(cells)

    read(out.getvalue(), "x.csv", source)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    source=st.sampled_from(sorted(GOOD)),
    name=st.sampled_from(["id", "input", "reference", "slice", "cluster", "weight", "system", "tools", "metadata"]),
)
def test_any_path_that_a_person_names_gives_cases_or_an_error(data: st.DataObject, source: Source, name: str) -> None:
    """Into lists, texts, and what is not there."""
    path = data.draw(
        st.sampled_from(["input", "messages", "doc.q", "metadata", "metadata.slice", "id", "x.y", "tags", ""])
    )
    with_fields = Options({name: path})
    try:
        found = import_file(File("x.json", json.dumps(GOOD[source]).encode()), source, with_fields)[1]
    except (InputError, UsageError):
        return
    assert_a_suite_holds(found.cases)


@pytest.mark.parametrize("source", sorted(EVERY))
def test_no_field_goes_without_a_word(source: Source) -> None:
    """A new field of any format is in the case, or among what was lost."""
    marked = {**EVERY[source], "a_new_field": "mark-1", "another": {"deep": ["mark-2"]}}

    found = imported("x.jsonl", lines(marked), source=source)

    held = b"".join(line_of(case) for case in found.cases).decode()
    lost = {loss.what for loss in found.not_carried}
    assert ("mark-1" in held or "a_new_field" in lost) and ("mark-2" in held or "another" in lost)


@pytest.mark.parametrize("source", sorted(EVERY))
def test_every_field_of_a_good_row_is_in_the_case_or_named(source: Source) -> None:
    """But for what only says when and by which run something was written."""
    found = imported("x.jsonl", lines(EVERY[source]), source=source)

    held = json.loads(line_of(found.cases[0]))
    lost = {loss.what for loss in found.not_carried}
    form = FORMS.get(source)
    for name, value in EVERY[source].items():
        if name in lost or name in IDENTITY or (form is not None and name in form.bookkeeping):
            continue
        assert set() == texts(value) - texts(held) - OTHER_WORDS, name


def texts(value: Any) -> set[str]:
    """Every text in a value."""
    if isinstance(value, dict):
        return {text for inner in value.values() for text in texts(inner)}
    if isinstance(value, list):
        return {text for inner in value for text in texts(inner)}
    return {value} if isinstance(value, str) else set()


def test_a_field_that_a_form_does_not_look_at_is_refused() -> None:
    """A line that somebody typed must not be without effect."""
    for source, name in ((Source.OPENAI_FINE_TUNING, "slice"), (Source.LM_EVAL, "input"), (Source.INSPECT, "tools")):
        file = File("x.jsonl", lines(EVERY[source]).encode())
        with pytest.raises(UsageError, match=f"--field {name}"):
            import_file(file, source, Options({name: "x"}))
    with pytest.raises(UsageError, match="--prompt"):
        imported("x.jsonl", lines(EVERY[Source.TABLE]), prompt="p1")
