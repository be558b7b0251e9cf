"""Anthropic Messages to and from the neutral form: what is carried comes back, what is not is named."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.usage import Usage
from midshift.wire import anthropic as wire
from midshift.wire.protocol import Unreadable
from midshift.wire.translation import anthropic
from midshift.wire.translation.conversation import (
    Began,
    Choice,
    Conversation,
    Ended,
    Event,
    Failed,
    JsonFormat,
    Media,
    Named,
    Part,
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
    Translation,
    Turn,
    Uncarried,
)

TRANSLATION: Translation = anthropic
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: bool(text.strip()))
NAMES = st.text("abc_-1", min_size=1, max_size=8)
OBJECTS = st.dictionaries(NAMES, st.integers() | TEXTS | st.none() | st.floats(allow_nan=False, allow_infinity=False))
ARGUMENTS = st.builds(lambda value, indent: json.dumps(value, indent=indent), OBJECTS, st.sampled_from([None, 1]))
BASE64 = st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode())
SHOWN = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(lambda data: Media("image", "image/png", data=data), BASE64),
    st.just(Media("image", url="https://a.example/a.png")),
    st.builds(lambda data, name: Media("document", "application/pdf", data=data, name=name), BASE64, st.none() | NAMES),
    st.just(Media("document", "application/pdf", url="https://a.example/a.pdf")),
    st.builds(
        lambda text: Media("document", "text/plain", data=base64.b64encode(text.encode()).decode(), name="a"), TEXTS
    ),
)
CALLS = st.builds(ToolCall, NAMES, NAMES, ARGUMENTS)
RESULTS = st.builds(ToolResult, NAMES, st.lists(SHOWN, max_size=2).map(tuple), st.booleans())
COUNTS = st.none() | st.integers(0, 10**6)


@st.composite
def turns(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Speakers take turns, the user has the last word, and results stand at the head of a turn."""
    found: list[Turn] = []
    for _ in range(draw(st.integers(0, 2))):
        found.append(Turn(Role.USER, _said(draw)))
        said: list[Part] = draw(st.lists(st.one_of(st.builds(Text, TEXTS), CALLS), min_size=1, max_size=3))
        found.append(Turn(Role.ASSISTANT, tuple(said)))
    return (*found, Turn(Role.USER, _said(draw)))


def _said(draw: st.DrawFn) -> tuple[Part, ...]:
    results: list[Part] = draw(st.lists(RESULTS, max_size=2))
    return (*results, *draw(st.lists(SHOWN, min_size=1, max_size=3)))


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """What this wire can carry without a loss."""
    tool = st.builds(Tool, NAMES, st.none() | TEXTS, OBJECTS, st.none() | st.booleans())
    tools = tuple(draw(st.lists(tool, max_size=2)))
    choice = draw(st.none() | st.sampled_from(Choice) | st.builds(Named, NAMES)) if tools else None
    is_parallel = draw(st.none() | st.booleans()) if choice not in (None, Choice.NONE) else None
    effort = draw(st.none() | st.sampled_from(("none", "low", "medium", "high", "xhigh", "max")))
    spoken = draw(turns())
    may_think = effort != "none" and not any(isinstance(part, ToolResult) for part in spoken[-1].parts)
    return Conversation(
        model=draw(NAMES),
        turns=spoken,
        system=draw(st.none() | TEXTS),
        tools=tools,
        tool_choice=choice,
        parallel_tools=is_parallel,
        format=draw(st.none() | st.builds(lambda schema: JsonFormat(schema, strict=True), OBJECTS)),
        max_tokens=draw(COUNTS),
        temperature=draw(st.none() | st.floats(0, 1)),
        top_p=draw(st.none() | st.floats(0, 1)),
        top_k=draw(COUNTS),
        stop=tuple(draw(st.lists(TEXTS, max_size=2))),
        effort=effort,
        thinking_tokens=draw(st.none() | st.integers(1024, 9999)) if may_think else None,
        user=draw(st.none() | TEXTS),
        stream=draw(st.booleans()),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage with both totals: the wire has no word for an unknown one."""
    cached, written = draw(COUNTS), draw(COUNTS)
    long = None if written is None else draw(st.none() | st.integers(0, written))
    total = (cached or 0) + (written or 0) + draw(st.integers(0, 999))
    return Usage(
        total,
        draw(st.integers(0, 999)),
        cached,
        written,
        long,
        draw(COUNTS),
        service_tier=draw(st.sampled_from([None, "batch"])),
    )


@pytest.mark.slow
@settings(max_examples=50)
@given(conversations())
def test_a_conversation_comes_back_as_it_was(conversation: Conversation) -> None:
    """Nothing that two wires share may get lost on the way."""
    sent = anthropic.write_request(conversation)

    assert conversation == anthropic.read_request(sent.body, sent.target)


@pytest.mark.slow
@settings(max_examples=20)
@given(conversations())
def test_a_written_request_is_one_of_the_wire(conversation: Conversation) -> None:
    """The provider's own wire reads it next, and applies the variant."""
    sent = anthropic.write_request(conversation)

    found = wire.read_request(sent.body, sent.target)

    assert (conversation.model, conversation.system, conversation.stream) == (found.model, found.system, found.stream)
    assert not found.has_side_effects


@pytest.mark.slow
@settings(max_examples=50)
@given(
    st.builds(
        Reply,
        NAMES,
        NAMES,
        st.lists(st.one_of(st.builds(Text, TEXTS), st.builds(ToolCall, NAMES, NAMES, OBJECTS.map(json.dumps)))).map(
            tuple
        ),
        st.none() | st.sampled_from(Stop),
        usages(),
    )
)
def test_a_reply_comes_back_as_it_was(reply: Reply) -> None:
    """Arguments are the same value; their spelling is the encoder's."""
    found = anthropic.read_reply(anthropic.write_reply(reply))

    assert found is not None
    assert _plain(reply.parts) == _plain(found.parts)
    assert replace(reply, parts=()) == replace(found, parts=())


def _plain(parts: tuple[Text | ToolCall, ...]) -> list[object]:
    return [(part.id, part.name, json.loads(part.arguments)) if isinstance(part, ToolCall) else part for part in parts]


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Words and calls in any order, with the deltas of several calls interleaved."""
    calls = [(index, draw(NAMES), draw(ARGUMENTS)) for index in range(draw(st.integers(0, 3)))]
    waiting: list[list[Event]] = [
        [ToolBegan(index, f"id{index}", name), *(ToolDelta(index, piece) for piece in _cut(draw, arguments))]
        for index, name, arguments in calls
    ]
    waiting.append([TextDelta(text) for text in draw(st.lists(TEXTS, max_size=3))])
    found: list[Event] = []
    begun = 0
    while any(waiting):
        at = draw(st.sampled_from([at for at, events in enumerate(waiting) if events]))
        if isinstance(waiting[at][0], ToolBegan):
            at, begun = begun, begun + 1  # calls are counted in the order in which they begin
        found.append(waiting[at].pop(0))
    return [Began("msg", "m", Usage(0)), *found, Ended(draw(st.sampled_from(Stop)), draw(usages()))]


def _cut(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True) if begin < end]


def written(events: list[Event]) -> bytes:
    """The stream of these events."""
    writer = anthropic.writer()
    return b"".join(map(writer.write, events))


def read(stream: bytes, places: list[int] | None = None) -> list[Event]:
    """The events of a stream, cut at these places."""
    reader = anthropic.reader()
    cuts = [0, *sorted(places or []), len(stream)]
    found = [event for begin, end in zip(cuts, cuts[1:], strict=False) for event in reader.feed(stream[begin:end])]
    return found + reader.end()


def joined(events: list[Event]) -> list[object]:
    """What a user reads, what is called with what, and how it ended, whatever the pieces were."""
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    calls = [event for event in events if isinstance(event, ToolBegan)]
    arguments = [
        "".join(event.arguments for event in events if isinstance(event, ToolDelta) and event.index == call.index)
        for call in calls
    ]
    return [events[0], text, calls, [json.loads(found) for found in arguments], events[-1]]


@pytest.mark.slow
@settings(max_examples=50)
@given(streams())
def test_a_stream_comes_back_as_it_was(events: list[Event]) -> None:
    """Calls that interleave are put one after another, and none of their pieces into another."""
    assert joined(events) == joined(read(written(events)))


@pytest.mark.slow
@settings(max_examples=50)
@given(streams())
def test_written_blocks_come_one_after_another(events: list[Event]) -> None:
    """Each is closed before the next begins, and indexes count from 0: clients append what begins."""
    found = [json.loads(line[6:]) for line in written(events).splitlines() if line.startswith(b"data: ")]
    types = [event["type"] for event in found]
    blocks = found[1:-2]

    assert ("message_start", ["message_delta", "message_stop"]) == (types[0], types[-2:])
    index, is_open = 0, False
    for event in blocks:
        assert index == event["index"]
        match event["type"]:
            case "content_block_start":
                assert not is_open
                is_open = True
            case "content_block_delta":
                assert is_open
            case "content_block_stop":
                assert is_open
                index, is_open = index + 1, False
    assert not is_open


@pytest.mark.slow
@settings(max_examples=30)
@given(streams(), st.data())
def test_any_chunking_of_a_stream_gives_the_same_events(events: list[Event], data: st.DataObject) -> None:
    """Packets end anywhere."""
    stream = written(events)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))

    assert read(stream) == read(stream, places)


def test_words_go_out_as_they_come() -> None:
    """A translated stream must not wait for its end."""
    writer = anthropic.writer()
    writer.write(Began("msg", "m"))

    assert b'"text":"Hel"' in writer.write(TextDelta("Hel"))
    assert b'"text":"lo."' in writer.write(TextDelta("lo."))


def test_a_whole_call_makes_room_for_the_next_at_once() -> None:
    """Calls that do not interleave are not held back."""
    writer = anthropic.writer()
    for event in (Began("msg", "m"), ToolBegan(0, "a", "f"), ToolDelta(0, '{"x":'), ToolDelta(0, "1}")):
        writer.write(event)

    out = writer.write(ToolBegan(1, "b", "g"))

    assert [b"event: content_block_stop", b"event: content_block_start"] == out.splitlines()[::3]


def test_thinking_of_another_model_is_not_written() -> None:
    """Without a signature, a block that an app sends back would be refused; a ping keeps clients awake."""
    assert b'event: ping\ndata: {"type":"ping"}\n\n' == anthropic.writer().write(ThinkingDelta("Hm."))
    reply = Reply("msg", "m", (Text("Hi."),), Stop.END, thinking="Hm.")
    assert [{"type": "text", "text": "Hi."}] == json.loads(anthropic.write_reply(reply))["content"]


def test_unknown_totals_are_numbers_on_the_wire() -> None:
    """Clients add them up; what is recorded is read from the provider's own stream."""
    usage = json.loads(anthropic.write_reply(Reply("msg", "m", (), None)))["usage"]

    assert (0, 0, None) == (usage["input_tokens"], usage["output_tokens"], usage["cache_read_input_tokens"])


def event(type: str, **fields: object) -> bytes:
    """One event of a stream of the API."""
    return f"event: {type}\ndata: {json.dumps({'type': type, **fields})}\n\n".encode()


def test_a_stream_of_the_api_is_read() -> None:
    """Thinking, two tools in parallel, one of them without arguments; usage from both ends, once."""
    stream = (
        event("message_start", message={"id": "msg_1", "model": "m", "usage": {"input_tokens": 5, "output_tokens": 1}})
        + event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""})
        + event("ping")
        + event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."})
        + event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "EqQB"})
        + event("content_block_stop", index=0)
        + event("content_block_start", index=1, content_block={"type": "redacted_thinking", "data": "Emw"})
        + event("content_block_stop", index=1)
        + event("content_block_start", index=2, content_block={"type": "tool_use", "id": "a", "name": "f", "input": {}})
        + event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": ""})
        + event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"x": 1}'})
        + event("content_block_stop", index=2)
        + event("content_block_start", index=3, content_block={"type": "tool_use", "id": "b", "name": "g", "input": {}})
        + event("content_block_delta", index=3, delta={"type": "input_json_delta", "partial_json": ""})
        + event("content_block_stop", index=3)
        + event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 7})
        + event("message_stop")
    )

    assert [
        Began("msg_1", "m", Usage(5)),
        ThinkingDelta("Hm."),
        ToolBegan(0, "a", "f"),
        ToolDelta(0, '{"x": 1}'),
        ToolBegan(1, "b", "g"),
        ToolDelta(1, "{}"),
        Ended(Stop.TOOL_CALLS, Usage(5, 7)),
    ] == read(stream)


@pytest.mark.parametrize(
    ("stream", "failed"),
    [
        (event("error", error={"type": "overloaded_error", "message": "No."}), Failed("No.", "overloaded_error")),
        (event("error"), Failed("The provider reports an error without words.")),
        (b"data: <html>\n\n", Failed("The stream holds an event that cannot be read.", "api_error")),
    ],
)
def test_an_error_in_a_stream_is_carried(stream: bytes, failed: Failed) -> None:
    """Clients raise it instead of taking what came for the whole answer."""
    assert [failed] == read(stream)
    assert [replace(failed, code=failed.code or "api_error")] == read(written([failed]))


@pytest.mark.parametrize("error", [event("error", error={"type": "api_error", "message": "No."}), b"data: {\n\n"])
def test_nothing_follows_an_error_in_a_stream(error: bytes) -> None:
    """An app that is told of an error and then of an end takes the answer for whole."""
    said = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"})
    ended = event("message_delta", delta={"stop_reason": "end_turn"}, usage={}) + event("message_stop")

    first, last = read(said + error + said + ended)

    assert TextDelta("Hel") == first
    assert isinstance(last, Failed)


DONE = b"data: [DONE]\n\n"
STOPPED = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})


@pytest.mark.parametrize("end", [event("message_stop") + DONE, DONE, DONE + event("message_stop")])
def test_the_word_that_ends_streams_of_openai_is_no_failure(end: bytes) -> None:
    """Compatible servers write it behind `message_stop`, or in its place."""
    assert [Ended(Stop.END, Usage(None, 7))] == read(STOPPED + end)


def test_the_word_alone_ends_nothing() -> None:
    """Without a reason to stop, the answer has broken off."""
    assert [] == read(DONE)


def test_a_stream_that_broke_off_has_no_end() -> None:
    """The other wire must not say that it is whole."""
    events: list[Event] = [Began("msg", "m"), TextDelta("Hel")]

    assert not [event for event in read(written(events)) if isinstance(event, Ended)]


@pytest.mark.parametrize("reason", ["pause_turn", "compaction", "of_next_year", None])
def test_a_stop_that_other_wires_do_not_know_is_unknown(reason: object) -> None:
    """A paused turn is not an end."""
    found = anthropic.read_reply(json.dumps({"type": "message", "content": [], "stop_reason": reason}).encode())

    assert found is not None
    assert found.stop is None


def asked(**fields: object) -> bytes:
    """A request of an Anthropic client."""
    return json.dumps(
        {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi."}], **fields}
    ).encode()


def of_user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """The same with these blocks."""
    return {"messages": [{"role": "user", "content": list(blocks)}]}


TEXT = {"type": "text", "text": "Hi."}
CALL = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
DOCUMENT = {"type": "document", "source": {"type": "url", "url": "https://a.example/a.pdf"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"of_next_year": False}, "of_next_year"),
        ({"thinking": {"type": "between_tools"}}, "thinking"),
        ({"output_config": {"task_budget": {"total": 1}}}, "output_config.task_budget"),
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"name": "f", "defer_loading": True}]}, "tools.0.defer_loading"),
        ({"tools": [{"name": "f", "allowed_callers": ["code_execution_20260521"]}]}, "tools.0.allowed_callers"),
        (of_user({"type": "image", "source": {"type": "file", "file_id": "f"}}), "messages.0.content.0.source"),
        (of_user(TEXT, {**DOCUMENT, "citations": {"enabled": True}}), "messages.0.content.1.citations"),
        (of_user({"type": "search_result", "content": []}), "messages.0.content.0"),
        (of_user({**CALL, "caller": {"type": "code_execution_20260521"}}), "messages.0.content.0.caller"),
        ({"messages": [{"role": "user", "content": "Hi."}, {"role": "system", "content": "B"}]}, "messages.1"),
        ({"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "{"}]}, "messages.1"),
    ],
)
def test_what_only_this_wire_knows_is_refused_by_its_place(fields: dict[str, object], param: str) -> None:
    """Dropped in silence, it would be another request under the same name."""
    with pytest.raises(Uncarried) as caught:
        anthropic.read_request(asked(**fields), "/v1/messages")

    assert param == caught.value.param


@pytest.mark.parametrize(
    "fields",
    [
        {
            "cache_control": {"type": "ephemeral"},
            "service_tier": "auto",
            "metadata": {"session": "s"},
            "container": None,
        },
        of_user({**TEXT, "cache_control": {"type": "ephemeral"}, "citations": None}),
        {"messages": [{"role": "user", "content": "Hi."}], "thinking": {"type": "adaptive", "display": "omitted"}},
        {"tools": []},
    ],
)
def test_labels_and_cache_markers_are_left_out(fields: dict[str, object]) -> None:
    """They change what is paid and what is shown, and no answer."""
    expected = Conversation("m", (Turn(Role.USER, (Text("Hi."),)),), max_tokens=5)

    assert expected == anthropic.read_request(asked(**fields), "/v1/messages")


def test_thinking_of_earlier_turns_is_left_out() -> None:
    """No other model can read it; the turn that held nothing else goes."""
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "B"}]},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": [thought]},
        {"role": "assistant", "content": [thought, {**CALL, "caller": {"type": "direct"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
    ]

    found = anthropic.read_request(asked(system="A", messages=messages), "/v1/messages")

    assert "A\nB" == found.system
    assert (
        Turn(Role.USER, (Text("Hi."),)),
        Turn(Role.ASSISTANT, (ToolCall("a", "f", "{}"),)),
        Turn(Role.USER, (ToolResult("a", ()),)),
    ) == found.turns


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": ["?"]},
        {"messages": [{"role": "robot", "content": "Hi."}]},
        {"messages": [{"role": "user", "content": 7}]},
        of_user({"type": "text"}),
        {"tools": "?"},
        {"tools": [{}]},
        {"tool_choice": {"type": "?"}},
        {"max_tokens": "many"},
        {"system": 7},
    ],
)
def test_what_is_no_request_is_refused_in_words(fields: dict[str, object]) -> None:
    """The app's developer reads this."""
    with pytest.raises(Unreadable):
        anthropic.read_request(asked(**fields), "/v1/messages")


HI = Conversation("m", (Turn(Role.USER, (Text("Hi."),)),))
LOOP = (Turn(Role.ASSISTANT, (ToolCall("a", "f", "{}"),)), Turn(Role.USER, (ToolResult("a", ()),)))


@pytest.mark.parametrize(
    ("conversation", "param"),
    [
        (replace(HI, seed=1), "seed"),
        (replace(HI, frequency_penalty=0.5), "frequency_penalty"),
        (replace(HI, presence_penalty=0.5), "presence_penalty"),
        (replace(HI, temperature=1.5), "temperature"),
        (replace(HI, effort="minimal"), "effort"),
        (replace(HI, format=JsonFormat()), "response_format"),
        (replace(HI, turns=(*HI.turns, Turn(Role.ASSISTANT, (Text("{"),)))), "messages"),
        (replace(HI, turns=(Turn(Role.USER, (Media("audio", "audio/wav", data=""),)),)), "messages.0"),
        (replace(HI, turns=(Turn(Role.USER, (Media("image", "image/tiff", data=""),)),)), "messages.0"),
        (replace(HI, turns=(Turn(Role.USER, (Media("document", "text/csv", data=""),)),)), "messages.0"),
        (replace(HI, turns=(Turn(Role.ASSISTANT, (ToolCall("a", "f", "{"),)), *HI.turns)), "messages.0"),
    ],
)
def test_what_this_wire_has_no_words_for_is_refused(conversation: Conversation, param: str) -> None:
    """The incumbent serves then, and the report says why."""
    with pytest.raises(Uncarried) as caught:
        anthropic.write_request(conversation)

    assert param == caught.value.param


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_last_turn_that_is_blank_does_not_become_a_turn_to_be_continued(blank: str) -> None:
    """The API takes no blank text, and without it the last turn would be the assistant's own."""
    turns = (*HI.turns, Turn(Role.ASSISTANT, (Text("Hello."),)), Turn(Role.USER, (Text(blank),)))

    with pytest.raises(Uncarried, match="'messages'.*blank"):
        anthropic.write_request(replace(HI, turns=turns))


def test_results_of_parallel_calls_are_one_message_with_the_results_first() -> None:
    """Other wires send a message for each; this API wants them right after the calls."""
    calls = Turn(Role.ASSISTANT, (Text(""), ToolCall("a", "f", ""), ToolCall("b", "f", "{}")))
    said = [Turn(Role.USER, (part,)) for part in (ToolResult("a", (Text("1"),)), Text("Go on."), ToolResult("b", ()))]

    messages = json.loads(anthropic.write_request(replace(HI, turns=(*HI.turns, calls, *said))).body)["messages"]

    assert ["user", "assistant", "user"] == [message["role"] for message in messages]
    assert ["tool_use", "tool_use"] == [block["type"] for block in messages[1]["content"]]
    assert ["tool_result", "tool_result", "text"] == [block["type"] for block in messages[2]["content"]]


@pytest.mark.parametrize(
    ("conversation", "thinking", "output_config"),
    [
        (HI, None, None),
        (replace(HI, effort="none"), {"type": "disabled"}, None),
        (replace(HI, effort="high"), {"type": "adaptive"}, {"effort": "high"}),
        (replace(HI, thinking_tokens=2048), {"type": "enabled", "budget_tokens": 2048}, None),
        (replace(HI, thinking_tokens=0), {"type": "disabled"}, None),
        (replace(HI, thinking_tokens=2048, turns=(*HI.turns, *LOOP)), {"type": "disabled"}, None),
    ],
)
def test_reasoning_that_an_app_asks_for_is_thinking(
    conversation: Conversation, thinking: object, output_config: object
) -> None:
    """An effort alone would not make every model think; that app sees no blocks of it either way."""
    found = json.loads(anthropic.write_request(conversation).body)

    assert (thinking, output_config) == (found.get("thinking"), found.get("output_config"))


def test_a_limit_that_nobody_gave_is_not_made_up() -> None:
    """A number of ours would cut answers short in silence; without one the API names the field."""
    assert {"model": "m", "messages": [{"role": "user", "content": [TEXT]}]} == json.loads(
        anthropic.write_request(HI).body
    )
