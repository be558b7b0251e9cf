"""OpenRouter: `GET /api/v1/models` with `expiration_date` and `alias_target`.

"The date after which the model may be removed. ISO 8601 date string (YYYY-MM-DD) or null if no expiration"
(`openrouter` 1.3.84, `components/model.py`, where it may also be absent). So the first day without the model is the
next one. The list is public: no key is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from midshift.domain.retirement import State
from midshift.errors import InputError
from midshift.ports import HttpRequest
from midshift.providers.lifecycle.answers import Access, Found, Vendor, at_root, fields, optional_day, records

BASE = "https://openrouter.ai/api/v1"


def requests(model: str, access: Access, now: datetime) -> Sequence[HttpRequest]:
    """The list of all models; the same request for each of them."""
    headers = {} if access.secret is None else {"authorization": f"Bearer {access.secret}"}
    return [HttpRequest("GET", f"{at_root(access.base_url or BASE, '/api/v1')}/models", headers)]


def read(body: bytes, model: str) -> Found | None:
    """A model by its id, its canonical slug, or without its `:variant`.

    Raises:
        InputError: if it is no list of models.
    """
    items = records(fields(body).get("data"), "'data'")
    for name in names(model):
        item = next((item for item in items if name in (item.get("id"), item.get("canonical_slug"))), None)
        if item is not None:
            return _found(item, items)
    return None


def names(model: str) -> Sequence[str]:
    """`:nitro`, `:floor` and the like choose a host, not a model."""
    bare = model.partition(":")[0]
    return (model,) if bare == model else (model, bare)


def _found(item: Mapping[str, object], items: Sequence[Mapping[str, object]]) -> Found:
    alias = item.get("alias_target")
    slug = alias.get("slug") if isinstance(alias, dict) else None
    day = _first_day_without(item)
    if not isinstance(slug, str):
        return Found(State.ACTIVE if day is None else State.DEPRECATED, day)
    target = next((other for other in items if slug in (other.get("id"), other.get("canonical_slug"))), None)
    days = [found for found in (day, target and _first_day_without(target)) if found]
    return Found(State.DEPRECATED if days else State.ACTIVE, min(days, default=None), note=f"leads to {slug[:100]!r}")


def _first_day_without(item: Mapping[str, object]) -> date | None:
    last = optional_day(item, "expiration_date")
    try:
        return None if last is None else last + timedelta(days=1)
    except OverflowError:
        raise InputError(f"'expiration_date' is {last}, expected a date") from None


VENDOR = Vendor(requests, read, names)
