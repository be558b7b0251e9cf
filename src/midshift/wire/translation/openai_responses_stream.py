"""A stream of Responses events, to and from neutral events.

In: `response.created`, deltas of words, refusals, reasoning and calls, and the event that ends it. A server that sends
something whole instead of in pieces (`...done` without a delta before it) is read too. Out: the order that OpenAI
documents, each event with its `sequence_number`: an item is added, its part is added, deltas, and all of it is done
before the last event, which repeats the response. Words or reasoning are done when something else begins; calls stay
open to the end, because their pieces may interleave.
Elsewhere: whole answers (openai_responses of this package), shapes of items (openai_responses_items).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midshift.domain.usage import UNKNOWN
from midshift.wire import openai_responses as wire
from midshift.wire import sse
from midshift.wire.openai_chat import DONE
from midshift.wire.translation import openai_parts as parts
from midshift.wire.translation import openai_responses_items as items
from midshift.wire.translation.conversation import (
    Began,
    Ended,
    Event,
    Failed,
    Stop,
    TextDelta,
    ThinkingDelta,
    ToolBegan,
    ToolCall,
    ToolDelta,
)

_WORDS = ("response.output_text", "response.refusal")
_REASONING = ("response.reasoning_summary_text", "response.reasoning_text")
_CALL = "response.function_call_arguments"


class ResponsesReader:
    """From a stream's bytes to events; an `EventReader`."""

    __slots__ = ("_blocks", "_calls", "_has_begun", "_has_thought", "_is_over", "_is_refused", "_seen")

    def __init__(self) -> None:
        self._blocks = sse.Blocks()
        self._calls: dict[object, int] = {}
        self._seen: set[tuple[str, object, object]] = set()
        self._has_begun = self._is_over = self._is_refused = self._has_thought = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are complete by now."""
        return [event for block in self._blocks.feed(chunk) for event in self._read(block)]

    def end(self) -> list[Event]:
        """What is left when the stream ends."""
        return list(self._read(self._blocks.flush()))

    def _read(self, block: bytes) -> Iterator[Event]:
        event = sse.parse(block)
        if event is None or self._is_over or event.data == DONE:
            return
        found = parts.decoded(event.data)
        if found is None or wire.is_error(event):
            self._is_over = True
            yield _failed(found or {})
            return
        kind = parts.text(found.get("type")) or event.type
        yield from self._began(parts.mapping(found.get("response")))
        yield from self._event(kind, found)

    def _began(self, response: Mapping[str, Any]) -> Iterator[Event]:
        if not self._has_begun:
            self._has_begun = True
            yield Began(items.own_id(response.get("id")), parts.text(response.get("model")) or "")

    def _event(self, kind: str, found: Mapping[str, Any]) -> Iterator[Event]:
        stem, _, last = kind.rpartition(".")
        if last in ("delta", "done") and stem in (*_WORDS, *_REASONING, _CALL):
            yield from self._piece(stem, last, found)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            yield from self._item(found, parts.mapping(found.get("item")))
        elif kind == "response.reasoning_summary_part.added" and self._has_thought:
            yield ThinkingDelta("\n\n")
        elif kind in ("response.completed", "response.incomplete"):
            self._is_over = True
            yield self._ended(kind.removeprefix("response."), parts.mapping(found.get("response")))

    def _piece(self, stem: str, last: str, found: Mapping[str, Any]) -> Iterator[Event]:
        """A delta, or the whole if no delta came before it."""
        key = (stem, found.get("output_index"), found.get("content_index", found.get("summary_index")))
        names = ("delta",) if last == "delta" else ("text", "refusal", "arguments")
        piece = next((text for name in names if (text := parts.text(found.get(name)))), None)
        if piece is None or (last == "done" and key in self._seen):
            return
        self._seen.add(key)
        if stem == _CALL:
            if (number := self._calls.get(found.get("output_index"))) is not None:
                yield ToolDelta(number, piece)
        elif stem in _REASONING:
            self._has_thought = True
            yield ThinkingDelta(piece)
        else:
            self._is_refused = self._is_refused or stem == "response.refusal"
            yield TextDelta(piece)

    def _item(self, found: Mapping[str, Any], item: Mapping[str, Any]) -> Iterator[Event]:
        if item.get("type") != "function_call":
            return
        at = found.get("output_index")
        if at not in self._calls:
            self._calls[at] = len(self._calls)
            yield ToolBegan(self._calls[at], parts.text(item.get("call_id")) or "", parts.text(item.get("name")) or "")
        arguments, key = parts.text(item.get("arguments")), (_CALL, at, None)
        if arguments and key not in self._seen:
            self._seen.add(key)
            yield ToolDelta(self._calls[at], arguments)

    def _ended(self, status: str, response: Mapping[str, Any]) -> Ended:
        stop = items.stop_of(status, response.get("incomplete_details"), bool(self._calls))
        return Ended(Stop.REFUSED if self._is_refused else stop, wire.usage_in(response))


class ResponsesWriter:
    """From events to a stream's bytes; an `EventWriter`."""

    __slots__ = ("_calls", "_created", "_id", "_model", "_open", "_output", "_sequence", "_text")

    def __init__(self, created: int = 0) -> None:
        self._created = created
        self._id = self._model = ""
        self._sequence = 0
        self._output: list[dict[str, Any]] = []
        self._open: int | None = None
        self._text: list[str] = []
        self._calls: dict[int, tuple[int, list[str]]] = {}

    def write(self, event: Event) -> bytes:
        """The bytes of one event."""
        return b"".join(self._written(event))

    def _written(self, event: Event) -> Iterator[bytes]:
        match event:
            case Began():
                self._id, self._model = event.id, event.model
                for name in ("created", "in_progress"):
                    yield self._event(f"response.{name}", response=self._response("in_progress"))
            case TextDelta():
                yield from self._said("message", event.text)
            case ThinkingDelta():
                yield from self._said("reasoning", event.text)
            case ToolBegan():
                yield from self._call_began(event)
            case ToolDelta():
                at, pieces = self._calls[event.index]
                pieces.append(event.arguments)
                yield self._event(f"{_CALL}.delta", **self._place(at), delta=event.arguments)
            case Ended():
                yield from self._ended(event)
            case Failed():
                yield self._event("error", code=event.code, message=event.message, param=None)

    def _said(self, kind: str, text: str) -> Iterator[bytes]:
        if self._open is None or self._output[self._open]["type"] != kind:
            yield from self._close("completed")
            yield from self._opened(kind)
        assert self._open is not None
        self._text.append(text)
        place = self._place(self._open)
        if kind == "message":
            yield self._event("response.output_text.delta", **place, content_index=0, delta=text, logprobs=[])
        else:
            yield self._event("response.reasoning_summary_text.delta", **place, summary_index=0, delta=text)

    def _opened(self, kind: str) -> Iterator[bytes]:
        self._open, self._text = len(self._output), []
        if kind == "message":
            item = items.message_item(self._item_id("msg"), [], "in_progress")
            part, added, index = items.text_part(""), "response.content_part.added", "content_index"
        else:
            item = {**items.reasoning_item(self._item_id("rs"), ""), "summary": []}
            part, index = {"type": "summary_text", "text": ""}, "summary_index"
            added = "response.reasoning_summary_part.added"
        self._output.append(item)
        yield self._event("response.output_item.added", output_index=self._open, item=item)
        yield self._event(added, **self._place(self._open), **{index: 0}, part=part)

    def _close(self, status: str) -> Iterator[bytes]:
        """What is being said is done."""
        if self._open is None:
            return
        at, text, place = self._open, "".join(self._text), self._place(self._open)
        id_ = self._output[at]["id"]
        self._open = None
        if self._output[at]["type"] == "message":
            part = items.text_part(text)
            self._output[at] = items.message_item(id_, [part], status)
            yield self._event("response.output_text.done", **place, content_index=0, text=text, logprobs=[])
            yield self._event("response.content_part.done", **place, content_index=0, part=part)
        else:
            self._output[at] = items.reasoning_item(id_, text)
            part = self._output[at]["summary"][0]
            yield self._event("response.reasoning_summary_text.done", **place, summary_index=0, text=text)
            yield self._event("response.reasoning_summary_part.done", **place, summary_index=0, part=part)
        yield self._event("response.output_item.done", output_index=at, item=self._output[at])

    def _call_began(self, event: ToolBegan) -> Iterator[bytes]:
        yield from self._close("completed")
        at = len(self._output)
        self._calls[event.index] = at, []
        self._output.append(items.call_item(self._item_id("fc"), ToolCall(event.id, event.name, ""), "in_progress"))
        yield self._event("response.output_item.added", output_index=at, item=self._output[at])

    def _ended(self, event: Ended) -> Iterator[bytes]:
        status = items.status_of(event.stop)
        if not self._output:
            yield from self._opened("message")
        yield from self._close(status)
        for at, pieces in self._calls.values():
            arguments = "".join(pieces)
            self._output[at] |= {"arguments": arguments, "status": status}
            yield self._event(f"{_CALL}.done", **self._place(at), arguments=arguments, name=self._output[at]["name"])
            yield self._event("response.output_item.done", output_index=at, item=self._output[at])
        yield self._event(f"response.{status}", response=self._response(status, event))

    def _response(self, status: str, event: Ended | None = None) -> dict[str, Any]:
        stop, usage = (None, UNKNOWN) if event is None else (event.stop, event.usage)
        return items.response(self._id, self._model, self._created, status, self._output, stop, usage)

    def _item_id(self, kind: str) -> str:
        return items.item_id(kind, self._id, len(self._output))

    def _place(self, at: int) -> dict[str, Any]:
        return {"item_id": self._output[at]["id"], "output_index": at}

    def _event(self, kind: str, **said: Any) -> bytes:
        number, self._sequence = self._sequence, self._sequence + 1
        return wire.encoded_event({"type": kind, "sequence_number": number, **said})


def _failed(found: Mapping[str, Any]) -> Failed:
    response = parts.mapping(found.get("response"))
    error = parts.mapping(response.get("error")) or parts.mapping(found.get("error")) or found
    message = parts.text(error.get("message")) or "The provider broke off with an error."
    return Failed(message, parts.text(error.get("code")))
