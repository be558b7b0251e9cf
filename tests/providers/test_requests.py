"""Recorded requests: which lines are some, and on which wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midshift.providers import requests
from midshift.providers.requests import Reading, wire_of
from midshift.wire.protocol import WireName

USER = {"role": "user", "content": "Hi."}


def read(*rows: object) -> tuple[list[Any], Reading]:
    """The requests of some rows."""
    met = Reading()
    return list(requests.read([json.dumps(row).encode() + b"\n" for row in rows], met)), met


@pytest.mark.parametrize(
    ("path", "wire"),
    [
        ("/v1/messages?beta=true", WireName.ANTHROPIC),
        ("/v1/chat/completions", WireName.OPENAI_CHAT),
        ("/openai/v1/responses", WireName.OPENAI_RESPONSES),
        ("/v1beta/models/gemini-2.5-pro:generateContent", WireName.GEMINI),
    ],
)
def test_a_path_leaves_no_doubt(path: str, wire: WireName) -> None:
    found, _ = read({"id": "a", "path": path, "body": {"messages": [USER], "contents": []}})

    assert [("a", wire)] == [(request.id, request.wire) for request in found]


@pytest.mark.parametrize(
    ("body", "wire"),
    [
        ({"messages": [USER], "system": "Be kind.", "max_tokens": 5}, WireName.ANTHROPIC),
        ({"messages": [USER], "tools": [{"name": "a", "input_schema": {}}]}, WireName.ANTHROPIC),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, WireName.ANTHROPIC),
        ({"messages": [USER], "model": "claude-sonnet-5", "max_tokens": 5}, WireName.ANTHROPIC),
        ({"messages": [{"role": "system"}, USER], "model": "claude-sonnet-5", "max_tokens": 5}, WireName.OPENAI_CHAT),
        ({"messages": [USER], "model": "claude-sonnet-5", "max_tokens": 5, "n": 1}, WireName.OPENAI_CHAT),
        ({"messages": [USER], "model": "gpt-4o"}, WireName.OPENAI_CHAT),
        ({"input": "Hi.", "model": "gpt-5"}, WireName.OPENAI_RESPONSES),
        ({"contents": []}, WireName.GEMINI),
        ({"messages": 5}, WireName.OPENAI_CHAT),
        ({"model": "gpt-4o"}, None),
    ],
)
def test_a_bare_body_is_told_by_the_fields_that_one_wire_has(body: dict[str, Any], wire: WireName | None) -> None:
    assert wire is wire_of(body)


def test_what_a_line_says_of_its_wire_goes_before_what_it_looks_like() -> None:
    found, met = read(
        {"wire": "openai_chat", "body": {"messages": [USER], "system": "x"}}, {"wire": "telex", "body": {"input": ""}}
    )

    assert [WireName.OPENAI_CHAT] == [request.wire for request in found]
    assert {"a body of no known wire": 1} == met.unusable


def test_a_body_may_be_text() -> None:
    """Traces of OpenTelemetry keep it so."""
    found, _ = read({"body": json.dumps({"model": "m", "messages": [USER]})})

    assert {"model": "m", "messages": [USER]} == found[0].body


def test_a_key_that_was_recorded_is_let_go_at_once() -> None:
    headers = {"Authorization": "Bearer secret", "x-api-key": "secret", "Anthropic-Version": "2023-06-01"}

    found, _ = read({"headers": headers, "body": {"messages": [USER]}})

    assert {"anthropic-version": "2023-06-01"} == found[0].headers
    assert WireName.ANTHROPIC is found[0].wire


def test_a_case_of_a_paired_outputs_file_is_a_chat_request() -> None:
    found, _ = read({"id": "c-1", "messages": [USER], "tools": [{"type": "function"}], "outputs": {"a": {}}})

    assert [("c-1", WireName.OPENAI_CHAT, {"messages": [USER], "tools": [{"type": "function"}]})] == [
        (request.id, request.wire, request.body) for request in found
    ]


def test_the_model_is_in_the_body_or_in_the_path() -> None:
    found, _ = read(
        {"path": "/v1beta/models/gemini-x:generateContent", "body": {"contents": []}},
        {"model": "gpt-4o", "messages": []},
        {"messages": []},
    )

    assert ["gemini-x", "gpt-4o", ""] == [request.model for request in found]


def test_a_line_that_is_no_request_is_counted_with_its_place() -> None:
    met = Reading()
    lines = [b"{", b"[]", b"\n", b'{"messages":[]}', b'{"request_id":"a","workload":"w"}', b'{"body":3}', b"\xff"]

    found = list(requests.read(lines, met))

    assert (["line 4"], 1, 7) == ([request.id for request in found], met.requests, met.lines)
    assert [1, 2, 7] == met.places["not a JSON object"]
    assert [6] == met.places["no request body"]
    assert [5] == [places[0] for reason, places in met.places.items() if "gateway's record" in reason]


def test_refusals_come_with_their_request() -> None:
    met = Reading()
    row = {"request": {"model": "m", "messages": []}, "status": 400, "error": '{"error": {}}'}

    found = list(requests.refused([json.dumps(row).encode(), b"{}"], met))

    assert [("m", 400, {"error": {}})] == [(request.model, status, error) for request, status, error in found]
    assert 1 == sum(met.unusable.values())
