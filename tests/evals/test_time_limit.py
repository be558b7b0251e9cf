"""Work that comes to no end is given up, and Ctrl-C is heard while it lasts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import threading
from typing import Any

import pytest

from midshift.evals import contracts
from midshift.evals.graders import compiled
from midshift.evals.rows import Answer, Ledger, PairedRow, Side
from midshift.evals.suite_file import EvalCase, Suite
from midshift.evals.table import Table
from midshift.evals.time_limit import OutOfTime, limited

ENDLESS = r"^(\w+\s?)*$"
EVIL = "a" * 28 + "!"
"""Minutes of work for the pattern above, and harmless to look at."""


def forever() -> None:
    """Work without an end."""
    while True:
        pass


def grades(said: dict[str, Any], *texts: str) -> tuple[list[dict[str, float]], list[str]]:
    """The scores of some answers to one case, and what was told beside them."""
    case, notes = EvalCase(1, "c-1", ({"role": "user", "content": "?"},), ("all",)), list[str]()
    grade = compiled(Suite("s", (case,), (said,)), told=notes.append)
    return [dict(grade(case, Answer(text), Side.CANDIDATE)) for text in texts], notes


def test_work_within_its_limit_gives_what_it_gives() -> None:
    assert 7 == limited("adding", lambda: 3 + 4)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (ENDLESS, EVIL),
        (r"(a|aa)+$", "a" * 60 + "b"),
        (r"(?=(a+)+$)b", "a" * 50 + "c"),
        (r"^(a+)+\1$", "a" * 50 + "b"),
        (r"[^,]*,[^,]*;", "x" * 40_000),
    ],
)
def test_a_pattern_without_an_end_is_given_up(pattern: str, text: str) -> None:
    """Groups in groups, alternatives, a look ahead, a back reference, and a plain one on a long text."""
    with pytest.raises(OutOfTime, match=r"^the search was given up after 0\.02 s of computing$"):
        limited("the search", lambda: re.search(pattern, text), limit_s=0.02)


def test_nothing_is_left_behind() -> None:
    """A timer that rings later would end something else."""
    before = signal.getsignal(signal.SIGVTALRM), signal.getsignal(signal.SIGINT)

    with pytest.raises(OutOfTime):
        limited("waiting", forever, limit_s=0.02)
    with pytest.raises(ZeroDivisionError):
        limited("dividing", lambda: 1 / 0)

    assert before == (signal.getsignal(signal.SIGVTALRM), signal.getsignal(signal.SIGINT))
    assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_VIRTUAL)


def test_work_that_catches_its_own_errors_is_given_up_too() -> None:
    """A library may catch whatever it likes; the limit comes through."""

    def careless() -> int:
        with contextlib.suppress(Exception):
            forever()
        return 1

    with pytest.raises(OutOfTime):
        limited("careless work", careless, limit_s=0.02)


def test_outside_of_the_main_thread_there_is_no_limit_and_no_fault() -> None:
    found = list[int]()
    thread = threading.Thread(target=lambda: found.append(limited("adding", lambda: 3 + 4)))
    thread.start()
    thread.join()

    assert [7] == found


def test_ctrl_c_ends_the_work_at_once_in_an_event_loop_too() -> None:
    """There its handler would run when the work is over; and it still hears of it, so that the rest stops as well."""

    async def graded() -> bool:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGINT, heard.set)

        def interrupted() -> None:
            signal.raise_signal(signal.SIGINT)
            forever()

        try:
            with pytest.raises(KeyboardInterrupt):
                limited("waiting", interrupted)
            return await asyncio.wait_for(heard.wait(), 10)
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    assert asyncio.run(graded())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "evil", "good", "named"),
    [
        ({"type": "regex", "pattern": ENDLESS}, EVIL, "a b", f"the pattern {ENDLESS!r}"),
        (
            {"type": "json_schema", "schema": {"type": "string", "pattern": ENDLESS}},
            json.dumps(EVIL),
            '"a b"',
            f"a schema with the patterns {ENDLESS!r}",
        ),
        (
            {"type": "json_schema", "schema": {"items": {"patternProperties": {ENDLESS: {}}}}},
            json.dumps([{EVIL: 1}]),
            "[]",
            f"a schema with the patterns {ENDLESS!r}",
        ),
        (
            {"type": "json_schema", "schema": {"uniqueItems": True}},
            json.dumps([{"a": n} for n in range(20_000)]),
            "[]",
            "a schema",
        ),
    ],
)
def test_a_grader_that_runs_out_of_time_gives_no_score_and_a_note(
    said: dict[str, Any], evil: str, good: str, named: str
) -> None:
    """A zero would charge the suite's pattern to the model."""
    (nothing, full), notes = grades(said, evil, good)

    assert ({}, {said["type"]: 1.0}) == (nothing, full)
    assert [f"{said['type']!r} gives the candidate's answer to case 'c-1' no score: {named} was given up after 0.5 s "
            "of computing"] == notes  # fmt: skip


@pytest.mark.slow
def test_a_contract_that_runs_out_of_time_is_unknown_and_noted() -> None:
    ledger, schema = Ledger(), {"type": "string", "pattern": ENDLESS}
    table = Table(ledger)

    table.append(PairedRow(3, "c-1", Answer('"a b"'), Answer(json.dumps(EVIL)), expects=schema))

    old, new = (side[0] for side in table.contracts[contracts.SCHEMA].arrays())
    problem = ledger.problems["schema_out_of_time"]
    assert (1.0, True) == (old, new != new)
    assert ([3], False) == (problem.places, problem.excluded)
    assert problem.example.startswith(f"case 'c-1': a schema with the patterns {ENDLESS!r}")
