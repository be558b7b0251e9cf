"""Ctrl-C while a grader is at work: the search ends as it does between calls."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from midshift.domain.variant import Variant
from midshift.evals.grading import Grading
from midshift.evals.requests import Line
from midshift.evals.rows import Answer, Side
from midshift.evals.runner import Progress
from midshift.evals.suite_file import EvalCase
from midshift.providers.http.settings import Upstream
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.buyer import Buyer
from midshift.providers.paid.desk import Desk
from midshift.providers.paid.pace import Limits
from midshift.retune.search import Purchases, Unfinished, Ways
from midshift.store.ledger import Ledger
from midshift.testing import ManualClock
from tests.providers.paid import fakes

CASE = EvalCase(1, "c-1", ({"role": "user", "content": "?"},), ("all",))


def interrupted(case: EvalCase, answer: Answer, side: Side) -> dict[str, float]:
    """A grader that Ctrl-C finds at work."""
    raise KeyboardInterrupt


def test_ctrl_c_while_a_grader_works_stops_the_search_and_keeps_what_is_paid() -> None:
    """A bare interrupt in an event loop would leave the thread of the search waiting for an answer."""
    clock, line = ManualClock(), Line.of(Variant("acme", "old"), Upstream("http://127.0.0.1"), "old", 100)
    desk, progress = Desk(fakes.FakeTransport(clock, fakes.Reply()), Limits(), clock, lambda: 0.0), Progress()
    with Ledger() as calls:
        buyer = Buyer(calls, {"acme": desk}, fakes.till(), Budget(None), clock)
        ways = Ways(line, lambda text: line)
        began = datetime(2020, 1, 1, tzinfo=UTC)
        purchases = Purchases(buyer, ways, Grading(interrupted), {"acme": 1}, progress, began)

        with pytest.raises(Unfinished, match="stopped: what was paid is in the ledger"):
            asyncio.run(purchases.incumbents([CASE]))

        assert progress.stopped
        assert 1 == len(calls.purchases([line.key(CASE)]))
