"""Traffic as production has it: arrivals in bursts, days and weeks, from few busy users and many quiet ones.

    trace = Trace.open(path)                                  # {"t": seconds, "tokens_in": n, "tokens_out": n} a line
    planned = plan(arrivals(trace, 7 * DAY_S, requests=5000, rhythm=WEEKLY), questions, "support-reply", Units(400))
    tally = await drive(base_url, planned, until=clock.until)

A trace is repeated for as long as is asked. Fewer requests than it has are a random sample of it, more are several
copies from different starting points: either way its bursts stay as long as they were. Everything but `drive` is a
function of its arguments and a seed. `drive` is open loop: it sends when a request is due, not when the last one is
answered, and accounts for every request that was planned.
Elsewhere: what answers (`provider_server`); the gateway in between.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from midshift.errors import InputError, UsageError
from midshift.testing.replay import CASE_HEADER, SLICE_HEADER, RecordedCase

DAY_S = 86_400.0
START = datetime(2026, 1, 1, tzinfo=UTC)
"""A Thursday; the same day on which a manual clock starts."""


class Beat(msgspec.Struct, frozen=True):
    """One request of a trace: when it came, and how large it was."""

    t: float
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """The arrivals of some stretch of real traffic, in order, from second 0 to before `period_s`."""

    beats: tuple[Beat, ...]
    period_s: float

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a file; `read` says what it raises."""
        with path.open("rb") as file:
            return cls.read(file, str(path))

    @classmethod
    def read(cls, lines: Iterable[bytes], name: str = "the trace") -> Self:
        """Read the lines of a trace. It repeats after its last arrival and one mean gap more.

        Raises:
            InputError: for a line that is no arrival, or fewer than two arrivals in all.
        """
        decoder = msgspec.json.Decoder(Beat)
        beats = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                beats.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InputError(f'{name} line {number}: {error}; expected {{"t": seconds, ...}}') from None
        beats.sort(key=lambda beat: beat.t)
        if len(beats) < 2 or beats[0].t == beats[-1].t:
            raise InputError(f"{name} has {len(beats)} arrivals; expected at least two, at different times")
        first_s = beats[0].t
        length_s = beats[-1].t - first_s
        shifted = tuple(Beat(beat.t - first_s, beat.tokens_in, beat.tokens_out) for beat in beats)
        return cls(shifted, length_s + length_s / (len(beats) - 1))

    @classmethod
    def steady(cls, per_s: float) -> Self:
        """Evenly spaced arrivals, for tests in which nothing is to be said about bursts.

        Raises:
            UsageError: for a rate that is not above 0.
        """
        if not per_s > 0.0:
            raise UsageError(f"arrivals per second are {per_s!r}, expected a number above 0")
        return cls((Beat(0.0),), 1.0 / per_s)

    def before(self, second: float) -> int:
        """How many arrivals come before some second, the trace being repeated for ever."""
        rounds, rest_s = divmod(second, self.period_s)
        return int(rounds) * len(self.beats) + bisect.bisect_left(self.beats, rest_s, key=lambda beat: beat.t)

    def nth(self, number: int) -> tuple[float, Beat]:
        """The second and the beat of one arrival, counted from 0."""
        rounds, index = divmod(number, len(self.beats))
        return rounds * self.period_s + self.beats[index].t, self.beats[index]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How busy each hour of the day and day of the week is, against the busiest; Monday comes first.

    Raises:
        ValueError: unless there are 24 hours and 7 days, none below 0 and not all 0.
    """

    hours: tuple[float, ...] = (1.0,) * 24
    days: tuple[float, ...] = (1.0,) * 7

    def __post_init__(self) -> None:
        for name, shares, count in (("hours", self.hours, 24), ("days", self.days, 7)):
            if len(shares) != count or min(shares) < 0.0 or not math.isfinite(max(shares)) or max(shares) == 0.0:
                raise ValueError(f"a rhythm has {count} {name}, none below 0 and not all 0, got {shares!r}")

    def at(self, moment: datetime) -> float:
        """How busy it is, from 0 to 1 for the busiest hour of the busiest day."""
        return self.hours[moment.hour] / max(self.hours) * self.days[moment.weekday()] / max(self.days)


STEADY = Rhythm()
DAILY = Rhythm(hours=tuple(0.55 - 0.45 * math.cos((hour - 2.5) / 24.0 * math.tau) for hour in range(24)))
"""Quiet at half past two at night, ten times as busy at half past two in the afternoon."""
WEEKLY = Rhythm(hours=DAILY.hours, days=(1.0, 0.97, 0.95, 0.93, 0.88, 0.45, 0.40))
"""The same, with Mondays busiest and weekends less than half."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request to come: its moment in playbook time, and how large the trace had it."""

    at: datetime
    tokens_in: int = 0
    tokens_out: int = 0


def arrivals(
    trace: Trace,
    duration_s: float,
    *,
    requests: int | None = None,
    rhythm: Rhythm = STEADY,
    start: datetime = START,
    seed: int = 0,
) -> list[Arrival]:
    """Arrivals from `start` on, in order: exactly `requests` of them, or as many as the trace has in that time.

    Memory grows with the number of arrivals, not with the duration.

    Raises:
        UsageError: for a duration or a number that is not above 0, a start without a zone, or a rhythm that is
            silent throughout.
    """
    if not (math.isfinite(duration_s) and duration_s > 0.0):
        raise UsageError(f"the duration is {duration_s!r} s, expected a finite number above 0")
    if requests is not None and requests < 1:
        raise UsageError(f"the number of requests is {requests!r}, expected one at least")
    if start.tzinfo is None:
        raise UsageError(f"the start {start!r} has no zone; pass one with tzinfo, like UTC")
    random = Random(seed)
    if requests is None:
        chosen = _as_the_trace_has_them(trace, duration_s, rhythm, start, random)
    else:
        chosen = _exactly(requests, trace, duration_s, rhythm, start, random)
    chosen.sort(key=lambda second_and_beat: second_and_beat[0])
    return [Arrival(start + timedelta(seconds=s), beat.tokens_in, beat.tokens_out) for s, beat in chosen]


def _as_the_trace_has_them(
    trace: Trace, duration_s: float, rhythm: Rhythm, start: datetime, random: Random
) -> list[tuple[float, Beat]]:
    copy = _Copy(trace, duration_s, 0.0)
    everything = (copy.nth(number) for number in range(len(copy)))
    if rhythm == STEADY:
        return list(everything)
    return [
        (second, beat) for second, beat in everything if random.random() < rhythm.at(start + timedelta(seconds=second))
    ]


def _exactly(
    requests: int, trace: Trace, duration_s: float, rhythm: Rhythm, start: datetime, random: Random
) -> list[tuple[float, Beat]]:
    """Draw without replacement from as many copies of the trace as that should take, and then from one more each."""
    kept_per_copy = len(trace.beats) * duration_s / trace.period_s * _mean(rhythm, start, duration_s)
    copies = math.ceil(requests / kept_per_copy)
    chosen: list[tuple[float, Beat]] = []
    while len(chosen) < requests:
        drawn = _drawn([_Copy(trace, duration_s, random.uniform(0.0, trace.period_s)) for _ in range(copies)], random)
        kept = (pair for pair in drawn if random.random() < rhythm.at(start + timedelta(seconds=pair[0])))
        chosen += itertools.islice(kept, requests - len(chosen))
        copies = 1
    return chosen


def _drawn(copies: Sequence[_Copy], random: Random) -> Iterator[tuple[float, Beat]]:
    """The arrivals of all copies in random order, without a list of them (Fisher and Yates, moves remembered)."""
    ends = list(itertools.accumulate(map(len, copies)))
    moved: dict[int, int] = {}
    for place in range(ends[-1]):
        other = random.randrange(place, ends[-1])
        number = moved.get(other, other)
        moved[other] = moved.pop(place, place)
        which = bisect.bisect_right(ends, number)
        yield copies[which].nth(number - (ends[which - 1] if which else 0))


def _mean(rhythm: Rhythm, start: datetime, duration_s: float) -> float:
    """How busy it is on average, told from each hour of up to a week."""
    hours = min(math.ceil(duration_s / 3600.0), 7 * 24)
    last_s = max(duration_s - 1e-6, 0.0)  # the hour that begins at the very end is not in it
    shares = [rhythm.at(start + timedelta(seconds=min(3600.0 * hour, last_s))) for hour in range(hours + 1)]
    if not any(shares):
        raise UsageError(f"the rhythm is silent for all of the {duration_s:g} s from {start.isoformat()} on")
    return sum(shares) / len(shares)


class _Copy:
    """The arrivals of a repeated trace between `phase_s` and `duration_s` later, counted from there."""

    def __init__(self, trace: Trace, duration_s: float, phase_s: float) -> None:
        self._trace = trace
        self._phase_s = phase_s
        self._first = trace.before(phase_s)
        self._count = trace.before(phase_s + duration_s) - self._first

    def __len__(self) -> int:
        return self._count

    def nth(self, number: int) -> tuple[float, Beat]:
        second, beat = self._trace.nth(self._first + number)
        return max(second - self._phase_s, 0.0), beat


class Units:
    """Users of whom few ask often: the one of rank r asks in proportion to 1 / r ** `exponent` (Zipf; 0: all alike).

    Raises:
        UsageError: for no users, or an exponent below 0.
    """

    def __init__(self, count: int, exponent: float = 1.0, prefix: str = "user-") -> None:
        if count < 1 or not (math.isfinite(exponent) and exponent >= 0.0):
            raise UsageError(f"units: got {count!r} with exponent {exponent!r}, expected one at least, and 0 or more")
        self.count = count
        self._prefix = prefix
        self._cumulative = list(itertools.accumulate(rank**-exponent for rank in range(1, count + 1)))

    def draw(self, random: Random) -> str:
        """One of them."""
        rank = bisect.bisect_right(self._cumulative, random.random() * self._cumulative[-1])
        return f"{self._prefix}{min(rank, self.count - 1) + 1}"


@dataclass(frozen=True, slots=True)
class Planned:
    """One request to send: when it is due, whose it is, and what it says."""

    number: int
    at: datetime
    unit: str
    case_id: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def plan(
    arrivals: Iterable[Arrival],
    cases: Sequence[RecordedCase],
    model: str,
    units: Units,
    *,
    seed: int = 0,
    stream_share: float = 0.0,
    unit_header: str = "x-midshift-unit",
    headers: Mapping[str, str] | None = None,
) -> Iterator[Planned]:
    """A chat request for each arrival: a case and a unit drawn by the seed.

    Each names its case and its slices (`x-case-id`, `x-case-slice`, and `metadata`, which gateways pass on) and its
    unit (`unit_header`, and `user`).

    Raises:
        UsageError: if there is no case with messages.
    """
    askable = [case for case in cases if case.messages]
    if not askable:
        raise UsageError("no case has messages, so there is nothing to ask; expected `messages` in the rows")
    return _plan(arrivals, askable, model, units, Random(seed), stream_share, unit_header, dict(headers or {}))


def _plan(
    arrivals: Iterable[Arrival],
    cases: Sequence[RecordedCase],
    model: str,
    units: Units,
    random: Random,
    stream_share: float,
    unit_header: str,
    headers: Mapping[str, str],
) -> Iterator[Planned]:
    for number, arrival in enumerate(arrivals):
        case, unit = random.choice(cases), units.draw(random)
        slices = ",".join(case.slices)
        metadata = {"case_id": case.id} | ({"slice": slices} if slices else {})
        body: dict[str, Any] = {"model": model, "messages": case.messages, "user": unit, "metadata": metadata}
        if case.tools:
            body["tools"] = case.tools
        if random.random() < stream_share:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        named = {CASE_HEADER: case.id, SLICE_HEADER: slices, unit_header: unit}
        sayable = {name: value for name, value in named.items() if value and value.isascii() and value.isprintable()}
        yield Planned(number, arrival.at, unit, case.id, body, {**sayable, **headers})


class Broken(StrEnum):
    """How a request ended that got no whole, readable response."""

    NO_CONNECTION = "no connection"
    TIMEOUT = "timeout"
    CUT = "cut"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one planned request. `status` is 0 where no response began; seconds count from when it was due.

    `waited_s` is how long it was due before it was sent (all connections were busy); the latency includes it, since
    a user would have waited too. What the gateway says in its headers is empty where it says nothing.
    """

    number: int
    unit: str
    case_id: str
    status: int
    broken: Broken | None
    variant: str = ""
    step: str = ""
    request_id: str = ""
    waited_s: float = 0.0
    first_byte_s: float | None = None
    latency_s: float = 0.0


@dataclass(slots=True)
class Tally:
    """What became of all of them."""

    planned: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    most_waiting: int = 0

    @property
    def by_status(self) -> Counter[int]:
        """Requests by HTTP status; 0 where no response began."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def by_variant(self) -> Counter[str]:
        """Responses by the variant that the gateway named."""
        return Counter(outcome.variant for outcome in self.outcomes if outcome.status)

    @property
    def broken(self) -> Counter[Broken]:
        """Requests without a whole, readable response, by how they ended."""
        return Counter(outcome.broken for outcome in self.outcomes if outcome.broken is not None)

    def unexplained(self, received: int | None = None) -> list[str]:
        """What does not add up, a sentence each; nothing where everything does.

        `received` is what the other end counted: no less than was answered, no more than was sent.
        """
        found = []
        numbers = Counter(outcome.number for outcome in self.outcomes)
        if len(numbers) != self.planned:
            found.append(f"{self.planned} requests were planned, and {len(numbers)} have an outcome")
        if again := [number for number, count in numbers.items() if count > 1]:
            found.append(f"{len(again)} requests have more than one outcome, first number {again[0]}")
        ids = Counter(outcome.request_id for outcome in self.outcomes if outcome.request_id)
        if doubled := [name for name, count in ids.items() if count > 1]:
            found.append(f"{len(doubled)} request ids were given more than once, first {doubled[0]!r}")
        answered = sum(outcome.status > 0 for outcome in self.outcomes)
        sent = sum(outcome.broken is not Broken.NO_CONNECTION for outcome in self.outcomes)
        if received is not None and not answered <= received <= sent:
            found.append(f"the other end counted {received} requests; {answered} were answered and {sent} were sent")
        return found


async def drive(
    base_url: str,
    planned: Iterable[Planned],
    *,
    until: Callable[[datetime], Awaitable[None]] | None = None,
    concurrency: int = 64,
    timeout_s: float = 60.0,
    take: Callable[[Planned, Outcome, bytes], None] | None = None,
) -> Tally:
    """Post each request to `base_url`/chat/completions when it is due, and say what became of each.

    `until` waits for a moment of playbook time (`ScaledClock.until`); without it the next request is due as soon as
    a connection is free. At most `concurrency` are under way at once, one a connection; those that are due meanwhile
    wait, and are counted as waiting. Nothing is retried. `take` sees each outcome with the response's body.

    Raises:
        UsageError: for a base URL that is not plain http.
    """
    address = _Address.parse(base_url)
    loop = asyncio.get_running_loop()
    tally = Tally()
    due: asyncio.Queue[tuple[Planned, float] | None] = asyncio.Queue(concurrency if until is None else 0)

    async def work() -> None:
        caller = _Caller(address, timeout_s, loop.time)
        try:
            while (item := await due.get()) is not None:
                outcome, body = await caller.call(*item)
                tally.outcomes.append(outcome)
                if take is not None:
                    take(item[0], outcome, body)
        finally:
            await caller.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(concurrency):
            tasks.create_task(work())
        for request in planned:
            if until is not None:
                await until(request.at)
                await asyncio.sleep(0)  # lets the others run where nothing was to wait for
            tally.planned += 1
            await due.put((request, loop.time()))
            tally.most_waiting = max(tally.most_waiting, due.qsize())
        for _ in range(concurrency):
            await due.put(None)
    return tally


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, base_url: str) -> Self:
        url = urlsplit(base_url)
        if url.scheme != "http" or not url.hostname:
            raise UsageError(f"the base URL is {base_url!r}, expected http://HOST:PORT/v1")
        return cls(url.hostname, url.port or 80, f"{url.path.rstrip('/')}/chat/completions")


@dataclass(slots=True)
class _Response:
    """What there is of a response so far."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    first_byte_s: float | None = None


class _Caller:
    """One connection, kept open from one request to the next."""

    def __init__(self, address: _Address, timeout_s: float, monotonic_s: Callable[[], float]) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._monotonic_s = monotonic_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, request: Planned, due_s: float) -> tuple[Outcome, bytes]:
        """Send one request and read its response, or say how far it came."""
        sent_s, response = self._monotonic_s(), _Response()
        broken = await self._exchange(request, response, due_s)
        latency_s = self._monotonic_s() - due_s
        if broken is not None or "close" in response.headers.get("connection", "").lower():
            await self.close()
        outcome = Outcome(
            request.number,
            request.unit,
            request.case_id,
            response.status,
            broken,
            response.headers.get("x-midshift-variant", ""),
            response.headers.get("x-midshift-step", ""),
            response.headers.get("x-midshift-request-id", ""),
            sent_s - due_s,
            response.first_byte_s,
            latency_s,
        )
        return outcome, response.body

    async def _exchange(self, request: Planned, response: _Response, due_s: float) -> Broken | None:
        data, is_sent = self._request_bytes(request), False
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await self._connected()
                writer.write(data)
                is_sent = True
                await writer.drain()
                await _read_head(reader, response)
                response.first_byte_s = self._monotonic_s() - due_s
                await _read_body(reader, response)
        except TimeoutError:
            return Broken.TIMEOUT
        except (OSError, asyncio.IncompleteReadError):
            return Broken.CUT if is_sent else Broken.NO_CONNECTION
        except (ValueError, asyncio.LimitOverrunError):
            return Broken.UNREADABLE
        return _spoilt(response)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():  # the other end has hung up meanwhile
            await self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._address.host, self._address.port)
        return self._streams

    def _request_bytes(self, request: Planned) -> bytes:
        body = msgspec.json.encode(request.body)
        lines = [
            f"POST {self._address.path} HTTP/1.1",
            f"host: {self._address.host}:{self._address.port}",
            "content-type: application/json",
            *(f"{name}: {value}" for name, value in request.headers.items()),
            f"content-length: {len(body)}",
            "\r\n",
        ]
        return "\r\n".join(lines).encode("latin-1") + body

    async def close(self) -> None:
        """Hang up; the next call connects anew."""
        if self._streams is None:
            return
        writer = self._streams[1]
        self._streams = None
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _read_head(reader: asyncio.StreamReader, response: _Response) -> None:
    status = 100
    while 100 <= status < 200:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(first[9:12])
    named = (line.partition(":") for line in lines if line)
    response.headers = {name.lower(): value.strip() for name, _, value in named}
    response.status = status


async def _read_body(reader: asyncio.StreamReader, response: _Response) -> None:
    headers = response.headers
    if response.status in (204, 304):
        return
    if headers.get("transfer-encoding", "").lower() == "chunked":
        await _read_chunks(reader, response)
    elif "content-length" in headers:
        response.body = await reader.readexactly(int(headers["content-length"]))
    else:
        response.body = await reader.read()


async def _read_chunks(reader: asyncio.StreamReader, response: _Response) -> None:
    chunks: list[bytes] = []
    try:
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            chunks.append((await reader.readexactly(size + 2))[:-2])
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
    finally:
        response.body = b"".join(chunks)  # what has come counts, also where the rest does not


def _spoilt(response: _Response) -> Broken | None:
    """What is wrong with a response that came whole."""
    kind = response.headers.get("content-type", "").partition(";")[0]
    if kind == "text/event-stream":
        events = [line[5:].strip() for line in response.body.splitlines() if line.startswith(b"data:")]
        if not events or events[-1] != b"[DONE]":
            return Broken.CUT
        return None if all(map(_is_json, events[:-1])) else Broken.UNREADABLE
    if kind == "application/json":
        return None if _is_json(response.body) else Broken.UNREADABLE
    return None


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True
