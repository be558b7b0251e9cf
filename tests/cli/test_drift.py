"""`midshift upgrade drift`, for people and for programs."""

import json
from pathlib import Path

import pytest

from midshift.domain.upgrade import Kind
from midshift.store.recorder import SegmentWriter
from tests.cli.test_defining import WORKLOAD, a_product, run, walked
from tests.cli.test_state_folder import a_pair


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product whose definitions are applied."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")
    return tmp_path


def test_the_drift_of_an_upgrade_is_shown(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words for people, as JSON for the rest; and 3 as long as there is nothing to show."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    arguments = ("upgrade", "drift", WORKLOAD, "--state", str(product / "state"))
    assert 3 == run(product, *arguments)
    assert f"Type next: midshift upgrade status {WORKLOAD}" in capsys.readouterr().out
    with SegmentWriter(product / "state", "gateway-1") as writer:
        for number in range(60):
            writer.record_pair(a_pair(upgrade, number, "Yes."))

    assert 0 == run(product, *arguments)
    assert "drift beyond chance" in capsys.readouterr().out
    assert 0 == run(product, *arguments, "--json")
    content = json.loads(capsys.readouterr().out)
    assert (upgrade.id, []) == (content["upgrade"], content["divergence"])
    assert any(item["flagged"] for item in content["drift"])


def test_the_drift_of_a_workload_without_an_upgrade_is_refused(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what there is, and what to type."""
    assert 2 == run(product, "upgrade", "drift", "suport-reply")
    assert "has had no upgrade; those that have: none at all" in capsys.readouterr().err
