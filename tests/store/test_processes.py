"""What several processes do with one store at the same time."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from midshift.domain.routing import Route
from midshift.store.sql import SqlStore
from midshift.testing.contracts import INCUMBENT, START, TO_SOAK, Run, assert_whole
from tests.store import children
from tests.store.children import WORKLOADS
from tests.store.processes import Child, running


@pytest.mark.slow
def test_of_two_controllers_each_decision_is_made_by_one(tmp_path: Path) -> None:
    """Both take the lease from each other all the time: every event is written once, and all are accounted for."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with SqlStore.open(url) as store, ExitStack() as stack:
        for number, workload in enumerate(WORKLOADS):
            Run.begun(store, workload, f"up-{number}")
        controllers = [stack.enter_context(running(children.lead, url, owner, WORKLOADS)) for owner in ("a", "b")]
        assert ["ready", "ready"] == [controller.hear() for controller in controllers]
        for controller in controllers:
            controller.tell("go")
        made = [controller.hear() for controller in controllers]
        for controller in controllers:
            controller.end()

        versions = Counter(
            (upgrade.id, logged.version) for upgrade in store.upgrades() for logged in store.events(upgrade.id)
        )
        assert len(WORKLOADS) * len(TO_SOAK) == len(versions) == sum(mine for mine, _ in made)
        assert {1} == set(versions.values())
        assert_whole(store)


@pytest.mark.slow
def test_a_change_is_seen_by_another_process(tmp_path: Path) -> None:
    """A rollback in one process is what the gateway in another serves next."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with SqlStore.open(url) as store, running(children.follow, url) as follower:
        assert "ready" == follower.hear()
        store.put_variant(INCUMBENT)
        route = Route("support", INCUMBENT.id, 1)
        store.put_route(route, 0)
        _hear_until(follower, [1])
        store.put_route(replace(route, epoch=2), 1)
        _hear_until(follower, [2])
        store.roll_back("support", "ada", "to be safe", START)
        _hear_until(follower, [3])
        follower.tell("stop")
        follower.end()


@pytest.mark.slow
def test_a_store_is_made_once_by_all_who_open_it_first(tmp_path: Path) -> None:
    """`midshift up` starts gateway, controller and web at once, on a disk that has no store yet."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with ExitStack() as stack:
        openers = [stack.enter_context(running(children.open_at_once, url, f"w{number}")) for number in range(4)]
        assert ["ready"] * 4 == [opener.hear() for opener in openers]
        for opener in openers:
            opener.tell("go")
        assert ["written"] * 4 == [opener.hear() for opener in openers]
        for opener in openers:
            opener.end()
    with SqlStore.open(url) as store:
        assert ["w0", "w1", "w2", "w3"] == [route.workload for route in store.routes()]


@pytest.mark.slow
def test_a_store_that_is_up_to_date_opens_without_alembic(tmp_path: Path) -> None:
    """`midshift rollback` should take a blink, and Alembic takes half a second to import."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    SqlStore.open(url).close()
    with running(children.reopen, url) as child:
        assert False is child.hear()


def _hear_until(follower: Child, wanted: list[int]) -> None:
    """What is told in between are changes that were seen in two steps."""
    while wanted != follower.hear():
        continue
