"""`--events`: a program can follow a run line by line, and no watcher can stop it."""

from __future__ import annotations

import io
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from midshift.cli.eval_events import Events, telling
from midshift.domain.paid_call import CallKey, Ending
from midshift.errors import ConfigError, UsageError
from midshift.evals.runner import Progress
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.occurrences import CallEnded, Paused
from midshift.testing import ManualClock


class Run:
    """Events into memory, on a clock that is moved by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.file = io.StringIO()
        self.events = Events(self.file, self.clock)

    @property
    def said(self) -> list[dict[str, Any]]:
        """What was written."""
        return [json.loads(line) for line in self.file.getvalue().splitlines()]


def test_a_run_is_told_from_its_start_to_its_end() -> None:
    """The names are stable; each event says when it was."""
    run = Run()

    run.events.started("support-reply", ("old", "new"), 120, Decimal("5"))
    run.events.progress(Progress(needed=120, done=30, bought=30), Budget(spent_usd=Decimal("0.3")))
    run.events.occurred(Paused("acme", 12.5, 429))
    run.events.occurred(CallEnded("acme", "m", CallKey("v", "r"), Ending.REFUSED, "too long"))
    run.events.finished(0, {"comparison": "eval.json"})

    assert ["started", "progress", "paused", "call_failed", "finished"] == [one["event"] for one in run.said]
    assert all(one["at"].startswith("2026-") for one in run.said)
    started, progress, paused, failed, finished = run.said
    assert ("midshift.events/1", "old", ["new"], 120, "5") == tuple(
        started[name] for name in ("format", "incumbent", "candidates", "calls", "cap_usd")
    )
    assert (30, 120, 0.3, 1.2) == tuple(progress[name] for name in ("done", "total", "spent_usd", "forecast_usd"))
    assert (12.5, 429) == (paused["wait_s"], paused["status"])
    assert ("answer", "refused", "too long") == tuple(failed[name] for name in ("kind", "ending", "detail"))
    assert (0, None, {"comparison": "eval.json"}) == tuple(finished[name] for name in ("exit_code", "error", "files"))


def test_a_cost_that_nobody_knows_is_null_and_not_zero() -> None:
    run, budget = Run(), Budget(spent_usd=Decimal("0.3"))
    budget.unknown = 2

    run.events.progress(Progress(needed=4, done=3), budget)

    assert (None, None, 2) == tuple(run.said[0][name] for name in ("spent_usd", "forecast_usd", "costs_unknown"))


def test_progress_is_told_once_a_second_and_when_it_is_whole() -> None:
    """The display asks four times a second; a log of hours must stay readable."""
    run, progress = Run(), Progress(needed=10)
    for done in range(11):
        progress.done = done
        run.events.progress(progress, Budget())
        run.clock.advance(0.25)

    assert [0, 4, 8, 10] == [one["done"] for one in run.said]


def test_what_stands_still_is_not_repeated() -> None:
    run = Run()
    for _ in range(5):
        run.events.progress(Progress(needed=10, done=3), Budget())
        run.clock.advance(60.0)

    assert 1 == len(run.said)


@pytest.mark.parametrize(
    ("error", "expected"), [(ConfigError("no suite"), (2, "no suite")), (KeyboardInterrupt(), (4, "KeyboardInterrupt"))]
)
def test_a_run_that_fails_says_so_last(error: BaseException, expected: tuple[int, str], tmp_path: Path) -> None:
    """Whoever waits for `finished` must not wait for ever."""
    with pytest.raises(type(error)), telling(str(tmp_path / "events"), True, ManualClock()):
        raise error

    (said,) = (json.loads(line) for line in (tmp_path / "events").read_text().splitlines())
    assert ("finished", *expected) == (said["event"], said["exit_code"], said["error"])


def test_a_file_of_events_keeps_those_of_earlier_runs(tmp_path: Path) -> None:
    """The same command goes on, and so does its log."""
    for _ in range(2):
        with telling(str(tmp_path / "events"), False, ManualClock()) as events:
            events.finished(0)

    assert 2 == len((tmp_path / "events").read_text().splitlines())


def test_on_standard_output_there_are_events_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """A report between them would break whoever reads lines of JSON."""
    with telling("-", False, ManualClock()) as events:
        events.finished(0)
        sys.stdout.write("the report\n")

    found = capsys.readouterr()
    assert "finished" == json.loads(found.out)["event"]
    assert "the report\n" == found.err


def test_two_kinds_of_json_on_one_output_are_refused() -> None:
    with pytest.raises(UsageError, match="--events FILE --json"), telling("-", True, ManualClock()):
        pass


def test_a_watcher_that_goes_away_stops_nothing() -> None:
    """What is paid for comes to its end."""
    run = Run()
    run.file.close()

    run.events.started("w", ("old", "new"), 1, None)
    run.events.finished(0)

    assert run.file.closed
