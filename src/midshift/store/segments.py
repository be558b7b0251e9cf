"""Records of single requests, as files: JSON lines, a record each, cut into segments of one gateway.

Contract: a segment is appended to by one writer, so a crash leaves at most one torn line, at its very end; the reader
cuts it off and says so. A line in between that cannot be read is left out and counted. A closed segment is only ever
replaced as a whole, by one with fewer lines or texts.
Elsewhere: writing them (recorder), what goes from them and when (retention); the sums that gates read (sql), which do
not depend on these files.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, TypeAlias, TypeVar

import msgspec

from midshift.domain.capture import CapturedRequest, FeedbackRecord
from midshift.domain.exposure import Exposure, Pair

Record: TypeAlias = Exposure | Pair | CapturedRequest | FeedbackRecord
R = TypeVar("R", Exposure, Pair, CapturedRequest, FeedbackRecord)

SUFFIX = ".ndjson"
_PLACES = 5


class Kind(StrEnum):
    """What a segment holds, with the version of its form: the name of its folder."""

    __hash__ = str.__hash__  # a key for every record: Enum's own is a call of Python

    EXPOSURES = "exposures-v1"
    PAIRS = "pairs-v1"
    REQUESTS = "requests-v1"
    FEEDBACK = "feedback-v1"


TYPES: Mapping[Kind, type[Record]] = {
    Kind.EXPOSURES: Exposure,
    Kind.PAIRS: Pair,
    Kind.REQUESTS: CapturedRequest,
    Kind.FEEDBACK: FeedbackRecord,
}
"""What a line of each kind is."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file. The last of a gateway may still be growing."""

    path: Path
    kind: Kind
    gateway: str
    number: int
    bytes: int

    def count(self) -> int:
        """How many whole lines it has, without reading what they say."""
        with self.path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


@dataclass(slots=True)
class Reading:
    """What a reader met, beside the rows: goes along with it.

    `torn_bytes` were cut off the end of segments (a crash, or a line that is being written), `unreadable` lines were
    left out; `places` names the first of them.
    """

    rows: int = 0
    torn_bytes: int = 0
    unreadable: int = 0
    places: list[str] = field(default_factory=list)


def segments(folder: Path, kind: Kind) -> list[Segment]:
    """The segments of one kind, by gateway and age."""
    found = [_segment(path, kind) for path in (folder / kind).glob(f"*{SUFFIX}")]
    return sorted((one for one in found if one is not None), key=lambda one: (one.gateway, one.number))


def lines_of(path: Path) -> Iterator[bytes]:
    """The whole lines of one segment, unread; a torn last one is left out."""
    with _opened(path) as file:
        yield from (line for line in file if line.endswith(b"\n"))


def exposures(path: Path, reading: Reading) -> Iterator[Exposure]:
    """The exposures of one segment."""
    return _rows(path, _EXPOSURES, reading)


def pairs(path: Path, reading: Reading) -> Iterator[Pair]:
    """The pairs of one segment."""
    return _rows(path, _PAIRS, reading)


def requests(path: Path, reading: Reading) -> Iterator[CapturedRequest]:
    """The captured requests of one segment."""
    return _rows(path, _REQUESTS, reading)


def feedback(path: Path, reading: Reading) -> Iterator[FeedbackRecord]:
    """The feedback of one segment."""
    return _rows(path, _FEEDBACK, reading)


_EXPOSURES = msgspec.json.Decoder(Exposure)
_PAIRS = msgspec.json.Decoder(Pair)
_REQUESTS = msgspec.json.Decoder(CapturedRequest)
_FEEDBACK = msgspec.json.Decoder(FeedbackRecord)


def _rows(path: Path, decoder: msgspec.json.Decoder[R], reading: Reading) -> Iterator[R]:
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                reading.torn_bytes += len(line)
                return
            try:
                row = decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                reading.unreadable += 1
                if len(reading.places) < _PLACES:
                    reading.places.append(f"{path}:{number}: {error}")
                continue
            reading.rows += 1
            yield row


def _opened(path: Path) -> IO[bytes]:
    """The file; nothing in the place of one that has been deleted by age since it was listed."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        return io.BytesIO()


def _segment(path: Path, kind: Kind) -> Segment | None:
    gateway, _, number = path.stem.rpartition("-")
    if not (gateway and number.isdecimal()):
        return None
    try:
        return Segment(path, kind, gateway, int(number), path.stat().st_size)
    except FileNotFoundError:  # deleted by age since it was listed
        return None
