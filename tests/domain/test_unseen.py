"""Which requests get a second answer: by luck, the same luck everywhere, and the luck that was asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.routing import Arm, Other, Route
from midshift.domain.unseen import Draws, PairKind, Unseen

REQUESTS = [f"req-{number}" for number in range(4000)]
SHARES = st.floats(0.0, 1.0)


def a_route(**fields: float | tuple[Other, ...]) -> Route:
    """A row in the middle of an upgrade."""
    return Route("w", "old", 1, "new", salt="salt", upgrade="u", **fields)  # type: ignore[arg-type]


def unseen(request: str, arm: Arm, route: Route) -> tuple[Unseen, ...]:
    """All that one request gets."""
    return Draws(route, lambda one: one).of(request, arm)


def drawn(route: Route, arm: Arm, kind: PairKind, variant: str) -> set[str]:
    """The requests of one arm that get this unseen answer."""
    draws, wanted = Draws(route, lambda one: (one.kind, one.variant)), (kind, variant)
    return {request for request in REQUESTS if wanted in draws.of(request, arm)}


def test_nothing_is_asked_unseen_where_no_share_says_so() -> None:
    """Each costs a call."""
    assert {()} == {unseen(request, arm, a_route(share=0.5)) for request in REQUESTS for arm in Arm}


def test_shadow_and_noise_are_of_the_incumbents_requests() -> None:
    """There is no incumbent's answer to compare with where the candidate serves."""
    route = a_route(shadow_share=1.0, noise_share=1.0)

    assert (Unseen(PairKind.SHADOW, "new", 1.0), Unseen(PairKind.NOISE, "old", 1.0)) == unseen(
        "r", Arm.INCUMBENT, route
    )
    assert () == unseen("r", Arm.CANDIDATE, route)


def test_each_noise_pair_has_its_shadow_pair() -> None:
    """Divergence is netted request by request."""
    route = a_route(shadow_share=0.3, noise_share=0.05)
    noise = drawn(route, Arm.INCUMBENT, PairKind.NOISE, "old")

    assert 140 < len(noise) < 260
    assert noise < drawn(route, Arm.INCUMBENT, PairKind.SHADOW, "new")


def test_several_candidates_answer_the_same_requests() -> None:
    """So that they can be compared with each other on them."""
    route = a_route(shadow_share=0.2, others=(Other("third", 0.1), Other("fourth", 0.2)))
    first = drawn(route, Arm.INCUMBENT, PairKind.SHADOW, "new")

    assert first == drawn(route, Arm.INCUMBENT, PairKind.SHADOW, "fourth")
    assert first > drawn(route, Arm.INCUMBENT, PairKind.SHADOW, "third")
    assert set() == drawn(route, Arm.CANDIDATE, PairKind.SHADOW, "third")


@pytest.mark.parametrize("share", [0.01, 0.25, 1.0])
def test_paired_live_samples_are_the_same_requests_whoever_serves_them(share: float) -> None:
    """Only so do they stand for all requests, and their power does not hang on the share."""
    route = a_route(share=share, pair_share=0.1)
    live = drawn(route, Arm.INCUMBENT, PairKind.LIVE, "new")

    assert live == drawn(route, Arm.CANDIDATE, PairKind.LIVE, "old")
    assert 320 < len(live) < 480


def test_no_variant_is_asked_twice_about_one_request() -> None:
    """A live pair is a shadow pair already, and a reverse one."""
    route = a_route(share=0.5, shadow_share=1.0, pair_share=0.2, reverse_share=0.5)

    for arm, variant in ((Arm.INCUMBENT, "new"), (Arm.CANDIDATE, "old")):
        for request in REQUESTS:
            assert 1 >= len([one for one in unseen(request, arm, route) if one.variant == variant])


@given(shadow=SHARES, noise=SHARES, pairs=SHARES, reverse=SHARES, other=SHARES)
def test_a_propensity_is_the_chance_with_which_it_is_drawn(
    shadow: float, noise: float, pairs: float, reverse: float, other: float
) -> None:
    """Estimates weigh by its inverse: a wrong one is a wrong answer."""
    route = a_route(
        shadow_share=shadow, noise_share=noise, pair_share=pairs, reverse_share=reverse, others=(Other("third", other),)
    )
    few = REQUESTS[:400]
    draws = Draws(route, lambda one: one)
    for arm in Arm:
        found = [one for request in few for one in draws.of(request, arm)]
        for kind, variant, propensity in {(one.kind, one.variant, one.propensity) for one in found}:
            share = len([one for one in found if (one.kind, one.variant) == (kind, variant)]) / len(few)
            assert abs(share - propensity) < 5.0 * 0.5 / len(few) ** 0.5
            assert 0.0 < propensity <= 1.0


def test_a_rollback_ends_everything_unseen() -> None:
    """It costs, and what it is about is over."""
    route = a_route(
        share=0.5, shadow_share=0.1, noise_share=0.1, pair_share=0.1, reverse_share=0.1, others=(Other("third", 0.1),)
    ).rolled_back()

    assert Route("w", "old", 2) == route
    assert {()} == {unseen(request, arm, route) for request in REQUESTS[:10] for arm in Arm}


@pytest.mark.parametrize("name", ["noise_share", "pair_share", "reverse_share"])
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_lies_between_none_and_all(name: str, share: float) -> None:
    """What comes from outside must not become a budget."""
    with pytest.raises(ValueError, match=name.replace("_", " ")):
        a_route(**{name: share})


@pytest.mark.parametrize("name", ["noise_share", "pair_share", "reverse_share"])
def test_without_a_candidate_nothing_is_answered_unseen(name: str) -> None:
    """Noise too is measured to judge a candidate."""
    with pytest.raises(ValueError, match="candidate that is not there"):
        Route("w", "old", 1, **{name: 0.1})  # type: ignore[arg-type]


@pytest.mark.parametrize("others", [("new",), ("old",), ("third", "third")])
def test_another_candidate_is_another_variant(others: tuple[str, ...]) -> None:
    """Two samples of one candidate would be taken for one."""
    with pytest.raises(ValueError, match="there already"):
        a_route(others=tuple(Other(variant, 0.1) for variant in others))


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_what_is_made_of_none_is_not_drawn(share: float) -> None:
    """A variant that nobody here can ask; the others answer the same requests as ever."""
    route = a_route(shadow_share=share, others=(Other("third", share),))
    draws = Draws(route, lambda one: None if one.variant == "new" else one.variant)

    found = {request for request in REQUESTS if draws.of(request, Arm.INCUMBENT) == ("third",)}

    assert drawn(route, Arm.INCUMBENT, PairKind.SHADOW, "third") == found
