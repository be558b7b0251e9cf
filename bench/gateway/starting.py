"""How long a gateway takes from its start to its first answer."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

STARTS = 5
"""A start differs from the next by what else the machine does: the median of so many is said."""

SLOW_S = 3.0
"""Who takes longer is started once."""


def start_s(
    begun: Callable[[], contextlib.AbstractContextManager[subprocess.Popen[bytes]]],
    port: int,
    raw: Path,
    patience_s: float,
) -> float:
    """The median over several lives, each of which ends with its first answer."""
    took: list[float] = []
    while len(took) < STARTS and (not took or took[-1] < SLOW_S):
        with begun():
            took.append(answered(port, raw, patience_s))
    return statistics.median(took)


def answered(port: int, raw: Path, patience_s: float) -> float:
    """Seconds until a request is answered with 200."""
    began = time.monotonic()
    head, _, body = raw.read_bytes().partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body, lines)
    why: object = "nothing"
    while time.monotonic() - began < patience_s:
        try:
            with urllib.request.urlopen(asked, timeout=patience_s):
                return time.monotonic() - began
        except (OSError, urllib.error.URLError) as error:
            why = error
        time.sleep(0.005)
    raise SystemExit(f"bench: no answer on port {port} within {patience_s:g} s: {why}")
