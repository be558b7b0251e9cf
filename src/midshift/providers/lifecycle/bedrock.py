"""Amazon Bedrock: `GetFoundationModel` with `modelLifecycle`.

`GET /foundation-models/{id}` on the control plane; status ACTIVE or LEGACY, `endOfLifeTime` is "when the model is no
longer available for use", and from `publicExtendedAccessTime` on "users should expect higher pricing" (`botocore`
1.44.5, `data/bedrock/2023-04-20`). A system inference profile (`us.`, `eu.`, `global.`, ...) is asked about as the
model behind it, in this region. Bearer token or SigV4, whichever there is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from midshift.domain.retirement import State
from midshift.errors import InputError
from midshift.ports import HttpRequest
from midshift.providers.lifecycle import sigv4
from midshift.providers.lifecycle.answers import Access, Found, NotAsked, Vendor, fields, mapping, optional_day

_PROFILE = re.compile(r"^(?:us-gov|us|eu|apac|jp|au|in|ca|sa|global)\.")
_FOUNDATION = re.compile(r"^arn:aws[\w-]*:bedrock:[a-z0-9-]*::foundation-model/(.+)$")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


def requests(model: str, access: Access, now: datetime) -> Sequence[HttpRequest] | NotAsked:
    """One request for one foundation model."""
    if access.secret is None and access.signing is None:
        return NotAsked("needs AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if access.region is None or not _REGION.fullmatch(access.region):
        return NotAsked("needs AWS_REGION, such as eu-central-1")
    foundation = names(model)[-1]
    if foundation.startswith("arn:"):
        return NotAsked("an ARN does not say which model is behind it")
    base = (access.base_url or f"https://bedrock.{access.region}.amazonaws.com").rstrip("/")
    url = f"{base}/foundation-models/{quote(foundation, safe='')}"
    if access.secret is not None:
        return [HttpRequest("GET", url, {"authorization": f"Bearer {access.secret}"})]
    assert access.signing is not None
    return [HttpRequest("GET", url, sigv4.signed_get(url, access.signing, access.region, "bedrock", now))]


def read(body: bytes, model: str) -> Found | None:
    """The details of a foundation model.

    Raises:
        InputError: if they are none, or have no lifecycle.
    """
    details = mapping(fields(body).get("modelDetails"), "'modelDetails'")
    lifecycle = mapping(details.get("modelLifecycle"), "'modelLifecycle'")
    state = {"ACTIVE": State.ACTIVE, "LEGACY": State.DEPRECATED}.get(str(lifecycle.get("status")))
    if state is None:
        raise InputError(f"the lifecycle's status is {lifecycle.get('status')!r}, expected 'ACTIVE' or 'LEGACY'")
    return Found(state, optional_day(lifecycle, "endOfLifeTime"), note=_dearer(lifecycle))


def names(model: str) -> Sequence[str]:
    """An inference profile is named after its model, with a region in front; an ARN may hold the model's id."""
    arn = _FOUNDATION.match(model)
    bare = arn[1] if arn else _PROFILE.sub("", model)
    return (model,) if bare == model else (model, bare)


def _dearer(lifecycle: Mapping[str, object]) -> str:
    day = optional_day(lifecycle, "publicExtendedAccessTime")
    return "" if day is None else f"dearer from {day} on (public extended access)"


VENDOR = Vendor(requests, read, names)
