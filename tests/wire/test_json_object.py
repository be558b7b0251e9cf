"""A JSON object that is read one level deep: what is found in it, and what is kept of it."""

from __future__ import annotations

import json

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

    def looked_up(body: bytes) -> int:
        fields = json_object.read_fields(body)
        assert body == json_object.written(fields, fields, body)
        return json_object._spelt_often.cache_info().misses

    before = looked_up(short)
    assert kept == looked_up(long) - before
