"""Blacking out: what says who somebody is goes, and the rest can still be read."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain import redaction
from midshift.domain.redaction import redacted, redacted_json
from midshift.domain.workload import Redaction

ALL = tuple(Redaction)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to ada.l+x@mail.example.org, please.", "Write to [email], please."),
        ("ada@example.com;bob@example.com", "[email];[email]"),
        ("Call +49 170 1234567 or (415) 555-2671.", "Call [phone] or [phone]."),
        ("0170/1234567", "[phone]"),
        ("a,4155552671,b", "a,[phone],b"),
        ("tel:+4930123456", "tel:[phone]"),
        ("Card 4111 1111 1111 1111, thanks", "Card [card], thanks"),
        ("5500-0000-0000-0004", "[card]"),
        ("IBAN DE89 3704 0044 0532 0130 00 AND so on", "IBAN [iban] AND so on"),
        ("gb82WEST12345698765432", "[iban]"),
        ("from 192.168.0.17 and 2001:db8::ff00:42:8329.", "from [ip] and [ip]."),
        ("sk-ant-api03-abcdefghijklmnop", "[key]"),
        ("Authorization: Bearer abc.def-ghi_jkl0123456", "Authorization: Bearer [key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-def", "[key]"),
    ],
)
def test_what_names_somebody_or_opens_a_door_is_blacked_out(text: str, expected: str) -> None:
    """As people and programs write it."""
    assert expected == redacted(text, ALL)


@pytest.mark.parametrize(
    "text",
    [
        "Your order of 2026-11-22 costs 1,234.50 EUR for 3 pieces.",
        "Version 1.2.3, at 12:30:45.",
        "Order 123456 of 17.11.2026",
        "std::vector and a::b",
        "Grüße @home",
        "Parcel 4111111111111112",
        "skill-based-routing-for-everyone",
    ],
)
def test_what_names_nobody_stays(text: str) -> None:
    """A text that is blacked out all over is no use to a suite."""
    assert text == redacted(text, ALL)


def test_only_what_was_asked_for_goes_and_keys_always() -> None:
    """`redact: [email]` is a choice; a key in a log is an accident whatever was chosen."""
    found = redacted("ada@example.com 192.168.0.1 sk-proj-0123456789abcdefghij", (Redaction.EMAIL,))

    assert "[email] 192.168.0.1 [key]" == found
    assert "ada@example.com [key]" == redacted("ada@example.com ghp_0123456789abcdefghijABCDEFGHIJ012345", ())


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
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}],
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


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("sk-proj-abcdefghijklmnop1234", "[key]"),
        ("AKIAABCDEFGHIJKLMNOP", "[key]"),
        ("DE89370400440532013000", "[iban]"),
        ("10.20.30.40", "[ip]"),
        ("+49 170 1234567", "[phone]"),
        ("bob\\u0040example.com", "[email]"),
    ],
)
@pytest.mark.parametrize("escape", ["\\n", "\\t", "\\r\\n"])
def test_what_stands_behind_an_escape_stands_at_a_beginning(escape: str, text: str, kept: str) -> None:
    """A tool's result or a structured answer is JSON in a text: the letter of its `\\n` is no letter of a word."""
    assert f'{{"log":"it failed:{escape}{kept} {escape}{kept}"}}' == redacted(
        f'{{"log":"it failed:{escape}{text} {escape}{text}"}}', ALL
    )


def test_a_private_key_goes_whole_though_its_lines_end_in_escapes() -> None:
    """Its middle is as secret as its first line."""
    text = r'{"pem":"-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----\n"}'

    assert r'{"pem":"[key]\n"}' == redacted(text, ())


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


@given(st.text(), st.sets(st.sampled_from(Redaction)))
def test_redacting_twice_changes_nothing_more(text: str, kinds: set[Redaction]) -> None:
    """And no text makes it fail."""
    once = redacted(text, kinds)

    assert once == redacted(once, kinds)


ALL_PIECES = [
    *(
        "::",
        "::1",
        "2001:db8::1",
        "1.2.3.4",
        "::ffff:1.2.3.4",
        "a:b:c:d:e:f:1:2",
        "12:30:45",
        "ab:cd",
        "10.0.0.256",
    ),
    *(":", ".", "a", "f", "0", "Z", " ", "\n", "\u2019", "\u0661\u0662\u0663\u0664\u0665\u0666\u0667", "\ud800"),
    *("1", "23", "4567", "-", "(", "+", "/", "?", "DE", "DE12", "3704 0044 0532 0130 00", "abcdefghijk"),
    *("+49 170 1234567", "(030) 1234567", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "2026-11-22T14"),
    *("\\n", "\\t", "\\\\", "\\u0040", '{"a":"'),
    *("sk-" + "a" * 20, "risk_" + "a" * 20, "pk_" + "1" * 16, "rk_live_" + "1" * 20, "AKIA" + "A1" * 8),
    *("ASIA" + "B2" * 8, "ghp_" + "a" * 24, "github_pat_" + "x" * 22, "xoxb-" + "1" * 12, "AIza" + "_" * 32),
    *(
        "hf_" + "q" * 22,
        "eyJhbGciOi.eyJzdWIiOi.x-x",
        "Bearer abcdefghijklmnop1234",
        "a@b.de",
        "-----BEGIN PRIVATE KEY-----MIIabc",
    ),
]
PIECES = st.sampled_from(ALL_PIECES)


@pytest.mark.parametrize("piece", ALL_PIECES)
def test_each_piece_by_itself_is_found_as_well(piece: str) -> None:
    """Draws may leave out the one that matters."""
    assert searched_in_full(piece, set(ALL)) == redacted(piece, ALL)


@given(st.lists(PIECES, max_size=8).map("".join), st.sets(st.sampled_from(Redaction)))
def test_what_is_looked_for_first_hides_nothing(text: str, kinds: set[Redaction]) -> None:
    """A look for single signs spares most texts the search: it may never spare one that holds something."""
    assert searched_in_full(text, kinds) == redacted(text, kinds)


def searched_in_full(text: str, kinds: set[Redaction]) -> str:
    """Every pattern, everywhere."""
    text = redaction._without_keys(text)
    return "".join(part_searched_in_full(part, kinds) for part in re.split(r"(\\[bfnrt])", text))


def part_searched_in_full(text: str, kinds: set[Redaction]) -> str:
    """What stands between two escapes of JSON."""
    for _, pattern in redaction._KEYS:
        text = pattern.sub("[key]", text)
    for kind, searched in IN_FULL.items():
        text = searched(text) if kind in kinds else text
    return text


ANY_IPV6 = re.compile(r"[0-9A-Fa-f:](?<![\w.:].)[0-9A-Fa-f:]{1,40}(?:(?:\.\d{1,3}){3})?", re.DOTALL)
IN_FULL: dict[Redaction, Callable[[str], str]] = {
    Redaction.EMAIL: redaction._without_addresses,
    Redaction.IBAN: partial(redaction._IBAN.sub, redaction._iban),
    Redaction.CARD: partial(redaction._CARD.sub, redaction._card),
    Redaction.IP: lambda text: ANY_IPV6.sub(redaction._ip, redaction._IPV4.sub(redaction._ip, text)),
    Redaction.PHONE: partial(redaction._PHONE.sub, redaction._phone),
}

TEXTS = st.lists(PIECES, max_size=4).map("".join)
FIELDS = st.sampled_from(["text", "role", "arguments", "user", "content"])
HOLDING = st.recursive(
    TEXTS | st.integers() | st.sampled_from([4155552671, 0.5, None, True, "x" * 2001, " " + "x" * 2001, "\x1b" * 700]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3),
)


@given(HOLDING, st.sets(st.sampled_from(Redaction)))
def test_where_a_look_at_a_whole_body_finds_no_sign_redaction_changes_nothing(body: Any, kinds: set[Redaction]) -> None:
    """Whoever keeps bodies spares most of them the search of each text: never one that holds something."""
    nameless = redaction.without_units(body, ())
    written = json.dumps(nameless, ensure_ascii=False, separators=(",", ":"))

    assert redaction.may_hold(written, kinds) or respelt(nameless) == redacted_json(nameless, kinds)


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
    assert redaction.may_hold(written, ALL)


@pytest.mark.parametrize(
    "part",
    [
        *("a", "1", "1 ", "a.", "'", "@", "a@", ":", "1.", "+1", "DE12", "DE12 ", "-", "eyJ", "0:", "(", "sk-"),
        *("a:", "::", "1:2 "),
    ],
)
def test_no_text_takes_long(part: str) -> None:
    """A user who writes a megabyte of one sign must not stop the record of everybody else."""
    text = part * (100_000 // len(part))
    started_s = time.thread_time()  # what is tested is how long it works, not how busy the machine is
    redacted(text, ALL)

    assert time.thread_time() - started_s < 5.0
