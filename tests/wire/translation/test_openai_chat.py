"""Chat completions to and from the neutral form: what comes through, what is left out, and what is refused by name."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.usage import Usage
from midshift.wire.protocol import Unreadable
from midshift.wire.translation import openai_chat
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
    ToolBegan,
    ToolCall,
    ToolDelta,
    ToolResult,
    Turn,
    Uncarried,
)
from tests.wire.translation.openai_neutral import conversations, event_sequences, in_pieces, replies

PLACES = st.lists(st.integers(0, 5000), max_size=6)
HI = {"role": "user", "content": "Hi."}


def read(**fields: object) -> Conversation:
    """A request, read."""
    return openai_chat.read_request(json.dumps({"model": "m", "messages": [HI], **fields}).encode())


def written(conversation: Conversation) -> Any:
    """A request as plain values."""
    return json.loads(openai_chat.write_request(conversation).body)


def only_in_chat(draw: st.DrawFn) -> dict[str, object]:
    """Fields that responses do not have."""
    return {
        "stop": tuple(draw(st.lists(st.text(min_size=1, max_size=3), max_size=2))),
        "seed": draw(st.none() | st.integers(0, 9)),
        "frequency_penalty": draw(st.none() | st.sampled_from([0.0, 0.5])),
        "presence_penalty": draw(st.none() | st.sampled_from([0.0, 0.5])),
    }


@settings(max_examples=15)
@given(conversations(only_in_chat))
def test_a_request_comes_back_as_it_was(conversation: Conversation) -> None:
    """What the form can say, this wire can say: nothing is lost on the way."""
    sent = openai_chat.write_request(conversation)

    assert conversation == openai_chat.read_request(sent.body)
    assert sent.target == "/chat/completions"


@settings(max_examples=60)
@given(replies())
def test_an_answer_comes_back_as_it_was(reply: Reply) -> None:
    """Words, calls, thinking, usage by kind, and why it stopped."""
    assert reply == openai_chat.read_reply(openai_chat.write_reply(reply))


@settings(max_examples=60)
@given(event_sequences(), PLACES)
def test_a_stream_comes_back_as_it_was_however_it_is_cut(events: list[Event], places: list[int]) -> None:
    """Calls whose pieces interleave are told apart by their index."""
    writer = openai_chat.writer()
    stream = b"".join(map(writer.write, events))

    assert events == in_pieces(stream, places, openai_chat.reader())


def test_answers_of_tools_that_were_called_together_are_one_turn() -> None:
    """Other wires want them in one message, right after the calls; the tool's name is found by the call."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        HI,
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "2"}]},
        HI,
    ]

    found = read(messages=messages).turns

    results = (ToolResult("c1", (Text("1"),), name="f"), ToolResult("c2", (Text("2"),), name="f"))
    assert (Turn(Role.USER, results), Turn(Role.USER, (Text("Hi."),))) == found[2:]
    assert (ToolCall("c1", "f", "{}"), ToolCall("c2", "f", "{}")) == found[1].parts


def test_media_come_through() -> None:
    """Images by URL or data, sounds, and files."""
    content = [
        {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "auto"}},
        {"type": "input_audio", "input_audio": {"data": "aa", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,bb", "filename": "x.pdf"}},
    ]

    (turn,) = read(messages=[{"role": "user", "content": content}]).turns

    assert (
        Media("image", url="https://a/b.png"),
        Media("audio", "audio/mpeg", "aa"),
        Media("document", "application/pdf", "bb", name="x.pdf"),
    ) == turn.parts
    again = written(Conversation("m", (turn,)))["messages"][0]["content"]
    assert [{"url": "https://a/b.png"}, content[1]["input_audio"], content[2]["file"]] == [
        part.get("image_url") or part.get("input_audio") or part.get("file") for part in again
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"prediction": {}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"verbosity": "low"}, "verbosity"),
        ({"a_field_of_next_month": 1}, "a_field_of_next_month"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools.0.type"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"messages": [HI, {"role": "system", "content": "late"}]}, "messages.1.role"),
        ({"messages": [{**HI, "name": "Ann"}]}, "messages.0.name"),
        ({"messages": [{"role": "assistant", "function_call": {}}]}, "messages.0.function_call"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f-1"}}]}]},
            "messages.0.content.0.file.file_id",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"detail": "high"}}]}]},
            "messages.0.content.0.image_url.detail",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "iVBORw0="}}]}]},
            "messages.0.content.0.image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "JVBERi0="}}]}]},
            "messages.0.content.0.file.file_data",
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
        {"n": 1, "logprobs": False, "modalities": ["text"], "verbosity": "medium", "audio": None},
        {"metadata": {"a": "b"}, "store": True, "prompt_cache_key": "k", "service_tier": "flex"},
        {"stream_options": {"include_usage": True}},
    ],
)
def test_what_cannot_change_an_answer_is_left_out(fields: dict[str, object]) -> None:
    """Labels, hints, and fields that say what holds without them."""
    assert read() == read(**fields)


@pytest.mark.parametrize(
    "fields",
    [{"tools": "?"}, {"messages": [7]}, {"stop": 7}, {"messages": [{"role": "tool", "content": "1"}]}]
    + [{"messages": [{"role": "user", "content": 7}]}],
)
def test_what_is_not_well_formed_is_unreadable_and_never_skipped(fields: dict[str, object]) -> None:
    """A list of tools that cannot be read is not an empty one."""
    with pytest.raises(Unreadable):
        read(**fields)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"top_k": 5}, "top_k"),
        ({"thinking_tokens": 1024}, "thinking_tokens"),
        ({"turns": (Turn(Role.USER, (Media("document", url="https://a/b.pdf"),)),)}, "turns.0"),
        ({"turns": (Turn(Role.USER, (Media("image", data="aa"),)),)}, "turns.0"),
        ({"turns": (Turn(Role.USER, (Media("audio", "audio/ogg", "aa"),)),)}, "turns.0"),
        ({"turns": (Turn(Role.ASSISTANT, (Media("image", url="https://a/b.png"),)),)}, "turns.0"),
        ({"turns": (Turn(Role.USER, (ToolResult("c", (Media("image", url="https://a/b.png"),)),)),)}, "turns.0"),
    ],
)
def test_what_chat_has_no_words_for_is_refused(fields: dict[str, Any], param: str) -> None:
    """As for reading."""
    with pytest.raises(Uncarried) as caught:
        openai_chat.write_request(Conversation(**{"model": "m", "turns": (), **fields}))

    assert param == caught.value.param


def test_a_tool_that_failed_says_so_in_words() -> None:
    """This wire has no mark for it, and a model that is not told takes the error for an answer."""
    turn = Turn(Role.USER, (ToolResult("c", (Text("no such file"),), is_error=True),))

    (message,) = written(Conversation("m", (turn,)))["messages"]

    assert "Error: no such file" == message["content"]


def test_a_refusal_is_read_as_words_and_as_a_refusal() -> None:
    """The user reads it, and the drift of refusals counts it."""
    choice = {"message": {"role": "assistant", "content": None, "refusal": "No."}, "finish_reason": "stop"}

    found = openai_chat.read_reply(json.dumps({"id": "i", "model": "m", "choices": [choice]}).encode())

    assert Reply("i", "m", (Text("No."),), Stop.REFUSED) == found


@pytest.mark.parametrize("body", [b"", b"[]", b'{"choices": []}', b'{"error": {"message": "no"}, "choices": [{}]}'])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """It goes to the app as it is."""
    assert openai_chat.read_reply(body) is None


def test_usage_that_is_not_known_is_not_written() -> None:
    """A client that reads 0 tokens bills 0."""
    assert "usage" not in json.loads(openai_chat.write_reply(Reply("i", "m", (), Stop.END, Usage(tokens_in=5))))


def chunks(*deltas: dict[str, object], finish: str | None = "stop", done: bool = True) -> bytes:
    """A stream as servers send it."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    last = [{"index": 0, "delta": {}, "finish_reason": finish}] if finish else []
    made = [{"id": "i", "model": "m", "choices": [choice]} for choice in [*choices, *last]]
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in made) + (b"data: [DONE]\n\n" if done else b"")


def call(said: dict[str, object], **function: str) -> dict[str, object]:
    """A delta with a piece of a call."""
    return {"tool_calls": [{**said, "function": function}]}


WHOLE = [ToolBegan(0, "a", "f"), ToolDelta(0, "{}")]
TWO = [*WHOLE, ToolBegan(1, "b", "g"), ToolDelta(1, "[]")]
F, G = {"name": "f", "arguments": "{}"}, {"name": "g", "arguments": "[]"}
QUIRKS = {
    "whole calls at once": (
        [call({"index": 0, "id": "a"}, **F), call({"index": 1, "id": "b"}, **G)],
        TWO,
    ),
    "the same index for every call": (
        [call({"index": 0, "id": "a"}, **F), call({"index": 0, "id": "b"}, **G)],
        TWO,
    ),
    "no index": (
        [call({"id": "a"}, name="f"), call({}, arguments="{}"), call({"id": "b"}, name="g", arguments="[]")],
        TWO,
    ),
    "name and id in every piece": (
        [call({"index": 0, "id": "a"}, name="f"), call({"index": 0, "id": "a"}, name="f", arguments="{}")],
        WHOLE,
    ),
    "the name after the arguments": (
        [call({"index": 0, "id": "a"}, arguments="{"), call({"index": 0}, name="f", arguments="}")],
        WHOLE,
    ),
    "words and reasoning": (
        [{"reasoning_content": "hm"}, {"content": "", "reasoning": None}, {"content": "Hi"}],
        [ThinkingDelta("hm"), TextDelta("Hi")],
    ),
}


@pytest.mark.parametrize(("deltas", "events"), QUIRKS.values(), ids=QUIRKS)
def test_calls_are_put_together_as_servers_cut_them(deltas: list[dict[str, object]], events: list[Event]) -> None:
    """Each of these is a server's habit that has garbled somebody's tool calls."""
    found = in_pieces(chunks(*deltas), [], openai_chat.reader())

    assert [Began("i", "m"), *events] == found[:-1]


def an_answer(finish: str | None = "stop", **message: object) -> bytes:
    """A whole answer as servers send it."""
    choice = {"message": {"role": "assistant", "content": None, **message}, "finish_reason": finish}
    return json.dumps({"id": "i", "model": "m", "choices": [choice]}).encode()


@pytest.mark.parametrize(
    ("finish", "stop"),
    [("stop", Stop.TOOL_CALLS), ("tool_calls", Stop.TOOL_CALLS), ("length", Stop.LENGTH), (None, None)],
)
def test_an_answer_that_ended_well_with_calls_waits_for_them(finish: str | None, stop: Stop | None) -> None:
    """OpenAI says `stop` where the app names the function; an agent that is told `end_turn` runs no tool."""
    whole = openai_chat.read_reply(an_answer(finish, tool_calls=[{"id": "a", "type": "function", "function": F}]))
    streamed = in_pieces(chunks(call({"index": 0, "id": "a"}, **F), finish=finish), [], openai_chat.reader())

    assert whole == Reply("i", "m", (ToolCall("a", "f", "{}"),), stop)
    assert Ended(stop) == streamed[-1]


THOUGHT = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}, {"type": "reference", "reference_ids": [1]}]}
]
LISTED = [
    *THOUGHT,
    {"type": "text", "text": "It is "},
    {"type": "reference", "reference_ids": [1]},
    "?",
    {"type": "text"},
]


def test_content_that_is_a_list_is_read_by_its_parts() -> None:
    """Mistral's reasoning models answer so; an empty message that ended well would be a lost answer."""
    last: list[dict[str, object]] = [{"type": "text", "text": "42."}]
    whole = openai_chat.read_reply(an_answer(content=[*LISTED, *last]))
    streamed = in_pieces(chunks({"content": LISTED}, {"content": last}), [], openai_chat.reader())

    assert Reply("i", "m", (Text("It is 42."),), Stop.END, thinking="hm") == whole
    assert [ThinkingDelta("hm"), TextDelta("It is "), TextDelta("42."), Ended(Stop.END)] == streamed[1:]


def test_a_list_without_words_says_nothing() -> None:
    """A thought alone is no answer, and nor are values of another kind."""
    assert Reply("i", "m", (), Stop.END) == openai_chat.read_reply(an_answer(content=["?", {"type": "thinking"}, 7]))


def test_a_stream_begins_with_the_chunk_that_has_its_id() -> None:
    """Azure sends what its filters found first, with an empty id and model; an app would know its answers by those."""
    filters = {"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": []}
    stream = b"data: %b\n\n" % json.dumps(filters).encode() + chunks({"content": "a"})

    assert [Began("i", "m"), TextDelta("a"), Ended(Stop.END)] == in_pieces(stream, [], openai_chat.reader())


def test_a_stream_without_an_id_begins_with_its_first_choice() -> None:
    """Some servers give none at all, and what they say may not wait for it."""
    stream = b'data: {"model": "m", "choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'

    assert [Began("", "m"), TextDelta("a")] == openai_chat.reader().feed(stream)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (chunks({"content": "a"}, finish=None, done=False), [TextDelta("a")]),
        (chunks({"content": "a"}, done=False), [TextDelta("a"), Ended(Stop.END)]),
        (chunks({"refusal": "No."}), [TextDelta("No."), Ended(Stop.REFUSED)]),
        (
            chunks({"content": "a"}, finish=None, done=False)
            + b'data: {"error": {"message": "no", "code": "overloaded"}}\n\n'
            + chunks({"content": "b"}),
            [TextDelta("a"), Failed("no", "overloaded")],
        ),
        (
            chunks({"content": "a"}, done=False) + b'data: {"error": "no"}\n\n',
            [TextDelta("a"), Failed("no", "upstream_error")],
        ),
        (chunks({"content": "a"}, done=False) + b'data: {"error": ""}\n\n', [TextDelta("a"), Ended(Stop.END)]),
        (chunks({"content": "a"}, done=False) + b"data:\n\ndata: [DONE] \n\n", [TextDelta("a"), Ended(Stop.END)]),
    ],
    ids=["broken off", "no [DONE]", "a refusal", "an error", "an error in plain words", "an empty error", "blanks"],
)
def test_only_a_whole_stream_ends(stream: bytes, events: list[Event]) -> None:
    """Half an answer that looks whole is the worst of both."""
    assert [Began("i", "m"), *events] == in_pieces(stream, [], openai_chat.reader())


def test_usage_is_sent_only_to_an_app_that_asked() -> None:
    """Some clients stumble over a chunk without a choice."""
    events: list[Event] = [Began("i", "m"), TextDelta("a"), Ended(Stop.END, Usage(7, 2))]
    with_, without = (b"".join(map(openai_chat.writer(wanted, 9).write, events)) for wanted in (True, False))

    assert (True, False) == (b'"usage"' in with_, b'"usage"' in without)
    assert b'"choices":[],"usage"' in with_
    assert with_.endswith(b"data: [DONE]\n\n")
    assert 3 == without.count(b'"created":9')


def test_an_error_is_what_clients_raise() -> None:
    """No [DONE] follows: what came is not the whole answer."""
    found = openai_chat.writer().write(Failed("no", "overloaded"))

    assert {"message": "no", "code": "overloaded"}.items() <= json.loads(found.removeprefix(b"data: "))["error"].items()
