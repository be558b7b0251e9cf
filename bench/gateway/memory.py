"""Whether a gateway's memory stays flat: resident megabytes after each tenth of very many requests.

    python -m bench.gateway.memory --requests 10000000        # by hand, for hours
    python -m bench.gateway.memory --requests 200000          # the short version, which the heavy tests run

Units, origins, record and sums are bounded, and the first requests fill them: the slope is taken over the second half.
Elsewhere: the gateway (ours), the mock and the load (bench).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.gateway import bench as harness
from bench.gateway import ours
from bench.gateway.processes import resident_mb
from bench.gateway.starting import answered

PARTS = 10
MB_PER_MILLION = 4.0
"""What the second half may add for each million requests: 4 bytes a request. A short run needs more (`--most`): what
the allocator takes and gives back is some megabytes, however many the requests."""


def slope_mb_per_million(sizes_mb: Sequence[float], requests: Sequence[int]) -> float:
    """The slope of the least squares line through sizes at numbers of requests; MB per million of them.

    Raises:
        ValueError: for fewer than two different numbers of requests.
    """
    mean_x, mean_y = sum(requests) / len(requests), sum(sizes_mb) / len(sizes_mb)
    spread = sum((x - mean_x) ** 2 for x in requests)
    if not spread:
        raise ValueError(f"a slope needs sizes at two numbers of requests at least, found {list(requests)!r}")
    moved = sum((x - mean_x) * (y - mean_y) for x, y in zip(requests, sizes_mb, strict=True))
    return moved / spread * 1e6


def sizes(requests: int, shadow_share: float, tell: Callable[[str], None]) -> tuple[list[int], list[float]]:
    """Requests so far, and megabytes then, at eleven moments of a run."""
    done, found = [0], [0.0]
    with tempfile.TemporaryDirectory() as name:
        bench = harness.Bench(Path(name), 2.0, in_front=False)
        harness.build(bench.folder)
        product = bench.folder / "product"
        product.mkdir()
        with contextlib.redirect_stdout(sys.stderr):
            ours.prepare(product, harness.PROVIDER_PORT, 5, 0.25, shadow_share)
        command, raw = ours.command(product, harness.OUR_PORT), harness.request_file(bench.folder / "raw", {}, False)
        with bench.provider(harness.PROVIDER_PORT), bench.process(1, command, ours.environment()) as child:
            answered(harness.OUR_PORT, raw, 60.0)
            while done[-1] < requests:
                count, step = 0, requests // PARTS
                while count < step:
                    count += int(bench.load(harness.OUR_PORT, raw, harness.CONNECTIONS, warm_s=0.0)["answers"])
                done.append(done[-1] + count)
                found.append(resident_mb(child.pid))
                tell(f"{done[-1]:>10} requests {found[-1]:7.1f} MB")
    return done[1:], found[1:]


def main() -> int:
    """Measure; 1 if memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--shadow-share", type=float, default=0.1)
    parser.add_argument("--most", type=float, default=MB_PER_MILLION)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    done, found = sizes(given.requests, given.shadow_share, lambda line: print(line, file=sys.stderr, flush=True))
    half = len(done) // 2
    slope = slope_mb_per_million(found[half:], done[half:])
    if given.json:
        print(json.dumps({"requests": done, "resident_mb": found, "mb_per_million": slope}))
    else:
        print(f"second half: {slope:+.2f} MB for each million requests, at most {given.most:g} is flat")
    return int(slope > given.most)


if __name__ == "__main__":
    sys.exit(main())
