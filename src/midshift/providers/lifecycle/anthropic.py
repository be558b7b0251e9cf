"""Anthropic: `GET /v1/models/{id}` with `lifecycle`, `deprecated_at` and `retires_at`.

The fields are in `anthropic` 2.12.0 (`types/model_info.py`), which sends the version 2026-10-21 and the key as a
bearer token; 0.121.0 sends 2023-06-01 and `x-api-key`, and its types do not have them. So the new way is tried first
and the old one where the new is refused. "A past date on a `deprecated` model means retirement is overdue, not that it
has occurred: `lifecycle` is the retirement signal." Amazon and Google set their own dates for the same models
(platform.claude.com/docs/en/about-claude/model-deprecations).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from midshift.domain.retirement import State
from midshift.errors import InputError
from midshift.ports import HttpRequest
from midshift.providers.lifecycle.answers import Access, Found, NotAsked, Vendor, at_root, fields, optional_day

BASE = "https://api.anthropic.com/v1"
NEW, OLD = "2026-10-21", "2023-06-01"


def requests(model: str, access: Access, now: datetime) -> Sequence[HttpRequest] | NotAsked:
    """The same question in both versions."""
    if access.secret is None:
        return NotAsked("needs ANTHROPIC_API_KEY")
    url = f"{at_root(access.base_url or BASE, '/v1')}/models/{quote(model, safe='')}"
    return [
        HttpRequest("GET", url, {"authorization": f"Bearer {access.secret}", "anthropic-version": NEW}),
        HttpRequest("GET", url, {"x-api-key": access.secret, "anthropic-version": OLD}),
    ]


def read(body: bytes, model: str) -> Found | None:
    """The model's information; an alias is answered with the id that it stands for.

    Raises:
        InputError: if it is none, or has no `lifecycle`.
    """
    found = fields(body)
    state = _STATES.get(str(found.get("lifecycle")))
    if state is None:
        had = f"{found['lifecycle']!r}" if "lifecycle" in found else "none"
        raise InputError(f"the answer has {had} as 'lifecycle', expected active, deprecated or retired")
    note = "" if found.get("id") == model else f"an alias of {str(found.get('id'))[:100]!r}"
    return Found(state, optional_day(found, "retires_at"), note=note)


_STATES = {state.value: state for state in (State.ACTIVE, State.DEPRECATED, State.RETIRED)}

VENDOR = Vendor(requests, read)
