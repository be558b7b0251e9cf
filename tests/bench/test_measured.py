"""What is said of a bench of gateways is the middle of its rounds, and hides no fault."""

from dataclasses import replace

from bench.gateway.measured import Measured, floors, over_rounds

ONE = Measured(
    name="midshift",
    phase="plain",
    per_s=9_000.0,
    cpu_us=80.0,
    answers=1_000,
    faults=0,
    asked=1.0,
    resident_mb=65.0,
    peak_mb=70.0,
    p50_ms=5.0,
    p99_ms=9.0,
    ttfb_p50_ms=5.0,
    ttfb_p99_ms=9.0,
    start_s=0.4,
    load_average=1.0,
    yard_ms=10.0,
)


def test_a_floor_is_held_against_the_round_in_the_middle() -> None:
    """One slow minute of a machine is not what a gateway costs, and neither is one fast minute."""
    slow = over_rounds(replace(ONE, cpu_us=cost) for cost in (80.0, 140.0, 125.0))

    assert [("plain", 8_000.0, False)] == [
        (what, value, holds) for what, value, _, holds in floors(slow) if what == "plain"
    ]
    assert [(12_500.0, 1e6 / 140.0, 8_000.0)] == [one.rounds_per_core for one in slow]


def test_a_fault_of_any_round_is_shown() -> None:
    """The median of its faults would be none."""
    assert [(3, 3_000)] == [(one.faults, one.answers) for one in over_rounds([replace(ONE, faults=3), ONE, ONE])]


def test_phases_and_contenders_are_kept_apart() -> None:
    """In the order in which they came."""
    mirrored, other = replace(ONE, phase="shadow", cpu_us=190.0), replace(ONE, name="envoy", cpu_us=48.0)

    found = over_rounds([ONE, mirrored, other, ONE, mirrored, other])

    assert [ONE, mirrored, other] == [replace(one, answers=1_000, rounds_per_core=()) for one in found]


def test_a_floor_that_was_not_measured_is_not_judged() -> None:
    """Neither held nor missed: latency that is added cannot be told without the provider alone."""
    paced = replace(ONE, phase="paced")

    assert [] == floors([paced])


def test_added_latency_is_counted_from_the_provider_alone() -> None:
    """What the provider takes by itself is not the gateway's."""
    paced, alone = (
        replace(ONE, phase="paced", p50_ms=0.9, p99_ms=2.0),
        replace(ONE, name="direct", phase="paced", p50_ms=0.4, p99_ms=0.5),
    )

    added = {what: (round(value, 6), holds) for what, value, _, holds in floors([alone, paced])}

    assert {"added p50 ms": (0.5, True), "added p99 ms": (1.5, True)} == added
