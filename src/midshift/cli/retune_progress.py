"""Progress of a re-tuning, on stderr and only where a person looks at it: rate, cost so far, forecast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from midshift.cli.buying import Show
from midshift.evals.runner import Progress
from midshift.providers.paid.budget import Budget


@contextmanager
def showing(console: Console, most_calls: int | None) -> Iterator[Show | None]:
    """What the search tells its progress; None where nobody looks."""
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("calls", total=most_calls, said="")

        def show(progress: Progress, budget: Budget) -> None:
            description = "finishing what is under way" if progress.stopped else "calls"
            said = words(progress, budget, bar.tasks[0].elapsed or 0.0, most_calls)
            bar.update(task, description=description, completed=progress.done, said=said)

        yield show


def words(progress: Progress, budget: Budget, elapsed_s: float, most_calls: int | None) -> str:
    """`12.3 calls/s · 0.4211 USD, about 1.63 in all, 5 at most`; a cost that is not known is said to be so."""
    parts = [f"{progress.bought / elapsed_s:.1f} calls/s"] if elapsed_s > 0.0 else []
    if budget.unknown:
        parts.append(f"cost of {budget.unknown:,} calls unknown")
    elif progress.done:
        money = [f"{budget.spent_usd:.4f} USD"]
        if most_calls is not None:
            forecast = float(budget.spent_usd) * most_calls / progress.done
            capped = forecast if budget.cap_usd is None else min(forecast, float(budget.cap_usd))
            money.append(f"about {capped:.2f} in all")
        if budget.cap_usd is not None:
            money.append(f"{budget.cap_usd} at most")
        parts.append(", ".join(money))
    problems = progress.held + progress.failed
    return " · ".join([*parts, *([f"{problems:,} without an answer"] if problems else [])])
