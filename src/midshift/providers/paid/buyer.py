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
from functools import partial
from typing import TypeAlias

from midshift.domain.paid_call import INTERRUPTED, CallKey, Ending, Intent, Purchase, Result, Settled, ToolUse
from midshift.domain.usage import UNKNOWN, Usage
from midshift.domain.variant import Variant
from midshift.errors import ConfigError, UsageError
from midshift.ports import Clock, PaidCalls
from midshift.providers.http.messages import Request
from midshift.providers.http.settings import Timeouts
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.desk import Desk, Heard, Listening, Unheard
from midshift.providers.paid.journal import Journal
from midshift.providers.paid.listening import ear, listened
from midshift.providers.paid.occurrences import CallEnded, Tell, nobody
from midshift.providers.paid.refusals import Speaks, hint, speaks
from midshift.providers.paid.till import Till
from midshift.wire.protocol import Answer, WireName
from midshift.wire.translation.conversation import ToolCall
from midshift.wire.translation.translate import TRANSLATIONS
from midshift.wire.wires import WIRES

UNREADABLE = "the answer is none of its wire"
UnderWay: TypeAlias = dict[CallKey, asyncio.Future[None]]
"""The calls that are being made now, and what tells that one is over: shared by all buyers on one ledger."""

_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id")
_BYTES_A_TOKEN = 4
_LONGEST_DETAIL = 300
_GONE = frozenset((404, 410))
"""Statuses of a model that is no more: what it does not answer can be left out, which nobody can say of a key."""


class OnUnknown(StrEnum):
    """What to do about a call that may have been served and paid, and whose answer nobody has."""

    HOLD = "hold"
    REBUY = "rebuy"
    SKIP = "skip"


class CapReached(UsageError):
    """The next call could break the cap."""


class TurnedAway(ConfigError):
    """A provider serves nobody with this key, or has no such model: every further call would be refused alike."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What to buy: the request as it is sent, on which wire, and the most tokens that its answer can have.

    `characters_in` is the length of its texts, if it has one. With `streamed` the answer comes as a stream, within
    these limits of time.
    """

    key: CallKey
    variant: Variant
    wire: WireName
    request: Request
    tokens_out: int | None = None
    characters_in: int | None = None
    streamed: Timeouts | None = None


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
        tell: Tell = nobody,
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
        self._tell = tell

    def wants(self, before: Purchase | None) -> bool:
        """Whether a key is to be asked for."""
        if before is None or before.ending is Ending.FAILED:
            return True
        return before.ending is Ending.UNKNOWN and self._on_unknown is OnUnknown.REBUY

    async def ask(self, order: Order) -> Result:
        """The answer to an order: from the ledger if it is there, else bought now.

        Raises:
            CapReached: if the call could break the cap.
            TurnedAway: if the provider refuses key, account, address or model; not for a model that is gone where
                failed calls are to be left out (SKIP).
            StoreError: if the ledger cannot be written.
        """
        while (pending := self._under_way.get(order.key)) is not None:
            await asyncio.wait((pending,))
        before = self.calls.purchases((order.key,)).get(order.key)
        if not self.wants(before):
            return self._kept(order.key)
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
            heard = await desk.ask(order.request, tokens, _listening(order))
            result, cost_usd = self._result(order, heard)
            desk.counted(tokens, _counted(result.usage))
            await self._journal.write(Settled(order.key, attempt, result))
            if result.ending is Ending.UNKNOWN:
                cost_usd = worst_usd
        finally:
            self.budget.book(worst_usd, cost_usd)
            self._freed.set()
        self.bought += 1
        if result.ending is not Ending.ANSWERED:
            self._tell(CallEnded(variant.provider, variant.model, order.key, result.ending, result.detail))
        self._require_served(order, heard, result)
        return result

    def _require_served(self, order: Order, heard: Heard | Unheard, result: Result) -> None:
        if isinstance(heard, Unheard) or heard.status == 200 or speaks(heard.status, heard.said) is not Speaks.ASKER:
            return
        if heard.status not in _GONE or self._on_unknown is not OnUnknown.SKIP:
            raise TurnedAway(_turned_away(order.variant, result, hint(heard.status, heard.said)))

    def _kept(self, key: CallKey) -> Result:
        """What the ledger has; an attempt that was cancelled in this process has no result, and may be paid."""
        (_, found), *_ = self.calls.results((key,))
        return found or Result(Ending.UNKNOWN, self._clock.machine_now(), detail=INTERRUPTED)

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
            return _refused(heard, now, said)
        return self._answered(order, heard)

    def _answered(self, order: Order, heard: Heard) -> tuple[Result, Decimal | None]:
        found: Answer | None
        if order.streamed is not None and heard.is_stream:
            told = listened(order.wire, heard.body)
            if told.answer is None:  # it may have been billed, in part or as a whole
                now, said = self._clock.machine_now(), told.why[:_LONGEST_DETAIL]
                return Result(Ending.UNKNOWN, now, detail=said, turned_away=heard.turned_away), None
            found, tools = told.answer, told.tools
        else:
            found, tools = _whole(order.wire, heard.body)
        return self._priced(order, heard, found, tools)

    def _priced(
        self, order: Order, heard: Heard, found: Answer | None, tools: tuple[ToolUse, ...]
    ) -> tuple[Result, Decimal | None]:
        usage = UNKNOWN if found is None else found.usage
        cost_usd, priced_by = self._till.cost(order.variant, usage)
        result = Result(
            Ending.ANSWERED,
            self._clock.machine_now(),
            heard.status,
            None if found is None else found.text,
            tools,
            None if found is None else found.finish_reason,
            usage,
            heard.latency_s,
            None if cost_usd is None else float(cost_usd),
            priced_by,
            None if found is None else found.model,
            _request_id(heard.headers),
            heard.turned_away,
            UNREADABLE if found is None else "",
            heard.first_token_s,
            order.characters_in,
            None if found is None else _length(found.text, tools),
        )
        return result, cost_usd


def _turned_away(variant: Variant, result: Result, mend: str | None) -> str:
    return (
        f"{variant.provider!r} does not serve {variant.model!r} (status {result.status}: {result.detail}), expected "
        "answers. Nothing of it is paid, and what others have answered is in the ledger. "
        f"Type next: {mend or 'midshift check'}, and the same command again"
    )


def _refused(heard: Heard, now: datetime, said: str) -> tuple[Result, Decimal | None]:
    """What comes of a status that is no 200, and its cost: vendors bill no refusal, and nobody knows of a lost one."""
    ending = speaks(heard.status, heard.said).ending
    if ending is Ending.REFUSED and speaks(heard.status, said).ending is not ending:
        said = f"{said} (moderation)"  # the ledger keeps the message alone, and reads by it what the status speaks of
    cost_usd = None if ending is Ending.UNKNOWN else Decimal(0)
    result = Result(
        ending,
        now,
        heard.status,
        latency_s=heard.latency_s,
        cost_usd=None if cost_usd is None else 0.0,
        request_id=_request_id(heard.headers),
        turned_away=heard.turned_away,
        detail=said if ending is not Ending.UNKNOWN else f"status {heard.status}: {said}",
    )
    return result, cost_usd


def _whole(wire: WireName, body: bytes) -> tuple[Answer | None, tuple[ToolUse, ...]]:
    """The answer and its tools, whatever it says of its end: servers that speak like OpenAI's say `stop` there too."""
    found = WIRES[wire].read_answer(body)
    return found, () if found is None else _tools(wire, body)


def _length(text: str | None, tools: tuple[ToolUse, ...]) -> int:
    """Of all that an answer says, as code points: its text, and the names and arguments of the tools it asks for."""
    return len(text or "") + sum(len(tool.name) + len(tool.arguments) for tool in tools)


def _listening(order: Order) -> Listening | None:
    return None if order.streamed is None else Listening(partial(ear, order.wire), order.streamed)


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
    spent = f"{budget.spent_usd:.4f} USD are spent"
    spent += f", {budget.reserved_usd:.4f} USD are kept for what comes after" if budget.reserved_usd else ""
    return (
        f"the next call may cost up to {worst_usd or 0:.4f} USD, found {budget.left_usd or 0:.4f} USD left of the cap "
        f"of {budget.cap_usd} USD ({spent}), expected room for it. Nothing is lost: the "
        "same command goes on from here. Type next: a higher --max-usd, or a smaller max_tokens in the variant's params"
    )
