"""What an eval rests on: evidence for the same, and for nothing else."""

from dataclasses import replace

import pytest

from midshift.domain.evidence import Basis

BASIS = Basis("w", "old", "cases", "graders", ("judge-1", "judge-2"), "* 2pt", "german", 1)


def test_the_same_differs_in_nothing() -> None:
    assert () == BASIS.differs(BASIS)


@pytest.mark.parametrize(
    ("now", "part"),
    [
        (replace(BASIS, workload="v"), "workload"),
        (replace(BASIS, incumbent="older"), "incumbent"),
        (replace(BASIS, cases="others"), "cases"),
        (replace(BASIS, graders=""), "graders"),
        (replace(BASIS, judges=("judge-1",)), "judges"),
        (replace(BASIS, judges=("judge-1", "judge-3")), "judges"),
        (replace(BASIS, margins="* 1pt"), "margins (* 2pt then, * 1pt now)"),
        (replace(BASIS, watched=""), "watched slices (german then, none now)"),
    ],
)
def test_whatever_is_another_is_named(now: Basis, part: str) -> None:
    """Whoever waits wants to know what was changed."""
    assert (part,) == BASIS.differs(now)


def test_a_judge_that_nobody_names_may_be_any() -> None:
    """The command named it, because the suite does not."""
    assert () == BASIS.differs(replace(BASIS, judges=("judge-1", "")))


def test_more_trials_say_the_same_more_surely() -> None:
    assert () == BASIS.differs(replace(BASIS, trials=3))
