"""Progress of an eval, on stderr and only where a person looks at it: rate, cost so far, and a forecast of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from midshift.cli.buying import Show
from midshift.evals.runner import Progress
from midshift.providers.paid.budget import Budget


@contextmanager
def showing(console: Console) -> Iterator[Show | None]:
    """What `buy` tells its progress; None where nobody looks."""
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("calls", total=None, said="")

        def show(progress: Progress, budget: Budget) -> None:
            description = "finishing what is under way" if progress.stopped else "calls"
            said = words(progress, budget, bar.tasks[0].elapsed or 0.0)
            bar.update(task, description=description, total=progress.needed, completed=progress.done, said=said)

        yield show


def forecast_usd(progress: Progress, budget: Budget) -> float | None:
    """What it comes to in all if the rest costs as much a call; None where a cost is unknown, or nothing is done."""
    is_known = progress.done and not budget.unknown
    return float(budget.spent_usd) * progress.needed / progress.done if is_known else None


def words(progress: Progress, budget: Budget, elapsed_s: float) -> str:
    """`12.3 calls/s · 0.4211 USD, about 1.63 in all`; a cost that is not known is said to be so."""
    parts = [f"{progress.bought / elapsed_s:.1f} calls/s"] if elapsed_s > 0.0 else []
    if budget.unknown:
        parts.append(f"cost of {budget.unknown:,} calls unknown")
    elif (forecast := forecast_usd(progress, budget)) is not None:
        parts.append(f"{budget.spent_usd:.4f} USD, about {forecast:.2f} in all")
    problems = progress.held + progress.failed
    return " · ".join([*parts, *([f"{problems:,} without an answer"] if problems else [])])
