"""A request, an answer or a stream of one wire as one of another.

A request is read on the app's wire and written on the provider's; the provider's own wire then applies the variant.
Elsewhere: the neutral form (conversation), each wire's own words (the other modules here).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from midshift.wire.protocol import WireName, WireRequest
from midshift.wire.translation.conversation import Translation
from midshift.wire.wires import WIRES

TRANSLATIONS: Mapping[WireName, Translation] = MappingProxyType({})


def translated_request(spoken: WireName, wanted: WireName, body: bytes, path: str, query: str) -> WireRequest:
    """A request of the wire `spoken` as one of the wire `wanted`.

    Raises:
        Unreadable: if it is none of `spoken`.
        Uncarried: for a field that `wanted` has no words for.
    """
    sent = TRANSLATIONS[wanted].write_request(TRANSLATIONS[spoken].read_request(body, path, query))
    target, _, asked = sent.target.partition("?")
    return WIRES[wanted].read_request(sent.body, target, asked)


def translated_reply(spoken: WireName, wanted: WireName, status: int, body: bytes) -> bytes:
    """An answer of the wire `spoken`, or an error, as one of the wire `wanted`. What is neither stays as it is."""
    if status != 200:
        return WIRES[wanted].error_body(WIRES[spoken].read_problem(status, body))
    reply = TRANSLATIONS[spoken].read_reply(body)
    return body if reply is None else TRANSLATIONS[wanted].write_reply(reply)


class Stream:
    """A stream of the wire `spoken`, as it comes, as one of the wire `wanted`."""

    __slots__ = ("_reader", "_writer")

    def __init__(self, spoken: WireName, wanted: WireName, include_usage: bool = True, created: int = 0) -> None:
        self._reader = TRANSLATIONS[spoken].reader()
        self._writer = TRANSLATIONS[wanted].writer(include_usage, created)

    def feed(self, chunk: bytes) -> bytes:
        """What can be said by now."""
        return b"".join(map(self._writer.write, self._reader.feed(chunk)))

    def end(self) -> bytes:
        """What is left when the stream is over."""
        return b"".join(map(self._writer.write, self._reader.end()))
