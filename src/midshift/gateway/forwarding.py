"""A stream on its way from a provider to the app: each part goes on where it was read, with no task in between.

What it used, and whether its provider ended it, is found in its tail when it is over; of its parts nothing is read,
but for state that the app will send back, and for usage that only we asked for. Of a stream in a coding that nobody
asked for neither is known.
Elsewhere: who is asked, and what a broken stream means (relay), what of it the app sees (leg).
"""

from __future__ import annotations

from collections.abc import Callable

from midshift.gateway.leg import Leg
from midshift.gateway.origins import Watched
from midshift.gateway.reply import Reply
from midshift.wire.protocol import Answer, End


class Forwarding:
    """One stream. Of its bytes up to `keeps` are kept; a longer one is not kept at all."""

    __slots__ = ("_feed", "_is_encoded", "_kept", "_keeps", "_reply", "_size", "_tail", "_visible", "_watched")

    def __init__(
        self, leg: Leg, asks_usage: bool, is_encoded: bool, reply: Reply, watched: Watched | None, keeps: int
    ) -> None:
        self._reply = reply
        self._is_encoded = is_encoded
        self._visible = leg.visible(asks_usage, is_encoded)
        self._watched = watched
        self._tail = leg.spoken.tail()
        self._feed = self._tail.feed
        self._keeps = keeps
        self._kept: list[bytes] = []
        self._size = 0

    @property
    def take(self) -> Callable[[bytes], bool]:
        """Sends a part on; says whether the app takes more now."""
        is_plain = self._visible is None and self._watched is None and not self._keeps
        return self._pass if is_plain else self._look

    def _pass(self, chunk: bytes) -> bool:
        is_open = self._reply.more(chunk)
        self._feed(chunk)
        return is_open

    def _look(self, chunk: bytes) -> bool:
        out = chunk if self._visible is None else self._visible.feed(chunk)
        is_open = True
        if out:
            if self._watched is not None:
                self._watched.feed(out)  # before it is sent: the app may answer at once
            is_open = self._reply.more(out)
        self._feed(chunk)
        if self._keeps:
            self._keep(chunk)
        return is_open

    def rest(self) -> bytes:
        """What was held back at the end."""
        return b"" if self._visible is None else self._visible.end()

    def kept(self) -> bytes | None:
        """All of it; None where it was not to be kept, or was too long."""
        return b"".join(self._kept) if self._keeps else None

    def ended(self) -> Answer:
        """It is over, in whatever way: what it says about itself, as far as it came."""
        if self._watched is not None:
            self._watched.end()
        return self._tail.answer()

    def said(self) -> Answer:
        """What it says about itself so far."""
        return self._tail.answer()

    def is_broken(self, said: Answer) -> bool:
        """Whether, by what it has said, it is no answer where it ends here: an error came, or its end did not."""
        return not self._is_encoded and said.end is not End.WHOLE

    def _keep(self, chunk: bytes) -> None:
        self._kept.append(chunk)
        self._size += len(chunk)
        if self._size > self._keeps:
            self._kept, self._keeps = [], 0
