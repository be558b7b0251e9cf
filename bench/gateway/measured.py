"""What a bench of gateways measured: the medians of some rounds, as a table, and held against the floors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from statistics import median

PHASES = ("plain", "tls", "shadow", "streams", "paced", "open")
FLOORS = {
    "plain": ("per_core", 10_000.0),
    "shadow": ("per_core", 5_000.0),
    "streams": ("per_core", 1_200.0),
    "added p50 ms": ("at_most", 1.0),
    "added p99 ms": ("at_most", 3.0),
    "resident MB": ("at_most", 120.0),
    "start s": ("at_most", 0.5),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One contender in one phase. `asked` is how many requests the provider had for each answer.

    `yard_ms` is what the core took for its yardstick (`processes.yard_ms`) just before. `said` is what our gateway says
    of itself. `rounds_per_core` is there where it is the middle of some rounds.
    """

    name: str
    phase: str
    per_s: float
    cpu_us: float
    answers: int
    faults: int
    asked: float
    resident_mb: float
    peak_mb: float
    p50_ms: float
    p99_ms: float
    ttfb_p50_ms: float
    ttfb_p99_ms: float
    start_s: float
    load_average: float
    yard_ms: float
    said: Mapping[str, float] = field(default_factory=dict)
    rounds_per_core: tuple[float, ...] = ()

    @property
    def per_core(self) -> float:
        """Answers for each second of CPU that the gateway spent."""
        return 1e6 / self.cpu_us if self.cpu_us else float("nan")


_MEASURES = [one.name for one in fields(Measured) if one.type == "float"]


def in_the_middle(rounds: Sequence[Measured]) -> Measured:
    """Of rounds of one contender in one phase, the median of each measure; answers and faults are added up."""
    medians = {name: median(getattr(one, name) for one in rounds) for name in _MEASURES}
    return replace(
        rounds[-1],
        answers=sum(one.answers for one in rounds),
        faults=sum(one.faults for one in rounds),
        rounds_per_core=tuple(one.per_core for one in rounds if one.cpu_us),
        **medians,
    )


def over_rounds(found: Iterable[Measured]) -> list[Measured]:
    """The middle of each contender in each phase, in the order in which they were first met."""
    by_phase: dict[tuple[str, str], list[Measured]] = {}
    for one in found:
        by_phase.setdefault((one.name, one.phase), []).append(one)
    return [in_the_middle(rounds) for rounds in by_phase.values()]


def show(found: Sequence[Measured]) -> None:
    """A table for each phase; ratios are to the last one that is not ours, by what a core carries."""
    direct = _direct(found)
    for phase in PHASES:
        rows = [one for one in found if one.phase == phase]
        if not rows:
            continue
        reference = next((one for one in rows if one.name.startswith("envoy")), rows[0])
        print(f"\n{phase:<14}{'per core':>10}{'seen /s':>9}{'CPU us':>9}{'x ' + reference.name:>15}", end="")
        print(f"{'asked':>7}{'faults':>7}{'p50 ms':>9}{'p99 ms':>9}{'ttfb':>8}{'MB':>6}{'start s':>9}{'yard ms':>9}")
        for one in rows:
            print(
                f"{one.name:<14}{one.per_core:10.0f}{one.per_s:9.0f}{one.cpu_us:9.1f}"
                f"{one.per_core / reference.per_core:15.2f}{one.asked:7.2f}{one.faults:7d}{one.p50_ms:9.2f}"
                f"{one.p99_ms:9.2f}{one.ttfb_p50_ms:8.2f}{one.resident_mb:6.0f}{one.start_s:9.2f}{one.yard_ms:9.1f}"
            )
            if len(one.rounds_per_core) > 1:
                print(f"{'':<14}rounds, per core: {', '.join(f'{each:.0f}' for each in one.rounds_per_core)}")
            if direct is not None and phase == "paced":
                print(f"{'':<14}added p50 {one.p50_ms - direct.p50_ms:.2f} ms, p99 {one.p99_ms - direct.p99_ms:.2f} ms")
            if one.said:
                print(
                    f"{'':<14}" + ", ".join(f"{name} {value:.0f}" for name, value in sorted(one.said.items()) if value)
                )


def floors(found: Sequence[Measured]) -> list[tuple[str, float, float, bool]]:
    """Name, measured, floor, and whether it holds, of each that was measured."""
    direct, own = _direct(found), {one.phase: one for one in found if one.name == "midshift"}
    values = {phase: one.per_core for phase, one in own.items()}
    if direct is not None and "paced" in own:
        values["added p50 ms"] = own["paced"].p50_ms - direct.p50_ms
        values["added p99 ms"] = own["paced"].p99_ms - direct.p99_ms
    if "plain" in own:
        values |= {"resident MB": own["plain"].resident_mb, "start s": own["plain"].start_s}
    return [
        (name, values[name], floor, values[name] <= floor if kind == "at_most" else values[name] >= floor)
        for name, (kind, floor) in FLOORS.items()
        if name in values
    ]


def _direct(found: Sequence[Measured]) -> Measured | None:
    return next((one for one in found if one.name == "direct"), None)
