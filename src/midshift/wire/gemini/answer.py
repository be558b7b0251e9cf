"""What comes back from Gemini: whole answers and streams of chunks, each chunk an answer in itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midshift.domain.light import replaced
from midshift.domain.usage import UNKNOWN, Usage
from midshift.wire import kept, sse, tokens, usage
from midshift.wire.gemini.parts import decoded, first_candidate, parts_of
from midshift.wire.protocol import Answer, End

_DONE = b"[DONE]"  # no end of this wire, but compatible servers send it
_STATE = tokens.texts_of("thoughtSignature", "thought_signature")
_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "LANGUAGE": "content_filter",
    "ESCALATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
"""Finish reasons in the words of chat completions, which midshift's records use; others stay, in lower case."""


class StreamTail:
    """The last of a stream, kept to find its usage and how it ended when it is over."""

    __slots__ = ("_kept", "feed")

    def __init__(self) -> None:
        self._kept = kept.Kept(is_error)
        self.feed = self._kept.feed

    def answer(self) -> Answer:
        """Usage, finish reason, model and end, from the last chunks that state them; no text."""
        found, is_readable = _Collected(), True
        for chunk in _chunks(self._kept.last()):
            if chunk is None:
                is_readable = False
            else:
                found.add(chunk)
        answer = found.answer(with_text=False)
        if self._kept.has_error():
            return replaced(answer, end=End.ERROR)
        return answer if is_readable and found.finish is not None else replaced(answer, end=End.NONE)


class _Collected:
    """What the chunks of one answer have said so far."""

    def __init__(self) -> None:
        self.usage: Usage = UNKNOWN
        self.finish: str | None = None
        self.model: str | None = None
        self.texts: list[str] = []
        self.calls = 0

    def add(self, chunk: Mapping[str, Any]) -> None:
        """Take one chunk, or a whole answer."""
        if isinstance(chunk.get("usageMetadata"), dict):
            self.usage = usage.gemini(chunk["usageMetadata"])
        model = chunk.get("modelVersion")
        self.model = model if isinstance(model, str) else self.model
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self.finish = "content_filter"
        candidate = first_candidate(chunk.get("candidates"))
        reason = candidate.get("finishReason")
        self.finish = _FINISH.get(reason, reason.lower()) if isinstance(reason, str) else self.finish
        for part in parts_of(candidate.get("content")):
            self.calls += "functionCall" in part
            if isinstance(part.get("text"), str) and not part.get("thought"):
                self.texts.append(part["text"])

    def answer(self, with_text: bool = True) -> Answer:
        """All of it; without its text, it is of the end of a stream, and a tool may have been called before."""
        finish = "tool_calls" if self.finish == "stop" and self.calls else self.finish
        text = "".join(self.texts) if with_text and self.texts else None
        return Answer(self.usage, finish, text, self.model, may_call=self.calls > 0 or not with_text)


def tail() -> StreamTail:
    """See `Wire`."""
    return StreamTail()


def read_answer(body: bytes) -> Answer | None:
    """A whole answer; None if it is not one. A prompt that was blocked is an answer without text."""
    found = decoded(body)
    if found is None or not ("candidates" in found or "promptFeedback" in found):
        return None
    collected = _Collected()
    collected.add(found)
    return collected.answer()


def read_stream(body: bytes) -> Answer | None:
    """A whole stream with its text put together; None if an error came of it, or if it broke off."""
    collected = _Collected()
    for chunk in _chunks(body):
        if chunk is None or "error" in chunk:
            return None
        collected.add(chunk)
    return collected.answer() if collected.finish is not None else None


def is_error(event: sse.Event) -> bool:
    """Whether an event of a stream is an error instead of a chunk."""
    found = decoded(event.data)
    return event.data != _DONE and (found is None or "error" in found)


def is_ping(event: sse.Event) -> bool:
    """Never: this wire has none."""
    return False


def state_in(part: bytes) -> list[str]:
    """Thought signatures."""
    return tokens.found(_STATE, part)


def is_usage_only(block: bytes) -> bool:
    """Never: usage is a part of every chunk, and every client expects it."""
    return False


def _chunks(stream: bytes) -> Iterator[Mapping[str, Any] | None]:
    """The chunks of a stream; None for an event that is none."""
    for block in kept.blocks(stream):
        event = sse.parse(block)
        if event is not None and event.data != _DONE:
            yield decoded(event.data)
