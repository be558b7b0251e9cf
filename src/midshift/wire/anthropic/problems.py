"""Errors and lists of models, in the shapes that Anthropic's clients read.

The SDK picks its class by the HTTP status. Every version reads 503 as an `InternalServerError` and tries it again; 529
is an `OverloadedError`, which before 2.0 was none. So the gateway's own 503 keeps its status, which proxies understand
too, and says `overloaded_error`, which in a stream is all that a client sees. `error.details.error_code` is the API's
place for a stable code; clients that know no such code fall back to the type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from midshift.wire.json_object import WRONG, inside
from midshift.wire.protocol import Problem

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_UNKNOWN_DATE = "1970-01-01T00:00:00Z"


def error_body(problem: Problem) -> bytes:
    """An error, in the shape that clients raise as their own classes."""
    return msgspec.json.encode(
        {"type": "error", "error": error(type_of(problem.status), problem.message, problem.code, problem.param)}
    )


def error_event(problem: Problem) -> bytes:
    """The same in the middle of a stream: clients raise it instead of taking what came for the whole answer."""
    return b"event: error\ndata: " + error_body(problem) + b"\n\n"


def error(kind: str, message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The inner object of an error."""
    details = {name: value for name, value in (("error_code", code), ("param", param)) if value is not None}
    return {"type": kind, "message": message, **({"details": details} if details else {})}


def type_of(status: int) -> str:
    """The broad category of an error, by its HTTP status (Anthropic's page on errors)."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def read_problem(status: int, body: bytes) -> Problem:
    """An error of the API, for an app of another wire; what cannot be read is said by its status."""
    try:
        found = msgspec.json.decode(body)
    except WRONG:
        found = None
    message, kind = inside(found, "error.message"), inside(found, "error.type")
    code, param = inside(found, "error.details.error_code"), inside(found, "error.details.param")
    return Problem(
        status,
        message if isinstance(message, str) and message else f"The provider answered with status {status}.",
        next((name for name in (code, kind) if isinstance(name, str)), "upstream_error"),
        param if isinstance(param, str) else None,
    )


def models_body(names: Iterable[str]) -> bytes:
    """The answer of `GET /v1/models`: one page that holds everything."""
    models = [_model(name) for name in names]
    first, last = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    return msgspec.json.encode({"data": models, "has_more": False, "first_id": first, "last_id": last})


def model_body(name: str) -> bytes:
    """The answer of `GET /v1/models/{id}`."""
    return msgspec.json.encode(_model(name))


def _model(name: str) -> dict[str, Any]:
    # The name is a workload's: it is served for as long as it is listed. The epoch stands for an unknown date.
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": _UNKNOWN_DATE,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
    }
