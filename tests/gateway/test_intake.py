"""Which unit a request belongs to, and which ring, told from what the app sends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from midshift.domain.exposure import Fate
from midshift.domain.routing import Arm, position
from midshift.domain.workload import BodyEquals, HeaderEquals, Ring, UnitSource
from midshift.gateway.route import Home
from midshift.gateway.settings import Breaker, ClientKey
from tests.gateway.fakes import a_question, a_route, a_stage, a_workload, failing, hashed_unit

SOURCES = tuple(map(UnitSource.parse, ("header:x-user-id", "body:metadata.user", "conversation")))
TRUSTED = ClientKey("trusted", "trusted-key-0123456789", may_label=True)
PLAIN = ClientKey("plain", "plain-key-0123456789")
RINGS = (Ring("staff", HeaderEquals("x-staff", "yes")), Ring("beta", BodyEquals("metadata.beta", True)), Ring("opt-in"))


def showing(key: ClientKey, *lines: tuple[str, str]) -> list[tuple[str, str]]:
    """Header lines with a client key."""
    return [("authorization", f"Bearer {key.secret}"), *lines]


# Units


async def test_sources_are_asked_in_the_workloads_order() -> None:
    """The first that a request has counts; what comes after it may change from turn to turn."""
    async with a_stage(route=a_route(share=0.5), workload=a_workload(unit=SOURCES)) as stage:
        await stage.app.chat(lines=[("x-user-id", "ann")], metadata={"user": "bob"})
        await stage.app.chat(metadata={"user": "bob"})
        await stage.app.chat()
        await stage.app.chat()

        units = [exposure.unit for exposure in stage.exposures]
        assert [hashed_unit("ann"), hashed_unit("bob")] == units[:2]
        assert units[2] == units[3]
        assert 3 == len(set(units))
        assert {} == +stage.gateway.counters.units_unnamed


async def test_a_conversation_keeps_its_unit_however_long_it_grows() -> None:
    """Turns that went back and forth between two models would be one bad conversation."""
    turns = a_question()["messages"]
    assert isinstance(turns, list)
    async with a_stage(route=a_route(share=0.5), workload=a_workload(unit=SOURCES)) as stage:
        for number in range(5):
            grown = [*turns, *[{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "So."}] * number]
            await stage.app.chat(messages=grown)

        assert 1 == len({(exposure.unit, exposure.fate) for exposure in stage.exposures})


@pytest.mark.parametrize("unit", [(), (UnitSource.parse("header:x-user-id"),)])
async def test_a_request_that_nothing_names_is_a_unit_by_itself_and_says_so(unit: tuple[UnitSource, ...]) -> None:
    """Its user may go back and forth: whoever reads the comparison has to know how many such requests there are."""
    async with a_stage(route=a_route(share=0.5), workload=a_workload(unit=unit)) as stage:
        for _ in range(3):
            await stage.app.chat()

        assert 3 == len({exposure.unit for exposure in stage.exposures})
        assert all(exposure.unnamed for exposure in stage.exposures)
        metrics = (await stage.app.ask(path="/metrics", method="GET")).body
        assert b'midshift_units_unnamed_total{workload="support"} 3\n' in metrics


async def test_a_unit_by_name_is_for_keys_that_may_label() -> None:
    """Whoever names units chooses who gets the candidate."""
    unit = (UnitSource.parse("body:user"),)
    async with a_stage(client_keys=(TRUSTED, PLAIN), workload=a_workload(unit=unit)) as stage:
        for key in (TRUSTED, PLAIN):
            await stage.app.chat("ann", lines=showing(key, ("x-midshift-unit", "bob")))

        assert [hashed_unit("bob"), hashed_unit("ann")] == [exposure.unit for exposure in stage.exposures]


async def test_a_ramp_only_adds_users() -> None:
    """Through all steps of the playbook, for the gateway as a whole: units, hash, share and fate."""
    users = [f"user-{number}" for number in range(60)]
    async with a_stage(route=a_route(share=0.0)) as stage:
        before: set[str] = set()
        for epoch, share in enumerate((0.01, 0.05, 0.25, 0.5, 1.0), start=2):
            stage.put(a_route(share=share, epoch=epoch))
            served = {user for user in users if (await stage.app.chat(user)).text == "new"}

            assert before <= served
            assert {user for user in users if position(hashed_unit(user), "salt") < share} == served
            before = served
        assert set(users) == before


# Rings


@pytest.mark.parametrize(
    ("lines", "fields", "ring"),
    [
        ([("x-midshift-ring", "staff")], {}, "staff"),
        ([("x-midshift-ring", "opt-in, other")], {}, "opt-in"),
        ([("x-staff", "yes")], {}, "staff"),
        ([("x-staff", "no")], {}, ""),
        ([], {"metadata": {"beta": True}}, "beta"),
        ([], {"metadata": {"beta": "true"}}, ""),
        ([("x-midshift-ring", "other")], {}, ""),
        ([("x-midshift-ring", "")], {}, ""),
        ([("x-staff", "yes")], {"metadata": {"beta": True}}, "staff"),
    ],
)
async def test_a_ring_gets_the_candidate_at_a_share_of_nobody(
    lines: list[tuple[str, str]], fields: dict[str, Any], ring: str
) -> None:
    """Staff first: before any user, and by name or by rule."""
    route = a_route(share=0.0, rings=("staff", "beta", "opt-in"))
    async with a_stage(route=route, workload=a_workload(rings=RINGS)) as stage:
        answer = await stage.app.chat(lines=lines, **fields)

        assert ("new" if ring else "old") == answer.text
        found = stage.exposures[0]
        assert (ring, Arm.CANDIDATE if ring else Arm.INCUMBENT) == (found.ring, found.assigned)


async def test_a_ring_that_the_row_does_not_name_draws_lots_like_everybody() -> None:
    """Between upgrades, in shadow, and after a halt there is nothing to have before others."""
    async with a_stage(route=a_route(share=0.0), workload=a_workload(rings=RINGS)) as stage:
        assert "old" == (await stage.app.chat(lines=[("x-staff", "yes")])).text
        assert "" == stage.exposures[0].ring


async def test_a_ring_is_for_keys_that_may_label() -> None:
    """By its name as by a header; what stands in the body is the app's own."""
    route = a_route(share=0.0, rings=("staff", "beta"))
    async with a_stage(route=route, workload=a_workload(rings=RINGS), client_keys=(TRUSTED, PLAIN)) as stage:
        for line in (("x-midshift-ring", "staff"), ("x-staff", "yes")):
            assert "new" == (await stage.app.chat(lines=showing(TRUSTED, line))).text
            assert "old" == (await stage.app.chat(lines=showing(PLAIN, line))).text
        assert "new" == (await stage.app.chat(lines=showing(PLAIN), metadata={"beta": True})).text


async def test_a_ring_is_in_no_comparison() -> None:
    """Nobody drew lots for it: staff ask other things than customers do."""
    route = a_route(share=0.5, rings=("staff",), pair_share=1.0)
    async with a_stage(route=route, workload=a_workload(rings=RINGS)) as stage:
        for user in range(8):
            await stage.app.chat(f"user-{user}", lines=[("x-staff", "yes")])
        await stage.settled()

        assert {Fate.CANDIDATE} == {exposure.fate for exposure in stage.exposures}
        assert [] == stage.pairs
        assert {1.0} == {exposure.propensity for exposure in stage.exposures}
        stage.gateway.recorder.hand_over()
        assert {} == {key: total for _, _, batch in stage.sink.batches for key, total in batch.items()}


async def test_a_header_that_names_a_ring_does_not_reach_the_provider() -> None:
    """Who is staff is nobody's business."""
    route = a_route(share=0.0, rings=("staff",))
    async with a_stage(route=route, workload=a_workload(rings=RINGS)) as stage:
        await stage.app.chat(lines=[("x-staff", "yes"), ("x-midshift-ring", "staff")])

        assert not {"x-staff", "x-midshift-ring"} & stage.new.seen[0].headers.keys()


@pytest.mark.parametrize("way", ["flip", "row", "lease", "breaker"])
async def test_rings_go_home_like_everybody_else(way: str) -> None:
    """A way back that forgot the people who are most at risk would be none."""
    route = a_route(share=0.0, rings=("staff",))
    workload = a_workload(rings=RINGS)
    rules = Breaker(window=1, share=0.5, pause_s=60.0)
    async with a_stage(route=route, workload=workload, breaker=rules) as stage:
        lines = [("x-staff", "yes")]
        assert "new" == (await stage.app.chat(lines=lines)).text
        match way:
            case "flip":
                stage.gateway.routes.flip(["support"])
            case "row":
                stage.put(route.rolled_back())
            case "lease":
                stage.put(replace(route, epoch=2, lease_until=stage.clock.machine_now()))
            case _:
                stage.new.script = failing(500)
                await stage.app.chat(lines=lines)
        asked = len(stage.new.seen)

        assert "old" == (await stage.app.chat(lines=lines)).text
        assert asked == len(stage.new.seen)


async def test_a_row_with_rings_does_not_acknowledge_a_flip() -> None:
    """A controller that has not heard of it goes on serving the candidate to them, at a share of nobody."""
    route = a_route(share=0.0, rings=("staff",))
    async with a_stage(route=route, workload=a_workload(rings=RINGS)) as stage:
        stage.gateway.routes.flip(["support"])
        stage.put(replace(route, epoch=2))
        serving = stage.gateway.routes.serving("support", stage.clock.machine_now())
        assert Home.FLIPPED is serving.home

        stage.put(route.rolled_back())
        stage.put(replace(route.rolled_back(), epoch=3))
        assert stage.gateway.routes.serving("support", stage.clock.machine_now()).home is None
