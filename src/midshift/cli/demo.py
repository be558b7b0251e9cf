"""`midshift demo`: two simulated models, one comparison, no key and no network."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from midshift.cli import compare
from midshift.cli.system import SystemClock
from midshift.reports import html, terminal
from midshift.testing import simulated

_CASES = 500
_SEED = 20260101


def run(folder: Path | None) -> int:
    """Write a simulated file, compare, print, and say what to look at next."""
    place = Path(tempfile.mkdtemp(prefix="midshift-demo-")) if folder is None else folder
    file = write_simulated(place)
    page = file.with_suffix(".html")
    options = compare.Options(file, simulated.INCUMBENT, simulated.CANDIDATE)
    comparison = compare.compare(options, SystemClock())
    terminal.show(comparison, Console(highlight=False))
    compare.write_whole(page, html.render(comparison))
    sys.stdout.write(
        f"\nThe same as a page: {page}\n"
        f"Again, on your own files: midshift compare {shlex.quote(str(file))} "
        f"--incumbent {simulated.INCUMBENT} --candidate {simulated.CANDIDATE}\n"
    )
    return 0


def write_simulated(folder: Path) -> Path:
    """Write the demo's simulated answers into `folder`, and give the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "simulated-replies.jsonl"
    with file.open("w", encoding="utf-8") as out:
        out.writelines(simulated.lines(_CASES, _SEED))
    return file
