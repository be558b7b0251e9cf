"""The port that works with the store dead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midshift.errors import StoreError
from midshift.gateway.settings import Admin
from tests.gateway.fakes import App, Stage, a_route, a_stage

KEY = "an-admin-key-for-tests-0123456789"
ADMIN = Admin(KEY, port=0)
SHOWN = ("authorization", f"Bearer {KEY}")


async def nonce_of(stage: Stage) -> str:
    """A fresh nonce."""
    return (await admin(stage).ask(path="/-/nonce", method="GET", lines=[SHOWN])).body.decode()


def admin(stage: Stage) -> App:
    """A client of the admin port."""
    assert stage.listening.admin_port is not None
    return App(stage.listening.admin_port)


async def flip(stage: Stage, body: object = None, nonce: str | None = None) -> tuple[int, Any]:
    """Force the incumbent."""
    lines = [SHOWN, ("x-midshift-nonce", nonce if nonce is not None else await nonce_of(stage))]
    answer = await admin(stage).ask(body, lines, path="/-/force-incumbent")
    return answer.status, answer.json


async def test_a_flip_counts_from_the_next_request_with_the_store_dead(tmp_path: Path) -> None:
    """The third rung of the ladder: nothing is needed but this process."""
    async with a_stage(route=a_route(epoch=7), admin=ADMIN, state_dir=tmp_path) as stage:
        assert "new" == (await stage.app.chat()).text
        stage.source.trouble = StoreError("gone")

        assert (200, {"flipped": {"support": 7}, "survives_a_restart": True}) == await flip(stage)

        assert "old" == (await stage.app.chat()).text
        assert {"support": 7} == json.loads((tmp_path / "routes.json").read_bytes())["flips"]


async def test_a_flip_without_a_place_to_keep_it_says_so() -> None:
    """Whoever flips must know what a restart would do."""
    async with a_stage(route=a_route(), admin=ADMIN) as stage:
        assert (200, {"flipped": {"support": 1}, "survives_a_restart": False}) == await flip(stage)


async def test_one_workload_is_flipped_by_name() -> None:
    """And a name that is not there is an error, not a silent success."""
    async with a_stage(route=a_route(), admin=ADMIN) as stage:
        status, said = await flip(stage, {"workload": "suport"})
        assert (404, ["support"], "new") == (status, said["workloads"], (await stage.app.chat()).text)

        assert 200 == (await flip(stage, {"workload": "support"}))[0]
        assert "old" == (await stage.app.chat()).text


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/-/force-incumbent"), ("GET", "/-/nonce"), ("GET", "/-/status"), ("GET", "/x")]
)
@pytest.mark.parametrize("shown", [None, "Bearer ", "Bearer wrong-key-wrong-key-1", KEY, f"Basic {KEY}"])
async def test_nothing_is_said_without_the_admin_key(method: str, path: str, shown: str | None) -> None:
    """It is none of the apps' keys, and there is no default."""
    async with a_stage(route=a_route(), admin=ADMIN) as stage:
        lines = [("authorization", shown)] if shown is not None else []

        assert 401 == (await admin(stage).ask(path=path, method=method, lines=lines)).status
        assert "new" == (await stage.app.chat()).text


async def test_a_nonce_is_good_for_one_flip() -> None:
    """A recorded request must do nothing when it is played back."""
    async with a_stage(route=a_route(), admin=ADMIN) as stage:
        nonce = await nonce_of(stage)

        assert 200 == (await flip(stage, nonce=nonce))[0]
        assert [403, 403, 403] == [(await flip(stage, nonce=bad))[0] for bad in (nonce, "", "made-up")]


async def test_a_nonce_is_good_for_a_minute() -> None:
    """Longer than anybody needs who has just asked for it."""
    async with a_stage(route=a_route(), admin=ADMIN) as stage:
        nonce = await nonce_of(stage)
        stage.clock.advance(60.0)

        assert 403 == (await flip(stage, nonce=nonce))[0]


async def test_nonces_that_nobody_uses_do_not_pile_up() -> None:
    """The newest hundred are enough."""
    async with a_stage(route=a_route(), admin=ADMIN) as stage:
        first = await nonce_of(stage)
        for _ in range(100):
            last = await nonce_of(stage)

        assert [403, 200] == [(await flip(stage, nonce=nonce))[0] for nonce in (first, last)]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"workload": 3}', b'{"variant": "new"}', b"\xff", b"x" * 100_000])
async def test_a_flip_that_cannot_be_understood_is_refused(body: bytes) -> None:
    """Nothing but the incumbent can be asked for here."""
    async with a_stage(route=a_route(), admin=ADMIN) as stage:
        assert 400 == (await flip(stage, body))[0]
        assert "new" == (await stage.app.chat()).text


async def test_no_path_leads_to_the_candidate() -> None:
    """The port flips towards the incumbent only."""
    async with a_stage(route=a_route(share=0.0), admin=ADMIN) as stage:
        for path in ("/-/force-candidate", "/-/release", "/-/routes"):
            assert 404 == (await admin(stage).ask({}, [SHOWN], path=path)).status


async def test_the_status_says_what_serves_and_why() -> None:
    """Whoever flips wants to see it."""
    async with a_stage(route=a_route(epoch=7), admin=ADMIN) as stage:

        async def status() -> Any:
            return (await admin(stage).ask(path="/-/status", method="GET", lines=[SHOWN])).json["workloads"]["support"]

        assert {"epoch": 7, "share": 1.0, "home": None, "unwatched": False} == await status()
        await flip(stage)
        assert {"epoch": 7, "share": 0.0, "home": "flipped", "unwatched": False} == await status()


async def test_the_admin_port_is_no_way_to_the_models_and_the_front_is_no_way_to_it() -> None:
    """Two ports, two keys, two firewalls."""
    async with a_stage(route=a_route(), admin=ADMIN) as stage:
        assert 404 == (await admin(stage).ask({}, [SHOWN])).status
        assert 404 == (await stage.app.ask({}, [SHOWN], path="/-/force-incumbent")).status
