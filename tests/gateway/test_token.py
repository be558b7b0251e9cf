"""The request id as a token: read by every gateway of a deployment, made by nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.exposure import Credit
from midshift.domain.light import replaced
from midshift.domain.routing import Arm
from midshift.gateway import token
from midshift.gateway.token import BadToken, Issued

KEY = token.key_of(b"a key for tests, only for tests")
NONCE = bytes(range(12))
AT = datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)
SLICES = {"other": ("x",), "support": ("german", "escalations", "everyday")}


def issued(**fields: Any) -> Issued:
    """What a request of the candidate's says."""
    given = {
        "workload": "support",
        "upgrade": "support-17",
        "step": 3,
        "arm": Arm.CANDIDATE,
        "slices": ("german", "everyday"),
        "block": 255,
        **fields,
    }
    return Issued(Credit(**given), 12_345, AT)


def made_by(tokens: token.Tokens, nonce: bytes, credit: Credit, epoch: int) -> str:
    """A token for the same by what prepares them."""
    about = (credit.workload, credit.upgrade, credit.step, credit.arm, credit.slices, credit.block, epoch)
    return tokens.make(nonce, AT.timestamp(), about)


def outcome(make: Callable[[], str]) -> str:
    """The token, or why there is none."""
    try:
        return make()
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("fields", [{}, {"upgrade": None, "step": 0}, {"arm": Arm.INCUMBENT}, {"slices": ()}])
def test_a_token_says_what_the_request_was_served_as(fields: dict[str, Any]) -> None:
    """So that any gateway can credit feedback that comes days later, without looking anything up."""
    made = token.make(KEY, NONCE, issued(**fields))

    assert issued(**fields) == token.read(KEY, made, SLICES)
    assert re.fullmatch(r"req_[A-Za-z0-9_-]+", made)


def test_a_token_is_short_whatever_the_names() -> None:
    """It is a header, and goes into other people's databases; their columns end somewhere."""
    longest = issued(upgrade="u" * 74, slices=tuple(f"slice-{number}" * 6 for number in range(30)))

    assert 199 == token.LONGEST >= len(token.make(KEY, NONCE, longest))
    with pytest.raises(ValueError, match="at most 74 bytes, got 75"):
        token.make(KEY, NONCE, issued(upgrade="u" * 75))


def test_of_many_slices_the_first_are_credited() -> None:
    """In the order of the definitions: the first eight."""
    names = tuple(f"slice-{number}" for number in range(10))
    made = token.make(KEY, NONCE, issued(slices=names))

    assert names[:8] == token.read(KEY, made, {"support": names}).credit.slices


def test_two_requests_have_two_tokens() -> None:
    """Feedback is counted once for each."""
    assert token.make(KEY, NONCE, issued()) != token.make(KEY, NONCE[::-1], issued())


def test_a_token_is_spelt_as_it_always_was() -> None:
    """Tokens that apps keep are read by later versions, and a fleet in the middle of a roll-out makes them alike."""
    expected = "req_AQABAgMEBQYHCAkKC2lWYcEAAAAAMDkAAwP_kEA8DQK3reQNyrVzdXBwb3J0LTE3ZU8tclz7OmrevmkZVg9nTg"

    assert expected == token.make(KEY, NONCE, issued())


@given(
    st.builds(
        Credit,
        st.sampled_from(["support", "other"]),
        st.none() | st.text(max_size=80),
        st.integers(-1, 70_000),
        st.sampled_from(Arm),
        st.lists(st.text(max_size=3), max_size=10).map(tuple),
        st.integers(-1, 300),
    ),
    st.integers(-1, 1 << 49),
    st.binary(min_size=12, max_size=12),
)
def test_a_prepared_token_is_the_same_token(credit: Credit, epoch: int, nonce: bytes) -> None:
    """What many requests have in common is prepared; with room for one, it is prepared again each time."""
    for tokens in (token.Tokens(KEY), token.Tokens(KEY, most=1)):
        for number in (0, 1, 0):
            one = replaced(credit, block=credit.block + number)
            expected = outcome(lambda: token.make(KEY, nonce, Issued(one, epoch, AT)))  # noqa: B023
            assert expected == outcome(lambda: made_by(tokens, nonce, one, epoch))  # noqa: B023


@given(st.data())
def test_a_token_that_was_changed_is_refused(data: st.DataObject) -> None:
    """Somebody who turns the arm around would move the numbers of a gate."""
    made = token.make(KEY, NONCE, issued())
    place = data.draw(st.integers(0, len(made) - 1))
    sign = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="))
    changed = made[:place] + sign + made[place + 1 :]
    if changed != made:
        with pytest.raises(BadToken):
            token.read(KEY, changed, SLICES)


@pytest.mark.parametrize(
    "text",
    ["", "req_", "req_" + "0" * 32, "req_" + "A" * 500, "abc", "req_ü", "req_!!!!", "chatcmpl-123", "req_A"],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    """The id of a refused request, the provider's own id, or anything that somebody tries."""
    with pytest.raises(BadToken):
        token.read(KEY, text, SLICES)


def test_a_token_has_one_spelling() -> None:
    """Feedback is counted by the text of its id: a second spelling of one token would count twice."""
    made = token.make(KEY, NONCE, issued(slices=("german",)))
    for spelt in (made + "=", made + "==", " " + made, made + "\n", made.replace("req_", "req_ ")):
        with pytest.raises(BadToken):
            token.read(KEY, spelt, SLICES)


def test_a_token_of_another_deployment_is_refused() -> None:
    """Staging and production have a key each."""
    made = token.make(token.key_of(b"another key, also for tests"), NONCE, issued())

    with pytest.raises(BadToken, match="not made by a gateway of this deployment"):
        token.read(KEY, made, SLICES)


def test_the_key_of_tokens_is_not_that_of_units() -> None:
    """A unit in a record is an HMAC, too; it must not be good for anything else."""
    assert b"a key for tests, only for tests" != KEY


def test_names_that_are_gone_are_said() -> None:
    """A slice that was renamed is left out; a workload that is not served here refuses."""
    made = token.make(KEY, NONCE, issued())

    assert ("german",) == token.read(KEY, made, {"support": ("german",)}).credit.slices
    with pytest.raises(BadToken, match="workload that this gateway does not serve"):
        token.read(KEY, made, {"other": ()})


def test_the_digest_names_a_token_without_holding_it() -> None:
    """What a store remembers of who gave feedback."""
    made = token.make(KEY, NONCE, issued())

    assert re.fullmatch(r"[0-9a-f]{32}", token.digest(made))
    assert token.digest(made) != token.digest(made + "=")
