"""Tokens found in the bytes of an answer."""

import json

from hypothesis import given
from hypothesis import strategies as st

from midshift.wire import tokens

NAMED = tokens.texts_of("id", "signature")
TOKENS = st.text(alphabet="abcXYZ0123+/=_-", min_size=8, max_size=30)


@given(token=TOKENS, text=st.text(max_size=40), spaced=st.booleans())
def test_what_is_under_a_name_is_found_whatever_stands_beside_it(token: str, text: str, spaced: bool) -> None:
    """However the vendor writes its JSON."""
    separators = (", ", ": ") if spaced else (",", ":")
    part = json.dumps({"text": text, "inner": [{"signature": token}], "id": 3}, separators=separators)

    assert [token] == tokens.found(NAMED, part.encode())


@given(st.text(alphabet='abcdefgh":{}\\ id', max_size=60))
def test_no_text_that_a_model_wrote_is_taken_for_a_field(text: str) -> None:
    """Else an app could be made to believe that another variant had answered it."""
    part = json.dumps({"text": f'{text}"id": "abcdefgh", "signature":"abcdefgh"{text}'})

    assert [] == tokens.found(NAMED, part.encode())


def test_a_token_is_found_once_and_read_as_the_app_reads_it() -> None:
    """Some servers escape what they need not."""
    part = rb'{"id":"abc\u003d\/efgh","signature":"abc=/efgh","id":"short","id":"\xzzzzzzzzz"}'

    assert ["abc=/efgh"] == tokens.found(NAMED, part)
