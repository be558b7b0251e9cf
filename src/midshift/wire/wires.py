"""The wires by their names."""

from __future__ import annotations

from types import MappingProxyType

from midshift.wire import anthropic, gemini, openai_chat, openai_responses
from midshift.wire.protocol import WireName, Wires

WIRES: Wires = MappingProxyType(
    {
        WireName.OPENAI_CHAT: openai_chat,
        WireName.OPENAI_RESPONSES: openai_responses,
        WireName.ANTHROPIC: anthropic,
        WireName.GEMINI: gemini,
    }
)
