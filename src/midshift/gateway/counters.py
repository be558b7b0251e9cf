"""What a gateway counts, and the two sums that must come out.

    received = served_by_incumbent + served_by_candidate + refused + in flight
    eligible = paired + skipped + shed + failed + in flight

All of it is counted on one thread, so it always does. Elsewhere: numbers for gates (domain.exposure).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from midshift.domain.exposure import Fate, ShadowFate

UNKNOWN = ""
"""The workload of a request that was refused before anybody knew."""


@dataclass(slots=True)
class Counters:
    """Counts since the start of the process."""

    received: int = 0
    in_flight: int = 0
    fates: Counter[tuple[str, Fate]] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    fell_back: Counter[tuple[str, str]] = field(default_factory=Counter)
    unmatched: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    eligible: Counter[str] = field(default_factory=Counter)
    shadows_in_flight: int = 0
    shadows: Counter[tuple[str, ShadowFate]] = field(default_factory=Counter)
    not_mirrored: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count_fate(self, workload: str, fate: Fate) -> None:
        """A request is over."""
        self.in_flight -= 1
        self.fates[workload, fate] += 1

    def count_shadow(self, workload: str, fate: ShadowFate, why: str = "") -> None:
        """A mirrored request is over, or never was; `why` says so for those that make no pair."""
        self.shadows_in_flight -= 1
        self.shadows[workload, fate] += 1
        if why:
            self.not_mirrored[workload, why] += 1

    def total(self, fate: Fate | ShadowFate) -> int:
        """All requests with this end, over workloads."""
        served = sum(count for (_, ended), count in self.fates.items() if ended is fate)
        mirrored = sum(count for (_, ended), count in self.shadows.items() if ended is fate)
        return served + mirrored

    @property
    def reconciles(self) -> bool:
        """Whether every request is accounted for."""
        received = sum(self.fates.values()) + self.in_flight
        eligible = sum(self.shadows.values()) + self.shadows_in_flight
        return self.received == received and sum(self.eligible.values()) == eligible

    def samples(self) -> Iterator[tuple[str, str, Mapping[str, str], float]]:
        """Name, help text, labels and value of every count, for `/metrics`; those of one name follow each other."""
        yield "requests_received_total", "Requests for an answer.", {}, self.received
        yield "requests_in_flight", "Requests that are not over.", {}, self.in_flight
        for (workload, fate), count in sorted(self.fates.items()):
            yield "requests_total", "Requests by their end.", {"workload": workload, "fate": fate}, count
        for (workload, why), count in sorted(self.refused.items()):
            yield "requests_refused_total", "Refusals by reason.", {"workload": workload, "reason": why}, count
        for (workload, why), count in sorted(self.fell_back.items()):
            labels = {"workload": workload, "reason": why}
            yield "fell_back_total", "Candidate failures that the incumbent answered for.", labels, count
        for workload, count in sorted(self.unmatched.items()):
            yield (
                "unmatched_prompt_total",
                "Requests that no prompt of the candidate fits.",
                {"workload": workload},
                count,
            )
        for workload, count in sorted(self.left.items()):
            yield "clients_left_total", "Clients that left before the end.", {"workload": workload}, count
        for workload, count in sorted(self.eligible.items()):
            yield "shadow_eligible_total", "Requests chosen for mirroring.", {"workload": workload}, count
        yield "shadow_in_flight", "Mirrored requests that are not over.", {}, self.shadows_in_flight
        for (workload, ended), count in sorted(self.shadows.items()):
            yield "shadow_total", "Mirrored requests by their end.", {"workload": workload, "fate": ended}, count
        for (workload, why), count in sorted(self.not_mirrored.items()):
            labels = {"workload": workload, "reason": why}
            yield "shadow_unpaired_total", "Requests without a pair, by reason.", labels, count
