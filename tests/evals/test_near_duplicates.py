"""Near-duplicates are found in one pass, the same each time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.evals.near_duplicates import ALIKE, _shingles, jaccard, repeated

LONG = " ".join(f"word{number}" for number in range(80))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Where is my parcel?", "  where is   MY parcel? "),
        (LONG, LONG + " indeed"),
        (LONG, LONG.replace("word40", "sentence")),
    ],
)
def test_a_text_that_says_nearly_the_same_repeats_the_earlier_one(left: str, right: str) -> None:
    """Case, white space and a changed word make no new case."""
    assert [None, 0] == repeated([left, right])


def test_texts_of_their_own_are_kept() -> None:
    """A shared topic is not enough."""
    texts = ["Where is my parcel?", "Where is my refund, please? I wait.", "Wo ist mein Paket?", "", LONG, LONG[::-1]]

    assert [None] * 6 == repeated(texts)


@given(st.lists(st.text(max_size=60), max_size=12))
def test_what_is_called_a_repetition_is_one(texts: list[str]) -> None:
    """No case is thrown away for a hash that happens to be equal."""
    for number, other in enumerate(repeated(texts)):
        assert other is None or jaccard(_shingles(texts[number]), _shingles(texts[other])) >= ALIKE
        assert other is None or other < number
