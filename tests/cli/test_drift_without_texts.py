"""Drift where `data.capture` keeps no texts: found from what was measured before they went."""

from __future__ import annotations

from pathlib import Path

import pytest

from midshift.cli.state_folder import StateFolder
from midshift.domain.exposure import Pair, ShadowAnswer
from midshift.domain.light import replaced
from midshift.domain.unseen import PairKind
from midshift.domain.upgrade import Kind, Upgrade
from midshift.store.capturing import without_texts
from midshift.store.recorder import SegmentWriter
from midshift.testing import ManualClock
from tests.cli.test_defining import WORKLOAD, a_product, run, walked

KEY = b"a key for tests, only for tests"
SENTENCE = "Yes, of course. Is there anything else?"


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product whose definitions are applied."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")
    return tmp_path


def a_pair(upgrade: Upgrade, number: int, text: str | None) -> Pair:
    """Two answers to one request; the incumbent's is always the same."""
    old = ShadowAnswer(SENTENCE, 200, 1.0, 10, 10, 0.001, "stop")
    return Pair(f"r-{number}", WORKLOAD, upgrade.id, upgrade.candidate, (), old, replaced(old, text=text))


def flagged(product: Path, upgrade: Upgrade, pairs: list[Pair], name: str) -> tuple[str, ...]:
    """The drift in these pairs, in a state folder of their own."""
    with SegmentWriter(product / name, "gateway-1") as writer:
        for pair in pairs:
            writer.record_pair(pair)
    return StateFolder(product / name, ManualClock()).flagged_drift(upgrade)


@pytest.mark.parametrize("text", ["Yes.", "", '{"a": 1}', f"{SENTENCE}\n\nHope this helps!"])
def test_drift_is_the_same_without_texts(product: Path, text: str) -> None:
    """No gate may see less because users' words are not kept; a line has a digest for a name."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    whole = [a_pair(upgrade, number, text) for number in range(60)]
    bare = [without_texts(pair, KEY) for pair in whole]

    expected = flagged(product, upgrade, whole, "whole")
    found = flagged(product, upgrade, bare, "bare")

    assert expected != ()
    assert [name for name in expected if ":line:" not in name] == [name for name in found if ":line:" not in name]
    assert len(expected) == len(found)
    assert all("line: #" in name for name in found if ":line:" in name)


def test_a_line_that_is_known_of_some_is_shown(product: Path) -> None:
    """Captured pairs say how a digest reads; both count as one line."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    bare = [without_texts(a_pair(upgrade, number, "No.\nGood night."), KEY) for number in range(60)]
    mixed = [
        replaced(pair, incumbent=replaced(pair.incumbent, text=SENTENCE)) if n % 5 == 0 else pair
        for n, pair in enumerate(bare)
    ]

    assert f"opening:line: {SENTENCE}" in flagged(product, upgrade, mixed, "mixed")


def test_divergence_needs_texts_and_says_nothing_without(product: Path) -> None:
    """Two texts that were not kept are not two equal texts."""
    upgrade = walked(product, Kind.EVAL_CLEARED)
    pairs = [without_texts(a_pair(upgrade, number, "Yes."), KEY) for number in range(20)]
    pairs += [replaced(pair, kind=PairKind.NOISE, candidate_id=upgrade.incumbent) for pair in pairs]
    flagged(product, upgrade, pairs, "bare")

    assert [] == StateFolder(product / "bare", ManualClock()).divergence(upgrade)
