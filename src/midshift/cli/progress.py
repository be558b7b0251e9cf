"""Progress of a long read, on stderr and only where a person looks at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

_SHOWN_FROM_BYTES = 20_000_000
_STEP_BYTES = 2_000_000


def reading(lines: Iterable[bytes], total_bytes: int, name: str) -> Iterator[bytes]:
    """Pass the lines through, with a bar, speed and forecast for a file that takes more than a moment."""
    console = Console(stderr=True)
    if total_bytes < _SHOWN_FROM_BYTES or not console.is_terminal:
        yield from lines
        return
    columns = (
        TextColumn("reading {task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=total_bytes)
        pending = 0
        for line in lines:
            pending += len(line)
            if pending >= _STEP_BYTES:
                progress.advance(task, pending)
                pending = 0
            yield line
