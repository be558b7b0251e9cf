"""Mistral: `GET /v1/models` with `aliases`, `deprecation` and `deprecation_replacement_model`.

Fields of `mistralai` 3.7.0 (`models/basemodelcard.py`). That client words the same date in the header
`x-model-deprecation-timestamp` as the day on which the model "will be removed", and so it is read here; Mistral's model
pages know a deprecation and a later retirement date (docs.mistral.ai/models), so the field may be early. A model
without `deprecation` has none announced: the field is optional there, and absence is how it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from midshift.domain.retirement import State
from midshift.ports import HttpRequest
from midshift.providers.lifecycle.answers import (
    Access,
    Found,
    NotAsked,
    Vendor,
    at_root,
    fields,
    optional_day,
    optional_text,
    records,
)

BASE = "https://api.mistral.ai/v1"


def requests(model: str, access: Access, now: datetime) -> Sequence[HttpRequest] | NotAsked:
    """The list of all models; the same request for each of them."""
    if access.secret is None:
        return NotAsked("needs MISTRAL_API_KEY")
    url = f"{at_root(access.base_url or BASE, '/v1')}/models"
    return [HttpRequest("GET", url, {"authorization": f"Bearer {access.secret}"})]


def read(body: bytes, model: str) -> Found | None:
    """The card of a model, by its id or else by one of its aliases.

    Raises:
        InputError: if it is no list of cards.
    """
    cards = records(fields(body).get("data"), "'data'")
    card = next((card for card in cards if card.get("id") == model), None)
    if card is not None:
        return _found(card, "")
    card = next((card for card in cards if model in _aliases(card)), None)
    return None if card is None else _found(card, f"an alias of {str(card.get('id'))[:100]!r}")


def _found(card: Mapping[str, object], note: str) -> Found:
    day = optional_day(card, "deprecation")
    replacement = optional_text(card, "deprecation_replacement_model")
    return Found(State.ACTIVE if day is None else State.DEPRECATED, day, replacement, note)


def _aliases(card: Mapping[str, object]) -> Sequence[object]:
    found = card.get("aliases")
    return found if isinstance(found, list) else ()


VENDOR = Vendor(requests, read)
