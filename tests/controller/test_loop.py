"""The loop: nine weeks by a manual clock, one decision a version, and nothing that cannot be replayed."""

from datetime import UTC, datetime, timedelta
from random import Random

from midshift.controller.evidence import from_record, to_record
from midshift.controller.loop import Controller
from midshift.domain import gate
from midshift.domain.evidence import EvalEvidence, Evidence, Guard, ShadowEvidence
from midshift.domain.exposure import Exposure, Fate, ShadowFate
from midshift.domain.plan import Plan
from midshift.domain.routing import Arm, Route, assign, block
from midshift.domain.upgrade import Stage, Upgrade, begin
from midshift.testing import ManualClock
from tests.controller.fakes import FakeSources, FakeStore

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = 3600.0
GOOD = EvalEvidence("new", gate.Decision.PROCEED, "accuracy: can rule out drops over 1.4 points")
DAYS = 63
HOURS = DAYS * 24


def an_upgrade() -> Upgrade:
    return begin("u", "w", "old", "new", Plan(), DAY_0, "salt")


def a_house() -> tuple[FakeStore, ManualClock, Controller]:
    clock = ManualClock(DAY_0)
    store = FakeStore(by_id={"u": an_upgrade()}, by_workload={"w": Route("w", "old", 1)})
    return store, clock, Controller(store, FakeSources(GOOD), clock, "c1")


def an_hour_of_traffic(store: FakeStore, random: Random, requests: int, broken_from: float = 2.0) -> None:
    """Requests as a gateway would count them; the candidate fails them all while it serves `broken_from` or more."""
    route = store.by_workload["w"]
    for _ in range(requests):
        unit = f"user-{random.randrange(400)}"
        arm = assign(unit, route)
        broken = arm is Arm.CANDIDATE and route.share >= broken_from
        store.serve(
            Exposure(
                request_id="r",
                workload="w",
                epoch=route.epoch,
                fate=Fate.CANDIDATE if arm is Arm.CANDIDATE else Fate.INCUMBENT,
                assigned=arm,
                upgrade=route.upgrade,
                step=route.step,
                block=block(unit, route.salt),
                status=500 if broken else 200,
                shadow=ShadowFate.PAIRED if route.shadow_share else None,
            )
        )


def nine_weeks(seed: int, broken_from: float = 2.0) -> FakeStore:
    store, clock, controller = a_house()
    random = Random(seed)
    for _ in range(HOURS):
        an_hour_of_traffic(store, random, 15, broken_from)
        controller.tick()
        clock.advance(HOUR)
    return store


def test_a_good_candidate_is_through_in_nine_weeks() -> None:
    """2 weeks of shadow, 13 days of canary at least, 2 weeks of soak; the candidate is then the incumbent."""
    store = nine_weeks(seed=1)

    assert Stage.DONE is store.by_id["u"].stage
    assert ("new", None, 0.0) == (
        store.by_workload["w"].incumbent,
        store.by_workload["w"].candidate,
        store.by_workload["w"].share,
    )
    assert 14 + 13 + 14 <= (store.log[-1].event.at - DAY_0).days


def test_a_fault_that_appears_at_25_per_cent_stops_there() -> None:
    """Eval and shadow could not see it; the guard does, and within hours."""
    store = nine_weeks(seed=1, broken_from=0.25)
    entered, halted = (entry.event for entry in store.log[-2:])

    assert Stage.HALTED is store.by_id["u"].stage
    assert 0.0 == store.by_workload["w"].share
    assert halted.at - entered.at < timedelta(hours=48)
    assert "harm is proven" in halted.why


def test_every_decision_can_be_decided_again_from_its_record() -> None:
    """Why did it advance on day 31? The log answers with the evidence that it saw."""
    store = nine_weeks(seed=2)

    assert 6 == len(store.log)
    for entry in store.log:
        assert entry.event.kind.value == entry.decided_again()


def test_the_same_seed_gives_the_same_log() -> None:
    """No clock and no luck that was not passed in."""
    first, second = (
        [(entry.event, entry.evidence) for entry in nine_weeks(seed=3, broken_from=0.25).log] for _ in range(2)
    )

    assert first == second


def test_the_share_in_the_routing_row_is_never_above_the_step() -> None:
    """What is written together cannot disagree."""
    store, clock, controller = a_house()
    random = Random(4)
    for _ in range(HOURS):
        an_hour_of_traffic(store, random, 12)
        controller.tick()
        clock.advance(HOUR)
        upgrade, route = store.by_id["u"], store.by_workload["w"]
        expected = 0.0 if upgrade.stage is Stage.DONE else upgrade.share

        assert expected == route.share


def test_of_two_controllers_one_decides() -> None:
    """The other looks on until the lease is free."""
    store, clock, first = a_house()
    second = Controller(store, FakeSources(GOOD), clock, "c2")

    assert (1, 0) == (len(first.tick()), len(second.tick()))


def test_a_decision_on_a_version_that_has_passed_is_not_written() -> None:
    """Somebody rolled back while this controller was thinking: theirs is the newer word."""
    store, clock, controller = a_house()
    store.lease_epoch = 5
    stale = FakeStore(by_id=dict(store.by_id), by_workload=dict(store.by_workload), owner="c1", lease_epoch=4)
    stale.commit = store.commit  # type: ignore[method-assign]
    ticks = Controller(stale, FakeSources(GOOD), clock, "c1").tick()

    assert ["somebody else decided first"] == [tick.decision.reason for tick in ticks]
    assert [] == store.log


def test_the_exposure_lease_is_renewed_while_somebody_watches() -> None:
    """Without a heartbeat gateways go home by themselves; with one they stay."""
    store, clock, controller = a_house()
    random = Random(5)
    while store.by_id["u"].stage is not Stage.CANARY:
        an_hour_of_traffic(store, random, 12)
        controller.tick()
        clock.advance(HOUR)
    before = store.renewals
    for _ in range(5):
        controller.tick()
        clock.advance(HOUR)
        lease = store.by_workload["w"].lease_until
        assert lease is not None

    assert 5 == store.renewals - before


def test_evidence_survives_its_record() -> None:
    """Replaying is only as good as what was written down."""
    evidence = Evidence(
        eval=EvalEvidence("new", gate.Decision.PROCEED_WITH_CAUTION, "…", ("a",), ("b",)),
        shadow=ShadowEvidence(10, 9, ("length:chars",)),
        guards=(Guard("error rate", 0.01), Guard("error rate", 0.01, 0.5, 0.25, 0.75, 3, 4)),
        served=7,
    )

    assert evidence == from_record(to_record(evidence))
