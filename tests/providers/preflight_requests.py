"""Requests as vendors' clients send them, for tests of preflight: 200 with known faults, and a clean set.

Shapes as of the packages anthropic 2.12.0 and openai 3.54.0. The faults are counted where they are planted, so a test
can ask for exactly these and no others.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

SYSTEM = "You are the support assistant of a shop. Answer in two sentences, kindly, and say what happens next. " * 30
QUESTIONS = (
    "Where is my parcel?",
    "I was charged twice in March.",
    "Kann ich die Rechnung auf meine Firma umschreiben lassen?",
    "The app closes as soon as I open the basket.",
)
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LOOKUP: dict[str, Any] = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}


@dataclass
class Planted:
    """Lines of a trace file, and how many requests carry which fault for the candidate of the tests."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, path: str, headers: dict[str, str], body: dict[str, Any], faults: list[str]) -> None:
        """Add a request."""
        self.lines.append({"id": f"r-{len(self.lines)}", "path": path, "headers": headers, "body": body})
        self.faults.update(faults)
        self.faults["requests with a fault"] += bool(faults)


def anthropic_messages(random: Random) -> list[dict[str, Any]]:
    """A conversation of one to three turns."""
    turns = random.randrange(1, 4)
    messages: list[dict[str, Any]] = []
    for _ in range(turns - 1):
        messages.append({"role": "user", "content": random.choice(QUESTIONS)})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": "I am looking into it."}]})
    if random.random() < 0.2:
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        content: Any = [{"type": "image", "source": source}, {"type": "text", "text": random.choice(QUESTIONS)}]
    else:
        content = random.choice(QUESTIONS)
    return [*messages, {"role": "user", "content": content}]


def faulty(count: int = 200, seed: int = 1) -> Planted:
    """Requests of Anthropic's client, some with what a newer model refuses.

    The candidate of the tests takes no temperature but the default, adaptive thinking only, no prefill, and gives
    128,000 tokens of output at most.
    """
    random, planted = Random(seed), Planted()
    for _ in range(count):
        body: dict[str, Any] = {
            "model": "claude-sonnet-4-5-20250929",
            "max_tokens": random.choice((512, 1024, 4096, 64000)),
            "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
            "messages": anthropic_messages(random),
        }
        faults = _spoilt(body, random)
        if random.random() < 0.3:
            body["tools"] = [{"name": "look_up", "description": "Find an order.", "input_schema": LOOKUP}]
            body["tool_choice"] = {"type": "auto"}
        if random.random() < 0.5:
            body["stream"] = True
        headers = {"x-api-key": "sk-ant-not-a-key", "anthropic-version": "2023-06-01", "user-agent": "Anthropic/Python"}
        planted.add("/v1/messages", headers, body, faults)
    return planted


def _spoilt(body: dict[str, Any], random: Random) -> list[str]:
    faults = []
    if random.random() < 0.4:
        body["temperature"] = random.choice((0, 0.2, 0.7))
        faults.append("temperature")
    if random.random() < 0.1:
        body["temperature"] = 1.0
        faults = [fault for fault in faults if fault != "temperature"]
    if random.random() < 0.1:
        body["top_k"] = 40
        faults.append("top_k")
    if random.random() < 0.25:
        body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
        body["max_tokens"] = max(body["max_tokens"], 4096)
        faults.append("thinking.type")
    if random.random() < 0.15:
        body["messages"].append({"role": "assistant", "content": "{"})
        faults.append("messages[-1]")
    if random.random() < 0.1:
        body["max_tokens"] = 200_000
        faults.append("max_tokens")
    return faults


def clean(count: int = 200, seed: int = 2) -> Planted:
    """Requests that both a Claude 4.5 and a Claude 5 model take."""
    random, planted = Random(seed), Planted()
    for _ in range(count):
        body = {
            "model": "claude-sonnet-4-5-20250929",
            "max_tokens": random.choice((512, 1024)),
            "system": SYSTEM,
            "messages": anthropic_messages(random),
            "stop_sequences": ["END"],
        }
        planted.add("/v1/messages", {"anthropic-version": "2023-06-01"}, body, [])
    return planted


def chat(count: int = 200, seed: int = 3) -> Planted:
    """Requests of OpenAI's client to Chat Completions.

    The candidate of the tests takes `max_completion_tokens` only, tools with effort none only, no `minimal` effort, and
    sampling with effort none only.
    """
    random, planted = Random(seed), Planted()
    for _ in range(count):
        body: dict[str, Any] = {
            "model": "gpt-4o-2024-08-06",
            "messages": [
                {"role": random.choice(("system", "developer")), "content": SYSTEM},
                {"role": "user", "content": random.choice(QUESTIONS)},
            ],
        }
        faults = []
        if random.random() < 0.5:
            body["max_tokens"] = random.choice((300, 800))
            faults.append("max_tokens")
        else:
            body["max_completion_tokens"] = 800
        if random.random() < 0.4:
            body["temperature"] = 0.2
            faults.append("temperature")
        if random.random() < 0.2:
            body["reasoning_effort"] = "minimal"
            faults.append("reasoning_effort")
        if random.random() < 0.3:
            function = {"name": "look_up", "description": "Find an order.", "parameters": LOOKUP}
            body["tools"] = [{"type": "function", "function": function}]
            faults.append("tools")
        if random.random() < 0.3:
            schema = {"name": "answer", "schema": LOOKUP, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        planted.add("/v1/chat/completions", {"authorization": "Bearer not-a-key"}, body, faults)
    return planted
