"""Blacking out: what says who somebody is goes, and the rest can still be read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain import redaction
from midshift.domain.redaction import redacted
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
