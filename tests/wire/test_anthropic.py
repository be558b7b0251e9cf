"""Anthropic Messages: what is read, what is rewritten, and what must stay as it was."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.clamping import Bounds
from midshift.domain.rendering import Changes
from midshift.domain.usage import Usage
from midshift.wire import anthropic, sse
from midshift.wire.anthropic import COUNT_PATH, PATH, MessagesRequest
from midshift.wire.protocol import Answer, End, Problem, Unreadable, Wire

WIRE: Wire = anthropic
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a\u00e9\U0001f600\\"/ ', max_size=5), inner),
    max_leaves=6,
)
NAMES = st.text('abc_\u00e9\u2028\U0001f600\\"/', min_size=1, max_size=8)
FIELDS = st.dictionaries(NAMES, VALUES, max_size=5)
EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCg/+=="}
REDACTED = {"type": "redacted_thinking", "data": "EmwKAhgB"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"signature": "the app's own"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Found."}


def a_body(**fields: object) -> bytes:
    """A request as Python's own encoder writes it, spaces and escapes and all."""
    found = {"model": "old", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi."}], **fields}
    return json.dumps(found).encode()


def a_request(**fields: object) -> MessagesRequest:
    """The same, read."""
    return MessagesRequest(a_body(**fields))


def rewritten(request: MessagesRequest, changes: Changes, strip_state: bool = False) -> Any:
    """The plain values of the request after changes."""
    return json.loads(request.rewritten(changes, strip_state=strip_state).body)


def with_effort(effort: str, **fields: object) -> Any:
    """The two fields of thinking after a variant's effort has come."""
    found = rewritten(a_request(**fields), Changes(effort=effort))
    return found.get("thinking"), found.get("output_config")


@settings(max_examples=50)
@given(FIELDS, st.sampled_from([None, 1]), st.booleans())
def test_a_request_without_changes_is_the_very_same_bytes(
    fields: dict[str, object], indent: int | None, is_ascii: bool
) -> None:
    """Adopting a gateway must change nothing, down to the spaces and the escapes of names."""
    body = json.dumps({"model": "old", "messages": [], **fields}, indent=indent, ensure_ascii=is_ascii).encode()

    assert body == MessagesRequest(body).rewritten(Changes(), ask_usage=True, strip_state=True).body


@settings(max_examples=50)
@given(FIELDS)
def test_fields_that_a_variant_does_not_name_stay_byte_for_byte(fields: dict[str, object]) -> None:
    """Vendors add fields every month, and a float that is decoded and encoded may come out as another."""
    body = a_body(**fields)
    before = msgspec.json.decode(body, type=dict[str, msgspec.Raw])

    after = msgspec.json.decode(MessagesRequest(body).rewritten(Changes(model="new")).body, type=dict[str, msgspec.Raw])

    assert b'"new"' == bytes(after["model"])
    assert list(before) == list(after)
    assert [bytes(value) for name, value in before.items() if name != "model"] == [
        bytes(value) for name, value in after.items() if name != "model"
    ]


def test_markers_signatures_and_numbers_keep_their_spelling() -> None:
    """A cache is hit, and a signature valid, by the byte."""
    body = (
        b'{"model":"old","a":1.0,"system":[ {"text":"A","type":"text","cache_control":{"type":"ephemeral"}} ],'
        b'"messages":[{"content":[{"type":"thinking","signature":"a\\/b","thinking":"\\u00e9"}],"role":"assistant"}],'
        b'"x":{"x":1,"x":2}}'
    )

    assert body.replace(b'"old"', b'"new"') == MessagesRequest(body).rewritten(Changes(model="new")).body


def test_a_repeated_field_does_not_reach_the_provider_twice() -> None:
    """Read last here and first there, it would ask for a model that nobody claimed."""
    body = b'{"model": "dear", "messages": [], "model": "old"}'

    assert b'{"model":"old","messages":[]}' == MessagesRequest(body).rewritten(Changes()).body


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        (PATH, "", "/v1/messages"),
        (PATH, "beta=true", "/v1/messages?beta=true"),
        (COUNT_PATH, "beta=true", "/v1/messages/count_tokens?beta=true"),
    ],
)
def test_the_target_keeps_the_operation_and_the_query(path: str, query: str, target: str) -> None:
    """The SDK's beta resources send a query, and the base URL of this vendor has no version."""
    assert target == anthropic.read_request(a_body(), path, query).rewritten(Changes()).target


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'{"messages": []}', "'model' must be the name of a model"),
        (b'{"model": 3, "messages": []}', "'model' must be the name of a model"),
        (b'{"model": "a"}', "'messages' must be a list of messages"),
        (b'{"model": "a", "messages": "Hi."}', "'messages' must be a list of messages"),
    ],
)
def test_what_is_no_request_is_refused_in_words(body: bytes, said: str) -> None:
    """The app's developer reads this, not ours."""
    with pytest.raises(Unreadable, match=said):
        MessagesRequest(body)


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (None, None),
        ("Help.", "Help."),
        ("", ""),
        ([{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": EPHEMERAL}], "A\nB"),
        ([], None),
        (7, None),
    ],
)
def test_the_system_prompt_is_the_top_level_one(system: object, expected: str | None) -> None:
    """A message of the role `system` further on is part of the conversation."""
    messages = [{"role": "user", "content": "Hi."}, {"role": "system", "content": "late"}]

    assert expected == a_request(messages=messages, **({} if system is None else {"system": system})).system


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "New."),
        ("Old.", "New."),
        (
            [{"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "B"}],
            [{"type": "text", "text": "New."}],
        ),
        (
            [{"type": "text", "text": "A"}, {"type": "text", "text": "B", "cache_control": EPHEMERAL}],
            [{"type": "text", "text": "New.", "cache_control": EPHEMERAL}],
        ),
        ([], "New."),
    ],
)
def test_a_new_system_prompt_keeps_the_form_and_the_last_cache_marker(before: object, after: object) -> None:
    """An app that pays for a cached prompt keeps it, whichever of the prompt's modes made the text."""
    request = a_request(**({} if before is None else {"system": before}))

    assert after == rewritten(request, Changes(system="New."))["system"]


def test_the_same_system_prompt_changes_no_byte() -> None:
    """A variant whose prompt is what the app already sends is no change."""
    body = a_body(system=[{"type": "text", "text": "A"}, {"type": "text", "text": "B"}])

    assert body == MessagesRequest(body).rewritten(Changes(system="A\nB")).body


def test_an_empty_system_prompt_is_none() -> None:
    """The API refuses a block without text."""
    assert "system" not in rewritten(a_request(system=[{"type": "text", "text": "A"}]), Changes(system=""))


ENABLED: dict[str, Any] = {"type": "enabled", "budget_tokens": 2048, "display": "omitted"}
UP_TO_HIGH = {"effort": Bounds("low", "high")}


@pytest.mark.parametrize(
    ("effort", "fields", "thinking", "output_config"),
    [
        ("high", {}, None, {"effort": "high"}),
        (
            "high",
            {"output_config": {"effort": "low", "format": {"x": 1}}},
            None,
            {"effort": "high", "format": {"x": 1}},
        ),
        ("max", {"thinking": ENABLED}, {"type": "adaptive", "display": "omitted"}, {"effort": "max"}),
        ("low", {"thinking": {"type": "disabled"}}, {"type": "adaptive"}, {"effort": "low"}),
        ("low", {"thinking": {"type": "between_tools"}}, {"type": "between_tools"}, {"effort": "low"}),
        ("minimal", {}, None, {"effort": "minimal"}),
        ("none", {"thinking": ENABLED, "output_config": {"effort": "max"}}, {"type": "disabled"}, None),
        ("none", {}, {"type": "disabled"}, None),
        ("budget:0", {}, {"type": "disabled"}, None),
        ("budget:4096", {}, {"type": "enabled", "budget_tokens": 4096}, None),
        ("budget:4096", {"thinking": ENABLED}, {**ENABLED, "budget_tokens": 4096}, None),
        ("auto", {"output_config": {"effort": "max", "format": 1}}, {"type": "adaptive"}, {"format": 1}),
    ],
)
def test_the_effort_of_a_variant_is_the_whole_dial(
    effort: str, fields: dict[str, object], thinking: object, output_config: object
) -> None:
    """Two fields turn it on this wire: the app's own setting of the other one would make it a third variant."""
    assert (thinking, output_config) == with_effort(effort, **fields)


def test_what_a_variant_sets_has_the_last_word_over_its_effort() -> None:
    """A model that takes an effort beside a budget gets both."""
    changes = Changes({"thinking": ENABLED}, effort="high")

    found = rewritten(a_request(), changes)

    assert (ENABLED, {"effort": "high"}) == (found["thinking"], found["output_config"])


@pytest.mark.parametrize(
    ("fields", "clamp", "expected"),
    [
        (
            {"output_config": {"effort": "max"}},
            UP_TO_HIGH,
            {"output_config": {"effort": "high"}},
        ),
        ({"output_config": {"effort": "low"}}, UP_TO_HIGH, {"output_config": {"effort": "low"}}),
        (
            {"thinking": {"type": "disabled"}},
            UP_TO_HIGH,
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        ),
        ({}, {**UP_TO_HIGH, "max_tokens": Bounds(1, 5)}, {"max_tokens": 5}),
        (
            {"thinking": ENABLED},
            {"thinking.budget_tokens": Bounds(1024, 1500)},
            {"thinking": {**ENABLED, "budget_tokens": 1500}},
        ),
        ({}, {"thinking.budget_tokens": Bounds(1024, 1500)}, {}),
    ],
)
def test_what_the_app_sends_is_clamped(
    fields: dict[str, object], clamp: dict[str, Bounds], expected: dict[str, object]
) -> None:
    """A model with a shorter scale serves an app that asks for more; what it does not ask for is not put in."""
    assert json.loads(a_body(**{**fields, **expected})) == rewritten(a_request(**fields), Changes(clamp=clamp))


def test_fields_are_set_and_dropped_by_dotted_names() -> None:
    """What a candidate refuses has to go, and what it needs has to come; neighbours stay."""
    fields = {"temperature": 0.5, "thinking": ENABLED, "metadata": {"user_id": "u"}, "output_config": {"format": 1}}
    drop = frozenset({"temperature", "absent", "metadata.user_id", "thinking.budget_tokens", "absent.too"})
    changes = Changes({"thinking.type": "adaptive", "output_config.task_budget": {"total": 5}, "stop": ("a",)}, drop)

    assert json.loads(
        a_body(
            thinking={"type": "adaptive", "display": "omitted"},
            output_config={"format": 1, "task_budget": {"total": 5}},
            stop=["a"],
        )
    ) == rewritten(a_request(**fields), changes)


def test_a_count_of_tokens_gets_only_the_fields_that_it_takes() -> None:
    """`max_tokens` of a variant would make the API refuse to count; tools and thinking change the count."""
    body = json.dumps({"model": "old", "messages": []}).encode()
    changes = Changes({"max_tokens": 5, "temperature": 1, "thinking.type": "adaptive"}, model="new", effort="low")

    found = json.loads(MessagesRequest(body, COUNT_PATH).rewritten(changes).body)

    assert {
        "model": "new",
        "messages": [],
        "output_config": {"effort": "low"},
        "thinking": {"type": "adaptive"},
    } == found


def test_bound_state_is_named_and_the_apps_own_data_is_not() -> None:
    """An encrypted thought can be read by the model that had it, and a file by the account that holds it."""
    messages = [
        {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "file_1"}}]},
        {"role": "assistant", "content": [THOUGHT, REDACTED, CALL]},
        {"role": "user", "content": [RESULT, {"type": "container_upload", "file_id": "file_2"}]},
        {
            "role": "assistant",
            "content": [
                {
                    "type": "web_search_tool_result",
                    "content": [{"type": "web_search_result", "encrypted_content": "e1"}],
                },
                {"type": "compaction", "content": "So far.", "signature": "s2"},
            ],
        },
    ]
    request = a_request(messages=messages, container={"id": "cont_1"}, thread={"previous_message_id": "msg_1"})

    assert (
        ("container.id", "cont_1"),
        ("thread.previous_message_id", "msg_1"),
        ("file_id", "file_1"),
        ("signature", THOUGHT["signature"]),
        ("redacted_thinking", REDACTED["data"]),
        ("file_id", "file_2"),
        ("encrypted_content", "e1"),
        ("signature", "s2"),
    ) == request.bound_state
    assert () == a_request().bound_state


def test_thinking_is_stripped_from_earlier_turns_and_all_else_stays() -> None:
    """After a flip the new model cannot read it, and newer ones refuse the request for it."""
    said = b'{"type":"text","text":"\\u00e9","citations":[ ]}'
    body = (
        b'{"model":"old","messages":[{"role":"user","content":"thinking"},'
        b'{"content":[' + json.dumps(THOUGHT).encode() + b"," + said + b'],"role":"assistant"},'
        b'{"role":"assistant","content":[' + json.dumps(REDACTED).encode() + b']},{"role":"user","content":"Go on."}]}'
    )

    assert (
        b'{"model":"old","messages":[{"role":"user","content":"thinking"},'
        b'{"content":[' + said + b'],"role":"assistant"},{"role":"user","content":"Go on."}]}'
    ) == MessagesRequest(body).rewritten(Changes(), strip_state=True).body


@pytest.mark.parametrize(
    ("thinking", "last", "expected"),
    [
        (ENABLED, [RESULT], {"type": "disabled"}),
        (ENABLED, [{"type": "text", "text": "Go on."}], ENABLED),
        ({"type": "adaptive"}, [RESULT], {"type": "adaptive"}),
    ],
)
def test_a_budget_of_thinking_cannot_go_on_without_it_in_the_middle_of_tools(
    thinking: object, last: object, expected: object
) -> None:
    """The API asks the turn that called the tools to begin with its thinking, or for thinking to be disabled."""
    messages = [
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": [THOUGHT, CALL]},
        {"role": "user", "content": last},
    ]
    request = a_request(messages=messages, thinking=thinking)

    found = rewritten(request, Changes(), strip_state=True)

    assert [CALL] == found["messages"][1]["content"]
    assert expected == found["thinking"]


THINKS_FIRST = [{"role": "assistant", "content": [THOUGHT, CALL]}, {"role": "user", "content": [RESULT]}]
NEVER_THOUGHT = [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": [RESULT]}]


@pytest.mark.parametrize(
    ("loop", "kind"),
    [
        ([], "enabled"),
        (NEVER_THOUGHT, "disabled"),
        (THINKS_FIRST, "enabled"),
        (THINKS_FIRST + NEVER_THOUGHT, "enabled"),
        (NEVER_THOUGHT + NEVER_THOUGHT, "disabled"),
        ([*NEVER_THOUGHT, {"role": "assistant", "content": "Found."}, {"role": "user", "content": "More."}], "enabled"),
    ],
)
def test_a_budget_of_a_variant_begins_with_a_turn_and_not_within_it(loop: list[object], kind: str) -> None:
    """A conversation may change its variant between a call of a tool and its result."""
    request = a_request(messages=[{"role": "user", "content": "Hi."}, *loop])

    assert kind == rewritten(request, Changes(effort="budget:2048"))["thinking"]["type"]


def test_the_apps_own_budget_is_left_to_the_app() -> None:
    """A request that the API refuses without a gateway is refused with one."""
    body = a_body(messages=[{"role": "user", "content": "Hi."}, *NEVER_THOUGHT], thinking=ENABLED)

    assert ENABLED == rewritten(MessagesRequest(body), Changes(model="new"))["thinking"]


def test_a_variant_that_does_not_think_is_sent_no_thinking() -> None:
    """Some models refuse it in the last turn where thinking is disabled."""
    messages = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": [THOUGHT, CALL]}]

    found = rewritten(a_request(messages=[*messages, {"role": "user", "content": [RESULT]}]), Changes(effort="none"))

    assert [CALL] == found["messages"][1]["content"]


@pytest.mark.parametrize(
    ("fields", "has"),
    [
        ({}, False),
        ({"tools": []}, False),
        ({"tools": None, "container": None, "mcp_servers": []}, False),
        ({"tools": [{"name": "f", "input_schema": {}}, {"type": "custom", "name": "g"}]}, False),
        ({"tools": [{"type": "bash_20250124"}, {"type": "text_editor_20250728"}, {"type": "memory_20250818"}]}, False),
        ({"tools": [{"type": "computer_20251124"}, {"type": "computer_toolset_20260801"}]}, False),
        ({"tools": [{"type": "tool_search_tool_bm25_20251119"}, {"type": "tool_search_tool_regex"}]}, False),
        ({"tools": [{"type": "web_search_20260318"}]}, True),
        ({"tools": [{"type": "web_fetch_20260318"}]}, True),
        ({"tools": [{"type": "code_execution_20260521"}]}, True),
        ({"tools": [{"type": "mcp_toolset"}]}, True),
        ({"tools": [{"type": "of_next_year"}]}, True),
        ({"tools": "?"}, True),
        ({"mcp_servers": [{"url": "https://a.example"}]}, True),
        ({"container": "cont_1"}, True),
        ({"thread": {"type": "create"}}, True),
    ],
)
def test_side_effects_are_those_that_the_server_would_have(fields: dict[str, object], has: bool) -> None:
    """What the app runs is only asked for twice; a search is paid twice, and code runs twice."""
    assert has is a_request(**fields).has_side_effects
    assert anthropic.read_request(a_body(**fields), COUNT_PATH).has_side_effects is False


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.user_id", "u-1"),
        ("messages.0.role", "user"),
        ("messages.7.role", None),
        ("x", None),
        ("model.x", None),
    ],
)
def test_a_path_leads_to_a_plain_value(path: str, value: object) -> None:
    """Units and slices are found by path."""
    assert value == a_request(metadata={"user_id": "u-1"}).value_at(path)


def test_what_a_gateway_asks_about_a_request() -> None:
    """Usage is always in a stream; the metadata has one text that templates may name."""
    request = a_request(stream=True, metadata={"user_id": "u-1", "other": 7})

    assert (True, True, {"user_id": "u-1"}) == (request.stream, request.asks_usage, request.metadata)


def test_the_opening_of_a_conversation_is_the_same_in_every_turn() -> None:
    """A cache marker moves along with the conversation; what the user said first does not."""
    marked = {"role": "user", "content": [{"type": "text", "text": "My card is gone.", "cache_control": EPHEMERAL}]}
    later = [{"role": "user", "content": "My card is gone."}, {"role": "assistant", "content": "Oh."}]

    assert "My card is gone." == a_request(messages=[marked]).opening == a_request(messages=later).opening
    assert a_request(messages=[]).opening is None
    assert a_request(messages=[{"role": "user", "content": [RESULT]}]).opening is not None


def a_message(**fields: object) -> bytes:
    """A whole answer."""
    found = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [THOUGHT, {"type": "text", "text": "Hel"}, {"type": "text", "text": "lo.", "citations": []}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 80,
            "cache_creation_input_tokens": 10,
            "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3},
            "output_tokens": 20,
            "output_tokens_details": {"thinking_tokens": 15},
        },
    }
    return json.dumps({**found, **fields}).encode()


def test_a_whole_answer_says_what_it_used_and_how_it_ended() -> None:
    """Input holds what the caches read and wrote; blocks that citations cut are one text."""
    usage = Usage(100, 20, cached_in=80, cache_write_in=10, cache_write_long_in=3, reasoning_out=15)

    assert Answer(usage, "end_turn", "Hello.", "claude-opus-5-5") == anthropic.read_answer(a_message())


@pytest.mark.parametrize("reason", ["pause_turn", "refusal", "model_context_window_exceeded", "of_next_year"])
def test_stop_reasons_are_kept_as_they_are(reason: str) -> None:
    """Refusals and full contexts are counted by their names."""
    found = anthropic.read_answer(a_message(content=[], stop_reason=reason))

    assert found is not None
    assert (reason, None) == (found.finish_reason, found.text)


def test_missing_usage_is_unknown_and_never_zero() -> None:
    """A cost of 0 passes every gate; an unknown one passes none."""
    found = anthropic.read_answer(a_message(usage=None))

    assert found is not None
    assert Usage() == found.usage


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"type":"error","error":{}}', b'{"type":"message"}', b"\xff\xfe", b"{}"]
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """A page of a proxy with status 200 is no answer of a model."""
    assert anthropic.read_answer(body) is None


def test_a_count_of_tokens_is_an_answer_that_used_nothing_known() -> None:
    """It is billed to nobody: its number is not the usage of a call."""
    assert Answer() == anthropic.read_answer(b'{"input_tokens": 2095}')


def event(type: str, **fields: object) -> bytes:
    """One event of a stream."""
    return f"event: {type}\ndata: {json.dumps({'type': type, **fields})}\n\n".encode()


PING = event("ping")
START = event(
    "message_start",
    message={
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 1},
    },
)
BLOCKS = (
    event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""})
    + PING
    + event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm."})
    + event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "EqQB"})
    + event("content_block_stop", index=0)
    + event("content_block_start", index=1, content_block={"type": "text", "text": ""})
    + b": a comment of a proxy\n\n"
    + event("content_block_delta", index=1, delta={"type": "text_delta", "text": "Hel"})
    + event("content_block_delta", index=1, delta={"type": "text_delta", "text": "lo."})
    + event("content_block_delta", index=1, delta={"type": "citations_delta", "citation": {"type": "char_location"}})
    + event("content_block_stop", index=1)
)
DELTA = event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 5})
STOP = event("message_stop")
WHOLE = START + BLOCKS + DELTA + STOP
USED = Usage(10, 5, cached_in=3)


@given(st.data())
def test_any_chunking_of_a_stream_gives_the_same_answer(data: st.DataObject) -> None:
    """Packets end anywhere; usage is in two places and is counted once."""
    places = sorted(data.draw(st.lists(st.integers(0, len(WHOLE)), max_size=8)))
    tail = anthropic.tail()

    for begin, end in zip([0, *places], [*places, len(WHOLE)], strict=True):
        tail.feed(WHOLE[begin:end])

    assert Answer(USED, "end_turn", None, "claude-opus-5-5") == tail.answer()


def test_only_the_ends_of_a_long_stream_are_kept() -> None:
    """A gateway holds thousands of streams, and the input's usage stands at the very beginning."""
    tail = anthropic.tail()
    tail.feed(START)
    for _ in range(1000):
        tail.feed(event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 1000}))
    tail.feed(DELTA + STOP)

    assert Answer(USED, "end_turn", None, "claude-opus-5-5") == tail.answer()
    assert 196 * 1024 >= sum(map(len, tail._kept._chunks)) + len(tail._kept.first())


def test_the_output_of_a_stream_that_broke_off_is_unknown() -> None:
    """What `message_start` says of it is one token, whatever came after."""
    tail = anthropic.tail()
    tail.feed(START + BLOCKS)

    assert Answer(Usage(10, None, cached_in=3), None, None, "claude-opus-5-5", End.NONE) == tail.answer()


def test_a_stream_is_put_together() -> None:
    """A pair holds what the user would have read, without thinking."""
    assert Answer(USED, "end_turn", "Hello.", "claude-opus-5-5") == anthropic.read_stream(WHOLE)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        START + BLOCKS,
        START + BLOCKS + DELTA,
        BLOCKS + DELTA + STOP,
        START + BLOCKS + event("error", error={"type": "overloaded_error", "message": "Overloaded"}) + DELTA + STOP,
        START + b"data: <html>\n\n" + DELTA + STOP,
    ],
    ids=["nothing", "broken off", "without a stop", "without a start", "an error in the middle", "not JSON"],
)
def test_half_a_stream_is_no_answer(stream: bytes) -> None:
    """Compared with a whole one it would look like a shorter style."""
    assert anthropic.read_stream(stream) is None


DONE = b"data: [DONE]\n\n"
REASONLESS = event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 5})


@pytest.mark.parametrize(
    "end",
    [
        STOP + DONE,
        DONE + STOP,
        DONE,
        b"event: data\ndata:[DONE] \n\n",
        DONE.replace(b"\n", b"\r\n"),
        STOP + b"data: \n\n",
    ],
    ids=["behind the stop, as vLLM has it", "before it", "in its place", "with a type", "CRLF", "nothing at all"],
)
def test_the_word_that_ends_streams_of_openai_breaks_none_of_this_wire(end: bytes) -> None:
    """Compatible servers write it; every answer of theirs would count as a failure, and their breaker would open."""
    tail = anthropic.tail()
    tail.feed(START + BLOCKS + DELTA + end)

    assert Answer(USED, "end_turn", None, "claude-opus-5-5") == tail.answer()
    assert Answer(USED, "end_turn", "Hello.", "claude-opus-5-5") == anthropic.read_stream(START + BLOCKS + DELTA + end)


@pytest.mark.parametrize(
    "stream",
    [
        START + BLOCKS + DONE,
        START + BLOCKS + REASONLESS + DONE,
        START + DONE + DELTA,
        START + STOP + DELTA,
        DELTA + DONE,
    ],
    ids=["no delta", "a delta without a reason", "the word before it", "the stop before it", "no start"],
)
def test_the_word_alone_makes_no_stream_whole(stream: bytes) -> None:
    """A proxy writes it behind whatever came."""
    tail = anthropic.tail()
    tail.feed(stream)

    assert End.NONE is tail.answer().end
    assert anthropic.read_stream(stream) is None


def test_events_that_nobody_knows_yet_do_no_harm() -> None:
    """The API adds types of events, of blocks and of deltas within a version."""
    new = event("of_next_year", index=0) + event("content_block_delta", index=0, delta={"type": "new_delta"})

    assert anthropic.read_stream(WHOLE) == anthropic.read_stream(START + new + BLOCKS + DELTA + STOP)


@pytest.mark.parametrize(
    ("block", "is_error", "is_ping"),
    [
        (START, False, False),
        (PING, False, True),
        (STOP, False, False),
        (event("of_next_year"), False, False),
        (event("error", error={"type": "overloaded_error", "message": "Overloaded"}), True, False),
        (b"event: error\ndata: {}\n\n", True, False),
        (b"data: <html>\n\n", True, False),
        (b"data: [DONE]\n\n", False, True),
        (b"data: \n\n", False, True),
        (b"event: error\ndata: [DONE]\n\n", True, False),
    ],
)
def test_errors_and_pings_are_told_from_an_answer(block: bytes, is_error: bool, is_ping: bool) -> None:
    """An overloaded API answers 200 and sends the error as an event; a ping is no first word."""
    found = sse.parse(block)

    assert found is not None
    assert (is_error, is_ping) == (anthropic.is_error(found), anthropic.is_ping(found))
    assert anthropic.is_usage_only(block) is False


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_errors_have_the_shape_and_the_type_that_clients_raise(status: int, kind: str) -> None:
    """In a stream the type is all that a client sees; what is written can be read again."""
    problem = Problem(status, "No.", "a_code", "model")
    body = anthropic.error_body(problem)
    found = sse.parse(anthropic.error_event(problem))

    assert {
        "type": "error",
        "error": {"type": kind, "message": "No.", "details": {"error_code": "a_code", "param": "model"}},
    } == json.loads(body)
    assert problem == anthropic.read_problem(status, body)
    assert found == sse.Event(body, "error")


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow."}}', "Slow.", "rate_limit_error"),
        (b"<html>", "The provider answered with status 429.", "upstream_error"),
        (b"[7]", "The provider answered with status 429.", "upstream_error"),
    ],
)
def test_an_error_of_the_api_is_read_for_an_app_of_another_wire(body: bytes, message: str, code: str) -> None:
    """What is no error of the API is said by its status."""
    assert Problem(429, message, code) == anthropic.read_problem(429, body)


def test_models_are_listed_as_anthropic_lists_them() -> None:
    """Clients page by the ids at both ends."""
    found = json.loads(anthropic.models_body(["a", "b"]))

    assert (["a", "b"], False, "a", "b") == (
        [model["id"] for model in found["data"]],
        found["has_more"],
        found["first_id"],
        found["last_id"],
    )
    assert found["data"][0] == json.loads(anthropic.model_body("a"))
    assert {"data": [], "has_more": False, "first_id": None, "last_id": None} == json.loads(anthropic.models_body([]))
