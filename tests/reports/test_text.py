"""Foreign text stays text: what a terminal or a browser would obey is spelt out."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.reports.text import visible

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize("plain", ["", "refunds", "Ünïcode, 日本語, עברית", "a <b> & \"c\" 'd'", "\u00a0", "100 %"])
def test_plain_text_passes_unchanged(plain: str) -> None:
    """Most slice names are harmless in any script; HTML is escaped elsewhere, where it matters."""

    assert plain == visible(plain)


@pytest.mark.parametrize(
    ("hostile", "expected"),
    [
        ("\x1b[31mPASS\x1b[0m", "\\x1b[31mPASS\\x1b[0m"),
        ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("txt.\u202eexe", "txt.\\u202eexe"),
        ("\u2066a\u2069", "\\u2066a\\u2069"),
        ("a\u2028b\u2029c", "a\\u2028b\\u2029c"),
        ("\ufeff\u200b", "\\ufeff\\u200b"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_would_be_obeyed_is_spelt_out(hostile: str, expected: str) -> None:
    """An escape sequence can repaint a verdict, and an override can make it read backwards."""

    assert expected == visible(hostile)


def test_a_lone_surrogate_can_be_written() -> None:
    """File names that are not UTF-8 arrive as lone surrogates, which no encoder takes."""

    assert b"a\\udc80" == visible("a\udc80").encode()


def test_joiners_that_scripts_need_stay() -> None:
    """Persian words and families of emoji fall apart without them, and they reorder nothing."""

    assert "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645" == visible(
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    )
    assert "\U0001f469\u200d\U0001f467" == visible("\U0001f469\u200d\U0001f467")


def test_long_text_is_cut_and_says_so() -> None:
    """A slice name of ten thousand characters is one line of a report, not all of it."""

    assert "xxxx\u2026" == visible("x" * 10_000, 5)
    assert "xxxxx" == visible("x" * 5, 5)


@given(ANY_TEXT)
def test_nothing_is_left_to_obey(text: str) -> None:
    """Whatever a model wrote: one line, no control, no override, no private or unassigned character."""
    shown = visible(text)

    assert shown.isprintable() or not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert set() == {c for c in shown if unicodedata.category(c) == "Cf"} - set("\u200c\u200d\u00ad")
    shown.encode()


@given(ANY_TEXT)
def test_showing_twice_changes_nothing(text: str) -> None:
    """The page has a second fence behind the first; it must not spell out what is spelt out."""
    once = visible(text)

    assert once == visible(once, len(once))
