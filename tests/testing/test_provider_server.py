"""A fake provider over HTTP/1.1."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.errors import UsageError
from midshift.testing import Fault, Faults, FaultyProvider, Recording, ReplayProvider, traffic
from midshift.testing.provider_server import Calls, HttpRequest, Malformed, RequestParser, serve
from midshift.testing.replay import ChatProvider, ChatRequest, Reply
from midshift.testing.scripted import (
    CutAnswer,
    Effect,
    MalformedJson,
    NoAnswer,
    NoUsage,
    RateLimited,
    ServerError,
    SlowFirstByte,
)
from tests.builders import NEW, OLD, a_row, an_output, lines_of

ASKED = [{"role": "user", "content": "Where is my parcel?"}]
TEXT = "It left our warehouse on Monday – in a \N{PACKAGE}, as you asked."
OUTPUT = an_output(text=TEXT, tokens_in=5, tokens_out=7, tokens_reasoning=2, latency_s=3.0, ttft_s=1.0)
CALL = {"name": "track", "arguments": '{"parcel": "a long number, 0123456789"}'}
ROWS = [
    a_row("said", new=OUTPUT, messages=ASKED),
    a_row("called", new={"text": None, "tool_calls": [CALL, CALL], "latency_s": 1.0}),
    a_row("nothing", new={"text": None}),
]


def a_provider(*effects: Effect) -> FaultyProvider:
    """The recorded rows, under these faults."""
    return FaultyProvider(ReplayProvider(Recording.read(lines_of(ROWS))), Faults([Fault(effect) for effect in effects]))


class Later:
    """A timer that waits for nothing but its turn, and remembers what it was asked to wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float, call: Callable[[], object]) -> asyncio.Handle:
        """Call as soon as the loop comes round."""
        self.waits.append(seconds)
        return asyncio.get_running_loop().call_soon(call)


class Watched:
    """A provider that tells when it is asked."""

    def __init__(self, provider: ChatProvider) -> None:
        self.models = provider.models
        self.is_asked = asyncio.Event()
        self._provider = provider

    def answer(self, request: ChatRequest) -> Reply:
        """The other one's reply."""
        self.is_asked.set()
        return self._provider.answer(request)


def a_post(body: object, *headers: str, path: str = "/v1/chat/completions") -> bytes:
    """A chat request as bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(content)}", *headers, "\r\n"]
    return "\r\n".join(lines).encode() + content


def a_chat(case: str = "said", *, stream: bool = False, usage: bool = False, **fields: Any) -> dict[str, Any]:
    """The body of a chat request about one case."""
    streaming = {"stream": True, "stream_options": {"include_usage": usage}} if stream else {}
    return {"model": NEW, "messages": ASKED, "metadata": {"case_id": case}, **streaming, **fields}


async def exchanged(url: str, sent: Iterable[bytes]) -> bytes:
    """Everything that comes back on one connection, until it is closed."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for data in sent:
        writer.write(data)
        await writer.drain()
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


def talked(provider: FaultyProvider, *sent: bytes, **options: Any) -> bytes:
    """What a server of this provider answers to these bytes."""

    async def talk() -> bytes:
        async with serve(provider, **{"latency_scale": 0.0, **options}) as url:
            return await exchanged(url, sent)

    return asyncio.run(talk())


def replied(body: object, *effects: Effect, **options: Any) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to one chat request."""
    return parsed(talked(a_provider(*effects), a_post(body, "connection: close"), **options))


def parsed(response: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a response that ended with its connection."""
    head, _, body = response.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def events_of(body: bytes) -> list[Any]:
    """The data of server-sent events; [DONE] as it is."""
    texts = [event.removeprefix("data: ") for event in body.decode().split("\n\n") if event]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body, as far as it came."""
    content = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        content += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return content


# What is sent, and what it means, for the parser: bytes beside the request that they are.
HEADER_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
HEADERS = st.dictionaries(st.from_regex(r"x-[a-z]{1,6}", fullmatch=True), HEADER_TEXT, max_size=3)


@st.composite
def http_requests(draw: st.DrawFn) -> tuple[bytes, HttpRequest]:
    """One request in one of the ways to write it down."""
    method, target = draw(st.sampled_from(["GET", "POST"])), draw(st.sampled_from(["/v1/models", "/v1/x?y=%20z", "*"]))
    headers, pieces = draw(HEADERS), draw(st.lists(st.binary(max_size=20), max_size=4))
    body, chunked = b"".join(pieces), draw(st.booleans())
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))
    lines = [
        f"{name}:{draw(st.sampled_from(['', ' ', ' 	']))}{value}" for name, value in [*headers.items(), framing]
    ]
    content = body
    if chunked:
        chunks = [b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
        content = b"".join(chunks) + draw(st.sampled_from([b"0\r\n\r\n", b"00\r\nx-trailer: 1\r\n\r\n"]))
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "\r\n"]).encode()
    expected = HttpRequest(method, target, {**headers, framing[0].lower(): framing[1]}, body, keep_alive=True)
    return draw(st.sampled_from([b"", b"\r\n"])) + head + content, expected


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    """The bytes in pieces; places beyond the end do not count."""
    places = [0, *sorted({place for place in at if 0 < place < len(data)}), len(data)]
    return [data[start:end] for start, end in zip(places, places[1:], strict=False)]


def events(pieces: Iterable[bytes]) -> list[HttpRequest | Malformed]:
    """What a parser makes of pieces."""
    parser = RequestParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(http_requests(), min_size=1, max_size=3), st.lists(st.integers(1, 600), max_size=12))
def test_requests_are_the_same_however_they_are_cut(sent: list[tuple[bytes, HttpRequest]], at: list[int]) -> None:
    """TCP keeps no boundaries: a request may come byte by byte, or three at once."""
    data = b"".join(written for written, _ in sent)
    expected = [request for _, request in sent]

    assert expected == events([data])
    assert expected == events(cut(data, at))
    assert expected == events(cut(data, range(len(data))))


@pytest.mark.slow
@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from(
            [b"GET / HTTP/1.1", b"GET  /", b"POST / HTTP/1.0", b" HTTP/2", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"a: b"]
            + [b"content-length: 3", b"content-length: -1", b"transfer-encoding: chunked", b"transfer-encoding: gzip"]
            + [b"3\r\nabc\r\n", b"0\r\n\r\n", b"ffffffffffff\r\n", b"x", b":", b"connection: close", b"\x00\xff"]
        ),
        max_size=14,
    ),
    st.lists(st.integers(1, 150), max_size=6),
)
def test_nonsense_is_the_same_however_it_is_cut(parts: list[bytes], at: list[int]) -> None:
    """What is refused must not depend on the network, and nothing after it is read."""
    data = b"".join(parts)
    whole = events([data])

    assert whole == events(cut(data, at))
    assert whole == events(cut(data, range(len(data))))
    assert all(isinstance(event, HttpRequest) for event in whole[:-1])


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/2\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: line\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffff\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 70_000, 431),
    ],
)
def test_bytes_that_are_no_request_are_refused(data: bytes, status: int) -> None:
    """Two lengths at once are how requests are smuggled past a gateway: a fake that takes them hides the bug."""
    (refused,) = events([data, b"GET / HTTP/1.1\r\n\r\n"])

    assert isinstance(refused, Malformed)
    assert status == refused.status


def test_a_whole_answer_has_the_documented_shape() -> None:
    """The vendor's own client reads it (openai 3.54 was tried); what it reads is held here."""
    status, headers, body = replied(a_chat())

    assert 200 == status
    assert ("application/json", "3000") == (headers["content-type"], headers["openai-processing-ms"])
    assert headers["x-request-id"].startswith("req_")
    answer = json.loads(body)
    assert answer.pop("id").startswith("chatcmpl-")
    expected_usage = {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 2,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    message: dict[str, Any] = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    assert {
        "object": "chat.completion",
        "created": 1767225600,
        "model": NEW,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": expected_usage,
        "service_tier": "default",
        "system_fingerprint": "fp_midshift",
    } == answer


def test_a_stream_says_the_same_in_pieces() -> None:
    """First the role, then the text, then why it stopped, then [DONE]; data lines only."""
    status, headers, body = replied(a_chat(stream=True))
    *chunks, last = events_of(body)

    assert (200, "text/event-stream; charset=utf-8", "[DONE]") == (status, headers["content-type"], last)
    assert {"role": "assistant", "content": "", "refusal": None} == chunks[0]["choices"][0]["delta"]
    assert TEXT == "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert [None] * (len(chunks) - 1) + ["stop"] == [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert {"chat.completion.chunk"} == {chunk["object"] for chunk in chunks}
    assert 1 == len({chunk["id"] for chunk in chunks})
    assert not any("usage" in chunk for chunk in chunks)


def test_a_stream_counts_tokens_only_where_it_is_asked_to() -> None:
    """One more chunk, without choices; all others carry a null. A gateway that forgets to ask has no costs."""
    *chunks, counted, _ = events_of(replied(a_chat(stream=True, usage=True))[2])

    assert ([], 12) == (counted["choices"], counted["usage"]["total_tokens"])
    assert {None} == {chunk["usage"] for chunk in chunks}


def test_tool_calls_come_whole_or_in_pieces() -> None:
    """Arguments are joined by index: two calls at once are where gateways mix them up."""
    message = json.loads(replied(a_chat("called"))[2])["choices"][0]["message"]
    chunks = events_of(replied(a_chat("called", stream=True))[2])[:-1]
    joined: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        for piece in chunk["choices"][0]["delta"].get("tool_calls", []):
            call = joined.setdefault(piece["index"], {"id": "", "name": "", "arguments": ""})
            call["id"] += piece.get("id", "")
            for name, text in piece["function"].items():
                call[name] += text

    assert None is message["content"]
    assert [CALL, CALL] == [call["function"] for call in message["tool_calls"]]
    assert [{"id": call["id"], **call["function"]} for call in message["tool_calls"]] == list(joined.values())
    assert 2 == len({call["id"] for call in message["tool_calls"]})
    assert "tool_calls" == chunks[-1]["choices"][0]["finish_reason"]


def test_an_answer_that_is_null_stays_null() -> None:
    """Empty content with status 200 is what a provider's lost answer looks like."""
    _, headers, body = replied(a_chat("nothing"))

    assert None is json.loads(body)["choices"][0]["message"]["content"]
    assert "usage, latency" == headers["x-midshift-simulated"]
    assert True is json.loads(body)["usage"]["simulated"]


@pytest.mark.parametrize(
    ("effect", "status", "kind", "headers"),
    [
        (ServerError(503), 503, "server_error", {}),
        (RateLimited(1.25), 429, "requests", {"retry-after": "2", "retry-after-ms": "1250"}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_has_the_documented_shape(
    effect: Effect, status: int, kind: str, headers: dict[str, str], stream: bool
) -> None:
    """Clients choose their exception by the status and wait by the header."""
    found, found_headers, body = replied(a_chat(stream=stream), effect)

    assert status == found
    assert headers.items() <= found_headers.items()
    error = json.loads(body)["error"]
    assert ({"message", "type", "param", "code"}, kind) == (set(error), error["type"])


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (b"{", None, "could not parse"),
        (b"\xff", None, "could not parse"),
        ({"messages": []}, "model", "model"),
        ({"model": NEW}, "messages", "messages"),
        ({"model": NEW, "messages": ["hi"]}, "messages", "messages[0]"),
        ({"model": NEW, "messages": [], "n": 2}, "n", "n is 2"),
    ],
)
def test_a_request_that_is_wrong_is_told_where(body: object, param: str | None, says: str) -> None:
    """A gateway that builds a bad request learns it here, not from a bill."""
    status, _, content = replied(body)
    error = json.loads(content)["error"]

    assert (400, "invalid_request_error", param) == (status, error["type"], error["param"])
    assert says in error["message"]


def test_models_are_listed_and_looked_up() -> None:
    """The radar and the probes ask for these; ids have slashes and colons in them."""
    provider = ReplayProvider(Recording.read(lines_of(ROWS)), {"org/model:1": NEW})

    async def talk() -> list[tuple[int, Any]]:
        async with serve(provider) as url:
            gets = [f"GET /v1/models{path} HTTP/1.0\r\n\r\n" for path in ("", "/org%2Fmodel:1", "/org/model:1", "/x")]
            responses = [parsed(await exchanged(url, [get.encode()])) for get in gets]
            return [(status, json.loads(body)) for status, _, body in responses]

    model = {"id": "org/model:1", "object": "model", "created": 1767225600, "owned_by": "midshift"}
    listed, encoded, plain, missing = asyncio.run(talk())
    assert (200, {"object": "list", "data": [model]}) == listed
    assert (200, model) == encoded == plain
    assert (404, "model_not_found") == (missing[0], missing[1]["error"]["code"])


@pytest.mark.parametrize(
    ("first_line", "status"),
    [
        ("GET /v1/chat/completions HTTP/1.1", 405),
        ("POST /v1/models HTTP/1.1", 405),
        ("GET /v2/anything HTTP/1.1", 404),
    ],
)
def test_what_is_not_served_is_refused(first_line: str, status: int) -> None:
    """A wrong base URL must not look like a broken model."""
    found, _, body = parsed(talked(a_provider(), f"{first_line}\r\nconnection: close\r\n\r\n".encode()))

    assert status == found
    assert "error" in json.loads(body)


def test_another_key_is_refused() -> None:
    """The shadow has a key of its own, and a gateway that mixes them up spends the wrong budget."""
    right = a_post(a_chat(), "authorization: Bearer sk-1", "connection: close")
    wrong = a_post(a_chat(), "authorization: Bearer sk-2", "connection: close")
    calls = Calls()

    assert 200 == parsed(talked(a_provider(), right, api_key="sk-1", calls=calls))[0]
    status, _, body = parsed(talked(a_provider(), wrong, api_key="sk-1", calls=calls))
    assert (401, "invalid_api_key") == (status, json.loads(body)["error"]["code"])
    assert 1 == calls.total


def test_a_whole_answer_waits_for_its_latency() -> None:
    """Scaled: a rehearsal at a tenth keeps its proportions."""
    later = Later()
    replied(a_chat(), latency_scale=0.1, later=later)

    assert [pytest.approx(0.3)] == later.waits


def test_a_stream_spreads_its_latency_behind_the_first_byte() -> None:
    """Time to first token is a metric of its own; a fake that sends all at once cannot show it."""
    later = Later()
    _, _, body = replied(a_chat(stream=True), latency_scale=0.1, later=later)

    assert pytest.approx(0.1) == later.waits[0]
    assert len(events_of(body)) == len(later.waits)
    assert pytest.approx(0.3) == sum(later.waits)


def test_nothing_waits_at_scale_zero() -> None:
    """Tests do not sleep."""
    later = Later()
    replied(a_chat(), SlowFirstByte(60.0), latency_scale=0.0, later=later)
    replied(a_chat(stream=True), SlowFirstByte(60.0), latency_scale=0.0, later=later)

    assert [] == later.waits


def test_a_slow_first_byte_comes_late_and_the_rest_as_ever() -> None:
    """What a first-byte timeout is for."""
    later = Later()
    replied(a_chat(stream=True), SlowFirstByte(60.0), latency_scale=1.0, later=later)

    assert pytest.approx(61.0) == later.waits[0]
    assert pytest.approx(63.0) == sum(later.waits)


def test_a_cut_stream_ends_without_its_end() -> None:
    """The connection closes after so many chunks: no [DONE], no last chunk of the transfer."""
    received = talked(a_provider(CutAnswer(3)), a_post(a_chat(stream=True)))
    status, headers, body = parsed(received)

    assert (200, "chunked") == (status, headers["transfer-encoding"])
    assert 3 == len(events_of(unchunked(body)))
    assert not body.endswith(b"0\r\n\r\n")


def test_a_cut_body_is_shorter_than_it_promised() -> None:
    """Without a stream too, a connection may break in the middle."""
    _, headers, body = parsed(talked(a_provider(CutAnswer()), a_post(a_chat())))

    assert 0 < len(body) < int(headers["content-length"])


@pytest.mark.parametrize("stream", [False, True])
def test_malformed_json_is_sound_http(stream: bool) -> None:
    """Only who reads the content notices."""
    _, headers, body = parsed(talked(a_provider(MalformedJson()), a_post(a_chat(stream=stream), "connection: close")))

    with pytest.raises(json.JSONDecodeError):
        events_of(body) if stream else json.loads(body)
    assert stream or len(body) == int(headers["content-length"])
    assert not stream or body.endswith(b"data: [DONE]\n\n")


def test_usage_can_be_missing() -> None:
    """Unknown costs are unknown, not zero: a cost gate must fail closed."""
    assert "usage" not in json.loads(replied(a_chat(), NoUsage())[2])
    chunks = events_of(replied(a_chat(stream=True, usage=True), NoUsage())[2])[:-1]
    assert {None} == {chunk["usage"] for chunk in chunks}


@pytest.mark.parametrize("effect", [NoAnswer(), SlowFirstByte(60.0)])
def test_a_caller_that_leaves_is_counted_as_gone(effect: Effect) -> None:
    """A gateway has to hang up on its provider when the user leaves: here it shows that it did."""
    provider = Watched(a_provider(effect))

    async def leave() -> Any:
        async with serve(provider) as url:
            host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(a_post(a_chat()))
            await provider.is_asked.wait()
            writer.close()
            await writer.wait_closed()
            counts = await exchanged(url, [b"GET /-/calls HTTP/1.0\r\n\r\n"])
            return json.loads(parsed(counts)[2])

    counts = asyncio.run(leave())
    assert ({NEW: 1}, {}) == (counts["abandoned"], counts["finished"])


def test_requests_of_one_connection_are_answered_in_order() -> None:
    """Keep-alive, and requests sent before the last answer has come."""
    posts = [a_post(a_chat(case)) for case in ("said", "called", "nothing", "unknown")]
    last = a_post(a_chat("said", stream=True), "connection: close")
    received = talked(a_provider(), b"".join(posts), last)

    heads = [part.split(b"\r\n")[0] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert [b"200 OK", b"200 OK", b"200 OK", b"404 Not Found", b"200 OK"] == heads
    assert received.index(TEXT.encode()) < received.index(b"tool_calls") < received.index(b"case_not_found")


def test_a_reader_that_is_late_gets_everything() -> None:
    """More than the sockets hold: the server waits instead of filling its memory."""
    long = an_output(text="x" * 200_000)
    provider = FaultyProvider(ReplayProvider(Recording.read(lines_of([a_row("long", new=long)]))), Faults([]))
    posts = [a_post(a_chat("long"))] * 59
    received = talked(provider, b"".join(posts), a_post(a_chat("long"), "connection: close"))

    assert 60 == received.count(b"HTTP/1.1 200 OK")
    assert 60 * 200_000 == received.count(b"x" * 1000) * 1000


def test_a_client_that_asks_before_it_sends_a_large_body_is_let() -> None:
    """curl does, from a megabyte on, and waits a second for the answer."""
    post = a_post(a_chat(), "expect: 100-continue", "connection: close")
    head, separator, body = post.partition(b"\r\n\r\n")

    async def talk() -> list[bytes]:
        async with serve(a_provider(), latency_scale=0.0) as url:
            host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(head + separator)
            leave = await reader.readuntil(b"\r\n\r\n")
            writer.write(body)
            rest = await reader.read()
            writer.close()
            await writer.wait_closed()
            return [leave, rest[:15]]

    assert [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK"] == asyncio.run(talk())


def test_further_headers_go_on_every_response() -> None:
    """Whether the incumbent can carry everything again is read from the provider's rate-limit headers."""
    _, headers, _ = replied(a_chat(), headers={"x-ratelimit-limit-requests": "10000"})

    assert "10000" == headers["x-ratelimit-limit-requests"]


def test_a_lone_surrogate_is_escaped() -> None:
    """JSON can say what UTF-8 cannot."""
    provider = ReplayProvider(Recording.read(lines_of([a_row("1", new=an_output(text="\ud83d"))])))

    async def talk() -> bytes:
        async with serve(provider, latency_scale=0.0) as url:
            return await exchanged(url, [a_post(a_chat("1"), "connection: close")])

    assert b'"content":"\\ud83d"' in asyncio.run(talk())


def test_a_port_that_is_taken_is_refused() -> None:
    """By its number: a demo is often started twice."""

    async def run() -> None:
        async with serve(a_provider()) as url:
            port = int(url.removesuffix("/v1").rpartition(":")[2])
            with pytest.raises(UsageError, match=f"port {port}: .*expected one that is free"):
                async with serve(a_provider(), port=port):
                    pass

    asyncio.run(run())


@pytest.mark.slow
def test_every_call_of_two_hundred_clients_is_counted_once() -> None:
    """That nothing is paid twice is proved by these counts, so they have to be exact."""
    recording = Recording.read(
        lines_of(a_row(f"c{n}", messages=[{"role": "user", "content": f"{n}"}]) for n in range(40))
    )
    when = traffic.arrivals(traffic.Trace.steady(10.0), 100.0, requests=1000)
    planned = list(traffic.plan(when, recording.cases, NEW, traffic.Units(50), stream_share=0.3))
    calls = Calls()

    async def run() -> traffic.Tally:
        async with serve(ReplayProvider(recording), calls=calls, latency_scale=0.0) as url:
            return await traffic.drive(url, planned, concurrency=200)

    tally = asyncio.run(run())

    assert {NEW: 1000} == calls.by_model == calls.finished
    assert Counter((NEW, request.case_id) for request in planned) == calls.by_case
    assert {200: 1000} == calls.by_status == tally.by_status
    assert [] == tally.unexplained(calls.total)


@pytest.mark.slow
def test_every_recorded_answer_of_real_models_survives_the_wire(data_dir: Path) -> None:
    """330 cases, whole and streamed: what comes out is what went in, byte for byte."""
    recording = Recording.open(data_dir / "zeroeval_gsm.jsonl")
    model = "gpt-4o-mini-2024-07-18"
    expected = {case.id: case.outputs[model].text for case in recording.cases}
    received: dict[bool, dict[str, str]] = {False: {}, True: {}}

    def take(request: traffic.Planned, outcome: traffic.Outcome, body: bytes) -> None:
        if streamed := "stream" in request.body:
            deltas = [chunk["choices"][0]["delta"] for chunk in events_of(body)[:-1] if chunk["choices"]]
            text = "".join(delta.get("content") or "" for delta in deltas)
        else:
            text = json.loads(body)["choices"][0]["message"]["content"]
        received[streamed][outcome.case_id] = text

    async def run() -> None:
        async with serve(ReplayProvider(recording), latency_scale=0.0) as url:
            for stream in (False, True):
                planned = [
                    traffic.Planned(number, traffic.START, "u", case.id, body)
                    for number, case in enumerate(recording.cases)
                    for body in [{"model": model, "messages": case.messages} | ({"stream": True} if stream else {})]
                ]
                await traffic.drive(url, planned, concurrency=8, take=take)

    asyncio.run(run())

    assert {False: expected, True: expected} == received


@pytest.mark.slow
def test_a_process_of_its_own_serves_and_counts(tmp_path: Path) -> None:
    """For gateways and controllers that are processes too; it ends with the pipe of whoever started it."""
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"".join(lines_of(ROWS)))
    fault = '{"effect": {"type": "server_error"}, "models": ["bad"]}'
    command = [sys.executable, "-m", "midshift.testing.provider_server", "replay", str(file), "--until-eof"]
    options = ["--latency-scale", "0", "--variant", f"m={NEW}", "--variant", f"bad={OLD}", "--fault", fault]
    process = subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None

    url = json.loads(process.stdout.readline())["url"]
    body = json.dumps(a_chat(model="m")).encode()
    with urlopen(Request(f"{url}/chat/completions", body), timeout=10) as response:
        answer = json.load(response)
    with urlopen(f"{url.removesuffix('/v1')}/-/calls", timeout=10) as response:
        counts = json.load(response)
    last, _ = process.communicate(timeout=10)

    assert TEXT == answer["choices"][0]["message"]["content"]
    expected = {
        "total": 1,
        "by_model": {"m": 1},
        "by_case": {"m": {"said": 1}},
        "by_status": {"200": 1},
        "finished": {"m": 1},
        "abandoned": {},
    }
    assert expected == counts == json.loads(last)
    assert 0 == process.returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "trouble"),
    [
        (["replay", "missing.jsonl"], "missing.jsonl: No such file"),
        (["scripted", "--voice", "m=nobody"], "nobody sounds like 'nobody'"),
        (["scripted", "--fault", '{"effect": {"type": "explode"}}'], "--fault"),
        (["scripted", "--start", "2026-03-02"], "needs a zone"),
    ],
)
def test_a_process_that_cannot_start_says_why(arguments: list[str], trouble: str) -> None:
    """Exit code 2 and one sentence, not a traceback."""
    command = [sys.executable, "-m", "midshift.testing.provider_server", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert (2, "") == (run.returncode, run.stdout)
    assert trouble in run.stderr
    assert 1 == len(run.stderr.splitlines())
