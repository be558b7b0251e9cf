"""One app on each wire: the vendor's newest client, asked in the same words, and what it understood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from midshift.wire.protocol import WireName
from tests.foreign.clients import Client
from tests.foreign.stage import CLAIM

CLIENT_OF = {
    WireName.OPENAI_CHAT: "openai-3",
    WireName.OPENAI_RESPONSES: "openai-3",
    WireName.ANTHROPIC: "anthropic-2",
    WireName.GEMINI: "google-genai-3",
}

PORTABLE: dict[WireName, dict[str, Any]] = {
    WireName.OPENAI_CHAT: {"max_completion_tokens": 2000},
    WireName.OPENAI_RESPONSES: {"max_output_tokens": 2000, "store": False},
    WireName.ANTHROPIC: {},
    WireName.GEMINI: {"max_output_tokens": 2000},
}
"""What an app says so that another vendor's model may answer it: Anthropic's needs a limit, and none stores for us."""


@dataclass(frozen=True, slots=True)
class Understood:
    """What an app read: the words, the calls of tools, and the tokens that went in and came out."""

    text: str | None
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    tokens: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True, slots=True)
class App:
    """An app on one wire."""

    wire: WireName
    client: Client

    async def ask(self, address: str, text: str, stream: bool = False, tools: bool = False, **more: Any) -> Any:
        """What the client gives back, as it is."""
        call = {
            WireName.OPENAI_CHAT: "chat",
            WireName.OPENAI_RESPONSES: "responses",
            WireName.ANTHROPIC: "message",
            WireName.GEMINI: "generate",
        }[self.wire]
        more = {**PORTABLE[self.wire], **more}
        if stream and self.wire is WireName.OPENAI_CHAT:
            more["stream_options"] = {"include_usage": True}
        root = f"{address}/v1" if self.client.name.startswith("openai") else address
        name = f"{call}_stream" if stream else call
        return await self.client.call(name, **{"base_url": root, "model": CLAIM, "text": text, "tools": tools, **more})

    async def understood(self, address: str, text: str, stream: bool = False, tools: bool = False) -> Understood:
        """What the client gives back, in one form."""
        found = await self.ask(address, text, stream, tools)
        assert "raised" not in found, found
        match self.wire:
            case WireName.OPENAI_CHAT:
                return _of_chat(found)
            case WireName.OPENAI_RESPONSES:
                return _of_responses(found)
            case WireName.ANTHROPIC:
                return _of_message(found)
            case WireName.GEMINI:
                return _of_gemini(found if stream else [found])


def _of_chat(found: Any) -> Understood:
    message, usage = found["choices"][0]["message"], found["usage"]
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"] or ()]
    return _understood(message["content"], calls, usage["prompt_tokens"], usage["completion_tokens"])


def _of_responses(found: Any) -> Understood:
    calls = [(item["name"], item["arguments"]) for item in found["output"] if item["type"] == "function_call"]
    return _understood(found["text"], calls, found["usage"]["input_tokens"], found["usage"]["output_tokens"])


def _of_message(found: Any) -> Understood:
    text = "".join(block["text"] for block in found["content"] if block["type"] == "text")
    calls = [(block["name"], json.dumps(block["input"])) for block in found["content"] if block["type"] == "tool_use"]
    usage = found["usage"]
    return _understood(text, calls, usage["input_tokens"] + usage["cache_read_input_tokens"], usage["output_tokens"])


def _of_gemini(chunks: Any) -> Understood:
    text = "".join(chunk["text"] or "" for chunk in chunks)
    calls = [(name, json.dumps(arguments)) for chunk in chunks for name, arguments in chunk["calls"]]
    usage = chunks[-1]["usage"]
    out = usage["candidates_token_count"] + usage["thoughts_token_count"]
    return _understood(text, calls, usage["prompt_token_count"], out)


def _understood(text: str | None, calls: list[tuple[str, str]], into: int, out: int) -> Understood:
    return Understood(text or None, tuple((name, json.loads(arguments)) for name, arguments in calls), (into, out))
