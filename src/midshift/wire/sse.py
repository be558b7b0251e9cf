"""Server-sent events: a stream of bytes, cut where its events end.

`Blocks` cuts and keeps every byte, so that a relay can forward what it has read; `parse` says what a block means.
The format is the WHATWG HTML standard's, section 9.2 (lines end in LF, CRLF or CR; an empty line ends an event).
"""

from __future__ import annotations

import re

from midshift.domain.light import Light

# A lone CR at the end of what has come may be the first half of a CRLF, so it ends nothing yet.
_END_OF_BLOCK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?=[^\n]))")
_END_OF_LINE = re.compile(rb"\r\n|\n|\r")
_LONGEST_END = 4
_LF_LF = b"\n\n"


class Event(Light):
    """One event: its data (several lines are joined by LF), and the type that the server gave it, if any."""

    data: bytes
    type: str = ""


class Blocks:
    """Cuts a stream into blocks, each an event, or comments, with the empty line that ends it.

    The blocks, followed by `rest`, are exactly what was fed.
    """

    __slots__ = ("_buffer", "_searched")

    def __init__(self) -> None:
        self._buffer = b""
        self._searched = 0

    @property
    def rest(self) -> bytes:
        """What has come of a block that has not ended."""
        return self._buffer

    def feed(self, chunk: bytes) -> list[bytes]:
        """The blocks that end in this chunk."""
        buffer = self._buffer + chunk if self._buffer else chunk
        if b"\r" not in buffer:
            return self._cut_at_lf(buffer)
        blocks = []
        begin = 0
        while found := _END_OF_BLOCK.search(buffer, max(begin, self._searched)):
            blocks.append(buffer[begin : found.end()])
            begin = found.end()
        self._buffer = buffer[begin:]
        self._searched = max(0, len(self._buffer) - _LONGEST_END)
        return blocks

    def _cut_at_lf(self, buffer: bytes) -> list[bytes]:
        """The same where all lines end in LF, as most servers have it."""
        blocks: list[bytes] = []
        if buffer.find(_LF_LF, self._searched) >= 0:
            *whole, buffer = buffer.split(_LF_LF)
            blocks = [block + _LF_LF for block in whole]
        self._buffer = buffer
        self._searched = max(0, len(buffer) - _LONGEST_END)
        return blocks

    def flush(self) -> bytes:
        """Give away what there is of the unfinished block; cutting goes on with what follows."""
        rest, self._buffer, self._searched = self._buffer, b"", 0
        return rest


def parse(block: bytes) -> Event | None:
    """The event in a block; None if it holds only comments, or fields without data."""
    if block[:6] == b"data: " and block[-2:] == _LF_LF and block.find(b"\n") == len(block) - 2 and b"\r" not in block:
        return Event(block[6:-2])  # one line of data, as most events are
    data: list[bytes] = []
    kind = b""
    for line in _END_OF_LINE.split(block.removeprefix(b"\xef\xbb\xbf")):
        name, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event" and colon:
            kind = value
    return Event(b"\n".join(data), kind.decode("utf-8", "replace")) if data else None
