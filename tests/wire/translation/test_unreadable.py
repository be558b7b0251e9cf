"""A request that cannot be read is not carried, and says where: nothing of it is left out in silence, nothing fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.rendering import Changes
from midshift.wire.protocol import Unreadable, WireName
from midshift.wire.translation.conversation import Uncarried
from midshift.wire.translation.translate import TRANSLATIONS, translated_request
from midshift.wire.wires import WIRES

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName
HI = [{"role": "user", "content": "Hi."}]
CONTENTS = [{"role": "user", "parts": [{"text": "Hi."}]}]
BODIES: dict[WireName, dict[str, Any]] = {
    CHAT: {"model": "m", "messages": HI},
    RESPONSES: {"model": "m", "store": False, "input": HI},
    ANTHROPIC: {"model": "m", "max_tokens": 9, "messages": HI},
    GEMINI: {"contents": CONTENTS},
}
PATHS = {GEMINI: "/v1beta/models/m:generateContent"}
OTHERS = [(spoken, wanted) for spoken in WireName for wanted in WireName if spoken is not wanted]


def translated(spoken: WireName, wanted: WireName, body: bytes, changes: Changes | None = None) -> Any:
    """What goes to the provider, as plain values."""
    asked = Changes({"max_tokens": 9}) if wanted is ANTHROPIC and changes is None else changes or Changes()
    request = translated_request(spoken, wanted, body, PATHS.get(spoken, "/v1/x"), "", asked)
    return json.loads(request.rewritten(asked).body)


@pytest.mark.parametrize("bad", [b'"caf\xe9"', b"1e400"], ids=["no UTF-8", "no number"])
@pytest.mark.parametrize(("spoken", "wanted"), OTHERS)
@pytest.mark.parametrize("field", ["tools", "metadata", "service_tier", "of_next_year"])
def test_one_value_that_cannot_be_read_takes_nothing_else_along(
    spoken: WireName, wanted: WireName, field: str, bad: bytes
) -> None:
    """It was once read as no tools, or no request at all; not even a label can be left out unread."""
    fields = {name: json.dumps(value).encode() for name, value in BODIES[spoken].items()}
    fields[field] = b'[{"name": "f", "parameters": {"default": ' + bad + b"}}]"
    body = b"{" + b", ".join(b'"%b": %b' % (name.encode(), value) for name, value in fields.items()) + b"}"

    with pytest.raises(Uncarried) as found:
        translated(spoken, wanted, body)
    assert field == found.value.param


def test_the_apps_own_wire_passes_what_cannot_be_read() -> None:
    """It is between the app and its provider there."""
    body = b'{"model":"m","max_tokens":9,"messages":[],"tools":[{"name":"caf\xe9","x":1e400}]}'

    assert body == WIRES[ANTHROPIC].read_request(body, "/v1/messages").rewritten(Changes()).body


WRONG_KINDS: list[tuple[WireName, dict[str, object], str]] = [
    (CHAT, {"temperature": "0.5"}, "temperature"),
    (CHAT, {"temperature": 10**400}, "temperature"),
    (CHAT, {"max_tokens": "9"}, "max_tokens"),
    (CHAT, {"max_completion_tokens": 9.5}, "max_completion_tokens"),
    (CHAT, {"top_p": []}, "top_p"),
    (CHAT, {"seed": True}, "seed"),
    (CHAT, {"frequency_penalty": []}, "frequency_penalty"),
    (CHAT, {"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    (CHAT, {"response_format": "json"}, "response_format"),
    (CHAT, {"reasoning_effort": 3}, "reasoning_effort"),
    (CHAT, {"user": {"id": 3}}, "user"),
    (CHAT, {"tools": [{"function": {"name": "f", "parameters": "{}"}}]}, "tools.0.function.parameters"),
    (CHAT, {"tools": [{"function": {"name": "f", "description": 3}}]}, "tools.0.function.description"),
    (RESPONSES, {"instructions": ["a"]}, "instructions"),
    (RESPONSES, {"reasoning": "high"}, "reasoning"),
    (RESPONSES, {"reasoning": {"effort": 3}}, "reasoning.effort"),
    (RESPONSES, {"text": {"format": "json"}}, "text.format"),
    (RESPONSES, {"max_output_tokens": "9"}, "max_output_tokens"),
    (RESPONSES, {"tools": [{"type": "function", "name": "f", "parameters": []}]}, "tools.0.parameters"),
    (ANTHROPIC, {"temperature": 10**400}, "temperature"),
    (ANTHROPIC, {"stop_sequences": ["a", 5]}, "stop_sequences"),
    (ANTHROPIC, {"output_config": {"effort": 3}}, "output_config.effort"),
    (ANTHROPIC, {"output_config": "high"}, "output_config"),
    (ANTHROPIC, {"tools": [{"name": "f", "input_schema": "{}"}]}, "tools.0.input_schema"),
    (GEMINI, {"contents": ["Hi."]}, "contents.0"),
    (GEMINI, {"contents": [{"parts": ["Hi."]}]}, "contents.0.parts.0"),
    (GEMINI, {"contents": [{"parts": "Hi."}]}, "contents.0.parts"),
    (GEMINI, {"tools": {"functionDeclarations": []}}, "tools"),
    (GEMINI, {"tools": [{"functionDeclarations": ["f"]}]}, "tools.0.functionDeclarations.0"),
    (GEMINI, {"generationConfig": []}, "generationConfig"),
    (GEMINI, {"generationConfig": {"stopSequences": "END"}}, "generationConfig.stopSequences"),
    (GEMINI, {"generationConfig": {"stopSequences": 5}}, "generationConfig.stopSequences"),
    (GEMINI, {"generationConfig": {"maxOutputTokens": "many"}}, "generationConfig.maxOutputTokens"),
    (GEMINI, {"generationConfig": {"maxOutputTokens": "9.5"}}, "generationConfig.maxOutputTokens"),
    (GEMINI, {"generationConfig": {"temperature": "true"}}, "generationConfig.temperature"),
    (GEMINI, {"systemInstruction": {"parts": ["x"]}}, "systemInstruction.parts.0"),
    (
        GEMINI,
        {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
        "contents.0.parts.0",
    ),
]


@pytest.mark.parametrize(("spoken", "fields", "param"), WRONG_KINDS, ids=lambda value: value if "." in value else None)
def test_a_value_of_another_kind_is_named(spoken: WireName, fields: dict[str, object], param: str) -> None:
    """A part of it, or a text letter by letter, is not what the app asked for."""
    body = json.dumps(BODIES[spoken] | fields).encode()

    for wanted in set(WireName) - {spoken}:
        with pytest.raises(Uncarried) as found:
            translated(spoken, wanted, body)
        assert param == found.value.param
        assert param in str(found.value)


@pytest.mark.parametrize(
    ("body", "drop"),
    [(b'{"model":"m","messages":[],"seed":1e400}', "seed"), (b'{"model":"m","messages":[],"top_p":"x"}', "top_p")],
)
def test_what_the_variant_drops_need_not_be_read(body: bytes, drop: str) -> None:
    """The answer may do without it."""
    assert "m" == translated(CHAT, RESPONSES, body, Changes(drop=frozenset({drop})))["model"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "name", "role", "parts", "text", "function", "effort"]), inner)
    ),
    max_leaves=6,
)
FIELDS = {
    CHAT: "messages tools tool_choice response_format stop seed top_k reasoning_effort user verbosity temperature",
    RESPONSES: "input instructions tools tool_choice text reasoning include user temperature max_output_tokens",
    ANTHROPIC: "messages system tools tool_choice stop_sequences thinking output_config output_format top_k metadata",
    GEMINI: "contents systemInstruction tools toolConfig generationConfig safetySettings labels",
}


@settings(max_examples=40)
@given(data=st.data(), way=st.sampled_from(OTHERS))
def test_no_request_fails_in_translation(data: st.DataObject, way: tuple[WireName, WireName]) -> None:
    """It is carried, or it cannot be: anything else would be a 500 for a user whom the incumbent could serve."""
    spoken, wanted = way
    fields = data.draw(st.dictionaries(st.sampled_from(FIELDS[spoken].split()), VALUES, max_size=3))
    body = json.dumps(BODIES[spoken] | fields).encode()
    try:
        WIRES[spoken].read_request(body, PATHS.get(spoken, "/v1/x"))
    except Unreadable:
        return  # refused at the door

    try:
        translated(spoken, wanted, body)
    except Uncarried as error:
        assert "cannot be carried" in str(error)


@pytest.mark.parametrize("wanted", [CHAT, RESPONSES, ANTHROPIC])
def test_what_nobody_foresaw_is_not_carried_either(wanted: WireName) -> None:
    """A schema so deep in itself that it cannot be walked: whatever it raises, the incumbent can still be asked."""
    schema = b'{"items":' * 450 + b"{}" + b"}" * 450
    tools = b'[{"functionDeclarations": [{"name": "f", "parameters": %b}]}]' % schema
    body = b'{"contents": [{"parts": [{"text": "Hi."}]}], "tools": %b}' % tools

    with pytest.raises(Uncarried, match="^this request cannot be carried") as found:
        translated(GEMINI, wanted, body)
    assert found.value.param is None


def test_every_reader_refuses_what_it_cannot_read() -> None:
    """They are asked without a gateway too: for prices, for suites."""
    for spoken, body in BODIES.items():
        raw = json.dumps(body).encode()[:-1] + b', "tools": [{"name": "caf\xe9"}]}'
        with pytest.raises(Unreadable, match="'tools' holds what cannot be read"):
            TRANSLATIONS[spoken].read_request(raw, PATHS.get(spoken, "/v1/x"), "")
