"""Whole upgrades over HTTP: real gateway, store and controller, replayed answers, a compressed calendar."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from midshift.cli import rehearsal
from midshift.cli.evaluating import Suite
from midshift.cli.system import SystemClock
from midshift.controller.decide import decide
from midshift.controller.evidence import from_record
from midshift.domain.exposure import Fate, ShadowFate
from midshift.domain.gate import Decision
from midshift.domain.plan import Plan, Step
from midshift.domain.suite import Slice
from midshift.domain.upgrade import Event, Kind, Stage, Upgrade, replay
from midshift.domain.variant import Variant
from midshift.domain.workload import Workload
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase
from midshift.ports import LoggedEvent
from midshift.testing import traffic
from midshift.testing.replay import ChatProvider, Recording, ReplayGrader, ReplayProvider
from midshift.testing.scripted import Fault, Faults, FaultyProvider, ServerError

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 42
PLAN = Plan(
    steps=(Step(0.05, timedelta(days=2)), Step(0.25, timedelta(days=7)), Step(1.0, timedelta())),
    shadow=timedelta(days=7),
    soak=timedelta(days=7),
)
REQUESTS = 2_500
TRACE = "arrival_trace_azure2023_code.jsonl"
MATHS = ("gpt-3.5-turbo-0125", "gpt-4o-mini-2024-07-18")
TOOLS = ("gpt-4-1106-preview", "gpt-4-1106-preview-FC")
KINDS_OF_DRIFT = ("length", "json", "fence", "empty", "refusal", "opening", "closing", "tokens")


@dataclass(frozen=True)
class Told:
    """How an upgrade went: what is left when the house is closed."""

    stage: Stage
    log: tuple[LoggedEvent, ...]
    began: Upgrade
    upgrade: Upgrade
    share: float
    decision: Decision
    counts: Mapping[str, int]
    reconciles: bool
    received: int

    @property
    def way(self) -> list[Kind]:
        """The transitions, remarks of people left out."""
        return [entry.event.kind for entry in self.log if entry.event.kind is not Kind.WAIVED]


def upgraded(
    folder: Path, data: Path, file: str, pair: tuple[str, str], score: str, breaks_after: timedelta | None = None
) -> Told:
    """Play one upgrade, old to new, to wherever it comes to rest; a halted one is rolled back by a person.

    Requests arrive as in the recorded trace. From `breaks_after` on, the candidate fails half of its own.
    """
    recording, trace = Recording.open(data / file), traffic.Trace.open(data / TRACE)
    return asyncio.run(_upgraded(folder, recording, trace, pair, score, breaks_after))


async def _upgraded(
    folder: Path,
    recording: Recording,
    trace: traffic.Trace,
    pair: tuple[str, str],
    score: str,
    breaks_after: timedelta | None,
) -> Told:
    old, new = pair
    houses: list[rehearsal.House] = []
    since = START + (breaks_after or timedelta(days=10_000))
    fault = Fault(ServerError(500), share=0.5, models=frozenset({new}), since=since)
    faults = Faults((fault,), lambda: houses[0].clock.now() if houses else START, 1)
    script = a_script(recording, FaultyProvider(ReplayProvider(recording), faults), old, score)
    arrivals = traffic.arrivals(trace, DAYS * traffic.DAY_S, requests=REQUESTS, start=START, seed=1)
    users, headers = traffic.Units(1_000, 0.0), rehearsal.app_headers()
    planned = traffic.plan(arrivals, recording.cases, old, users, seed=1, stream_share=0.3, headers=headers)
    async with rehearsal.house(script, folder, START, SystemClock()) as house:
        houses.append(house)
        house.start("u", Variant(rehearsal.PROVIDER, new))
        comparison = await house.evaluate("u", (old, new))
        for name in sorted({name for _, name in (*comparison.ruling.unproven, *comparison.ruling.regressed)}):
            house.say("u", Kind.WAIVED, "ada", "too few cases to prove it", name)
        for kind in KINDS_OF_DRIFT:
            house.say("u", Kind.WAIVED, "ada", "seen and wanted", f"drift:{kind}")
        stage = await rehearsal.play(house, "u", rehearsal.by_hour(planned, START, DAYS * 24), lambda tick: None)
        if stage is Stage.HALTED:
            house.store.roll_back("w", "ada", "the guard was right", house.clock.now())
        return told_by(house, comparison.ruling.decision)


def told_by(house: rehearsal.House, decision: Decision) -> Told:
    counters, route = house.gateway.counters, house.store.route("w")
    assert route is not None
    return Told(
        stage=house.store.upgrade("u").stage,
        log=tuple(house.store.events("u")),
        began=house.store.began("u"),
        upgrade=house.store.upgrade("u"),
        share=route.share,
        decision=decision,
        counts={fate.value: counters.total(fate) for fate in (*Fate, *ShadowFate)},
        reconciles=counters.reconciles,
        received=counters.received,
    )


def a_script(recording: Recording, provider: ChatProvider, old: str, score: str) -> rehearsal.Script:
    grader = ReplayGrader(recording)
    cases = [
        EvalCase(number, case.id, tuple(case.messages), case.slices)
        for number, case in enumerate(recording.cases, start=1)
    ]
    slices = tuple(Slice(name) for name in sorted({name for case in cases for name in case.slices}))

    def grade(case: EvalCase, answer: Answer, variant: Variant) -> Mapping[str, float]:
        found = grader.scores(case.id, answer.text, variant=variant.model).get(score)
        return {} if found is None else {score: found}

    workload = Workload("w", (old,), Variant(rehearsal.PROVIDER, old), slices)
    return rehearsal.Script(workload, PLAN, provider, Suite(Path("recorded"), old, cases, grade))


@pytest.mark.realdata
@pytest.mark.slow
def test_a_better_model_is_through_in_six_weeks(data_dir: Path, tmp_path: Path) -> None:
    """gpt-3.5-turbo → gpt-4o-mini on grade-school maths: 83 → 94, no slice unproven; requests reconcile to the last."""
    told = upgraded(tmp_path, data_dir, "zeroeval_gsm.jsonl", MATHS, "accuracy")

    assert (Stage.DONE, Decision.PROCEED) == (told.stage, told.decision)
    assert [
        Kind.EVAL_CLEARED,
        Kind.SHADOW_COMPLETED,
        Kind.STEP_ADVANCED,
        Kind.FULLY_ROLLED_OUT,
        Kind.SOAK_COMPLETED,
    ] == told.way
    assert told.reconciles
    assert told.received == told.counts["served_by_incumbent"] + told.counts["served_by_candidate"]
    assert told.upgrade == replay(told.began, [entry.event for entry in told.log])


@pytest.mark.realdata
@pytest.mark.slow
def test_a_worse_interface_is_stopped_at_its_eval_and_no_user_sees_it(data_dir: Path, tmp_path: Path) -> None:
    """gpt-4-1106 prompted → native tools: worse on JavaScript, so the candidate answers the suite and nothing else."""
    told = upgraded(tmp_path, data_dir, "bfcl.jsonl", TOOLS, "valid")

    assert (Stage.RETUNE, Decision.RETUNE, 0.0) == (told.stage, told.decision, told.share)
    assert [Kind.EVAL_FAILED] == told.way
    assert 0 == told.counts["served_by_candidate"] + told.counts["paired"]


@pytest.mark.realdata
@pytest.mark.slow
def test_a_fault_that_appears_only_in_the_canary_is_caught_there(data_dir: Path, tmp_path: Path) -> None:
    """The candidate fails half of its live requests from a day in the canary on; users get the incumbent's answer."""
    told = upgraded(tmp_path, data_dir, "zeroeval_gsm.jsonl", MATHS, "accuracy", breaks_after=timedelta(days=12))

    assert (Stage.ROLLED_BACK, 0.0) == (told.stage, told.share)
    assert Kind.HALTED in told.way
    assert told.reconciles
    assert 0 == told.counts["refused"]


@pytest.mark.realdata
@pytest.mark.heavy
def test_the_same_seed_gives_the_same_log_and_every_decision_can_be_made_again(data_dir: Path, tmp_path: Path) -> None:
    """Nothing in a decision comes from the machine: not its clock, not its scheduling, not its luck."""
    first, second = (
        upgraded(a_folder(tmp_path / name), data_dir, "zeroeval_gsm.jsonl", MATHS, "accuracy") for name in ("a", "b")
    )

    assert essence(first) == essence(second)
    upgrade = first.began
    for entry in first.log:
        if entry.event.who == "controller":
            again = decide(upgrade, from_record(entry.evidence), entry.event.at)
            assert (entry.event.kind, entry.event.why) == (again.kind, again.reason)
        upgrade = replay(upgrade, [entry.event])


def a_folder(path: Path) -> Path:
    path.mkdir()
    return path


def essence(told: Told) -> list[tuple[Event, Mapping[str, object]]]:
    """A log without the machine's dates."""
    return [(entry.event, entry.evidence) for entry in told.log]
