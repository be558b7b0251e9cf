"""What a gateway counts, and the two sums that must come out.

    received = served_by_incumbent + served_by_candidate + refused + in flight
    eligible = paired + skipped + shed + failed + in flight         of every workload and kind of unseen answer

All of it is counted on one thread, so it always does. Elsewhere: numbers for gates (domain.exposure).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from midshift.domain.exposure import Fate, ShadowFate
from midshift.domain.unseen import PairKind

UNKNOWN = ""
"""The workload of a request that was refused before anybody knew."""


def _counting() -> defaultdict[Any, int]:
    """What every request adds to: one more in a Counter is three times as dear."""
    return defaultdict(int)


def _adding_up() -> defaultdict[Any, float]:
    """The same for what is no count."""
    return defaultdict(float)


@dataclass(slots=True)
class Counters:
    """Counts since the start of the process."""

    received: int = 0
    in_flight: int = 0
    fates: defaultdict[tuple[str, Fate], int] = field(default_factory=_counting)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    fell_back: Counter[tuple[str, str]] = field(default_factory=Counter)
    turned_away: Counter[str] = field(default_factory=Counter)
    unmatched: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    units_unnamed: Counter[str] = field(default_factory=Counter)
    stayed: Counter[str] = field(default_factory=Counter)
    stripped: Counter[str] = field(default_factory=Counter)
    usage_unknown: defaultdict[str, int] = field(default_factory=_counting)
    answered_by: dict[tuple[str, str], str] = field(default_factory=dict)
    model_changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    feedback: Counter[str] = field(default_factory=Counter)
    eligible: defaultdict[tuple[str, PairKind], int] = field(default_factory=_counting)
    mirroring: defaultdict[tuple[str, PairKind], int] = field(default_factory=_counting)
    shadows: defaultdict[tuple[str, PairKind, ShadowFate], int] = field(default_factory=_counting)
    not_mirrored: Counter[tuple[str, PairKind, str]] = field(default_factory=Counter)
    mirror_usd: defaultdict[tuple[str, PairKind], float] = field(default_factory=_adding_up)
    unpriced: defaultdict[tuple[str, PairKind], int] = field(default_factory=_counting)

    def count_fate(self, workload: str, fate: Fate) -> None:
        """A request is over."""
        self.in_flight -= 1
        self.fates[workload, fate] += 1

    def count_answer(self, workload: str, variant: str, model: str | None, usage_unknown: bool) -> None:
        """A provider has answered: which model it says that it was, and whether it said what it counted.

        Another model than the last time is the change under us that a floating model id allows.
        """
        self.usage_unknown[workload] += usage_unknown
        if model and self.answered_by.setdefault((workload, variant), model) != model:
            self.model_changed[workload, variant] += 1
            self.answered_by[workload, variant] = model

    def count_turned_away(self, why: str) -> None:
        """A connection was closed for how it spoke, or for how slowly."""
        self.turned_away[why] += 1

    def begin_shadow(self, workload: str, kind: PairKind) -> None:
        """An unseen answer is wanted."""
        about = workload, kind
        self.eligible[about] += 1
        self.mirroring[about] += 1

    def count_shadow(self, workload: str, kind: PairKind, fate: ShadowFate, why: str = "") -> None:
        """An unseen answer is over, or never was; `why` says so for those that make no pair."""
        self.mirroring[workload, kind] -= 1
        self.shadows[workload, kind, fate] += 1
        if why:
            self.not_mirrored[workload, kind, why] += 1

    def count_cost(self, workload: str, kind: PairKind, cost_usd: float | None) -> None:
        """What an unseen answer cost; None is unknown, and counted as such."""
        if cost_usd is None:
            self.unpriced[workload, kind] += 1
        else:
            self.mirror_usd[workload, kind] += cost_usd

    @property
    def shadows_in_flight(self) -> int:
        """Unseen answers that are not over."""
        return sum(self.mirroring.values())

    def total(self, fate: Fate | ShadowFate, kind: PairKind | None = None) -> int:
        """All requests with this end, over workloads; of unseen answers those of one kind, or of all."""
        served = sum(count for (_, ended), count in self.fates.items() if ended is fate)
        return served + sum(
            count for (_, of, ended), count in self.shadows.items() if ended is fate and kind in (None, of)
        )

    @property
    def reconciles(self) -> bool:
        """Whether every request, and every unseen answer of every kind, is accounted for."""
        ends = Counter(self.mirroring)
        for (workload, kind, _), count in self.shadows.items():
            ends[workload, kind] += count
        return self.received == sum(self.fates.values()) + self.in_flight and Counter(self.eligible) == ends

    def samples(self) -> Iterator[tuple[str, str, Mapping[str, str], float]]:
        """Name, help text, labels and value of every count, for `/metrics`; those of one name follow each other."""
        yield "requests_received_total", "Requests for an answer.", {}, self.received
        yield "requests_in_flight", "Requests that are not over.", {}, self.in_flight
        for (workload, fate), count in sorted(self.fates.items()):
            yield "requests_total", "Requests by their end.", {"workload": workload, "fate": fate}, count
        for (workload, why), count in sorted(self.refused.items()):
            yield "requests_refused_total", "Refusals by reason.", {"workload": workload, "reason": why}, count
        for why, count in sorted(self.turned_away.items()):
            yield "connections_turned_away_total", "Connections closed by reason.", {"reason": why}, count
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
        yield from self._answer_samples()
        yield from self._state_samples()
        yield from self._unseen_samples()

    def _answer_samples(self) -> Iterator[tuple[str, str, Mapping[str, str], float]]:
        for workload, count in sorted(self.usage_unknown.items()):
            yield "usage_unknown_total", "Answers without their usage.", {"workload": workload}, count
        for (workload, variant), count in sorted(self.model_changed.items()):
            labels = {"workload": workload, "variant": variant}
            yield "model_changed_total", "Times that a variant was answered by another model.", labels, count
        for (workload, variant), model in sorted(self.answered_by.items()):
            labels = {"workload": workload, "variant": variant, "model": model}
            yield "model_answered", "The model that a variant was last answered by.", labels, 1
        for ended, count in sorted(self.feedback.items()):
            yield "feedback_total", "Feedback by its end.", {"end": ended}, count

    def _state_samples(self) -> Iterator[tuple[str, str, Mapping[str, str], float]]:
        for workload, count in sorted(self.units_unnamed.items()):
            yield "units_unnamed_total", "Requests that no unit source names.", {"workload": workload}, count
        for workload, count in sorted(self.stayed.items()):
            labels = {"workload": workload}
            yield "stayed_for_state_total", "Requests that their state kept with the other variant.", labels, count
        for workload, count in sorted(self.stripped.items()):
            labels = {"workload": workload}
            yield "state_stripped_total", "Requests sent without what only another variant can read.", labels, count

    def _unseen_samples(self) -> Iterator[tuple[str, str, Mapping[str, str], float]]:
        for (workload, kind), count in sorted(self.eligible.items()):
            labels = {"workload": workload, "kind": kind.value}
            yield "shadow_eligible_total", "Unseen answers that were wanted.", labels, count
        yield "shadow_in_flight", "Unseen answers that are not over.", {}, self.shadows_in_flight
        for (workload, kind, ended), count in sorted(self.shadows.items()):
            labels = {"workload": workload, "kind": kind.value, "fate": ended.value}
            yield "shadow_total", "Unseen answers by their end.", labels, count
        for (workload, kind, why), count in sorted(self.not_mirrored.items()):
            labels = {"workload": workload, "kind": kind.value, "reason": why}
            yield "shadow_unpaired_total", "Unseen answers that make no pair, by reason.", labels, count
        for (workload, kind), usd in sorted(self.mirror_usd.items()):
            labels = {"workload": workload, "kind": kind.value}
            yield "shadow_cost_usd_total", "What unseen answers of known price cost.", labels, usd
        for (workload, kind), count in sorted(self.unpriced.items()):
            labels = {"workload": workload, "kind": kind.value}
            yield "shadow_unpriced_total", "Unseen answers whose price is unknown.", labels, count
