"""How fast `midshift compare` reads, and what it holds in memory; and what `midshift --help` costs.

    python bench/bench_compare.py [--rows 1000000]

Ratios count, not seconds: the reference is the least that any reader in Python has to do with the same file, measured
in the same run: `json.loads` of every line and the length of both texts. Memory is the peak resident set of the
process, by the operating system's own account. The answers are simulated (`midshift.testing.simulated`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from midshift.testing import simulated

_DISTINCT = 20_000
_REFERENCE = (
    "import json, sys\n"
    "chars = 0\n"
    "for line in open(sys.argv[1], encoding='utf-8'):\n"
    "    for output in json.loads(line)['outputs'].values():\n"
    "        chars += len(output['text'] or '')\n"
)


@dataclass(frozen=True)
class Run:
    """What one process took."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def measure(command: list[str]) -> Run:
    """Run a command to its end, output thrown away."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    return Run(usage.ru_utime + usage.ru_stime, wall_s, _peak_mb(usage))


def _peak_mb(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)


def write_rows(path: Path, rows: int) -> None:
    """A simulated file of `rows` cases with unique ids."""
    templates = [json.dumps(row) for row in simulated.pairs(min(rows, _DISTINCT), seed=1)]
    with path.open("w", encoding="utf-8") as out:
        for number in range(rows):
            template = templates[number % len(templates)]
            out.write(template.replace('"id": "ticket-', f'"id": "{number}-', 1) + "\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulated.jsonl"
        write_rows(path, rows)
        size_mb = path.stat().st_size / 1e6
        reference = measure([python, "-c", _REFERENCE, str(path)])
        variants = ["--incumbent", simulated.INCUMBENT, "--candidate", simulated.CANDIDATE]
        compared = measure([python, "-m", "midshift", "compare", str(path), *variants, "--json"])
    help_runs = sorted(measure([python, "-m", "midshift", "--help"]).cpu_s for _ in range(5))
    bare = sorted(measure([python, "-c", "pass"]).cpu_s for _ in range(5))
    print(f"{rows:,} simulated rows, {size_mb:,.0f} MB")
    print(f"  reference (json.loads, len)  {reference.cpu_s:7.1f} s CPU  {reference.peak_mb:7.0f} MB peak")
    print(f"  midshift compare             {compared.cpu_s:7.1f} s CPU  {compared.peak_mb:7.0f} MB peak")
    print(f"  ratio {compared.cpu_s / reference.cpu_s:.2f}; {rows / compared.wall_s:,.0f} rows/s of wall time")
    print(f"  memory {(compared.peak_mb - reference.peak_mb) * 1e6 / rows:,.0f} bytes a row over the reference")
    print(f"midshift --help: {help_runs[2]:.2f} s CPU (median of 5; python itself {bare[2]:.2f} s)")


if __name__ == "__main__":
    main()
