"""The one door through which texts are kept: as the `capture` of their workload says, and else not at all.

Contract: implements `ports.Recorder` in front of another one. A pair keeps its numbers, and of its texts what drift
asks for (`TextFeatures`); the texts themselves stay only of captured requests, and redacted. Of a tool call the name
stays, and a keyed digest of its arguments, so that equal calls are still seen to be equal.
Elsewhere: whose texts are kept (domain.capture), what is blacked out (domain.redaction), until when (retention).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from midshift.domain.capture import CapturedRequest, FeedbackRecord, is_captured, unit_paths
from midshift.domain.exposure import Exposure, Pair, ShadowAnswer, TextFeatures
from midshift.domain.keyed import hmac_sha256
from midshift.domain.redaction import redacted, redacted_json
from midshift.domain.workload import Capture, Redaction, Workload
from midshift.ports import Recorder
from midshift.shadow.features import features

_NOTHING: tuple[Capture, tuple[str, ...]] = (Capture(), ())
"""What is kept of a workload that nobody defined: missing permission is none."""

_ENCODER = msgspec.json.Encoder()
_DIGEST_CHARS = 16
_IS_DIGEST = re.compile(r'"?#[0-9a-f]{16}"?')


class CapturingRecorder:
    """Hands on to `sink` what may be kept. `key` is the deployment's, `machine_now` has a zone."""

    def __init__(
        self, sink: Recorder, workloads: Iterable[Workload], key: bytes, machine_now: Callable[[], datetime]
    ) -> None:
        self._sink = sink
        self._kept = {workload.name: (workload.data.capture, unit_paths(workload)) for workload in workloads}
        self._key = key
        self._machine_now = machine_now

    def record(self, exposure: Exposure) -> None:
        """See `ports.Recorder`: there is no text in it."""
        self._sink.record(exposure)

    def record_pair(self, pair: Pair) -> None:
        """See `ports.Recorder`."""
        capture, _ = self._kept.get(pair.workload, _NOTHING)
        kinds = capture.redact if is_captured(capture, pair.request_id) else None
        incumbent, candidate = _side(pair.incumbent, kinds, self._key), _side(pair.candidate, kinds, self._key)
        self._sink.record_pair(_with_sides(pair, incumbent, candidate, pair.at or self._machine_now()))

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
    return _with_sides(pair, _side(pair.incumbent, None, key), _side(pair.candidate, None, key), pair.at)


def _redacted_request(
    request: CapturedRequest, kinds: tuple[Redaction, ...], units: tuple[str, ...]
) -> CapturedRequest:
    """The same request; made at once, as `replace` looks at each field."""
    return CapturedRequest(
        id=request.id,
        workload=request.workload,
        wire=request.wire,
        path=request.path,
        body=redacted_json(request.body, kinds, units),
        at=request.at,
        headers=request.headers,
        slices=request.slices,
        unit=request.unit,
        variant=request.variant,
        status=request.status,
        answer=None if request.answer is None else redacted(request.answer, kinds),
        tools=_redacted_tools(request.tools, kinds),
    )


def _side(side: ShadowAnswer, kinds: tuple[Redaction, ...] | None, key: bytes) -> ShadowAnswer:
    """What may stay of one: its texts, redacted, where they are kept; `kinds` is None where they are not."""
    measured = _measured(side, key)
    if kinds is None:
        return _with_said(side, None, _nameless(side.tools, key), measured)
    text = None if side.text is None else redacted(side.text, kinds)
    return _with_said(side, text, _redacted_tools(side.tools, kinds), measured)


def _measured(side: ShadowAnswer, key: bytes) -> TextFeatures | None:
    if side.features is not None or side.text is None:
        return side.features
    seen = features(side.text)
    opening = _digest(seen.opening, key)
    closing = opening if seen.closing == seen.opening else _digest(seen.closing, key)  # an answer of one line
    return TextFeatures(seen.chars, seen.words, int(seen.form), opening, closing)


def _with_said(side: ShadowAnswer, text: str | None, tools: str | None, measured: TextFeatures | None) -> ShadowAnswer:
    """The same side with this in the place of what was said; made at once, as `replace` looks at each field."""
    return ShadowAnswer(
        text=text,
        status=side.status,
        latency_s=side.latency_s,
        tokens_in=side.tokens_in,
        tokens_out=side.tokens_out,
        cost_usd=side.cost_usd,
        finish_reason=side.finish_reason,
        tools=tools,
        first_byte_s=side.first_byte_s,
        cached_in=side.cached_in,
        cache_write_in=side.cache_write_in,
        reasoning_out=side.reasoning_out,
        features=measured,
    )


def _with_sides(pair: Pair, incumbent: ShadowAnswer, candidate: ShadowAnswer, at: datetime | None) -> Pair:
    return Pair(
        request_id=pair.request_id,
        workload=pair.workload,
        upgrade=pair.upgrade,
        candidate_id=pair.candidate_id,
        slices=pair.slices,
        incumbent=incumbent,
        candidate=candidate,
        kind=pair.kind,
        seen=pair.seen,
        propensity=pair.propensity,
        step=pair.step,
        unit=pair.unit,
        stripped=pair.stripped,
        at=at,
    )


def _digest(line: str, key: bytes) -> str:
    """Equal lines have equal digests; empty stays empty."""
    if not line:
        return ""
    return "#" + hmac_sha256(key, b"line:" + line.encode("utf-8", "surrogatepass")).hex()[:_DIGEST_CHARS]


def _nameless(tools: str | None, key: bytes) -> str | None:
    """The calls by name, with digests in the place of what they were called with."""
    calls = _calls(tools)
    if calls is None:
        return None
    shown = [{"name": call.get("name"), "arguments": _arguments(call.get("arguments"), key)} for call in calls]
    return _ENCODER.encode(shown).decode()


def _arguments(arguments: object, key: bytes) -> str:
    """A digest that is JSON where the arguments were, and is none where they were not."""
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    if _IS_DIGEST.fullmatch(text):
        return text
    try:
        spelt = msgspec.json.encode(msgspec.json.decode(text), order="deterministic").decode()
    except (msgspec.MsgspecError, UnicodeError):
        return _digest(text, key)
    return f'"{_digest(spelt, key)}"'


def _redacted_tools(tools: str | None, kinds: tuple[Redaction, ...]) -> str | None:
    calls = _calls(tools)
    return None if calls is None else _ENCODER.encode(redacted_json(calls, kinds)).decode()


def _calls(tools: str | None) -> list[dict[str, Any]] | None:
    """The calls; None where there are none, or what is there is no list of them."""
    try:
        return msgspec.json.decode(tools, type=list[dict[str, Any]]) if tools else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
