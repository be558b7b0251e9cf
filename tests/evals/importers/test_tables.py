"""Exports of other tools and anybody's own tables, by the shapes that their types document."""

import json

import pytest

from midshift.errors import InputError, UsageError
from midshift.evals.importers import File, Source, sniffed
from tests.evals.importers.imports import BRAINTRUST, CHAT, EVERY, LANGFUSE, LM_EVAL, TABLE, imported, lines, lost


@pytest.mark.parametrize("source", EVERY)
@pytest.mark.parametrize("shape", ["lines", "list", "indented"])
def test_the_form_is_told_from_the_first_row(source: Source, shape: str) -> None:
    """Nobody should have to know what their export is called."""
    rows = [EVERY[source], EVERY[source]]
    text = {"lines": lines(*rows), "list": json.dumps(rows), "indented": json.dumps(rows, indent=1)}[shape]

    assert source == sniffed(File("x.json", text.encode()))


@pytest.mark.parametrize("source", EVERY)
def test_a_row_becomes_a_case_that_asks_the_same(source: Source) -> None:
    """The question reaches the model, and the answer is only what it is compared with."""
    case = imported("x.jsonl", lines(EVERY[source])).cases[0]

    assert "Capital of France?" in case.messages[-1]["content"]
    assert case.reference in ("Paris", ["Paris", "paris"])
    assert "Paris" not in json.dumps(case.messages)


def test_what_a_tool_knows_beside_is_carried_as_metadata_and_source() -> None:
    """Slices from the metadata; bookkeeping stays behind; where it came from is kept."""
    braintrust, langfuse = (imported("x.jsonl", lines(row)).cases[0] for row in (BRAINTRUST, LANGFUSE))

    assert (("geo",), {"slice": "geo", "by": "ann", "tags": ["gold"]}) == (braintrust.slices, braintrust.metadata)
    assert {"hint": "P"} == braintrust.variables
    assert {"system": "langfuse", "dataset": "capitals", "trace_id": "t-9"} == langfuse.source


def test_archived_items_stay_behind() -> None:
    """Somebody took them out of the dataset for a reason."""
    found = imported("x.jsonl", lines(LANGFUSE, {**LANGFUSE, "id": "l2", "status": "ARCHIVED"}))

    assert (["l1"], {"the item"}) == ([case.id for case in found.cases], lost(found))


def test_langsmith_as_csv_has_a_column_for_each_input_and_output() -> None:
    """`input_NAME` and `output_NAME`."""
    text = 'id,input_question,output_answer,metadata\n1,Capital?,Paris,"{""slice"": ""geo""}"\n'

    case = imported("x.csv", text, source=Source.LANGSMITH).cases[0]

    assert ("Capital?", "Paris", ("geo",)) == (case.messages[0]["content"], case.reference, case.slices)


def test_an_answer_with_tool_calls_is_a_grader_of_tool_calls() -> None:
    """A training line says what the model should call, and with what."""
    call = {"id": "1", "type": "function", "function": {"name": "refund", "arguments": '{"order": 4}'}}
    row = {"messages": [*CHAT, {"role": "assistant", "tool_calls": [call]}]}

    case = imported("x.jsonl", lines(row)).cases[0]

    calls = [{"name": "refund", "arguments": {"order": 4}}]
    assert ({"type": "tool_calls", "calls": calls, "mode": "unordered"},) == case.graders
    assert None is case.reference


def test_a_log_likelihood_is_no_request() -> None:
    """A chat API cannot be asked for one, and a guess would be another task."""
    row = {**LM_EVAL, "doc_id": 4, "arguments": [["Q: 2+2?", " 4"]]}

    found = imported("x.jsonl", lines(LM_EVAL, {**LM_EVAL, "filter": "strict"}, row), slice="doc.subject")

    assert [("3", ("geo",))] == [(case.id, case.slices) for case in found.cases]
    assert {"the sample", "temperature", "until", "the task's metrics and filters"} == lost(found)


def test_fields_are_named_by_path_also_within_json_in_a_cell() -> None:
    """CSV exports keep objects as text."""
    text = 'frage,meta,kunde\nWo?,"{""tier"": ""gold""}",k1\n'

    case = imported("x.csv", text, input="frage", slice="meta.tier", cluster="kunde").cases[0]

    assert ("Wo?", ("gold",), "k1") == (case.messages[0]["content"], case.slices, case.cluster)


def test_a_table_without_slices_is_told_which_columns_could_be() -> None:
    """Few values for many rows; the next line to type is in the note."""
    rows = [{"question": f"q{n}", "answer": "a", "level": "easy" if n % 2 else "hard"} for n in range(20)]

    assert "--field slice=level" in " ".join(imported("x.jsonl", lines(*rows)).notes)


def test_a_row_whose_question_cannot_be_found_is_named_with_its_fields() -> None:
    """And the rest is carried."""
    found = imported("x.jsonl", lines(TABLE, {"frage": "Wo?"}))

    assert (1, {"the row"}) == (len(found.cases), lost(found))
    with pytest.raises(InputError, match="--field input=PATH, one of frage"):
        imported("x.jsonl", lines({"frage": "Wo?"}))


def test_a_field_that_no_case_has_is_refused() -> None:
    """`--field question=...` would do nothing."""
    with pytest.raises(UsageError, match="expected one of id, input"):
        imported("x.jsonl", lines(TABLE), question="q")


def test_an_id_that_is_there_twice_gets_a_number() -> None:
    """Both cases are kept, and can be told apart."""
    found = imported("x.jsonl", lines({**TABLE, "id": "a"}, {**TABLE, "id": "a"}))

    assert (["a", "a#2"], {"id"}) == ([case.id for case in found.cases], lost(found))


@pytest.mark.parametrize("held", ["Infinity", "-Infinity", "NaN", "1e999", '[0, {"n": NaN}]'])
def test_a_number_that_json_does_not_have_is_lost_by_name(held: str) -> None:
    """A suite can only hold null in its place, which nobody should find out from an eval."""
    row = json.dumps({**TABLE, "metadata": {"n": "HELD"}}).replace('"HELD"', held)

    found = imported("x.jsonl", row + "\n")

    assert [("x.jsonl:1", "metadata")] == [(loss.place, loss.what) for loss in found.not_carried if "NaN" in loss.why]


def test_a_finite_number_is_no_loss() -> None:
    """As above, for what every suite holds."""
    found = imported("x.jsonl", lines({**TABLE, "metadata": {"n": [1, 2.5, {"m": -1e300}]}}))

    assert not [loss for loss in found.not_carried if "NaN" in loss.why]
