"""AWS Signature Version 4 for a GET without query and body: all that a question about a model needs.

The algorithm is the one of docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html; AWS's
test vector `get-vanilla` is the test.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from midshift.providers.lifecycle.answers import SigningKeys

_ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = hashlib.sha256(b"").hexdigest()


def signed_get(url: str, keys: SigningKeys, region: str, service: str, now: datetime) -> Mapping[str, str]:
    """The headers that sign a GET of `url`, which has a path and no query; `now` has a zone."""
    moment = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    address = urlsplit(url)
    headers = {"host": address.netloc, "x-amz-date": moment}
    if keys.session_token is not None:
        headers["x-amz-security-token"] = keys.session_token
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    names = ";".join(sorted(headers))
    # Every service but S3 signs the path encoded once more than it is sent.
    lines = ["GET", quote(address.path or "/"), "", *(f"{name}:{headers[name]}" for name in sorted(headers))]
    canonical = "\n".join([*lines, "", names, _NO_BODY])
    text = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(_key(keys, scope), text.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={keys.key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    sent = {name: value for name, value in headers.items() if name != "host"}  # the client sends it itself
    return {**sent, "authorization": f"{_ALGORITHM} {credential}"}


def _key(keys: SigningKeys, scope: str) -> bytes:
    """The secret, hashed through day, region, service and terminator."""
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
