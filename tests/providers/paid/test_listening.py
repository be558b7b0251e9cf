"""A stream as an eval hears it: the same answer and the same usage as a whole one, and when its first token came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from midshift.domain.light import replaced
from midshift.domain.paid_call import Ending, Result, ToolUse
from midshift.domain.usage import Usage
from midshift.providers.http.messages import Headers
from midshift.providers.http.settings import Timeouts
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.buyer import Buyer, OnUnknown
from midshift.providers.paid.desk import Desk
from midshift.providers.paid.listening import BROKEN_OFF, ear, listened
from midshift.providers.paid.pace import Limits
from midshift.store.ledger import Ledger
from midshift.testing import ManualClock
from midshift.wire.protocol import WireName
from midshift.wire.translation.conversation import (
    Began,
    Ended,
    Event,
    Failed,
    Reply,
    Stop,
    Text,
    TextDelta,
    ToolBegan,
    ToolCall,
    ToolDelta,
)
from midshift.wire.translation.translate import TRANSLATIONS
from midshift.wire.wires import WIRES
from tests.providers.paid import fakes
from tests.providers.paid.fakes import FakeTransport, answer, lines, order, till

USAGE = Usage(tokens_in=120, tokens_out=30, cached_in=20, reasoning_out=10)
SSE = lines(content_type="text/event-stream; charset=utf-8")
PATIENT = Timeouts()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory."""
    with Ledger() as found:
        yield found


def stream(wire: WireName, *events: Event) -> list[bytes]:
    """The bytes of each event on a wire."""
    writer = TRANSLATIONS[wire].writer()
    return [writer.write(event) for event in events]


def words(wire: WireName, usage: Usage = USAGE) -> list[bytes]:
    """An answer of two words."""
    texts = TextDelta("Hello "), TextDelta("there")
    return stream(wire, Began("c-1", "model-0101", replaced(usage, tokens_out=None)), *texts, Ended(Stop.END, usage))


async def bought(
    ledger: Ledger, reply: fakes.Reply, *, on_unknown: OnUnknown = OnUnknown.HOLD
) -> tuple[Result, FakeTransport]:
    """One call that is asked for as a stream."""
    clock = ManualClock()
    transport = FakeTransport(clock, reply)
    desk = Desk(transport, Limits(), clock, lambda: 0.5)
    buyer = Buyer(ledger, {"acme": desk}, till(), Budget(), clock, on_unknown)
    return await buyer.ask(replace(order(), streamed=PATIENT, characters_in=77)), transport


def timed(*chunks: tuple[float, bytes], headers: Headers = SSE) -> fakes.Reply:
    """A stream whose parts come after so many seconds each."""
    return fakes.Reply(headers=headers, chunks=chunks)


@pytest.mark.parametrize("wire", WireName)
def test_a_stream_says_the_same_as_a_whole_answer_and_used_the_same(wire: WireName) -> None:
    """What an eval costs must not depend on how it was asked."""
    reply = Reply("c-1", "model-0101", (Text("Hello there"),), Stop.END, USAGE)
    whole = WIRES[wire].read_answer(TRANSLATIONS[wire].write_reply(reply))
    found = listened(wire, b"".join(words(wire)))

    assert whole is not None
    assert found.answer is not None
    assert (whole.text, whole.usage) == (found.answer.text, found.answer.usage)
    assert 120 == found.answer.usage.tokens_in
    assert 30 == found.answer.usage.tokens_out


@pytest.mark.parametrize("wire", WireName)
def test_the_first_token_is_the_first_piece_of_text(wire: WireName) -> None:
    """A role, a ping or the input's usage are nothing that a user could read; any chunking gives the same."""
    began, first, *_ = words(wire)
    hears = ear(wire)

    assert not hears(began)
    assert hears(first)


@pytest.mark.parametrize("wire", WireName)
def test_a_tool_that_is_asked_for_is_a_token_and_is_put_together(wire: WireName) -> None:
    events = ToolBegan(0, "t-1", "find"), ToolDelta(0, '{"id":'), ToolDelta(0, "7}")
    began, first, *rest = stream(wire, Began("c-1", "m"), *events, Ended(Stop.TOOL_CALLS, USAGE))
    hears = ear(wire)

    found = listened(wire, b"".join((began, first, *rest)))

    assert not hears(began)
    assert any(map(hears, (first, *rest)))
    (tool,) = found.tools
    whole = TRANSLATIONS[wire].read_reply(
        TRANSLATIONS[wire].write_reply(Reply("c-1", "m", (ToolCall("t-1", "find", '{"id":7}'),), Stop.TOOL_CALLS))
    )
    assert whole is not None
    assert [tool.name] == [part.name for part in whole.parts if isinstance(part, ToolCall)]
    assert '{"id":7}' == tool.arguments.replace(" ", "")


@pytest.mark.parametrize("wire", WireName)
def test_a_stream_that_broke_off_or_failed_is_no_answer(wire: WireName) -> None:
    began, first, *_ = words(wire)
    broken, failed = began + first, began + b"".join(stream(wire, Began("c", "m"), Failed("overloaded, come back"))[1:])

    assert (None, BROKEN_OFF) == (listened(wire, broken).answer, listened(wire, broken).why)
    assert listened(wire, failed).answer is None
    assert "overloaded" in listened(wire, failed).why


async def test_a_streamed_call_is_priced_timed_and_measured(ledger: Ledger) -> None:
    """Time to the first token, time to the last, exact usage, and how long both texts are."""
    began, first, *rest = words(WireName.OPENAI_CHAT, replaced(USAGE, cached_in=0))

    found, provider = await bought(ledger, timed((0.25, began), (0.5, first), (1.0, b"".join(rest))))

    assert (Ending.ANSWERED, "Hello there") == (found.ending, found.text)
    assert (0.75, 1.75) == (found.first_token_s, found.latency_s)
    assert (120, 30, 10) == (found.usage.tokens_in, found.usage.tokens_out, found.usage.reasoning_out)
    assert pytest.approx(120e-6 + 30 * 10e-6) == found.cost_usd
    assert (77, len("Hello there")) == (found.characters_in, found.characters_out)
    assert [(True, PATIENT)] == provider.sent
    assert found == next(result for _, result in ledger.results([order().key]))


@pytest.mark.parametrize("last", [b"", b'data: {"error": {"message": "overloaded"}}\n\n'], ids=["broken", "error"])
async def test_a_stream_that_ends_badly_may_have_been_paid(ledger: Ledger, last: bytes) -> None:
    """So a person decides, as about every answer that was lost; and it is asked for once."""
    began, first, *_ = words(WireName.OPENAI_CHAT)

    found, provider = await bought(ledger, timed((0.0, began), (0.0, first), (0.0, last)))

    assert (Ending.UNKNOWN, None, 1) == (found.ending, found.text, len(provider.asked))
    assert found.detail in ("broken", "overloaded")


async def test_a_server_that_does_not_stream_is_read_as_a_whole(ledger: Ledger) -> None:
    """It has answered, and is paid; when its first token came nobody can say."""
    reply = timed((1.0, answer()), headers=lines(content_type="application/json"))

    found, _ = await bought(ledger, reply)

    assert (Ending.ANSWERED, "Hello", None) == (found.ending, found.text, found.first_token_s)


async def test_tools_of_a_stream_are_kept_like_those_of_an_answer(ledger: Ledger) -> None:
    parts = stream(
        WireName.OPENAI_CHAT,
        Began("c", "m"),
        ToolBegan(0, "t", "find"),
        ToolDelta(0, "{}"),
        Ended(Stop.TOOL_CALLS, USAGE),
    )

    found, _ = await bought(ledger, timed(*((0.0, part) for part in parts if part)))

    assert (ToolUse("find", "{}"),) == found.tools
    assert len("find{}") == found.characters_out
