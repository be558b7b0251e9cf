"""One key at a time: look it up, intend, ask, price, settle. What was bought is never bought again in silence.

Contract. An intent is durable before the first byte, and a result before anybody sees it. Two who want the same key at
the same time get one call. A call whose outcome is unknown is held (HOLD, SKIP) or bought once more (REBUY), which is a
second purchase with a record of its own. A call that could break the cap waits until others are over, and raises
`CapReached` if that does not help. Elsewhere: limits and retries (desk), money (budget, till), what is asked (Order).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from midshift.domain.paid_call import CallKey, Ending, Intent, Purchase, Result, Settled, ToolUse
from midshift.domain.usage import UNKNOWN, Usage
from midshift.domain.variant import Variant
from midshift.errors import UsageError
from midshift.ports import Clock, PaidCalls
from midshift.providers.http.messages import Request
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.desk import Desk, Heard, Unheard
from midshift.providers.paid.journal import Journal
from midshift.providers.paid.till import Till
from midshift.wire.protocol import WireName
from midshift.wire.translation.conversation import ToolCall
from midshift.wire.translation.translate import TRANSLATIONS
from midshift.wire.wires import WIRES

UNREADABLE = "the answer is none of its wire"
UnderWay: TypeAlias = dict[CallKey, asyncio.Future[None]]
"""The calls that are being made now, and what tells that one is over: shared by all buyers on one ledger."""

_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id")
_BYTES_A_TOKEN = 4
_LONGEST_DETAIL = 300


class OnUnknown(StrEnum):
    """What to do about a call that may have been served and paid, and whose answer nobody has."""

    HOLD = "hold"
    REBUY = "rebuy"
    SKIP = "skip"


class CapReached(UsageError):
    """The next call could break the cap."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What to buy: the request as it is sent, on which wire, and the most tokens that its answer can have."""

    key: CallKey
    variant: Variant
    wire: WireName
    request: Request
    tokens_out: int | None = None


class Buyer:
    """Buys for one eval; those of one event loop that share a ledger share `under_way`."""

    def __init__(
        self,
        calls: PaidCalls,
        desks: Mapping[str, Desk],
        till: Till,
        budget: Budget,
        clock: Clock,
        on_unknown: OnUnknown = OnUnknown.HOLD,
        under_way: UnderWay | None = None,
    ) -> None:
        self.calls = calls
        self.budget = budget
        self.bought = 0
        self._desks = desks
        self._till = till
        self._clock = clock
        self._on_unknown = on_unknown
        self._journal = Journal(calls)
        self._under_way: UnderWay = {} if under_way is None else under_way
        self._freed = asyncio.Event()

    def wants(self, before: Purchase | None) -> bool:
        """Whether a key is to be asked for."""
        if before is None or before.ending is Ending.FAILED:
            return True
        return before.ending is Ending.UNKNOWN and self._on_unknown is OnUnknown.REBUY

    async def ask(self, order: Order) -> Result:
        """The answer to an order: from the ledger if it is there, else bought now.

        Raises:
            CapReached: if the call could break the cap.
            StoreError: if the ledger cannot be written.
        """
        while (pending := self._under_way.get(order.key)) is not None:
            await asyncio.wait((pending,))
        before = self.calls.purchases((order.key,)).get(order.key)
        if not self.wants(before):
            return _kept(self.calls, order.key)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way[order.key] = over
        try:
            return await self._bought_or_rebought(order, 1 if before is None else before.attempt + 1)
        finally:
            del self._under_way[order.key]
            over.set_result(None)

    async def _bought_or_rebought(self, order: Order, attempt: int) -> Result:
        result = await self._bought(order, attempt)
        if result.ending is Ending.UNKNOWN and self._on_unknown is OnUnknown.REBUY:
            result = await self._bought(order, attempt + 1)
        return result

    async def _bought(self, order: Order, attempt: int) -> Result:
        worst_usd = self._till.worst(order.variant, len(order.request.body), order.tokens_out)
        await self._room(worst_usd)
        variant, cost_usd = order.variant, None
        try:
            now = self._clock.machine_now()
            await self._journal.write(Intent(order.key, attempt, variant.provider, variant.model, now, worst_usd))
            desk, tokens = self._desks[variant.provider], _estimated(order)
            heard = await desk.ask(order.request, tokens)
            result, cost_usd = self._result(order, heard)
            desk.counted(tokens, _counted(result.usage))
            await self._journal.write(Settled(order.key, attempt, result))
            if result.ending is Ending.UNKNOWN:
                cost_usd = worst_usd
        finally:
            self.budget.book(worst_usd, cost_usd)
            self._freed.set()
        self.bought += 1
        return result

    async def _room(self, worst_usd: Decimal | None) -> None:
        while not self.budget.has_room(worst_usd):
            if not self.budget.under_way:
                raise CapReached(_no_room(self.budget, worst_usd))
            self._freed.clear()
            await self._freed.wait()
        self.budget.hold(worst_usd)

    def _result(self, order: Order, heard: Heard | Unheard) -> tuple[Result, Decimal | None]:
        now = self._clock.machine_now()
        if isinstance(heard, Unheard):
            free = Decimal(0) if heard.ending is Ending.FAILED else None
            return Result(heard.ending, now, detail=heard.detail, turned_away=heard.turned_away), free
        if heard.status != 200:
            said = WIRES[order.wire].read_problem(heard.status, heard.body).message[:_LONGEST_DETAIL]
            return _refused(heard, now, said), Decimal(0)
        return self._answered(order, heard)

    def _answered(self, order: Order, heard: Heard) -> tuple[Result, Decimal | None]:
        found = WIRES[order.wire].read_answer(heard.body)
        usage = UNKNOWN if found is None else found.usage
        cost_usd, priced_by = self._till.cost(order.variant, usage)
        needs_tools = found is not None and (found.text is None or found.finish_reason in _TOOL_STOPS)
        result = Result(
            Ending.ANSWERED,
            self._clock.machine_now(),
            heard.status,
            None if found is None else found.text,
            _tools(order.wire, heard.body) if needs_tools else (),
            None if found is None else found.finish_reason,
            usage,
            heard.latency_s,
            None if cost_usd is None else float(cost_usd),
            priced_by,
            None if found is None else found.model,
            _request_id(heard.headers),
            heard.turned_away,
            UNREADABLE if found is None else "",
        )
        return result, cost_usd


_TOOL_STOPS = frozenset(("tool_calls", "tool_use", "function_call"))


def _kept(calls: PaidCalls, key: CallKey) -> Result:
    (_, found), *_ = calls.results((key,))
    if found is None:
        raise AssertionError("a purchase that is over has a result")
    return found


def _refused(heard: Heard, now: datetime, said: str) -> Result:
    return Result(
        Ending.REFUSED,
        now,
        heard.status,
        latency_s=heard.latency_s,
        cost_usd=0.0,
        request_id=_request_id(heard.headers),
        turned_away=heard.turned_away,
        detail=said,
    )


def _tools(wire: WireName, body: bytes) -> tuple[ToolUse, ...]:
    reply = TRANSLATIONS[wire].read_reply(body)
    parts = () if reply is None else reply.parts
    return tuple(ToolUse(part.name, part.arguments) for part in parts if isinstance(part, ToolCall))


def _request_id(headers: Mapping[str, str]) -> str | None:
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def _estimated(order: Order) -> int:
    """Tokens of a call before anybody counted them: what is sent, and half of what may come back, at most 1,000."""
    return len(order.request.body) // _BYTES_A_TOKEN + min((order.tokens_out or 1000) // 2, 1000)


def _counted(usage: Usage) -> int | None:
    return None if usage.tokens_in is None or usage.tokens_out is None else usage.tokens_in + usage.tokens_out


def _no_room(budget: Budget, worst_usd: Decimal | None) -> str:
    return (
        f"the next call may cost up to {worst_usd or 0:.4f} USD, found {budget.left_usd or 0:.4f} USD left of the cap "
        f"of {budget.cap_usd} USD ({budget.spent_usd:.4f} USD are spent), expected room for it. Nothing is lost: the "
        "same command goes on from here. Type next: a higher --max-usd, or a smaller max_tokens in the variant's params"
    )
