"""Anthropic Messages, to and from the neutral form. A `Translation`.

Elsewhere: requests (`reading`, `writing`), whole answers (`replies`), streams (`streams`).
"""

from midshift.wire.translation.anthropic.reading import read_request
from midshift.wire.translation.anthropic.replies import read_reply, write_reply
from midshift.wire.translation.anthropic.streams import reader, writer
from midshift.wire.translation.anthropic.writing import write_request

__all__ = ["read_request", "read_reply", "reader", "write_reply", "write_request", "writer"]
