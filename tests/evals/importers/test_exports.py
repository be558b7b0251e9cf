"""Shapes that files of other tools have been seen with, beside the plain row of each form."""

import json
from typing import Any

import pytest

from midshift.errors import InputError
from midshift.evals.importers import Source
from tests.evals.importers.imports import BRAINTRUST, CHAT, LANGFUSE, LANGSMITH, LM_EVAL, imported, lines, lost

ANSWER = {"role": "assistant", "content": "Paris"}
CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
HOW = {"until": ["\n"], "do_sample": False}


@pytest.mark.parametrize(
    "arguments",
    [{"gen_args_0": {"arg_0": [json.dumps(CHAT)], "arg_1": HOW}}, [[[json.dumps(CHAT)], HOW]]],
    ids=["0.4.5 and after", "before"],
)
def test_a_prompt_that_lm_eval_made_for_a_chat_api_is_a_chat(arguments: Any) -> None:
    """It stands there as a list of one text, because it was a tuple with a name."""
    case = imported("x.jsonl", lines({**LM_EVAL, "arguments": arguments})).cases[0]

    assert CHAT == list(case.messages)


@pytest.mark.parametrize("arguments", [{"gen_args_0": {"arg_0": "All of a text."}}, [["All of a text."]]])
def test_the_likelihood_of_all_of_a_text_is_no_request(arguments: Any) -> None:
    """A text without a question would be asked as one."""
    with pytest.raises(InputError, match="log likelihood"):
        imported("x.jsonl", lines({**LM_EVAL, "arguments": arguments}))


def test_samples_of_two_tasks_in_one_file_are_all_carried() -> None:
    """Both begin with document 0; a second filter of one of them is no second sample."""
    rows = [LM_EVAL, {**LM_EVAL, "filter": "strict"}, {**LM_EVAL, "doc_hash": "other"}]

    assert ["3", "3#2"] == [case.id for case in imported("x.jsonl", lines(*rows)).cases]


def test_pictures_beside_a_prompt_of_lm_eval_are_named() -> None:
    """The harness has them as a further argument."""
    arguments = {"gen_args_0": {"arg_0": "Q", "arg_1": HOW, "arg_2": {"visual": ["x"]}}}

    assert "further arguments" in lost(imported("x.jsonl", lines({**LM_EVAL, "arguments": arguments})))


def test_what_langfuses_export_adds_to_an_item_is_bookkeeping() -> None:
    """The fields of its worker's export: the item's, with where it is shown and since when it is valid."""
    added = {"projectId": "p", "validFrom": "2026-01-02", "htmlSourcePath": "/project/p/traces/t-9"}

    found = imported("x.jsonl", lines({**LANGFUSE, **added, "expectedOutput": ANSWER}))

    assert ("Paris", {"category": "geo"}) == (found.cases[0].reference, found.cases[0].metadata)
    assert "2026-01-02" == found.cases[0].source["version"]
    assert set() == lost(found)


def test_langfuse_as_csv_has_objects_as_texts() -> None:
    """Every cell is quoted; an empty one is null."""
    text = (
        '"id","projectId","datasetId","status","input","expectedOutput","metadata","datasetName"\n'
        '"l1","p","d","ACTIVE","{""messages"":[{""role"":""user"",""content"":""Capital?""}]}",'
        '"{""role"":""assistant"",""content"":""Paris""}","{""slice"":""geo""}","capitals"\n'
    )

    case = imported("x.csv", text).cases[0]

    assert ("Capital?", "Paris", ("geo",)) == (case.messages[0]["content"], case.reference, case.slices)


def test_a_step_of_a_trace_is_no_case() -> None:
    """Spans of an experiment name their parents; the ids of its root and its trace may differ."""
    root = {**BRAINTRUST, "span_id": "1", "root_span_id": "9", "span_parents": None, "experiment_id": "e"}
    step = {**root, "id": "b2", "span_id": "2", "span_parents": ["1"]}

    found = imported("x.jsonl", lines(root, step))

    assert (["b1"], {"the span"}) == ([case.id for case in found.cases], lost(found))


@pytest.mark.parametrize(
    "outputs",
    [
        {"message": ANSWER},
        {"output": ANSWER},
        {"messages": [*CHAT, ANSWER]},
        ANSWER,
        {"choices": [{"index": 0, "message": ANSWER}]},
        {"answer": "Paris"},
    ],
)
def test_a_reference_that_is_an_answer_is_its_text(outputs: Any) -> None:
    """A grader compares texts."""
    assert "Paris" == imported("x.jsonl", lines({**LANGSMITH, "outputs": outputs})).cases[0].reference


@pytest.mark.parametrize("name", ["message", "output"])
def test_a_reference_that_calls_tools_is_kept_whole(name: str) -> None:
    """Its text alone would be half of it."""
    outputs = {name: {**ANSWER, "tool_calls": [CALL]}}

    assert outputs == imported("x.jsonl", lines({**LANGSMITH, "outputs": outputs})).cases[0].reference


def test_tools_beside_messages_are_asked_with_them() -> None:
    """Traces of OpenAI's client keep both in the input."""
    tools = [{"type": "function", "function": {"name": "look"}}]

    case = imported("x.jsonl", lines({**LANGSMITH, "inputs": {"messages": CHAT, "tools": tools, "n": 1}})).cases[0]

    assert (tools, {"n": 1}) == (list(case.tools), case.variables)


def test_langchains_older_tool_calls_are_found() -> None:
    """They stand under `additional_kwargs`, with an empty list where they would be looked for."""
    said = {"content": "", "tool_calls": [], "additional_kwargs": {"tool_calls": [CALL]}}
    chat = [{"type": "human", "data": {"content": "q"}}, {"type": "ai", "data": said}]

    found = imported("x.jsonl", lines({**LANGSMITH, "inputs": {"messages": [*chat, chat[0]]}}))

    assert [CALL] == found.cases[0].messages[1]["tool_calls"]


def test_what_a_message_has_beside_is_named() -> None:
    """Thoughts, audio, marks for a cache: a chat request has no place for them."""
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]
    messages = [*CHAT, {"role": "assistant", "content": content, "audio": {"id": "x"}}, CHAT[1]]

    found = imported("x.jsonl", lines({"messages": messages, "answer": "Paris"}), source=Source.TABLE)

    assert {"thoughts of a message", "audio of a message"} == lost(found)


def test_nulls_of_a_table_are_not_sent_to_a_provider() -> None:
    """Data sets that were a table once have every field in every part."""
    picture = {"type": "image_url", "image_url": {"url": "https://x", "detail": None}, "text": None}
    messages = [{"role": "user", "content": [{"type": "text", "text": "a", "image_url": None}, picture]}]

    case = imported("x.jsonl", lines({"messages": messages, "answer": "Paris", "slice": "s"})).cases[0]

    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://x"}}]
    assert parts == case.messages[0]["content"]


def test_rows_of_hosted_evals_are_under_item_and_a_column_of_that_name_is_not() -> None:
    """A shop's table has items as well."""
    hosted = imported("x.jsonl", lines({"item": {"question": "q", "answer": "a"}, "sample": {"output_text": "x"}}))
    shop = imported("x.jsonl", lines({"question": "q", "answer": "a", "item": {"text": "a shoe"}}))

    assert ("q", {"sample"}) == (hosted.cases[0].messages[0]["content"], lost(hosted))
    assert ("q", {"item": {"text": "a shoe"}}) == (shop.cases[0].messages[0]["content"], shop.cases[0].metadata)


def test_what_is_beside_a_field_that_a_path_leads_to_is_kept() -> None:
    """`--field input=row.q` takes the question, and leaves the rest of the row."""
    found = imported("x.jsonl", lines({"row": {"q": "Wo?", "note": "n"}}), input="row.q")

    assert {"row": {"note": "n"}} == found.cases[0].metadata


def test_a_column_that_is_empty_gives_way_to_the_next() -> None:
    """`input` and `question` in one table, each filled in for some rows."""
    found = imported("x.csv", "input,question,slice\n,Wo?,s\nWas?,,s\n")

    assert ["Wo?", "Was?"] == [case.messages[0]["content"] for case in found.cases]


def test_two_notes_of_one_name_are_both_kept() -> None:
    """A row's field and one of its metadata."""
    found = imported("x.jsonl", lines({"question": "q", "tags": ["a"], "metadata": {"tags": ["b"]}}))

    assert {"tags": ["b"], "row.tags": ["a"]} == found.cases[0].metadata
