"""From a rollback to its effect, over gateways that are processes of their own."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from bench.bench_flip import Flip, fleet
from midshift.cli import flip
from midshift.cli.system import SystemClock
from midshift.domain.upgrade import Event, Kind, Stage, apply, route_of
from midshift.errors import Fenced, MidshiftError, StoreError
from midshift.gateway.settings import Admin
from midshift.store.sql import SqlStore
from tests.cli.test_defining import WORKLOAD, a_product, run, store_of, walked
from tests.gateway.fakes import NEW, OLD, FakeSource, a_route, a_stage

CANARY = (Kind.EVAL_CLEARED, Kind.SHADOW_COMPLETED)


@pytest.mark.slow
def test_after_an_acknowledged_rollback_no_request_gets_the_withdrawn_variant(tmp_path: Path) -> None:
    """Two gateways here, eight in the long tests: whoever reads "serve it" must be able to rely on it."""
    by_command, without_store, broken = asyncio.run(_flipped(tmp_path, gateways=2, flips=1))

    flips = [*by_command, *without_store]
    assert all(flip.before for flip in flips)
    assert (0, 0) == (sum(flip.late for flip in flips), broken)
    assert max(flip.effect_ms for flip in flips) < 2000.0


@pytest.mark.heavy
def test_a_flip_over_eight_gateways_takes_effect_within_a_quarter_of_a_second(tmp_path: Path) -> None:
    """The target on an idle machine; an on-call engineer has five minutes by the playbook."""
    by_command, without_store, broken = asyncio.run(_flipped(tmp_path, gateways=8, flips=20))

    assert all(flip.before for flip in (*by_command, *without_store))
    assert (0, 0) == (sum(flip.late for flip in (*by_command, *without_store)), broken)
    assert max(flip.effect_ms for flip in by_command) < 250.0
    assert max(flip.effect_ms for flip in without_store) < 2000.0


async def _flipped(folder: Path, gateways: int, flips: int) -> tuple[list[Flip], list[Flip], int]:
    """Rollbacks by the command; then, without a store, by the file and by the admin ports; and failed requests."""
    async with fleet(folder, gateways) as found:
        by_command = []
        for _ in range(flips):
            route = await found.promote()
            by_command.append(await found.flip(found.by_command, route.epoch + 1))
        await found.promote()
        found.destroy_store()
        by_file = await found.flip(found.by_file)
        found.force_file.unlink()
        by_admin = await found.flip(found.by_admin_ports)
        return by_command, [replace(by_file, late=0), by_admin], found.broken  # a file acknowledges nothing


def test_a_controller_that_raises_the_share_at_the_same_moment_cannot_undo_a_rollback(tmp_path: Path) -> None:
    """Whichever of the two is first: at the end nobody has the candidate, and the upgrade is over."""
    product = a_product(tmp_path)
    run(product, "apply", "--who", "ada")
    upgrade = walked(product, *CANARY)
    ready = threading.Barrier(2)
    refused: list[Exception] = []

    def raise_share() -> None:
        with store_of(product) as store:
            event = Event(Kind.STEP_ADVANCED, upgrade.entered, "controller", "all gates are clear")
            after = apply(upgrade, event)
            route = store.route(WORKLOAD)
            assert route is not None
            ready.wait()
            try:
                store.commit(upgrade, after, event, {}, "test", route_of(after, route.epoch + 1, None), None)
            except Fenced as error:
                refused.append(error)

    controller = threading.Thread(target=raise_share)
    controller.start()
    with store_of(product) as store:
        ready.wait()
        _roll_back(store)
        controller.join()
        route = store.route(WORKLOAD)

        assert route is not None
        assert (None, 0.0) == (route.candidate, route.share)
        assert Stage.ROLLED_BACK is store.upgrades()[0].stage


def _roll_back(store: SqlStore) -> None:
    store.roll_back(WORKLOAD, "ada", "it is rude", SystemClock().now())


ADMIN_KEY = "an-admin-key-for-tests-0123"


def test_with_the_store_dead_gateways_go_home_by_their_admin_ports(capsys: pytest.CaptureFixture[str]) -> None:
    """One command for all of them, which says who is home and who is not."""

    async def flipped() -> tuple[int, int, str, str]:
        source = FakeSource(OLD, NEW)
        async with a_stage(route=a_route(), source=source, admin=Admin(ADMIN_KEY, port=0)) as stage:
            source.trouble = StoreError("gone")
            before = (await stage.app.chat()).text
            good, nobody = f"http://127.0.0.1:{stage.listening.admin_port}", "http://127.0.0.1:1"
            environment = {flip.KEY: ADMIN_KEY}
            some = await asyncio.to_thread(flip.flip, [good, nobody], "support", environment)
            every = await asyncio.to_thread(flip.flip, [good], "support", environment)
            return some, every, before, (await stage.app.chat()).text

    assert (4, 0, "new", "old") == asyncio.run(flipped())
    said = capsys.readouterr().out
    assert "http://127.0.0.1:1: NOT home" in said
    assert "1 of 2 gateways serve the incumbent" in said
    assert "a restart forgets it" in said


def test_a_port_says_why_it_did_not_flip(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong key or a typing error is mended by reading one line."""

    async def refused() -> tuple[int, int]:
        async with a_stage(route=a_route(), admin=Admin(ADMIN_KEY, port=0)) as stage:
            url = [f"http://127.0.0.1:{stage.listening.admin_port}"]
            by_key = await asyncio.to_thread(flip.flip, url, "support", {flip.KEY: "another-key-for-tests"})
            by_name = await asyncio.to_thread(flip.flip, url, "suport", {flip.KEY: ADMIN_KEY})
            return by_key, by_name

    assert (4, 4) == asyncio.run(refused())
    said = capsys.readouterr().out
    assert "NOT home: 401" in said
    assert "no workload 'suport' here" in said


@pytest.mark.parametrize(
    ("url", "environment", "found"),
    [
        ("http://127.0.0.1:8701", {}, flip.KEY),
        ("127.0.0.1:8701", {flip.KEY: ADMIN_KEY}, "127.0.0.1:8701"),
        ("http://127.0.0.1", {flip.KEY: ADMIN_KEY}, "with its port"),
        ("http://127.0.0.1:x", {flip.KEY: ADMIN_KEY}, "with its port"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anybody_is(url: str, environment: dict[str, str], found: str) -> None:
    """Half of a flip is worse than an error."""
    with pytest.raises(MidshiftError, match=found):
        flip.flip([url], "support", environment)
