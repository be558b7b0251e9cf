"""`--events`: what an eval is doing, as one JSON object a line, for whoever watches a run without eyes.

The names are stable (`midshift.events/1`); fields may be added, and what is unknown is null.

    started      what will be asked: workload, variants, calls
    progress     done of total, calls a second, cost so far and forecast; at most once a second
    call_failed  one call without an answer: which model, how it ended, why
    paused       a provider wants to be left alone: for how long, and with which status it said so
    finished     the exit code, where the files are, or what went wrong; always the last one

A watcher that goes away stops nothing: a run that costs money outlives its log.
Elsewhere: the same for eyes (eval_progress), the result itself (reports.bakeoff).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from midshift.cli.eval_progress import forecast_usd
from midshift.errors import MidshiftError, UsageError
from midshift.evals.runner import Progress
from midshift.ports import Clock
from midshift.providers.paid.budget import Budget
from midshift.providers.paid.occurrences import CallEnded, Occurrence, Paused

FORMAT = "midshift.events/1"
STDOUT = "-"
_EVERY_S = 1.0


class Events:
    """Writes the events of one run. Without a file it says nothing."""

    def __init__(self, file: TextIO | None, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._told_s = -_EVERY_S
        self._told: dict[str, Any] = {}

    def started(self, workload: str, variants: Sequence[str], calls: int, cap_usd: object) -> None:
        """The run begins; `variants` are the incumbent and the candidates, `calls` the answers that it needs."""
        incumbent, *candidates = variants
        cap = None if cap_usd is None else str(cap_usd)
        said = {"workload": workload, "incumbent": incumbent, "candidates": candidates, "calls": calls, "cap_usd": cap}
        self._say("started", {"format": FORMAT, **said})

    def progress(self, progress: Progress, budget: Budget) -> None:
        """How far it is; may be called as often as one likes."""
        now_s = self._clock.monotonic_s()
        found = _progress(progress, budget, now_s - self._began_s)
        is_same = all(self._told.get(name) == found[name] for name in ("done", "total", "spent_usd", "stopped"))
        if is_same or (now_s - self._told_s < _EVERY_S and progress.done < progress.needed):
            return
        self._told_s, self._told = now_s, found
        self._say("progress", found)

    def occurred(self, occurrence: Occurrence) -> None:
        """A call failed, or a provider is left alone."""
        match occurrence:
            case CallEnded(provider, model, key, ending, detail):
                which = {"provider": provider, "model": model, "variant": key.variant, "trial": key.trial}
                said = {"kind": key.kind.value, "ending": ending.value, "detail": detail}
                self._say("call_failed", which | said)
            case Paused(provider, wait_s, status):
                self._say("paused", {"provider": provider, "wait_s": round(wait_s, 3), "status": status})

    def finished(self, exit_code: int, files: Mapping[str, str] | None = None, error: str | None = None) -> None:
        """The run is over."""
        self._say("finished", {"exit_code": exit_code, "error": error, "files": dict(files or {})})

    def _say(self, event: str, said: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        at = _text(self._clock.machine_now())
        try:
            self._file.write(json.dumps({"event": event, "at": at, **said}) + "\n")
            self._file.flush()
        except (OSError, ValueError):
            self._file = None


@contextmanager
def telling(where: str | None, as_json: bool, clock: Clock) -> Iterator[Events]:
    """The events of the block, the last of them in any case; on standard output the report makes way for them.

    Raises:
        UsageError: for events and a document on one standard output.
    """
    if where == STDOUT and as_json:
        raise UsageError(
            "found --events - and --json, expected one of them on standard output. Type next: --events FILE --json, "
            "or --events -   (its last line says where the document is)"
        )
    with _opened(where) as file:
        events = Events(file, clock)
        try:
            yield events
        except MidshiftError as error:
            events.finished(error.exit_code, error=str(error))
            raise
        except BaseException as error:
            events.finished(4, error=type(error).__name__)
            raise


@contextmanager
def _opened(where: str | None) -> Iterator[TextIO | None]:
    if where is None:
        yield None
    elif where == STDOUT:
        out = sys.stdout
        with redirect_stdout(sys.stderr):
            yield out
    else:
        with Path(where).open("a", encoding="utf-8") as file:
            yield file


def _progress(progress: Progress, budget: Budget, elapsed_s: float) -> dict[str, Any]:
    forecast = forecast_usd(progress, budget)
    return {
        "done": progress.done,
        "total": progress.needed,
        "bought": progress.bought,
        "failed": progress.failed,
        "held": progress.held,
        "calls_per_s": round(progress.bought / elapsed_s, 3) if elapsed_s > 0.0 else None,
        "spent_usd": None if budget.unknown else float(budget.spent_usd),
        "forecast_usd": None if forecast is None else round(forecast, 6),
        "costs_unknown": budget.unknown,
        "stopped": progress.stopped,
    }


def _text(at: datetime) -> str:
    return at.isoformat()
