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
from midshift.wire.translation.gemini.schemas import json_schema

_TOP = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "labels", "model"}
_CONFIG = {"temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "frequencyPenalty"} | {
    *("presencePenalty", "candidateCount", "responseMimeType", "responseSchema", "responseJsonSchema"),
    *("thinkingConfig", "responseModalities"),
}
_DECLARED = {"name", "description", "parameters", "parametersJsonSchema"}
_VALIDATED = "VALIDATED"
_CHOICES: dict[str, Choice | None] = {
    "AUTO": Choice.AUTO,
    "ANY": Choice.REQUIRED,
    "NONE": Choice.NONE,
    _VALIDATED: Choice.AUTO,
    "MODE_UNSPECIFIED": None,
}
_BESIDE = ("thought", "thoughtSignature", "partMetadata")
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
    _refuse_kinds_of_answers(config)
    calling = _calling(fields.get("toolConfig"))
    effort, thinking_tokens = _thinking(_object(config.get("thinkingConfig")))
    return Conversation(
        model=request.model,
        turns=tuple(_turns(fields.get("contents"))),
        system=_system(fields.get("systemInstruction")),
        tools=tuple(_tools(fields.get("tools"), calling.get("mode"))),
        tool_choice=_choice(calling),
        format=_format(config),
        max_tokens=_whole(config, "maxOutputTokens"),
        temperature=_number(config, "temperature"),
        top_p=_number(config, "topP"),
        top_k=_whole(config, "topK"),
        stop=tuple(text for text in config.get("stopSequences") or () if isinstance(text, str)),
        seed=_whole(config, "seed"),
        frequency_penalty=_number(config, "frequencyPenalty"),
        presence_penalty=_number(config, "presencePenalty"),
        effort=effort,
        thinking_tokens=thinking_tokens,
        stream=request.stream,
    )


def _refuse_others(found: Mapping[str, Any], place: str, carried: set[str]) -> None:
    for name, value in found.items():
        if name not in carried and value not in (None, [], {}, False):
            raise Uncarried(f"{place}{name}", _ALONE)


def _refuse_kinds_of_answers(config: Mapping[str, Any]) -> None:
    if config.get("candidateCount", 1) != 1:
        raise Uncarried("generationConfig.candidateCount", "one answer is asked for, everywhere else")
    if [mode for mode in config.get("responseModalities") or () if mode != "TEXT"]:
        raise Uncarried("generationConfig.responseModalities", "only text is answered elsewhere")


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
    """A part; None for one that says nothing to another model."""
    if part.get("thought"):
        return None
    kinds = [name for name in part if name not in _BESIDE]
    if kinds in ([], ["text"]) and not part.get("text"):
        return None
    match kinds[0], part[kinds[0]]:
        case _ if len(kinds) > 1:
            raise Uncarried(f"{place}.{kinds[1]}", _ALONE)
        case "text", str(text):
            return Text(text)
        case "inlineData", dict(data):
            found = _camel(data)
            return _media(found.get("mimeType"), data=found.get("data"), name=found.get("displayName"))
        case "fileData", dict(data):
            return _file(_camel(data), place)
        case "functionCall", dict(call):
            name = _name(call, place)
            return ToolCall(calls.called(name, call.get("id")), name, _json(call.get("args") or {}))
        case "functionResponse", dict(answer):
            return _result(_camel(answer), place, calls)
        case kind, _:
            raise Uncarried(f"{place}.{kind}", _ALONE)


def _file(found: Mapping[str, Any], place: str) -> Media:
    uri = str(found.get("fileUri", ""))
    if "/files/" in uri or not uri.startswith(("http://", "https://")):
        raise Uncarried(f"{place}.fileData", "only Google can read this file")
    return _media(found.get("mimeType"), url=uri, name=found.get("displayName"))


def _media(media_type: object, data: str | None = None, url: str | None = None, name: str | None = None) -> Media:
    kind = str(media_type or "")
    what = "image" if kind.startswith("image/") else "audio" if kind.startswith("audio/") else "document"
    return Media(what, kind or None, data=data, url=url, name=name)


def _result(answer: Mapping[str, Any], place: str, calls: _Calls) -> ToolResult:
    _refuse_others(answer, f"{place}.functionResponse.", {"id", "name", "response"})
    name, response = _name(answer, place), answer.get("response")
    call_id = calls.answered(name, answer.get("id"), place)
    match response:
        case {"error": str(text), **rest} if not rest:
            return ToolResult(call_id, _texts(text), is_error=True, name=name)
        case {"result": str(text), **rest} | {"output": str(text), **rest} if not rest:
            return ToolResult(call_id, _texts(text), name=name)
        case _:
            return ToolResult(call_id, (Text(_json(response)),), name=name)


def _texts(text: str) -> tuple[Text, ...]:
    return (Text(text),) if text else ()


def _name(found: Mapping[str, Any], place: str) -> str:
    name = found.get("name")
    if not isinstance(name, str) or not name:
        raise Unreadable(f"{place!r} must name a function", place)
    return name


def _system(instruction: object) -> str | None:
    if isinstance(instruction, str):
        return instruction
    texts = [part["text"] for part in parts_of(instruction) if isinstance(part.get("text"), str)]
    return "\n".join(texts) if texts else None


def _tools(tools: object, mode: object) -> Iterator[Tool]:
    strict = True if mode == _VALIDATED else None
    for at, tool in enumerate(tools if isinstance(tools, list) else ()):
        found = _camel(tool)
        for name in found:
            if name != "functionDeclarations":
                raise Uncarried(f"tools.{at}.{name}", "Google runs this tool itself")
        for number, raw in enumerate(found.get("functionDeclarations") or ()):
            place, declared = f"tools.{at}.functionDeclarations.{number}", _camel(raw)
            _refuse_others(declared, f"{place}.", _DECLARED)
            schema = declared.get("parametersJsonSchema") or json_schema(declared.get("parameters"))
            yield Tool(_name(declared, place), declared.get("description"), schema, strict)


def _calling(config: object) -> dict[str, Any]:
    found = _camel(_object(config))
    _refuse_others(found, "toolConfig.", {"functionCallingConfig"})
    return _camel(_object(found.get("functionCallingConfig")))


def _choice(found: Mapping[str, Any]) -> Choice | Named | None:
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
    return JsonFormat(config.get("responseJsonSchema") or json_schema(config.get("responseSchema")))


def _thinking(config: Mapping[str, Any]) -> tuple[str | None, int | None]:
    level, budget = config.get("thinkingLevel"), config.get("thinkingBudget")
    if isinstance(level, str):
        return level.lower(), None
    if budget is None or budget == _DYNAMIC_BUDGET:
        return None, None
    return ("none", None) if budget == 0 else (None, budget)


def _whole(config: Mapping[str, Any], name: str) -> int | None:
    value = config.get(name)
    if isinstance(value, float) and value.is_integer():
        return int(value)  # Google's own clients write topK as a float
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise Unreadable(f"'generationConfig.{name}' must be a whole number", f"generationConfig.{name}")
    return value


def _number(config: Mapping[str, Any], name: str) -> float | None:
    value = config.get(name)
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise Unreadable(f"'generationConfig.{name}' must be a number", f"generationConfig.{name}")
    return value


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
