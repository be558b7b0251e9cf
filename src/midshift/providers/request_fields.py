"""What a recorded request asks of a model, told apart by meaning: `Aspect`, however its wire spells the field.

Pure: a body that was read as JSON goes in, a list of findings comes out. A field that is null is not there. Texts are
measured and never kept.
Elsewhere: where each wire has its fields (request_places), what a model thinks of it (preflight), files (requests).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from midshift.providers.request_places import GEMINI_CONFIG, GEMINI_OWN, PATHS, Aspect
from midshift.wire.protocol import WireName


@dataclass(frozen=True, slots=True)
class Found:
    """A field of a request: what it is about, where it stands, and its value (for a part, how many there are)."""

    aspect: Aspect
    path: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as an app sent it. Of its headers only those that say how the body is to be read; `model` may be ''."""

    id: str
    wire: WireName
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = ""


VERSION_HEADER = "anthropic-version"
KEPT_HEADERS = (VERSION_HEADER, "anthropic-beta", "openai-beta")
"""A recorded header that is none of these is let go at once: it may be a key."""

_UNCOUNTED = frozenset({"data", "url", "file_data", "image_url", "signature", "encrypted_content", "thoughtSignature"})
_COUNTED = (
    "messages",
    "system",
    "tools",
    "input",
    "instructions",
    "contents",
    "systemInstruction",
    "system_instruction",
)


def fields(request: RecordedRequest) -> list[Found]:
    """Everything in a request that a model could refuse, or take in another way."""
    body = request.body
    found = [*plain_fields(request.wire, body), *_READERS[request.wire](body)]
    text_bytes = sum(_text_bytes(body[name]) for name in _COUNTED if name in body)
    found.append(Found(Aspect.LENGTH, "(whole prompt)", text_bytes))
    version = request.headers.get(VERSION_HEADER)
    if version is not None and request.wire is WireName.ANTHROPIC:
        found.append(Found(Aspect.API_VERSION, VERSION_HEADER, version))
    return [_with_length(one, text_bytes) for one in found]


def plain_fields(wire: WireName, body: Mapping[str, Any]) -> Iterator[Found]:
    """The fields whose place alone says what they are: of a body, or of what a variant sets."""
    if wire is WireName.GEMINI:
        body = _camel(body)
    for path, names, aspect in PATHS[wire]:
        value: Any = body.get(names[0])
        for name in names[1:]:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is None or (value in ([], "", {}) and aspect is not Aspect.STOP):
            continue
        if aspect is Aspect.TOOL_CHOICE:
            value = _choice(value)
        if aspect is Aspect.PARALLEL_TOOLS and path.startswith("tool_choice"):
            value = not value
        if aspect is Aspect.EFFORT and isinstance(value, str):
            value = value.lower()
        yield Found(aspect, path, value)


def _chat(body: Mapping[str, Any]) -> Iterator[Found]:
    messages = _listed(body.get("messages"))
    if messages and _role(messages[0]) in ("system", "developer"):
        yield Found(Aspect.SYSTEM, "messages[0]", _role(messages[0]))
    yield from _chat_format(body.get("response_format"), "response_format")
    kinds: dict[str, int] = {}
    marks = 0
    for message in messages:
        for part in _listed(_get(message, "content")):
            kind = _get(part, "type")
            kinds[str(kind)] = kinds.get(str(kind), 0) + 1
            marks += _get(part, "cache_control") is not None
    for kind, aspect in (("image_url", Aspect.IMAGE), ("file", Aspect.PDF), ("input_audio", Aspect.AUDIO)):
        if kind in kinds:
            yield Found(aspect, f"messages[].content[{kind}]", kinds[kind])
    if marks:
        yield Found(Aspect.CACHE_MARK, "messages[].content[].cache_control", marks)
    if messages and _role(messages[-1]) == "assistant":
        yield Found(Aspect.PREFILL, "messages[-1]", "assistant")


def _responses(body: Mapping[str, Any]) -> Iterator[Found]:
    text = body.get("text")
    yield from _chat_format(_get(text, "format"), "text.format")
    kinds: dict[str, int] = {}
    for item in _listed(body.get("input")):
        kind = str(_get(item, "type"))
        if kind == "item_reference" or (kind == "reasoning" and _get(item, "encrypted_content")):
            kinds[kind] = kinds.get(kind, 0) + 1
        for part in _listed(_get(item, "content")):
            kinds[str(_get(part, "type"))] = kinds.get(str(_get(part, "type")), 0) + 1
    seen = (
        ("input_image", Aspect.IMAGE, "input[].content[input_image]"),
        ("input_file", Aspect.PDF, "input[].content[input_file]"),
        ("input_audio", Aspect.AUDIO, "input[].content[input_audio]"),
        ("item_reference", Aspect.STORED_ID, "input[item_reference]"),
        ("reasoning", Aspect.REASONING_STATE, "input[reasoning].encrypted_content"),
    )
    for kind, aspect, path in seen:
        if kind in kinds:
            yield Found(aspect, path, kinds[kind])
    if "message.output_text.logprobs" in _listed(body.get("include")):
        yield Found(Aspect.LOGPROBS, "include", "message.output_text.logprobs")


def _chat_format(wanted: object, path: str) -> Iterator[Found]:
    match _get(wanted, "type"):
        case "json_schema":
            yield Found(Aspect.RESPONSE_SCHEMA, path, "json_schema")
        case "json_object":
            yield Found(Aspect.JSON_MODE, path, "json_object")


def _anthropic(body: Mapping[str, Any]) -> Iterator[Found]:
    counts: dict[tuple[Aspect, str], int] = {}

    def count(aspect: Aspect, path: str) -> None:
        counts[aspect, path] = counts.get((aspect, path), 0) + 1

    messages = _listed(body.get("messages"))
    for message in messages:
        role = _role(message)
        for block in _listed(_get(message, "content")):
            _count_block(block, role, count)
    for name in ("system", "tools"):
        for block in _listed(body.get(name)):
            if _get(block, "cache_control") is not None:
                count(Aspect.CACHE_MARK, f"{name}[].cache_control")
    if body.get("cache_control") is not None:
        count(Aspect.CACHE_MARK, "cache_control")
    if messages and _role(messages[-1]) == "assistant":
        yield Found(Aspect.PREFILL, "messages[-1]", "assistant")
    for (aspect, path), times in counts.items():
        yield Found(aspect, path, times)


def _count_block(block: object, role: str, count: Callable[[Aspect, str], None]) -> None:
    if _get(block, "cache_control") is not None:
        count(Aspect.CACHE_MARK, "messages[].content[].cache_control")
    if _get(_get(block, "source"), "type") == "file":
        count(Aspect.STORED_ID, "messages[].content[].source.file_id")
    match _get(block, "type"):
        case "image":
            count(Aspect.IMAGE, "messages[].content[image]")
        case "document":
            count(Aspect.PDF, "messages[].content[document]")
            if role == "assistant":
                count(Aspect.ASSISTANT_DOCUMENT, "messages[assistant].content[document]")
        case "text" if role == "user" and _get(block, "citations"):
            count(Aspect.USER_CITATIONS, "messages[user].content[].citations")
        case "thinking" | "redacted_thinking":
            count(Aspect.THINKING_STATE, "messages[].content[thinking]")
        case "tool_result":
            for part in _listed(_get(block, "content")):
                _count_block(part, role, count)


def _gemini(body: Mapping[str, Any]) -> Iterator[Found]:
    contents = _listed(body.get("contents"))
    counts: dict[tuple[Aspect, str], int] = {}
    for content in contents:
        for part in _listed(_get(content, "parts")):
            for key in _gemini_part(part):
                counts[key] = counts.get(key, 0) + 1
    for (aspect, path), times in counts.items():
        yield Found(aspect, path, times)
    thinking = _get(_camel(body).get(GEMINI_CONFIG), "thinkingConfig")
    if _get(thinking, "thinkingBudget") == 0:
        yield Found(Aspect.EFFORT, f"{GEMINI_CONFIG}.thinkingConfig.thinkingBudget", "none")
    if contents and _role(contents[-1]) == "model":
        yield Found(Aspect.PREFILL, "contents[-1]", "model")
    config = _camel(body).get(GEMINI_CONFIG)
    has_schema = any(_get(config, name) is not None for name in ("responseSchema", "responseJsonSchema"))
    if _get(config, "responseMimeType") == "application/json" and not has_schema:
        yield Found(Aspect.JSON_MODE, f"{GEMINI_CONFIG}.responseMimeType", "application/json")


def _gemini_part(part: object) -> Iterator[tuple[Aspect, str]]:
    if _get(part, "thoughtSignature") or _get(part, "thought_signature"):
        yield Aspect.THINKING_STATE, "contents[].parts[].thoughtSignature"
    if _get(part, "fileData") or _get(part, "file_data"):
        yield Aspect.STORED_ID, "contents[].parts[].fileData"
    inline = _get(part, "inlineData") or _get(part, "inline_data")
    kind = str(_get(inline, "mimeType") or _get(inline, "mime_type") or "")
    for start, aspect in (("image/", Aspect.IMAGE), ("application/pdf", Aspect.PDF), ("audio/", Aspect.AUDIO)):
        if kind.startswith(start):
            yield aspect, "contents[].parts[inlineData]"


_READERS: Mapping[WireName, Callable[[Mapping[str, Any]], Iterator[Found]]] = MappingProxyType(
    {
        WireName.OPENAI_CHAT: _chat,
        WireName.OPENAI_RESPONSES: _responses,
        WireName.ANTHROPIC: _anthropic,
        WireName.GEMINI: _gemini,
    }
)


def pinned_fields(wire: WireName, values: Mapping[str, Any]) -> list[Found]:
    """The fields that a variant sets, by the names that its parameters have on a wire.

    A name may be a dotted path; on Gemini's wire a bare one is of `generationConfig`, if it is not the request's own.
    """
    body: dict[str, Any] = {}
    for name, value in values.items():
        inner = body
        *outer, last = parameter_path(wire, name).split(".")
        for step in outer:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                break
        else:
            inner[last] = value
    return list(plain_fields(wire, body))


def parameter_path(wire: WireName, name: str) -> str:
    """Where a parameter of a variant stands in a request, in the spelling of `PATHS`."""
    if wire is not WireName.GEMINI:
        return name
    path = ".".join(_in_camel(step) for step in name.split("."))
    return path if "." in path or path in GEMINI_OWN else f"{GEMINI_CONFIG}.{path}"


def _camel(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body of Gemini's with its settings in camel case: Google's own client mixes both in one object."""
    made = {_in_camel(name): value for name, value in body.items()}
    for name in (GEMINI_CONFIG, "toolConfig"):
        inner = made.get(name)
        if isinstance(inner, Mapping):
            made[name] = {
                _in_camel(key): {_in_camel(last): item for last, item in value.items()}
                if isinstance(value, Mapping) and key not in ("responseSchema", "responseJsonSchema")
                else value
                for key, value in inner.items()
            }
    return made


def _in_camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _choice(value: object) -> str:
    """`forced` where the model has to call a tool, else the word that says how free it is."""
    said = str(_get(value, "type") or value).lower() if isinstance(value, Mapping | str) else ""
    return "forced" if said in ("required", "any", "tool", "function", "custom", "allowed_tools") else said


def _with_length(found: Found, text_bytes: int) -> Found:
    return Found(found.aspect, found.path, text_bytes) if found.aspect is Aspect.CACHE_MARK else found


def _text_bytes(value: object) -> int:
    """How many bytes of text a value holds; pictures, files and signatures are none."""
    match value:
        case str():
            return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
        case Mapping():
            return sum(_text_bytes(item) for name, item in value.items() if name not in _UNCOUNTED)
        case list():
            return sum(map(_text_bytes, value))
        case _:
            return 0


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _get(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _role(message: object) -> str:
    return str(_get(message, "role"))
