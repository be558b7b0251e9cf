"""The wires by their names."""

from __future__ import annotations

from types import MappingProxyType

from midshift.wire import openai_chat
from midshift.wire.protocol import WireName, Wires

WIRES: Wires = MappingProxyType({WireName.OPENAI_CHAT: openai_chat})
