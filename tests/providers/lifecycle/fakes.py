"""A vendor that answers from a table, a catalogue and lists of a few models, and stub servers on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date

from midshift.domain.retirement import ModelName
from midshift.ports import HttpAnswer, HttpFailed, HttpRequest
from midshift.providers import catalogue
from midshift.providers.lifecycle.collected import Collected, Evidence
from midshift.providers.lifecycle.settle import Lists

TAKEN = date(2026, 11, 1)
COLLECTED_ON = date(2026, 10, 1)
MODELS = {
    "gpt-old": {
        "litellm_provider": "openai",
        "mode": "chat",
        "deprecation_date": "2027-03-01",
        "source": "https://page",
    },
    "gpt-gone": {"litellm_provider": "openai", "mode": "chat", "deprecation_date": "2026-02-01"},
    "gpt-new": {"litellm_provider": "openai", "mode": "chat"},
    "claude-old": {"litellm_provider": "anthropic", "mode": "chat", "deprecation_date": "2027-03-01"},
    "us.amazon.old": {"litellm_provider": "bedrock", "mode": "chat"},
    "amazon.old": {"litellm_provider": "bedrock", "mode": "chat", "deprecation_date": "2027-03-01"},
    "azure/gpt-old": {"litellm_provider": "azure", "mode": "chat", "deprecation_date": "2027-03-01"},
    "gpt-odd": {"litellm_provider": "openai", "mode": "chat", "deprecation_date": "some day"},
}
CATALOGUE = catalogue.read(catalogue.taken(json.dumps(MODELS).encode(), "https://list", "list 1", TAKEN))
KEPT = {
    ModelName("openai", "gpt-gone"): Collected(
        date(2026, 3, 1), "gpt-new", "a page", Evidence.VENDOR_DOCS, COLLECTED_ON, ""
    ),
    ModelName("mistral", "gone"): Collected(
        date(2026, 5, 31), None, "https://elsewhere", Evidence.THIRD_PARTY, COLLECTED_ON, ""
    ),
}


def lists(user: Mapping[ModelName, date] | None = None) -> Lists:
    """What is known without a network."""
    return Lists(CATALOGUE, KEPT, user or {})


@dataclass(slots=True)
class Table:
    """Implements `ports.Http`: answers by URL, and keeps what it was asked."""

    answers: Mapping[str, HttpAnswer | HttpFailed | list[HttpAnswer]]
    asked: list[HttpRequest] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def ask(self, request: HttpRequest, timeout_s: float) -> HttpAnswer:
        """The answer of the table; a list of them is given in turn."""
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        found = self.answers[request.url]
        if isinstance(found, HttpFailed):
            raise found
        return found.pop(0) if isinstance(found, list) else found


def answer(status: int, body: object = b"") -> HttpAnswer:
    """An answer with a JSON body, or with these bytes."""
    return HttpAnswer(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


@asynccontextmanager
async def stub(replies: Mapping[str, bytes | None]) -> AsyncIterator[str]:
    """A server on loopback that sends raw replies by path and then closes; to None and what it does not know it sends
    nothing at all."""
    closing = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        raw = replies.get(head.split(b" ")[1].decode())
        if raw is None:
            await closing.wait()
        else:
            writer.write(raw)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        closing.set()
        server.close()
        await server.wait_closed()


def raw(status: str, body: object = b"", *, cut: int = 0) -> bytes:
    """A reply as it goes over the wire; `cut` announces more bytes than there are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = len(content) + cut
    return f"HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n".encode() + content
