"""Drives the vendor's package `openai`, as an app does: only `base_url` is not the vendor's."""

from typing import Any

import openai  # type: ignore[import-not-found]
from answering import answer  # type: ignore[import-not-found]

TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCHEMA = {**TOOL, "additionalProperties": False}


def client(base_url: str, retries: int = 0, key: str | None = None) -> Any:
    """A client that refuses an answer which is not of its own types."""
    return openai.OpenAI(
        base_url=base_url, api_key=key or "sk-of-the-app", max_retries=retries, _strict_response_validation=True
    )


def chat(base_url: str, model: str, text: str, tools: bool = False, retries: int = 0, **more: Any) -> Any:
    """A whole answer of Chat Completions."""
    if tools:
        function = {"name": "weather", "description": "Tells the weather.", "parameters": TOOL}
        more["tools"] = [{"type": "function", "function": function}]
    raw = client(base_url, retries, more.pop("key", None)).chat.completions.with_raw_response.create(
        model=model, messages=more.pop("messages", None) or messages(text), **more
    )
    found = raw.parse()
    return {"headers": dict(raw.headers), "request_id": found._request_id, **found.model_dump(mode="json")}


def chat_stream(base_url: str, model: str, text: str, tools: bool = False, **more: Any) -> Any:
    """A stream of Chat Completions: the pieces, and what the client's own helper puts together."""
    if tools:
        more["tools"] = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
    pieces, usages = [], []
    with client(base_url, key=more.pop("key", None)).chat.completions.stream(
        model=model, messages=messages(text), **more
    ) as stream:
        for event in stream:
            if event.type == "chunk":
                pieces.append(event.chunk.choices[0].delta.content if event.chunk.choices else None)
                usages.append(event.chunk.usage is not None)
        found = stream.get_final_completion().model_dump(mode="json")
    return {"pieces": pieces, "usages": usages, **found}


def chat_parsed(base_url: str, model: str, text: str) -> Any:
    """Structured output."""
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
    return chat(base_url, model, text, response_format=form)


def responses(base_url: str, model: str, text: str, tools: bool = False, **more: Any) -> Any:
    """A whole answer of the Responses API."""
    if tools:
        more["tools"] = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]
    found = client(base_url, key=more.pop("key", None)).responses.create(
        model=model, input=more.pop("input", text), **more
    )
    return {**found.model_dump(mode="json"), "text": found.output_text, "request_id": found._request_id}


def responses_stream(base_url: str, model: str, text: str, tools: bool = False, **more: Any) -> Any:
    """A stream of the Responses API: the types of its events, and what the client's own helper puts together."""
    if tools:
        more["tools"] = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]
    with client(base_url, key=more.pop("key", None)).responses.stream(model=model, input=text, **more) as stream:
        types = [event.type for event in stream]
        found = stream.get_final_response()
    return {**found.model_dump(mode="json"), "types": types, "text": found.output_text}


def responses_events(base_url: str, model: str, text: str) -> Any:
    """A stream of the Responses API as it comes: this client yields an error instead of raising it."""
    stream = client(base_url).responses.create(model=model, input=text, stream=True)
    return [event.model_dump(mode="json") for event in stream]


def input_tokens(base_url: str, model: str, text: str) -> Any:
    """How many tokens a request of the Responses API has."""
    return client(base_url).responses.input_tokens.count(model=model, input=text).model_dump(mode="json")


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
    return [{"role": "system", "content": "You help."}, {"role": "user", "content": text}]


if __name__ == "__main__":
    answer(
        {
            "chat": chat,
            "chat_stream": chat_stream,
            "chat_parsed": chat_parsed,
            "responses": responses,
            "responses_stream": responses_stream,
            "responses_events": responses_events,
            "input_tokens": input_tokens,
            "models": models,
        }
    )
