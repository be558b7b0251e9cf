"""What of a passing stream is kept to read its end: the first 64 KB, the last 64 KB, and whether an error lay between.

Contract. To take a part costs an addition to a list; all else is done once for each 64 KB. What is kept last begins
where an event begins, so an event that is longer than all of it is kept as a whole, up to 128 MB.
It also tells the two events that hold nothing of an answer: the word `[DONE]`, and an event without data, which by
the WHATWG HTML standard reaches no client. Both are read past the blanks that some servers write around them.
Elsewhere: what the kept parts say (openai_chat, anthropic, gemini), what cuts events (sse).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from midshift.wire import sse

LENGTH = 64 * 1024
LONGEST = 128 * 1024 * 1024
ERROR = b'"error"'
"""Is in every error that comes as an event, and in little else: in a text that quotes it are backslashes."""

DONE = b"[DONE]"

_BETWEEN = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Kept:
    """The ends of one stream. `is_error` tells an error from a part of an answer, as of `Wire`.

    It is asked about the events that hold one of the `marks`.
    """

    __slots__ = ("_chunks", "_first", "_has_let_go_an_error", "_is_error", "_marks", "_room")

    def __init__(self, is_error: Callable[[sse.Event], bool], marks: tuple[bytes, ...] = (ERROR,)) -> None:
        self._is_error = is_error
        self._marks = marks
        self._chunks: list[bytes] = []
        self._room = 2 * LENGTH  # for how much more, until some is let go
        self._first: bytes | None = None
        self._has_let_go_an_error = False

    def feed(self, chunk: bytes) -> None:
        """Take more of the stream."""
        self._chunks.append(chunk)
        self._room -= len(chunk)
        if self._room < 0:
            self._let_go()

    def first(self) -> bytes:
        """The first 64 KB, or all of it."""
        return self.last() if self._first is None else self._first

    def last(self) -> bytes:
        """Whole events, at least the last 64 KB of them, and what has come of one more."""
        if len(self._chunks) != 1:
            self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]

    def has_error(self) -> bool:
        """Whether an error came, wherever in the stream."""
        return self._has_let_go_an_error or self._holds_error(self.last())

    def _let_go(self) -> None:
        held = self.last()
        cut = _boundary(held, len(held) - LENGTH) or (len(held) - LENGTH if len(held) > LONGEST else 0)
        if not cut:  # one event, which is not over
            self._room = len(held)
            return
        if self._first is None:
            self._first = held[:LENGTH]
        self._has_let_go_an_error = self._has_let_go_an_error or self._holds_error(held[:cut])
        self._chunks, self._room = [held[cut:]], LENGTH

    def _holds_error(self, part: bytes) -> bool:
        found = [mark for mark in self._marks if part.rfind(mark) >= 0]  # twice as fast as from the beginning
        return bool(found) and any(self._is_error(event) for event in events(part, *found))


def events(part: bytes, *marks: bytes) -> Iterator[sse.Event]:
    """The events of a part of a stream that hold one of the marks; the last one as far as it has come."""
    for block in blocks(part):
        if any(mark in block for mark in marks) and (event := sse.parse(block)) is not None:
            yield event


def blocks(part: bytes) -> list[bytes]:
    """The blocks of a part of a stream, the last one as far as it has come."""
    cutting = sse.Blocks()
    return [*cutting.feed(part), cutting.rest]


def is_done(event: sse.Event) -> bool:
    """Whether an event is the word that ends a stream of OpenAI's, and of servers that are compatible with others."""
    return event.data.strip() == DONE


def is_blank(event: sse.Event) -> bool:
    """Whether an event says nothing at all."""
    return not event.data.strip()


def _boundary(held: bytes, before: int) -> int:
    """Where the last event begins that begins before there; 0 if there is none."""
    for between in _BETWEEN:
        if (at := held.rfind(between, 0, before)) >= 0:
            return at + len(between)
    return 0
