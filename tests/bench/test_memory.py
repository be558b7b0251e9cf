"""The measure of flat memory: it must see a leak, and a short run of the real thing must show none."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.gateway.memory import slope_mb_per_million

ROOT = Path(__file__).parents[2]


def test_a_leak_shows_as_bytes_for_each_request() -> None:
    """Whatever the size at the beginning."""
    assert pytest.approx(8.0) == slope_mb_per_million([90.0, 98.0, 106.0], [0, 1_000_000, 2_000_000])
    assert 0.0 == slope_mb_per_million([90.0, 90.0, 90.0], [1, 2, 3])


def test_one_moment_has_no_slope() -> None:
    """Zero would be a success without evidence."""
    with pytest.raises(ValueError, match="two numbers of requests"):
        slope_mb_per_million([90.0], [5])


@pytest.mark.heavy
def test_no_record_of_two_hundred_thousand_requests_stays_in_memory() -> None:
    """One record, body or task that stays is 500 bytes a request and more.

    What waits once while the machine is busy stays the allocator's: 14 MB, which is 63 bytes in a line through 100,000.

    `make soak-memory` asks for far less, of far more requests.
    """
    asked = [sys.executable, "-m", "bench.gateway.memory", "--requests", "200000", "--most", "150"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)

    assert 0 == done.returncode, done.stdout + done.stderr
