"""Adding on the path of a request gives what the definition says, number by number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.cells import cell_of
from midshift.domain.exposure import (
    IN_HISTOGRAMS,
    Exposure,
    Fate,
    HistogramKey,
    ShadowFate,
    Sum,
    SumKey,
    contributions,
)
from midshift.domain.histogram import Histogram
from midshift.domain.routing import Arm
from midshift.domain.sums import Sums, cell_rows, rows

COMBINATIONS = st.sampled_from([(), ("german",), ("german", "vip"), ("german", "german"), ("vip",), ("*",)])


def exposures_of(
    numbers: st.SearchStrategy[float], tokens: int, slices: st.SearchStrategy[tuple[str, ...]]
) -> st.SearchStrategy[Exposure]:
    """Exposures with such numbers, up to so many tokens, in these slices."""
    measured, counted = st.none() | numbers, st.none() | st.integers(0, tokens)
    return st.builds(
        Exposure,
        request_id=st.just("r"),
        workload=st.sampled_from(["support", "other"]),
        epoch=st.just(1),
        fate=st.sampled_from(Fate),
        assigned=st.sampled_from(Arm),
        upgrade=st.sampled_from([None, "up-1", "up-1", "up-2"]),
        step=st.integers(0, 1),
        block=st.integers(0, 2),
        slices=slices,
        status=st.sampled_from([0, 200, 404, 499, 500]),
        fell_back=st.booleans(),
        shadow=st.none() | st.sampled_from(ShadowFate),
        latency_s=measured,
        first_byte_s=measured,
        tokens_in=counted,
        tokens_out=counted,
        cost_usd=measured,
        streamed=st.booleans(),
        ring=st.sampled_from(["", "", "staff"]),
        usage_unknown=st.none() | st.booleans(),
    )


ANY = st.floats(0, 1e10, allow_nan=False)
SHORT = st.integers(0, 2**20).map(lambda number: number / 1024)
"""Numbers whose squares a float adds up without rounding: in any order to the same sum."""

EXPOSURES = exposures_of(SHORT, 2**20, COMBINATIONS)
IN_ONE_COMBINATION = COMBINATIONS.flatmap(
    lambda slices: st.lists(exposures_of(ANY, 2**53 - 1, st.just(slices)), max_size=12)
)


def by_definition(exposures: Sequence[Exposure]) -> tuple[dict[SumKey, Sum], dict[HistogramKey, Histogram]]:
    """Every contribution, one after the other."""
    sums: dict[SumKey, Sum] = {}
    histograms: dict[HistogramKey, Histogram] = {}
    for exposure in exposures:
        for key, value in contributions(exposure):
            sums.setdefault(key, Sum()).add(value)
            if key.metric in IN_HISTOGRAMS:
                about = HistogramKey(key.workload, key.upgrade, key.step, key.arm, key.slice, key.metric)
                histograms.setdefault(about, Histogram()).add(value)
    return sums, histograms


def added(exposures: Sequence[Exposure]) -> Sums:
    """The same as a gateway does it."""
    sums = Sums()
    for exposure in exposures:
        sums.add(exposure)
    return sums


@given(st.lists(EXPOSURES, max_size=12) | IN_ONE_COMBINATION)
def test_adding_is_what_the_definition_says(exposures: list[Exposure]) -> None:
    """To the last bit, but for the order in which combinations of slices are added up."""
    sums, histograms = by_definition(exposures)
    found = added(exposures)

    assert sums == found.by_key
    assert histograms == found.histograms
    assert (not sums) == found.is_empty
    assert sum(value.n for key, value in sums.items() if (key.metric, key.slice) == ("error", "*")) == found.requests


@given(st.lists(EXPOSURES, max_size=12), st.lists(EXPOSURES, max_size=3))
def test_rows_are_the_sums_in_the_order_of_the_tables(exposures: list[Exposure], merged: list[Exposure]) -> None:
    """Two gateways that write the same rows in two orders would wait for each other for ever."""
    sums = added(exposures)
    sums.merge(added(merged).by_key)
    cells, others = list(cell_rows(sums.by_key)), list(rows(sums.by_key))
    said = {
        SumKey(workload, upgrade, step, Arm(arm), part, metric, block): Sum(n, total, squares)
        for upgrade, step, arm, part, block, workload, *found in cells
        for metric, n, total, squares in cell_of(found).lines()
    }

    assert by_definition(exposures)[0] == said
    assert by_definition(merged)[0] == {
        SumKey(workload, upgrade, step, Arm(arm), part, metric, block): Sum(n, total, squares)
        for upgrade, step, arm, part, metric, block, workload, n, total, squares in others
    }
    assert cells == sorted(cells)
    assert others == sorted(others) == list(rows(by_definition(merged)[0]))
    assert all(type(row[2]) is str for row in (*cells, *others))
    assert [] == list(cell_rows(by_definition(exposures)[0]))


@given(st.lists(EXPOSURES, max_size=6), st.lists(EXPOSURES, max_size=6))
def test_two_gateways_merge_by_addition(mine: list[Exposure], theirs: list[Exposure]) -> None:
    """Both orders, and to what one gateway would have: but for the last digit of a sum."""
    one, other = Sums(), Sums()
    for sums, batches in ((one, (mine, theirs)), (other, (theirs, mine))):
        for batch in batches:
            sums.merge(added(batch).by_key, added(batch).histograms)
    together = by_definition([*mine, *theirs])[0]

    assert one == other
    assert together.keys() == one.by_key.keys()
    for key, value in one.by_key.items():
        assert value.n == together[key].n
        assert math.isclose(value.squares, together[key].squares, rel_tol=1e-9)


@pytest.mark.parametrize("fields", [{"latency_s": math.nan}, {"latency_s": -1.0}, {"latency_s": math.inf}])
def test_a_latency_that_is_none_adds_nothing(fields: dict[str, Any]) -> None:
    """Half an exposure in the sums would be worse than none."""
    sums = Sums()
    with pytest.raises(ValueError, match="finite numbers"):
        sums.add(Exposure("r", "support", 1, Fate.CANDIDATE, Arm.CANDIDATE, "up-1", status=200, **fields))

    assert {} == dict(sums.by_key)
    assert sums.is_empty
