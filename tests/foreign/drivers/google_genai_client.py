"""Drives the vendor's package `google-genai`, as an app does: only `base_url` is not the vendor's."""

from typing import Any

from answering import answer  # type: ignore[import-not-found]
from google import genai  # type: ignore[import-not-found]
from google.genai import types  # type: ignore[import-not-found]

TOOL = {
    "name": "weather",
    "description": "Tells the weather.",
    "parameters_json_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def client(base_url: str, version: str | None = None) -> Any:
    """A client; without a version it asks for its own default one."""
    options = types.HttpOptions(base_url=base_url, api_version=version)
    return genai.Client(api_key="key-of-the-app", vertexai=False, http_options=options)


def generate(base_url: str, model: str, text: str, version: str | None = None, **more: Any) -> Any:
    """A whole answer."""
    contents = more.pop("contents", text)
    held = client(base_url, version)  # a client that nobody holds closes itself
    found = held.models.generate_content(model=model, contents=contents, config=config(**more))
    headers = dict(found.sdk_http_response.headers) if found.sdk_http_response else {}
    return {"headers": headers, **told(found)}


def generate_stream(base_url: str, model: str, text: str, version: str | None = None, **more: Any) -> Any:
    """A stream, chunk by chunk."""
    held = client(base_url, version)
    stream = held.models.generate_content_stream(model=model, contents=text, config=config(**more))
    return [told(chunk) for chunk in stream]


def count_tokens(base_url: str, model: str, text: str) -> Any:
    """How many tokens a request has."""
    held = client(base_url)
    return held.models.count_tokens(model=model, contents=text).model_dump(mode="json")


def models(base_url: str, model: str) -> Any:
    """The models, and one of them."""
    found = client(base_url)
    return {"listed": [item.name for item in found.models.list()], "one": found.models.get(model=model).name}


def config(tools: bool = False, **more: Any) -> Any:
    """What an app configures."""
    declared = [types.Tool(function_declarations=[types.FunctionDeclaration(**TOOL)])]
    off = types.AutomaticFunctionCallingConfig(disable=True)
    given = {"tools": declared, "automatic_function_calling": off} if tools else {}
    return types.GenerateContentConfig(system_instruction="You help.", **given, **more)


def told(found: Any) -> Any:
    """What an app reads of an answer or a chunk."""
    usage = found.usage_metadata
    status = getattr(found, "model_status", None)
    return {
        "text": found.text if found.candidates else None,
        "calls": [(call.name, call.args) for call in found.function_calls or []],
        "parts": [
            part.model_dump(mode="json", exclude_none=True)
            for part in ((found.candidates or [None])[0].content.parts if found.candidates else None) or []
        ],
        "finish": found.candidates[0].finish_reason if found.candidates else None,
        "model": found.model_version,
        "id": found.response_id,
        "usage": usage.model_dump(mode="json", exclude_none=True) if usage else None,
        "status": status.model_dump(mode="json", exclude_none=True) if status else None,
    }


if __name__ == "__main__":
    answer({"generate": generate, "generate_stream": generate_stream, "count_tokens": count_tokens, "models": models})
