"""Where each wire says what: the fields of a request by their meaning.

Field names are those of the packages openai 3.54.0, anthropic 2.12.0 and google-genai 3.4.0. An aspect that has no
place on a wire cannot be said there.
Elsewhere: reading a request by these tables (request_fields), what a model thinks of it (preflight).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from midshift.wire.protocol import WireName


class Aspect(StrEnum):
    """What a field of a request is about."""

    TEMPERATURE = "temperature"
    TOP_P = "top_p"
    TOP_K = "top_k"
    MAX_TOKENS = "max_tokens"
    EFFORT = "effort"
    THINKING = "thinking"
    PREFILL = "prefill"
    TOOLS = "tools"
    TOOL_CHOICE = "tool_choice"
    PARALLEL_TOOLS = "parallel_tools"
    RESPONSE_SCHEMA = "response_schema"
    JSON_MODE = "json_mode"
    IMAGE = "image"
    PDF = "pdf"
    AUDIO = "audio"
    CACHE_MARK = "cache_mark"
    LOGPROBS = "logprobs"
    LOGIT_BIAS = "logit_bias"
    CHOICES = "choices"
    SEED = "seed"
    PENALTY = "penalty"
    STOP = "stop"
    SYSTEM = "system"
    LENGTH = "length"
    API_VERSION = "api_version"
    ASSISTANT_DOCUMENT = "assistant_document"
    USER_CITATIONS = "user_citations"
    STORED_ID = "stored_id"
    REASONING_STATE = "reasoning_state"
    THINKING_STATE = "thinking_state"
    OTHER = "other"


GEMINI_CONFIG = "generationConfig"
"""The object in which Gemini keeps what shapes an answer."""
GEMINI_OWN = frozenset(
    {
        "cachedContent",
        "contents",
        "generationConfig",
        "labels",
        "safetySettings",
        "systemInstruction",
        "toolConfig",
        "tools",
    }
)
"""Gemini's fields beside that object."""

_CHAT_PLAIN = {
    "temperature": Aspect.TEMPERATURE,
    "top_p": Aspect.TOP_P,
    "top_k": Aspect.TOP_K,
    "max_tokens": Aspect.MAX_TOKENS,
    "max_completion_tokens": Aspect.MAX_TOKENS,
    "reasoning_effort": Aspect.EFFORT,
    "tools": Aspect.TOOLS,
    "functions": Aspect.TOOLS,
    "tool_choice": Aspect.TOOL_CHOICE,
    "parallel_tool_calls": Aspect.PARALLEL_TOOLS,
    "logprobs": Aspect.LOGPROBS,
    "top_logprobs": Aspect.LOGPROBS,
    "logit_bias": Aspect.LOGIT_BIAS,
    "n": Aspect.CHOICES,
    "seed": Aspect.SEED,
    "frequency_penalty": Aspect.PENALTY,
    "presence_penalty": Aspect.PENALTY,
    "repetition_penalty": Aspect.PENALTY,
    "stop": Aspect.STOP,
}
_RESPONSES_PLAIN = {
    "temperature": Aspect.TEMPERATURE,
    "top_p": Aspect.TOP_P,
    "max_output_tokens": Aspect.MAX_TOKENS,
    "reasoning.effort": Aspect.EFFORT,
    "tools": Aspect.TOOLS,
    "tool_choice": Aspect.TOOL_CHOICE,
    "parallel_tool_calls": Aspect.PARALLEL_TOOLS,
    "top_logprobs": Aspect.LOGPROBS,
    "previous_response_id": Aspect.STORED_ID,
    "conversation": Aspect.STORED_ID,
    "instructions": Aspect.SYSTEM,
}
_ANTHROPIC_PLAIN = {
    "temperature": Aspect.TEMPERATURE,
    "top_p": Aspect.TOP_P,
    "top_k": Aspect.TOP_K,
    "max_tokens": Aspect.MAX_TOKENS,
    "output_config.effort": Aspect.EFFORT,
    "output_config.format": Aspect.RESPONSE_SCHEMA,
    "thinking.type": Aspect.THINKING,
    "tools": Aspect.TOOLS,
    "tool_choice": Aspect.TOOL_CHOICE,
    "tool_choice.disable_parallel_tool_use": Aspect.PARALLEL_TOOLS,
    "stop_sequences": Aspect.STOP,
    "system": Aspect.SYSTEM,
    "container": Aspect.STORED_ID,
}
_GEMINI_PLAIN = {
    f"{GEMINI_CONFIG}.temperature": Aspect.TEMPERATURE,
    f"{GEMINI_CONFIG}.topP": Aspect.TOP_P,
    f"{GEMINI_CONFIG}.topK": Aspect.TOP_K,
    f"{GEMINI_CONFIG}.maxOutputTokens": Aspect.MAX_TOKENS,
    f"{GEMINI_CONFIG}.thinkingConfig.thinkingLevel": Aspect.EFFORT,
    f"{GEMINI_CONFIG}.candidateCount": Aspect.CHOICES,
    f"{GEMINI_CONFIG}.seed": Aspect.SEED,
    f"{GEMINI_CONFIG}.responseLogprobs": Aspect.LOGPROBS,
    f"{GEMINI_CONFIG}.presencePenalty": Aspect.PENALTY,
    f"{GEMINI_CONFIG}.frequencyPenalty": Aspect.PENALTY,
    f"{GEMINI_CONFIG}.stopSequences": Aspect.STOP,
    f"{GEMINI_CONFIG}.responseSchema": Aspect.RESPONSE_SCHEMA,
    f"{GEMINI_CONFIG}.responseJsonSchema": Aspect.RESPONSE_SCHEMA,
    "tools": Aspect.TOOLS,
    "toolConfig.functionCallingConfig.mode": Aspect.TOOL_CHOICE,
    "systemInstruction": Aspect.SYSTEM,
    "cachedContent": Aspect.STORED_ID,
}
_PLAIN = {
    WireName.OPENAI_CHAT: _CHAT_PLAIN,
    WireName.OPENAI_RESPONSES: _RESPONSES_PLAIN,
    WireName.ANTHROPIC: _ANTHROPIC_PLAIN,
    WireName.GEMINI: _GEMINI_PLAIN,
}
PATHS = {wire: [(path, path.split("."), aspect) for path, aspect in plain.items()] for wire, plain in _PLAIN.items()}
"""The fields whose place alone says what they are: (path, its names, aspect)."""
_PARTS = {
    WireName.OPENAI_CHAT: {
        Aspect.IMAGE: "messages[].content[image_url]",
        Aspect.PDF: "messages[].content[file]",
        Aspect.AUDIO: "messages[].content[input_audio]",
        Aspect.PREFILL: "messages[-1]",
        Aspect.RESPONSE_SCHEMA: "response_format",
        Aspect.JSON_MODE: "response_format",
        Aspect.SYSTEM: "messages[0]",
    },
    WireName.OPENAI_RESPONSES: {
        Aspect.IMAGE: "input[].content[input_image]",
        Aspect.PDF: "input[].content[input_file]",
        Aspect.AUDIO: "input[].content[input_audio]",
        Aspect.RESPONSE_SCHEMA: "text.format",
        Aspect.JSON_MODE: "text.format",
    },
    WireName.ANTHROPIC: {
        Aspect.IMAGE: "messages[].content[image]",
        Aspect.PDF: "messages[].content[document]",
        Aspect.PREFILL: "messages[-1]",
        Aspect.CACHE_MARK: "cache_control",
    },
    WireName.GEMINI: {
        Aspect.IMAGE: "contents[].parts[inlineData]",
        Aspect.PDF: "contents[].parts[inlineData]",
        Aspect.AUDIO: "contents[].parts[inlineData]",
        Aspect.PREFILL: "contents[-1]",
        Aspect.JSON_MODE: f"{GEMINI_CONFIG}.responseMimeType",
    },
}


def _places(wire: WireName) -> Mapping[Aspect, str]:
    plain: dict[Aspect, str] = {}
    for path, aspect in _PLAIN[wire].items():
        plain.setdefault(aspect, path)
    if wire is WireName.OPENAI_CHAT:
        del plain[Aspect.TOP_K]  # some hosts take it; the vendor that the wire is named after has no such field
    return MappingProxyType({**_PARTS[wire], **plain})


PLACES: Mapping[WireName, Mapping[Aspect, str]] = MappingProxyType({wire: _places(wire) for wire in WireName})
"""Where each wire says what."""
