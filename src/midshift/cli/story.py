"""The story of one upgrade, told by running it: simulated models, everything else real.

A support team moves its reply drafting to a new model. With the old prompt it leans worse; with a prompt of its own it
is better; shadow traffic finds what nobody graded; the canary ramps, legal signs for the escalations, the soak closes.
Every figure that is printed was measured in this run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.text import Text

from midshift.cli.evaluating import Suite
from midshift.cli.rehearsal import PROVIDER, House, Script, app_headers, by_hour, house
from midshift.controller.loop import Tick
from midshift.domain.evidence import EvalEvidence
from midshift.domain.exposure import Fate, ShadowFate
from midshift.domain.plan import Approval, Plan
from midshift.domain.suite import Slice
from midshift.domain.unseen import PairKind
from midshift.domain.upgrade import Kind, Stage
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.domain.workload import Workload
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase
from midshift.ports import Clock
from midshift.reports import words
from midshift.reports.comparison import Comparison
from midshift.reports.text import visible
from midshift.testing import simulated, traffic
from midshift.testing.scripted import ScriptedProvider, Voice

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 56
REQUESTS = 12_000
CASES = 500
UPGRADE = "support-reply-1"
WORKLOAD = "support-reply"
RETUNED_PROMPT = (
    "You draft replies for our support team. Answer the question first. Close every reply by offering further help. "
    "On escalations, never cite policy as a reason."
)
SCORE = "resolved"

_RETUNED = simulated.Script(both_right=0.664, only_incumbent_right=0.05, only_candidate_right=0.112)
_SEED = 20260101


def tell(console: Console, folder: Path, machine: Clock, requests: int = REQUESTS) -> bool:
    """Run the story and print it; False if the upgrade did not come to a good end."""
    return asyncio.run(_tell(console, folder, machine, requests))


async def _tell(console: Console, folder: Path, machine: Clock, requests: int) -> bool:
    provider = ScriptedProvider(
        prompts={(simulated.CANDIDATE, RETUNED_PROMPT): Voice(simulated.CANDIDATE, _RETUNED)}, seed=_SEED, cases=CASES
    )
    script = _script(provider)
    first = Variant(PROVIDER, simulated.CANDIDATE)
    retuned = replace(first, prompt=Prompt(PromptMode.REPLACE, RETUNED_PROMPT))
    async with house(script, folder, START, machine) as running:
        started_s = machine.monotonic_s()
        teller = _Teller(console, running)
        teller.heading(f"One upgrade, {simulated.INCUMBENT} → {simulated.CANDIDATE}: eight weeks on a compressed clock")
        running.start(UPGRADE, first)
        teller.evaluated("old prompt", await running.evaluate(UPGRADE, (simulated.INCUMBENT, simulated.CANDIDATE)))
        teller.ticked(running.tick())
        running.say(
            UPGRADE, Kind.CANDIDATE_CHANGED, "ada", "a prompt of its own", candidate=running.store.put_variant(retuned)
        )
        teller.say("ada gives the new model a prompt of its own: another variant, so it is evaluated again")
        teller.evaluated("its own prompt", await running.evaluate(UPGRADE, (simulated.INCUMBENT, simulated.CANDIDATE)))
        teller.ticked(running.tick())
        teller.waive(running.records.evals[retuned.id])
        await _live(running, teller, _traffic(provider, requests))
        teller.closing(await _flip_time_s(running, machine), machine.monotonic_s() - started_s)
        return running.store.upgrade(UPGRADE).stage is Stage.DONE and running.gateway.counters.reconciles


def _script(provider: ScriptedProvider) -> Script:
    incumbent = Variant(PROVIDER, simulated.INCUMBENT)
    cases = [
        EvalCase(number, case.id, tuple(case.messages), case.slices)
        for number, case in enumerate(provider.questions, start=1)
    ]
    slices = tuple(Slice(name) for name in sorted({name for case in cases for name in case.slices}))
    graders = {
        text: provider.grader(model, text)
        for model, text in ((simulated.CANDIDATE, ""), (simulated.CANDIDATE, RETUNED_PROMPT))
    }

    def grade(case: EvalCase, answer: Answer, variant: Variant) -> Mapping[str, float]:
        found = graders[variant.prompt.text].scores(case.id, answer.text, variant=variant.model).get(SCORE)
        return {} if found is None else {SCORE: found}

    return Script(
        workload=Workload(WORKLOAD, (simulated.INCUMBENT,), incumbent, slices),
        plan=Plan(approvals=(Approval(0.25, "legal", "escalations"),)),
        provider=provider,
        suite=Suite(Path("the simulated suite"), simulated.INCUMBENT, cases, grade),
    )


def _traffic(provider: ScriptedProvider, requests: int) -> list[list[traffic.Planned]]:
    arrivals = traffic.arrivals(
        traffic.Trace.steady(1.0), DAYS * traffic.DAY_S, requests=requests, start=START, seed=_SEED
    )
    users = traffic.Units(4_000, 0.0)
    planned = traffic.plan(
        arrivals, provider.questions, simulated.INCUMBENT, users, seed=_SEED, stream_share=0.3, headers=app_headers()
    )
    return by_hour(planned, START, DAYS * 24)


async def _live(running: House, teller: _Teller, hourly: Sequence[Sequence[traffic.Planned]]) -> None:
    """Eight weeks, or until it is over; people do their part on the day on which it is asked of them."""
    accepted = asked = False
    for planned in hourly:
        ticks = await running.hour(planned)
        teller.ticked(ticks)
        upgrade = running.store.upgrade(UPGRADE)
        if upgrade.stage.is_final:
            return
        gates = [gate for tick in ticks for gate in tick.decision.gates if not gate.lets_pass]
        waits_for_clock = any(gate.name in ("clock", "hold", "exposure") for gate in gates)
        if upgrade.stage is Stage.SHADOW and not accepted and not waits_for_clock:
            accepted = True
            teller.accept([gate.name.removeprefix("drift ") for gate in gates if gate.name.startswith("drift ")])
        if not asked and not waits_for_clock and any(gate.name == "approval legal@25%" for gate in gates):
            asked = True
            running.say(UPGRADE, Kind.APPROVED, "grace", "read 20 of them", "legal@25%")
            teller.say("grace of legal approves the escalations")


async def _flip_time_s(running: House, machine: Clock) -> float:
    """How long one flip takes until the gateway serves by it, found out by doing it; its own poll is what is timed."""
    routes, at = running.gateway.routes, machine.monotonic_s()
    flipped = running.store.roll_back(WORKLOAD, "the demo", "drill: how long does a flip take", running.clock.now())
    while routes.serving(WORKLOAD, machine.machine_now()).route.epoch < flipped.epoch:  # noqa: ASYNC110 - timed
        await asyncio.sleep(0.002)
    return machine.monotonic_s() - at


class _Teller:
    """Prints what happens, with its day."""

    def __init__(self, console: Console, running: House) -> None:
        self._console, self._running = console, running

    def heading(self, text: str) -> None:
        self._console.print()
        self._console.print(Text(text, "bold"))
        self._console.print(Text(words.SIMULATED_NOTE, "bold magenta"))

    def say(self, text: str, style: str = "") -> None:
        day = (self._running.clock.now() - START) / timedelta(days=1)
        self._console.print(Text.assemble((f"day {day:4.0f}  ", "dim"), (visible(text, 400), style)))

    def evaluated(self, what: str, comparison: Comparison) -> None:
        evidence = comparison.scores[0].aggregate.evidence
        figures = ""
        if evidence is not None:
            change = words.signed(100 * evidence.d, 1)
            figures = f"{100 * evidence.incumbent:.1f} → {100 * evidence.candidate:.1f} ({change} points)"
        title = words.TITLES[comparison.ruling.decision]
        self.say(f"eval, {what}: {SCORE} {figures} on {comparison.paired} cases: {title}", "bold")
        self.say(f"      {words.headline(comparison)}", "dim")

    def ticked(self, ticks: Sequence[Tick]) -> None:
        for tick in ticks:
            if tick.decision.kind is not None:
                after = tick.after
                where = (
                    f"{after.stage.value} at {after.share:.0%}" if after.stage is Stage.CANARY else after.stage.value
                )
                self.say(f"{tick.before.stage.value} → {where}: {tick.decision.reason}", "green")

    def waive(self, found: EvalEvidence) -> None:
        for name in found.unproven:
            why = "too few cases in the suite; shadow and canary watch it"
            self._running.say(UPGRADE, Kind.WAIVED, "ada", why, name)
            self.say(f"WAIVED {name} by ada: {why}", "bold red")

    def accept(self, flagged: Sequence[str]) -> None:
        self.say(f"shadow found {len(flagged)} kinds of drift beyond chance: {', '.join(flagged)}", "yellow")
        for kind, count in sorted(Counter(name.partition(":")[0] for name in flagged).items()):
            self._running.say(UPGRADE, Kind.WAIVED, "ada", "seen and wanted", f"drift:{kind}")
            self.say(f"      accepted by ada: {kind} ({count})", "yellow")

    def closing(self, flip_s: float, took_s: float) -> None:
        counters = self._running.gateway.counters
        served = {fate: counters.total(fate) for fate in (Fate.INCUMBENT, Fate.CANDIDATE, Fate.REFUSED)}
        paired = counters.total(ShadowFate.PAIRED, PairKind.SHADOW)
        eligible = sum(count for (_, kind), count in counters.eligible.items() if kind is PairKind.SHADOW)
        outcome = self._running.store.upgrade(UPGRADE).stage
        self._console.print(
            Text(
                f"\n{outcome.value.upper()}: {counters.received:,} requests = {served[Fate.INCUMBENT]:,} by the"
                f" incumbent + {served[Fate.CANDIDATE]:,} by the candidate + {served[Fate.REFUSED]:,} refused;"
                f" {paired:,} of {eligible:,} shadowed in pairs.\n"
                f"A flip reached the gateway in {1000 * flip_s:.0f} ms. Eight weeks in {took_s:.0f} s.",
                "bold",
            )
        )
