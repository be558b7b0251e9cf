"""What users say about answers: `POST /api/v1/feedback`, on the port that apps know.

    {"request_id": "req_...", "thumbs": "up"}                     x-midshift-request-id of the answer
    {"request_id": "req_...", "score": 4, "comment": "Good."}     1 is the worst, 5 the best
    {"request_id": "req_...", "ticket": "https://help.example/t/17"}

Contract. It is credited to what served the request, which the id itself says, however late it comes; the first one of
a request counts, over all gateways, because the store decides. It adds to sums and forces nothing. Who shows no client
key is refused, and each key may give so many a minute. While the store is away, what was accepted waits in a file and
is counted later: exactly once, since the store knows what it has had. What the store never takes while it takes others
is given up, and counted as lost. A store that hangs holds up neither a request nor the end of the process.
Elsewhere: the id (token), the sums (domain.exposure), what of a comment is kept (store.capturing), what waits (spool).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, Protocol

import msgspec

from midshift.domain.capture import FeedbackRecord
from midshift.domain.exposure import Credit, Sum, SumKey, feedback_sums
from midshift.gateway import token
from midshift.gateway.apart import AllHang, Apart
from midshift.gateway.exchange import Exchange
from midshift.gateway.intake import Intake, Refused, whole_body
from midshift.gateway.recorder import RecordQueue
from midshift.gateway.refusals import Refusals
from midshift.gateway.settings import FeedbackLimits, GatewaySettings
from midshift.gateway.spool import Spool, Waiting
from midshift.ports import Clock

LOG = logging.getLogger(__name__)

PATH = "/api/v1/feedback"
PATIENCE_S = 2.0
DRAIN_EVERY_S = 1.0
LARGEST_BODY = 16 * 1024
LONGEST_COMMENT = 4000
MOST_ASKING = 8
"""So many threads may wait for a slow store; what comes beside them waits in the spool."""

MOST_FAILURES = 3
"""After so many in one round the store is taken for away: each may have cost the time that a connection may take."""

_CLOCKS_APART = timedelta(minutes=5)


class FeedbackSink(Protocol):
    """Where feedback goes; the part of `ports.Measurements` that is about it."""

    def take_feedback(self, request: str, workload: str, at: datetime, sums: Mapping[SumKey, Sum]) -> bool:
        """Add the first feedback on a request; False for any other."""
        ...


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    request_id: str
    thumbs: Literal["up", "down"] | None = None
    score: int | None = None
    ticket: str | None = None
    comment: str | None = None

    @property
    def satisfaction(self) -> float | None:
        """0 is the worst, 1 the best."""
        if self.thumbs is not None:
            return 1.0 if self.thumbs == "up" else 0.0
        return None if self.score is None else (self.score - 1) / 4


@dataclass(slots=True)
class Bucket:
    """A token bucket: `burst` at once, and `per_second` more."""

    left: float
    at_s: float

    def takes(self, now_s: float, per_second: float, burst: float) -> bool:
        """Whether there is room for one more now."""
        self.left = min(burst, self.left + (now_s - self.at_s) * per_second)
        self.at_s = now_s
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


class Feedback:
    """Takes feedback for one gateway. Without a `sink` there is nobody to count it, and all of it is refused."""

    def __init__(
        self, settings: GatewaySettings, intake: Intake, recorder: RecordQueue, sink: FeedbackSink | None, clock: Clock
    ) -> None:
        self.waiting = Spool(settings.state_dir, settings.feedback.max_waiting)
        self._limits: FeedbackLimits = settings.feedback
        self._key = token.key_of(settings.unit_key)
        self._slices = {one.name: tuple(part.name for part in one.slices) for one in settings.workloads}
        self._intake = intake
        self._recorder = recorder
        self._sink = sink
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._refusals = Refusals()
        # Threads of its own: those that hang with a store must not be missing where an operator flips.
        self._asking = Apart(MOST_ASKING, "midshift-feedback")
        self._draining = Apart(1, "midshift-feedback-drain")

    async def answer(self, exchange: Exchange) -> tuple[int, dict[str, str]]:
        """Take one; its status, and what to say.

        Raises:
            Refused: for what is none, comes too often, or was given before.
            ClientLeft: if it never comes whole.
        """
        key, _ = exchange.head.once(self._intake.shown)
        self._check_rate("" if key is None else key.name)
        given = _read(await whole_body(exchange, LARGEST_BODY, lambda _: None))
        issued = self._issued(given.request_id)
        is_counted = await self._taken(given, issued.credit)
        now = self._clock.machine_now()
        self._recorder.record_feedback(
            FeedbackRecord(
                given.request_id, issued.credit.workload, now, given.satisfaction, given.ticket, given.comment
            )
        )
        if not is_counted:
            return 202, {"status": "accepted", "note": "the store is away; it is counted once it is back"}
        return 200, {"status": "counted" if issued.credit.upgrade is not None else "noted"}

    async def keep_draining(self) -> None:
        """Count what waits, as soon as the store takes it; ends when it is cancelled."""
        while True:
            await asyncio.sleep(DRAIN_EVERY_S)
            if self.waiting:
                with suppress(AllHang):
                    await self._draining.begin(self.drain)

    def drain(self) -> None:
        """Give the store what waits. What it does not take keeps waiting, and holds up nothing else."""
        if self._sink is None:
            return
        errors: list[str] = []
        for one in self._refusals.in_order(self.waiting.all()):
            if error := self._refused(self._sink, one):
                errors.append(type(error).__name__)
            if len(errors) == MOST_FAILURES:
                break
        if errors:
            LOG.warning("feedback waits for the store: %s", ", ".join(errors))

    def _refused(self, sink: FeedbackSink, one: Waiting) -> Exception | None:
        """Why the store did not take it."""
        try:
            sink.take_feedback(one.request, one.credit.workload, one.at, _sums(one))
            self.waiting.remove(one)
        except Exception as error:  # noqa: BLE001 - a store may fail in any way; what it has not taken is still here
            if self._refusals.is_the_last(one):
                self._give_up(one, error)
            return error
        self._refusals.took(one)
        return None

    def _give_up(self, one: Waiting, error: Exception) -> None:
        with suppress(OSError):  # its file; read again, it is tried again
            self.waiting.remove(one)
        self._recorder.lost_feedback += 1
        about = (one.credit.workload, one.at.isoformat(timespec="seconds"), type(error).__name__)
        LOG.error("feedback on %s, given at %s, is lost: the store takes others and never this one: %s", *about)

    def _check_rate(self, name: str) -> None:
        now_s, limits = self._clock.monotonic_s(), self._limits
        bucket = self._buckets.setdefault(name, Bucket(limits.burst, now_s))
        if not bucket.takes(now_s, limits.per_minute / 60.0, limits.burst):
            message = f"This key gives more feedback than {limits.per_minute:g} a minute. Try again in a moment."
            raise Refused(429, message, "too_much_feedback")

    def _issued(self, request_id: str) -> token.Issued:
        try:
            issued = token.read(self._key, request_id, self._slices)
        except token.BadToken as error:
            raise Refused(400, f"request_id: {error}.", "bad_request_id", "request_id") from None
        age = self._clock.machine_now() - issued.at
        if age > self._limits.keep or age < -_CLOCKS_APART:
            days = self._limits.keep.days
            message = f"request_id: it is older than the {days} days within which feedback is taken."
            raise Refused(400, message, "too_late", "request_id")
        return issued

    async def _taken(self, given: _Given, credit: Credit) -> bool:
        """Whether it is counted; False if it waits for the store."""
        if self._sink is None:
            raise Refused(503, "This gateway has no store that would count feedback.", "no_store")
        one = Waiting(
            token.digest(given.request_id),
            credit,
            self._clock.machine_now(),
            given.satisfaction,
            given.ticket is not None,
        )
        if one in self.waiting:
            raise _given_before()
        try:
            ask = partial(self._sink.take_feedback, one.request, credit.workload, one.at, _sums(one))
            is_first = await asyncio.wait_for(self._asking.begin(ask), PATIENCE_S)
        except Exception as error:  # noqa: BLE001 - a store may fail in any way; the user's word is kept until it is back
            LOG.warning("feedback waits for the store: %s", type(error).__name__)
            if not await asyncio.to_thread(self.waiting.add, one):
                raise Refused(503, "The store is away. Try again later.", "store_away") from None
            return False
        self._refusals.took(one)
        if not is_first:
            raise _given_before()
        return True


def _read(body: bytes) -> _Given:
    try:
        given = msgspec.json.decode(body, type=_Given)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(
            400, f"Expected a JSON object with request_id and thumbs, score or ticket: {error}", _BAD
        ) from None
    said = [name for name in ("thumbs", "score") if getattr(given, name) is not None]
    if len(said) > 1 or (not said and given.ticket is None):
        raise Refused(400, "Expected one of thumbs (up, down) and score (1 to 5), or a ticket.", _BAD, "thumbs")
    if given.score is not None and not 1 <= given.score <= 5:
        raise Refused(400, f"score: found {given.score}, expected 1 (the worst) to 5 (the best).", _BAD, "score")
    if given.ticket is not None and not _is_link(given.ticket):
        raise Refused(400, "ticket: expected an http or https address of at most 500 characters.", _BAD, "ticket")
    if given.comment is not None and len(given.comment) > LONGEST_COMMENT:
        raise Refused(400, f"comment: expected at most {LONGEST_COMMENT} characters.", _BAD, "comment")
    return given


_BAD = "bad_feedback"


def _is_link(text: str) -> bool:
    return text.startswith(("https://", "http://")) and len(text) <= 500 and text.isprintable() and " " not in text


def _sums(one: Waiting) -> dict[SumKey, Sum]:
    return feedback_sums(one.credit, one.satisfaction, one.has_ticket)


def _given_before() -> Refused:
    return Refused(409, "This request has had its feedback: the first one counts.", "already_given", "request_id")


def answered(said: Mapping[str, Any]) -> bytes:
    """The body of an answer."""
    return msgspec.json.encode(dict(said)) + b"\n"
