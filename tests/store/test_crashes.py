"""Processes that are killed at any moment: what was acknowledged is there, and nothing contradicts anything."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from midshift.domain.exposure import Sum
from midshift.store.segments import Kind, Reading, Segment, exposures, segments
from midshift.store.sql import SqlStore
from midshift.testing.contracts import assert_whole
from tests.store import children
from tests.store.children import IN_A_CELL, KEY
from tests.store.processes import Child, running

ROUNDS = 8


@pytest.mark.slow
def test_a_killed_controller_leaves_no_half_of_a_decision(tmp_path: Path) -> None:
    """Event, state and routing row are one: users never get a share that no event explains."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    random = Random(1)
    acknowledged: dict[str, int] = {}
    for seed in range(ROUNDS):
        with running(children.decide, url, seed) as child:
            acknowledged |= dict(_heard_until_killed(child, random))
        with SqlStore.open(url) as store:
            assert_whole(store)
            there = {upgrade.id: upgrade.version for upgrade in store.upgrades()}
        assert {} == {name: version for name, version in acknowledged.items() if there.get(name, -1) < version}

    assert len(acknowledged) > 1
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()


@pytest.mark.slow
def test_a_killed_gateway_is_counted_once(tmp_path: Path) -> None:
    """A restarted gateway sends again what was not acknowledged; each batch counts exactly once."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    random = Random(2)
    acknowledged = 0
    for _ in range(ROUNDS):
        with running(children.merge, url, acknowledged) as child:
            *_, acknowledged = _heard_until_killed(child, random)
        with SqlStore.open(url) as store:
            last = store.last_sequence("g1")
            found = store.sums("up-1")
            (histogram,) = store.histograms("up-1").values()
        assert last is not None
        assert acknowledged <= last <= acknowledged + 1
        sent = range(last + 1)
        assert Sum(len(sent), sum(sent), 0.0) == found[KEY]
        assert Sum(len(sent), sum(sent), sum(number * number for number in sent)) == found[IN_A_CELL]
        assert len(sent) == histogram.n


@pytest.mark.slow
def test_a_killed_recorder_leaves_whole_lines(tmp_path: Path) -> None:
    """What was flushed is there, in order and once; at most the end of a segment is torn, and said to be."""
    random = Random(3)
    for seed in range(ROUNDS):
        before = _files(tmp_path)
        with running(children.record, str(tmp_path), seed) as child:
            *_, acknowledged = _heard_until_killed(child, random)
        mine = [segment for segment in segments(tmp_path, Kind.EXPOSURES) if segment.path not in before]
        reading = Reading()
        found = [row.request_id for segment in mine for row in exposures(segment.path, reading)]

        assert [f"{seed}-{number}" for number in range(len(found))] == found
        assert len(found) >= acknowledged
        assert 0 == reading.unreadable
        assert sum(map(Segment.count, mine)) == len(found)


def _heard_until_killed(child: Child, random: Random) -> Iterator[Any]:
    """All that a child tells until it is killed, soon after a random number of messages."""
    for _ in range(random.randint(1, 15)):
        yield child.hear()
    yield from child.kill(random.uniform(0.0, 0.01))


def _files(folder: Path) -> set[Path]:
    return {segment.path for segment in segments(folder, Kind.EXPOSURES)}
