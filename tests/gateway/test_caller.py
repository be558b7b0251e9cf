"""What the head of a request says, told once."""

from __future__ import annotations

import pytest

from midshift.domain.suite import Slice
from midshift.domain.workload import HeaderEquals, SliceRule
from midshift.gateway.caller import Caller
from midshift.gateway.heads import Head
from midshift.gateway.leg import Leg
from midshift.gateway.reading import Reading
from midshift.providers.http.settings import Upstream
from midshift.wire.protocol import WireName
from tests.gateway.fakes import a_workload

UPSTREAM = Upstream("https://api.openai.com/v1")
LINES = [
    (b"x-tier", b"gold"),
    (b"x-midshift-unit", b"ada"),
    (b"x-midshift-slice", b"named, made-up"),
    (b"x-midshift-ring", b"staff"),
    (b"accept", b"*/*"),
    (b"idempotency-key", b"7"),
]


def a_reading() -> Reading:
    """Of a workload with a slice by a header, and one that apps name."""
    slices = (Slice("gold"), Slice("named"))
    return Reading(a_workload(slices=slices, rules=(SliceRule("gold", HeaderEquals("x-tier", "gold")),)))


@pytest.mark.parametrize(
    ("may_label", "expected"),
    [(True, (b"ada", frozenset(("gold", "named")), frozenset(("staff",)))), (False, (b"", frozenset(), frozenset()))],
)
def test_a_head_labels_its_requests_where_its_key_may(
    may_label: bool, expected: tuple[bytes, frozenset[str], frozenset[str]]
) -> None:
    """A browser's key would choose its own variant."""
    said = Caller(Head("POST", b"/", LINES), "app", "", may_label).says(a_reading())

    assert expected == (said.unit, said.slices, said.rings)


def test_each_workload_is_told_once() -> None:
    """A head comes with thousands of requests; two workloads hide two sets of headers."""
    caller, reading = Caller(Head("POST", b"/", LINES), "app", "", True), a_reading()

    assert caller.says(reading) is caller.says(reading)
    assert caller.says(reading) is not caller.says(a_reading())


def test_a_mirror_sends_nothing_that_names_the_request() -> None:
    """A provider that knows the idempotency key would give the mirror the answer of the first request."""
    said = Caller(Head("POST", b"/", LINES), "app", "", True).says(a_reading())
    unseen, served = (Leg(WireName.OPENAI_CHAT, UPSTREAM, True, is_mirror) for is_mirror in (True, False))

    assert ((b"accept", b"*/*"),) == said.onward(unseen)
    assert ((b"accept", b"*/*"), (b"idempotency-key", b"7")) == said.onward(served)
    assert said.onward(served) is said.onward(served)
