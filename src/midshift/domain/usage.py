"""Tokens as a provider counted them, in one meaning for all wires.

`tokens_in` and `tokens_out` are totals: cached and written-to-cache input is inside the one, reasoning inside the
other. Each wire's own numbers are brought to this meaning where they are read (`midshift.wire`). What a provider did
not report is None, never 0: nobody can tell "no cached tokens" from "it did not say".
"""

from __future__ import annotations

from midshift.domain.light import Light


class Usage(Light):
    """What one call used; None where the provider did not say.

    `cached_in` (read from cache) and `cache_write_in` (written to it, for any time) are parts of `tokens_in`;
    `cache_write_long_in` is the part of `cache_write_in` that is kept for longer than the provider's default.
    `audio_in`, `cached_audio_in` and `audio_out` are parts of the totals too, and `reasoning_out` is of `tokens_out`.
    `searches` counts paid tool calls of the provider's own web search. `service_tier` is the tier that served
    (`batch`, `flex`, `priority`, ...). `cost_usd` is what the provider itself says it billed.
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    cached_in: int | None = None
    cache_write_in: int | None = None
    cache_write_long_in: int | None = None
    reasoning_out: int | None = None
    audio_in: int | None = None
    cached_audio_in: int | None = None
    audio_out: int | None = None
    searches: int | None = None
    service_tier: str | None = None
    cost_usd: float | None = None


UNKNOWN = Usage()
"""Nothing was reported."""
