"""OpenAI: `GET /v1/models/{id}` with `shutdown_date`, a day or null.

"When present, this field contains the shutdown date as a YYYY-MM-DD string, or null if no shutdown date has been
announced" (developers.openai.com/api/docs/deprecations; the field is in `openai` 3.54.0, `types/model.py`). Fine-tuned
models shut down with their base model: third parties say so of that page, which was not verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

from midshift.domain.retirement import State
from midshift.errors import InputError
from midshift.ports import HttpRequest
from midshift.providers.lifecycle.answers import Access, Found, NotAsked, Vendor, at_root, fields, stated_day

BASE = "https://api.openai.com/v1"


def requests(model: str, access: Access, now: datetime) -> Sequence[HttpRequest] | NotAsked:
    """One request for one model."""
    if access.secret is None and access.base_url is None:
        return NotAsked("needs OPENAI_API_KEY")
    headers = {} if access.secret is None else {"authorization": f"Bearer {access.secret}"}
    return [HttpRequest("GET", f"{at_root(access.base_url or BASE, '/v1')}/models/{quote(model, safe='')}", headers)]


def read(body: bytes, model: str) -> Found | None:
    """The model object.

    Raises:
        InputError: if it is none, or has no `shutdown_date`.
    """
    found = fields(body)
    if found.get("id") != model:
        raise InputError(f"the answer is about {found.get('id')!r}, expected {model!r}")
    day = stated_day(found, "shutdown_date")
    return Found(State.ACTIVE if day is None else State.DEPRECATED, day)


def names(model: str) -> Sequence[str]:
    """A fine-tuned model is listed as `ft:BASE:...`."""
    parts = model.split(":")
    return (model, parts[1]) if parts[0] == "ft" and len(parts) > 1 else (model,)


VENDOR = Vendor(requests, read, names)
