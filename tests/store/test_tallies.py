"""However requests are split into batches, and whoever sends them, the store has what they add up to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, StaticPool, create_engine

from midshift.domain.cells import NUMBERS
from midshift.domain.exposure import Credit, Exposure, Fate, ShadowFate, feedback_sums
from midshift.domain.light import replaced
from midshift.domain.routing import Arm
from midshift.domain.sums import Sums
from midshift.store import measurements, schema, tallies

EIGHTHS = st.none() | st.integers(0, 8000).map(lambda eighths: eighths / 8)
"""Numbers whose squares add up exactly, in any order."""

TOKENS = st.none() | st.integers(0, 2**20)
CREDITS = st.builds(
    Credit,
    workload=st.sampled_from(["support", "other"]),
    upgrade=st.just("up-1"),
    step=st.integers(0, 1),
    arm=st.sampled_from(Arm),
    slices=st.sampled_from([(), ("german",), ("german", "vip")]),
    block=st.integers(0, 2),
)


def a_request(credit: Credit, fields: dict[str, object]) -> Sums:
    """What one request that is served as this adds."""
    exposure = Exposure("r", credit.workload, 1, Fate.CANDIDATE, credit.arm, credit.upgrade, credit.step)
    sums = Sums()
    sums.add(replaced(exposure, block=credit.block, slices=credit.slices, **fields))
    return sums


def a_feedback(credit: Credit, satisfaction: float | None, has_ticket: bool) -> Sums:
    """What one feedback on such a request adds."""
    sums = Sums()
    sums.merge(feedback_sums(credit, satisfaction, has_ticket))
    return sums


FIELDS = st.fixed_dictionaries(
    {
        "status": st.sampled_from([0, 200, 503]),
        "shadow": st.none() | st.sampled_from(ShadowFate),
        "latency_s": EIGHTHS,
        "first_byte_s": EIGHTHS,
        "streamed": st.booleans(),
        "cost_usd": EIGHTHS,
        "tokens_in": TOKENS,
        "tokens_out": TOKENS,
        "usage_unknown": st.none() | st.booleans(),
    }
)
REQUESTS = st.builds(a_request, CREDITS, FIELDS)
FEEDBACK = st.builds(a_feedback, CREDITS, st.none() | st.sampled_from([0.0, 0.25, 1.0]), st.booleans())
BATCHES = st.lists(st.tuples(st.lists(REQUESTS | FEEDBACK, max_size=4), st.booleans()), max_size=5)
"""What goes together, and whether it is sent as plain sums: as another version or another program would."""


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    """A store in memory."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    schema.METADATA.create_all(engine)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def raw(connection: Connection) -> sqlite3.Connection:
    """The driver's own."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def merged(parts: Iterable[Sums]) -> Sums:
    """All of them."""
    made = Sums()
    for part in parts:
        made.merge(part.by_key, part.histograms)
    return made


@given(BATCHES)
def test_any_batches_in_any_split_are_what_they_add_up_to(
    connection: Connection, batches: list[tuple[list[Sums], bool]]
) -> None:
    """The definition is addition in memory; the store has rows of three kinds for it, and reads them as one."""
    for table in (schema.cells, schema.sums, schema.spans, schema.sum_batches):
        connection.execute(table.delete())
    for sequence, (parts, is_plain) in enumerate(batches):
        for number, part in enumerate([merged(parts)] if is_plain else parts):
            assert tallies.merge(raw(connection), f"g{number}", sequence, part.by_key, part.histograms)
            assert not tallies.merge(raw(connection), f"g{number}", sequence, part.by_key, part.histograms)
    expected = merged(part for parts, _ in batches for part in parts)

    assert expected.by_key == measurements.read(connection, "up-1")
    assert expected.histograms == measurements.read_histograms(connection, "up-1")


def test_a_cell_is_one_row(connection: Connection) -> None:
    """A row for each of its metrics was most of what a gateway did once a second."""
    for table in (schema.cells, schema.sums, schema.sum_batches):
        connection.execute(table.delete())
    sums = a_request(
        Credit("support", "up-1", 1, Arm.CANDIDATE, ("german",), 3), {"latency_s": 0.5, "cost_usd": 0.25, "status": 200}
    )
    for sequence in range(3):
        tallies.merge(raw(connection), "g1", sequence, sums.by_key, {})

    assert 2 == len(connection.execute(schema.cells.select()).all())
    assert [] == connection.execute(schema.sums.select()).all()


def test_every_number_of_a_cell_has_its_column() -> None:
    """Who adds one to a cell is to add a migration too."""
    columns = {column.name for column in schema.cells.columns if not column.primary_key}

    assert set(NUMBERS) == columns
