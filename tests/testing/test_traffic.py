"""Arrivals, users, and the client that sends them."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.errors import InputError, UsageError
from midshift.testing import Fault, Faults, FaultyProvider, ManualClock, Recording, ReplayProvider, ScaledClock
from midshift.testing.provider_server import Calls, serve
from midshift.testing.scripted import CutAnswer, MalformedJson, NoAnswer, ServerError
from midshift.testing.traffic import (
    DAILY,
    DAY_S,
    START,
    WEEKLY,
    Arrival,
    Beat,
    Broken,
    Outcome,
    Planned,
    Rhythm,
    Tally,
    Trace,
    Units,
    arrivals,
    drive,
    plan,
)
from tests.builders import NEW, a_row, lines_of

BURSTS = Trace(tuple(Beat(burst + n / 100.0, 10, 1) for burst in (0.0, 50.0) for n in range(20)), 100.0)
CASES = Recording.read(
    lines_of(
        a_row(f"case-{n}", slice=["german", "vip"], messages=[{"role": "user", "content": f"Question {n}"}])
        for n in range(5)
    )
).cases
TRACES = st.lists(st.floats(0.0, 90.0), min_size=2, max_size=20).map(
    lambda seconds: Trace(tuple(Beat(second) for second in sorted(seconds)), 100.0)
)


def some_planned(count: int = 3, model: str = NEW) -> list[Planned]:
    """Requests one second apart, of one user."""
    return list(plan(arrivals(Trace.steady(1.0), float(count)), CASES, model, Units(1)))


def driven(planned: Sequence[Planned], *faults: Fault, serving: Any = None, **options: Any) -> Tally:
    """What became of the requests at a provider with these faults."""
    provider = FaultyProvider(ReplayProvider(Recording.read(lines_of(_rows()))), Faults(faults))

    async def run() -> Tally:
        async with serve(provider, **{"latency_scale": 0.0, **(serving or {})}) as url:
            return await drive(url, planned, **options)

    return asyncio.run(run())


def _rows() -> list[dict[str, object]]:
    return [a_row(case.id, slice=list(case.slices), messages=list(case.messages)) for case in CASES]


def an_outcome(number: int = 0, status: int = 200, broken: Broken | None = None, request_id: str = "") -> Outcome:
    """What became of one request."""
    return Outcome(number, "u", "c", status, broken, request_id=request_id)


def seconds(found: Sequence[Arrival]) -> list[float]:
    """When they come, counted from the start."""
    return [(arrival.at - START).total_seconds() for arrival in found]


@settings(max_examples=40)
@given(TRACES, st.floats(1.0, 5000.0), st.integers(1, 40), st.integers(0, 99))
def test_there_are_as_many_arrivals_as_were_asked_for(trace: Trace, duration_s: float, count: int, seed: int) -> None:
    """A demo of 5,000 requests has 5,000, whatever the trace and the time."""
    found = arrivals(trace, duration_s, requests=count, rhythm=DAILY, seed=seed)

    assert count == len(found)
    assert sorted(seconds(found)) == seconds(found)
    assert all(0.0 <= second <= duration_s for second in seconds(found))


@settings(max_examples=50)
@given(TRACES, st.floats(0.0, 1000.0), st.integers(0, 200))
def test_a_trace_repeats_for_ever(trace: Trace, second: float, number: int) -> None:
    """The jump to the n-th arrival is the same as counting from the first."""
    listed = [trace.nth(n)[0] for n in range(len(trace.beats) * 11)]

    assert sorted(listed) == listed
    assert sum(moment < second for moment in listed) == trace.before(second)
    assert trace.nth(number)[1] == trace.beats[number % len(trace.beats)]


def test_a_trace_comes_as_it_was_unless_a_number_is_asked_for() -> None:
    """Once for its own length, and again from the beginning for longer."""
    once = arrivals(BURSTS, 100.0)

    assert [beat.t for beat in BURSTS.beats] == seconds(once)
    assert (10, 1) == (once[0].tokens_in, once[0].tokens_out)
    twice = [*seconds(once), *(second + 100.0 for second in seconds(once))]
    assert pytest.approx(twice) == seconds(arrivals(BURSTS, 200.0))


@pytest.mark.parametrize("count", [50, 5000])
def test_bursts_stay_as_long_as_they_were(count: int) -> None:
    """Thinned or doubled: limits and queues are met by bursts, and stretching a trace would smooth them away."""
    found = seconds(arrivals(BURSTS, 10_000.0, requests=count))
    natural = 4000
    copies = -(-2 * count // natural)
    phases = {round(second % 50.0) for second in found}

    assert len(phases) <= 3 * copies  # a burst lasts 0.2 s, and may straddle a whole second


def test_as_many_as_the_trace_has_are_the_trace() -> None:
    """From a starting point of its own, each arrival once: a sample of everything is everything."""

    def gaps(moments: Sequence[float]) -> list[float]:
        following = [*moments[1:], moments[0] + 100.0]
        return sorted(after - before for before, after in zip(moments, following, strict=True))

    found = seconds(arrivals(BURSTS, 100.0, requests=40))

    assert pytest.approx(gaps([beat.t for beat in BURSTS.beats]), abs=1e-5) == gaps(found)


def test_arrivals_come_from_the_seed() -> None:
    """A run that found something can be run again."""
    first, again, other = (seconds(arrivals(BURSTS, 1e4, requests=99, seed=seed)) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_a_day_has_its_night() -> None:
    """A hold has to see the quiet hours, and a quiet hour has to be quiet."""
    found = arrivals(Trace.steady(0.2), 10 * DAY_S, requests=10_000, rhythm=DAILY)
    hours = Counter(arrival.at.hour for arrival in found)

    for hour in range(24):
        expected = 10_000 * DAILY.hours[hour] / sum(DAILY.hours)
        assert abs(hours[hour] - expected) < 6.0 * expected**0.5
    assert hours[14] > 8 * hours[2]


def test_a_week_has_its_weekend() -> None:
    """Monday's escalations do not come on a Sunday; a canary that only saw a weekend has seen little."""
    found = arrivals(Trace.steady(0.2), 28 * DAY_S, requests=10_000, rhythm=WEEKLY)
    days = Counter(arrival.at.weekday() for arrival in found)

    for day in range(7):
        expected = 10_000 * WEEKLY.days[day] / sum(WEEKLY.days)
        assert abs(days[day] - expected) < 6.0 * expected**0.5


def test_a_rhythm_thins_the_trace_where_no_number_is_asked_for() -> None:
    """The busiest hour has what the trace has."""
    office = Rhythm(hours=tuple(1.0 if 9 <= hour < 17 else 0.0 for hour in range(24)))
    found = arrivals(Trace.steady(0.01), DAY_S, rhythm=office)

    assert 8 * 36 == len(found)
    assert set(range(9, 17)) == {arrival.at.hour for arrival in found}


def test_eight_weeks_cost_what_their_requests_cost() -> None:
    """Twelve million arrivals of the repeated trace are never listed."""
    dense = Trace(tuple(Beat(float(n)) for n in range(0, 3600)), 3600.0)
    found = arrivals(dense, 56 * DAY_S, requests=1000, rhythm=WEEKLY)

    assert 1000 == len({arrival.at for arrival in found})


@pytest.mark.parametrize(
    ("options", "trouble"),
    [
        ({"duration_s": 0.0}, "expected a finite number above 0"),
        ({"requests": 0}, "expected one at least"),
        ({"start": datetime(2026, 1, 1)}, "has no zone"),  # noqa: DTZ001 - the case
        ({"rhythm": Rhythm(hours=(0.0,) * 23 + (1.0,)), "requests": 5, "duration_s": 60.0}, "silent"),
        ({"rhythm": Rhythm(hours=(0.0,) * 2 + (1.0,) * 22), "requests": 5, "duration_s": 7200.0}, "silent"),
    ],
)
def test_arrivals_that_cannot_be_are_refused(options: dict[str, Any], trouble: str) -> None:
    """Rather than none, or a search without end."""
    with pytest.raises(UsageError, match=trouble):
        arrivals(BURSTS, **{"duration_s": 100.0, **options})


@pytest.mark.parametrize("rhythm", [{"hours": (1.0,) * 23}, {"days": (0.0,) * 7}, {"days": (-1.0,) + (1.0,) * 6}])
def test_a_rhythm_that_is_none_is_refused(rhythm: dict[str, tuple[float, ...]]) -> None:
    """23 hours shift every day by one."""
    with pytest.raises(ValueError, match="a rhythm has"):
        Rhythm(**rhythm)


def test_a_trace_is_read_in_order_and_from_zero() -> None:
    """Excerpts of a longer log start somewhere, and logs of several machines are not sorted."""
    lines = [b'{"t": 12.0, "tokens_in": 3, "tokens_out": 4, "more": 1}', b"", b'{"t": 10.0}', b'{"t": 16.0}']
    trace = Trace.read(lines)

    assert (Beat(0.0), Beat(2.0, 3, 4), Beat(6.0)) == trace.beats
    assert 9.0 == trace.period_s


@pytest.mark.parametrize(
    ("lines", "trouble"),
    [
        ([b'{"t": 1}', b'{"time": 2}'], "line 2: "),
        ([b'{"t": 1}'], "1 arrivals; expected at least two"),
        ([b'{"t": 1}', b'{"t": 1}'], "at different times"),
        ([b"\xff"], "line 1: "),
    ],
)
def test_a_file_that_is_no_trace_is_refused(lines: list[bytes], trouble: str) -> None:
    """With its line, and what was expected."""
    with pytest.raises(InputError, match=trouble):
        Trace.read(lines)


def test_a_real_trace_keeps_its_bursts(data_dir: Path) -> None:
    """An hour of production: 2.6 requests a second on average, and over 30 for ten seconds."""
    trace = Trace.open(data_dir / "arrival_trace_azure2023_code.jsonl")
    found = seconds(arrivals(trace, trace.period_s))
    busiest = max(Counter(int(second // 10.0) for second in found).values()) / 10.0

    assert 8819 == len(found)
    assert 2.6 == round(8819 / trace.period_s, 1)
    assert busiest > 30.0


def test_few_users_ask_often() -> None:
    """Zipf: the first asks twice as often as the second. A test that averages over requests is theirs alone."""
    units, random = Units(1000), Random(5)
    asked = Counter(units.draw(random) for _ in range(10_000))
    harmonic = sum(1.0 / rank for rank in range(1, 1001))

    for rank in (1, 2, 10):
        expected = 10_000 / rank / harmonic
        assert abs(asked[f"user-{rank}"] - expected) < 6.0 * expected**0.5


def test_users_may_be_all_alike() -> None:
    """Exponent 0, for tests about something else."""
    units, random = Units(4, exponent=0.0, prefix="u"), Random(5)
    asked = Counter(units.draw(random) for _ in range(4000))

    assert {"u1", "u2", "u3", "u4"} == set(asked)
    assert max(asked.values()) < 1200


@pytest.mark.parametrize(("count", "exponent"), [(0, 1.0), (3, -1.0), (3, float("nan"))])
def test_no_users_are_refused(count: int, exponent: float) -> None:
    """Nobody asks nothing."""
    with pytest.raises(UsageError, match="units: got"):
        Units(count, exponent)


def test_a_planned_request_names_its_case_slices_and_unit() -> None:
    """Everything that a gateway assigns, slices and is reconciled by."""
    (request,) = plan([Arrival(START)], CASES[:1], "support-reply", Units(1), headers={"authorization": "Bearer k"})

    assert (0, START, "user-1", "case-0") == (request.number, request.at, request.unit, request.case_id)
    assert {
        "model": "support-reply",
        "messages": CASES[0].messages,
        "user": "user-1",
        "metadata": {"case_id": "case-0", "slice": "german,vip"},
    } == request.body
    expected = {"x-case-id": "case-0", "x-case-slice": "german,vip", "x-midshift-unit": "user-1"}
    assert expected | {"authorization": "Bearer k"} == request.headers


def test_what_no_header_can_say_is_said_in_the_body_alone() -> None:
    """Ids are anything that a file has: also line breaks, which would be headers of their own."""
    case = replace(CASES[0], id="a\r\nx-evil: 1", slices=("grün",), tools=({"type": "function"},))
    (request,) = plan([Arrival(START)], [case], "m", Units(1), stream_share=1.0)

    assert {"x-midshift-unit": "user-1"} == request.headers
    assert {"case_id": case.id, "slice": "grün"} == request.body["metadata"]
    assert (case.tools, True) == (request.body["tools"], request.body["stream"])


def test_a_plan_comes_from_the_seed() -> None:
    """Both runs of an A/A comparison ask the same."""
    when = arrivals(Trace.steady(1.0), 50.0)
    first, again, other = (list(plan(when, CASES, "m", Units(9), seed=seed)) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_a_plan_without_messages_is_refused() -> None:
    """A file of graded texts alone cannot be asked."""
    with pytest.raises(UsageError, match="no case has messages"):
        plan([], [replace(CASES[0], messages=())], "m", Units(1))


def test_every_request_has_one_outcome() -> None:
    """What the client sent, what the provider counted and what came back are one number."""
    calls = Calls()
    tally = driven(some_planned(40), serving={"calls": calls}, concurrency=4)

    assert 40 == tally.planned == calls.total
    assert {200: 40} == tally.by_status
    assert list(range(40)) == sorted(outcome.number for outcome in tally.outcomes)
    assert [] == tally.unexplained(received=calls.total)


def test_what_the_gateway_says_is_kept() -> None:
    """Which arm served whom is checked from outside."""
    headers = {"x-midshift-variant": "v2", "x-midshift-step": "1", "x-midshift-request-id": "r"}
    tally = driven(some_planned(2), serving={"headers": headers})

    assert {"v2": 2} == tally.by_variant
    assert {("1", "r")} == {(outcome.step, outcome.request_id) for outcome in tally.outcomes}
    assert ["1 request ids were given more than once, first 'r'"] == tally.unexplained()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "broken"),
    [
        (Fault(ServerError(503)), 503, None),
        (Fault(CutAnswer(2)), 200, Broken.CUT),
        (Fault(MalformedJson()), 200, Broken.UNREADABLE),
        (Fault(NoAnswer()), 0, Broken.TIMEOUT),
    ],
)
def test_every_way_to_fail_is_told(stream: bool, fault: Fault, status: int, broken: Broken | None) -> None:
    """A user sees each of these differently, and none of them is an answer."""
    planned = list(plan([Arrival(START)], CASES, NEW, Units(1), stream_share=float(stream)))
    (outcome,) = driven(planned, fault, timeout_s=0.05).outcomes

    assert (status, broken) == (outcome.status, outcome.broken)


def test_nobody_there_is_an_outcome() -> None:
    """A gateway that is being restarted is a request that failed, not a test that crashed."""

    async def run() -> Tally:
        async with serve(ReplayProvider(Recording.read(lines_of(_rows())))) as url:
            pass
        return await drive(url, some_planned(3))

    tally = asyncio.run(run())

    assert {Broken.NO_CONNECTION: 3} == tally.broken
    assert {0: 3} == tally.by_status
    assert [] == tally.unexplained(received=0)


def test_requests_are_sent_when_they_are_due() -> None:
    """A week of playbook time, in order, without waiting for it."""
    machine = ManualClock()

    async def sleep(seconds: float) -> None:
        machine.advance(seconds)

    clock = ScaledClock(DAY_S, START, machine.machine_now, machine.monotonic_s, sleep)
    sent_at: dict[int, datetime] = {}

    def take(request: Planned, outcome: Outcome, body: bytes) -> None:
        sent_at[outcome.number] = request.at

    planned = list(plan(arrivals(BURSTS, 7 * DAY_S, requests=30), CASES, NEW, Units(3)))
    driven(planned, until=clock.until, take=take)

    assert {request.number: request.at for request in planned} == sent_at
    assert planned[-1].at <= clock.now() < START + timedelta(days=7, seconds=1)
    assert pytest.approx(7.0, rel=0.2) == machine.monotonic_s()


def test_requests_that_are_due_do_not_wait_for_answers() -> None:
    """Open loop: users do not ask more slowly because the service is slow. They queue, and that is measured."""

    async def at_once(moment: datetime) -> None:
        pass

    tally = driven(some_planned(20), until=at_once, concurrency=1)

    assert tally.most_waiting > 5
    assert {200: 20} == tally.by_status
    last = max(tally.outcomes, key=lambda outcome: outcome.number)
    assert 0.0 < last.waited_s < last.latency_s
    assert last.first_byte_s is not None
    assert last.waited_s < last.first_byte_s <= last.latency_s


def test_no_more_than_the_cap_are_under_way() -> None:
    """A shadow's limit, a provider's quota: the client must not be what breaks them."""
    most, under_way = 0, 0

    async def run() -> Tally:
        full = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal most, under_way
            under_way += 1
            most = max(most, under_way)
            if under_way == 5:
                full.set()
            await reader.readuntil(b"\r\n\r\n")
            await full.wait()
            under_way -= 1
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await drive(f"http://127.0.0.1:{port}", some_planned(30), concurrency=5)

    tally = asyncio.run(run())

    assert 5 == most
    assert {204: 30} == tally.by_status


def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    """Servers close idle connections; the next user's request must not fail for it."""

    async def run() -> Tally:
        closings: asyncio.Queue[None] = asyncio.Queue()
        closings.put_nowait(None)  # before the first request nothing has to be closed

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            writer.close()
            await writer.wait_closed()
            closings.put_nowait(None)

        async def until_closed(moment: datetime) -> None:
            await closings.get()
            for _ in range(5):  # rounds of the loop, in which the client hears of it
                await asyncio.sleep(0)

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await drive(f"http://127.0.0.1:{port}", some_planned(5), concurrency=1, until=until_closed)

    assert {200: 5} == asyncio.run(run()).by_status


def test_only_plain_http_is_spoken() -> None:
    """It is for loopback; a real endpoint is reached by a real client."""
    with pytest.raises(UsageError, match="expected http://HOST:PORT/v1"):
        asyncio.run(drive("https://api.example.com/v1", []))


def test_what_does_not_add_up_is_said() -> None:
    """A lost request is the one thing that no other number shows."""
    tally = Tally(
        4, [an_outcome(0), an_outcome(0), an_outcome(1, 0, Broken.NO_CONNECTION), an_outcome(2, 0, Broken.CUT)]
    )

    assert [
        "4 requests were planned, and 3 have an outcome",
        "1 requests have more than one outcome, first number 0",
        "the other end counted 4 requests; 2 were answered and 3 were sent",
    ] == tally.unexplained(received=4)


def test_both_arms_are_served_through_one_url(data_dir: Path) -> None:
    """Real texts, real bursts, two models, scripted trouble for one of them: as a canary would have it."""
    recording = Recording.open(data_dir / "zeroeval_gsm.jsonl")
    models = {"old": "gpt-4o-2024-05-13", "new": "gpt-4o-mini-2024-07-18"}
    faults = Faults([Fault(ServerError(), share=0.2, models=frozenset({"new"}))])
    provider = FaultyProvider(ReplayProvider(recording, models), faults)
    trace = Trace.open(data_dir / "arrival_trace_azure2023_code.jsonl")
    when = arrivals(trace, DAY_S, requests=200, rhythm=WEEKLY)
    calls = Calls()

    async def run() -> dict[str, Tally]:
        async with serve(provider, latency_scale=0.0, calls=calls) as url:
            return {model: await drive(url, plan(when, recording.cases, model, Units(40), seed=3)) for model in models}

    tallies = asyncio.run(run())

    assert {200: 200} == tallies["old"].by_status
    assert {200, 500} == set(tallies["new"].by_status)
    assert 15 < tallies["new"].by_status[500] < 70
    assert {"old": 200, "new": 200} == calls.by_model
