"""`midshift demo`: two simulated models, a comparison and a whole upgrade; no key, and no network beyond loopback."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from midshift.cli import compare, story
from midshift.cli.system import SystemClock
from midshift.reports import html, terminal
from midshift.testing import simulated

_CASES = 500
_SEED = 20260101


def run(folder: Path | None, brief: bool = False) -> int:
    """Compare two simulated models, then (unless `brief`) upgrade from one to the other; 4 if that ends badly."""
    place = Path(tempfile.mkdtemp(prefix="midshift-demo-")) if folder is None else folder
    file = write_simulated(place)
    page = file.with_suffix(".html")
    options = compare.Options(file, simulated.INCUMBENT, simulated.CANDIDATE)
    console = Console(highlight=False)
    comparison = compare.compare(options, SystemClock())
    terminal.show(comparison, console)
    compare.write_whole(page, html.render(comparison))
    ended_well = brief or story.tell(console, place, SystemClock())
    sys.stdout.write(
        f"\nThe comparison as a page: {page}\n"
        f"Again, on your own files: midshift compare {shlex.quote(str(file))} "
        f"--incumbent {simulated.INCUMBENT} --candidate {simulated.CANDIDATE}\n"
    )
    return 0 if ended_well else 4


def write_simulated(folder: Path) -> Path:
    """Write the demo's simulated answers into `folder`, and give the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "simulated-replies.jsonl"
    with file.open("w", encoding="utf-8") as out:
        out.writelines(simulated.lines(_CASES, _SEED))
    return file
