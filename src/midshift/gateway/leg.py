"""How a job speaks with one provider: on the app's own wire wherever the provider knows it, else in translation.

On the app's own wire nothing but the variant's fields is touched, in either direction. In translation a field that
the provider's wire has no words for raises `Uncarried`, before anybody is asked.
Elsewhere: the wires (wire), from one to another (wire.translation), sockets (providers.http).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from midshift.domain.rendering import Changes
from midshift.gateway.job import Job
from midshift.gateway.opening import FAILED
from midshift.providers.http.messages import Head, Request
from midshift.providers.http.settings import Upstream
from midshift.wire import sse
from midshift.wire.protocol import Answer, Wire, WireName
from midshift.wire.translation.translate import Stream, translated_reply, translated_request
from midshift.wire.wires import WIRES

_LONGEST_HELD_BLOCK = 64 * 1024


class Visible(Protocol):
    """What of a provider's stream goes on to the app."""

    def feed(self, chunk: bytes) -> bytes:
        """What goes on of this chunk, and of what was held before."""
        ...

    def end(self) -> bytes:
        """What was held at the end."""
        ...


@dataclass(slots=True, eq=False)
class Leg:
    """The way of one job to one provider. `wire` is what the provider is asked on.

    The answer on a mirror's way is seen by nobody, and not to be stored. `is_apps_own` says that it leads to the
    incumbent's provider, which the app's account headers are meant for.
    """

    job: Job
    upstream: Upstream
    wire: WireName
    is_mirror: bool = False
    is_apps_own: bool = False

    @classmethod
    def of(cls, job: Job, upstream: Upstream, is_mirror: bool = False, provider: str = "") -> Leg:
        """The shortest way: without translation if there is one. `provider` is the upstream's name."""
        wire = job.wire if job.wire in upstream.wires else WireName(next(iter(upstream.wires)))
        is_apps_own = provider == job.serving.incumbent.variant.provider
        return cls(job, upstream, wire, is_mirror, is_apps_own)

    @property
    def spoken(self) -> Wire:
        """The provider's wire."""
        return WIRES[self.wire]

    def request(self, changes: Changes, strip_state: bool = False) -> Request:
        """What is sent.

        Raises:
            Uncarried: for a field that the provider's wire has no words for.
        """
        app, wire, upstream = self.job, self.wire, self.upstream
        asked = app.request
        if wire is not app.wire:
            body = asked.rewritten(Changes(), strip_state=True).body if strip_state else asked.body
            asked = translated_request(app.wire, wire, body, app.path, app.query, changes, is_mirror=self.is_mirror)
        if self.is_mirror:
            changes = self.spoken.unstored(changes)
        sent = asked.rewritten(changes, upstream.asks_usage, strip_state)
        said = app.said.onward(wire, self.is_apps_own, self.is_mirror)
        return Request(upstream.target(wire, sent.target), upstream.completed(wire, said), sent.body)

    def is_illegible(self, head: Head) -> bool:
        """Whether an answer has to be translated, and comes in a coding that nobody asked for."""
        if self.wire is self.job.wire or head.status != 200:
            return False
        return head.value(b"content-encoding") not in (b"", b"identity")

    def failed_by(self, head: Head) -> int:
        """The status of a candidate that has failed, by the head of its answer; 0 if it has not."""
        if head.status != 200:
            return head.status
        return FAILED if self.is_illegible(head) else 0

    def read(self, head: Head, body: bytes) -> Answer | None:
        """What a whole answer says of itself; None for an error, or where it is none."""
        return WIRES[self.wire].read_answer(body) if head.status == 200 else None

    def whole(self, status: int, body: bytes) -> bytes | None:
        """An answer, or an error, as the app reads it; None for a 200 that is no answer to translate."""
        return body if self.wire is self.job.wire else translated_reply(self.wire, self.job.wire, status, body)

    def visible(self, is_encoded: bool) -> Visible | None:
        """A stream as the app reads it; None where it goes on as it comes."""
        if self.wire is not self.job.wire:
            return Stream(self.wire, self.job.wire, include_usage=self.job.request.asks_usage)
        hides = self.upstream.asks_usage and not self.job.request.asks_usage and not is_encoded
        return UsageFilter(self.spoken) if hides else None


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
