"""The tool calls of an answer in one form, whatever wire it came on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midshift.wire.protocol import WireName
from midshift.wire.translation.tool_calls import tool_calls

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
    return [(call["name"], call["arguments"]) for call in json.loads(tool_calls(wire, body.encode(), False) or "[]")]


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

    assert tool_calls(WireName.OPENAI_CHAT, json.dumps(body).encode(), False) is None


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
        return tool_calls(wire, f"event: {event['type']}\ndata: {data}\n\n".encode(), True)

    assert '[{"name":"pay","arguments":""}]' == found_at(0)
    assert found_at([]) is None
