"""Everything at once, and every request accounted for."""

import asyncio
from pathlib import Path

import pytest

from midshift.domain.exposure import Fate
from tests.cli.chaos import Account, Chaos, report


@pytest.mark.slow
def test_no_user_sees_an_error_that_the_incumbent_alone_would_not_have_given(tmp_path: Path) -> None:
    """Ten seconds of it in each run of the tests; `make soak` takes half an hour."""
    _holds(asyncio.run(Chaos(tmp_path, seed=1).run(8.0, concurrency=16, between_kills_s=2.0)))


@pytest.mark.heavy
def test_a_minute_of_trouble_leaves_nothing_unexplained(tmp_path: Path) -> None:
    """The same for long enough that breakers open and close, and gateways die and come back."""
    account = asyncio.run(Chaos(tmp_path, seed=2).run(60.0, concurrency=24, between_kills_s=4.0))

    _holds(account)
    assert sum(one.killed_s is not None for one in account.instances) >= 3


def _holds(account: Account) -> None:
    assert [] == account.unexplained, report(account)
    assert [] == account.missing, report(account)
    assert [] == account.repeated, report(account)
    assert [] == account.unreconciled, report(account)
    in_peace = [one for one in account.instances if one.killed_s is None]
    assert [0] * len(in_peace) == [one.code for one in in_peace]
    _happened(account)


def _happened(account: Account) -> None:
    """A run without trouble would hold by itself."""
    found = account.exposures.values()
    assert {Fate.INCUMBENT, Fate.CANDIDATE} <= {exposure.fate for exposure in found}
    assert any(exposure.fell_back for exposure in found)
    assert account.explained["the incumbent failed"]
    assert any(seen.left for seen in account.seen)
    assert any(one.killed_s is not None for one in account.instances)
