"""How much two answers to one request differ, net of how much the incumbent differs from itself.

A model that is asked twice answers twice. So on a sample of the shadowed requests the incumbent answers once more
(noise pairs), and for every divergence D the mean of D(incumbent, candidate) - D(incumbent, incumbent again) is taken
over the requests that have both: whatever is left is the candidate's. Under "the candidate differs no more than the
incumbent does from itself" the two are exchangeable, so the sign-flip test is exact and the interval is that of paired
scores; by cluster where units repeat. Signed metrics (longer, dearer, more refusals) need no netting, for noise has no
direction: those are `drift`'s.

A divergence says that answers are different, not that they are worse, and another model's always are: it gates
nothing. All values lie in 0..1.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from midshift.domain.suite import AGGREGATE
from midshift.shadow.features import features
from midshift.stats import multiplicity, paired, signflip
from midshift.stats.interval import Interval

ALPHA = 0.05
FEWEST = 6
"""Fewer requests than this with both pairs show nothing: no two-sided 95 % interval of the sign-flip test exists."""

_WORD = re.compile(r"\w+|[^\w\s]")


class Metric(StrEnum):
    """The ways in which two answers can differ."""

    WORDS = "words"
    """Jaccard's distance of the sets of words: 1 - shared / all (Bulletin de la Société vaudoise 37 (1901) 547-579)."""

    TEXT = "text"
    """Whether the texts are not the same, white space aside."""

    FORM = "form"
    """Whether the form differs: JSON, code fence, empty, refusal, preamble, closing offer."""

    TOOLS = "tools"
    """Whether the tool calls are not the same, by name and arguments."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one answer says: its text, and its tool calls as JSON."""

    text: str
    tools: str = ""


def distances(first: Said, second: Said) -> dict[Metric, float]:
    """Every divergence of two answers."""
    return {
        Metric.WORDS: _jaccard(first.text, second.text),
        Metric.TEXT: float(first.text.split() != second.text.split()),
        Metric.FORM: float(features(first.text).form != features(second.text).form),
        Metric.TOOLS: float(first.tools != second.tools),
    }


@dataclass(frozen=True, slots=True)
class Divergence:
    """One metric in one slice. `candidate` and `incumbent` are mean distances from the answer that the user got.

    `net` is their difference, with bounds at 1 - `ALPHA` two-sided. `p` is two-sided, `p_adjusted` the same after Holm
    over the whole table.
    """

    metric: Metric
    slice: str
    candidate: float
    incumbent: float
    net: Interval
    p: float
    p_adjusted: float
    family: int

    @property
    def own_share(self) -> float | None:
        """How much of the difference is the incumbent's own randomness, as a share; None where there is none."""
        return min(1.0, self.incumbent / self.candidate) if self.candidate > 0.0 else None

    @property
    def reason(self) -> str:
        """What is left of the difference, in a sentence."""
        if self.own_share is None:
            return "no difference"
        own = f"{100 * self.own_share:.0f} % of the difference is the incumbent's own randomness"
        return own if self.p_adjusted < ALPHA else f"{own}; what is left is no more than chance"


@dataclass(slots=True)
class Both:
    """The requests that have a noise pair, each with its two distances as far as they have been seen.

    Noise pairs are added first; shadow pairs of other requests are passed over, so memory grows with the noise alone.
    """

    _row: dict[int, int] = field(default_factory=dict)
    _slices: list[tuple[str, ...]] = field(default_factory=list)
    _clusters: array[int] = field(default_factory=lambda: array("q"))
    _noise: dict[Metric, array[float]] = field(default_factory=lambda: {metric: array("d") for metric in Metric})
    _shadow: dict[Metric, array[float]] = field(default_factory=lambda: {metric: array("d") for metric in Metric})

    def add_noise(self, request: str, slices: tuple[str, ...], unit: str, seen: Said, again: Said) -> None:
        """Both answers of the incumbent to one request; a second pair of the same request is passed over."""
        key = _hash(request)
        if key in self._row:
            return
        self._row[key] = len(self._slices)
        self._slices.append(slices)
        self._clusters.append(_hash(unit) if unit else key)
        for metric, value in distances(seen, again).items():
            self._noise[metric].append(value)
            self._shadow[metric].append(np.nan)

    def add_shadow(self, request: str, seen: Said, unseen: Said) -> None:
        """The answers of incumbent and candidate to one request."""
        row = self._row.get(_hash(request))
        if row is not None:
            for metric, value in distances(seen, unseen).items():
                self._shadow[metric][row] = value

    def findings(self) -> list[Divergence]:
        """Every divergence over all requests and in each slice with enough of them."""
        found = [item for label, mask in self._parts() for item in self._in_part(label, mask)]
        adjusted = multiplicity.holm([item.p for item in found])
        return [replace(item, p_adjusted=p, family=len(found)) for item, p in zip(found, adjusted, strict=True)]

    def _parts(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        yield AGGREGATE, np.ones(len(self._slices), bool)
        for name in sorted({name for names in self._slices for name in names}):
            yield name, np.array([name in names for names in self._slices], bool)

    def _in_part(self, label: str, mask: NDArray[np.bool_]) -> Iterator[Divergence]:
        clusters = np.frombuffer(self._clusters, np.int64)
        for metric in Metric:
            shadow, noise = _column(self._shadow, metric), _column(self._noise, metric)
            usable = mask & ~np.isnan(shadow)
            if int(usable.sum()) >= FEWEST and (shadow[usable].any() or noise[usable].any()):
                yield _divergence(metric, label, noise[usable], shadow[usable], clusters[usable])


def _divergence(
    metric: Metric, label: str, noise: NDArray[np.float64], shadow: NDArray[np.float64], clusters: NDArray[np.int64]
) -> Divergence:
    labels = None if np.unique(clusters).size == clusters.size else clusters
    sample = paired.paired_sample(noise, shadow, labels)
    p = signflip.p_two_sided(sample.sums)
    net = paired.difference(sample, ALPHA / 2)
    return Divergence(metric, label, sample.candidate, sample.incumbent, net, p, 1.0, 0)


def _column(columns: Mapping[Metric, Sequence[float]], metric: Metric) -> NDArray[np.float64]:
    return np.array(columns[metric], np.float64)


def _jaccard(first: str, second: str) -> float:
    one, other = (set(_WORD.findall(text.casefold())) for text in (first, second))
    return 1.0 - len(one & other) / len(one | other) if one or other else 0.0


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
