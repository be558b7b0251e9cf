"""Gemini: `modelStatus` in answers of generateContent; the models endpoint states no retirement.

`modelStatus.{modelStage,retirementTime,message}` is in `google-genai` 3.4.0 (`types.ModelStatus`, "not supported in
Vertex AI"); `types.Model` has nothing of the kind. So the models endpoint can only say whether a model is there, and
whoever sees answers hands them to `from_response`. A shutdown date on Google's page is "the earliest possible"
(ai.google.dev/gemini-api/docs/deprecations).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from midshift.domain.retirement import State
from midshift.errors import InputError
from midshift.ports import HttpRequest
from midshift.providers.lifecycle.answers import (
    Access,
    Found,
    NotAsked,
    Vendor,
    at_root,
    fields,
    mapping,
    optional_day,
    optional_text,
)

BASE = "https://generativelanguage.googleapis.com/v1beta"
NO_FIELD = "the vendor lists it, and states no retirement there"

_STAGES = {
    "UNSTABLE_EXPERIMENTAL": State.ACTIVE,
    "EXPERIMENTAL": State.ACTIVE,
    "PREVIEW": State.ACTIVE,
    "STABLE": State.ACTIVE,
    "LEGACY": State.DEPRECATED,
    "DEPRECATED": State.RETIRED,  # "These models cannot be used."
    "RETIRED": State.RETIRED,
}


def requests(model: str, access: Access, now: datetime) -> Sequence[HttpRequest] | NotAsked:
    """Whether the model is there."""
    if access.secret is None:
        return NotAsked("needs GEMINI_API_KEY")
    url = f"{at_root(access.base_url or BASE, '/v1beta')}/models/{quote(model, safe='')}"
    return [HttpRequest("GET", url, {"x-goog-api-key": access.secret})]


def read(body: bytes, model: str) -> Found | None:
    """The model, of which nothing but its presence is known.

    Raises:
        InputError: if it is another one, or none.
    """
    name = fields(body).get("name")
    if name != f"models/{model}":
        raise InputError(f"the answer is about {name!r}, expected 'models/{model}'")
    return Found(State.UNKNOWN, note=NO_FIELD)


def from_response(body: bytes) -> Found | None:
    """What an answer of generateContent says about its model; None if it says nothing.

    Raises:
        InputError: if it is no such answer, or the status is none.
    """
    status = fields(body).get("modelStatus")
    if status is None:
        return None
    found = mapping(status, "'modelStatus'")
    state = _STAGES.get(str(found.get("modelStage", "")).upper(), State.UNKNOWN)
    return Found(state, optional_day(found, "retirementTime"), note=optional_text(found, "message") or "")


VENDOR = Vendor(requests, read)
