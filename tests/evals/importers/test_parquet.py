"""Parquet, written by pyarrow itself: nested columns, types that JSON has none for, and files that cost too much."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.errors import InputError
from midshift.evals.importers import File, Options, Source, import_file, parquet
from midshift.evals.importers.data import DEEPEST
from tests.evals.importers.imports import CHAT, LANGFUSE, LM_EVAL, assert_a_suite_holds, imported, lost

pa = pytest.importorskip("pyarrow", reason="NOT TESTED: no pyarrow (type: pip install 'midshift[parquet]')")
pq = pytest.importorskip("pyarrow.parquet")

IMAGE = {"type": "image_url", "text": None, "image_url": {"url": "https://x/y.png", "detail": None}}
WORDS = {"type": "text", "text": "Capital of France?", "image_url": None}
CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"a": null}'}}


def written(table: Any, **how: Any) -> bytes:
    """A table as a Parquet file."""
    out = io.BytesIO()
    pq.write_table(table, out, **how)
    return out.getvalue()


def test_a_chat_in_a_list_of_structs_is_asked_without_the_nulls_that_parquet_adds() -> None:
    """Every struct has every field there; a provider refuses `"image_url": null`."""
    answer = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    rows = [{"messages": [*CHAT, answer], "reference": "Paris"}]
    parts = [{"messages": [{"role": "user", "content": [WORDS, IMAGE]}], "reference": "Paris"}]

    texts, mixed = (imported("x.parquet", written(pa.Table.from_pylist(held))).cases[0] for held in (rows, parts))

    assert (*CHAT, {"role": "assistant", "tool_calls": [CALL]}) == texts.messages
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    assert [{"type": "text", "text": "Capital of France?"}, image] == mixed.messages[0]["content"]


NESTED = {
    "question": pa.array(["Wo?", "Was?"], pa.large_string()),
    "answer": pa.array(["hier", None]),
    "topic": pa.array(["geo", "geo"]).dictionary_encode(),
    "weight": pa.array([Decimal("2.50"), Decimal("1.00")], pa.decimal128(5, 2)),
    "labels": pa.array([[("tier", "gold"), ("n", "1")], []], pa.map_(pa.string(), pa.string())),
    "twice": pa.array([[("a", 1), ("a", 2)], None], pa.map_(pa.string(), pa.int8())),
    "at": pa.array([1, None], pa.timestamp("ns", "Europe/Berlin")),
    "days": pa.array([date(2026, 1, 2)] * 2),
    "spans": pa.array([[{"from": 3}], None], pa.list_(pa.struct([("from", pa.time64("ns"))]))),
    "blob": pa.array([b"\xff\x00", b"text"]),
    "half": pa.array([0.5, None], pa.float16()),
    "large": pa.array([[1, 2], None], pa.large_list(pa.int64())),
    "big": pa.array([2**64 - 1, None], pa.uint64()),
}


def test_types_that_json_has_none_for_are_carried_whole() -> None:
    """To the nanosecond, to the last digit, and both values of a key that a map has twice."""
    found = imported("x.parquet", written(pa.table(NESTED)))

    first, second = found.cases
    assert ("Wo?", "hier", ("geo",), 2.5) == (
        first.messages[0]["content"],
        first.reference,
        first.slices,
        first.weight,
    )
    assert {
        "labels": {"tier": "gold", "n": "1"},
        "twice": [["a", 1], ["a", 2]],
        "at": "1970-01-01 01:00:00.000000001+0100",
        "days": "2026-01-02",
        "spans": [{"from": "00:00:00.000000003"}],
        "blob": "/wA=",
        "half": 0.5,
        "large": [1, 2],
        "big": 2**64 - 1,
    } == first.metadata
    assert ({"days": "2026-01-02", "blob": "text"}, None) == (second.metadata, second.reference)
    assert set() == lost(found)


def test_fields_are_named_by_path_into_structs_and_maps() -> None:
    """As in every other table."""
    held = {
        "row": pa.array([{"q": "Wo?", "who": {"id": 7}}]),
        "m": pa.array([[("t", "a")]], pa.map_(pa.string(), pa.string())),
    }

    case = imported("x.parquet", written(pa.table(held)), input="row.q", cluster="row.who.id", slice="m.t").cases[0]

    assert ("Wo?", "7", ("a",)) == (case.messages[0]["content"], case.cluster, case.slices)


def test_the_form_is_told_from_the_first_row_of_parquet_too() -> None:
    """Exports are often kept as Parquet."""
    table = pa.Table.from_pylist([LANGFUSE])
    samples = pa.Table.from_pylist([LM_EVAL])

    found = [import_file(File("x.parquet", written(held)), None, Options())[0] for held in (table, samples)]

    assert [Source.LANGFUSE, Source.LM_EVAL] == found


def test_row_groups_are_read_one_after_the_other() -> None:
    """Every row of every group, with its number."""
    rows = [{"question": f"q{n}", "slice": "s"} for n in range(1000)]
    held = written(pa.Table.from_pylist(rows), row_group_size=90)

    found = imported("x.parquet", held)

    assert [f"q{n}" for n in range(1000)] == [case.messages[0]["content"] for case in found.cases]


def test_a_dictionary_that_unfolds_to_more_than_memory_is_refused() -> None:
    """A kilobyte of file can be a gigabyte of rows."""
    held = written(pa.table({"question": pa.array(["x" * 10_000] * 1000)}), compression="zstd")

    assert 20_000 > len(held)
    with pytest.raises(InputError, match="unfolds to more"):
        list(parquet.rows(held, "x.parquet", DEEPEST, most_bytes=1 << 20))


def test_a_value_that_is_nested_too_deeply_is_refused() -> None:
    """Before anything recurses through it."""
    kind = pa.int8()
    value: Any = 1
    for _ in range(90):
        kind, value = pa.list_(kind), [value]

    with pytest.raises(InputError, match="deep"):
        imported("x.parquet", written(pa.table({"question": pa.array(["q"]), "n": pa.array([value], kind)})))


@pytest.mark.parametrize("cut", [5, 200, -1])
def test_a_file_that_is_cut_off_is_named_as_damaged(cut: int) -> None:
    """Parquet is not read by guessing."""
    held = written(pa.table({"question": pa.array([f"q{n}" for n in range(50)])}))

    with pytest.raises(InputError, match=r"x\.parquet: Parquet that cannot be read after row 0"):
        imported("x.parquet", held[:cut])


WITHOUT = """\
import sys
sys.modules["pyarrow"] = None
from midshift.errors import InputError
from midshift.evals.importers import File, Options, import_file
try:
    import_file(File("x.parquet", b"PAR1"), None, Options())
except InputError as error:
    sys.stdout.write(str(error))
"""


@pytest.mark.slow
def test_without_pyarrow_the_extra_is_named() -> None:
    """The next line to type; everything else works without."""
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)

    assert (
        "x.parquet is Parquet, and pyarrow is not installed. Type next: pip install 'midshift[parquet]'" == done.stdout
    )


CELLS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.decimals(-999, 999, places=3)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
)
NESTING = st.recursive(
    CELLS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(["messages", "input", "answer", "slice", "weight", "tools", "metadata", "x"]), value=NESTING
)
def test_no_value_of_any_type_breaks_an_import(name: str, value: Any) -> None:
    """Whatever Arrow can hold in any column that is looked at."""
    try:
        table = pa.table({"question": pa.array(["q"]), name: pa.array([value])})
        held = written(table)
    except (pa.ArrowException, OverflowError, ValueError):
        return
    try:
        found = import_file(File("x.parquet", held), None, Options())[1]
    except InputError:
        return
    assert_a_suite_holds(found.cases)
