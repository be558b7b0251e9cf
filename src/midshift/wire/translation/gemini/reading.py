"""A request of Gemini's as a conversation.

Calls of functions need no id here, and elsewhere they do: one that has none is counted, and a response without an id
belongs to the first unanswered call of its name. Thoughts are left out, since no other model can read them, and so are
labels. All else that has no neutral form is `Uncarried`, with its place, and what is not of its field's kind is
`Unreadable`. A number may be written as a text, and null is absent, as everywhere in the JSON of protocol buffers.
Facts: the REST reference of `models.generateContent`, the types of google-genai 3.x, the ProtoJSON guide.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from midshift.wire import json_object as json
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
_JSON_TYPE = "application/json"
_UNSPECIFIED = "THINKING_LEVEL_UNSPECIFIED"


def read_request(body: bytes, path: str, query: str = "") -> Conversation:
    """See `Translation`."""
    request = GeminiRequest(body, path, query)
    fields = _camel(json.read_values(body))
    _refuse_others(fields, "", _TOP)
    _refuse_filters(fields.get("safetySettings"))
    config = _object(fields.get("generationConfig"), "generationConfig")
    _refuse_others(config, "generationConfig.", _CONFIG)
    _refuse_kinds_of_answers(config)
    calling = _calling(fields.get("toolConfig"))
    effort, thinking_tokens = _thinking(_object(config.get("thinkingConfig"), "generationConfig.thinkingConfig"))
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
        stop=_texts_of(config.get("stopSequences"), "generationConfig.stopSequences"),
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
    if _whole(config, "candidateCount") not in (None, 1):
        raise Uncarried("generationConfig.candidateCount", "one answer is asked for, everywhere else")
    modes = _texts_of(config.get("responseModalities"), "generationConfig.responseModalities")
    if any(mode != "TEXT" for mode in modes):
        raise Uncarried("generationConfig.responseModalities", "only text is answered elsewhere")


def _refuse_filters(settings: object) -> None:
    for place, setting in _objects(settings, "safetySettings"):
        if setting.get("threshold") not in _UNFILTERED:
            raise Uncarried(place, "other vendors' filters are not set by a request")


def _turns(contents: object) -> Iterator[Turn]:
    calls = _Calls()
    for at, content in _objects(contents, "contents"):
        role = content.get("role") or "user"
        if role not in ("user", "model", "function"):
            raise Unreadable(f"'{at}.role' must be user or model", f"{at}.role")
        parts = _parts(content, at)
        found = [part for place, raw in parts if (part := _part(_camel(raw), place, calls)) is not None]
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
    kinds = [name for name, value in part.items() if name not in _BESIDE and value is not None]
    if kinds in ([], ["text"]) and not part.get("text"):
        return None
    match kinds[0], part[kinds[0]]:
        case _ if len(kinds) > 1:
            raise Uncarried(f"{place}.{kinds[1]}", _ALONE)
        case "text", str(text):
            return Text(text)
        case "inlineData", dict(data):
            found = _camel(data)
            held = _text_of(found.get("data"), f"{place}.inlineData.data")
            return _media(found, f"{place}.inlineData", data=held)
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
    return _media(found, f"{place}.fileData", url=uri)


def _media(found: Mapping[str, Any], place: str, data: str | None = None, url: str | None = None) -> Media:
    kind = _text_of(found.get("mimeType"), f"{place}.mimeType") or ""
    what = "image" if kind.startswith("image/") else "audio" if kind.startswith("audio/") else "document"
    name = _text_of(found.get("displayName"), f"{place}.displayName")
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
    said = [(place, _part(_camel(raw), place, _Calls())) for place, raw in _parts(instruction, "systemInstruction")]
    for place, part in said:
        if part is not None and not isinstance(part, Text):
            raise Uncarried(place, "a system prompt is text")
    texts = [part.text for _, part in said if isinstance(part, Text)]
    return "\n".join(texts) if texts else None


def _tools(tools: object, mode: object) -> Iterator[Tool]:
    strict = True if mode == _VALIDATED else None
    for at, tool in _objects(tools, "tools"):
        found = _camel(tool)
        for name, value in found.items():
            if name != "functionDeclarations" and value is not None:
                raise Uncarried(f"{at}.{name}", "Google runs this tool itself")
        for place, raw in _objects(found.get("functionDeclarations"), f"{at}.functionDeclarations"):
            declared = _camel(raw)
            _refuse_others(declared, f"{place}.", _DECLARED)
            description = _text_of(declared.get("description"), f"{place}.description")
            schema = _schema(declared, "parametersJsonSchema", "parameters", f"{place}.")
            yield Tool(_name(declared, place), description, schema, strict)


def _schema(found: Mapping[str, Any], name: str, googles: str, place: str) -> Mapping[str, object] | None:
    """A schema by its name as JSON Schema, or by that of Google's own kind."""
    for schema, at in ((found.get(name), name), (json_schema(found.get(googles)), googles)):
        if schema is not None and not isinstance(schema, Mapping):
            raise Unreadable(f"'{place}{at}' must be a schema", f"{place}{at}")
        if schema:
            return schema
    return None if found.get(googles) is None else {}


def _calling(config: object) -> dict[str, Any]:
    found = _camel(_object(config, "toolConfig"))
    _refuse_others(found, "toolConfig.", {"functionCallingConfig"})
    return _camel(_object(found.get("functionCallingConfig"), "toolConfig.functionCallingConfig"))


def _choice(found: Mapping[str, Any]) -> Choice | Named | None:
    mode = found.get("mode")
    allowed = _texts_of(found.get("allowedFunctionNames"), "toolConfig.functionCallingConfig.allowedFunctionNames")
    if mode is None:
        return None
    if mode == "ANY" and len(allowed) == 1:
        return Named(allowed[0])
    if str(mode) not in _CHOICES or allowed:
        raise Uncarried("toolConfig.functionCallingConfig", f"the mode {mode!r} with {len(allowed)} functions")
    return _CHOICES[str(mode)]


def _format(config: Mapping[str, Any]) -> JsonFormat | None:
    kind = config.get("responseMimeType")
    if kind not in (None, "text/plain", _JSON_TYPE):
        raise Uncarried("generationConfig.responseMimeType", f"answers of the type {kind!r} are known to Gemini alone")
    if kind == _JSON_TYPE:
        return JsonFormat(_schema(config, "responseJsonSchema", "responseSchema", "generationConfig."))
    for name in ("responseJsonSchema", "responseSchema"):
        if config.get(name) is not None:
            raise Uncarried(f"generationConfig.{name}", f"without the responseMimeType {_JSON_TYPE} it holds nothing")
    return None


def _thinking(config: Mapping[str, Any]) -> tuple[str | None, int | None]:
    level = _text_of(config.get("thinkingLevel"), "generationConfig.thinkingConfig.thinkingLevel")
    budget = _whole(config, "thinkingBudget", "generationConfig.thinkingConfig.")
    if level is not None and level != _UNSPECIFIED:
        return level.lower(), None
    if budget is None or budget == _DYNAMIC_BUDGET:
        return None, None
    return ("none", None) if budget == 0 else (None, budget)


def _whole(config: Mapping[str, Any], name: str, inside: str = "generationConfig.") -> int | None:
    """A whole number; Google's own clients write `topK` as one with a point."""
    value = _number(config, name, inside)
    if value is not None and int(value) != value:
        raise Unreadable(f"'{inside}{name}' must be a whole number", f"{inside}{name}")
    return None if value is None else int(value)


def _number(config: Mapping[str, Any], name: str, inside: str = "generationConfig.") -> float | None:
    value = config.get(name)
    if isinstance(value, str):
        value = _number_in(value)
        if value is None:
            raise Unreadable(f"'{inside}{name}' must be a number", f"{inside}{name}")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and abs(value) <= sys.float_info.max):
        raise Unreadable(f"'{inside}{name}' must be a number", f"{inside}{name}")
    return value


def _number_in(text: str) -> Any:
    """The number that a text is in JSON; None for anything else."""
    try:
        return msgspec.json.decode(text)
    except json.WRONG:
        return None


def _camel(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same names without underscores: Google's clients send either."""
    return {_camel_name(name): _config(value) if name in _NESTED else value for name, value in found.items()}


_NESTED = ("generationConfig", "generation_config", "thinkingConfig", "thinking_config")


def _config(value: Any) -> Any:
    return _camel(value) if isinstance(value, Mapping) else value


def _camel_name(name: str) -> str:
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


def _parts(content: object, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts of a content with their places; some clients send a single one without a list."""
    parts = _object(content, place).get("parts")
    return _objects([parts] if isinstance(parts, dict) else parts, f"{place}.parts")


def _objects(value: object, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list that may be absent, each with its place."""
    if value is not None and not isinstance(value, list):
        raise Unreadable(f"{place!r} must be a list", place)
    for at, item in enumerate(value or ()):
        if not isinstance(item, dict):
            raise Unreadable(f"'{place}.{at}' must be an object", f"{place}.{at}")
        yield f"{place}.{at}", item


def _object(value: object, place: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise Unreadable(f"{place!r} must be an object", place)
    return value or {}


def _text_of(value: object, place: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Unreadable(f"{place!r} must be a text", place)
    return value


def _texts_of(value: object, place: str) -> tuple[str, ...]:
    if value is not None and not (isinstance(value, list) and all(isinstance(text, str) for text in value)):
        raise Unreadable(f"{place!r} must be a list of texts", place)
    return tuple(value or ())


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
