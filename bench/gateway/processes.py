"""What the system says of the processes of one session: a gateway with all its children."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def cpu_s(session: int) -> float:
    """What all processes of a session have spent, in user and kernel mode."""
    return sum((int(fields[11]) + int(fields[12])) * TICK_S for _, fields in _of_session(session))


def resident_mb(session: int) -> float:
    """What all processes of a session hold in memory."""
    return sum(int(fields[21]) * PAGE_MB for _, fields in _of_session(session))


def peak_mb(session: int) -> float:
    """The most that they ever held."""
    found = [Path(f"/proc/{pid}/status").read_text(encoding="utf-8") for pid, _ in _of_session(session)]
    return sum(int(text.partition("VmHWM:")[2].split()[0]) / 1024 for text in found if "VmHWM:" in text)


def yard_ms(core: int) -> float:
    """What a core takes at present for 200,000 additions in this Python: the median of nine times."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return median(_added_ms() for _ in range(9))
    finally:
        os.sched_setaffinity(0, allowed)


def _added_ms() -> float:
    began, total = time.perf_counter(), 0
    for number in range(200_000):
        total += number
    return (time.perf_counter() - began) * 1000


def _of_session(session: int) -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                if int(fields[3]) == session:
                    yield int(entry.name), fields
