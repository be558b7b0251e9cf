"""Apps as they are: patient and leaving, slow and reset, one request at a time and two at once.

Each request carries a number (`x-request-id`), by which the provider can say what it was asked for it. What an app has
seen is one of six things (`Saw`), and whatever is not a whole answer, or a whole error, or a stream that says itself
that it broke off, is `TORN`. Elsewhere: what may be seen when (chaos_rules), gateways and providers (chaos).
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from random import Random
from typing import Any

from midshift.cli.system import SystemClock
from midshift.testing.traffic import Planned

NUMBER = "x-request-id"
PATIENCE_S = 30.0
now_s = SystemClock().monotonic_s


class Manner(StrEnum):
    """How an app asks, or takes its answer."""

    PLAIN = "on a connection of its own"
    KEPT = "one after the other on one connection"
    PIPELINED = "two at once on one connection"
    CLOSING = "connection: close"
    OLD = "HTTP/1.0"
    DRIPS = "a body in chunks, in its own time"
    EXPECTS = "a body that waits for 100 Continue"
    SLOW = "an answer read in small bites"
    LEAVES = "gone after a moment"
    HALF = "gone in the middle of its body"
    RESETS = "gone with a reset in the middle of its answer"


SHARES = {
    **{Manner.PLAIN: 0.36, Manner.KEPT: 0.1, Manner.PIPELINED: 0.08, Manner.CLOSING: 0.06, Manner.OLD: 0.06},
    **{Manner.DRIPS: 0.06, Manner.EXPECTS: 0.04, Manner.SLOW: 0.06, Manner.LEAVES: 0.08, Manner.HALF: 0.04},
    Manner.RESETS: 0.06,
}


class Saw(StrEnum):
    """What an app saw of one request."""

    WHOLE = "a whole answer"
    ERROR = "a whole error"
    BROKEN_OFF = "a stream that says itself that it broke off"
    TORN = "an end without a word"
    NOTHING = "no end at all"
    LEFT = "what it stayed for"


@dataclass(eq=False)
class Instance:
    """One life of one gateway.

    `sent` counts the heads that it was sent, `begun` its apps, and `unsent` are requests whose app connects. It was
    killed at `killed_s`, or `killed_at` by the machine's clock. `metrics` are its counts at its end, where it ended
    with nothing under way.
    """

    name: str
    process: asyncio.subprocess.Process
    port: int
    is_up: bool = True
    killed_s: float | None = None
    killed_at: datetime | None = None
    sent: int = 0
    begun: int = 0
    unsent: set[int] = field(default_factory=set)
    metrics: dict[str, float] = field(default_factory=dict)
    code: int | None = None


@dataclass(slots=True)
class Seen:
    """What an app saw of one request. `text` is what the model said, as far as it came."""

    number: int
    unit: str
    is_stream: bool
    manner: Manner
    instance: Instance
    began_s: float
    ended_s: float = 0.0
    saw: Saw = Saw.NOTHING
    status: int = 0
    request_id: str = ""
    variant: str = ""
    text: str = ""
    remark: str = ""


@dataclass
class Answer:
    """An answer as it comes."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def read(self, reader: asyncio.StreamReader, bite: int = 0, at_most: int = 1 << 40) -> None:
        """Take it in as far as it comes, in bites of so many bytes and with a pause after each if `bite` says so."""
        status = 100
        while status == 100:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.status = status
        if self.headers.get("transfer-encoding") == "chunked":
            while (size := int(await reader.readuntil(b"\r\n"), 16)) and len(self.body) < at_most:
                await self._bitten(reader, size, bite)
                assert b"\r\n" == await reader.readexactly(2)
            if not size:
                assert b"\r\n" == await reader.readexactly(2)
        elif "content-length" in self.headers:
            await self._bitten(reader, int(self.headers["content-length"]), bite)
        else:
            self.body = await reader.read()

    async def _bitten(self, reader: asyncio.StreamReader, size: int, bite: int) -> None:
        while size:
            taken = await reader.readexactly(min(size, bite or size))
            self.body += taken
            size -= len(taken)
            if bite:
                await asyncio.sleep(0.002)

    def tell(self, seen: Seen) -> None:
        """Say what it is, now that all of it is there."""
        seen.remark = self.body[-200:].decode(errors="replace")
        if self.status != 200:
            seen.saw = Saw.ERROR
            return
        if "event-stream" not in self.headers.get("content-type", ""):
            seen.saw = Saw.WHOLE if self._is_completion(seen) else Saw.TORN
            return
        events = [line[5:].strip() for line in self.body.splitlines() if line.startswith(b"data:")]
        seen.saw = Saw.TORN
        if events and events[-1] == b"[DONE]" and all(map(_has_choices, events[:-1])):
            seen.saw = Saw.WHOLE
        elif events and "error" in (_decoded(events[-1]) or {}) and all(map(_has_choices, events[:-1])):
            seen.saw = Saw.BROKEN_OFF

    def note(self, seen: Seen) -> None:
        """Say who it is from, and what was said, as far as it came."""
        seen.status = self.status
        seen.request_id = self.headers.get("x-midshift-request-id", "")
        seen.variant = self.headers.get("x-midshift-variant", "")
        if "event-stream" in self.headers.get("content-type", ""):
            lines = (line[5:] for line in self.body.split(b"\n\n")[:-1] if line.startswith(b"data:"))
            found = [event for line in lines if (event := _decoded(line)) is not None]
            choices = [choice for event in found for choice in event.get("choices", ())]
            seen.text = "".join(choice["delta"].get("content") or "" for choice in choices)

    def _is_completion(self, seen: Seen) -> bool:
        found = _decoded(self.body)
        if found is None or "choices" not in found:
            return False
        seen.text = found["choices"][0]["message"]["content"] or ""
        return True


def _decoded(text: bytes) -> dict[str, Any] | None:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        return None


def _has_choices(text: bytes) -> bool:
    return "choices" in (_decoded(text) or {})


async def asked(plans: Sequence[tuple[int, Planned]], instance: Instance, manner: Manner, random: Random) -> list[Seen]:
    """The requests of one connection, in some manner; those that were never sent are left out."""
    seen = [
        Seen(number, planned.unit, bool(planned.body.get("stream")), manner, instance, now_s())
        for number, planned in plans
    ]
    stays_s = random.uniform(0.0, 0.06) if manner is Manner.LEAVES else PATIENCE_S
    instance.begun += 1
    instance.unsent.add(seen[0].number)
    try:
        async with asyncio.timeout(stays_s), connected(instance.port) as (reader, writer):
            if manner is Manner.PIPELINED:
                for one, plan in zip(seen, plans, strict=True):
                    _write(writer, bytes_of(*plan), one)
            for one, plan in zip(seen, plans, strict=True):
                if manner is not Manner.PIPELINED:
                    if one is not seen[0]:
                        if not instance.is_up:
                            break
                        one.began_s = now_s()
                    await _send(plan, reader, writer, one, random)
                await _take(one, reader, writer, random)
            if manner in (Manner.CLOSING, Manner.OLD) and await reader.read():
                seen[-1].saw, seen[-1].remark = Saw.TORN, "more came after an answer that closes"
    except TimeoutError:
        _end(seen, Saw.LEFT if manner is Manner.LEAVES else Saw.NOTHING)
    except _Gone:
        _end(seen, Saw.LEFT)
    except (ConnectionError, asyncio.IncompleteReadError, AssertionError, ValueError) as broken:
        _end(seen, Saw.TORN, repr(broken))
    finally:
        instance.begun -= 1
        instance.unsent.discard(seen[0].number)
    return [one for one in seen if one.ended_s]


def _end(seen: Sequence[Seen], saw: Saw, remark: str = "") -> None:
    """Say how the requests ended that had no end yet: the first, and in a pipeline all that follow."""
    open_still = [one for one in seen if not one.ended_s]
    for one in open_still if seen[0].manner is Manner.PIPELINED else open_still[:1]:
        one.saw, one.remark, one.ended_s = saw, remark, now_s()


class _Gone(Exception):
    """The app has left on purpose."""


async def _send(
    plan: tuple[int, Planned],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    seen: Seen,
    random: Random,
) -> None:
    data = bytes_of(*plan, seen.manner)
    head = data.index(b"\r\n\r\n") + 4
    match seen.manner:
        case Manner.HALF:
            _write(writer, data[: random.randrange(head, len(data))], seen)
            await asyncio.sleep(random.uniform(0.0, 0.01))
            if random.random() < 0.5:
                _reset(writer)
            raise _Gone
        case Manner.EXPECTS:
            _write(writer, data[:head], seen)
            assert b"HTTP/1.1 100 Continue\r\n\r\n" == await reader.readuntil(b"\r\n\r\n")
            writer.write(data[head:])
        case Manner.DRIPS:
            _write(writer, data[:head], seen)
            for begin in range(head, len(data), 100):
                await asyncio.sleep(random.uniform(0.0, 0.004))
                writer.write(data[begin : begin + 100])
        case _:
            _write(writer, data, seen)


def _write(writer: asyncio.StreamWriter, data: bytes, seen: Seen) -> None:
    seen.instance.sent += 1
    seen.instance.unsent.discard(seen.number)
    writer.write(data)


async def _take(seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, random: Random) -> None:
    answer = Answer()
    try:
        match seen.manner:
            case Manner.SLOW:
                await answer.read(reader, bite=random.choice((16, 64, 256)))
            case Manner.RESETS:
                await answer.read(reader, at_most=random.randrange(1, 800))
                _reset(writer)
                raise _Gone
            case _:
                await answer.read(reader)
    finally:
        answer.note(seen)
    answer.tell(seen)
    seen.ended_s = now_s()
    seen.remark = "" if seen.saw is Saw.WHOLE else seen.remark  # half an hour has half a million of them
    seen.text = sys.intern(seen.text)


def _reset(writer: asyncio.StreamWriter) -> None:
    taken: socket.socket = writer.get_extra_info("socket")
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is closed at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def bytes_of(number: int, planned: Planned, manner: Manner = Manner.PLAIN) -> bytes:
    """A request as it goes over the wire."""
    content = json.dumps(planned.body).encode()
    named: dict[str, object] = {"host": "x", **planned.headers, NUMBER: number}
    if manner is Manner.DRIPS:
        named["transfer-encoding"] = "chunked"
        middle = len(content) // 2
        content = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (content[:middle], content[middle:], b""))
    else:
        named["content-length"] = len(content)
    named |= {"connection": "close"} if manner is Manner.CLOSING else {}
    named |= {"expect": "100-continue"} if manner is Manner.EXPECTS else {}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    version = "1.0" if manner is Manner.OLD else "1.1"
    return f"POST /v1/chat/completions HTTP/{version}\r\n{lines}\r\n".encode() + content
