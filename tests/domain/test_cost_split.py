"""Why two runs cost differently: the causes must give the whole difference, whichever run comes first."""

from __future__ import annotations

import math
from dataclasses import asdict
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.cost import LongContext, Rates, UnitPrices, cost
from midshift.domain.cost_split import CostSplit, Effects, log_mean, spend, split
from midshift.domain.light import replaced
from midshift.domain.usage import Usage

Run = list[tuple[Usage, UnitPrices | None]]

OLD = UnitPrices(Rates(input=Decimal(3), output=Decimal(15), cached_in=Decimal("0.3")), search=Decimal("0.01"))
NEW = UnitPrices(Rates(input=Decimal(2), output=Decimal(10), cached_in=Decimal("0.5")), search=Decimal("0.02"))


@st.composite
def runs(draw: st.DrawFn, cases: int = 3) -> Run:
    """A few calls at one list of prices, some of them without input, output, reasoning or searches."""
    money = st.decimals("0.01", 100, places=2)
    prices = UnitPrices(Rates(draw(money), draw(money), cached_in=draw(money)), search=draw(money))
    made: Run = []
    for _ in range(cases):
        plain, cached, visible, reasoning = (draw(st.integers(0, 5000)) for _ in range(4))
        usage = Usage(plain + cached, visible + reasoning, cached, reasoning_out=reasoning)
        made.append((replaced(usage, searches=draw(st.integers(0, 2))), prices))
    return made


def effects(found: CostSplit) -> Effects:
    """The effects of a split that must be known."""
    assert found.effects_usd is not None
    return found.effects_usd


@given(runs(), runs())
def test_the_effects_add_up_to_the_difference_and_multiply_to_the_ratio(before: Run, after: Run) -> None:
    found = split(spend(before), spend(after))

    totals = [sum((cost(usage, prices).total_usd or 0) for usage, prices in run if prices) for run in (before, after)]
    assert found.incumbent_usd == pytest.approx(float(totals[0]) / 3)
    assert found.candidate_usd == pytest.approx(float(totals[1]) / 3)
    difference = float(totals[1] - totals[0]) / 3
    scale = float(totals[0] + totals[1])
    assert sum(asdict(effects(found)).values()) == pytest.approx(difference, rel=1e-9, abs=1e-12 * scale)
    if found.multipliers is not None:
        assert math.prod(asdict(found.multipliers).values()) == pytest.approx(float(totals[1] / totals[0]), rel=1e-9)


@given(runs(), runs())
def test_the_order_of_the_runs_only_changes_the_sign(before: Run, after: Run) -> None:
    there, back = split(spend(before), spend(after)), split(spend(after), spend(before))

    for cause, usd in asdict(effects(there)).items():
        assert -usd == pytest.approx(asdict(effects(back))[cause], rel=1e-9, abs=1e-15)


@given(runs())
def test_a_run_against_itself_has_no_effects(run: Run) -> None:
    assert {0.0} == set(asdict(effects(split(spend(run), spend(run)))).values())


def test_a_price_cut_alone_is_a_price_effect_alone() -> None:
    usage = Usage(1000, 200, 0, reasoning_out=50)
    half = UnitPrices(Rates(Decimal("1.5"), Decimal("7.5"), cached_in=Decimal("0.15")))

    found = split(spend([(usage, OLD)]), spend([(usage, half)]))

    others = {cause: usd for cause, usd in asdict(effects(found)).items() if cause != "price"}
    assert pytest.approx(-0.003) == effects(found).price
    assert dict.fromkeys(others, 0.0) == pytest.approx(others, abs=1e-18)
    assert found.multipliers is not None
    assert pytest.approx(0.5) == found.multipliers.price


def test_reasoning_that_was_not_there_before_is_all_of_reasoning() -> None:
    """The boundary that makes a cheaper model dearer: it has no logarithm, and a limit."""
    found = split(
        spend([(Usage(0, 100, 0, reasoning_out=0), OLD)]), spend([(Usage(0, 400, 0, reasoning_out=300), OLD)])
    )

    assert pytest.approx(0.0045) == effects(found).reasoning
    assert 0.0 == effects(found).visible == effects(found).price


def test_what_the_cache_saves_is_no_change_of_price_or_tokens() -> None:
    found = split(spend([(Usage(1000, 0, 0), OLD)]), spend([(Usage(1000, 0, 1000), OLD)]))

    assert pytest.approx(-0.0027) == effects(found).caching
    assert pytest.approx(0.0) == effects(found).price == effects(found).input == effects(found).mix


def test_a_cache_that_is_free_takes_all_of_the_saving() -> None:
    """It has no logarithm, and is no cut of the list price."""
    free = UnitPrices(Rates(Decimal(3), Decimal(15), cached_in=Decimal(0)))

    found = split(spend([(Usage(1000, 0, 0), free)]), spend([(Usage(1000, 0, 1000), free)]))

    assert pytest.approx(-0.003) == effects(found).caching
    assert 0.0 == effects(found).price == effects(found).input == effects(found).mix


def test_audio_and_long_context_are_no_share_of_the_cache() -> None:
    rates = Rates(Decimal(3), Decimal(15), cached_in=Decimal("0.3"), audio_in=Decimal(30))
    audio = spend([(Usage(1000, 0, 0, audio_in=100, cached_audio_in=0), UnitPrices(rates))])
    twice = Rates(Decimal(6), Decimal(30), cached_in=Decimal("0.6"))
    long = spend(
        [(Usage(1000, 0, 500), UnitPrices(Rates(Decimal(3), cached_in=Decimal("0.3")), (LongContext(9, twice),)))]
    )
    plain = spend([(Usage(1000, 0, 0), OLD)])

    assert pytest.approx(0.0027) == effects(split(plain, audio)).mix
    assert pytest.approx(0.0) == effects(split(plain, audio)).caching
    found = effects(split(plain, long))
    assert pytest.approx(0.0033 - 0.003) == found.caching + found.mix
    assert 0.0 > found.caching
    assert 0.0 < found.mix


def test_a_model_that_becomes_free_is_a_price_effect() -> None:
    free = UnitPrices(Rates(Decimal(0), Decimal(0)))
    found = split(spend([(Usage(1000, 0, 0), OLD)]), spend([(Usage(1000, 0, 0), free)]))

    assert pytest.approx(-0.003) == effects(found).price
    assert found.ratio is None
    assert found.multipliers is None


@given(runs(), runs(), st.lists(st.integers(1, 100_000), min_size=4, max_size=4))
def test_tokenizer_and_text_with_all_other_causes_reconcile_to_the_cent(
    before: Run, after: Run, characters: list[int]
) -> None:
    """Price, tokenizer, text, caching, reasoning and the rest leave nothing over, per call and over a million."""
    found = split(spend(before, *characters[:2]), spend(after, *characters[2:]))

    causes = asdict(effects(found))
    for name, parts in (("input", found.of_input_usd), ("visible", found.of_visible_usd)):
        if parts is not None:
            del causes[name]
            causes |= {f"{name} {part}": usd for part, usd in asdict(parts).items()}
    difference = (found.candidate_usd or 0.0) - (found.incumbent_usd or 0.0)
    assert abs(1e6 * (math.fsum(causes.values()) - difference)) < 0.005


def test_more_tokens_for_the_same_text_are_the_tokenizers() -> None:
    before = spend([(Usage(1000, 0, 0), OLD)], characters_in=4000)

    same = split(before, spend([(Usage(1300, 0, 0), OLD)], characters_in=4000))
    longer = split(before, spend([(Usage(1300, 0, 0), OLD)], characters_in=5200))

    assert same.of_input_usd is not None
    assert longer.of_input_usd is not None
    assert pytest.approx(0.0009) == same.of_input_usd.tokenizer == effects(same).input
    assert pytest.approx(0.0) == same.of_input_usd.text
    assert pytest.approx(0.0, abs=1e-15) == longer.of_input_usd.tokenizer
    assert pytest.approx(0.0009) == longer.of_input_usd.text


def test_a_model_that_writes_more_is_told_from_one_whose_tokens_are_smaller() -> None:
    before = spend([(Usage(0, 100, 0, reasoning_out=0), OLD)], characters_out=400)

    chatty = split(before, spend([(Usage(0, 200, 0, reasoning_out=0), OLD)], characters_out=800)).of_visible_usd
    smaller = split(before, spend([(Usage(0, 200, 0, reasoning_out=0), OLD)], characters_out=400)).of_visible_usd

    assert chatty is not None
    assert smaller is not None
    assert pytest.approx((0.0, 0.0015), abs=1e-15) == (chatty.tokenizer, chatty.text)
    assert pytest.approx((0.0015, 0.0), abs=1e-15) == (smaller.tokenizer, smaller.text)


def test_characters_that_were_not_measured_leave_the_wording_unknown() -> None:
    """Calls of an older ledger, and requests with images."""
    call = [(Usage(10, 10, 0, reasoning_out=0), OLD)]

    found = split(spend(call, 40, 40), spend(call))

    assert (None, None) == (found.of_input_usd, found.of_visible_usd)


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        ([(Usage(10, 10, 0, reasoning_out=0), None)], "call 1: no prices"),
        ([(Usage(10, 10, 0, reasoning_out=0), OLD), (Usage(10, None, 0), OLD)], "call 2: tokens_out was not reported"),
        ([(Usage(10, 10, 0), OLD)], "call 1: reasoning_out was not reported"),
        ([], "there are no calls"),
    ],
)
def test_an_unknown_part_makes_the_split_unknown(calls: Run, why: str) -> None:
    known = spend([(Usage(10, 10, 0, reasoning_out=0), NEW)])

    assert CostSplit(why=f"incumbent: {why}") == split(spend(calls), known)
    assert CostSplit(why=f"candidate: {why}") == split(known, spend(calls))


def test_runs_over_different_cases_are_not_compared() -> None:
    call = (Usage(10, 10, 0, reasoning_out=0), OLD)

    with pytest.raises(ValueError, match="the same cases"):
        split(spend([call]), spend([call, call]))


@given(st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_the_logarithmic_mean_lies_between_the_geometric_and_the_arithmetic(a: float, b: float) -> None:
    found = log_mean(a, b)

    assert math.sqrt(a) * math.sqrt(b) * (1 - 1e-9) <= found <= (a + b) / 2 * (1 + 1e-9)
    assert found == pytest.approx(log_mean(b, a), rel=1e-9)
