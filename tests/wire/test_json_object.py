"""A JSON object that is read one level deep: what is found in it, and what is kept of it."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from midshift.wire import json_object


@pytest.mark.parametrize(
    ("path", "expected"),
    [("", {"ids": ["a"]}), ("ids.0", "a"), ("ids.1", None), ("ids.-1", None), ("ids.00", None), ("ids.\u0660", None)],
)
def test_an_item_of_a_list_has_one_name(path: str, expected: object) -> None:
    """Whoever takes names out finds an item by the one that counting gives it: another would lead past them."""
    assert expected == json_object.inside({"ids": ["a"]}, path)


@pytest.mark.parametrize(("length", "kept"), [(64, 1), (65, 0)])
def test_a_long_name_of_a_field_is_not_kept(length: int, kept: int) -> None:
    """Names come from apps, and so can be a user's text: a thousand of 64 KB each would stay in memory for good."""
    short = b'{"a": 1}'
    long = json.dumps({"a": 1, "x" * length: 2}).encode()

    def kept_after(body: bytes) -> int:
        fields = json_object.read_fields(body)
        assert body == json_object.written(fields, fields, body)
        return json_object._frame.cache_info().currsize

    json_object._frame.cache_clear()
    before = kept_after(short)
    assert kept == kept_after(long) - before


def test_names_that_apps_make_up_are_kept_within_a_few_megabytes() -> None:
    """An app may send other fields with every request, as many and as long as are kept at all."""
    json_object._frame.cache_clear()
    tracemalloc.start()
    try:
        for number in range(400):
            names = ["a", *(f"{number:03}{place:02}" + "\U0001f600" * 59 for place in range(31))]
            json_object._frame(tuple(names))
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        json_object._frame.cache_clear()

    assert kept_bytes < 8e6
