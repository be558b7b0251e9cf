"""What is measured on one text, against expectations that were written by hand."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.shadow import features as shadow_features
from midshift.shadow.features import Form, features

LONG = "word " * 60  # 300 characters: longer than the end of a text that is looked at

OFFERS = [
    *("Let me know", "let me", "FEEL FREE", "hope this helps", "hope that helps", "Hope it helps", "hope these help"),
    *("happy to help", "is there anything else", "anything else", "don't hesitate", "hope thi\u017f helps", "x" * 240),
]

REFUSALS = [
    "I'm sorry, but no.",
    "I\u2019m very sorry, but no.",
    "I am really sorry.",
    "I am unable to do so.",
    "I'm not able to help.",
    "I cannot do that.",
    "I can't do that.",
    "I can not do that.",
    "I won't do that.",
    "I will not do that.",
    "I must decline.",
    "I do not feel comfortable with that.",
    "I don't feel comfortable.",
    "I don't actually have opinions.",
    "I do not actually have a body.",
    "I don't have enough information.",
    "I do not have access to your account.",
    "I don't have the ability to call.",
    "I do not have personal views.",
    "I apologize, but no.",
    "I apologise, but no.",
    "As an AI, I have no favourites.",
    "As a language model I have none.",
    "Unfortunately, I have to say no.",
    "Unfortunately I have to say no.",
    "well, i CAN'T say",
]
CLOSING_OFFERS = [
    "Let me know!",
    "Please feel free to ask.",
    "Hope this helps",
    "I hope that helps",
    "Hope it helps",
    "Always happy to help.",
    "Is there anything else?",
    "Don't hesitate to write.",
    "don\u2019t hesitate",
    LONG + "Let me know.",
]


def form(text: str) -> set[str]:
    """The names of the yes-or-no features."""
    return {str(flag.name).lower() for flag in features(text).form}


@pytest.mark.parametrize(
    ("text", "chars", "words"),
    [
        ("", 0, 0),
        ("  \n\t ", 5, 0),
        ("one", 3, 1),
        ("two  words\n", 11, 2),
        ("na\u00efve caf\u00e9", 10, 2),
        ("\u65e5\u672c\u8a9e\u306e\u6587", 5, 1),
        ("\U0001f642\U0001f642", 2, 1),
        ("non\u00a0breaking", 12, 2),
        ("it\u2019s", 4, 1),
    ],
)
def test_length_is_of_the_text_as_it_stands(text: str, chars: int, words: int) -> None:
    """Characters as a person counts code points, words by white space: both are what users notice first."""
    measured = features(text)

    assert (chars, words) == (measured.chars, measured.words)


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_seen_in_its_usual_words(text: str) -> None:
    """A candidate that refuses more is a different product, whatever its accuracy."""
    assert {"refusal_like"} == form(text)


@pytest.mark.parametrize(
    "text",
    [
        "You cannot do that.",
        "AI can do that.",
        "I can do that.",
        "I'm happy to help you.",
        "I am glad you asked.",
        "I have access to it.",
        "I apologize for the delay.",
        "Unfortunately, the order was lost.",
        "I don't have any doubt.",
        "Hi'm sorry",
        LONG + "I cannot do that.",
    ],
)
def test_a_refusal_is_not_seen_in_other_words_or_in_the_middle(text: str) -> None:
    """A quotation in the fourth paragraph refuses nobody."""
    assert "refusal_like" not in form(text)


def test_a_refusal_counts_up_to_the_250th_character() -> None:
    """Where the line is drawn does not matter much, as long as it is the same for both variants."""
    phrase = "I cannot"

    assert "refusal_like" in form(" " * (250 - len(phrase)) + phrase)
    assert "refusal_like" not in form(" " * (251 - len(phrase)) + phrase)


@pytest.mark.parametrize(
    "text",
    [
        "Sure! Here you go.",
        "  \nCertainly, this works.",
        "Of course.",
        "absolutely",
        "Great question!",
        "Okay, let's see.",
        "ok,so",
        "Here is the code:",
        "Here are three:",
        "Here's one:",
        "Here\u2019s one:",
        "I'd be happy to.",
        "I would be happy to.",
        "Thank you for asking.",
    ],
)
def test_a_preamble_is_seen_at_the_start(text: str) -> None:
    """The word before the answer is what breaks parsers and annoys users."""
    assert "preamble" in form(text)


@pytest.mark.parametrize(
    "text",
    [
        "Surely not.",
        "Okayish.",
        "The answer: sure.",
        "ok, so",
        "Here we go.",
        "Thanks for asking.",
        "- Sure",
        "\u201cSure",
    ],
)
def test_a_preamble_is_a_whole_word_at_the_very_start(text: str) -> None:
    """Anything else would count half of all answers."""
    assert "preamble" not in form(text)


@pytest.mark.parametrize("text", CLOSING_OFFERS)
def test_a_closing_offer_is_seen_at_the_end(text: str) -> None:
    """The line that a support team misses first when a new model drops it."""
    assert "closing_offer" in form(text)


@pytest.mark.parametrize("text", ["I let you know.", "Hope you like it", "Let me know. " + LONG])
def test_a_closing_offer_is_at_the_end_and_nowhere_else(text: str) -> None:
    """An offer in the middle is part of the answer."""
    assert "closing_offer" not in form(text)


def test_a_closing_offer_counts_from_the_250th_character_before_the_end() -> None:
    """As for the refusal, from the other end."""
    phrase = "Let me know"

    assert "closing_offer" in form(phrase + "." * (250 - len(phrase)))
    assert "closing_offer" not in form(phrase + "." * (251 - len(phrase)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ('{"a": 1}', {"json_valid"}),
        ("```json\n{}\n```", {"json_valid", "code_fence"}),
        ("```\ncode\n```", {"code_fence"}),
        ("a ``` b", {"code_fence"}),
        ("`code`", set()),
        ("Sure! {}", {"preamble"}),
        (
            "Sure, but I can't. Let me know.\n```",
            {"preamble", "refusal_like", "closing_offer", "code_fence"},
        ),
    ],
)
def test_the_forms_are_independent_of_each_other(text: str, expected: set[str]) -> None:
    """Each is counted by itself, so that each drift is seen by itself."""
    assert expected == form(text)


def test_emptiness_and_blocks_are_not_for_a_text_to_tell() -> None:
    """An answer of tool calls has no text and is no empty answer; the reader knows."""
    assert Form(0) == features("").form


@pytest.mark.parametrize(
    ("text", "opening", "closing"),
    [
        ("", "", ""),
        (" \n ", "", ""),
        ("One line.", "One line.", "One line."),
        ("\n  First  line \nmiddle\n\n Last\tline. \n", "First line", "Last line."),
        ("```json\n{\n}\n```", "```json", ""),
        ("```\n{\n}\n```", "", ""),
        ("a1\nok.\nabc", "", "abc"),
        ("x" * 200, "x" * 160, "x" * 160),
        ("It\u2019s\nfine", "It's", "fine"),
    ],
)
def test_an_answer_has_a_first_and_a_last_line_that_say_something(text: str, opening: str, closing: str) -> None:
    """Braces and fences are told by their form; lines are for phrases that a person would recognise."""
    measured = features(text)

    assert (opening, closing) == (measured.opening, measured.closing)


@pytest.mark.parametrize("text", REFUSALS + CLOSING_OFFERS)
@pytest.mark.parametrize("changed", [str.upper, str.lower, "Well. {}".format, "\n{} \n".format])
def test_a_phrase_is_the_same_phrase_in_other_letters_and_surroundings(
    changed: Callable[[str], str], text: str
) -> None:
    """Quick searches come before the slow expressions: none of them may be narrower than what follows it."""
    assert form(text) - {"preamble"} == form(changed(text)) - {"preamble"}


@given(st.text(st.sampled_from(" \t\n\x1c\x1f\x85\xa0\u2003ab\u2019")) | st.text())
def test_words_are_what_split_finds(text: str) -> None:
    """Whatever counts as a space: a count of its own kind would be drift that is none."""
    assert len(text.replace("\u2019", "'").split()) == features(text).words


@given(st.lists(st.sampled_from(OFFERS), max_size=6).map(" ".join))
def test_a_closing_offer_is_found_with_and_without_odd_letters(text: str) -> None:
    """A long s counts as an s: one letter beyond ASCII must not decide which words are looked for."""
    expected = Form.CLOSING_OFFER if shadow_features._CLOSING_OFFER.search(text[-250:]) else Form(0)

    assert expected == features(text).form & Form.CLOSING_OFFER == features("\u00e4" + text).form & Form.CLOSING_OFFER
