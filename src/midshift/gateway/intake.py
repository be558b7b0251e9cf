"""From a request as it comes in to a job: who asks, for which workload, as which unit, in which slices.

Contract. What cannot become a job is `Refused`, in the shape of errors that the app's own client raises. Labels
(`x-midshift-unit`, `x-midshift-slice`) count only from keys that may set them, and what would say who the user is goes
to no provider. A unit is an HMAC under the deployment's key: what is stored does not say who it was.
Elsewhere: paths (wire.paths), who gets which variant (domain.routing), answers (relay).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from midshift.domain.routing import assign, block
from midshift.domain.workload import BodyEquals, HeaderEquals, LanguageIs, SliceRule, UnitKind, UnitSource, Workload
from midshift.gateway import headers
from midshift.gateway.job import Job
from midshift.gateway.route import Serving
from midshift.gateway.settings import ClientKey, GatewaySettings
from midshift.wire.paths import Asked
from midshift.wire.protocol import Problem, Unreadable, WireRequest
from midshift.wire.wires import WIRES

Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Found: TypeAlias = Mapping[bytes, bytes]

_UNIT_LENGTH = 32


class Refused(Exception):
    """A request that no variant is asked about."""

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(status, message, code, param)


class ClientLeft(Exception):
    """The app closed its connection."""


class Intake:
    """Knows the client keys and the workloads of one gateway. `serving` says what serves a workload now."""

    def __init__(self, settings: GatewaySettings, serving: Callable[[str], Serving]) -> None:
        self._settings = settings
        self._serving = serving
        self._claims = {claim: workload for workload in settings.workloads for claim in workload.claims}
        self._private = {workload.name: _private_headers(workload) for workload in settings.workloads}
        self._keys = {_digest(key.secret): key for key in settings.client_keys}

    @property
    def claims(self) -> Collection[str]:
        """Every model name that a workload claims."""
        return self._claims.keys()

    def authenticated(self, found: Found, query: str = "") -> ClientKey | None:
        """The key that the app showed; None where none is asked for.

        Raises:
            Refused: for a missing or unknown key.
        """
        if not self._keys:
            return None
        shown = _shown_key(found, query)
        key = self._keys.get(_digest(shown)) if shown else None
        if key is None:
            message = "Incorrect API key. This is a gateway: show one of its client keys where the vendor's key was."
            raise Refused(401, message, "invalid_api_key")
        return key

    def claimed(self, model: str) -> Workload:
        """The workload that claims a model.

        Raises:
            Refused: if none does.
        """
        workload = self._claims.get(model)
        if workload is None:
            known = ", ".join(map(repr, sorted(self._claims)))
            message = f"No workload claims the model {model!r}. This gateway serves: {known}."
            raise Refused(404, message, "model_not_found", "model")
        return workload

    def job(
        self,
        request_id: str,
        key: ClientKey | None,
        asked: Asked,
        query: str,
        body: bytes,
        lines: headers.Lines,
        found: Found,
        started_s: float,
    ) -> Job:
        """Everything that is decided about a request before anybody is asked.

        Raises:
            Refused: if it is none of its wire, or no workload claims its model.
        """
        request = _read(asked, _without_key(query), body)
        workload = self.claimed(request.model)
        may_label = key is None or key.may_label
        serving = self._serving(workload.name)
        unit = self._unit(request_id, workload, request, found, may_label)
        return Job(
            id=request_id,
            workload=workload,
            wire=asked.wire,
            path=asked.path,
            query=_without_key(query),
            request=request,
            lines=headers.to_provider(lines, self._private[workload.name]),
            serving=serving,
            assigned=assign(unit, serving.route),
            unit=unit,
            block=block(unit, serving.route.salt),
            slices=_slices(workload, request, found if may_label else {}),
            started_s=started_s,
        )

    def _unit(self, request_id: str, workload: Workload, request: WireRequest, found: Found, may_label: bool) -> str:
        """Who or what keeps one variant."""
        named = found.get(b"x-midshift-unit") if may_label else None
        if named:
            return self._hmac(b"unit:" + named)
        for source in workload.unit:
            value = _unit_value(source, request, found)
            if value:
                return self._hmac(value)
        return self._hmac(b"request:" + request_id.encode())

    def _hmac(self, value: bytes) -> str:
        return hmac.digest(self._settings.unit_key, value, "sha256").hex()[:_UNIT_LENGTH]


def _read(asked: Asked, query: str, body: bytes) -> WireRequest:
    try:
        return WIRES[asked.wire].read_request(body, asked.path, query)
    except Unreadable as error:
        raise Refused(400, str(error), "unreadable", error.param) from None


async def whole_body(found: Found, receive: Receive, limit: int) -> bytes:
    """The whole body of a request.

    Raises:
        Refused: for one that is too large, or compressed.
        ClientLeft: if it never comes whole.
    """
    if found.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(415, "Send the request body uncompressed.", "content_encoding")
    declared = found.get(b"content-length", b"0")
    chunks: list[bytes] = []
    size = int(declared) if declared.isdigit() else 0
    received = 0
    while True:
        if max(size, received) > limit:
            message = f"The request body is larger than the {limit} bytes that this gateway takes."
            raise Refused(413, message, "request_too_large")
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientLeft
        chunks.append(event.get("body", b""))
        received += len(chunks[-1])
        if not event.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _shown_key(found: Found, query: str) -> str:
    """The key, wherever the vendors' clients put theirs."""
    bearer = found.get(b"authorization", b"")
    if bearer[:7].lower() == b"bearer ":
        return bearer[7:].strip().decode("latin-1")
    for name in (b"x-api-key", b"api-key", b"x-goog-api-key"):
        if shown := found.get(name):
            return shown.decode("latin-1")
    return dict(parse_qsl(query)).get("key", "") if "key=" in query else ""


def _without_key(query: str) -> str:
    """A query without the app's key, which is ours and no provider's business."""
    if "key=" not in query:
        return query
    return urlencode([(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "key"])


def _digest(secret: str) -> bytes:
    """Keys are looked up by their whole digest: nothing about a key shows in how long that takes."""
    return hashlib.sha256(secret.encode()).digest()


def _private_headers(workload: Workload) -> Collection[bytes]:
    """Headers by which the app tells us about its user; none of a provider's business."""
    units = {source.name.encode() for source in workload.unit if source.kind is UnitKind.HEADER}
    rules = {rule.when.header.encode() for rule in workload.rules if isinstance(rule.when, HeaderEquals)}
    return frozenset(units | rules)


def _unit_value(source: UnitSource, request: WireRequest, found: Found) -> bytes:
    match source.kind:
        case UnitKind.HEADER:
            named = found.get(source.name.encode(), b"")
            return b"unit:" + named if named and not source.name.startswith("x-midshift-") else b""
        case UnitKind.BODY:
            value = request.value_at(source.name)
            return f"unit:{value}".encode("utf-8", "surrogatepass") if _is_name(value) else b""
        case UnitKind.CONVERSATION:
            opening = request.opening
            return b"conversation:" + opening.encode("utf-8", "surrogatepass") if opening else b""


def _is_name(value: object) -> bool:
    return (isinstance(value, str) and value != "") or (isinstance(value, int) and not isinstance(value, bool))


def _slices(workload: Workload, request: WireRequest, found: Found) -> tuple[str, ...]:
    """The slices of a request: by the workload's rules, and by name where the app may say so."""
    if not workload.rules and b"x-midshift-slice" not in found:
        return ()
    by_rule = {rule.slice for rule in workload.rules if _holds(rule, request, found)}
    named = found.get(b"x-midshift-slice", b"").decode("latin-1").split(",")
    asked = {name.strip() for name in named}
    return tuple(part.name for part in workload.slices if part.name in by_rule or part.name in asked)


def _holds(rule: SliceRule, request: WireRequest, found: Found) -> bool:
    match rule.when:
        case HeaderEquals(header=header, equals=equals):
            return found.get(header.encode()) == equals.encode()
        case BodyEquals(body=path, equals=equals):
            value = request.value_at(path)
            return isinstance(value, str) == isinstance(equals, str) and _same(value, equals)
        case LanguageIs():
            return False  # too dear for the path of a request: told from the record


def _same(value: object, expected: object) -> bool:
    return isinstance(value, bool) == isinstance(expected, bool) and value == expected
