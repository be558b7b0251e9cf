"""The OpenAI Responses wire: what is read, what is rewritten, and what must stay as it was."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.clamping import Bounds
from midshift.domain.rendering import Changes
from midshift.domain.usage import Usage
from midshift.wire import openai_responses, sse
from midshift.wire.openai_responses_request import COUNT_PATH, MADE_HERE, ResponsesRequest
from midshift.wire.protocol import Answer, End, Problem, Sent, Unreadable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.text(alphabet="abc_", min_size=1, max_size=8), VALUES, max_size=5)
RUN_BY_OPENAI = ("web_search", "file_search", "code_interpreter", "mcp", "computer", "image_generation", "shell")
USER = {"role": "user", "content": "Hi."}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}


def a_request(**said: object) -> ResponsesRequest:
    """A request as Python's own encoder writes it, spaces and all."""
    return ResponsesRequest(json.dumps({"model": "old", "input": [USER], **said}).encode())


def rewritten(request: ResponsesRequest, changes: Changes, strip_state: bool = False) -> Any:
    """The plain values of the request after changes."""
    return json.loads(request.rewritten(changes, strip_state=strip_state).body)


@settings(max_examples=50)
@given(FIELDS)
def test_a_request_without_changes_is_the_very_same_bytes(said: dict[str, object]) -> None:
    """Adopting a gateway must change nothing, down to the spaces."""
    request = a_request(**said)

    assert Sent("/responses", request.body) == request.rewritten(Changes(model="old"), ask_usage=True)


def test_items_beside_the_system_prompt_stay_byte_for_byte() -> None:
    """Encrypted reasoning and calls are checked to the byte by the server that made them."""
    item = b'{"encrypted_content":"a\\/b", "type":"reasoning","x":1.0}'
    body = b'{"model":"old","input":[{"role":"system","content":"A"},' + item + b"]}"

    assert item in ResponsesRequest(body).rewritten(Changes(system="B", model="new")).body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "not a JSON object"),
        (b'{"input": "Hi."}', "'model' must be the name of a model"),
        (b'{"model": "a"}', "'input' must be a text or a list of items"),
        (b'{"model": "a", "input": 3}', "'input' must be a text or a list of items"),
        (b'{"model": "a", "messages": []}', "'input' must be a text or a list of items"),
    ],
)
def test_what_is_no_response_request_is_refused_in_words(body: bytes, said: str) -> None:
    """The app's developer reads this, not ours."""
    with pytest.raises(Unreadable, match=said):
        ResponsesRequest(body)


@pytest.mark.parametrize("name", ["previous_response_id", "prompt", "conversation"])
def test_what_stands_for_an_input_is_one(name: str) -> None:
    """OpenAI takes a request without input if one of these is there."""
    assert ResponsesRequest(json.dumps({"model": "a", name: "x"}).encode()).model == "a"


SYSTEMS = [
    ({}, None),
    ({"input": "Hi."}, None),
    ({"instructions": "A"}, "A"),
    ({"instructions": "A", "input": "Hi."}, "A"),
    ({"instructions": None, "input": [{"role": "developer", "content": "B"}, USER]}, "B"),
    ({"instructions": "A", "input": [{"type": "message", "role": "system", "content": "B"}, USER]}, "A\nB"),
    ({"input": [{"role": "system", "content": [{"type": "input_text", "text": "B"}]}]}, "B"),
    ({"input": [USER, {"role": "system", "content": "late"}]}, None),
    ({"input": [{"type": "additional_tools", "role": "developer", "tools": []}]}, None),
    ({"instructions": "A", "prompt": {"id": "pmpt_1"}}, None),
    ({"instructions": 7}, None),
    ({"input": [{"role": "system", "content": None}]}, None),
    ({"input": [17, "x"]}, None),
]


@pytest.mark.parametrize(("said", "system"), SYSTEMS)
def test_the_system_prompt_is_the_instructions_and_the_leading_system_items(said: Any, system: str | None) -> None:
    """What comes later is part of the conversation; a stored prompt is not known here."""
    assert system == a_request(**said).system


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {"instructions": "New", "input": [USER]}),
        ({"input": "Hi."}, {"instructions": "New", "input": "Hi."}),
        ({"instructions": "A"}, {"instructions": "New", "input": [USER]}),
        (
            {"input": [{"role": "developer", "content": "B"}, USER]},
            {"input": [{"role": "developer", "content": "New"}, USER]},
        ),
        (
            {"instructions": "A", "input": [{"role": "developer", "content": "B"}, USER]},
            {"instructions": "New", "input": [USER]},
        ),
        ({"prompt": {"id": "pmpt_1"}}, {"prompt": {"id": "pmpt_1"}, "input": [USER]}),
    ],
)
def test_a_new_system_prompt_takes_the_place_of_the_old_one(said: Any, expected: dict[str, object]) -> None:
    """A rest of the old prompt would be a third variant; a stored one is nobody's to overwrite."""
    assert {"model": "old", **expected} == rewritten(a_request(**said), Changes(system="New"))


def test_a_system_item_keeps_its_role_and_its_cache_marker() -> None:
    """An app that marked its prompt for caching does so for a reason."""
    part = {"type": "input_text", "text": "Old", "prompt_cache_breakpoint": {"mode": "explicit"}}
    request = a_request(input=[{"type": "message", "role": "developer", "content": [part]}])

    expected = [{"type": "message", "role": "developer", "content": [{**part, "text": "New"}]}]
    assert expected == rewritten(request, Changes(system="New"))["input"]


def test_fields_within_fields_are_set_dropped_and_clamped_and_their_neighbours_stay() -> None:
    """An effort is one field of several about reasoning."""
    request = a_request(reasoning={"effort": "max", "summary": "auto", "mode": "pro"}, max_output_tokens=9000, top_p=1)
    changes = Changes(
        {"text.verbosity": "low"},
        frozenset({"reasoning.summary", "top_p", "absent.field"}),
        clamp={"effort": Bounds("low", "high"), "max_output_tokens": Bounds(1, 8000)},
    )

    found = rewritten(request, changes)

    assert {"effort": "high", "mode": "pro"} == found["reasoning"]
    assert ({"verbosity": "low"}, 8000, False) == (found["text"], found["max_output_tokens"], "top_p" in found)


def test_the_effort_of_a_variant_is_written_where_there_was_none() -> None:
    """The app's other wishes about reasoning stay."""
    assert {"effort": "low"} == rewritten(a_request(), Changes(effort="low"))["reasoning"]


def test_a_token_count_takes_only_what_is_counted() -> None:
    """OpenAI refuses a count with fields that shape an answer."""
    request = openai_responses.read_request(a_request().body, "/v1/responses/input_tokens")

    sent = request.rewritten(Changes({"store": False, "temperature": 1, "text.verbosity": "low"}, effort="low"))

    assert COUNT_PATH == sent.target
    assert {"model", "input", "text", "reasoning"} == json.loads(sent.body).keys()


def test_a_mirrored_request_is_not_stored() -> None:
    """Responses are stored unless they are told not to be: an answer that nobody asked for would be found."""
    changes = openai_responses.unstored(Changes({"top_p": 1}, frozenset({"store"}), model="new"))

    found = rewritten(a_request(store=True), changes)

    assert (False, 1, "new") == (found["store"], found["top_p"], found["model"])


@pytest.mark.parametrize(
    ("said", "has"),
    [
        ({}, False),
        ({"store": True}, False),
        ({"tools": [{"type": "function", "name": "f"}, {"type": "custom"}, {"type": "apply_patch"}]}, False),
        ({"tools": [{"type": "namespace", "tools": [{"type": "function"}]}]}, False),
        ({"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, True),
        ({"background": True}, True),
        ({"conversation": "conv_1"}, True),
        ({"prompt": {"id": "pmpt_1"}}, True),
        ({"tools": "?"}, True),
        *[
            ({"tools": [{"type": kind}]}, True)
            for kind in (
                "web_search",
                "file_search",
                "code_interpreter",
                "mcp",
                "computer",
                "image_generation",
                "shell",
            )
        ],
    ],
)
def test_side_effects_are_those_that_a_second_request_would_have(said: Any, has: bool) -> None:
    """A mirror asks again; tools that OpenAI runs would run again, and a conversation would grow by two answers."""
    assert has is a_request(**said).has_side_effects


def test_bound_state_is_named_by_its_place() -> None:
    """Whoever changes the model has to know what the new one cannot read."""
    file = {"type": "input_file", "file_id": "file-1"}
    request = a_request(
        previous_response_id="resp_1",
        conversation={"id": "conv_1"},
        prompt={"id": "pmpt_1", "version": 3},
        input=[
            {"role": "user", "content": [file]},
            REASONING,
            {"type": "reasoning", "id": "rs_2"},
            {"type": "item_reference", "id": "msg_9"},
            {"type": "compaction", "encrypted_content": "zip"},
            {"type": "function_call_output", "call_id": "c", "output": [file]},
        ],
    )

    assert (
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("prompt", "pmpt_1@3"),
        ("input.0.content.0.file_id", "file-1"),
        ("input.1.encrypted_content", "gAAA"),
        ("input.2.id", "rs_2"),
        ("input.3.id", "msg_9"),
        ("input.4.encrypted_content", "zip"),
        ("input.5.output.0.file_id", "file-1"),
    ) == request.bound_state
    assert () == a_request().bound_state


def test_stripping_removes_reasoning_and_the_ids_that_lean_on_it() -> None:
    """OpenAI refuses an item whose reasoning is missing; what cannot be left out stays, and is reported."""
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]}
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    reference = {"type": "item_reference", "id": "msg_9"}
    request = a_request(input=[USER, REASONING, message, call, reference])

    found = rewritten(request, Changes(), strip_state=True)["input"]

    expected = [{name: value for name, value in item.items() if name != "id"} for item in (USER, message, call)]
    assert [*expected, reference] == found


def test_items_that_were_made_here_never_reach_a_provider() -> None:
    """An app hands back what a translated answer showed; no provider has stored it, and OpenAI answers 404."""
    ours = {"type": "reasoning", "id": f"rs{MADE_HERE}1_0", "summary": []}
    message = {"type": "message", "id": f"msg{MADE_HERE}1_1", "role": "assistant", "content": []}
    request = a_request(input=[USER, ours, message, REASONING])

    found = rewritten(request, Changes())["input"]

    assert [USER, {"type": "message", "role": "assistant", "content": []}, REASONING] == found
    assert (("input.3.encrypted_content", "gAAA"),) == request.bound_state


@pytest.mark.parametrize(
    ("said", "opening"),
    [
        ({"input": "Hi."}, "Hi."),
        ({"input": [{"role": "developer", "content": "D"}, USER, {"role": "user", "content": "later"}]}, "Hi."),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi."}]}]}, "Hi."),
        ({"conversation": {"id": "conv_1"}}, "conv_1"),
        ({"previous_response_id": "resp_1"}, None),
        ({"input": [{"role": "developer", "content": "D"}]}, None),
    ],
)
def test_the_opening_is_the_same_in_every_turn_of_a_conversation(said: Any, opening: str | None) -> None:
    """A turn that only names the one before it does not hold it: the next unit source is asked."""
    assert opening == a_request(**said).opening


def test_labels_and_the_stream_are_found() -> None:
    """Units and slices are found by path."""
    request = a_request(stream=True, metadata={"plan": "pro", "n": 1}, safety_identifier="u-1", user="u-2")

    assert (True, True, {"plan": "pro"}) == (request.stream, request.asks_usage, request.metadata)
    assert ("u-1", "u-2", "Hi.") == tuple(map(request.value_at, ("safety_identifier", "user", "input.0.content")))


USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 3},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 15},
    "total_tokens": 120,
}
MESSAGE = {
    "type": "message",
    "content": [{"type": "output_text", "text": "Hel"}, {"type": "output_text", "text": "lo."}],
}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
FULL = Usage(100, 20, cached_in=80, cache_write_in=3, reasoning_out=15)


def a_response(**said: object) -> dict[str, object]:
    """A whole answer."""
    return {"status": "completed", "model": "gpt-x", "error": None, "output": [MESSAGE], "usage": USAGE} | said


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Answer(FULL, "stop", "Hello.", "gpt-x")),
        ({"output": [REASONING, CALL]}, Answer(FULL, "tool_calls", None, "gpt-x")),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            Answer(FULL, "length", "Hello.", "gpt-x"),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []},
            Answer(FULL, "content_filter", None, "gpt-x"),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "steered"}},
            Answer(FULL, "steered", "Hello.", "gpt-x"),
        ),
        ({"status": "queued", "output": [], "usage": None}, Answer(Usage(), None, None, "gpt-x")),
        ({"usage": None, "model": 7, "output": ["?"]}, Answer(Usage(), "stop")),
    ],
)
def test_an_answer_says_how_it_ended_in_the_words_of_chat(said: dict[str, object], expected: Answer) -> None:
    """Answers of both wires are compared; a finish reason must mean the same on both."""
    assert expected == openai_responses.read_answer(json.dumps(a_response(**said)).encode())


def test_searches_and_the_tier_are_billed_and_read() -> None:
    """Two of the things that change a price."""
    body = json.dumps(a_response(service_tier="flex", tool_usage={"web_search": {"num_requests": 2}})).encode()

    found = openai_responses.read_answer(body)

    assert found is not None
    assert ("flex", 2) == (found.usage.service_tier, found.usage.searches)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"error": {"message": "no"}}', b'{"output": [], "error": {"code": "x"}}']
    + [json.dumps(a_response(status="failed")).encode(), b'{"choices": []}'],
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """A page of a proxy with status 200 is no answer of a model."""
    assert openai_responses.read_answer(body) is None


def event(kind: str, **said: object) -> bytes:
    """One event of a stream."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **said}).encode())


CREATED = event("response.created", response=a_response(status="in_progress", output=[], usage=None))
DELTAS = event("response.output_text.delta", delta="Hel") + event("response.output_text.delta", delta="lo.")
TALK = event("response.output_text.delta", delta='"response.completed"')
BARE = event("response.completed", response=a_response(output=[]))
STREAMS = {
    "whole": (CREATED + DELTAS + event("response.completed", response=a_response()), "stop"),
    "cut short": (
        CREATED
        + DELTAS
        + event(
            "response.incomplete",
            response=a_response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        ),
        "length",
    ),
    "the end without its text": (CREATED + DELTAS + BARE, "stop"),
    "no empty line at the end": (CREATED + event("response.completed", response=a_response()).rstrip(), "stop"),
    "talk of the end": (CREATED + TALK + event("response.completed", response=a_response()) + b": ping\n\n", "stop"),
    "no event lines": (
        b"".join(line + b"\n\n" for line in (DELTAS + event("response.completed", response=a_response())).split(b"\n")
                 if line.startswith(b"data")),
        "stop",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "finish"), STREAMS.values(), ids=STREAMS)
@given(data=st.data())
@settings(max_examples=20)
def test_a_stream_tells_the_same_however_it_is_cut(stream: bytes, finish: str, data: st.DataObject) -> None:
    """Packets end anywhere; the whole stream says the same with its text."""
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *places, len(stream)]
    tail = openai_responses.tail()

    for begin, end in zip(edges, edges[1:], strict=False):
        tail.feed(stream[begin:end])

    assert Answer(FULL, finish, None, "gpt-x") == tail.answer()
    assert Answer(FULL, finish, "Hello.", "gpt-x") == openai_responses.read_stream(stream)


def test_a_tail_keeps_one_event_of_a_long_stream() -> None:
    """A gateway holds thousands of streams."""
    tail = openai_responses.tail()
    for _ in range(1000):
        tail.feed(event("response.output_text.delta", delta="x" * 1000))

    assert (None, b"") == (tail._last, tail._blocks.rest)
    assert Answer(end=End.NONE) == tail.answer()


FAILED = event("response.failed", response=a_response(status="failed", error={"code": "server_error", "message": "no"}))


@pytest.mark.parametrize(
    "stream",
    [CREATED + DELTAS, CREATED + FAILED, CREATED + event("error", message="no", code=None), b"", b"data: <html>\n\n"],
    ids=["broken off", "failed", "an error", "nothing", "not JSON"],
)
def test_half_a_stream_is_no_answer(stream: bytes) -> None:
    """Compared with a whole one it would look like a shorter style."""
    assert openai_responses.read_stream(stream) is None


@pytest.mark.parametrize(
    ("block", "is_error"),
    [
        (CREATED, False),
        (DELTAS.split(b"\n\n")[0], False),
        (FAILED, True),
        (event("error", message="no"), True),
        (b'event: error\ndata: {"message": "no"}\n\n', True),
        (b'data: {"error": {"message": "no"}}\n\n', True),
        (b"data: <html>\n\n", True),
        (b"data: [DONE]\n\n", False),
    ],
)
def test_an_error_in_a_stream_is_told_from_an_event(block: bytes, is_error: bool) -> None:
    """Some servers answer 200 and send the error as an event."""
    found = sse.parse(block)

    assert found is not None
    assert is_error is openai_responses.is_error(found)
    assert not openai_responses.is_usage_only(block)


def test_errors_have_the_shapes_that_clients_read() -> None:
    """A body like any of OpenAI's; in a stream an event of its own."""
    problem = Problem(404, "No.", "model_not_found", "model")
    body = json.loads(openai_responses.error_body(problem))
    found = sse.parse(openai_responses.error_event(problem))

    assert ("No.", "model_not_found", "model") == tuple(body["error"][name] for name in ("message", "code", "param"))
    assert found is not None
    assert ("error", True) == (found.type, openai_responses.is_error(found))
    assert {"type", "code", "message", "param", "sequence_number"} == json.loads(found.data).keys()
    assert problem == openai_responses.read_problem(404, openai_responses.error_body(problem))
