"""Whether to ask again, and when: what the provider said wins, else the pause doubles, with luck that is passed in.

Asked again are 429, 500, 502, 503, 529 (Anthropic: overloaded), 521 and 523 (Cloudflare: nobody was reached), and a
connection that failed before the request was sent. These are answered with an error, and vendors bill none of them.
That 500 to 503 were never billed is not verified for every vendor; each is counted in `Result.turned_away`. 408 and 504
are not among them: somebody gave up waiting, and what was waited for may be served and billed (refusals).

Headers, the first that is there: `retry-after-ms` (OpenAI, Azure), `retry-after` (RFC 9110: seconds, or a date), then
the latest reset of a limit that is used up: `x-ratelimit-reset-*` (OpenAI: `1s`, `6m0s`, `12ms`; others: seconds, or a
moment as seconds or milliseconds since 1970) and `anthropic-ratelimit-*-reset` (RFC 3339).
https://platform.openai.com/docs/guides/rate-limits, https://docs.claude.com/en/api/rate-limits
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRIED = frozenset((429, 500, 502, 503, 521, 523, 529))

_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SINCE_1970, _MS_SINCE_1970 = 1e9, 1e12
"""A reset beyond is a moment, in seconds or in milliseconds: nobody asks to be left alone for thirty years."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often to ask at most, and how long to wait: `first_s` doubles up to `longest_s`.

    Who asks to be left alone for longer than `patience_s` is not waited for.
    """

    tries: int = 6
    first_s: float = 0.5
    longest_s: float = 60.0
    patience_s: float = 300.0

    def wait_s(self, tried: int, told_s: float | None, luck: float) -> float | None:
        """Seconds until the next try, after so many; None to give up. `luck` lies in 0..1."""
        if tried >= self.tries or (told_s is not None and told_s > self.patience_s):
            return None
        own_s = min(self.first_s * 2.0 ** (tried - 1), self.longest_s) * (0.5 + 0.5 * luck)
        return own_s if told_s is None else told_s + 0.1 * own_s  # a little luck, so that not all come back at once


def told_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """For how many seconds the provider wants to be left alone; None where it does not say. Names in lower case."""
    in_ms = _number(headers.get("retry-after-ms"))
    if in_ms is not None:
        return in_ms / 1000.0
    if "retry-after" in headers:
        found = _seconds(headers["retry-after"], now)
        if found is not None:
            return found
    resets = [_seconds(value, now) for name, value in headers.items() if _is_reset(name) and _is_used_up(name, headers)]
    return max((found for found in resets if found is not None), default=None)


def _is_reset(name: str) -> bool:
    return name.startswith("x-ratelimit-reset") or (name.startswith("anthropic-ratelimit-") and name.endswith("-reset"))


def _is_used_up(name: str, headers: Mapping[str, str]) -> bool:
    """Whether nothing is left of the limit that a reset is about; unless that is said, it is taken to be so."""
    left = _number(headers.get(name.replace("reset", "remaining")))
    return left is None or left <= 0.0


def _seconds(text: str, now: datetime) -> float | None:
    number = _number(text)
    if number is not None:
        at_s = number / 1000.0 if number > _MS_SINCE_1970 else number
        return max(at_s - now.timestamp(), 0.0) if number > _SINCE_1970 else number
    parts = _PARTS.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text.strip():
        return sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    moment = _moment(text)
    return None if moment is None else max((moment - now).total_seconds(), 0.0)


def _moment(text: str) -> datetime | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            found = read(text.strip())
        except (ValueError, TypeError):
            continue
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return None


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0.0 else None
