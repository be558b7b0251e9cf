"""Which wire a request is on, told by its path, and what it asks for.

The paths are those that the vendors' clients call. `GET /v1/models` is claimed by three vendors: Anthropic's clients
send `anthropic-version`, Google's `x-goog-api-key`, and all others speak OpenAI's. The prefixes `/openai`,
`/anthropic` and `/gemini` may be put in front of any path, and then there is no doubt.
Elsewhere: what is in the request (the wires), who answers it (gateway).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from midshift.wire.protocol import WireName


class Operation(StrEnum):
    """What a request asks for."""

    GENERATE = "generate"
    COUNT_TOKENS = "count_tokens"
    LIST_MODELS = "list_models"
    GET_MODEL = "get_model"
    STORED_RESPONSE = "stored_response"
    REALTIME = "realtime"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request by its path. `path` is without the mounted prefix; `model` is the one that `GET_MODEL` names, and
    `response` the id that `STORED_RESPONSE` names.
    """

    operation: Operation
    wire: WireName
    path: str
    model: str = ""
    response: str = ""


_MOUNTS = {"openai": WireName.OPENAI_CHAT, "anthropic": WireName.ANTHROPIC, "gemini": WireName.GEMINI}
_GEMINI = re.compile(r"/v1(?:beta|alpha)?/models/[^/:]+:(\w+)")
_GEMINI_OPERATIONS = {
    "generateContent": Operation.GENERATE,
    "streamGenerateContent": Operation.GENERATE,
    "countTokens": Operation.COUNT_TOKENS,
}
_POSTED = {
    path: Asked(operation, wire, path)
    for path, operation, wire in (
        ("/v1/chat/completions", Operation.GENERATE, WireName.OPENAI_CHAT),
        ("/v1/responses", Operation.GENERATE, WireName.OPENAI_RESPONSES),
        ("/v1/responses/input_tokens", Operation.COUNT_TOKENS, WireName.OPENAI_RESPONSES),
        ("/v1/messages", Operation.GENERATE, WireName.ANTHROPIC),
        ("/v1/messages/count_tokens", Operation.COUNT_TOKENS, WireName.ANTHROPIC),
    )
}
_RESPONSE = re.compile(r"/v1/responses/([A-Za-z0-9_-]+)(/cancel|/input_items)?")
_ABOUT_A_RESPONSE = {("GET", None), ("DELETE", None), ("POST", "/cancel"), ("GET", "/input_items")}
_MODELS = re.compile(r"/v1(beta|alpha)?/models(?:/([^:]+))?")


def recognised(method: str, path: str, headers: Mapping[bytes, bytes]) -> Asked | None:
    """What a request asks for; None for a path that no wire knows."""
    mounted, path = _unmounted(path)
    posted = _POSTED.get(path)
    if method == "POST" and posted is not None:
        return posted if mounted is None or _same_vendor(mounted, posted.wire) else None
    about = _RESPONSE.fullmatch(path)
    if about is not None and (method, about[2]) in _ABOUT_A_RESPONSE and mounted in (None, WireName.OPENAI_CHAT):
        return Asked(Operation.STORED_RESPONSE, WireName.OPENAI_RESPONSES, path, response=about[1])
    if method == "POST" and mounted in (None, WireName.GEMINI):
        return _gemini(path)
    if method == "GET" and (found := _MODELS.fullmatch(path)) is not None:
        wire = mounted or (WireName.GEMINI if found[1] else _by_headers(headers))
        operation = Operation.GET_MODEL if found[2] else Operation.LIST_MODELS
        return Asked(operation, wire, path, found[2] or "")
    return Asked(Operation.REALTIME, WireName.OPENAI_CHAT, path) if path.startswith("/v1/realtime") else None


def wire_of(path: str, headers: Mapping[bytes, bytes]) -> WireName:
    """In whose words to refuse a path that no wire knows."""
    mounted, path = _unmounted(path)
    if mounted is not None:
        return mounted
    if path.startswith(("/v1beta/", "/v1alpha/")):
        return WireName.GEMINI
    return _by_headers(headers)


def _gemini(path: str) -> Asked | None:
    found = _GEMINI.fullmatch(path)
    operation = _GEMINI_OPERATIONS.get(found[1]) if found is not None else None
    return None if operation is None else Asked(operation, WireName.GEMINI, path)


def _unmounted(path: str) -> tuple[WireName | None, str]:
    first, slash, rest = path.removeprefix("/").partition("/")
    mounted = _MOUNTS.get(first)
    return (mounted, f"/{rest}") if mounted is not None and slash else (None, path)


def _same_vendor(mounted: WireName, wire: WireName) -> bool:
    return mounted is wire or (mounted is WireName.OPENAI_CHAT and wire is WireName.OPENAI_RESPONSES)


def _by_headers(headers: Mapping[bytes, bytes]) -> WireName:
    if b"anthropic-version" in headers:
        return WireName.ANTHROPIC
    return WireName.GEMINI if b"x-goog-api-key" in headers else WireName.OPENAI_CHAT
