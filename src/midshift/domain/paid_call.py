"""One paid call to a model, from the intent to what came of it: values that outlive the process that paid.

A call is known by what is asked of whom: the variant, the content of the request, the trial, and for a judge also the
grader. Two evals that ask the same share one answer. A key may be bought again on purpose: each purchase is an attempt
of its own, and the last one counts.

Contract. An intent is durable before a byte is sent, so after a crash an intent without an ending is a call that may
have been served and paid: it is UNKNOWN, held for a person's decision, and never bought again in silence.
Elsewhere: keeping them (ports.PaidCalls, store.ledger), buying (providers.paid), what a call costs (domain.cost).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from midshift.domain.usage import UNKNOWN, Usage

INTERRUPTED = "interrupted"
"""The `detail` of a call whose process ended before it knew; any other unknown call was left by its provider."""


class CallKind(StrEnum):
    """What a call is for."""

    ANSWER = "answer"
    JUDGE = "judge"


class Ending(StrEnum):
    """What came of a call.

    ANSWERED is paid and final. REFUSED is final too: the provider said no to this very request (a 4xx), which vendors
    do not bill. FAILED is an error that may pass (429, 5xx, nobody there) or that is about the key, the account or the
    model (401 to 404): unpaid, and asked again by the next run. UNKNOWN may have been served (a connection that broke,
    408, 504).
    """

    ANSWERED = "answered"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether nobody need ask again."""
        return self in (Ending.ANSWERED, Ending.REFUSED)


@dataclass(frozen=True, slots=True)
class CallKey:
    """What makes two calls the same: `request` is the hash of what is asked, `grader` names a judge and its rubric."""

    variant: str
    request: str
    trial: int = 1
    kind: CallKind = CallKind.ANSWER
    grader: str = ""

    @property
    def digest(self) -> bytes:
        """128 bits of all of it."""
        parts = (self.variant, self.request, str(self.trial), self.kind, self.grader)
        return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Intent:
    """A call that is about to be made. `worst_usd` bounds what it can cost; None where nobody can say."""

    key: CallKey
    attempt: int
    provider: str
    model: str
    at: datetime
    worst_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that the answer asks for; `arguments` is the JSON text as the model wrote it."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class PricedBy:
    """By which prices a cost was computed: the book's id, and its entry as plain JSON (`providers.prices.pinned`)."""

    book: str
    entry: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call; `turned_away` counts the refusals before it (429, 5xx), which cost nothing but time.

    `latency_s` is that of the request that was answered, without the waiting before it; `first_token_s` is when the
    first piece of text or of a tool call was there, where the answer came as a stream. `model` is the one that the
    provider says has answered. `characters_in` and `characters_out` are the lengths of the texts that were sent and
    came back, as Unicode code points; None where they were not measured, or where not all of it was text.
    """

    ending: Ending
    at: datetime
    status: int | None = None
    text: str | None = None
    tools: tuple[ToolUse, ...] = ()
    finish_reason: str | None = None
    usage: Usage = UNKNOWN
    latency_s: float | None = None
    cost_usd: float | None = None
    priced_by: PricedBy | None = None
    model: str | None = None
    request_id: str | None = None
    turned_away: int = 0
    detail: str = ""
    first_token_s: float | None = None
    characters_in: int | None = None
    characters_out: int | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The result of an attempt."""

    key: CallKey
    attempt: int
    result: Result


@dataclass(frozen=True, slots=True)
class Purchase:
    """Where a key stands, by its last attempt.

    `known_usd` is what all its attempts cost as far as that is known; `open_usd` bounds those that may have been paid,
    and those that were and of which nobody said the cost. `has_unknown_cost` if neither can be said of one of them.
    """

    attempt: int
    ending: Ending
    detail: str = ""
    known_usd: Decimal = Decimal(0)
    open_usd: Decimal = Decimal(0)
    has_unknown_cost: bool = False
