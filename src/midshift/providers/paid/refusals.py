"""What an answer that is no 200 speaks of: the request, whoever asks, or nothing that anybody knows.

Contract: a closed answer for every status. REQUEST is final: this very request is refused. ASKER is about key, account,
permission, address or model: no call gets through until that is mended, so the first one stops the eval. LOST comes
from somebody between midshift and the model who gave up waiting: it may have been served and billed. PASSING may be
asked again.

Vendors do not agree on statuses, so some are told by their words. A wrong key is a 400 at Gemini and xAI, an empty
account a 400 at Anthropic and a 429 at OpenAI (`insufficient_quota`), and an unknown model a 400 at OpenRouter, Mistral
and Bedrock; the words are not verified against every vendor. OpenRouter says 403 of an input that its moderation has
flagged (https://openrouter.ai/docs/api-reference/errors). 520, 522, 524 to 527 and 530 are Cloudflare's for an origin
that did not answer as it should; at 521 and 523 nobody was reached.
Elsewhere: when it is asked again (backoff), what follows from it (buyer).
"""

from __future__ import annotations

import re
from enum import StrEnum

from midshift.domain.paid_call import Ending

REQUEST_STATUSES = frozenset((400, 413, 414, 415, 422, 431, 451))
_ASKER = frozenset((401, 402, 403, 404, 405, 407, 410, 421, 426))
_PASSING = frozenset((409, 424, 425, 429, 500, 502, 503, 521, 523, 529))

_KEY = re.compile(
    r"(?i)api[ _-]?key (?:is )?(?:not valid|invalid|expired)|(?:incorrect|invalid) api[ _-]?key|api_key_invalid"
)
_ACCOUNT = re.compile(r"(?i)credit balance is too low|insufficient[ _](?:balance|credits?|funds|quota)")
_MODEL = re.compile(
    r"(?i)not a valid model|invalid model(?: id\b|:| name)|model identifier is invalid|model.{0,80} does not exist"
)
_FLAGGED = re.compile(r"(?i)flagged|moderation")


class Speaks(StrEnum):
    """Of what an answer without a 200 speaks."""

    REQUEST = "request"
    ASKER = "asker"
    PASSING = "passing"
    LOST = "lost"

    @property
    def ending(self) -> Ending:
        """What comes of the call."""
        return _ENDINGS[self]


_ENDINGS = {
    Speaks.REQUEST: Ending.REFUSED,
    Speaks.ASKER: Ending.FAILED,
    Speaks.PASSING: Ending.FAILED,
    Speaks.LOST: Ending.UNKNOWN,
}


def speaks(status: int, said: str) -> Speaks:
    """Of what a status other than 200 speaks; `said` is what the provider said with it."""
    if status == 403 and _FLAGGED.search(said):
        return Speaks.REQUEST
    if status in _ASKER or 300 <= status < 400:
        return Speaks.ASKER
    if status in (400, 422, 429) and hint(status, said) is not None:
        return Speaks.ASKER
    if status in REQUEST_STATUSES:
        return Speaks.REQUEST
    return Speaks.PASSING if status in _PASSING else Speaks.LOST


def hint(status: int, said: str) -> str | None:
    """What to type about an answer that is about whoever asks; None if nothing tells."""
    if status == 401 or _KEY.search(said):
        return "midshift check   (says where the key is expected)"
    if status == 402 or _ACCOUNT.search(said):
        return "pay the account at the provider"
    if status == 403:
        return "give the key the permission at the provider"
    if status in (404, 410) or (status in (400, 422) and _MODEL.search(said)):
        return "another `model` in the variant file, or another `base_url` of the provider"
    return "another `base_url` of the provider" if status in _ASKER or 300 <= status < 400 else None
