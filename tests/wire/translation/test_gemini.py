"""Gemini's generateContent to and from the neutral form: what is carried comes back, what is not is named."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.usage import Usage
from midshift.wire import gemini as wire
from midshift.wire.gemini.state import STAND_IN
from midshift.wire.protocol import Unreadable
from midshift.wire.translation import gemini
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

TRANSLATION: Translation = gemini
PATH = "/v1beta/models/m:generateContent"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAMES = st.text("abc_-1", min_size=1, max_size=8)
OBJECTS = st.dictionaries(NAMES, st.integers(-(2**60), 2**60) | TEXTS | st.none())
BASE64 = st.binary(min_size=1, max_size=9).map(lambda data: base64.b64encode(data).decode())
SHOWN = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(lambda data: Media("image", "image/png", data=data), BASE64),
    st.builds(lambda data: Media("audio", "audio/wav", data=data), BASE64),
    st.builds(lambda data: Media("document", "application/pdf", data=data), BASE64),
    st.just(Media("image", "image/png", url="https://a.example/a.png")),
)
COUNTS = st.none() | st.integers(0, 10**6)


@st.composite
def turns(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Speakers take turns, and each call of a tool has its result right after it."""
    found: list[Turn] = []
    for at in range(draw(st.integers(0, 2))):
        found.append(Turn(Role.USER, tuple(draw(st.lists(SHOWN, min_size=1, max_size=3)))))
        names = draw(st.lists(NAMES, max_size=2))
        calls = [
            ToolCall(f"id{at}{n}", name, json.dumps(draw(OBJECTS), separators=(",", ":"), ensure_ascii=False))
            for n, name in enumerate(names)
        ]
        said: list[Part] = [*draw(st.lists(st.builds(Text, TEXTS), min_size=1, max_size=2)), *calls]
        found.append(Turn(Role.ASSISTANT, tuple(said)))
        if calls:
            found.append(Turn(Role.USER, tuple(_result(draw, call) for call in calls)))
    return (*found, Turn(Role.USER, tuple(draw(st.lists(SHOWN, min_size=1, max_size=3)))))


def _result(draw: st.DrawFn, call: ToolCall) -> ToolResult:
    texts = TEXTS | st.sampled_from(['{"error": "x"}', '{"result": "x"}', "{}", "[1]", '{"output":"x"}'])
    text = draw(texts | OBJECTS.filter(lambda value: len(value) != 1).map(_compact))
    return ToolResult(call.id, (Text(text),), draw(st.booleans()), call.name)


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """What this wire can carry without a loss."""
    is_strict = draw(st.booleans())
    tool = st.builds(Tool, NAMES, st.none() | TEXTS, OBJECTS.filter(bool) | st.none(), st.just(is_strict or None))
    tools = tuple(draw(st.lists(tool, max_size=2)))
    choices = st.just(Choice.AUTO) if is_strict else st.none() | st.sampled_from(Choice) | st.builds(Named, NAMES)
    effort = draw(st.none() | st.sampled_from(("none", "minimal", "low", "medium", "high", "xhigh")))
    return Conversation(
        model=draw(NAMES),
        turns=draw(turns()),
        system=draw(st.none() | TEXTS),
        tools=tools,
        tool_choice=draw(choices) if tools else None,
        format=draw(st.none() | st.builds(JsonFormat, st.none() | OBJECTS.filter(bool))),
        max_tokens=draw(COUNTS),
        temperature=draw(st.none() | st.floats(0, 2)),
        top_p=draw(st.none() | st.floats(0, 1)),
        top_k=draw(COUNTS),
        stop=tuple(draw(st.lists(TEXTS, max_size=2))),
        seed=draw(COUNTS),
        frequency_penalty=draw(st.none() | st.floats(-2, 2)),
        presence_penalty=draw(st.none() | st.floats(-2, 2)),
        effort=effort,
        thinking_tokens=draw(st.none() | st.integers(1, 9999)) if effort is None else None,
        stream=draw(st.booleans()),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage as this wire can say it: what it does not say of cached tokens and thoughts is none of them."""
    cached, thoughts = draw(st.integers(0, 99)), draw(st.integers(0, 99))
    into, out = cached + draw(st.integers(0, 999)), thoughts + draw(st.integers(0, 999))
    return Usage(into, out, cached, reasoning_out=thoughts)


def same_usage(one: Usage, other: Usage) -> bool:
    """Whether the counts that both wires know are the same."""
    names = ("tokens_in", "tokens_out", "cached_in", "reasoning_out")
    return all(getattr(one, name) == getattr(other, name) for name in names)


@pytest.mark.slow
@settings(max_examples=60)
@given(conversations())
def test_a_conversation_comes_back_as_it_was(conversation: Conversation) -> None:
    """Nothing that two wires share may get lost on the way."""
    sent = gemini.write_request(conversation)
    path, _, query = sent.target.partition("?")

    assert conversation == gemini.read_request(sent.body, path, query)


@pytest.mark.slow
@settings(max_examples=20)
@given(conversations())
def test_a_written_request_is_one_of_the_wire(conversation: Conversation) -> None:
    """The provider's own wire reads it next, and applies the variant."""
    sent = gemini.write_request(conversation)
    path, _, query = sent.target.partition("?")

    found = wire.read_request(sent.body, path, query)

    assert (conversation.model, conversation.system, conversation.stream) == (found.model, found.system, found.stream)
    assert not found.has_side_effects
    assert () == found.bound_state


STOPS = st.sampled_from([Stop.LENGTH, Stop.REFUSED, None])
CALLS = st.builds(ToolCall, NAMES, NAMES, OBJECTS.map(_compact))


@pytest.mark.slow
@settings(max_examples=50)
@given(NAMES, NAMES, st.lists(st.builds(Text, TEXTS) | CALLS), STOPS, usages(), st.none() | TEXTS)
def test_a_reply_comes_back_as_it_was(
    id: str, model: str, parts: list[Text | ToolCall], stop: Stop | None, usage: Usage, thinking: str | None
) -> None:
    """With what was thought, where the model shows it."""
    reply = Reply(id, model, tuple(parts), stop, usage, thinking)

    found = gemini.read_reply(gemini.write_reply(reply))

    assert found is not None
    assert same_usage(usage, found.usage)
    assert reply == replace(found, usage=usage)


@pytest.mark.parametrize(
    ("parts", "stop", "expected"),
    [
        ((Text("Hi."),), Stop.END, Stop.END),
        ((Text("Hi."),), Stop.STOP_SEQUENCE, Stop.END),
        ((ToolCall("a", "f", "{}"),), Stop.TOOL_CALLS, Stop.TOOL_CALLS),
        ((), Stop.CONTEXT, Stop.LENGTH),
    ],
)
def test_stops_that_this_wire_does_not_tell_apart_become_the_nearest(
    parts: tuple[Text | ToolCall, ...], stop: Stop, expected: Stop
) -> None:
    """It has one word for every good end, and one for every limit."""
    found = gemini.read_reply(gemini.write_reply(Reply("r", "m", parts, stop)))

    assert found is not None
    assert expected is found.stop


def test_unknown_usage_is_not_written() -> None:
    """A 0 would be believed."""
    assert "usageMetadata" not in json.loads(gemini.write_reply(Reply("r", "m", (), None)))


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Words, thoughts and calls in any order, with the deltas of several calls interleaved."""
    calls = [(index, draw(NAMES), draw(OBJECTS.map(_compact))) for index in range(draw(st.integers(0, 3)))]
    waiting: list[list[Event]] = [
        [ToolBegan(index, f"id{index}", name), *(ToolDelta(index, piece) for piece in _cut(draw, arguments))]
        for index, name, arguments in calls
    ]
    waiting.append([TextDelta(text) for text in draw(st.lists(TEXTS, max_size=3))])
    waiting.append([ThinkingDelta(text) for text in draw(st.lists(TEXTS, max_size=2))])
    found: list[Event] = []
    while any(waiting):
        found.append(waiting[draw(st.sampled_from([at for at, events in enumerate(waiting) if events]))].pop(0))
    return [Began("r", "m"), *found, Ended(draw(st.sampled_from([Stop.LENGTH, Stop.REFUSED])), draw(usages()))]


def _cut(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[begin:end] for begin, end in zip([0, *places], [*places, len(text)], strict=True) if begin < end]


def written(events: list[Event]) -> bytes:
    """The stream of these events."""
    writer = gemini.writer()
    return b"".join(map(writer.write, events))


def read(stream: bytes, places: list[int] | None = None) -> list[Event]:
    """The events of a stream, cut at these places."""
    reader = gemini.reader()
    cuts = [0, *sorted(places or []), len(stream)]
    found = [event for begin, end in zip(cuts, cuts[1:], strict=False) for event in reader.feed(stream[begin:end])]
    return found + reader.end()


def joined(events: list[Event]) -> list[object]:
    """What a user reads, what is called with what, and how it ended, whatever the pieces were."""
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    thought = "".join(event.text for event in events if isinstance(event, ThinkingDelta))
    calls = {
        call.id: (
            call.name,
            "".join(event.arguments for event in events if isinstance(event, ToolDelta) and event.index == call.index),
        )
        for call in events
        if isinstance(call, ToolBegan)
    }
    last = events[-1]
    assert isinstance(last, Ended)
    return [events[0], text, thought, calls, last.stop, last.usage.tokens_in, last.usage.tokens_out]


@pytest.mark.slow
@settings(max_examples=50)
@given(streams())
def test_a_stream_comes_back_as_it_was(events: list[Event]) -> None:
    """Calls that interleave come whole, one after another."""
    assert joined(events) == joined(read(written(events)))


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
    writer = gemini.writer()
    writer.write(Began("r", "m"))

    assert b'"text":"Hel"' in writer.write(TextDelta("Hel"))
    assert b'"thought":true' in writer.write(ThinkingDelta("Hm."))


def chunk(parts: list[Any] | None = None, finish: str | None = None, **fields: object) -> bytes:
    """One chunk of a stream of the API."""
    candidate = {"content": {"role": "model", "parts": parts or []}, **({"finishReason": finish} if finish else {})}
    found = {"candidates": [candidate], "modelVersion": "m", "responseId": "r1", **fields}
    return b"data: " + json.dumps(found).encode() + b"\r\n\r\n"


def a_call(**fields: object) -> dict[str, object]:
    """A part that calls a function."""
    return {"functionCall": {"name": "f", "args": {"x": 1}, **fields}, "thoughtSignature": "c2ln"}


def test_a_stream_of_the_api_is_read() -> None:
    """Thoughts, words, two calls of which one has no id; usage is what the last chunk says."""
    stream = (
        chunk([{"text": "Hm.", "thought": True}], usageMetadata={"promptTokenCount": 5})
        + b": a comment\r\n\r\n"
        + chunk([{"text": "Hel"}, {"text": "lo."}])
        + chunk([a_call(id="a"), a_call(args=None)])
        + chunk([{"text": "", "thoughtSignature": "bGFzdA=="}], "STOP", usageMetadata=USAGE)
    )

    found = read(stream)

    assert [
        Began("r1", "m"),
        ThinkingDelta("Hm."),
        TextDelta("Hel"),
        TextDelta("lo."),
        ToolBegan(0, "a", "f"),
        ToolDelta(0, '{"x":1}'),
        ToolBegan(1, "call_r1_1", "f"),
        ToolDelta(1, "{}"),
    ] == found[:-1]
    assert isinstance(found[-1], Ended)
    assert (Stop.TOOL_CALLS, 5, 9) == (found[-1].stop, found[-1].usage.tokens_in, found[-1].usage.tokens_out)


USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 7, "totalTokenCount": 14}


@pytest.mark.parametrize(
    ("stream", "failed"),
    [
        (
            b'data: {"error": {"code": 503, "message": "No.", "status": "UNAVAILABLE"}}\n\n',
            Failed("No.", "unavailable"),
        ),
        (b'data: {"error": {}}\n\n', Failed("The provider reports an error without words.")),
        (b"data: <html>\n\n", Failed("The stream holds an event that cannot be read.", "internal")),
    ],
)
def test_an_error_in_a_stream_is_carried(stream: bytes, failed: Failed) -> None:
    """Clients raise it instead of taking what came for the whole answer."""
    assert [failed] == read(stream)
    assert [failed.message] == [event.message for event in read(written([failed])) if isinstance(event, Failed)]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("rate_limit_error", 429),
        ("overloaded_error", 503),
        ("resource_exhausted", 429),
        ("timeout_error", 504),
        (None, 500),
        ("api_error", 500),
    ],
)
def test_an_error_of_another_wire_has_the_number_that_clients_raise_by(code: str | None, status: int) -> None:
    """In a stream the number in the event is all that Google's client looks at."""
    event = gemini.writer().write(Failed("No.", code))

    assert status == json.loads(event.removeprefix(b"data: "))["error"]["code"]


def test_a_stream_that_broke_off_has_no_end() -> None:
    """The other wire must not say that it is whole."""
    assert not [event for event in read(chunk([{"text": "Hel"}])) if isinstance(event, Ended)]


@pytest.mark.parametrize("reason", ["OTHER", "MALFORMED_FUNCTION_CALL", "OF_NEXT_YEAR"])
def test_a_stop_that_other_wires_do_not_know_is_an_end_for_an_unknown_reason(reason: str) -> None:
    """It is over, and nobody may wait for more."""
    reply = gemini.read_reply(chunk([], reason).removeprefix(b"data: "))
    last = read(chunk([], reason))[-1]

    assert reply is not None
    assert reply.stop is None
    assert isinstance(last, Ended)
    assert last.stop is None


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("LANGUAGE", Stop.REFUSED),
        ("MODEL_ARMOR", Stop.REFUSED),
        ("ESCALATION", Stop.REFUSED),
        ("CONTINUATION", Stop.LENGTH),
    ],
)
def test_filters_and_limits_of_google_are_those_of_other_wires(reason: str, stop: Stop) -> None:
    """An answer that a filter took away would be an empty one for no reason."""
    answer = chunk([], reason).removeprefix(b"data: ")
    reply, recorded = gemini.read_reply(answer), wire.read_answer(answer)

    assert reply is not None and recorded is not None
    assert stop is reply.stop
    assert {Stop.REFUSED: "content_filter", Stop.LENGTH: "length"}[stop] == recorded.finish_reason


def test_an_end_for_an_unknown_reason_is_not_called_a_good_one() -> None:
    """Half an answer that says `STOP` is a whole one to an app; one without any reason is still going on to it."""
    last = written([Began("r", "m"), TextDelta("Half"), Ended(None)]).split(b"data: ")[-1]

    assert "OTHER" == json.loads(last)["candidates"][0]["finishReason"]
    assert "finishReason" not in json.loads(gemini.write_reply(Reply("r", "m", (Text("Half"),), None)))["candidates"][0]


def test_a_part_that_only_carries_a_signature_is_no_text() -> None:
    """Anthropic takes no block without text: the app's next turn would be refused."""
    parts = [{"text": "Hi."}, {"text": "", "thoughtSignature": "c2ln"}, {"text": "", "thought": True}]

    reply = gemini.read_reply(chunk(parts, "STOP").removeprefix(b"data: "))

    assert reply is not None
    assert ((Text("Hi."),), None) == (reply.parts, reply.thinking)


def test_nothing_follows_an_error_in_a_stream() -> None:
    """An app that is told of an error and then of an end takes the answer for whole."""
    stream = (
        chunk([{"text": "Hel"}], "STOP") + b'data: {"error": {"message": "No."}}\n\n' + chunk([{"text": "lo"}], "STOP")
    )

    assert [Began("r1", "m"), TextDelta("Hel"), Failed("No.")] == read(stream)
    assert Failed("The stream holds an event that cannot be read.", "internal") == read(b"data: {\n\n" + stream)[-1]


def test_a_prompt_that_was_blocked_is_refused() -> None:
    """There is no candidate then."""
    body = b'{"promptFeedback": {"blockReason": "SAFETY"}, "responseId": "r"}'
    reply = gemini.read_reply(body)
    last = read(b"data: " + body + b"\n\n")[-1]

    assert reply is not None
    assert Stop.REFUSED is reply.stop
    assert isinstance(last, Ended)
    assert Stop.REFUSED is last.stop


def asked(**fields: object) -> bytes:
    """A request of a client of Google's."""
    return json.dumps({"contents": [{"role": "user", "parts": [{"text": "Hi."}]}], **fields}).encode()


def of_user(*parts: dict[str, Any]) -> dict[str, Any]:
    """The same with these parts."""
    return {"contents": [{"role": "user", "parts": list(parts)}]}


def config(**fields: object) -> dict[str, Any]:
    """The same with a generation config."""
    return {"generationConfig": fields}


AN_ANSWER = {"name": "f", "response": {"result": "x"}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"ofNextYear": 7}, "ofNextYear"),
        (config(candidateCount=2), "generationConfig.candidateCount"),
        (config(responseModalities=["IMAGE"]), "generationConfig.responseModalities"),
        (config(response_mime_type="text/x.enum"), "generationConfig.responseMimeType"),
        (config(responseSchema={"type": "STRING"}), "generationConfig.responseSchema"),
        (config(responseJsonSchema={}, responseMimeType="text/plain"), "generationConfig.responseJsonSchema"),
        (
            {"systemInstruction": {"parts": [{"text": "Hi."}, {"inlineData": {"mimeType": "image/png", "data": ""}}]}},
            "systemInstruction.parts.1",
        ),
        (config(mediaResolution="HIGH"), "generationConfig.mediaResolution"),
        (config(responseLogprobs=True), "generationConfig.responseLogprobs"),
        ({"safetySettings": [{"category": "X", "threshold": "BLOCK_LOW_AND_ABOVE"}]}, "safetySettings.0"),
        ({"tools": [{"googleSearch": {}}]}, "tools.0.googleSearch"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}]},
            "tools.0.functionDeclarations.0.behavior",
        ),
        ({"toolConfig": {"retrievalConfig": {"languageCode": "de"}}}, "toolConfig.retrievalConfig"),
        (
            {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f", "g"]}}},
            "toolConfig.functionCallingConfig",
        ),
        (of_user({"executableCode": {"code": "1"}}), "contents.0.parts.0.executableCode"),
        (
            of_user({"inlineData": {"data": "eA==", "mimeType": "video/mp4"}, "videoMetadata": {"fps": 1}}),
            "contents.0.parts.0.videoMetadata",
        ),
        (of_user({"fileData": {"fileUri": "https://a.example/v1beta/files/x"}}), "contents.0.parts.0.fileData"),
        (of_user({"fileData": {"fileUri": "gs://a/b"}}), "contents.0.parts.0.fileData"),
        (
            of_user({"functionResponse": {**AN_ANSWER, "id": "a", "scheduling": "SILENT"}}),
            "contents.0.parts.0.functionResponse.scheduling",
        ),
    ],
)
def test_what_only_this_wire_knows_is_refused_by_its_place(fields: dict[str, object], param: str) -> None:
    """Dropped in silence, it would be another request under the same name."""
    with pytest.raises(Uncarried) as caught:
        gemini.read_request(asked(**fields), PATH)

    assert param == caught.value.param


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": {"team": "a"}, "cachedContent": None, "tools": []},
        {"safetySettings": [{"category": "X", "threshold": "OFF"}]},
        config(candidateCount=1, responseModalities=["TEXT"], responseMimeType="text/plain"),
        config(candidateCount=None, stopSequences=None, thinkingConfig={"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}),
        of_user({"text": "Hi.", "inlineData": None}),
        {"systemInstruction": {"parts": []}, "tools": [{"functionDeclarations": [], "googleSearch": None}]},
        config(thinkingConfig={"includeThoughts": True, "thinking_budget": -1}),
        of_user({"text": "Hi.", "thoughtSignature": "eA=="}, {"text": ""}, {"text": "Hm.", "thought": True}, {}),
    ],
)
def test_labels_defaults_and_thoughts_are_left_out(fields: dict[str, object]) -> None:
    """They change no answer of another model."""
    assert HI == gemini.read_request(asked(**fields), PATH)


HI = Conversation("m", (Turn(Role.USER, (Text("Hi."),)),))


def test_names_in_snake_case_are_read() -> None:
    """Google takes either, and its own client mixes them."""
    fields = {
        "system_instruction": {"parts": [{"text": "A"}]},
        "generation_config": {"max_output_tokens": 5, "thinking_config": {"thinking_budget": 0}, "top_k": 3.0},
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}},
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": {"type": "object"}}]}],
        "contents": [
            {
                "parts": [
                    {"inline_data": {"mime_type": "image/png", "data": "eA=="}},
                    {"function_response": {"id": "a", "name": "f", "response": {"x": 1}}},
                ]
            }
        ],
    }

    image = Media("image", "image/png", data="eA==")
    assert Conversation(
        "m",
        (Turn(Role.USER, (image, ToolResult("a", (Text('{"x":1}'),), name="f"))),),
        system="A",
        tools=(Tool("f", parameters={"type": "object"}),),
        tool_choice=Named("f"),
        max_tokens=5,
        top_k=3,
        effort="none",
    ) == gemini.read_request(json.dumps(fields).encode(), PATH)


def test_schemas_of_googles_kind_become_json_schema() -> None:
    """Types are in upper case there, and null is a flag."""
    inner = {"type": "STRING", "nullable": True, "enum": ["A", "B"]}
    schema = {
        "type": "OBJECT",
        "propertyOrdering": ["type"],
        "properties": {"type": inner, "enum": inner},
        "anyOf": [{"type": "ARRAY"}],
    }
    body = asked(
        tools=[{"functionDeclarations": [{"name": "f", "parameters": schema}]}],
        **config(responseMimeType="application/json", responseSchema=inner),
    )

    found = gemini.read_request(body, PATH)

    string = {"type": ["string", "null"], "enum": ["A", "B", None]}
    assert {
        "type": "object",
        "properties": {"type": string, "enum": string},
        "anyOf": [{"type": "array"}],
    } == found.tools[0].parameters
    assert JsonFormat(string) == found.format


def schema_of(schema: dict[str, Any]) -> Any:
    """A schema of Google's kind, as it is read."""
    tools = gemini.read_request(
        asked(tools=[{"functionDeclarations": [{"name": "f", "parameters": schema}]}]), PATH
    ).tools
    return tools[0].parameters


EITHER = [{"type": "STRING"}, {"type": "NUMBER"}]
BOTH = [{"type": "string"}, {"type": "number"}]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"any_of": EITHER}, {"anyOf": BOTH}),
        ({"type": "ARRAY", "min_items": 2, "max_items": "3"}, {"type": "array", "minItems": 2, "maxItems": 3}),
        ({"type": "STRING", "min_length": "1", "maxLength": "9"}, {"type": "string", "minLength": 1, "maxLength": 9}),
        ({"type": "STRING", "minLength": "many"}, {"type": "string", "minLength": "many"}),
        (
            {"type": "OBJECT", "min_properties": 1, "max_properties": 2, "additional_properties": {"any_of": EITHER}},
            {"type": "object", "minProperties": 1, "maxProperties": 2, "additionalProperties": {"anyOf": BOTH}},
        ),
        (
            {"defs": {"any_of": {"type": "STRING"}}, "type": "ARRAY", "items": {"ref": "#/defs/any_of"}},
            {"$defs": {"any_of": {"type": "string"}}, "type": "array", "items": {"$ref": "#/$defs/any_of"}},
        ),
        (
            {"type": "OBJECT", "properties": {"any_of": {"type": "STRING"}, "min_items": {"type": "INTEGER"}}},
            {"type": "object", "properties": {"any_of": {"type": "string"}, "min_items": {"type": "integer"}}},
        ),
        (
            {"type": "STRING", "default": {"any_of": "1"}, "property_ordering": []},
            {"type": "string", "default": {"any_of": "1"}},
        ),
        ({"type": "TYPE_UNSPECIFIED", "description": "D"}, {"description": "D"}),
    ],
)
def test_a_schema_keeps_its_constraints_in_either_spelling(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    """Google's own clients write `any_of`, which is no word of JSON Schema: whatever it holds would be allowed."""
    assert expected == schema_of(schema)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "STRING"}, {"type": ["string", "null"]}),
        ({"type": "STRING", "enum": ["A"]}, {"type": ["string", "null"], "enum": ["A", None]}),
        ({"enum": ["A", None]}, {"enum": ["A", None]}),
        ({"anyOf": EITHER}, {"anyOf": [*BOTH, {"type": "null"}]}),
        ({"anyOf": [{"type": "NULL"}]}, {"anyOf": [{"type": "null"}]}),
        ({"type": "STRING", "any_of": EITHER}, {"type": ["string", "null"], "anyOf": [*BOTH, {"type": "null"}]}),
        ({"ref": "#/defs/A"}, {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}),
        ({"type": "NULL"}, {"type": "null"}),
    ],
)
def test_what_may_be_null_may_be_null_by_every_word(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    """`nullable` is no word of JSON Schema, and one word that refuses null refuses it."""
    assert expected == schema_of({**schema, "nullable": True})
    assert "nullable" not in schema_of({**schema, "nullable": False})


def test_calls_without_an_id_belong_to_their_responses_by_name_and_order() -> None:
    """Here nobody needs ids, elsewhere they are all there is."""
    call = {"functionCall": {"name": "f", "args": {}}}
    answers = [{"functionResponse": {"name": "f", "response": {"output": str(number)}}} for number in range(2)]
    contents = [{"role": "model", "parts": [call, call]}, {"role": "user", "parts": answers}] * 2

    found = gemini.read_request(asked(contents=contents), PATH)

    ids = [part.id for turn in found.turns for part in turn.parts if isinstance(part, ToolCall)]
    answered = [part.call_id for turn in found.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert 4 == len(set(ids))
    assert ids == answered


@pytest.mark.parametrize(
    "fields",
    [
        {"contents": [{"role": "robot", "parts": [{"text": "Hi."}]}]},
        of_user({"functionResponse": AN_ANSWER}),
        of_user({"functionCall": {"args": {}}}),
        {"tools": [{"functionDeclarations": [{}]}]},
        config(maxOutputTokens="many"),
        config(stopSequences="END"),
        config(responseMimeType="application/json", responseSchema="STRING"),
        {"contents": ["Hi."]},
        config(topK=1.5),
        config(temperature=True),
    ],
)
def test_what_is_no_request_is_refused_in_words(fields: dict[str, object]) -> None:
    """The app's developer reads this."""
    with pytest.raises(Unreadable):
        gemini.read_request(asked(**fields), PATH)


def with_parts(*parts: Part) -> Conversation:
    """A conversation of one message."""
    return replace(HI, turns=(Turn(Role.USER, parts),))


@pytest.mark.parametrize(
    ("conversation", "param"),
    [
        (replace(HI, effort="max"), "effort"),
        (replace(HI, effort="high", thinking_tokens=2048), "thinking.budget_tokens"),
        (replace(HI, parallel_tools=False, tools=(Tool("f"),)), "parallel_tool_calls"),
        (with_parts(ToolResult("a", (Text("x"),))), "messages.0"),
        (with_parts(ToolResult("a", (Media("image", "image/png", data=""),), name="f")), "messages.0"),
        (with_parts(Media("image", url="https://a.example/a")), "messages.0"),
        (with_parts(Media("image", url="https://a.example/a.mp3")), "messages.0"),
        (replace(HI, turns=(Turn(Role.ASSISTANT, (ToolCall("a", "f", "{"),)),)), "messages.0"),
    ],
)
def test_what_this_wire_has_no_words_for_is_refused(conversation: Conversation, param: str) -> None:
    """The incumbent serves then, and the report says why."""
    with pytest.raises(Uncarried) as caught:
        gemini.write_request(conversation)

    assert param == caught.value.param


def test_the_type_of_an_image_may_stand_in_its_address() -> None:
    """Other wires need no type beside an address, this one does."""
    sent = gemini.write_request(with_parts(Media("image", url="https://a.example/a.jpg?x=1")))

    part = json.loads(sent.body)["contents"][0]["parts"][0]
    assert {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a.example/a.jpg?x=1"}} == part


def test_the_calls_of_another_model_carry_what_stands_in_for_a_signature() -> None:
    """Gemini 3 refuses the first call of a step that has none."""
    calls = Turn(Role.ASSISTANT, (Text("So."), ToolCall("a", "f", ""), ToolCall("b", "g", "{}")))
    results = Turn(Role.USER, (ToolResult("a", ()), ToolResult("b", (Text("x"),))))

    contents = json.loads(gemini.write_request(replace(HI, turns=(*HI.turns, calls, results))).body)["contents"]

    assert [None, STAND_IN, None] == [part.get("thoughtSignature") for part in contents[1]["parts"]]
    assert ["f", "g"] == [part["functionResponse"]["name"] for part in contents[2]["parts"]]


def test_strict_tools_are_validated_ones() -> None:
    """What the app asked for is a promise about the arguments, and here it is a mode."""
    asked_for = replace(HI, tools=(Tool("f", strict=True), Tool("g")))

    sent = json.loads(gemini.write_request(asked_for).body)

    assert {"functionCallingConfig": {"mode": "VALIDATED"}} == sent["toolConfig"]


def test_an_id_that_comes_again_names_the_call_before_it() -> None:
    """Some providers count their calls from 0 in every answer."""
    turns = [
        Turn(role, (part,))
        for name in "fg"
        for role, part in ((Role.ASSISTANT, ToolCall("0", name, "{}")), (Role.USER, ToolResult("0", ())))
    ]

    contents = json.loads(gemini.write_request(replace(HI, turns=tuple(turns))).body)["contents"]

    assert ["f", "g"] == [content["parts"][0]["functionResponse"]["name"] for content in contents[1::2]]
