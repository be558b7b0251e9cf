"""The one door through which texts are kept: as the `capture` of their workload says, and else not at all.

Contract: implements `ports.Recorder` in front of another one. A pair keeps its numbers, and of its texts what drift
asks for (`TextFeatures`); the texts themselves stay only of captured requests, and redacted. Of a tool call the name
stays, and a keyed digest of its arguments, so that equal calls are still seen to be equal.
Elsewhere: whose texts are kept (domain.capture), what is blacked out (domain.redaction), until when (retention).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from midshift.domain.capture import CapturedRequest, FeedbackRecord, is_captured, unit_paths
from midshift.domain.exposure import Exposure, Pair, ShadowAnswer, TextFeatures
from midshift.domain.keyed import hmac_under
from midshift.domain.light import replaced
from midshift.domain.redacted_body import may_hold, redacted_json, without_units
from midshift.domain.redaction import redacted
from midshift.domain.workload import Capture, Redaction, Workload
from midshift.ports import Recorder
from midshift.shadow.features import features

_NOTHING: tuple[Capture, tuple[str, ...]] = (Capture(), ())
"""What is kept of a workload that nobody defined: missing permission is none."""

_NO_JSON = (ValueError, TypeError, OverflowError, RecursionError)
"""What is raised for a value that no JSON says, like one half of a surrogate pair."""

_Digest: TypeAlias = Callable[[bytes], bytes]

_ENCODER = msgspec.json.Encoder()
_CALLS = msgspec.json.Decoder(list[dict[str, Any]])
_DIGEST_BYTES = 8
_IS_DIGEST = re.compile(r'"?#[0-9a-f]{16}"?')


class CapturingRecorder:
    """Hands on to `sink` what may be kept. `key` is the deployment's, `machine_now` has a zone."""

    def __init__(
        self, sink: Recorder, workloads: Iterable[Workload], key: bytes, machine_now: Callable[[], datetime]
    ) -> None:
        self._sink = sink
        self._kept = {workload.name: (workload.data.capture, unit_paths(workload)) for workload in workloads}
        self._digest = hmac_under(key)
        self._machine_now = machine_now

    def record(self, *exposures: Exposure) -> None:
        """See `ports.Recorder`: there is no text in them."""
        self._sink.record(*exposures)

    def record_pair(self, pair: Pair) -> None:
        """See `ports.Recorder`."""
        capture, _ = self._kept.get(pair.workload, _NOTHING)
        kinds = capture.redact if is_captured(capture, pair.request_id) else None
        self._sink.record_pair(_kept(pair, kinds, self._digest, pair.at or self._machine_now()))

    def record_request(self, request: CapturedRequest) -> None:
        """See `ports.Recorder`."""
        capture, units = self._kept.get(request.workload, _NOTHING)
        if is_captured(capture, request.id):
            self._sink.record_request(_redacted_request(request, capture.redact, units))

    def record_feedback(self, feedback: FeedbackRecord) -> None:
        """See `ports.Recorder`."""
        capture, _ = self._kept.get(feedback.workload, _NOTHING)
        if not is_captured(capture, feedback.request_id):
            self._sink.record_feedback(replace(feedback, comment=None, ticket=None))
            return
        comment = None if feedback.comment is None else redacted(feedback.comment, capture.redact)
        self._sink.record_feedback(replace(feedback, comment=comment))


def without_texts(pair: Pair, key: bytes) -> Pair:
    """A pair with the features of its texts in their place."""
    return _kept(pair, None, hmac_under(key), pair.at)


def _redacted_request(
    request: CapturedRequest, kinds: tuple[Redaction, ...], units: tuple[str, ...]
) -> CapturedRequest:
    return replaced(
        request,
        body=_redacted_body(request.body, kinds, units),
        answer=None if request.answer is None else redacted(request.answer, kinds),
        tools=_redacted_tools(request.tools, kinds) if request.tools else None,
    )


def _redacted_body(body: Any, kinds: Collection[Redaction], units: tuple[str, ...]) -> Any:
    """Most bodies hold nothing but a unit: one look at all of it as JSON is cheaper than one at every text.

    And such a one goes on as that JSON, so that it is encoded once.
    """
    nameless = without_units(body, units)
    try:
        encoded = _ENCODER.encode(nameless)
    except _NO_JSON:
        return redacted_json(nameless, kinds)
    return redacted_json(nameless, kinds) if may_hold(encoded.decode(), kinds) else msgspec.Raw(encoded)


def _kept(pair: Pair, kinds: tuple[Redaction, ...] | None, digest: _Digest, at: datetime | None) -> Pair:
    """What may stay of a pair: its texts, redacted, where they are kept; `kinds` is None where they are not."""
    return replaced(
        pair, incumbent=_side(pair.incumbent, kinds, digest), candidate=_side(pair.candidate, kinds, digest), at=at
    )


def _side(side: ShadowAnswer, kinds: tuple[Redaction, ...] | None, digest: _Digest) -> ShadowAnswer:
    """The same of one side."""
    text, tools = side.text, side.tools
    return replaced(
        side,
        text=None if text is None or kinds is None else redacted(text, kinds),
        tools=None if not tools else _nameless(tools, digest) if kinds is None else _redacted_tools(tools, kinds),
        features=side.features if side.features is not None or text is None else _measured(text, digest),
    )


def _measured(text: str, digest: _Digest) -> TextFeatures:
    seen = features(text)
    opening = _digested(seen.opening, digest)
    closing = opening if seen.closing == seen.opening else _digested(seen.closing, digest)  # an answer of one line
    return TextFeatures(seen.chars, seen.words, int(seen.form), opening, closing)


def _digested(line: str, digest: _Digest) -> str:
    """Equal lines have equal digests; empty stays empty."""
    return f"#{digest(b'line:' + line.encode('utf-8', 'surrogatepass'))[:_DIGEST_BYTES].hex()}" if line else ""


def _nameless(tools: str, digest: _Digest) -> str | None:
    """The calls by name, with digests in the place of what they were called with."""
    calls = _calls(tools)
    if calls is None:
        return None
    shown = [{"name": call.get("name"), "arguments": _arguments(call.get("arguments"), digest)} for call in calls]
    return _ENCODER.encode(shown).decode()


def _arguments(arguments: object, digest: _Digest) -> str:
    """A digest that is JSON where the arguments were, and is none where they were not."""
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    if _IS_DIGEST.fullmatch(text):
        return text
    try:
        spelt = msgspec.json.encode(msgspec.json.decode(text), order="deterministic").decode()
    except (msgspec.MsgspecError, UnicodeError):
        return _digested(text, digest)
    return f'"{_digested(spelt, digest)}"'


def _redacted_tools(tools: str, kinds: tuple[Redaction, ...]) -> str | None:
    calls = _calls(tools)
    return None if calls is None else _ENCODER.encode(redacted_json(calls, kinds)).decode()


def _calls(tools: str) -> list[dict[str, Any]] | None:
    """The calls; None where what is there is no list of them."""
    try:
        return _CALLS.decode(tools)
    except (msgspec.MsgspecError, UnicodeError):
        return None
