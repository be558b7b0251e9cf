"""Fireworks: `GET /v1/accounts/{account}/models/{model}` with `deprecationDate`.

"If specified, this is the date when the serverless deployment of the model will be taken down" (`fireworks-ai` 1.2.30,
`types/model.py`): `{year, month, day}`, where 0 stands for "not said", as in google.type.Date. A deployment of one's
own (`#accounts/.../deployments/...`) is not taken down with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from urllib.parse import urlsplit

from midshift.domain.retirement import State
from midshift.errors import InputError
from midshift.ports import HttpRequest
from midshift.providers.lifecycle.answers import Access, Found, NotAsked, Vendor, fields, mapping

BASE = "https://api.fireworks.ai"
_MODEL = re.compile(r"accounts/[A-Za-z0-9._-]+/models/[A-Za-z0-9._-]+")


def requests(model: str, access: Access, now: datetime) -> Sequence[HttpRequest] | NotAsked:
    """One request for one model; its id is its path."""
    if access.secret is None:
        return NotAsked("needs FIREWORKS_API_KEY")
    path, _, deployment = model.partition("#")
    if deployment:
        return NotAsked("a deployment of your own: Fireworks takes it down when you do")
    if not _MODEL.fullmatch(path):
        return NotAsked("only ids of the form accounts/ACCOUNT/models/MODEL have a date")
    address = urlsplit(access.base_url or BASE)
    headers = {"authorization": f"Bearer {access.secret}"}
    return [HttpRequest("GET", f"{address.scheme}://{address.netloc}/v1/{path}", headers)]


def read(body: bytes, model: str) -> Found | None:
    """The model.

    Raises:
        InputError: if it is another one, or its date is none.
    """
    found = fields(body)
    if found.get("name") != model:
        raise InputError(f"the answer is about {found.get('name')!r}, expected {model!r}")
    stated = found.get("deprecationDate")
    if stated is None:
        return Found(State.ACTIVE)
    return Found(State.DEPRECATED, _day(mapping(stated, "'deprecationDate'")))


def _day(parts: object) -> date:
    match parts:
        case {"year": int(year), "month": int(month), "day": int(day)}:
            try:
                return date(year, month, day)
            except (ValueError, OverflowError):
                pass
    raise InputError("'deprecationDate' is no whole date")


VENDOR = Vendor(requests, read)
