"""Foreign files are foreign: none costs more than its size, leads out of its folder, or breaks an importer."""

import io
import json
import struct
import zipfile
import zlib
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.errors import InputError
from midshift.evals.importers import File, Options, Source, import_file, sniffed
from midshift.evals.importers.zip_file import LARGEST_MEMBER
from tests.evals.importers.imports import EVERY, a_result, assert_a_suite_holds, imported

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["user", "Paris"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)
CONFIG = {
    "prompts": [{"raw": [{"role": "user", "content": "{{q}}"}], "label": "p"}, "{{q}}"],
    "defaultTest": {"vars": {"a": "b"}, "assert": [{"type": "is-json"}], "options": {}},
    "tests": [
        {
            "vars": {"q": ["x", "y"]},
            "assert": [{"type": "contains-any", "value": ["a"], "weight": 1, "threshold": 0.5}],
        },
        {"vars": {"q": "z"}, "metadata": {"slice": "s", "midshift": {"weight": 2, "tools": [{}], "cluster": "k"}}},
    ],
    "scenarios": [
        {"config": [{"vars": {"q": "x"}}], "tests": [{"assert": [{"type": "word-count", "value": {"min": 1}}]}]}
    ],
}
RESULTS = {"results": {"version": 3, "results": [a_result(0, 0, "hi"), a_result(0, 1, "[]"), a_result(1, 0, "ho")]}}
LOG = {"eval": {"task": "t", "scorers": [{"name": "includes"}]}, "samples": [{"id": 1, "input": "q", "target": ["x"]}]}
GOOD: dict[Source, Any] = {
    **{source: [row, row] for source, row in EVERY.items()},
    Source.PROMPTFOO: CONFIG,
    Source.PROMPTFOO_RESULTS: RESULTS,
    Source.INSPECT_LOG: LOG,
}


def changed(value: Any, data: st.DataObject) -> Any:
    """The value with something else at one of its places."""
    if not isinstance(value, dict | list) or not value or data.draw(st.integers(0, 4)) == 0:
        return data.draw(JSON)
    at = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at] = changed(value[at], data)
    return copy


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(data=st.data(), source=st.sampled_from(Source))
def test_no_value_breaks_an_importer_and_what_it_carries_is_a_case(data: st.DataObject, source: Source) -> None:
    """A good file with anything at any place: either it is said what is wrong, or the cases can be written and read."""
    held = json.dumps(changed(changed(GOOD[source], data), data)).encode()
    for said in (source, None):
        try:
            found = import_file(File("x.json", held), said, Options())[1]
        except InputError:
            continue
        assert_a_suite_holds(found.cases)


@settings(max_examples=150, deadline=None)
@given(held=st.binary(max_size=60), name=st.sampled_from(["x.json", "x.yaml", "x.csv", "x.eval", "x"]))
def test_no_bytes_break_an_import(held: bytes, name: str) -> None:
    """Nor what is told from them."""
    for head in (b"", b"PK\x03\x04", b"{", b"[", b"PAR1"):
        with pytest.raises(InputError):
            import_file(File(name, head + held + b"\x00\xff"), None, Options())


@pytest.mark.parametrize(
    "text",
    [
        "prompts: [x]\ntests: !!python/object/apply:os.system ['touch /tmp/x']\n",
        "a: &a [*a]\n",
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
        "prompts: " + "[" * 10_000,
        "prompts: [x]\n---\nprompts: [y]\n",
        "? {a: b}\n: c\n",
        "prompts: [x]\ntests: [{vars: {a: " + str(list(range(600))) + ", b: " + str(list(range(600))) + "}}]\n",
    ],
    ids=["tag", "circle", "laughs", "deep", "two", "key", "product"],
)
def test_yaml_that_costs_or_constructs_too_much_is_refused(text: str) -> None:
    """Before it is unfolded."""
    with pytest.raises(InputError):
        imported("c.yaml", text)


@pytest.mark.parametrize("row", ['{"input": ' + "[" * 100 + "]" * 100 + "}", '{"input": ' + "[" * 100_000])
def test_json_that_is_nested_too_deeply_is_refused(row: str) -> None:
    """A reader further on would fall over it."""
    with pytest.raises(InputError):
        imported("x.jsonl", row)


def packed(members: dict[str, bytes], method: int = 93) -> bytes:
    """A ZIP archive whose members are compressed with zstd, as Inspect writes them."""
    out, directory = io.BytesIO(), b""
    for name, content in members.items():
        held = zstandard.compress(content) if method == 93 else content
        fields = (20, 0, method, 0, 0, zlib.crc32(content), len(held), len(content), len(name), 0)
        at = out.tell()
        out.write(struct.pack("<4s5H3I2H", b"PK\x03\x04", *fields) + name.encode() + held)
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, *fields[:-1], 0, 0, 0, 0, 0, at) + name.encode()
    start = out.tell()
    out.write(
        directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), start, 0)
    )
    return out.getvalue()


HEADER = json.dumps(
    {"eval": {"task": "t", "scorers": [{"name": "includes", "options": {"ignore_case": False}}, {"name": "match"}]}}
).encode()
SAMPLE = json.dumps(
    {"id": 1, "epoch": 1, "input": "Capital?", "target": "Paris", "metadata": {"slice": "geo"}}
).encode()


@pytest.mark.parametrize("method", [0, 93])
def test_a_log_of_inspect_is_read_whatever_compressed_it(method: int) -> None:
    """Python 3.11 itself refuses zstd."""
    members = {"header.json": HEADER, "samples/1_epoch_1.json": SAMPLE, "samples/1_epoch_2.json": SAMPLE}

    case = imported("x.eval", packed(members, method)).cases[0]

    assert ("1", ("geo",), "Paris") == (case.id, case.slices, case.reference)
    includes = {"type": "contains", "values": ["Paris"], "mode": "any", "ignore_case": False, "name": "includes"}
    assert (includes,) == case.graders


def test_a_member_that_unfolds_to_more_than_memory_is_refused() -> None:
    """A kilobyte of zstd can be a gigabyte of zeros."""
    bomb = packed({"header.json": HEADER, "samples/1_epoch_1.json": b"\0" * (LARGEST_MEMBER + 1)})

    assert 100_000 > len(bomb)
    with pytest.raises(InputError, match="unfolds to more"):
        imported("x.eval", bomb)


def test_a_damaged_log_is_refused() -> None:
    """Its checksum is looked at."""
    held = packed({"header.json": HEADER}, 0).replace(b'"task"', b'"tusk"')

    with pytest.raises(InputError, match="checksum"):
        imported("x.eval", held)


def test_an_archive_of_something_else_is_refused() -> None:
    """Also when it is a good one."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../evil.txt", "x")

    with pytest.raises(InputError, match=r"no _journal/start\.json"):
        imported("x.zip", out.getvalue())


def test_a_file_of_no_known_kind_is_named_as_such() -> None:
    """With what to type next."""
    with pytest.raises(InputError, match="--from"):
        sniffed(File("passwd", b"root:x:0:0"))
