"""What a gateway takes at once: as typed, and else as it takes by itself."""

import re
import resource

import pytest

from midshift.cli import main
from midshift.cli.limits import MOST_FILES, SaidLimits, files_wanted, limits_of
from midshift.errors import UsageError
from midshift.gateway.settings import MB, Limits


def test_what_is_not_said_stays_as_it_is() -> None:
    """The gateway knows its own limits; the command line repeats none of them."""
    assert Limits() == limits_of(SaidLimits())
    assert Limits(max_held_bytes=64 * MB) == limits_of(SaidLimits(max_held_mb=64))


def test_each_limit_that_is_said_is_taken() -> None:
    """All at once, none for another."""
    expected = Limits(max_in_flight=9, max_in_flight_per_workload=8, max_held_bytes=7 * MB, max_connections=10)

    assert expected == limits_of(SaidLimits(9, 8, 7, 10))


def test_more_requests_than_connections_are_refused_with_what_to_type() -> None:
    """Each connection has one request under way: the limit would never be reached, and nobody would know why."""
    with pytest.raises(UsageError, match="Type next: --max-connections 20000"):
        limits_of(SaidLimits(max_in_flight=20_000))


def test_the_help_names_the_limits_that_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """They are written twice, since the help must not wait for the gateway to load."""
    main.run(["serve", "gateway", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    found = {name: int(number) for name, number in re.findall(r"--(max-[a-z-]+) (?:N|MB) .*?default: (\d+)\.", said)}
    own = Limits()

    assert found == {
        "max-in-flight": own.max_in_flight,
        "max-in-flight-per-workload": own.max_in_flight_per_workload,
        "max-held-mb": own.max_held_bytes // MB,
        "max-connections": own.max_connections,
    }


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (1024, 524_288, 524_288),
        (1024, 1024, 1024),
        (1024, resource.RLIM_INFINITY, MOST_FILES),
        (2 * MOST_FILES, 4 * MOST_FILES, 2 * MOST_FILES),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_as_many_files_may_be_open_as_the_system_lets(soft: int, hard: int, expected: int) -> None:
    """1,024 files are 500 requests, of a gateway that says it takes 4,000. What there is is never made less."""
    assert expected == files_wanted(soft, hard)
