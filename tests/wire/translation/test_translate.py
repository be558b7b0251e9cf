"""From one wire to another: the whole way of a request, an answer, a stream and an error."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.rendering import Changes
from midshift.wire.protocol import WireName
from midshift.wire.translation import openai_chat, openai_responses
from midshift.wire.translation.conversation import Event, Reply, Stop, Text, Uncarried
from midshift.wire.translation.translate import TRANSLATIONS, Stream, translated_reply, translated_request
from midshift.wire.wires import WIRES
from tests.wire.translation.openai_neutral import event_sequences, replies

CHAT, RESPONSES = WireName.OPENAI_CHAT, WireName.OPENAI_RESPONSES
OPENAI = [(CHAT, RESPONSES), (RESPONSES, CHAT)]
HI = [{"role": "user", "content": "Hi."}]


def a_chat(**fields: object) -> bytes:
    """A request on the one wire."""
    return json.dumps({"model": "m", "messages": HI, **fields}).encode()


def a_response(**fields: object) -> bytes:
    """A request on the other."""
    return json.dumps({"model": "m", "input": HI, **fields}).encode()


def chat_answer(*calls: dict[str, Any]) -> bytes:
    """An answer that only calls."""
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    return json.dumps({"id": "i", "model": "m", "choices": [{"message": message}]}).encode()


def sent(spoken: WireName, wanted: WireName, body: bytes, changes: Changes, **how: bool) -> Any:
    """What goes to the provider, as plain values."""
    request = translated_request(spoken, wanted, body, "/v1/x", "", changes, **how)
    return json.loads(request.rewritten(changes).body)


def test_every_wire_can_be_translated() -> None:
    """A table with a hole would be found by a user."""
    assert set(WireName) == TRANSLATIONS.keys()


def test_the_variant_is_applied_in_the_words_of_the_provider() -> None:
    """A chat app whose candidate answers on Responses: tools with effort work only there for some models."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = a_chat(messages=[{"role": "system", "content": "Old."}, *HI], tools=[tool], max_tokens=9, stream=True)

    found = sent(CHAT, RESPONSES, body, Changes({"text.verbosity": "low"}, system="New.", model="n", effort="high"))

    assert {
        "model": "n",
        "instructions": "New.",
        "input": HI,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}],
        "max_output_tokens": 9,
        "reasoning": {"effort": "high"},
        "store": False,
        "stream": True,
        "text": {"verbosity": "low"},
    } == found


def test_fields_that_both_wires_of_one_vendor_have_go_along() -> None:
    """The neutral form does not know them; a class of service that is dropped is another price."""
    beside = {"service_tier": "flex", "prompt_cache_key": "k", "safety_identifier": "u"}
    there = sent(CHAT, RESPONSES, a_chat(verbosity="low", **beside), Changes())
    back = sent(RESPONSES, CHAT, a_response(store=False, text={"verbosity": "low"}, **beside), Changes())

    assert {**beside, "text": {"verbosity": "low"}}.items() <= there.items()
    assert {**beside, "verbosity": "low"}.items() <= back.items()


def test_what_a_variant_drops_need_not_be_carried() -> None:
    """Whoever names a field to drop has said that the answer may do without it."""
    body = a_chat(stop=["x"])

    with pytest.raises(Uncarried):
        sent(CHAT, RESPONSES, body, Changes())
    assert "stop" not in sent(CHAT, RESPONSES, body, Changes(drop=frozenset({"stop"})))


def test_a_mirror_of_an_answer_that_is_stored_is_carried() -> None:
    """Nobody asks for a mirrored answer by its id; for the app's own somebody may."""
    with pytest.raises(Uncarried):
        sent(RESPONSES, CHAT, a_response(), Changes())
    assert HI == sent(RESPONSES, CHAT, a_response(), Changes(), is_mirror=True)["messages"]


@pytest.mark.parametrize(("spoken", "wanted"), OPENAI)
@settings(max_examples=40)
@given(reply=replies())
def test_an_answer_says_the_same_on_both_wires(spoken: WireName, wanted: WireName, reply: Reply) -> None:
    """Words, calls, usage by kind, why it stopped."""
    body = TRANSLATIONS[spoken].write_reply(reply)

    assert reply == TRANSLATIONS[wanted].read_reply(translated_reply(spoken, wanted, 200, body) or b"")


@pytest.mark.parametrize(("spoken", "wanted"), OPENAI)
@settings(max_examples=40)
@given(events=event_sequences(), cut=st.integers(1, 200))
def test_a_stream_says_the_same_on_both_wires(
    spoken: WireName, wanted: WireName, events: list[Event], cut: int
) -> None:
    """However the provider's packets end."""
    writer = TRANSLATIONS[spoken].writer()
    came = b"".join(map(writer.write, events))
    stream, reader = Stream(spoken, wanted), TRANSLATIONS[wanted].reader()

    out = b"".join(stream.feed(came[at : at + cut]) for at in range(0, len(came), cut)) + stream.end()

    assert events == [*reader.feed(out), *reader.end()]


def test_a_translated_stream_is_whole_for_the_wire_that_reads_it() -> None:
    """The gateway records what the app got."""
    came = b"".join(
        b"data: " + json.dumps(chunk).encode() + b"\n\n"
        for chunk in (
            {"id": "i", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi."}}]},
            {"id": "i", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        )
    )
    stream = Stream(CHAT, RESPONSES)
    out = stream.feed(came) + stream.end()
    answer = WIRES[RESPONSES].read_stream(out)

    assert answer is not None
    assert ("Hi.", "stop", "m") == (answer.text, answer.finish_reason, answer.model)


def test_an_error_keeps_its_message_and_its_code() -> None:
    """The app's client raises it as its own class."""
    came = json.dumps({"error": {"message": "Slow down.", "type": "x", "code": "rate_limit_exceeded"}}).encode()

    found = json.loads(translated_reply(CHAT, RESPONSES, 429, came) or b"")["error"]

    assert ("Slow down.", "rate_limit_exceeded", "rate_limit_error") == (found["message"], found["code"], found["type"])


NO_ANSWERS = {
    "a page of a proxy": b"<html>",
    "a list": b"[]",
    "a call without a function": chat_answer({"id": "a", "type": "function"}),
    "a call whose arguments are a number": chat_answer({"id": "a", "function": {"name": "f", "arguments": 5}}),
    "calls that are none": b'{"choices": [{"message": {"tool_calls": [3]}}]}',
    "a byte that is no UTF-8": b'{"choices": [{"message": {"content": "caf\xe9"}}]}',
    "a number beyond all bounds": b'{"choices": [{"message": {"content": "Hi."}}], "x": 1e999}',
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS)
@pytest.mark.parametrize("wanted", [RESPONSES, WireName.ANTHROPIC, WireName.GEMINI])
def test_what_is_no_answer_is_none(wanted: WireName, body: bytes) -> None:
    """As it is, the client of another wire would read it as an answer that says nothing."""
    assert translated_reply(CHAT, wanted, 200, body) is None


@pytest.mark.parametrize(
    ("call", "part"),
    [
        ({"function": {"name": "f", "arguments": "{}"}}, ("call_i_0", "f", {})),
        ({"id": "", "function": {"name": "f", "arguments": "{}"}}, ("call_i_0", "f", {})),
        ({"id": "a", "function": {"name": "f", "arguments": {"b": 1}}}, ("a", "f", {"b": 1})),
        ({"id": "a", "function": {"name": "f", "arguments": None}}, ("a", "f", {})),
        ({"id": "a", "function": {"name": "f"}}, ("a", "f", {})),
    ],
)
def test_calls_as_some_servers_write_them_are_calls(call: dict[str, Any], part: tuple[str, str, Any]) -> None:
    """No id, an object in place of its JSON: what is meant is not in doubt, and an app would get no call at all."""
    out = translated_reply(CHAT, WireName.ANTHROPIC, 200, chat_answer(call))

    assert out is not None
    (found,) = json.loads(out)["content"]
    assert part == (found["id"], found["name"], found["input"])


def test_both_wires_end_a_cut_answer_alike() -> None:
    """An answer cut short by its limit must not look whole on the other wire."""
    body = openai_chat.write_reply(Reply("i", "m", (Text("a"),), Stop.LENGTH))

    found = openai_responses.read_reply(translated_reply(CHAT, RESPONSES, 200, body) or b"")

    assert found is not None
    assert Stop.LENGTH is found.stop
