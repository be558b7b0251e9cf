"""A provider in trouble, which keeps account of what it was asked.

Its trouble is drawn from the request, so the same request to the incumbent alone meets the same trouble again; only an
outage of the candidate comes at its own time. Elsewhere: gateways and apps (chaos), what follows from it (chaos_rules).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from midshift.testing import simulated, traffic
from midshift.testing.replay import ChatRequest, Failure, RecordedCase, Reply
from midshift.testing.scripted import (
    CutAnswer,
    Fault,
    NoAnswer,
    RateLimited,
    ScriptedProvider,
    ServerError,
    SlowFirstByte,
    Voice,
)
from tests.cli.chaos_apps import NUMBER, now_s
from tests.cli.chaos_rules import NEW, OLD, Asked

OUTAGE_EVERY_S, OUTAGE_AT_S, OUTAGE_S = 120.0, 15.0, 1.5
"""The candidate's provider is down now and then, so that breakers open."""


def a_provider(seed: int) -> ScriptedProvider:
    """One that fails often where the candidate is asked, and sometimes where the incumbent is."""
    new, old = frozenset([NEW]), frozenset([OLD])
    faults = [
        Fault(ServerError(500), 0.05, new),
        Fault(ServerError(529), 0.03, new),
        Fault(RateLimited(1.0), 0.03, new),
        Fault(CutAnswer(0), 0.02, new),
        Fault(CutAnswer(1), 0.03, new),
        Fault(CutAnswer(2), 0.02, new),
        Fault(CutAnswer(4), 0.02, new),
        Fault(NoAnswer(), 0.01, new),
        Fault(SlowFirstByte(10.0), 0.05, new),
        Fault(ServerError(503), 0.02, old),
        Fault(RateLimited(1.0), 0.02, old),
        Fault(CutAnswer(3), 0.01, old),
        Fault(SlowFirstByte(10.0), 0.03, old),
    ]
    voices = {OLD: Voice(simulated.INCUMBENT), NEW: Voice(simulated.CANDIDATE)}
    return ScriptedProvider(voices, cases=200, faults=faults, seed=seed)


class Witness:
    """A provider that keeps account: `asked` has, by the number of each request, what was asked for it. What is asked
    unseen carries no number."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self._provider = provider
        self._since_s = now_s()
        self.asked: defaultdict[int, list[Asked]] = defaultdict(list)

    @property
    def models(self) -> tuple[str, ...]:
        """Those of the provider."""
        return self._provider.models

    @property
    def questions(self) -> Sequence[RecordedCase]:
        """Those of the provider."""
        return self._provider.questions

    def answer(self, request: ChatRequest) -> Reply:
        """The provider's answer, but for outages."""
        at_s = now_s()
        reply = self._provider.answer(request)
        if request.model == NEW and 0.0 < (at_s - self._since_s) % OUTAGE_EVERY_S - OUTAGE_AT_S < OUTAGE_S:
            reply = Failure(503, "down")
        if number := request.headers.get(NUMBER):
            self.asked[int(number)].append(Asked.of(request.model, at_s, reply))
        return reply

    def alone(self, planned: traffic.Planned) -> Asked:
        """What the incumbent does with a request of an app's, asked by nobody else."""
        body = planned.body
        request = ChatRequest(
            OLD, body["messages"], body.get("tools", ()), body["user"], None, body["metadata"], planned.headers
        )
        return Asked.of(OLD, 0.0, self._provider.answer(request))
