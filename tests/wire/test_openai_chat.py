"""OpenAI chat completions: what is read, what is rewritten, and what must stay as it was."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.clamping import Bounds
from midshift.domain.rendering import Changes
from midshift.domain.usage import Usage
from midshift.wire import openai_chat, sse
from midshift.wire.openai_chat import StreamTail
from midshift.wire.openai_chat_request import ChatRequest
from midshift.wire.protocol import Answer, Problem, Unreadable

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text(alphabet="abc_", min_size=1, max_size=8)
FIELDS = st.dictionaries(NAMES, VALUES, max_size=5)


def a_body(**fields: object) -> bytes:
    """A request as Python's own encoder writes it, spaces and all."""
    return json.dumps({"model": "old", "messages": [{"role": "user", "content": "Hi."}], **fields}).encode()


def a_request(**fields: object) -> ChatRequest:
    """The same, read."""
    return ChatRequest(a_body(**fields))


def bytes_after(request: ChatRequest, changes: Changes) -> bytes:
    """The body of the request after changes."""
    return request.rewritten(changes).body


def fields_after(request: ChatRequest, changes: Changes) -> Any:
    """The plain values of the request after changes."""
    return json.loads(bytes_after(request, changes))


def rewritten(request: ChatRequest, system: str | None = None, **fields: Any) -> Any:
    """The plain values of the request after changes."""
    return json.loads(request.rewritten(Changes(fields, system=system)).body)


@settings(max_examples=50)
@given(FIELDS)
def test_a_request_without_changes_is_the_very_same_bytes(fields: dict[str, object]) -> None:
    """Adopting a gateway must change nothing, down to the spaces."""
    body = a_body(**{name: value for name, value in fields.items() if name not in ("stream", "messages", "model")})

    assert body == ChatRequest(body).rewritten(Changes({"model": "old"})).body


@settings(max_examples=50)
@given(FIELDS)
def test_fields_that_a_variant_does_not_name_stay_byte_for_byte(fields: dict[str, object]) -> None:
    """Vendors add fields every month, and a float that is decoded and encoded may come out as another."""
    body = a_body(**{name: value for name, value in fields.items() if name not in ("stream", "messages", "model")})
    before = msgspec.json.decode(body, type=dict[str, msgspec.Raw])

    sent = ChatRequest(body).rewritten(Changes({"model": "new"}))
    after = msgspec.json.decode(sent.body, type=dict[str, msgspec.Raw])

    assert b'"new"' == bytes(after.pop("model"))
    before.pop("model")
    assert {name: bytes(value) for name, value in before.items()} == {n: bytes(value) for n, value in after.items()}


def test_numbers_keep_their_spelling() -> None:
    """1.0 and 1e0 are one number and two requests: some servers tell integers from floats."""
    body = b'{"model":"old","messages":[],"a":1.0,"b":1e0,"c":12345678901234567890123,"d":"\\u00e9"}'

    assert body.replace(b'"old"', b'"new"') == ChatRequest(body).rewritten(Changes({"model": "new"})).body


@pytest.mark.parametrize("is_spaced", [True, False])
@pytest.mark.parametrize("first", ["x" * 100, 'it says": so'])
def test_a_body_that_looks_otherwise_than_it_is_spelt_keeps_its_bytes(first: str, is_spaced: bool) -> None:
    """How it is spelt is guessed by its beginning, which is only where to look first."""
    separators = (", ", ": ") if is_spaced else (",", ":")
    body = json.dumps({first: 'it says": so', "model": "old", "messages": []}, separators=separators).encode()

    assert body == ChatRequest(body).rewritten(Changes()).body


def test_a_repeated_field_does_not_reach_the_provider_twice() -> None:
    """Read last here and first there, it would ask for a model that nobody claimed."""
    body = b'{"model": "dear", "messages": [], "model": "old"}'

    assert {"model": "old", "messages": []} == json.loads(ChatRequest(body).rewritten(Changes({"model": "old"})).body)
    assert 1 == ChatRequest(body).rewritten(Changes({"model": "old"})).body.count(b'"model"')


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"messages": []}', "'model' must be the name of a model"),
        (b'{"model": 3, "messages": []}', "'model' must be the name of a model"),
        (b'{"model": "a"}', "'messages' must be a list of messages"),
        (b'{"model": "a", "input": "Hi."}', "'messages' must be a list of messages"),
        (b'{"model": "a", "messages": "Hi."}', "'messages' must be a list of messages"),
        (b'{"model": "\xff", "messages": []}', "'model' must be the name of a model"),
    ],
)
def test_what_is_no_chat_completion_is_refused_in_words(body: bytes, said: str) -> None:
    """The app's developer reads this, not ours."""
    with pytest.raises(Unreadable, match=said):
        ChatRequest(body)


@pytest.mark.parametrize(
    ("messages", "system"),
    [
        ([], None),
        ([{"role": "user", "content": "Hi."}], None),
        ([{"role": "system", "content": "Help."}, {"role": "user", "content": "Hi."}], "Help."),
        ([{"role": "developer", "content": "Help."}], "Help."),
        ([{"role": "system", "content": "A"}, {"role": "developer", "content": "B"}], "A\nB"),
        ([{"role": "system", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}], "A\nB"),
        ([{"role": "user", "content": "Hi."}, {"role": "system", "content": "late"}], None),
        ([{"role": "system", "content": None}], None),
        ([17, "x"], None),
    ],
)
def test_the_system_prompt_is_the_text_of_the_leading_system_messages(messages: object, system: str | None) -> None:
    """What comes later is part of the conversation, and no variant's business."""
    assert system == a_request(messages=messages).system


def test_a_new_system_prompt_takes_the_place_of_the_old_one_and_keeps_its_form() -> None:
    """An app that marked its prompt for caching, or sends the role `developer`, does so for a reason."""
    marked = {"type": "text", "text": "Old.", "cache_control": {"type": "ephemeral"}}
    request = a_request(messages=[{"role": "developer", "content": [marked]}, {"role": "user", "content": "Hi."}])

    assert [
        {"role": "developer", "content": [{**marked, "text": "New."}]},
        {"role": "user", "content": "Hi."},
    ] == rewritten(request, system="New.")["messages"]


def test_a_system_prompt_is_put_first_where_there_was_none() -> None:
    """Without one to take the place of, it is a message of its own."""
    expected = [{"role": "system", "content": "New."}, {"role": "user", "content": "Hi."}]

    assert expected == rewritten(a_request(), system="New.")["messages"]


def test_several_system_messages_become_one() -> None:
    """The variant's prompt is the whole prompt; a rest of the old one would be a third variant."""
    messages = [
        {"role": "system", "content": "A"},
        {"role": "system", "content": "B"},
        {"role": "user", "content": "Hi."},
    ]

    found = rewritten(a_request(messages=messages), system="New.")["messages"]

    assert [{"role": "system", "content": "New."}, messages[-1]] == found


def test_messages_beside_the_system_prompt_stay_byte_for_byte() -> None:
    """Tool calls, images and signatures of reasoning are checked to the byte by the servers that made them."""
    spoken = b'{"content":[{"x":1.0,"sig":"a\\/b"}],"role":"user"}'
    body = b'{"model":"old","messages":[{"role":"system","content":"A"},' + spoken + b"]}"

    assert spoken in ChatRequest(body).rewritten(Changes({}, system="B")).body


def test_fields_are_set_and_dropped() -> None:
    """What a candidate refuses has to go, and what it needs has to come."""
    changes = Changes({"model": "new", "max_tokens": 5, "stop": ("a", "b")}, drop=frozenset({"temperature", "absent"}))

    found = json.loads(a_request(temperature=0.5, top_p=1).rewritten(changes).body)

    assert {"model": "new", "max_tokens": 5, "stop": ["a", "b"], "top_p": 1} == {
        name: value for name, value in found.items() if name != "messages"
    }


def test_what_the_app_sends_is_held_within_bounds() -> None:
    changes = Changes(clamp={"max_tokens": Bounds(1, 100), "effort": Bounds("low", "high"), "seed": Bounds(0, 9)})

    found = json.loads(a_request(max_tokens=4000, reasoning_effort="minimal").rewritten(changes).body)

    assert {"max_tokens": 100, "reasoning_effort": "low"} == {
        name: value for name, value in found.items() if name not in ("model", "messages")
    }


def test_bounds_that_hold_already_change_no_byte() -> None:
    body = a_body(max_tokens=50, reasoning_effort="low", top_p=None)
    changes = Changes(clamp={"max_tokens": Bounds(1, 100), "effort": Bounds("low", "high"), "top_p": Bounds(0, 1)})

    assert body == ChatRequest(body).rewritten(changes).body


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, {"include_usage": True}),
        ({"include_usage": False, "other": 1}, {"include_usage": True, "other": 1}),
        ({"include_usage": True, "other": 1}, {"include_usage": True, "other": 1}),
    ],
)
def test_usage_is_asked_for_in_a_stream(options: object, expected: object) -> None:
    """Without it a stream tells nothing of what it cost, and a cost gate has nothing to judge."""
    fields = {} if options is None else {"stream_options": options}

    found = json.loads(a_request(stream=True, **fields).rewritten(Changes({}), ask_usage=True).body)

    assert expected == found["stream_options"]


def test_usage_is_not_asked_for_where_there_is_no_stream() -> None:
    """Servers refuse `stream_options` there."""
    assert "stream_options" not in json.loads(a_request().rewritten(Changes({}), ask_usage=True).body)


@pytest.mark.parametrize(
    ("fields", "has"),
    [
        ({}, False),
        ({"store": False}, False),
        ({"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom"}]}, False),
        ({"tools": None}, False),
        ({"store": True}, True),
        ({"background": True}, True),
        ({"web_search_options": {}}, True),
        ({"tools": [{"type": "mcp"}]}, True),
        ({"tools": [{"type": "function"}, {"type": "code_interpreter"}]}, True),
        ({"tools": "?"}, True),
    ],
)
def test_side_effects_are_those_that_the_server_would_have(fields: dict[str, object], has: bool) -> None:
    """A function is called by the app, so that a second answer calls nothing; a server's own tools do."""
    assert has is a_request(**fields).has_side_effects


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("user", "u-1"),
        ("metadata.user_id", 7),
        ("messages.0.role", "user"),
        ("metadata.none", None),
        ("messages.9.role", None),
        ("user.x", None),
        ("absent", None),
    ],
)
def test_a_path_leads_to_a_plain_value(path: str, value: object) -> None:
    """Units and slices are found by path."""
    assert value == a_request(user="u-1", metadata={"user_id": 7}).value_at(path)


def test_the_opening_of_a_conversation_is_the_same_in_every_turn() -> None:
    """A system prompt is often rendered anew with a date or documents; what the user said first is not."""
    first = {"role": "user", "content": [{"type": "text", "text": "My card is gone.", "cache_control": {}}]}
    later = [{"role": "system", "content": "It is ten."}, {"role": "user", "content": "My card is gone."}]
    later += [{"role": "assistant", "content": "Oh."}, {"role": "user", "content": "Yes."}]

    assert "My card is gone." == a_request(messages=[first]).opening == a_request(messages=later).opening


def test_an_opening_without_text_is_still_told_apart() -> None:
    """Pictures open conversations too."""
    one, two = ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}] for url in "ab")

    assert a_request(messages=one).opening != a_request(messages=two).opening


def test_a_conversation_without_a_user_has_no_opening() -> None:
    """Nothing to hold on to: the next unit source is asked."""
    assert a_request(messages=[{"role": "system", "content": "Go on."}]).opening is None


def an_answer(**fields: object) -> bytes:
    """A whole answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], **fields}).encode()


def test_usage_is_read_from_a_whole_answer() -> None:
    """Reasoning and cached tokens are parts of the totals, as the server counts them."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 15},
        "cost": 0.002,
    }

    expected = Answer(Usage(100, 20, cached_in=80, reasoning_out=15, cost_usd=0.002), "stop", "Hello.")
    assert expected == openai_chat.read_answer(an_answer(usage=usage))


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": "7"}, {"prompt_tokens": -1}, {"prompt_tokens": True}]
)
def test_missing_usage_is_unknown_and_never_zero(usage: object) -> None:
    """A cost of 0 passes every gate; an unknown one passes none."""
    found = openai_chat.read_answer(an_answer(usage=usage) if usage is not None else an_answer())

    assert found is not None
    assert Usage() == found.usage


def test_zero_cached_tokens_are_zero() -> None:
    """A provider that says 0 has said something: the cache was cold."""
    usage = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 0}}

    found = openai_chat.read_answer(an_answer(usage=usage))

    assert found is not None
    assert (9, 0, None) == (found.usage.tokens_in, found.usage.cached_in, found.usage.reasoning_out)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": {}}', b'{"choices": 3}', b"\xff\xfe"])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """A page of a proxy with status 200 is no answer of a model."""
    assert openai_chat.read_answer(body) is None


def test_odd_values_of_one_field_leave_the_answer_readable() -> None:
    """Servers fill fields in ways that nobody foresaw; an answer is not lost by that."""
    body = b'{"choices":[{"index":"0","finish_reason":7,"message":{"role":null,"content":["x"]}}],"usage":{"cost":"1"}}'

    assert Answer() == openai_chat.read_answer(body)


@pytest.mark.parametrize("calls", [b'[{"function":{"arguments":"\xff"}}]', b'[{"index":1e999}]', b'{"id":"\xff"}'])
@pytest.mark.parametrize("content", [b'"Hi."', b'[{"type":"text","text":"Hi."}]'])
def test_what_stands_in_a_tool_call_leaves_the_answer_readable(content: bytes, calls: bytes) -> None:
    """Whoever forwards a call need not understand it: its text and its usage are read as of any other answer."""
    message = b'{"content":%b,"tool_calls":%b}' % (content, calls)
    choice = b'{"choices":[{"%b":%b,"finish_reason":"tool_calls"}]}'
    event = b"data: " + choice % (b"delta", message) + b"\n\n"

    assert Answer(finish_reason="tool_calls", text="Hi.") == openai_chat.read_answer(choice % (b"message", message))
    assert Answer(finish_reason="tool_calls", text="Hi.") == openai_chat.read_stream(event)
    assert not openai_chat.is_error(sse.Event(event[6:-2]))


def chunk(**fields: object) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def delta(text: str | None = None, finish: str | None = None, **fields: object) -> bytes:
    """One event with a choice."""
    content = {} if text is None else {"content": text}
    return chunk(choices=[{"index": 0, "delta": content, "finish_reason": finish}], **fields)


USAGE = {"prompt_tokens": 7, "completion_tokens": 2}
DONE = b"data: [DONE]\n\n"
STREAMS = {
    "usage in a chunk of its own": delta("a") + delta(finish="stop") + chunk(choices=[], usage=USAGE) + DONE,
    "usage on the last choice": delta("a", usage=None) + delta(finish="stop", usage=USAGE) + DONE,
    "usage on every chunk": delta("a", usage={"prompt_tokens": 7, "completion_tokens": 1})
    + delta(finish="stop", usage=USAGE),
    "no empty line at the end": delta("a", finish="stop") + chunk(choices=[], usage=USAGE).rstrip(),
    "a ping at the end": delta("a", finish="stop", usage=USAGE) + b": ping\n\n" + DONE,
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
@given(data=st.data())
def test_usage_is_found_in_the_tail_of_a_stream_however_it_is_cut(stream: bytes, data: st.DataObject) -> None:
    """Servers put it in different places; packets end anywhere."""
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *places, len(stream)]
    tail = StreamTail()

    for begin, end in zip(edges, edges[1:], strict=False):
        tail.feed(stream[begin:end])

    assert Answer(Usage(7, 2), "stop") == tail.answer()


def test_only_the_tail_of_a_long_stream_is_kept() -> None:
    """A gateway holds thousands of streams; each may be as long as it likes."""
    tail = StreamTail()
    for _ in range(1000):
        tail.feed(delta("x" * 1000))
    tail.feed(delta(finish="length", usage=USAGE))

    assert Answer(Usage(7, 2), "length") == tail.answer()
    assert 132 * 1024 >= sum(map(len, tail._kept._chunks))


def test_a_stream_without_usage_has_unknown_usage() -> None:
    """As for whole answers."""
    tail = StreamTail()
    tail.feed(delta("a") + delta(finish="stop", usage=None) + DONE)

    assert Answer(Usage(), "stop") == tail.answer()


def test_a_stream_is_put_together() -> None:
    """A pair holds what the user would have read; of several choices, the first."""
    second = chunk(choices=[{"index": 1, "delta": {"content": "other"}}])
    stream = (
        delta("") + delta("Hel") + second + delta("lo.") + delta(finish="stop") + chunk(choices=[], usage=USAGE) + DONE
    )

    assert Answer(Usage(7, 2), "stop", "Hello.") == openai_chat.read_stream(stream)


@pytest.mark.parametrize(
    "stream",
    [delta("Hel"), delta("Hel") + chunk(error={"message": "overloaded"}) + DONE, b"", b"data: <html>\n\n" + DONE],
    ids=["broken off", "an error in the middle", "nothing", "not JSON"],
)
def test_half_a_stream_is_no_answer(stream: bytes) -> None:
    """Compared with a whole one it would look like a shorter style."""
    assert openai_chat.read_stream(stream) is None


EMPTY: list[object] = ["", {}, None, [], False]


@pytest.mark.parametrize(
    "end",
    [
        *(delta(finish="stop", error=empty) + DONE for empty in EMPTY),
        delta(finish="stop") + b"data: [DONE] \n\n",
        delta(finish="stop") + b"data:\n\n",
        delta(finish="stop") + b"event: done\ndata: \n\n" + DONE,
    ],
)
def test_an_end_that_clients_accept_is_whole(end: bytes) -> None:
    """OpenAI's own client raises no error that is empty; where we are stricter, a healthy provider reads as broken."""
    tail = StreamTail()
    tail.feed(delta("Hi.") + end)

    assert Answer(Usage(), "stop") == tail.answer()
    assert Answer(Usage(), "stop", "Hi.") == openai_chat.read_stream(delta("Hi.") + end)


def test_an_event_without_data_is_no_first_word() -> None:
    """An error may still be first, and then another variant can answer."""
    assert openai_chat.is_ping(sse.Event(b""))
    assert not openai_chat.is_ping(sse.Event(b"[DONE]"))


def test_a_tool_call_has_no_text() -> None:
    """No text is not the empty text."""
    stream = chunk(choices=[{"index": 0, "delta": {"tool_calls": []}, "finish_reason": "tool_calls"}]) + DONE

    assert Answer(Usage(), "tool_calls", None) == openai_chat.read_stream(stream)


@pytest.mark.parametrize(
    ("block", "is_only"),
    [
        (chunk(choices=[], usage=USAGE), True),
        (chunk(usage=USAGE), True),
        (delta("a", usage=USAGE), False),
        (delta('"usage"'), False),
        (delta("a", usage=None), False),
        (chunk(choices=[], usage=None), False),
        (b": ping\n\n", False),
        (DONE, False),
        (b'data: {"usage"\n\n', False),
    ],
)
def test_a_block_of_usage_alone_is_told_from_all_others(block: bytes, is_only: bool) -> None:
    """It is the one block that an app that did not ask must not see; a word of an answer must never be taken for it."""
    assert is_only is openai_chat.is_usage_only(block)


@pytest.mark.parametrize(
    ("data", "is_error"),
    [
        (b"[DONE]", False),
        (b'{"choices":[]}', False),
        (b'{"error":{"message":"no"}}', True),
        (b"<html>", True),
        (b'{"error":null}', False),
        (b'{"error":""}', False),
        (b'{"error":{}}', False),
        (b'{"error":"no"}', True),
        (b"[DONE] ", False),
        (b"", False),
    ],
)
def test_an_error_in_a_stream_is_told_from_a_chunk(data: bytes, is_error: bool) -> None:
    """Some servers answer 200 and send the error as an event."""
    assert is_error is openai_chat.is_error(sse.Event(data))


def test_errors_have_the_shape_that_clients_raise() -> None:
    """`{"error": {"message", "type", "param", "code"}}`, also in the middle of a stream."""
    problem = Problem(404, "No.", "model_not_found", "model")
    body = json.loads(openai_chat.error_body(problem))
    event = openai_chat.error_event(problem)

    assert {
        "error": {"message": "No.", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    } == body
    assert openai_chat.is_error(sse.Event(event.removeprefix(b"data: ").rstrip()))
    assert problem == openai_chat.read_problem(404, openai_chat.error_body(problem))


PLACED = {"loc": ["body", "messages", 0], "msg": "Field required", "type": "missing"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {
                "object": "error",
                "message": "Invalid model: x",
                "type": "invalid_model",
                "param": "model",
                "code": "1500",
            },
            Problem(400, "Invalid model: x", "1500", "model"),
        ),
        (
            {"message": "Too long.", "type": "BadRequestError", "code": 400},
            Problem(400, "Too long.", "BadRequestError"),
        ),
        ({"detail": "Not found"}, Problem(400, "Not found", "upstream_error")),
        (
            {"detail": [PLACED, {"msg": "bad"}, 7, {"msg": 7}]},
            Problem(400, "body.messages.0: Field required; bad", "upstream_error"),
        ),
        (
            {"object": "error", "message": {"detail": [PLACED]}},
            Problem(400, "body.messages.0: Field required", "upstream_error"),
        ),
        ({"error": "No quota.", "error_type": "overloaded"}, Problem(400, "No quota.", "upstream_error")),
        (
            [{"error": {"code": 400, "message": "Bad key.", "status": "INVALID_ARGUMENT"}}],
            Problem(400, "Bad key.", "INVALID_ARGUMENT"),
        ),
    ],
)
def test_an_error_of_another_server_keeps_its_words(body: object, expected: Problem) -> None:
    """They are all that the app's developer has; a status alone says nothing to mend."""
    assert expected == openai_chat.read_problem(400, json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"[7]",
        b"7",
        b'{"error": {}}',
        b'{"error": null}',
        b'{"message": 7, "code": 7, "param": 7}',
    ]
    + [b'{"detail": []}', b'{"message": ""}', b'{"detail":' * 500 + b'"deep"' + b"}" * 500],
)
def test_an_error_without_words_is_said_by_its_status(body: bytes) -> None:
    """It may be a page of a proxy."""
    assert Problem(502, "The provider answered with status 502.", "upstream_error") == openai_chat.read_problem(
        502, body
    )


LISTED = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "It is 42."}, 7]


def test_the_text_of_listed_content_is_recorded() -> None:
    """Mistral's reasoning models answer in parts; without their text nothing can be compared."""
    whole = {"choices": [{"message": {"content": LISTED}, "finish_reason": "stop"}]}
    streamed = chunk(choices=[{"index": 0, "delta": {"content": LISTED}}]) + delta(" Yes.", "stop") + DONE

    assert Answer(finish_reason="stop", text="It is 42.") == openai_chat.read_answer(json.dumps(whole).encode())
    assert Answer(finish_reason="stop", text="It is 42. Yes.") == openai_chat.read_stream(streamed)


def test_models_are_listed_as_openai_lists_them() -> None:
    """Clients fill their pickers from it."""
    found = json.loads(openai_chat.models_body(["a", "b"]))

    assert ("list", ["a", "b"]) == (found["object"], [model["id"] for model in found["data"]])


def test_the_model_that_answered_is_the_one_that_the_answer_names() -> None:
    """An alias says what was asked, and not which snapshot has answered."""
    chunk = b'data: {"model":"m-2026-10-01","choices":[{"delta":{"content":"Hi."},"finish_reason":"stop"}]}\n\n'
    tail = openai_chat.tail()
    tail.feed(chunk)
    whole = openai_chat.read_answer(b'{"model":"m-2026-10-01","choices":[]}')
    streamed = openai_chat.read_stream(chunk)

    assert whole is not None and streamed is not None
    assert {"m-2026-10-01"} == {whole.model, streamed.model, tail.answer().model}


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("words", [1, 400])
@pytest.mark.parametrize("after", [0, 60])
def test_what_a_stream_says_last_is_found_wherever_it_stands(end: bytes, words: int, after: int) -> None:
    """Its end is looked at first; what says it further back, behind much that does not, has to be found as well."""
    word = b'data: {"model":"m-1","choices":[{"delta":{"content":"a word and another"}}],"usage":null}' + end
    usage = b'{"prompt_tokens":3,"completion_tokens":2}'
    said = b'data: {"model":"m-1","choices":[{"finish_reason":"stop"}],"usage":%b}' % usage
    tail = openai_chat.tail()
    for chunk in [word] * words + [said + end] + [b": nothing, so that the line stays open" + end] * 2 * after:
        tail.feed(chunk)

    found = tail.answer()

    assert (3, 2, "stop", "m-1") == (found.usage.tokens_in, found.usage.tokens_out, found.finish_reason, found.model)
