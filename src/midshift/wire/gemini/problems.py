"""Errors and lists of models, as Google's clients read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from midshift.wire.gemini.parts import decoded
from midshift.wire.json_object import inside
from midshift.wire.protocol import Problem

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(problem: Problem) -> bytes:
    """An error in the shape that google-genai raises as `ClientError` or `ServerError`."""
    status = _STATUS.get(problem.status, "INVALID_ARGUMENT" if problem.status < 500 else "INTERNAL")
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": problem.code, "domain": "midshift"}
    violation = {"field": problem.param, "description": problem.message}
    request = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    details = [detail, request] if problem.param is not None else [detail]
    found = {"code": problem.status, "message": problem.message, "status": status, "details": details}
    return msgspec.json.encode({"error": found})


def error_event(problem: Problem) -> bytes:
    """An error in the middle of a stream: clients raise it instead of taking what came for the whole answer."""
    return b"data: " + error_body(problem) + b"\r\n\r\n"


def read_problem(status: int, body: bytes) -> Problem:
    """See `Wire`."""
    found = decoded(body) or {}
    error = found.get("error") if isinstance(found.get("error"), dict) else {}
    assert isinstance(error, dict)
    message, code = error.get("message"), _detail(error, "reason") or error.get("status")
    return Problem(
        status,
        message if isinstance(message, str) and message else f"The provider answered with status {status}.",
        code.lower() if isinstance(code, str) else "upstream_error",
        _detail(error, "fieldViolations.0.field"),
    )


def models_body(names: Iterable[str]) -> bytes:
    """The answer of `GET /v1beta/models`."""
    return msgspec.json.encode({"models": [_model(name) for name in names]})


def model_body(name: str) -> bytes:
    """The answer of `GET /v1beta/models/{model}`."""
    return msgspec.json.encode(_model(name))


def _detail(error: Mapping[str, Any], path: str) -> str | None:
    details = error.get("details")
    found = (inside(detail, path) for detail in details) if isinstance(details, list) else ()
    return next((value for value in found if isinstance(value, str) and value), None)


def _model(name: str) -> dict[str, Any]:
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
