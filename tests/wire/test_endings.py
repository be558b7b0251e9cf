"""How a stream ended, as whoever forwards it and whoever reads all of it must both see it, on every wire."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from midshift.wire.protocol import Answer, End, WireName
from midshift.wire.wires import WIRES

CHAT, RESPONSES, ANTHROPIC, GEMINI = (
    WireName.OPENAI_CHAT,
    WireName.OPENAI_RESPONSES,
    WireName.ANTHROPIC,
    WireName.GEMINI,
)


def plain(**fields: object) -> bytes:
    """An event without a type."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def named(kind: str, **fields: object) -> bytes:
    """An event whose type stands in both places."""
    return b"event: " + kind.encode() + b"\n" + plain(type=kind, **fields)


def choice(text: str, finish: str | None = None) -> bytes:
    """A chunk of a chat completion."""
    return plain(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}], model="m")


def part(text: str, **fields: object) -> bytes:
    """A chunk of Gemini's, with the line ends that Google writes."""
    found = plain(candidates=[{"content": {"parts": [{"text": text}]}, **fields}], modelVersion="m")
    return found.replace(b"\n\n", b"\r\n\r\n")


def said(text: str) -> bytes:
    """A delta of Anthropic's."""
    return named("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


RESPONSE: dict[str, object] = {"status": "completed", "model": "m", "error": None, "output": []}
QUOTES = 'He wrote "error", and: {"error": {}}\n\nevent: error, response.failed, [DONE].'
STREAMS: dict[WireName, list[bytes]] = {
    CHAT: [
        *(choice("Hel"), b": ping\n\n", choice(QUOTES), choice("error"), choice("", "stop")),
        *(plain(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 2}, model="m"), b"data: [DONE]\n\n"),
    ],
    RESPONSES: [
        named("response.created", response={**RESPONSE, "status": "in_progress"}),
        *(named("response.output_text.delta", delta=text) for text in ("Hel", QUOTES, "error")),
        named("response.output_item.done", item={"status": "completed", "error": None}),
        named("response.completed", response={**RESPONSE, "usage": {"input_tokens": 7}}),
    ],
    ANTHROPIC: [
        named("message_start", message={"type": "message", "model": "m", "usage": {"input_tokens": 7}}),
        *(named("ping"), said("Hel"), said(QUOTES), said("error"), named("content_block_stop", index=0)),
        named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
        named("message_stop"),
    ],
    GEMINI: [
        *(part("Hel"), part(QUOTES), part("error")),
        part("", finishReason="STOP", index=0),
    ],
}
FILLERS = {CHAT: choice, RESPONSES: lambda text: named("response.output_text.delta", delta=text), ANTHROPIC: said}
ERRORS: dict[WireName, list[bytes]] = {
    CHAT: [plain(error={"message": "overloaded"}), plain(error="no", choices=[], model="m")],
    RESPONSES: [
        named("response.failed", response={**RESPONSE, "status": "failed", "error": {"code": "server_error"}}),
        named("error", message="no"),
        b'event: error\ndata: {"message": "no"}\n\n',
        plain(error={"message": "no"}),
    ],
    ANTHROPIC: [
        named("error", error={"type": "overloaded_error"}),
        b'event: error\ndata: {"message": "no"}\n\n',
        plain(error={"message": "no"}),
    ],
    GEMINI: [plain(error={"code": 503}).replace(b"\n\n", b"\r\n\r\n")],
}

DONE = b"data: [DONE]\n\n"
SILENT = [DONE, b"data: [DONE] \n\n", b"data:[DONE]\r\n\r\n", b"data:\n\n", b"event: done\ndata: \n\n", b": ping\n\n"]
NOISE: dict[WireName, list[bytes]] = {
    CHAT: [
        *SILENT,
        plain(error="", choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], model="m"),
        plain(error="", choices=[], model="m"),
        plain(error={}, choices=[], model="m"),
    ],
    RESPONSES: [DONE, b": ping\n\n"],
    ANTHROPIC: [*SILENT, b"event: data\ndata: [DONE]\n\n"],
    GEMINI: [DONE, b": ping\n\n"],
}


def fed(wire: WireName, stream: bytes, places: list[int]) -> Answer:
    """What the collector of a stream says that was cut in these places."""
    tail = WIRES[wire].tail()
    edges = [0, *sorted(place for place in places if place < len(stream)), len(stream)]
    for begin, end in zip(edges, edges[1:], strict=False):
        tail.feed(stream[begin:end])
    return tail.answer()


@pytest.mark.parametrize("wire", WireName)
@given(st.data())
@settings(max_examples=150)
def test_a_stream_that_is_forwarded_ends_as_it_does_for_whoever_reads_all_of_it(
    wire: WireName, data: st.DataObject
) -> None:
    """Shadow is read as a whole and live as it passes: where they disagree, a gate reads failures as success."""
    parts = list(STREAMS[wire])
    if data.draw(st.booleans(), "fails"):
        parts.insert(data.draw(st.integers(0, len(parts))), data.draw(st.sampled_from(ERRORS[wire])))
    for _ in range(data.draw(st.integers(0, 2), "lost")):
        parts.pop(data.draw(st.integers(0, len(parts) - 1)))
    for noise in data.draw(st.lists(st.sampled_from(NOISE[wire]), max_size=3), "noise"):
        parts.insert(data.draw(st.integers(1, len(parts))), noise)
    if data.draw(st.booleans(), "is long"):
        parts.insert(1, FILLERS.get(wire, part)("word " * 400) * data.draw(st.sampled_from((30, 100))))
    stream = b"".join(parts)
    stream = stream[: data.draw(st.one_of(st.just(len(stream)), st.integers(0, len(stream))), "cut")]

    tail = fed(wire, stream, data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    read = WIRES[wire].read_stream(stream)

    assert (read is not None) == (tail.end is End.WHOLE)
    if read is not None:
        assert (read.usage, read.finish_reason, read.model) == (tail.usage, tail.finish_reason, tail.model)


@pytest.mark.parametrize("wire", WireName)
@pytest.mark.parametrize("kilobytes", [0, 70, 200, 400])
@pytest.mark.parametrize("step", [1000, 1 << 20])
def test_an_error_is_seen_wherever_in_a_stream_it_came(wire: WireName, kilobytes: int, step: int) -> None:
    """Also by whoever keeps the ends alone: servers close a broken stream in the words of a whole one."""
    first, *rest = STREAMS[wire]
    filler = FILLERS.get(wire, part)("x" * 1000) * kilobytes

    for error in ERRORS[wire]:
        stream = b"".join([first, filler, error, filler, *rest])
        assert End.ERROR is fed(wire, stream, list(range(0, len(stream), step))).end


@pytest.mark.parametrize("wire", WireName)
def test_an_end_that_never_came_is_told_from_an_error(wire: WireName) -> None:
    """An app that leaves such a stream has left; one that leaves after an error was driven away."""
    assert End.NONE is fed(wire, b"".join(STREAMS[wire][:2]), []).end
    assert End.NONE is fed(wire, b"", []).end


@pytest.mark.parametrize("wire", WireName)
@pytest.mark.parametrize("more", [b'data: {"half', b"data: <html>\n\n", b": ping\n\n", b"dat", *SILENT])
def test_what_stands_behind_the_end_is_read_alike(wire: WireName, more: bytes) -> None:
    """The beginning of an event that never came whole is where a stream is cut most often."""
    for stream in (b"".join(STREAMS[wire]) + more, b"".join(STREAMS[wire][:-1]) + more):
        assert (WIRES[wire].read_stream(stream) is not None) is (fed(wire, stream, []).end is End.WHOLE)


def test_a_server_that_never_says_done_is_believed_when_it_says_why_it_finished() -> None:
    """Many servers that are compatible with OpenAI close without it."""
    assert End.WHOLE is fed(CHAT, choice("Hel") + choice("", "stop"), []).end
    assert End.WHOLE is fed(CHAT, choice("Hel") + b"data: [DONE]\n\n", []).end
    assert End.NONE is fed(CHAT, choice("Hel", "") + choice("lo.", ""), []).end


@pytest.mark.parametrize(
    ("wire", "giant"),
    [(CHAT, choice("x" * 300_000, "stop")), (GEMINI, part("x" * 300_000, finishReason="STOP"))],
)
def test_an_event_that_is_longer_than_what_is_kept_is_kept_as_a_whole(wire: WireName, giant: bytes) -> None:
    """A picture comes in one event, and so may the finish reason: half of it would be a broken stream."""
    stream = STREAMS[wire][0] + giant

    assert End.WHOLE is fed(wire, stream, list(range(0, len(stream), 4096))).end


@given(st.binary(max_size=400))
@example(b"data: [DONE]")
def test_no_bytes_end_a_stream_in_an_exception(stream: bytes) -> None:
    """They pass on the path of a request."""
    for wire in WireName:
        assert fed(wire, stream, [len(stream) // 2]).end in End
