"""The short way to a cost gives the very float that the long one gives."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from midshift.domain.cost import LongContext, Rates, UnitPrices, cost
from midshift.domain.usage import Usage
from midshift.domain.usual_cost import priced_by

COUNTS = st.none() | st.integers(0, 20) | st.integers(0, 10**6) | st.integers(10**9, 10**15)
MONEY = (
    st.none()
    | st.sampled_from([Decimal(3), Decimal("3.0"), Decimal(0), Decimal("0.30"), Decimal("3E+2"), Decimal("1E-30")])
    | st.decimals(0, 1000, places=4)
    | st.decimals(0, 10**12, places=12)
)
RATES = st.builds(Rates, *[MONEY] * 9)
PRICES = st.builds(
    lambda rates, long, search: UnitPrices(rates, long, search),
    RATES,
    st.just(()) | st.builds(lambda above, rates: (LongContext(above, rates),), st.integers(0, 10**6), RATES),
    MONEY,
)
RARE = st.none() | st.just(0) | st.integers(0, 5)
USAGES = st.builds(
    Usage,
    tokens_in=COUNTS,
    tokens_out=COUNTS,
    cached_in=st.none() | st.integers(0, 20),
    cache_write_in=st.none() | st.integers(0, 20),
    cache_write_long_in=RARE,
    reasoning_out=st.none() | st.integers(0, 20),
    audio_in=RARE,
    cached_audio_in=RARE,
    audio_out=RARE,
    searches=RARE,
)
PLAIN = UnitPrices(Rates(Decimal(3), Decimal(15)))
USUAL = UnitPrices(Rates(Decimal(3), Decimal(15), Decimal("0.3"), Decimal("3.75")))


@given(USAGES, PRICES)
@example(Usage(300, 100, 20, 7, 0, 5), USUAL)
@example(Usage(300, 100), USUAL)
@example(Usage(300, 100), PLAIN)
@example(Usage(300, 100, 0, 0, 0, 0, 0, 0, 0, 0), PLAIN)
@example(Usage(300, 100, 301), PLAIN)
@example(Usage(10**10, 10**10, 0, 0, 0, 0), UnitPrices(Rates(*[Decimal("9999999.999999999")] * 9)))
def test_a_cost_is_the_same_float_either_way(usage: Usage, prices: UnitPrices) -> None:
    """Bills of the gateway and of `midshift prices` are compared with `==`."""
    total = cost(usage, prices).total_usd

    assert (None if total is None else float(total)) == priced_by(prices)(usage)
