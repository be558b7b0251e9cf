"""How jobs speak with one provider: on the app's own wire wherever the provider knows it, else in translation.

On the app's own wire nothing but the variant's fields is touched, in either direction. In translation a field that
the provider's wire has no words for raises `Uncarried`, before anybody is asked.
Elsewhere: the wires (wire), from one to another (wire.translation), sockets (providers.http).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Protocol

from midshift.domain.rendering import Changes
from midshift.gateway.headers import Lines, on_wire
from midshift.gateway.job import Job
from midshift.gateway.opening import FAILED
from midshift.gateway.route import ServedVariant
from midshift.providers.http.messages import Head, Headers, Request
from midshift.providers.http.settings import Upstream
from midshift.wire import sse
from midshift.wire.protocol import Answer, Wire, WireName
from midshift.wire.translation.translate import Stream, translated_reply, translated_request
from midshift.wire.wires import WIRES

_LONGEST_HELD_BLOCK = 64 * 1024
_MOST_TARGETS = 64


class Visible(Protocol):
    """What of a provider's stream goes on to the app."""

    def feed(self, chunk: bytes) -> bytes:
        """What goes on of this chunk, and of what was held before."""
        ...

    def end(self) -> bytes:
        """What was held at the end."""
        ...


class Leg:
    """The way from the apps of one wire to one provider: the same for all jobs that go it. `wire` is what the provider
    is asked on, `spoken` is that wire and `heard` the apps'; they are one where the leg `is_direct`.

    The answer on a mirror's way is seen by nobody, and not to be stored. `is_apps_own` says that it leads to the
    incumbent's provider, which the app's account headers are meant for.
    """

    __slots__ = (
        *("heard", "heard_wire", "is_apps_own", "is_direct", "is_mirror", "spoken", "upstream", "wire"),
        *("_asks_usage", "_target_of"),
    )

    def __init__(self, app_wire: WireName, upstream: Upstream, is_apps_own: bool, is_mirror: bool = False) -> None:
        self.heard_wire = app_wire
        self.is_direct = app_wire in upstream.wires  # the shortest way: without translation if there is one
        self.wire = app_wire if self.is_direct else WireName(next(iter(upstream.wires)))
        self.upstream = upstream
        self.is_apps_own = is_apps_own
        self.is_mirror = is_mirror
        self.heard: Wire = WIRES[app_wire]
        self.spoken: Wire = WIRES[self.wire]
        self._asks_usage = upstream.asks_usage
        self._target_of = lru_cache(_MOST_TARGETS)(partial(upstream.target, self.wire))  # the same few all day

    def request(self, job: Job, changes: Changes, strip_state: bool = False) -> Request:
        """What is sent.

        Raises:
            Uncarried: for a field that the provider's wire has no words for.
        """
        asked = job.request
        if not self.is_direct:
            body = asked.rewritten(Changes(), strip_state=True).body if strip_state else asked.body
            asked = translated_request(job.wire, self.wire, body, job.path, job.query, changes, self.is_mirror)
        if self.is_mirror:
            changes = self.spoken.unstored(changes)
        sent = asked.rewritten(changes, self._asks_usage, strip_state)
        return Request(self._target_of(sent.target), job.said.onward(self), sent.body)

    def lines(self, said: Lines) -> Headers:
        """Of the lines of an app those that its provider is told, with those that it wants to be told."""
        return self.upstream.completed(self.wire, on_wire(said, self.wire, self.is_apps_own, self.is_mirror))

    def is_illegible(self, head: Head) -> bool:
        """Whether an answer has to be translated, and comes in a coding that nobody asked for."""
        if self.is_direct or head.status != 200:
            return False
        return head.value(b"content-encoding") not in (b"", b"identity")

    def failed_by(self, head: Head) -> int:
        """The status of a candidate that has failed, by the head of its answer; 0 if it has not."""
        if head.status != 200:
            return head.status
        return FAILED if self.is_illegible(head) else 0

    def read(self, head: Head, body: bytes) -> Answer | None:
        """What a whole answer says of itself; None for an error, or where it is none."""
        return self.spoken.read_answer(body) if head.status == 200 else None

    def whole(self, status: int, body: bytes) -> bytes | None:
        """An answer, or an error, as the app reads it; None for a 200 that is no answer to translate."""
        return body if self.is_direct else translated_reply(self.wire, self.heard_wire, status, body)

    def visible(self, asks_usage: bool, is_encoded: bool) -> Visible | None:
        """A stream as an app reads it that asks for usage, or does not; None where it goes on as it comes."""
        if not self.is_direct:
            return Stream(self.wire, self.heard_wire, include_usage=asks_usage)
        hides = self.upstream.asks_usage and not asks_usage and not is_encoded
        return UsageFilter(self.spoken) if hides else None


class Legs:
    """The legs of one gateway, its users' or its mirror's: each is made once."""

    __slots__ = ("_is_mirror", "_made", "_upstreams")

    def __init__(self, upstreams: Mapping[str, Upstream], is_mirror: bool = False) -> None:
        self._upstreams = upstreams
        self._is_mirror = is_mirror
        self._made: dict[tuple[WireName, str, str], Leg] = {}

    def to(self, served: ServedVariant, job: Job) -> Leg:
        """The way of a job to the provider of a variant."""
        provider, own = served.variant.provider, job.serving.incumbent.variant.provider
        way = (job.wire, provider, own)
        leg = self._made.get(way)
        if leg is None:
            leg = self._made[way] = Leg(job.wire, self._upstreams[provider], provider == own, self._is_mirror)
        return leg


class UsageFilter:
    """Takes the usage that we asked for out of a stream whose app did not ask: some clients stumble over it."""

    __slots__ = ("_blocks", "_wire")

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._blocks = sse.Blocks()

    def feed(self, chunk: bytes) -> bytes:
        """See `Visible`."""
        if b'"usage"' not in chunk and not self._blocks.rest and chunk.endswith(b"\n\n"):
            return chunk  # whole blocks, and none of them has any: as most chunks are
        blocks = self._blocks.feed(chunk)
        out = b"".join(block for block in blocks if not self._wire.is_usage_only(block))
        return out + self._blocks.flush() if len(self._blocks.rest) > _LONGEST_HELD_BLOCK else out

    def end(self) -> bytes:
        """See `Visible`."""
        rest = self._blocks.flush()
        return b"" if self._wire.is_usage_only(rest) else rest
