"""Server-sent events, however they are cut."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.wire.sse import Blocks, Event, parse

ENDS = ("\n", "\r\n", "\r")
LINES = st.one_of(
    st.sampled_from([": ping", "", "data", "data:", "data: [DONE]", "event: x", "id: 1", "retry: 5", "data:  two"]),
    st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12).map(
        lambda text: f"data: {text}"
    ),
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Lines with any of the three line ends, some of them empty."""
    lines = draw(st.lists(st.tuples(LINES, st.sampled_from(ENDS)), max_size=12))
    return "".join(line + end for line, end in lines).encode()


@st.composite
def cuts(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream, and the same in chunks."""
    stream = draw(st.one_of(streams(), st.binary(max_size=40)))
    places = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    edges = [0, *places, len(stream)]
    return stream, [stream[begin:end] for begin, end in zip(edges, edges[1:], strict=False)]


@given(cuts())
def test_any_chunking_of_the_same_bytes_gives_the_same_events(cut: tuple[bytes, list[bytes]]) -> None:
    """Where a packet ends is luck; what a user reads must not be."""
    stream, chunks = cut
    whole, parts = Blocks(), Blocks()

    expected = whole.feed(stream)
    found = [block for chunk in chunks for block in parts.feed(chunk)]

    assert expected == found
    assert whole.rest == parts.rest


@given(cuts())
def test_no_byte_is_lost_or_invented(cut: tuple[bytes, list[bytes]]) -> None:
    """A relay forwards the blocks instead of what it read: they must be the same."""
    stream, chunks = cut
    blocks = Blocks()

    found = [block for chunk in chunks for block in blocks.feed(chunk)]

    assert stream == b"".join([*found, blocks.rest])


@given(streams())
def test_events_are_those_of_the_standard(stream: bytes) -> None:
    """Against the slow definition: lines one by one, an empty one dispatches (WHATWG HTML, 9.2.6)."""
    assert list(slowly(stream)) == [event for block in Blocks().feed(stream + b"\n\n") if (event := parse(block))]


@pytest.mark.parametrize("end", ENDS)
def test_lines_may_end_in_three_ways(end: str) -> None:
    """Each of them is in the standard, and each of them is used by somebody."""
    stream = f": ping{end}{end}event: delta{end}data: a{end}data: b{end}{end}x".encode()
    blocks = Blocks()

    events = [parse(block) for block in blocks.feed(stream)]

    assert [None, Event(b"a\nb", "delta")] == events
    assert b"x" == blocks.rest


def test_a_lone_carriage_return_waits_for_its_line_feed() -> None:
    """Cut between CR and LF, an empty line would otherwise be seen where there is none."""
    blocks = Blocks()

    assert [] == blocks.feed(b"data: a\r\n\r")
    assert [b"data: a\r\n\r\n"] == blocks.feed(b"\ndata: b")


def test_a_comment_is_no_event() -> None:
    """Providers keep connections alive with comments; they say nothing."""
    assert parse(b": OPENROUTER PROCESSING\n\n") is None
    assert parse(b"event: ping\n\n") is None


def test_data_may_be_empty() -> None:
    """An empty `data` field is an event with nothing in it, which is not the same as none."""
    assert Event(b"") == parse(b"data\n\n")


def test_cutting_goes_on_after_a_flush() -> None:
    """A relay gives up holding a block that grows without end; what follows is cut as before."""
    blocks = Blocks()
    blocks.feed(b"data: very long")

    assert b"data: very long" == blocks.flush()
    assert [b" indeed\n\n", b"data: next\n\n"] == blocks.feed(b" indeed\n\ndata: next\n\n")


def slowly(stream: bytes) -> list[Event]:
    """The standard's algorithm, word by word, on a stream that ends with an empty line."""
    events = []
    data: list[bytes] = []
    kind = b""
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf") + b"\n\n")
    for line in lines:
        if not line:
            if data:
                events.append(Event(b"\n".join(data), kind.decode("utf-8", "replace")))
            data, kind = [], b""
        elif not line.startswith(b":"):
            name, _, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if name == b"data":
                data.append(value)
            elif name == b"event":
                kind = value
    return events
