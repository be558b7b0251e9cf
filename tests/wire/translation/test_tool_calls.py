"""The tool calls of an answer in one form, whatever wire it came on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.wire.protocol import Answer, WireName
from midshift.wire.translation.tool_calls import tool_calls
from midshift.wire.wires import WIRES

CHAT = {
    "choices": [
        {
            "message": {
                "role": "assistant",
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "pay", "arguments": '{"n":1}'}},
                    {"id": "2", "type": "function", "function": {"name": "look", "arguments": "not json"}},
                ],
            },
            "finish_reason": "tool_calls",
        }
    ]
}
ANTHROPIC = {
    "type": "message",
    "id": "msg_1",
    "model": "m",
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "1", "name": "pay", "input": {"n": 1}}],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
RESPONSES = {
    "id": "resp_1",
    "object": "response",
    "model": "m",
    "status": "completed",
    "output": [{"type": "function_call", "id": "fc_1", "call_id": "1", "name": "pay", "arguments": '{"n":1}'}],
}
GEMINI = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"functionCall": {"name": "pay", "args": {"n": 1}}}]},
            "finishReason": "STOP",
        }
    ]
}
BODIES = [
    (WireName.OPENAI_CHAT, CHAT),
    (WireName.ANTHROPIC, ANTHROPIC),
    (WireName.OPENAI_RESPONSES, RESPONSES),
    (WireName.GEMINI, GEMINI),
]


def calls(wire: WireName, body: str) -> list[tuple[str, str]]:
    """Name and arguments of each."""
    return [
        (call["name"], call["arguments"])
        for call in json.loads(tool_calls(Answer(), wire, body.encode(), False) or "[]")
    ]


@pytest.mark.parametrize(("wire", "body"), BODIES)
def test_calls_are_the_same_on_every_wire(wire: WireName, body: dict[str, Any]) -> None:
    """What is compared is what was called, and not how a vendor writes it down."""
    name, arguments = calls(wire, json.dumps(body))[0]

    assert ("pay", {"n": 1}) == (name, json.loads(arguments))


@pytest.mark.parametrize(("wire", "body"), BODIES)
def test_a_call_is_found_however_json_spells_the_words_for_it(wire: WireName, body: dict[str, Any]) -> None:
    """Most answers call nothing and are not read for it: that look must not miss a call."""
    plain = json.dumps(body)
    escaped = plain.replace("tool", "t\\u006fol").replace("function", "\\u0066unction")

    assert escaped != plain
    assert calls(wire, plain) == calls(wire, escaped) != []


def test_arguments_are_the_text_that_the_model_wrote() -> None:
    """Also where they are no JSON: that is a finding."""
    assert [("pay", '{"n":1}'), ("look", "not json")] == calls(WireName.OPENAI_CHAT, json.dumps(CHAT))


def test_an_answer_that_calls_nothing_has_no_list() -> None:
    """None and not an empty one, so that it takes no room in the record."""
    body = {"choices": [{"message": {"content": "A tool? A function? \u00e9"}, "finish_reason": "stop"}]}

    assert tool_calls(Answer(), WireName.OPENAI_CHAT, json.dumps(body).encode(), False) is None


CALL = {"type": "function_call", "id": "fc_1", "call_id": "1", "name": "pay", "arguments": ""}
USE = {"type": "tool_use", "id": "1", "name": "pay", "input": {}}


@pytest.mark.parametrize(
    ("wire", "event", "index"),
    [
        (WireName.OPENAI_RESPONSES, {"type": "response.output_item.added", "item": CALL}, "output_index"),
        (WireName.ANTHROPIC, {"type": "content_block_start", "content_block": USE}, "index"),
    ],
)
def test_a_stream_that_cannot_be_read_has_no_list(wire: WireName, event: dict[str, Any], index: str) -> None:
    """A vendor that sends a list where a number belongs must not cost the record of the whole answer."""

    def found_at(place: object) -> str | None:
        data = json.dumps({**event, index: place})
        return tool_calls(Answer(), wire, f"event: {event['type']}\ndata: {data}\n\n".encode(), True)

    assert '[{"name":"pay","arguments":""}]' == found_at(0)
    assert found_at([]) is None


CHAT_CALL = {"id": "1", "type": "function", "index": 0, "function": {"name": "pay", "arguments": "{}"}}
ODD: st.SearchStrategy[Any] = st.sampled_from([None, [], {}, "tool_use", 0, [None], [[]]])
CHAT_MESSAGES = st.fixed_dictionaries(
    {}, optional={"content": st.sampled_from([None, "Hi.", []]), "tool_calls": ODD | st.lists(st.just(CHAT_CALL))}
)
PARTS = {
    WireName.OPENAI_RESPONSES: [CALL, {"type": "message", "content": []}, {"type": "reasoning"}, {}],
    WireName.ANTHROPIC: [USE, {"type": "text", "text": "Hi."}, {"type": "thinking"}, {"type": ["tool_use"]}, {}],
    WireName.GEMINI: [{"functionCall": {"name": "pay"}}, {"functionCall": None}, {"text": "Hi."}, {}],
}


def chat_bodies(message: str) -> st.SearchStrategy[dict[str, Any]]:
    """Answers, or chunks, with their words under this name."""
    choice = st.fixed_dictionaries(
        {message: CHAT_MESSAGES}, optional={"index": st.sampled_from([0, 1]), "finish_reason": st.just("stop")}
    )
    return st.fixed_dictionaries({"choices": st.lists(choice, max_size=2)}, optional={"usage": ODD})


def other_bodies(wire: WireName) -> st.SearchStrategy[dict[str, Any]]:
    """Answers on one of the other wires."""
    listed = st.lists(st.sampled_from(PARTS[wire]), max_size=3)
    match wire:
        case WireName.ANTHROPIC:
            return listed.map(lambda parts: {**ANTHROPIC, "content": parts})
        case WireName.GEMINI:
            return listed.map(lambda parts: {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]})
        case _:
            return listed.map(lambda parts: {**RESPONSES, "output": parts})


BODIES_OF = {wire: other_bodies(wire) for wire in PARTS} | {WireName.OPENAI_CHAT: chat_bodies("message")}


@pytest.mark.parametrize("wire", WireName)
@given(data=st.data())
def test_an_answer_that_was_seen_to_call_nothing_calls_nothing(wire: WireName, data: st.DataObject) -> None:
    """Whoever reads an answer for its text may say that nobody has to look for calls: it must be right."""
    body = json.dumps(data.draw(BODIES_OF[wire])).encode()
    answer = WIRES[wire].read_answer(body)

    assert answer is None or answer.may_call or tool_calls(Answer(), wire, body, False) is None


@given(chunks=st.lists(chat_bodies("delta"), max_size=3), is_done=st.booleans())
def test_a_stream_that_was_seen_to_call_nothing_calls_nothing(chunks: list[dict[str, Any]], is_done: bool) -> None:
    """The same of a stream, each of whose chunks may hold a piece of a call."""
    ends = [*map(json.dumps, chunks), *(["[DONE]"] if is_done else [])]
    body = "".join(f"data: {end}\n\n" for end in ends).encode()
    answer = WIRES[WireName.OPENAI_CHAT].read_stream(body)

    assert answer is None or answer.may_call or tool_calls(Answer(), WireName.OPENAI_CHAT, body, True) is None


@pytest.mark.parametrize(("wire", "body"), BODIES)
def test_an_answer_that_calls_a_tool_may_call(wire: WireName, body: dict[str, Any]) -> None:
    """And one of words alone is seen not to, on all wires but the one whose items are of many kinds."""
    words = {
        WireName.OPENAI_CHAT: {"choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}]},
        WireName.ANTHROPIC: {**ANTHROPIC, "content": [{"type": "text", "text": "Hi."}]},
        WireName.OPENAI_RESPONSES: {**RESPONSES, "output": []},
        WireName.GEMINI: {"candidates": [{"content": {"parts": [{"text": "Hi."}]}, "finishReason": "STOP"}]},
    }[wire]
    calling, speaking = (WIRES[wire].read_answer(json.dumps(one).encode()) for one in (body, words))

    assert calling is not None and calling.may_call
    assert speaking is not None and speaking.may_call is (wire is WireName.OPENAI_RESPONSES)


def test_the_end_of_a_long_stream_does_not_speak_for_what_came_before_it() -> None:
    """Of a stream that passes, the ends alone are kept: a tool may have been called between them."""
    spoken = {"candidates": [{"content": {"parts": [{"text": "word " * 400}]}, "finishReason": "STOP"}]}
    stream = b"".join(f"data: {json.dumps(one)}\n\n".encode() for one in (GEMINI, *[spoken] * 100))
    tail = WIRES[WireName.GEMINI].tail()
    tail.feed(stream)

    found = tool_calls(tail.answer(), WireName.GEMINI, stream, True)

    assert found is not None
    assert found == tool_calls(Answer(), WireName.GEMINI, stream, True)
