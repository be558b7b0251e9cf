"""A request of Gemini's as a conversation.

Calls of functions need no id here, and elsewhere they do: one that has none is counted, and a response without an id
belongs to the first unanswered call of its name. Thoughts are left out, since no other model can read them, and so are
labels. All else that has no neutral form is `Uncarried`, with its place.
Facts: the REST reference of `models.generateContent`, and the types of google-genai 3.x.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from midshift.wire.gemini.parts import decoded, parts_of
from midshift.wire.gemini.request import GeminiRequest
from midshift.wire.protocol import Unreadable
from midshift.wire.translation.conversation import (
    Choice,
    Conversation,
    JsonFormat,
    Media,
    Named,
    Part,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
    Uncarried,
)

_TOP = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "labels", "model"}
_CONFIG = {"temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "frequencyPenalty"} | {
    *("presencePenalty", "candidateCount", "responseMimeType", "responseSchema", "responseJsonSchema"),
    *("thinkingConfig", "responseModalities"),
}
_CHOICES = {"AUTO": Choice.AUTO, "ANY": Choice.REQUIRED, "NONE": Choice.NONE, "MODE_UNSPECIFIED": None}
_UNFILTERED = ("OFF", "BLOCK_NONE", "HARM_BLOCK_THRESHOLD_UNSPECIFIED")
_DYNAMIC_BUDGET = -1
_ALONE = "only Gemini's API knows this field"


def read_request(body: bytes, path: str, query: str = "") -> Conversation:
    """See `Translation`."""
    request = GeminiRequest(body, path, query)
    fields = _camel(decoded(body) or {})
    _refuse_others(fields, "", _TOP)
    _refuse_filters(fields.get("safetySettings"))
    config = _object(fields.get("generationConfig"))
    _refuse_others(config, "generationConfig.", _CONFIG)
    effort, thinking_tokens = _thinking(_object(config.get("thinkingConfig")))
    return Conversation(
        model=request.model,
        turns=tuple(_turns(fields.get("contents"))),
        system=_system(fields.get("systemInstruction")),
        tools=tuple(_tools(fields.get("tools"))),
        tool_choice=_choice(fields.get("toolConfig")),
        format=_format(config),
        max_tokens=config.get("maxOutputTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        top_k=config.get("topK"),
        stop=tuple(config.get("stopSequences") or ()),
        seed=config.get("seed"),
        frequency_penalty=config.get("frequencyPenalty"),
        presence_penalty=config.get("presencePenalty"),
        effort=effort,
        thinking_tokens=thinking_tokens,
        stream=request.stream,
    )


def _refuse_others(found: Mapping[str, Any], place: str, carried: set[str]) -> None:
    for name, value in found.items():
        if name not in carried and value not in (None, [], {}, False):
            raise Uncarried(f"{place}{name}", _ALONE)
    if found.get("candidateCount", 1) != 1:
        raise Uncarried(f"{place}candidateCount", "one answer is asked for, everywhere else")
    if [mode for mode in found.get("responseModalities") or () if mode != "TEXT"]:
        raise Uncarried(f"{place}responseModalities", "only text is answered elsewhere")


def _refuse_filters(settings: object) -> None:
    for at, setting in enumerate(settings if isinstance(settings, list) else ()):
        if _object(setting).get("threshold") not in _UNFILTERED:
            raise Uncarried(f"safetySettings.{at}", "other vendors' filters are not set by a request")


def _turns(contents: object) -> Iterator[Turn]:
    if isinstance(contents, str):
        yield Turn(Role.USER, (Text(contents),))
        return
    calls = _Calls()
    for at, content in enumerate(contents if isinstance(contents, list) else ()):
        role = _object(content).get("role") or "user"
        if role not in ("user", "model", "function"):
            raise Unreadable(f"'contents.{at}.role' must be user or model", f"contents.{at}.role")
        found = [
            part
            for number, raw in enumerate(parts_of(content))
            if (part := _part(_camel(raw), f"contents.{at}.parts.{number}", calls)) is not None
        ]
        if found:
            yield Turn(Role.ASSISTANT if role == "model" else Role.USER, tuple(found))


class _Calls:
    """The ids of calls, where the app gave none."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[tuple[str, str]] = []

    def called(self, name: str, given: object) -> str:
        """The id of a call."""
        self._count += 1
        made = given if isinstance(given, str) and given else f"call_{self._count}"
        self._open.append((name, made))
        return made

    def answered(self, name: str, given: object, place: str) -> str:
        """The id of the call that a response belongs to."""
        matching = [item for item in self._open if (item[1] == given if given else item[0] == name)]
        if matching:
            self._open.remove(matching[0])
            return matching[0][1]
        if isinstance(given, str) and given:
            return given
        raise Unreadable(f"{place!r} answers no call of {name!r} that stands before it", place)


def _part(part: Mapping[str, Any], place: str, calls: _Calls) -> Part | None:
    if part.get("thought"):
        return None
    match part:
        case {"text": str(text)}:
            return Text(text)
        case {"inlineData": dict(data)}:
            found = _camel(data)
            return _media(found.get("mimeType"), data=found.get("data"), name=found.get("displayName"))
        case {"fileData": dict(data)}:
            found = _camel(data)
            uri = str(found.get("fileUri", ""))
            if "/files/" in uri or not uri.startswith(("http://", "https://")):
                raise Uncarried(f"{place}.fileData", "only Google can read this file")
            return _media(found.get("mimeType"), url=uri, name=found.get("displayName"))
        case {"functionCall": dict(call)}:
            name = str(call.get("name", ""))
            return ToolCall(calls.called(name, call.get("id")), name, _json(call.get("args") or {}))
        case {"functionResponse": dict(answer)}:
            return _result(answer, place, calls)
        case _ if set(part) <= {"thoughtSignature"}:
            return None
        case _:
            raise Uncarried(place, f"a part with {', '.join(sorted(part))} is known to Gemini's API alone")


def _media(media_type: object, data: str | None = None, url: str | None = None, name: str | None = None) -> Media:
    kind = str(media_type or "")
    what = "image" if kind.startswith("image/") else "audio" if kind.startswith("audio/") else "document"
    return Media(what, kind or None, data=data, url=url, name=name)


def _result(answer: Mapping[str, Any], place: str, calls: _Calls) -> ToolResult:
    name, response = str(answer.get("name", "")), answer.get("response")
    if answer.get("parts"):
        raise Uncarried(f"{place}.functionResponse.parts", "media within a response is known to Gemini's API alone")
    call_id = calls.answered(name, answer.get("id"), place)
    match response:
        case {"error": str(text), **rest} if not rest:
            return ToolResult(call_id, (Text(text),), is_error=True, name=name)
        case {"result": str(text), **rest} | {"output": str(text), **rest} if not rest:
            return ToolResult(call_id, (Text(text),), name=name)
        case _:
            return ToolResult(call_id, (Text(_json(response)),), name=name)


def _system(instruction: object) -> str | None:
    if isinstance(instruction, str):
        return instruction
    texts = [part["text"] for part in parts_of(instruction) if isinstance(part.get("text"), str)]
    return "\n".join(texts) if texts else None


def _tools(tools: object) -> Iterator[Tool]:
    for at, tool in enumerate(tools if isinstance(tools, list) else ()):
        found = _camel(tool)
        for name in found:
            if name != "functionDeclarations":
                raise Uncarried(f"tools.{at}.{name}", "Google runs this tool itself")
        for declared in map(_camel, found.get("functionDeclarations") or ()):
            schema = declared.get("parametersJsonSchema") or _json_schema(declared.get("parameters"))
            yield Tool(str(declared.get("name", "")), declared.get("description"), schema)


def _choice(config: object) -> Choice | Named | None:
    found = _camel(_object(_camel(_object(config)).get("functionCallingConfig")))
    mode, allowed = found.get("mode"), found.get("allowedFunctionNames") or []
    if mode is None:
        return None
    if mode == "ANY" and len(allowed) == 1:
        return Named(allowed[0])
    if str(mode) not in _CHOICES or allowed:
        raise Uncarried("toolConfig.functionCallingConfig", f"the mode {mode!r} with {len(allowed)} functions")
    return _CHOICES[str(mode)]


def _format(config: Mapping[str, Any]) -> JsonFormat | None:
    kind = config.get("responseMimeType")
    if kind not in (None, "text/plain", "application/json"):
        raise Uncarried("generationConfig.responseMimeType", f"answers of the type {kind!r} are known to Gemini alone")
    if kind != "application/json":
        return None
    return JsonFormat(config.get("responseJsonSchema") or _json_schema(config.get("responseSchema")))


def _thinking(config: Mapping[str, Any]) -> tuple[str | None, int | None]:
    level, budget = config.get("thinkingLevel"), config.get("thinkingBudget")
    if isinstance(level, str):
        return level.lower(), None
    if budget is None or budget == _DYNAMIC_BUDGET:
        return None, None
    return ("none", None) if budget == 0 else (None, budget)


def _json_schema(schema: object) -> Any:
    """A schema of OpenAPI's kind as JSON Schema: types in lower case, `nullable` as a type."""
    if isinstance(schema, list):
        return [_json_schema(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {name: value if name in ("enum", "required") else _json_schema(value) for name, value in schema.items()}
    if isinstance(found.get("type"), str):
        found["type"] = found["type"].lower()
        if found.pop("nullable", False):
            found["type"] = [found["type"], "null"]
    return found


def _camel(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same names without underscores: Google's clients send either."""
    return {_camel_name(name): _config(value) if name in _NESTED else value for name, value in found.items()}


_NESTED = ("generationConfig", "generation_config", "thinkingConfig", "thinking_config")


def _config(value: Any) -> Any:
    return _camel(value) if isinstance(value, Mapping) else value


def _camel_name(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
