"""A body that is kept can still be read as what it was, and tells of nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.redacted_body import may_hold, redacted_json, without_units
from midshift.domain.redaction import redacted
from midshift.domain.workload import Redaction
from tests.domain.test_redaction import ALL, PIECES

PICTURE = "data:image/png;base64," + "A" * 9000
BODY: dict[str, Any] = {
    "model": "gpt-4.1-2025-04-14",
    "user": "ada",
    "metadata": {"user_id": "ada", "tier": "gold", "session": "s-1"},
    "messages": [
        {"role": "user", "content": "I am ada@example.com"},
        {"role": "user", "content": [{"type": "text", "text": "+49 170 1234567"}]},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "call_4155552671",
                    "function": {"name": "pay", "arguments": '{"card": 4111111111111111, "n": 2, "to": "b@c.de"}'},
                }
            ],
        },
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": PICTURE}}],
        },
    ],
    "temperature": 0.2,
    "stream": True,
}


def test_a_body_can_still_be_read_as_what_it_was() -> None:
    """Names of fields, roles, ids and numbers stay; texts, tool arguments, units and files do not."""
    found = redacted_json(BODY, ALL, ("metadata.session",))

    assert ("gpt-4.1-2025-04-14", "[unit]", 0.2, True) == (
        found["model"],
        found["user"],
        found["temperature"],
        found["stream"],
    )
    assert {"user_id": "[unit]", "tier": "gold", "session": "[unit]"} == found["metadata"]
    assert "I am [email]" == found["messages"][0]["content"]
    assert "[phone]" == found["messages"][1]["content"][0]["text"]
    call = found["messages"][2]["tool_calls"][0]
    assert "call_4155552671" == call["id"]
    assert {"card": "[card]", "n": 2, "to": "[email]"} == json.loads(call["function"]["arguments"])
    assert "[left out: 9022 characters of data]" == found["messages"][3]["content"][0]["image_url"]["url"]


def test_a_unit_in_a_list_is_a_unit() -> None:
    """`body:metadata.ids.0` names a unit like any other path."""
    assert {"metadata": {"ids": ["[unit]", "gold"]}} == redacted_json(
        {"metadata": {"ids": ["ada lovelace", "gold"]}}, (), ("metadata.ids.0",)
    )


NAMES = st.sampled_from(["user", "role", "arguments", "session", "0", "1", ""])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["", "a@b.de", "[1]"])
BODIES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(".".join), max_size=3)


@given(BODIES, PATHS)
def test_a_unit_is_found_where_its_path_leads_and_nowhere_else(body: Any, paths: list[str]) -> None:
    """A path may be the beginning of another one, lead through lists, or to nothing."""
    expected = walked_by_paths(body, ALL, {tuple(path.split(".")) for path in paths}, ())

    assert expected == redacted_json(body, ALL, paths)


def walked_by_paths(value: Any, kinds: tuple[Redaction, ...], units: set[tuple[str, ...]], at: tuple[str, ...]) -> Any:
    """The same with the whole path of every value."""
    if isinstance(value, dict):
        return {name: field_by_path(inner, kinds, units, (*at, name)) for name, inner in value.items()}
    if isinstance(value, list):
        return [item_by_path(inner, kinds, units, (*at, str(place))) for place, inner in enumerate(value)]
    if isinstance(value, int) and not isinstance(value, bool):
        return value if str(value) == redacted(str(value), kinds) else redacted(str(value), kinds)
    return redacted(value, kinds) if isinstance(value, str) else value


def item_by_path(value: Any, kinds: tuple[Redaction, ...], units: set[tuple[str, ...]], path: tuple[str, ...]) -> Any:
    """What becomes of one item of a list."""
    return "[unit]" if path in units else walked_by_paths(value, kinds, units, path)


def field_by_path(value: Any, kinds: tuple[Redaction, ...], units: set[tuple[str, ...]], path: tuple[str, ...]) -> Any:
    """What becomes of one field."""
    if path in units or (path[-1] == "user" and len(path) <= 2 and value is not None):
        return "[unit]"
    if isinstance(value, str) and path[-1] == "role":
        return value
    if isinstance(value, str) and path[-1] == "arguments" and value == "[1]":
        return value
    return walked_by_paths(value, kinds, units, path)


TEXTS = st.lists(PIECES, max_size=4).map("".join)
FIELDS = st.sampled_from(["text", "role", "arguments", "user", "content"])
HOLDING = st.recursive(
    TEXTS | st.integers() | st.sampled_from([4155552671, 0.5, None, True, "x" * 2001, " " + "x" * 2001, "\x1b" * 700]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3),
)


@given(HOLDING, st.sets(st.sampled_from(Redaction)))
def test_where_a_look_at_a_whole_body_finds_no_sign_redaction_changes_nothing(body: Any, kinds: set[Redaction]) -> None:
    """Whoever keeps bodies spares most of them the search of each text: never one that holds something."""
    nameless = without_units(body, ())
    written = json.dumps(nameless, ensure_ascii=False, separators=(",", ":"))

    assert may_hold(written, kinds) or respelt(nameless) == redacted_json(nameless, kinds)


def respelt(value: Any, name: str = "") -> Any:
    """The same value, with JSON in a text as Python spells it: `-0` is a 0."""
    if isinstance(value, dict):
        return {inner_name: respelt(inner, inner_name) for inner_name, inner in value.items()}
    if isinstance(value, list):
        return [respelt(inner) for inner in value]
    if name != "arguments" or not isinstance(value, str):
        return value
    try:
        return json.dumps(json.loads(value), ensure_ascii=False)
    except ValueError:
        return value


@pytest.mark.parametrize(
    "arguments", ['{"to":"ada\\u0040example.com"}', "[4155552671]", "4155552671", '["\\u0073k-0123456789abcdefghij"]']
)
def test_json_within_a_text_is_looked_into_where_it_may_hide_something(arguments: str) -> None:
    """An escape in it is a sign of nothing to who looks at the body from outside; a number stands there as it is."""
    body = {"messages": [{"tool_calls": [{"function": {"name": "pay", "arguments": arguments}}]}]}
    written = json.dumps(body, ensure_ascii=False, separators=(",", ":"))

    assert body != redacted_json(body, ALL)
    assert may_hold(written, ALL)
