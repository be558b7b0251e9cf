"""How many cases settle a question, and what the cases at hand could have shown.

n = deff ((z(1-alpha) + z(power)) sd / margin)^2 for a one-sided paired comparison that asks for "not worse by the
margin" when there is no difference (Miller, arXiv 2411.00640, with z for one side; also
delta = (z(1-alpha) + z(power)) sd / sqrt(n)). Besides, no bounded score can be certified on fewer than
ln(alpha)/ln(1 - margin) cases, because failures that have not been seen yet could be hiding (the rule of three);
the score bound for 0/1 outcomes needs the larger of the two numbers, the Dirichlet bound their sum.
"""

from __future__ import annotations

import math

from scipy import special

from midshift.stats.interval import Method

POWER = 0.8
"""The chance of success that sample sizes are planned for."""


def cases_needed(
    spread: float,
    margin: float,
    alpha: float,
    method: Method,
    design_effect: float = 1.0,
    cluster_size: float = 1.0,
) -> int:
    """Cases with which "no drop beyond `margin`" would be shown, with chance `POWER`, if there is no difference.

    Args:
        spread: standard deviation of one case's difference, in the unit of `margin`.
        margin: the drop to rule out, as a fraction of the score's range, > 0.
        alpha: one-sided level.
        method: the method that will compute the bound.
        design_effect: how many times more cases the clusters' noise asks for (`paired.design_effect`).
        cluster_size: the cluster size of a typical case (`paired.typical_cluster`): an unseen failure may be a whole
            cluster, however little its cases have had in common so far.

    Raises:
        ValueError: if `margin` is not above 0.
    """
    if not margin > 0.0:
        raise ValueError(f"a margin of {margin} can never be ruled out; it must be above 0")
    noise = ((_z(1.0 - alpha) + _z(POWER)) * spread / margin) ** 2
    unseen = math.log(alpha) / math.log1p(-min(margin, 0.999))
    if method is Method.TANGO:
        return math.ceil(max(noise, unseen))
    return math.ceil(design_effect * noise + cluster_size * unseen)


def detectable_drop(spread: float, n: int, alpha: float, design_effect: float = 1.0) -> float:
    """The smallest true drop that `n` cases would prove (reject "not worse"), with chance `POWER`."""
    if n < 1:
        raise ValueError(f"need at least one case, got {n}")
    return (_z(1.0 - alpha) + _z(POWER)) * spread * math.sqrt(design_effect / n)


def _z(p: float) -> float:
    return float(special.ndtri(p))
