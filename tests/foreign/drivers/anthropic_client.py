"""Drives the vendor's package `anthropic`, as an app does: only `base_url` is not the vendor's."""

from typing import Any

import anthropic  # type: ignore[import-not-found]
from answering import answer  # type: ignore[import-not-found]

TOOLS = [
    {
        "name": "weather",
        "description": "Tells the weather.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]


def client(base_url: str, retries: int = 0, key: str | None = None) -> Any:
    """A client that refuses an answer which is not of its own types."""
    return anthropic.Anthropic(
        base_url=base_url, api_key=key or "sk-of-the-app", max_retries=retries, _strict_response_validation=True
    )


def message(base_url: str, model: str, text: str, tools: bool = False, retries: int = 0, **more: Any) -> Any:
    """A whole answer."""
    more |= {"tools": TOOLS} if tools else {}
    raw = client(base_url, retries, more.pop("key", None)).messages.with_raw_response.create(
        model=model, max_tokens=2000, messages=more.pop("messages", None) or messages(text), system="You help.", **more
    )
    found = raw.parse()
    return {"headers": dict(raw.headers), "request_id": found._request_id, **found.model_dump(mode="json")}


def message_stream(base_url: str, model: str, text: str, tools: bool = False, **more: Any) -> Any:
    """A stream: the pieces, and what the client's own helper puts together."""
    more |= {"tools": TOOLS} if tools else {}
    with client(base_url, key=more.pop("key", None)).messages.stream(
        model=model, max_tokens=2000, messages=messages(text), system="You help.", **more
    ) as stream:
        pieces = [event.delta.type for event in stream if event.type == "content_block_delta"]
        found = stream.get_final_message()
    return {"pieces": pieces, **found.model_dump(mode="json")}


def count_tokens(base_url: str, model: str, text: str) -> Any:
    """How many tokens a request has."""
    return client(base_url).messages.count_tokens(model=model, messages=messages(text)).model_dump(mode="json")


def models(base_url: str, model: str) -> Any:
    """The models, and one of them."""
    found = client(base_url)
    return {
        "listed": [item.id for item in found.models.list()],
        "one": found.models.retrieve(model).id,
        "by": type(found.models.retrieve(model)).__name__,
    }


def messages(text: str) -> Any:
    """A short conversation."""
    return [{"role": "user", "content": text}]


if __name__ == "__main__":
    answer({"message": message, "message_stream": message_stream, "count_tokens": count_tokens, "models": models})
