"""From a request as it comes in to a job: who asks, for which workload, as which unit, in which slices.

Contract. What cannot become a job is `Refused`, in the shape of errors that the app's own client raises. Labels
(`x-midshift-unit`, `x-midshift-slice`, `x-midshift-ring`) count only from keys that may set them, and what would say
who the user is goes to no provider. A unit is an HMAC under the deployment's key: what is stored does not say who it
was. Its sources are asked in the workload's order; a turn that only names the response before it keeps that one's
unit. Where none of them says anything, the request is a unit by itself, and that is counted.
Elsewhere: paths (wire.paths), what a head says (caller), what a workload looks at (reading), who gets which variant
(domain.routing), state (origins), answers (relay).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from midshift.domain.routing import Arm, placed, ring_of
from midshift.domain.unit import stored_unit
from midshift.gateway.caller import Caller
from midshift.gateway.exchange import Exchange
from midshift.gateway.heads import Head
from midshift.gateway.job import Job, kept_by_stripping
from midshift.gateway.origins import Held, Origins, choice, not_ones_own, previous
from midshift.gateway.reading import Found, Reading, Said
from midshift.gateway.route import Serving
from midshift.gateway.settings import ClientKey, GatewaySettings
from midshift.wire.paths import Asked
from midshift.wire.protocol import Problem, Unreadable, WireRequest
from midshift.wire.wires import WIRES


class Refused(Exception):
    """A request that no variant is asked about."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(status, message, code, param)


def _claims(readings: Sequence[Reading]) -> Mapping[str, Reading]:
    """Workloads by the models that they claim, and by their own names where no other claims these."""
    claims = {claim: reading for reading in readings for claim in reading.workload.claims}
    return {reading.workload.name: reading for reading in readings} | claims


class Intake:
    """Knows the client keys and the workloads of one gateway. `serving` says what serves a unit of a
    workload now."""

    def __init__(
        self, settings: GatewaySettings, serving: Callable[[str, datetime, str], Serving], origins: Origins
    ) -> None:
        self._unit_key = settings.unit_key
        self._serving = serving
        self._origins = origins
        readings = map(Reading, settings.workloads)
        self._claims = _claims(tuple(readings))
        self._keys = {_digest(key.secret): key for key in settings.client_keys}

    @property
    def claims(self) -> Collection[str]:
        """Every model name that a workload claims; by their own names they are not listed."""
        return [claim for claim, reading in self._claims.items() if claim in reading.workload.claims]

    def caller(self, head: Head) -> Caller:
        """Who sends requests with this head.

        Raises:
            Refused: for a missing or unknown key, or a body that is encoded.
        """
        key, query = self.shown(head)
        _check_coding(head)
        return Caller(head, "" if key is None else key.name, query, key is None or key.may_label)

    def shown(self, head: Head) -> tuple[ClientKey | None, str]:
        """The key that the app showed, None where none is asked for, and the query without it.

        Raises:
            Refused: for a missing or unknown key.
        """
        return self._authenticated(head.found, head.query), without_key(head.query)

    def _authenticated(self, found: Found, query: str) -> ClientKey | None:
        if not self._keys:
            return None
        shown = _shown_key(found, query)
        key = self._keys.get(_digest(shown)) if shown else None
        if key is None:
            message = "Incorrect API key. This is a gateway: show one of its client keys where the vendor's key was."
            raise Refused(401, message, "invalid_api_key")
        return key

    def claimed(self, model: str) -> Reading:
        """What the workload reads that claims a model.

        Raises:
            Refused: if none does.
        """
        reading = self._claims.get(model)
        if reading is None:
            known = ", ".join(map(repr, sorted(self._claims)))
            message = f"No workload claims the model {model!r}. This gateway serves: {known}."
            raise Refused(404, message, "model_not_found", "model")
        return reading

    def job(
        self,
        request_id: str,
        asked: Asked,
        caller: Caller,
        body: bytes,
        arrival: tuple[datetime, float],
    ) -> Job:
        """Everything that is decided about a request before anybody is asked; `arrival` is by both clocks.

        Raises:
            Refused: if it is none of its wire, no workload claims its model, or it goes on from what nobody who
                serves now can read.
        """
        try:
            request = WIRES[asked.wire].read_request(body, asked.path, caller.query)
        except Unreadable as error:
            raise Refused(400, str(error), "unreadable", error.param) from None
        reading = self._claims.get(request.model) or self.claimed(request.model)
        workload, said = reading.workload, caller.says(reading)
        held = self._held(request, caller.client) if request.bound_state else ()
        unit, is_named = self._unit(request_id, reading, request, held, caller, said)
        came_at, started_s = arrival
        serving = self._serving(workload.name, came_at, unit)
        route = serving.route
        assigned, block = placed(unit, route)
        ring = ring_of(reading.rings(request, said), route) if route.rings else ""
        if ring:
            assigned = Arm.CANDIDATE
        return Job(
            request_id,
            workload,
            asked.wire,
            asked.path,
            caller.query,
            request,
            said,
            serving,
            assigned,
            unit,
            block,
            reading.slices(request, said),
            came_at,
            started_s,
            _chosen(asked, request, held, assigned, serving) if held else assigned,
            held,
            ring,
            not is_named,
            caller.client,
        )

    def _held(self, request: WireRequest, client: str) -> tuple[Held, ...]:
        """What the request holds of earlier answers.

        Raises:
            Refused: for an id that was made for another client key, in the words for one that does not exist.
        """
        held = self._origins.held(request.bound_state)
        foreign = not_ones_own(held, client)
        if foreign is not None:
            code = "previous_response_not_found" if foreign.field == "previous_response_id" else "not_found"
            raise Refused(400, f"{foreign.token!r} in {foreign.field!r} was not found.", code, foreign.field)
        return held

    def _unit(
        self,
        request_id: str,
        reading: Reading,
        request: WireRequest,
        held: tuple[Held, ...],
        caller: Caller,
        said: Said,
    ) -> tuple[str, bool]:
        """Who or what keeps one variant, and whether anything named it."""
        if said.unit:
            return stored_unit(self._unit_key, b"unit:" + said.unit), True
        for source in reading.units:
            value = source.found_in(request, caller.found)
            if value:
                return stored_unit(self._unit_key, value), True
            before = previous(held) if held and source.is_conversation else None
            if before is not None:
                return before.unit, True
        return stored_unit(self._unit_key, b"request:" + request_id.encode()), False


def _chosen(asked: Asked, request: WireRequest, held: tuple[Held, ...], assigned: Arm, serving: Serving) -> Arm:
    """The arm that is asked first.

    Raises:
        Refused: if neither can go on from what the request holds.
    """
    found = choice(held, assigned, serving, asked.wire, lambda: kept_by_stripping(request, asked.path, asked.wire))
    if found.stuck:
        message = (
            f"The answer that {found.stuck!r} refers to was given by another provider, which serves here no more, and "
            f"no other can read it. Send the conversation itself instead of {found.stuck!r}."
        )
        raise Refused(409, message, "state_of_another_provider", found.stuck)
    return found.arm


async def whole_body(exchange: Exchange, limit: int, hold: Callable[[int], None]) -> bytes:
    """The whole body of a request, in memory once. `hold` is told of its bytes as they come.

    Raises:
        Refused: for one that is too large, or compressed; and what `hold` raises.
        ClientLeft: if it never comes whole.
    """
    exchange.head.once(_check_coding)
    body = body_at_hand(exchange, limit)
    if body is None:
        return await awaited_body(exchange, limit, hold)
    hold(len(body))
    return body


def body_at_hand(exchange: Exchange, limit: int) -> bytes | None:
    """The same, where all of it has come; None where `awaited_body` has to wait for it. The head was checked before.

    Raises:
        Refused: for one that is too large.
    """
    body = exchange.taken()
    if body is not None and len(body) > limit:
        raise _too_large(limit)
    return body


async def awaited_body(exchange: Exchange, limit: int, hold: Callable[[int], None]) -> bytes:
    """The same, as it comes.

    Raises:
        Refused, ClientLeft: as `whole_body`.
    """
    _check_size(exchange.length or 0, limit)
    part = await exchange.part()
    if exchange.is_taken:
        _check_size(len(part), limit)
        hold(len(part))
        return part
    buffer, received = io.BytesIO(), 0
    while part:
        received += len(part)
        _check_size(received, limit)
        hold(len(part))
        buffer.write(part)
        part = await exchange.part()
    return buffer.getvalue()  # the buffer itself, without a copy


def _check_coding(head: Head) -> None:
    if head.found.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(415, "Send the request body uncompressed.", "content_encoding")
    if head.found.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
        raise Refused(501, "Send the request body in chunks, or with a length, and not otherwise encoded.", "encoding")


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> Refused:
    message = f"The request body is larger than the {limit} bytes that this gateway takes."
    return Refused(413, message, "request_too_large")


def _shown_key(found: Found, query: str) -> str:
    """The key, wherever the vendors' clients put theirs."""
    bearer = found.get(b"authorization", b"")
    if bearer[:7].lower() == b"bearer ":
        return bearer[7:].strip().decode("latin-1")
    for name in (b"x-api-key", b"api-key", b"x-goog-api-key"):
        if shown := found.get(name):
            return shown.decode("latin-1")
    return dict(parse_qsl(query)).get("key", "") if "key=" in query else ""


def without_key(query: str) -> str:
    """A query without the app's key, which is ours and no provider's business."""
    if "key=" not in query:
        return query
    return urlencode([(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "key"])


def _digest(secret: str) -> bytes:
    """Keys are looked up by their whole digest: nothing about a key shows in how long that takes."""
    return hashlib.sha256(secret.encode()).digest()
