"""How far a judge is to be believed, as numbers with intervals that stand beside every number of its own.

Agreement is measured against people on the same answers; order consistency on the judge's own verdicts. Neither makes
a judge right. Without a human-labelled sample agreement is unknown, and the report says so.
Interval: Clopper-Pearson (Biometrika 26, 1934), two-sided 95 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from midshift.evals.judges.pairwise import Preference
from midshift.stats.binomial import clopper_pearson_upper

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `n`, with an interval; `estimate` and the bounds are None where n is 0."""

    hits: int
    n: int

    @property
    def estimate(self) -> float | None:
        """Hits over n."""
        return self.hits / self.n if self.n else None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The two-sided 95 % interval."""
        return _interval(self.hits, self.n) if self.n else None

    def __str__(self) -> str:
        if self.n == 0:
            return "unknown: nobody has labelled a sample"
        low, high = _interval(self.hits, self.n)
        return f"{100 * self.hits / self.n:.0f} % of {self.n:,} ({100 * low:.0f} to {100 * high:.0f} %)"


@dataclass(frozen=True, slots=True)
class Consistency:
    """What two orders of each pair showed.

    `consistent` counts pairs on which both orders said the same, `first` verdicts for the first place among those that
    were no tie; half of them would be no preference. `unread` counts pairs without two verdicts on the menu.
    """

    consistent: Share
    first: Share
    unread: int


def consistency(verdicts: Iterable[tuple[Preference | None, Preference | None]]) -> Consistency:
    """From the verdicts on each pair, in both orders."""
    same = pairs = first = decided = unread = 0
    for forwards, backwards in verdicts:
        if forwards is None or backwards is None:
            unread += 1
            continue
        pairs += 1
        same += (forwards is Preference.TIE) is (backwards is Preference.TIE) and (
            forwards is Preference.TIE or forwards is not backwards
        )
        said = [verdict for verdict in (forwards, backwards) if verdict is not Preference.TIE]
        decided += len(said)
        first += said.count(Preference.FIRST)
    return Consistency(Share(same, pairs), Share(first, decided), unread)


def agreement(judged: Mapping[str, float], labelled: Mapping[str, float], tolerance: float) -> Share:
    """How often judge and people come within `tolerance` of each other, on the answers that both have graded."""
    both = judged.keys() & labelled.keys()
    return Share(sum(abs(judged[key] - labelled[key]) <= tolerance for key in both), len(both))


def _interval(hits: int, n: int) -> tuple[float, float]:
    return 1.0 - clopper_pearson_upper(n - hits, n, ALPHA / 2), clopper_pearson_upper(hits, n, ALPHA / 2)
