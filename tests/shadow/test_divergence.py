"""Divergence: what is left of a difference when the incumbent's own randomness is taken away."""

from random import Random

import pytest

from midshift.domain.suite import AGGREGATE
from midshift.shadow.divergence import FEWEST, Both, Divergence, Metric, Said, distances

WORDS = [f"word{number}" for number in range(40)]
BIAS = "do let me know if there is anything else that you need help with"


def an_answer(random: Random, words: int = 12) -> Said:
    """A model that says something else each time."""
    return Said(" ".join(random.sample(WORDS, words)))


def found(both: Both, metric: Metric, part: str = AGGREGATE) -> Divergence:
    """The one finding of a metric in a slice."""
    (only,) = [item for item in both.findings() if (item.metric, item.slice) == (metric, part)]
    return only


def measured(requests: int, seed: int = 1, bias: str = "", units: int = 0) -> Both:
    """Requests answered three times by one model; the candidate's answers end with `bias`."""
    both, random = Both(), Random(seed)
    for number in range(requests):
        seen, again, new = (an_answer(random) for _ in range(3))
        part, unit = ("a" if number % 2 else "b",), f"u{number % units}" if units else ""
        both.add_noise(f"r-{number}", part, unit, seen, again)
        both.add_shadow(f"r-{number}", seen, Said(f"{new.text} {bias}"))
    return both


def test_the_distance_of_two_answers_in_each_way() -> None:
    """By hand: of four words in all, two are shared."""
    assert {Metric.WORDS: 0.5, Metric.TEXT: 1.0, Metric.FORM: 0.0, Metric.TOOLS: 0.0} == distances(
        Said("Refund sent today"), Said("refund SENT now")
    )
    assert {0.0} == set(distances(Said("The  same. "), Said("The same.")).values())
    assert 1.0 == distances(Said(""), Said("", '[{"name":"refund"}]'))[Metric.TOOLS]
    assert 1.0 == distances(Said("Yes."), Said('{"answer": "yes"}'))[Metric.FORM]
    assert 0.0 == distances(Said(""), Said(""))[Metric.WORDS]


def test_a_candidate_that_differs_no_more_than_the_incumbent_from_itself_is_noise() -> None:
    """Gross, nine words of ten differ; net, nothing does."""
    words = found(measured(300), Metric.WORDS)

    assert words.candidate > 0.5
    assert words.net.low < 0.0 < words.net.high
    assert words.p_adjusted > 0.05
    assert "no more than chance" in words.reason


def test_what_the_candidate_adds_is_left_after_netting() -> None:
    """A closing line of its own in each answer."""
    words = found(measured(300, bias=BIAS), Metric.WORDS)

    assert words.net.low > 0.0
    assert words.p_adjusted < 0.001
    assert words.net.estimate == pytest.approx(words.candidate - words.incumbent)
    assert "of the difference is the incumbent's own randomness" in words.reason


def test_texts_that_are_always_different_are_no_finding_where_the_incumbent_never_repeats_itself() -> None:
    """Exact comparison says nothing about a model at a high temperature."""
    text = found(measured(50), Metric.TEXT)

    assert (1.0, 1.0, 0.0, 1.0) == (text.candidate, text.incumbent, text.net.estimate, text.own_share)


def test_each_slice_with_enough_requests_is_measured() -> None:
    """One that is too small is left out, instead of said to be fine."""
    both = measured(40)
    for number in range(FEWEST - 1):
        both.add_noise(f"s-{number}", ("rare",), "", Said("a"), Said("b"))
        both.add_shadow(f"s-{number}", Said("a"), Said("c"))

    assert {AGGREGATE, "a", "b"} == {item.slice for item in both.findings()}


def test_a_few_users_that_ask_often_count_as_a_few() -> None:
    """A thousand requests of ten users are not a thousand users."""
    alone = found(measured(400, bias=BIAS), Metric.WORDS)
    few = found(measured(400, bias=BIAS, units=10), Metric.WORDS)

    assert (400, 10) == (alone.net.clusters, few.net.clusters)
    assert few.p > alone.p


def test_only_requests_with_both_pairs_count() -> None:
    """A candidate that failed, or a noise call that was shed, leaves nothing to net."""
    both = measured(20)
    both.add_shadow("without noise", Said("a"), Said("b"))
    both.add_noise("without shadow", (), "", Said("a"), Said("b"))

    assert 20 == found(both, Metric.WORDS).net.n


def test_without_noise_pairs_there_is_no_finding() -> None:
    """A difference that nobody can net is no number to show."""
    both = Both()
    both.add_shadow("r", Said("a"), Said("b"))

    assert [] == both.findings()


@pytest.mark.slow
def test_between_equal_models_hardly_anything_is_ever_found() -> None:
    """In 200 worlds the table is wrong at most as often as it says: 5 % of them."""
    wrong = sum(any(item.p_adjusted < 0.05 for item in measured(60, seed).findings()) for seed in range(200))

    assert wrong <= 18
