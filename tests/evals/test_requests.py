"""A case as each provider is asked it: on its own wire, with the variant applied, under a key of what is asked."""

import json
from dataclasses import replace
from typing import Any

import pytest

from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import InputError
from midshift.evals.requests import Line
from midshift.evals.suite_file import EvalCase
from midshift.providers.http.settings import Upstream
from midshift.wire.protocol import WireName

CHAT = Upstream("https://api.example/v1")
ANTHROPIC = Upstream(
    "https://api.example", wires={"anthropic": ""}, headers={"anthropic": ((b"anthropic-version", b"2023-06-01"),)}
)
CASE = EvalCase(
    1,
    "t-1",
    ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is my parcel?"}),
    ("a",),
    params={"temperature": 0.5},
)


def sent(variant: Variant, upstream: Upstream = CHAT, case: EvalCase = CASE) -> tuple[str, dict[str, Any]]:
    """Target and body of a case's request."""
    line = Line.of(variant, upstream, "app-model")
    order = line.order(line.key(case), case)
    assert order is not None
    return order.request.target, json.loads(order.request.body)


def test_a_case_is_what_the_app_sends_with_the_variant_applied() -> None:
    """Model, prompt, effort and parameters are the variant's; the rest is the app's."""
    variant = Variant("acme", "new", Prompt(PromptMode.REPLACE, "Be kind."), "low", {"drop": ("temperature",)})

    target, body = sent(variant)

    assert "/chat/completions" == target
    assert ("new", "low", False) == (body["model"], body["reasoning_effort"], "temperature" in body)
    assert ["Be kind.", "Where is my parcel?"] == [message["content"] for message in body["messages"]]


def test_a_provider_of_another_wire_is_asked_on_its_own() -> None:
    """The suite stays what it is; the request is translated as the gateway translates it."""
    variant = Variant("claude", "claude-x", parameters={"max_tokens": 64})
    line = Line.of(variant, ANTHROPIC, "app-model")
    order = line.order(line.key(CASE), CASE)

    assert order is not None
    body = json.loads(order.request.body)
    assert (WireName.ANTHROPIC, "/v1/messages", 64) == (order.wire, order.request.target, order.tokens_out)
    assert ("claude-x", "Be brief.") == (body["model"], body["system"])
    assert (b"anthropic-version", b"2023-06-01") in order.request.headers


@pytest.mark.parametrize(
    ("parameters", "most", "expected"),
    [
        ({}, None, None),
        ({}, 4096, 4096),
        ({"max_tokens": 100}, 4096, 100),
        ({"max_completion_tokens": 9000}, 4096, 4096),
        ({"max_tokens": 100, "n": 50}, 4096, 5000),
        ({"n": 3}, 4096, 12288),
        ({"n": -3}, 4096, 4096),
        ({"max_tokens": -1}, 4096, 4096),
        ({"max_tokens": 0}, None, None),
        ({"max_completion_tokens": 10, "max_tokens": 100}, None, 100),
    ],
)
def test_the_answer_is_bounded_by_the_request_or_else_by_the_model(
    parameters: dict[str, Any], most: int | None, expected: int | None
) -> None:
    """A cap is kept by what a call could cost; nothing known is no bound."""
    line = Line.of(Variant("acme", "new", parameters=parameters), CHAT, "app-model", most)
    order = line.order(line.key(CASE), CASE)

    assert order is not None
    assert expected == order.tokens_out


def test_a_prompt_that_does_not_fit_is_no_request() -> None:
    """In production the incumbent would serve."""
    prompt = Prompt(PromptMode.EDIT, '[{"replace": "Be long.", "with": "x"}]')
    line = Line.of(Variant("acme", "new", prompt), CHAT, "app-model")

    assert None is line.order(line.key(CASE), CASE)


def test_the_key_is_what_is_asked_and_not_how_it_is_graded() -> None:
    """A new reference, slice or grader must not buy the answers again; another word, tool or parameter must."""
    line = Line.of(Variant("acme", "new"), CHAT, "app-model")
    graded = EvalCase(7, "t-1", CASE.messages, ("b",), reference="x", params=CASE.params)
    others = [
        EvalCase(1, "t-1", CASE.messages, ("a",)),
        EvalCase(1, "t-2", CASE.messages, ("a",), params=CASE.params),
        EvalCase(1, "t-1", CASE.messages, ("a",), params=CASE.params, tools=({"type": "function"},)),
        EvalCase(1, "t-1", CASE.messages[1:], ("a",), params=CASE.params),
    ]

    assert line.key(CASE) == line.key(graded)
    assert 5 == len({line.key(CASE), *map(line.key, others)})


def test_a_simulator_in_a_providers_place_has_answers_of_its_own() -> None:
    """What it said must never be taken for what the vendor said."""
    variant = Variant("acme", "new")
    there, here = (Line.of(variant, CHAT, "m", place=place) for place in ("", "http://127.0.0.1:9000/v1"))

    assert there.key(CASE) != here.key(CASE)


def test_only_a_server_that_is_told_so_learns_the_names_of_cases() -> None:
    """They are nobody's business but those of the fakes that look an answer up by them."""
    lines = [Line.of(Variant("acme", "new"), CHAT, "m", is_labelled=said) for said in (False, True)]
    orders = [line.order(line.key(CASE), CASE) for line in lines]

    named = [{name for name, _ in order.request.headers} for order in orders if order is not None]
    assert [False, True] == [b"x-case-id" in names for names in named]


def test_a_field_that_a_wire_has_no_words_for_names_the_case() -> None:
    """With the command that finds all of them before anything is paid."""
    case = EvalCase(1, "t-9", CASE.messages, (), params={"logit_bias": {"1": 5}})

    with pytest.raises(InputError, match=r"case 't-9' cannot be put to 'claude-x' at 'claude'.*midshift preflight"):
        sent(Variant("claude", "claude-x", parameters={"max_tokens": 64}), ANTHROPIC, case)


@pytest.mark.parametrize("upstream", [CHAT, ANTHROPIC], ids=["chat", "anthropic"])
def test_a_stream_is_asked_for_with_usage_and_is_the_same_call(upstream: Upstream) -> None:
    """What was bought whole is not bought again as a stream; and what it used must be known exactly."""
    variant = Variant("acme", "new", parameters={"max_tokens": 64})
    whole = Line.of(variant, upstream, "app-model")
    streamed = replace(whole, is_streamed=True)
    order = streamed.order(streamed.key(CASE), CASE)

    assert order is not None
    body = json.loads(order.request.body)
    assert whole.key(CASE) == streamed.key(CASE)
    assert body["stream"] is True
    assert ({"include_usage": True} if upstream is CHAT else None) == body.get("stream_options")
    assert order.streamed is not None
    assert upstream.timeouts.total_s == order.streamed.idle_s == order.streamed.first_byte_s


def test_a_server_that_knows_no_stream_options_is_sent_none() -> None:
    line = replace(Line.of(Variant("acme", "new"), replace(CHAT, asks_usage=False), "m"), is_streamed=True)
    order = line.order(line.key(CASE), CASE)

    assert order is not None
    assert "stream_options" not in json.loads(order.request.body)


def test_a_case_that_was_recorded_as_a_stream_is_asked_whole() -> None:
    """Its answer would come as events, be paid, and be readable to nobody."""
    case = replace(CASE, params={"stream": True, "stream_options": {"include_usage": True}, "temperature": 0.5})

    _, body = sent(Variant("acme", "new"), case=case)

    assert {"stream", "stream_options"}.isdisjoint(body)
    assert 0.5 == body["temperature"]


def test_a_request_is_equally_long_on_every_wire() -> None:
    """The length tells tokenizers apart, so it must not hold the JSON of a vendor."""
    tool = {
        "type": "function",
        "function": {"name": "find", "description": "Finds it.", "parameters": {"type": "object"}},
    }
    case = replace(CASE, tools=(tool,))
    variant = Variant("acme", "new", parameters={"max_tokens": 64})
    orders = [line.order(line.key(case), case) for line in (Line.of(variant, way, "m") for way in (CHAT, ANTHROPIC))]

    texts = "Be brief.", "Where is my parcel?", "find", "Finds it.", '{"type":"object"}'
    assert [sum(map(len, texts))] * 2 == [None if order is None else order.characters_in for order in orders]


def test_a_request_with_an_image_has_no_length() -> None:
    """Its tokens are not those of a text."""
    image = {"type": "image_url", "image_url": {"url": "https://host/a.png"}}
    case = replace(CASE, messages=({"role": "user", "content": [{"type": "text", "text": "What?"}, image]},))
    line = Line.of(Variant("acme", "new"), CHAT, "m")
    order = line.order(line.key(case), case)

    assert order is not None
    assert order.characters_in is None
