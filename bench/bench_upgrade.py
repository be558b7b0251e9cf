"""How long eight weeks take: one whole upgrade of 20,000 requests over HTTP, on simulated models.

    python bench/bench_upgrade.py

The last line says how many requests there were, that they reconcile, how long one flip took to reach the gateway, and
how long it all took on this machine.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from rich.console import Console

from midshift.cli import story
from midshift.cli.system import SystemClock

REQUESTS = 20_000


def main() -> int:
    """Tell the story with more requests."""
    with tempfile.TemporaryDirectory() as folder:
        return 0 if story.tell(Console(highlight=False), Path(folder), SystemClock(), REQUESTS) else 1


if __name__ == "__main__":
    sys.exit(main())
