"""Everything at once, and every request accounted for."""

import asyncio
from pathlib import Path

import pytest

from midshift.domain.exposure import Fate
from tests.cli.chaos import Account, Chaos, report
from tests.cli.chaos_apps import Manner, Saw


@pytest.mark.slow
def test_no_user_sees_an_error_that_the_incumbent_alone_would_not_have_given(tmp_path: Path) -> None:
    """Eight seconds of it in each run of the tests; `make soak` takes half an hour."""
    account = asyncio.run(Chaos(tmp_path, seed=1).run(8.0, concurrency=16, between_kills_s=1.5))

    assert [] == account.broken_rules, report(account)
    _happened(account)


@pytest.mark.heavy
def test_a_minute_of_trouble_breaks_no_rule(tmp_path: Path) -> None:
    """The same for long enough that breakers open, and gateways die and come back."""
    account = asyncio.run(Chaos(tmp_path, seed=2).run(60.0, concurrency=24, between_kills_s=4.0))

    assert [] == account.broken_rules, report(account)
    _happened(account)
    assert sum(one.killed_s is not None for one in account.instances) >= 3
    assert any(one.killed_s is None and not one.metrics for one in account.instances), "none ended under load"
    assert any(exposure.fell_back_reason == "breaker" for exposure in account.exposures.values())


def _happened(account: Account) -> None:
    """A run without trouble would hold by itself."""
    found = account.exposures.values()
    assert {Fate.INCUMBENT, Fate.CANDIDATE} <= {exposure.fate for exposure in found}
    assert any(exposure.fell_back for exposure in found)
    assert set(Manner) == {seen.manner for seen in account.seen}
    assert {Saw.WHOLE, Saw.ERROR, Saw.BROKEN_OFF, Saw.LEFT} <= {seen.saw for seen in account.seen}
    assert any(one.killed_s is not None for one in account.instances)
    assert account.flip.asked_s < account.flip.acknowledged_s < max(seen.began_s for seen in account.seen)
