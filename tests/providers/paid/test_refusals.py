"""Of what an answer without a 200 speaks: the difference between a candidate that is worse and a key that is wrong."""

import pytest

from midshift.domain.paid_call import Ending
from midshift.providers.paid.refusals import Speaks, hint, speaks


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (400, "temperature is not supported", Speaks.REQUEST),
        (413, "", Speaks.REQUEST),
        (422, "", Speaks.REQUEST),
        (401, "", Speaks.ASKER),
        (402, "", Speaks.ASKER),
        (403, "no permission", Speaks.ASKER),
        (403, "Your input was flagged", Speaks.REQUEST),
        (404, "", Speaks.ASKER),
        (307, "", Speaks.ASKER),
        (400, '{"error": {"details": [{"reason": "API_KEY_INVALID"}]}}', Speaks.ASKER),
        (400, "The provided model identifier is invalid.", Speaks.ASKER),
        (429, "too many requests", Speaks.PASSING),
        (429, "insufficient_quota", Speaks.ASKER),
        (529, "overloaded", Speaks.PASSING),
        (504, "", Speaks.LOST),
        (408, "", Speaks.LOST),
        (202, "", Speaks.LOST),
        (599, "", Speaks.LOST),
    ],
)
def test_a_status_speaks_of_the_request_or_of_who_asks(status: int, said: str, expected: Speaks) -> None:
    """What no list knows may have been served: it is held, and neither asked again nor taken for an answer."""
    assert expected is speaks(status, said)


@pytest.mark.parametrize("status", range(100, 600))
def test_only_what_speaks_of_the_request_is_final(status: int) -> None:
    """Whatever else it is can be mended, and the next run asks again or a person decides."""
    found = speaks(status, "")

    assert (found is Speaks.REQUEST) == (found.ending is Ending.REFUSED)


@pytest.mark.parametrize("status", [301, 401, 402, 403, 404, 405, 410])
def test_whoever_is_turned_away_hears_what_to_do(status: int) -> None:
    assert hint(status, "") is not None
