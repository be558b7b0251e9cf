"""The routing rows as a gateway follows them, and the rules that send it home."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midshift.domain.gateways import GatewayProcess, Told
from midshift.domain.routing import Arm, Other, Route, assign
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import ConfigError, StoreError, UsageError
from midshift.gateway import lastknown
from midshift.gateway.forcing import FORCE_VARIABLE
from midshift.gateway.reporting import Reporting
from midshift.gateway.route import LONGEST_SILENCE, Home, Routes, Serving
from midshift.gateway.settings import GatewaySettings
from midshift.ports import RouteSource
from midshift.providers.http.settings import Upstream
from midshift.testing.clock import ManualClock
from tests.gateway.fakes import NEW, OLD, UNIT_KEY, FakeSink, FakeSource, a_route, a_workload

TEN_MINUTES_S = LONGEST_SILENCE.total_seconds()


class Follower:
    """Routes without their thread: a test looks when it wants to."""

    def __init__(
        self,
        source: RouteSource | None = None,
        clock: ManualClock | None = None,
        environment: dict[str, str] | None = None,
        reports: FakeSink | None = None,
        **fields: Any,
    ) -> None:
        self.clock = clock or ManualClock()
        workloads = fields.pop("workloads", (a_workload(),))
        nowhere = Upstream("http://127.0.0.1:1/v1")
        upstreams = {"old-provider": nowhere, "new-provider": nowhere}
        settings = GatewaySettings("gateway-1", workloads, upstreams, UNIT_KEY, **fields)
        self.routes = Routes(settings, source, self.clock, environment or {}, reports)

    def serving(self, workload: str = "support") -> Serving:
        """What serves now."""
        return self.routes.serving(workload, self.clock.machine_now())

    def home(self) -> Home | None:
        """Why the incumbent serves everything, if it does."""
        serving = self.serving()
        assert (serving.candidate is None) == (serving.home is not None or serving.route.candidate is None)
        assert serving.home is None or (serving.route.share, serving.route.upgrade) == (0.0, None)
        return serving.home


def following(route: Route | None = None, **fields: Any) -> tuple[Follower, FakeSource]:
    """A follower that has seen a row."""
    source = FakeSource(OLD, NEW)
    source.put(route or a_route(share=0.5))
    follower = Follower(source, **fields)
    follower.routes.look()
    return follower, source


def test_the_row_and_its_variants_are_served() -> None:
    """The variants come whole, so that a flip reads no file."""
    follower, _ = following()

    serving = follower.serving()
    assert (a_route(share=0.5), None) == (serving.route, serving.home)
    assert serving.candidate is not None
    assert (OLD, NEW) == (serving.incumbent.variant, serving.candidate.variant)


def test_without_a_row_the_applied_incumbent_serves() -> None:
    """A new workload, a new store, or none at all: the app works."""
    for source in (None, FakeSource()):
        follower = Follower(source)
        follower.routes.look()

        assert (Home.UNROUTED, OLD) == (follower.home(), follower.serving().incumbent.variant)


def test_an_applied_incumbent_that_cannot_be_rendered_is_refused_at_the_start() -> None:
    """It is the one that must always be able to answer."""
    broken = Variant("old-provider", "old", Prompt(PromptMode.EDIT, "no edits"))

    with pytest.raises(ConfigError, match="incumbent of workload 'support' cannot be rendered"):
        Follower(workloads=(a_workload(incumbent=broken),))


def test_a_rollback_is_seen_at_the_next_look() -> None:
    """One row, one look, and nothing that is remembered in between."""
    follower, source = following()
    source.put(a_route(share=0.5).rolled_back())

    follower.routes.look()

    assert (2, None) == (follower.serving().route.epoch, follower.serving().candidate)


def test_an_older_row_does_not_undo_a_newer_one() -> None:
    """A replica that lags, or a restored backup, would bring a candidate back that was rolled back."""
    follower, source = following(a_route(share=0.5, epoch=5).rolled_back())
    source.put(a_route(share=0.5, epoch=5))

    follower.routes.look()

    assert follower.serving().candidate is None


def test_a_lease_may_be_longer_at_the_same_epoch() -> None:
    """A heartbeat is no change of the route."""
    follower, source = following()
    longer = replace(a_route(share=0.5), lease_until=follower.clock.machine_now() + timedelta(hours=1))
    source.put(longer)

    follower.routes.look()

    assert longer == follower.serving().route


LEASE_S, UNWATCHED_S = 300.0, 50 * 60.0


def leased(clock: ManualClock, **fields: Any) -> Route:
    """A row whose controller says nothing more."""
    return replace(a_route(share=0.5), lease_until=clock.machine_now() + timedelta(seconds=LEASE_S), **fields)


def for_units(follower: Follower, units: Iterable[str]) -> dict[str, Home | None]:
    """Where each unit is sent, as the path of a request asks it."""
    now = follower.clock.machine_now()
    return {unit: follower.routes.serving("support", now, unit).home for unit in units}


def test_past_the_lease_nobody_new_gets_the_candidate_and_in_the_end_nobody() -> None:
    """Nobody watches: it must not get larger, and those who are in the middle of it are not torn away at once."""
    clock = ManualClock()
    follower, source = following(leased(clock), clock=clock)
    source.is_quiet = True

    clock.advance(LEASE_S - 1.0)
    follower.routes.look()
    assert {"ann": None} == for_units(follower, ["ann"])
    clock.advance(1.0)
    assert {"ann": None, "bob": Home.LEASE} == for_units(follower, ["ann", "bob"])
    for _ in range(10):
        clock.advance(UNWATCHED_S / 10 - 0.1)
        follower.routes.look()
    assert {"ann": None, "bob": Home.LEASE} == for_units(follower, ["ann", "bob"])
    clock.advance(1.0)
    assert {"ann": Home.LEASE, "bob": Home.LEASE} == for_units(follower, ["ann", "bob"])
    assert Home.LEASE is follower.home()


def test_both_sides_of_a_comparison_lose_the_same() -> None:
    """New units of the incumbent count no more either: else the shares would not be what the row says."""
    clock = ManualClock()
    follower, _ = following(leased(clock), clock=clock)
    early = [f"early-{number}" for number in range(40)]
    for_units(follower, early)
    clock.advance(LEASE_S)

    found = for_units(follower, early)
    now = clock.machine_now()
    arms = {assign(unit, follower.routes.serving("support", now, unit).route) for unit in early}

    assert {None} == set(found.values())
    assert {Arm.INCUMBENT, Arm.CANDIDATE} == arms
    assert {Home.LEASE} == set(for_units(follower, (f"late-{number}" for number in range(40))).values())


def test_while_nobody_watches_nothing_is_answered_unseen() -> None:
    """It costs money, and nobody would look at it."""
    clock = ManualClock()
    route = leased(clock, shadow_share=0.1, noise_share=0.1, pair_share=0.1, reverse_share=0.1)
    follower, _ = following(route, clock=clock)
    for_units(follower, ["ann"])
    clock.advance(LEASE_S)

    found = follower.routes.serving("support", clock.machine_now(), "ann")

    assert found.is_unwatched
    shares = (found.route.shadow_share, found.route.noise_share, found.route.pair_share, found.route.reverse_share)
    assert (0.0, 0.0, 0.0, 0.0) == shares
    assert (0.5, "up-1") == (found.route.share, found.route.upgrade)


def test_where_no_user_has_the_candidate_the_lease_ends_everything_at_once() -> None:
    """Nobody is in the middle of it."""
    clock = ManualClock()
    follower, _ = following(leased(clock, shadow_share=1.0, share=0.0), clock=clock)
    for_units(follower, ["ann"])

    clock.advance(LEASE_S)

    assert {"ann": Home.LEASE} == for_units(follower, ["ann"])


def test_who_was_met_under_another_row_is_new() -> None:
    """A row that was changed by hand, with a lease that is over, gives nobody the candidate."""
    clock = ManualClock()
    follower, source = following(leased(clock), clock=clock)
    for_units(follower, ["ann"])
    clock.advance(LEASE_S)

    source.put(replace(source.rows["support"], epoch=2, share=0.9))
    follower.routes.look()

    assert {"ann": Home.LEASE} == for_units(follower, ["ann"])


def test_a_heartbeat_brings_everybody_back() -> None:
    """The controller was restarted: the same row, with a longer lease."""
    clock = ManualClock()
    follower, source = following(leased(clock), clock=clock)
    clock.advance(LEASE_S)
    assert {"bob": Home.LEASE} == for_units(follower, ["bob"])

    source.put(replace(source.rows["support"], lease_until=clock.machine_now() + timedelta(minutes=10)))
    follower.routes.look()

    assert {"bob": None} == for_units(follower, ["bob"])


def test_after_ten_minutes_of_silence_everybody_goes_home() -> None:
    """Whatever was decided since, this gateway has not heard of it."""
    follower, source = following()
    source.trouble = StoreError("gone")

    for seconds, home in ((TEN_MINUTES_S, None), (1.0, Home.STALE)):
        follower.clock.advance(seconds)
        follower.routes.look()
        assert home is follower.home()


def test_a_source_that_has_nothing_new_is_not_silent() -> None:
    """A canary holds for days without a change."""
    follower, source = following()
    source.is_quiet = True

    for _ in range(3):
        follower.clock.advance(TEN_MINUTES_S)
        follower.routes.look()
        assert follower.home() is None


def test_a_row_that_has_vanished_is_silence() -> None:
    """The source answers, but not for this workload."""
    follower, source = following()
    source.rows.clear()
    follower.routes.look()
    source.is_quiet = True

    follower.clock.advance(TEN_MINUTES_S + 1.0)
    follower.routes.look()

    assert Home.STALE is follower.home()


def test_at_a_hundred_per_cent_neither_silence_nor_the_lease_sends_home() -> None:
    """Then going home would be the change, for every user at once."""
    clock = ManualClock()
    follower, source = following(replace(a_route(share=1.0), lease_until=clock.machine_now()), clock=clock)
    source.trouble = StoreError("gone")

    clock.advance(100 * TEN_MINUTES_S)
    follower.routes.look()

    assert follower.home() is None


def test_the_environment_forces_the_incumbent() -> None:
    """The last step of the ladder needs a restart, and nothing that could be down."""
    follower, _ = following(a_route(share=1.0), environment={FORCE_VARIABLE: "incumbent"})

    assert Home.FORCED is follower.home()


def test_a_force_that_cannot_be_obeyed_is_refused() -> None:
    """Someone in a hurry who types `candidate` or `true` must learn that nothing is forced."""
    with pytest.raises(UsageError, match="'candidat', expected 'incumbent'"):
        following(environment={FORCE_VARIABLE: "candidat"})


def test_the_file_on_the_host_forces_the_incumbent_as_long_as_it_is_there(tmp_path: Path) -> None:
    """Somebody who can touch a file on the host needs no key, no network and no store."""
    force = tmp_path / "force-incumbent"
    follower, _ = following(a_route(share=1.0), force_file=force)
    assert follower.home() is None

    force.touch()
    follower.routes.look_at_force_file()
    assert Home.FORCED is follower.home()

    force.unlink()
    follower.routes.look_at_force_file()
    assert follower.home() is None


def test_the_file_on_the_host_counts_from_the_start(tmp_path: Path) -> None:
    """A restart in the middle of an incident must not serve one request by the candidate."""
    (tmp_path / "force").touch()

    assert Home.FORCED is following(force_file=tmp_path / "force")[0].home()


def test_a_flip_outlives_every_row_that_does_not_acknowledge_it() -> None:
    """A controller that has not heard of the flip would otherwise undo it with its next step."""
    follower, source = following(a_route(share=0.05, epoch=7))

    assert {"support": 7} == follower.routes.flip(["support"])
    for route in (a_route(share=0.05, epoch=7), a_route(share=0.25, epoch=8), a_route(share=1.0, epoch=9)):
        source.put(route)
        follower.routes.look()
        assert Home.FLIPPED is follower.home()


def test_a_flip_ends_with_a_later_row_that_gives_no_user_the_candidate() -> None:
    """The store knows now: what follows is decided in knowledge of it."""
    follower, source = following(a_route(share=0.05, epoch=7))
    follower.routes.flip(["support"])

    source.put(a_route(share=0.0, epoch=7))
    follower.routes.look()
    assert Home.FLIPPED is follower.home()

    source.put(a_route(share=0.0, epoch=8))
    follower.routes.look()
    source.put(a_route(share=0.05, epoch=9))
    follower.routes.look()
    assert follower.home() is None


async def test_a_flip_survives_a_restart_with_the_store_dead_and_alive(tmp_path: Path) -> None:
    """A process that crashes during an incident must come back as it was."""
    follower, source = following(a_route(share=0.05, epoch=7), state_dir=tmp_path)
    follower.routes.flip(["support"])
    assert follower.routes.keep()

    for again in (Follower(state_dir=tmp_path), Follower(source, state_dir=tmp_path)):
        await again.routes.start()
        assert Home.FLIPPED is again.home()
        await again.routes.stop()


async def test_a_flip_that_was_acknowledged_while_the_gateway_was_down_is_over(tmp_path: Path) -> None:
    """The row says it; a file that is older does not know."""
    follower, source = following(a_route(share=0.05, epoch=7), state_dir=tmp_path)
    follower.routes.flip(["support"])
    follower.routes.keep()
    source.put(a_route(share=0.0, epoch=8))

    again = Follower(source, state_dir=tmp_path)
    await again.routes.start()
    source.put(a_route(share=0.05, epoch=9))
    again.routes.look()

    assert again.home() is None
    await again.routes.stop()


async def started(source: FakeSource, clock: ManualClock, folder: Path) -> Follower:
    """A gateway's routes after a restart."""
    follower = Follower(source, clock=clock, state_dir=folder)
    await follower.routes.start()
    await follower.routes.stop()
    return follower


async def test_a_start_with_the_store_dead_serves_what_was_last_known(tmp_path: Path) -> None:
    """Also the variants, whole: the files of the repository are elsewhere, or newer."""
    follower, source = following(state_dir=tmp_path)
    source.trouble = StoreError("gone")

    again = await started(source, follower.clock, tmp_path)

    assert (None, follower.serving()) == (again.home(), again.serving())


async def test_other_candidates_and_unseen_shares_survive_a_restart_with_the_store_dead(tmp_path: Path) -> None:
    """They are a part of the row."""
    third = Variant("new-provider", "third-model")
    source = FakeSource(OLD, NEW, third)
    more: dict[str, Any] = {"others": (Other(third.id, 0.4),), "rings": ("staff",)}
    row = source.put(a_route(0.2, noise_share=0.1, pair_share=0.2, reverse_share=0.3, **more))
    clock = ManualClock()
    Follower(source, clock, state_dir=tmp_path).routes.look()

    again = Follower(None, clock, state_dir=tmp_path)
    await again.routes.start()
    await again.routes.stop()

    assert row == again.serving().route
    assert [third.id] == [served.id for served in again.serving().others]


async def test_a_file_of_an_earlier_midshift_is_read(tmp_path: Path) -> None:
    """What it does not say is nothing: no unseen answers beside the shadow's."""
    source, clock = FakeSource(OLD, NEW), ManualClock()
    row = source.put(a_route(0.2, shadow_share=0.5))
    Follower(source, clock, state_dir=tmp_path).routes.look()
    file = tmp_path / lastknown.NAME
    content = json.loads(file.read_bytes())
    for name in ("noise_share", "pair_share", "reverse_share", "others", "rings"):
        del content["routes"][0][name]
    file.write_text(json.dumps(content))

    again = Follower(None, clock, state_dir=tmp_path)
    await again.routes.start()
    await again.routes.stop()

    assert row == again.serving().route


async def test_what_was_last_known_more_than_ten_minutes_ago_sends_home(tmp_path: Path) -> None:
    """To the incumbent of the file, which may be newer than the one that was applied."""
    promoted = replace(a_route(share=0.5), incumbent=NEW.id, candidate=OLD.id)
    follower, source = following(promoted, state_dir=tmp_path)
    source.trouble = StoreError("gone")
    follower.clock.advance(TEN_MINUTES_S + 1.0)

    again = await started(source, follower.clock, tmp_path)

    assert (Home.STALE, NEW) == (again.home(), again.serving().incumbent.variant)


async def test_a_file_from_the_future_sends_home(tmp_path: Path) -> None:
    """A clock that was set back must not keep a candidate alive for ever."""
    clock = ManualClock()
    clock.advance(3600.0)
    _, source = following(state_dir=tmp_path, clock=clock)
    source.trouble = StoreError("gone")

    assert Home.STALE is (await started(source, ManualClock(), tmp_path)).home()


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"format":"midshift.routes/2"}', b"\xff"])
async def test_without_a_usable_file_the_applied_incumbent_serves(tmp_path: Path, content: bytes | None) -> None:
    """No evidence is no candidate."""
    if content is not None:
        (tmp_path / lastknown.NAME).write_bytes(content)
    source = FakeSource()
    source.trouble = StoreError("gone")

    assert Home.UNROUTED is (await started(source, ManualClock(), tmp_path)).home()


async def test_a_file_whose_variant_is_not_what_its_hash_says_is_not_used(tmp_path: Path) -> None:
    """Somebody has edited it; what it would serve was evaluated by nobody."""
    _, source = following(state_dir=tmp_path)
    source.trouble = StoreError("gone")
    file = tmp_path / lastknown.NAME
    file.write_bytes(file.read_bytes().replace(b"Be brief.", b"Be rude."))

    assert Home.UNROUTED is (await started(source, ManualClock(), tmp_path)).home()


async def test_the_store_goes_before_the_file(tmp_path: Path) -> None:
    """The file is for when there is nothing better."""
    follower, source = following(state_dir=tmp_path)
    source.put(a_route(share=0.5).rolled_back())

    again = await started(source, follower.clock, tmp_path)

    assert (2, None) == (again.serving().route.epoch, again.serving().candidate)


async def test_a_store_that_hangs_does_not_hold_up_the_start(tmp_path: Path) -> None:
    """A gateway that waits for its store is as good as none."""
    follower, _ = following(state_dir=tmp_path)
    go_on = threading.Event()

    class Hanging(FakeSource):
        def changed(self) -> bool:
            go_on.wait()
            raise StoreError("gone")

    again = Follower(Hanging(), clock=follower.clock, state_dir=tmp_path)
    await again.routes.start(patience_s=0.01)

    assert (None, follower.serving()) == (again.home(), again.serving())
    go_on.set()
    await again.routes.stop()


def test_the_file_is_written_on_each_change_and_once_a_minute(tmp_path: Path) -> None:
    """On each change, so that it is right; once a minute, so that it is not old when the store dies."""
    follower, source = following(state_dir=tmp_path)
    file = tmp_path / lastknown.NAME
    assert 1 == json.loads(file.read_bytes())["routes"][0]["epoch"]

    source.put(a_route(share=0.25, epoch=2))
    follower.routes.look()
    first = json.loads(file.read_bytes())
    assert 2 == first["routes"][0]["epoch"]

    source.is_quiet = True
    follower.clock.advance(59.0)
    follower.routes.look()
    assert first == json.loads(file.read_bytes())
    follower.clock.advance(2.0)
    follower.routes.look()
    assert first["confirmed_at"] < json.loads(file.read_bytes())["confirmed_at"]


def test_the_file_is_the_owners_and_never_half_written(tmp_path: Path) -> None:
    """It holds prompts, and it is read when all else has failed."""
    folder = tmp_path / "state"
    following(state_dir=folder)

    assert [lastknown.NAME] == [path.name for path in folder.iterdir()]
    assert 0o600 == stat.S_IMODE((folder / lastknown.NAME).stat().st_mode)


def test_a_disk_that_refuses_changes_nothing_for_users(tmp_path: Path) -> None:
    """The file is a safety net; without it the rope still holds."""
    (tmp_path / "state").write_text("a file where a folder should be")

    follower, _ = following(state_dir=tmp_path / "state")

    assert follower.home() is None
    assert not follower.routes.keep()


@pytest.mark.parametrize(
    "candidate",
    [
        Variant("new-provider", "not in the store"),
        Variant("elsewhere", "a provider without an upstream"),
        Variant("new-provider", "new", Prompt(PromptMode.EDIT, "no edits")),
    ],
    ids=["unknown", "no way there", "malformed"],
)
def test_a_candidate_that_cannot_be_served_stays_at_home(candidate: Variant) -> None:
    """Better known at the row than at the first user."""
    source = FakeSource(OLD, *([candidate] if candidate.model != "not in the store" else []))
    source.put(replace(a_route(share=0.5), candidate=candidate.id))
    follower = Follower(source)

    follower.routes.look()

    assert (Home.UNSERVABLE, 1) == (follower.home(), follower.routes.failures)


def test_trouble_with_one_row_does_not_hold_up_the_others() -> None:
    """A rollback here must not wait for a repair there."""
    other = a_workload(name="other", claims=("other-model",))
    source = FakeSource(OLD, NEW)
    source.put(a_route(share=0.5))
    source.put(replace(a_route(share=0.5), workload="other"))
    follower = Follower(source, workloads=(a_workload(), other))
    follower.routes.look()
    source.put(replace(a_route(share=0.5, epoch=2), workload="other", incumbent="0" * 64))
    source.put(a_route(share=0.5).rolled_back())

    follower.routes.look()

    assert follower.serving().candidate is None
    assert (1, OLD) == (follower.serving("other").route.epoch, follower.serving("other").incumbent.variant)


def test_a_look_that_failed_is_made_up_for() -> None:
    """The source says `changed` once; a failure right after it must not lose the change."""

    class Once(FakeSource):
        def __init__(self) -> None:
            super().__init__(OLD, NEW)
            self.fails = False
            self.news = True

        def changed(self) -> bool:
            news, self.news = self.news, False
            return news

        def routes(self) -> list[Route]:
            if self.fails:
                raise StoreError("gone")
            return list(self.rows.values())

    source = Once()
    source.put(a_route(share=0.5))
    follower = Follower(source)
    follower.routes.look()
    source.put(a_route(share=0.5).rolled_back())
    source.news, source.fails = True, True
    follower.routes.look()
    assert follower.serving().candidate is not None

    source.fails = False
    follower.routes.look()

    assert follower.serving().candidate is None


def test_the_epoch_that_is_served_is_reported_at_once_and_now_and_then() -> None:
    """So that a rollback can be seen to have arrived."""
    sink = FakeSink()
    follower, source = open_and_following(sink)
    follower.routes.look()
    assert [{"support": (1, "")}] == sink.reported

    source.put(a_route(share=0.5).rolled_back())
    follower.routes.look()
    follower.clock.advance(6.0)
    follower.routes.look()
    assert [{"support": (2, "")}] * 2 == sink.reported[1:]


def test_a_gateway_that_is_home_says_so_and_why(tmp_path: Path) -> None:
    """It lives, and gives nobody the candidate: neither is what silence says."""
    sink = FakeSink()
    follower, source = open_and_following(sink, force_file=tmp_path / "force")

    (tmp_path / "force").touch()
    follower.routes.look_at_force_file()
    follower.routes.look()
    assert {"support": (1, "forced")} == sink.reported[-1]

    (tmp_path / "force").unlink()
    follower.routes.look_at_force_file()
    follower.routes.flip(["support"])
    follower.routes.look()
    assert {"support": (1, "flipped")} == sink.reported[-1]

    source.put(a_route(share=0.5, epoch=3))
    follower.routes.look()
    assert {"support": (3, "flipped")} == sink.reported[-1]


def test_what_is_never_opened_is_never_reported() -> None:
    """A start that failed must not be waited for by a rollback."""
    sink = FakeSink()
    follower, _ = following(reports=sink)
    follower.clock.advance(6.0)
    follower.routes.look()
    follower.routes.closed()

    assert ([], []) == (sink.reported, sink.left)


async def test_a_gateway_that_ends_says_so() -> None:
    """Who has stopped in order serves nobody, and is no gateway that may be cut off."""
    sink = FakeSink()
    follower, _ = open_and_following(sink, instance="a")
    await follower.routes.start()
    await follower.routes.stop()

    assert [GatewayProcess("gateway-1", "a")] == sink.left


def open_and_following(sink: FakeSink, **fields: Any) -> tuple[Follower, FakeSource]:
    """A follower that listens, and has said so."""
    follower, source = following(reports=sink, **fields)
    follower.routes.opened()
    follower.routes.look()
    return follower, source


async def test_a_change_is_followed_within_a_fifth_of_a_second() -> None:
    """The thread itself: everything above looks by hand."""
    source = FakeSource(OLD, NEW)
    source.put(a_route(share=0.5))
    follower = Follower(source)
    await follower.routes.start()
    looked = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Heard(FakeSink):
        def report(self, process: GatewayProcess, told: Mapping[str, Told], at: object) -> None:
            if told == {"support": Told(2)}:
                loop.call_soon_threadsafe(looked.set)

    follower.routes._reporting = Reporting(GatewayProcess("gateway-1"), Heard())
    follower.routes.opened()
    began = loop.time()
    source.put(a_route(share=0.5).rolled_back())
    await looked.wait()

    assert loop.time() - began < 0.2
    await follower.routes.stop()
