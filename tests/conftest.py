"""What every test may ask for: recorded data, a browser, seeded randomness.

Contract: what is not on this machine is skipped loudly, with how to get it; what a variable names but is not
there is an error.
Elsewhere: fakes, the manual clock and builders of values (midshift.testing).
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent

settings.register_profile("local", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def find_data() -> Path | None:
    """The folder of recorded outputs, or None.

    Raises:
        pytest.UsageError: MIDSHIFT_DATA names a folder without recorded outputs.
    """
    named = os.environ.get("MIDSHIFT_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if (folder / "pairs.json").is_file():
        return folder
    if named:
        raise pytest.UsageError(
            f"MIDSHIFT_DATA={named!r} holds no pairs.json. Name the folder of recorded outputs, or unset it."
        )
    return None


def find_chromium() -> Path | None:
    """A Chromium to drive, or None.

    Raises:
        pytest.UsageError: MIDSHIFT_CHROMIUM names no program.
    """
    named = os.environ.get("MIDSHIFT_CHROMIUM")
    for name in [named] if named else ["chromium", "chromium-browser", "google-chrome"]:
        if found := shutil.which(name):
            return Path(found)
    if named:
        raise pytest.UsageError(f"MIDSHIFT_CHROMIUM={named!r} is no program. Name one, or unset it.")
    return None


@dataclass(frozen=True, slots=True)
class Need:
    """Something outside the repository that some tests need: asking for the fixture sets the marker."""

    marker: str
    fixture: str
    find: Callable[[], Path | None]
    skipped_because: str


DATA = Need(
    "realdata",
    "data_dir",
    find_data,
    "no recorded outputs at ../shared/data (set MIDSHIFT_DATA to the folder that holds pairs.json)",
)
CHROMIUM = Need(
    "browser",
    "chromium",
    find_chromium,
    "no Chromium on PATH (install the package chromium, or set MIDSHIFT_CHROMIUM to the program)",
)
NEEDS = (DATA, CHROMIUM)


def pytest_configure(config: pytest.Config) -> None:
    """Fail before the first test when a variable names something that is not there."""
    for need in NEEDS:
        need.find()


@pytest.hookimpl(tryfirst=True)  # before -m selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need something, and skip them where it is absent."""
    absent = {need.marker for need in NEEDS if need.find() is None}
    for item in items:
        for need in NEEDS:
            if need.fixture in getattr(item, "fixturenames", ()):
                item.add_marker(need.marker)
            if need.marker in absent and item.get_closest_marker(need.marker):
                item.add_marker(pytest.mark.skip(reason=need.skipped_because))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A skipped test is easy to overlook: say at the end what was not tested."""
    skipped = terminalreporter.getreports("skipped")
    for need in NEEDS:
        if count := sum(need.skipped_because in str(report.longrepr) for report in skipped):
            message = f"NOT TESTED: {count} {need.marker} tests skipped: {need.skipped_because}"
            terminalreporter.write_line(message, yellow=True, bold=True)
    reasons = {report.longrepr[2].removeprefix("Skipped: ") for report in skipped if isinstance(report.longrepr, tuple)}
    for reason in sorted(reason for reason in reasons if reason.startswith("NOT TESTED: ")):
        terminalreporter.write_line(reason, yellow=True, bold=True)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded outputs of real models; the test that asks is skipped where there is none."""
    return _found(DATA)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The Chromium program; the test that asks is skipped where there is none."""
    return _found(CHROMIUM)


@pytest.fixture
def rng() -> np.random.Generator:
    """Randomness that is the same in every run and in every test."""
    return np.random.default_rng(20261122)


def _found(need: Need) -> Path:
    if path := need.find():
        return path
    pytest.skip(need.skipped_because)  # asked for by name at run time, past the collection
