"""What all wires have in common, asked of each."""

import pytest

from midshift.wire import sse
from midshift.wire.paths import Asked, Operation, recognised
from midshift.wire.protocol import WireName
from midshift.wire.wires import WIRES


@pytest.mark.parametrize("wire", WireName)
def test_only_anthropic_says_ping_in_an_event(wire: WireName) -> None:
    """The others keep a connection alive with comments; an event of theirs is a part of the answer."""
    ping = sse.Event(b'{"type": "ping"}', "ping")

    assert (wire is WireName.ANTHROPIC) is WIRES[wire].is_ping(ping)
    assert not WIRES[wire].is_ping(sse.Event(b'{"type": "message_start"}', "message_start"))


@pytest.mark.parametrize(
    ("method", "path", "response"),
    [
        ("GET", "/v1/responses/resp_1", "resp_1"),
        ("DELETE", "/openai/v1/responses/resp-1_a", "resp-1_a"),
        ("POST", "/v1/responses/resp_1/cancel", "resp_1"),
        ("GET", "/v1/responses/resp_1/input_items", "resp_1"),
    ],
)
def test_a_response_that_is_kept_is_known_by_its_path(method: str, path: str, response: str) -> None:
    """Clients come back for an answer that was made in the background."""
    found = recognised(method, path, {})

    assert (Operation.STORED_RESPONSE, WireName.OPENAI_RESPONSES, response) == (
        found and found.operation,
        found and found.wire,
        found and found.response,
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/"),
        ("GET", "/v1/responses/a/b"),
        ("GET", "/v1/responses/.."),
        ("GET", "/gemini/v1/responses/resp_1"),
    ],
)
def test_what_is_near_that_path_is_not_that_path(method: str, path: str) -> None:
    """It goes on with our key: no more of it than is known."""
    assert recognised(method, path, {}) is None


def test_a_count_of_tokens_is_no_response() -> None:
    """Its path looks like one."""
    expected = Asked(Operation.COUNT_TOKENS, WireName.OPENAI_RESPONSES, "/v1/responses/input_tokens")

    assert expected == recognised("POST", "/v1/responses/input_tokens", {})


@pytest.mark.parametrize("wire", WireName)
def test_an_opening_with_a_byte_that_is_no_text_fails_nobody(wire: WireName) -> None:
    """A conversation may name the unit of its requests, and its provider may well take such a byte."""
    turn = b'[{"role": "user", "content": "caf\xe9", "parts": [{"text": "caf\xe9"}]}]'
    body = b'{"model": "m", "messages": %b, "input": %b, "contents": %b}' % (turn, turn, turn)

    found = WIRES[wire].read_request(body, "/v1beta/models/m:generateContent").opening
    assert found is None or found.encode()
