"""Responses to and from the neutral form: what comes through, what is left out, and what is refused by name."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.usage import Usage
from midshift.wire import sse
from midshift.wire.openai_responses_request import MADE_HERE
from midshift.wire.protocol import Unreadable
from midshift.wire.translation import openai_responses
from midshift.wire.translation.conversation import (
    Began,
    Conversation,
    Ended,
    Event,
    Failed,
    Media,
    Reply,
    Role,
    Stop,
    Text,
    TextDelta,
    ThinkingDelta,
    Tool,
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolResult,
    Turn,
    Uncarried,
)
from tests.wire.translation.openai_neutral import conversations, event_sequences, in_pieces, replies

PLACES = st.lists(st.integers(0, 9000), max_size=6)
HI = {"role": "user", "content": "Hi."}


def read(**fields: object) -> Conversation:
    """A request, read."""
    body = {"model": "m", "input": [HI], "store": False, **fields}
    return openai_responses.read_request(json.dumps(body).encode())


def written(conversation: Conversation) -> Any:
    """A request as plain values."""
    return json.loads(openai_responses.write_request(conversation).body)


def without_names(turn: Turn) -> Turn:
    """A turn as this wire has it: the answer to a call does not repeat its name."""
    return replace(
        turn, parts=tuple(replace(part, name=None) if isinstance(part, ToolResult) else part for part in turn.parts)
    )


@settings(max_examples=15)
@given(conversations())
def test_a_request_comes_back_as_it_was(conversation: Conversation) -> None:
    """What the form can say, this wire can say, but for a tool's name beside its answer."""
    sent = openai_responses.write_request(conversation)
    expected = replace(conversation, turns=tuple(map(without_names, conversation.turns)))

    assert expected == openai_responses.read_request(sent.body)
    assert ("/responses", False) == (sent.target, json.loads(sent.body)["store"])


@settings(max_examples=60)
@given(replies())
def test_an_answer_comes_back_as_it_was(reply: Reply) -> None:
    """Words, calls, thinking, usage by kind, and why it stopped. An answer that is cut short has no calls to run."""
    assert reply == openai_responses.read_reply(openai_responses.write_reply(reply))


@settings(max_examples=60)
@given(event_sequences(), PLACES)
def test_a_stream_comes_back_as_it_was_however_it_is_cut(events: list[Event], places: list[int]) -> None:
    """Calls whose pieces interleave are told apart by their place in the output."""
    writer = openai_responses.writer()
    stream = b"".join(map(writer.write, events))

    assert events == in_pieces(stream, places, openai_responses.reader())


def test_items_of_one_go_are_one_turn() -> None:
    """A response is flat; other wires have a message with its calls, and one with the answers to them."""
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
    said = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]}
    image = {"type": "input_image", "image_url": "data:image/png;base64,aa"}
    items = [
        {"role": "developer", "content": "D"},
        HI,
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
        said,
        call,
        {**call, "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "function_call_output", "call_id": "c2", "output": [image]},
        HI,
        HI,
    ]

    found = read(instructions="I", input=items)

    user = Turn(Role.USER, (Text("Hi."),))
    assert "I\nD" == found.system
    assert (
        user,
        Turn(Role.ASSISTANT, (Text("A"), ToolCall("c1", "f", "{}"), ToolCall("c2", "f", "{}"))),
        Turn(Role.USER, (ToolResult("c1", (Text("1"),)), ToolResult("c2", (Media("image", "image/png", "aa"),)))),
        user,
        user,
    ) == found.turns


def test_a_plain_text_is_what_the_user_says() -> None:
    """The shortest request there is."""
    assert (Turn(Role.USER, (Text("Hi."),)),) == read(input="Hi.").turns


def test_a_tool_of_which_nothing_is_said_is_not_strict() -> None:
    """Responses would make its optional fields required; chat completions would not."""
    assert written(Conversation("m", (), tools=(Tool("f"),)))["tools"][0]["strict"] is False


CLOSED = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]} | {
    "additionalProperties": False
}
OPEN = {name: value for name, value in CLOSED.items() if name != "additionalProperties"}
NESTED = {**CLOSED, "properties": {"a": {"type": "array", "items": {"anyOf": [CLOSED, {"type": "null"}]}}}}


def nested(inner: dict[str, Any], levels: int) -> dict[str, Any]:
    """A closed schema around another one, several times."""
    return nested({**CLOSED, "properties": {"a": inner}}, levels - 1) if levels else inner


@pytest.mark.parametrize(
    ("schema", "said", "strict"),
    [
        (CLOSED, {}, True),
        (CLOSED, {"strict": None}, True),
        (CLOSED, {"strict": False}, False),
        (OPEN, {"strict": True}, True),
        (NESTED, {}, True),
        ({**CLOSED, "properties": {}, "required": []}, {}, True),
        (OPEN, {}, None),
        ({**CLOSED, "required": []}, {}, None),
        ({**CLOSED, "required": 7}, {}, None),
        ({**CLOSED, "properties": {"a": OPEN}}, {}, None),
        ({**CLOSED, "properties": {"a": {"type": ["object", "null"]}}}, {}, None),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": {"anyOf": [OPEN]}}}}, {}, None),
        ({**CLOSED, "properties": {"a": {"type": "string", "minLength": 1}}}, {}, None),
        ({**CLOSED, "properties": {"a": True}}, {}, None),
        ({"type": "array", "items": CLOSED}, {}, None),
        (nested(CLOSED, 4), {}, True),
        (nested(CLOSED, 40), {}, None),
        ({}, {}, None),
        (None, {}, None),
    ],
)
def test_a_tool_that_says_nothing_is_strict_where_its_schema_is(
    schema: dict[str, Any] | None, said: dict[str, object], strict: bool | None
) -> None:
    """Responses hold it to its schema then, and fall back where they cannot; other wires do only what is said."""
    tool = {"type": "function", "name": "f", "parameters": schema, **said}

    assert strict is read(tools=[tool]).tools[0].strict


@pytest.mark.parametrize(
    ("part", "media"),
    [
        (
            {"file_data": None, "file_url": "https://a.example/a.pdf", "filename": "a.pdf"},
            Media("document", url="https://a.example/a.pdf", name="a.pdf"),
        ),
        (
            {"file_data": "JVBERi0=", "filename": "a.pdf"},
            Media("document", "application/pdf", "JVBERi0=", name="a.pdf"),
        ),
        ({"file_data": "data:text/plain;base64,eA=="}, Media("document", "text/plain", "eA==")),
    ],
)
def test_a_file_is_its_data_or_its_address(part: dict[str, object], media: Media) -> None:
    """Bare base64 has no type but by its name; written as an address, another vendor would look for it on the web."""
    found = read(input=[{"role": "user", "content": [{"type": "input_file", **part}]}])

    assert (media,) == found.turns[0].parts


@pytest.mark.parametrize("store", [None, True])
def test_an_answer_that_may_be_asked_for_later_is_not_carried(store: object) -> None:
    """It would be answered once, and the next turn, which names it, would find nothing."""
    with pytest.raises(Uncarried, match="store: false"):
        read(store=store)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"reasoning": {"of_next_month": 1}}, "reasoning.of_next_month"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "name": "f", "defer_loading": True}]}, "tools.0.defer_loading"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"input": [HI, {"role": "system", "content": "late"}]}, "input.1.role"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0.type"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input.0.type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f-1"}]}]},
            "input.0.content.0.file_id",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "JVBERi0="}]}]},
            "input.0.content.0.file_data",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "?", "filename": "a.pdf"}]}]},
            "input.0.content.0.file_data",
        ),
    ],
)
def test_what_cannot_be_carried_is_said_by_its_place(fields: dict[str, object], param: str) -> None:
    """A field that is dropped in silence is an answer that changes in silence."""
    with pytest.raises(Uncarried) as caught:
        read(**fields)

    assert param == caught.value.param


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"a": "b"}, "prompt_cache_key": "k", "service_tier": "flex", "max_tool_calls": 3},
        {"reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"]},
        {"background": False, "truncation": "disabled", "top_logprobs": 0, "text": {"verbosity": "medium"}},
    ],
)
def test_what_cannot_change_an_answer_is_left_out(fields: dict[str, object]) -> None:
    """Labels, hints, and fields that say what holds without them."""
    assert read() == read(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": "?"},
        {"input": [7]},
        {"tools": [{"type": "function"}]},
        {"input": [{"type": "function_call", "call_id": "c"}]},
        {"input": [{"type": "function_call_output", "output": "1"}]},
    ],
)
def test_what_is_not_well_formed_is_unreadable_and_never_skipped(fields: dict[str, object]) -> None:
    """A call that cannot be read is not no call."""
    with pytest.raises(Unreadable):
        read(**fields)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop": ("x",)}, "stop"),
        ({"seed": 3}, "seed"),
        ({"top_k": 5}, "top_k"),
        ({"thinking_tokens": 1024}, "thinking_tokens"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"turns": (Turn(Role.USER, (Media("audio", "audio/wav", "aa"),)),)}, "turns.0"),
        ({"turns": (Turn(Role.ASSISTANT, (Media("image", url="https://a/b.png"),)),)}, "turns.0"),
    ],
)
def test_what_responses_have_no_words_for_is_refused(fields: dict[str, Any], param: str) -> None:
    """As for reading."""
    with pytest.raises(Uncarried) as caught:
        openai_responses.write_request(Conversation(**{"model": "m", "turns": (), **fields}))

    assert param == caught.value.param


def test_zero_says_nothing_as_a_penalty_and_something_as_a_seed() -> None:
    """A penalty of 0 is what holds without one; a seed of 0 asks for the same answer again."""
    assert {"model", "input", "store"} == written(Conversation("m", (), frequency_penalty=0.0)).keys()
    with pytest.raises(Uncarried):
        openai_responses.write_request(Conversation("m", (), seed=0))


def test_a_tool_may_answer_with_an_image_and_may_fail() -> None:
    """This wire has parts for it; that it failed is said in words."""
    image = Media("image", url="https://a/b.png")
    results = (ToolResult("c", (Text("no"),), is_error=True), ToolResult("d", (image,), is_error=True))

    first, second = written(Conversation("m", (Turn(Role.USER, results),)))["input"]

    assert "Error: no" == first["output"]
    assert ["input_text", "input_image"] == [part["type"] for part in second["output"]]


def test_the_ids_of_what_is_written_are_known_again() -> None:
    """An app hands them back, and no provider knows them."""
    reply = Reply("x", "m", (Text("a"), ToolCall("c", "f", "{}")), Stop.TOOL_CALLS, thinking="hm")

    found = json.loads(openai_responses.write_reply(reply))

    assert all(MADE_HERE in item["id"] for item in found["output"])
    assert ["reasoning", "message", "function_call"] == [item["type"] for item in found["output"]]
    assert f"resp{MADE_HERE}x" == found["id"]
    assert "c" == found["output"][2]["call_id"]


@pytest.mark.parametrize(
    ("stop", "status", "reason"),
    [
        (Stop.END, "completed", None),
        (Stop.STOP_SEQUENCE, "completed", None),
        (Stop.LENGTH, "incomplete", "max_output_tokens"),
        (Stop.CONTEXT, "incomplete", "max_output_tokens"),
        (Stop.REFUSED, "incomplete", "content_filter"),
        (None, "incomplete", None),
    ],
)
def test_only_an_answer_that_is_over_is_completed(stop: Stop | None, status: str, reason: str | None) -> None:
    """One that does not say why it stopped is not taken for a whole one."""
    found = json.loads(openai_responses.write_reply(Reply("x", "m", (Text("a"),), stop)))

    assert (status, reason) == (found["status"], (found["incomplete_details"] or {}).get("reason"))
    assert found["usage"] is None


@pytest.mark.parametrize("body", [b"", b"[]", b'{"output": 3}', b'{"output": [], "status": "failed"}'])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """It goes to the app as it is."""
    assert openai_responses.read_reply(body) is None


def test_the_events_of_an_answer_come_in_the_documented_order() -> None:
    """Clients build the answer from them: an item before its part, a part before its words, all done before the end."""
    writer = openai_responses.writer(created=9)
    events: list[Event] = [
        Began("x", "m"),
        ThinkingDelta("hm"),
        TextDelta("Hi"),
        ToolBegan(0, "c", "f"),
        ToolDelta(0, "{}"),
        Ended(Stop.TOOL_CALLS, Usage(7, 2)),
    ]

    found = data_of(b"".join(map(writer.write, events)))

    assert [
        "created", "in_progress",
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "completed",
    ] == [event["type"].removeprefix("response.") for event in found]  # fmt: skip
    assert list(range(len(found))) == [event["sequence_number"] for event in found]
    last = found[-1]["response"]
    assert (9, "completed", 9) == (last["created_at"], last["status"], last["usage"]["total_tokens"])
    assert last["output"] == [event["item"] for event in found if event["type"] == "response.output_item.done"]


def data_of(stream: bytes) -> list[dict[str, Any]]:
    """The data of a stream's events, each of whose type lines agrees with them."""
    found = [event for block in sse.Blocks().feed(stream) if (event := sse.parse(block)) is not None]
    data = [json.loads(event.data) for event in found]
    assert [event.type for event in found] == [event["type"] for event in data]
    return data


def stream_of(*events: dict[str, object]) -> bytes:
    """A stream as a server sends it."""
    return b"".join(b"event: %b\ndata: %b\n\n" % (str(e["type"]).encode(), json.dumps(e).encode()) for e in events)


CREATED: dict[str, object] = {"type": "response.created", "response": {"id": "resp_1", "model": "m"}}
DONE: dict[str, object] = {"type": "response.completed", "response": {"status": "completed", "usage": None}}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [{"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "Hi"}, DONE],
            [TextDelta("Hi"), Ended(Stop.END)],
        ),
        (
            [
                {"type": "response.output_item.added", "output_index": 0, "item": CALL},
                {"type": "response.output_item.done", "output_index": 0, "item": {**CALL, "arguments": "{}"}},
                DONE,
            ],
            [ToolBegan(0, "c", "f"), ToolDelta(0, "{}"), Ended(Stop.TOOL_CALLS)],
        ),
        (
            [{"type": "response.refusal.delta", "output_index": 0, "content_index": 0, "delta": "No."}, DONE],
            [TextDelta("No."), Ended(Stop.REFUSED)],
        ),
        (
            [{"type": "response.reasoning_summary_part.added", "summary_index": 0}]
            + [{"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": "a"}]
            + [{"type": "response.reasoning_summary_part.added", "summary_index": 1}]
            + [{"type": "response.reasoning_summary_text.delta", "summary_index": 1, "delta": "b"}],
            [ThinkingDelta("a"), ThinkingDelta("\n\n"), ThinkingDelta("b")],
        ),
        (
            [{"type": "response.failed", "response": {"error": {"code": "server_error", "message": "no"}}}, DONE],
            [Failed("no", "server_error")],
        ),
        ([{"type": "error", "code": "overloaded", "message": "no"}], [Failed("no", "overloaded")]),
        ([{"type": "response.output_text.delta", "delta": "a"}], [TextDelta("a")]),
    ],
    ids=["whole text", "whole call", "refusal", "summaries", "failed", "error", "broken off"],
)
def test_a_stream_is_read_as_servers_cut_it(events: list[dict[str, object]], expected: list[Event]) -> None:
    """Only a stream that says that it is over ends."""
    found = in_pieces(stream_of(CREATED, *events), [], openai_responses.reader())

    assert [Began("resp_1", "m"), *expected] == found


def test_an_error_keeps_the_count_of_events() -> None:
    """It comes in the middle of others."""
    writer = openai_responses.writer()

    found = data_of(writer.write(Began("x", "m")) + writer.write(Failed("no", "overloaded")))

    assert ("error", "no", "overloaded", 2) == tuple(
        found[-1][name] for name in ("type", "message", "code", "sequence_number")
    )


def test_counts_that_clients_take_for_granted_are_numbers() -> None:
    """To OpenAI's client an answer without them is none; what is recorded is read from the provider's own answer."""
    usage = json.loads(openai_responses.write_reply(Reply("i", "m", (), Stop.END, Usage(7, 2))))["usage"]

    assert {"cached_tokens": 0, "cache_write_tokens": 0} == usage["input_tokens_details"]
    assert {"reasoning_tokens": 0} == usage["output_tokens_details"]
