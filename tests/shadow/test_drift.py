"""Drift: what changed is flagged with examples that show it, and nothing is flagged between two equal variants."""

import math
from collections.abc import Iterator, Sequence
from random import Random

import pytest

from midshift.domain.suite import AGGREGATE
from midshift.evals.rows import NUMBER_FIELDS, Answer, PairedRow
from midshift.shadow.drift import Finding, Kind, Unit, findings
from midshift.testing import simulated
from tests.builders import measured

PLAIN = "The parcel has left our warehouse."


def an_answer(text: str | None = PLAIN, failure: str = "", **numbers: float) -> Answer:
    """An answer with some of its measurements."""
    return Answer(text, failure=failure, numbers=tuple(numbers.get(name, math.nan) for name in NUMBER_FIELDS))


def pairs(
    old: Sequence[Answer], new: Sequence[Answer], slices: Sequence[str] = ("a",), clusters: int = 0
) -> list[PairedRow]:
    """Rows `case-0`, `case-1`, ... that fall into the slices in turn."""
    return [
        PairedRow(
            number + 1,
            f"case-{number}",
            one,
            other,
            (slices[number % len(slices)],),
            f"c{number % clusters}" if clusters else None,
        )
        for number, (one, other) in enumerate(zip(old, new, strict=True))
    ]


def drift(rows: Sequence[PairedRow]) -> list[Finding]:
    """All findings on the rows."""
    columns, table, cases = measured(rows)
    return findings(columns, cases, table.ids.__getitem__)


def finding(found: Sequence[Finding], metric: str, slice: str = AGGREGATE) -> Finding:
    """The one finding of a metric in a slice."""
    (only,) = [item for item in found if (item.metric, item.slice) == (metric, slice)]
    return only


def flagged(found: Sequence[Finding]) -> set[tuple[str, str]]:
    """Metric and slice of what is flagged."""
    return {(item.metric, item.slice) for item in found if item.flagged}


def varied(count: int, seed: int, ending: str = "") -> list[Answer]:
    """Answers whose lengths differ, as real ones do."""
    random = Random(seed)
    return [an_answer("word " * random.randint(20, 60) + ending) for _ in range(count)]


def test_two_variants_that_answer_alike_have_no_drift() -> None:
    """Not a single flag, and not a change of one character."""
    answers = [an_answer(f"{PLAIN} {'x' * (number % 7)}", latency_s=number / 10) for number in range(40)]

    found = drift(pairs(answers, answers, ("a", "b")))

    assert set() == flagged(found)
    assert {0.0} == {item.delta for item in found}
    assert {1.0} == {item.p for item in found}
    assert {()} == {item.examples for item in found}


def test_each_metric_is_measured_on_all_cases_and_in_each_slice() -> None:
    """A drift that only the German users see is still one."""
    answers = [an_answer(latency_s=1.0)] * 4

    found = drift(pairs(answers, answers, ("a", "b")))

    measured_in = {slice: [item.metric for item in found if item.slice == slice] for slice in ("*", "a", "b")}
    assert measured_in["*"] == measured_in["a"] == measured_in["b"]
    assert {"chars", "words", "median_chars", "latency_s_p99"} <= set(measured_in["*"])
    assert {len(found)} == {item.family for item in found}


def test_a_share_that_is_zero_on_both_sides_is_no_comparison() -> None:
    """It cannot have changed, and would cost those that can have."""
    metrics = {item.metric for item in drift(pairs([an_answer()] * 9, [an_answer()] * 9))}

    assert {"code_fence", "empty", "blocked", "json_valid", "refusal_like"} & metrics == set()


@pytest.mark.parametrize(
    ("metric", "kind", "changed"),
    [
        ("code_fence", Kind.FENCE, an_answer("```\n" + PLAIN)),
        ("json_valid", Kind.JSON, an_answer('{"answer": "the parcel has left"}')),
        ("empty", Kind.EMPTY, an_answer(None, "null")),
        ("blocked", Kind.EMPTY, an_answer(PLAIN, "blocked")),
        ("refusal_like", Kind.REFUSAL, an_answer("I cannot say: " + PLAIN)),
        ("preamble", Kind.OPENING, an_answer("Sure! " + PLAIN)),
        ("closing_offer", Kind.CLOSING, an_answer(PLAIN + " Let me know.")),
    ],
)
def test_a_new_habit_is_flagged_where_it_appeared_with_cases_that_show_it(
    metric: str, kind: Kind, changed: Answer
) -> None:
    """A person who opens the example has to see at once what is meant."""
    old = [an_answer()] * 60
    new = [changed if 6 <= number < 30 else an_answer() for number in range(60)]

    found = finding(drift(pairs(old, new)), metric)

    assert (kind, Unit.SHARE, True) == (found.kind, found.unit, found.flagged)
    assert (0.0, 0.4, 0.4) == pytest.approx((found.incumbent, found.candidate, found.delta))
    assert ("case-6", "case-7", "case-8") == found.examples
    assert found.interval.low > 0.2
    assert found.reason.startswith("more than chance: p")


def test_a_habit_that_was_lost_is_shown_by_cases_that_lost_it() -> None:
    """The candidate forgets the closing line: the example is an answer without it, where there was one."""
    old = [an_answer(PLAIN + " Let me know.") if number >= 20 else an_answer() for number in range(60)]

    found = finding(drift(pairs(old, [an_answer()] * 60)), "closing_offer")

    assert ("case-20", "case-21", "case-22") == found.examples
    assert found.flagged
    assert pytest.approx(-2 / 3) == found.delta


@pytest.mark.parametrize("side", ["lost", "new"])
def test_a_line_that_most_answers_share_is_a_metric_of_its_own(side: str) -> None:
    """No list of phrases knows what this product's incumbent always says at the end."""
    spoken, silent = varied(60, 1, "\n\nYours, the parcel people"), varied(60, 2)
    old, new = (spoken, silent) if side == "lost" else (silent, spoken)

    found = finding(drift(pairs(old, new)), "line: Yours, the parcel people")

    assert (Kind.CLOSING, True, -1.0 if side == "lost" else 1.0) == (found.kind, found.flagged, found.delta)


def test_a_rare_line_is_no_metric() -> None:
    """What four answers of sixty share is not the way the product speaks."""
    old = varied(56, 1) + [an_answer("Rare words.")] * 4

    assert "line: Rare words." not in {item.metric for item in drift(pairs(old, varied(60, 2)))}


@pytest.mark.parametrize(
    ("metric", "unit"),
    [
        ("tokens_in", Unit.TOKENS),
        ("tokens_out", Unit.TOKENS),
        ("tokens_reasoning", Unit.TOKENS),
        ("cost_usd", Unit.USD),
        ("latency_s_mean", Unit.SECONDS),
        ("latency_s_p50", Unit.SECONDS),
        ("latency_s_p95", Unit.SECONDS),
        ("latency_s_p99", Unit.SECONDS),
        ("ttft_s_mean", Unit.SECONDS),
        ("ttft_s_p50", Unit.SECONDS),
    ],
)
def test_a_measurement_that_doubled_is_flagged_with_the_cases_that_grew_most(metric: str, unit: Unit) -> None:
    """Cost and latency are what an upgrade is stopped for when quality is equal."""
    name = metric.removesuffix("_mean").rsplit("_p", 1)[0]
    count = 1000 if metric.endswith("p99") else 200  # of two hundred answers, one per cent are two: no evidence
    old = [an_answer(PLAIN, "", **{name: 10.0 + number}) for number in range(count)]
    new = [an_answer(PLAIN, "", **{name: 2 * (10.0 + number)}) for number in range(count)]

    found = finding(drift(pairs(old, new)), metric)

    assert (unit, True) == (found.unit, found.flagged)
    assert (f"case-{count - 1}", f"case-{count - 2}", f"case-{count - 3}") == found.examples
    assert found.interval.low > 0.0


def test_only_pairs_that_were_measured_on_both_sides_are_compared() -> None:
    """The slow answers of one side against the fast ones of the other would be a drift of the file."""
    old = [an_answer(latency_s=1.0)] * 10 + [an_answer()] * 10
    new = [an_answer(latency_s=1.0)] * 5 + [an_answer(latency_s=9.0)] * 15

    found = finding(drift(pairs(old, new)), "latency_s_mean")

    assert (10, 1.0, 5.0) == (found.interval.n, found.incumbent, found.candidate)


def test_a_measurement_of_one_side_alone_is_no_finding() -> None:
    """An old log without costs says nothing about the price of the new model."""
    found = drift(pairs([an_answer()] * 9, [an_answer(cost_usd=0.1)] * 9))

    assert "cost_usd" not in {item.metric for item in found}


def test_a_change_in_one_slice_is_flagged_there() -> None:
    """On average the length is equal: one half got shorter, the other longer."""
    old = [an_answer("w " * 40)] * 80
    new = [an_answer("w " * (60 if number % 2 else 20)) for number in range(80)]

    found = drift(pairs(old, new, ("a", "b")))

    assert {("chars", "a"), ("chars", "b"), ("words", "a"), ("words", "b")} <= flagged(found)
    assert (0.0, False) == (finding(found, "chars").delta, finding(found, "chars").flagged)


def test_ten_answers_of_one_cluster_are_no_ten_witnesses() -> None:
    """One chatty customer, or ten trials of one case, must not flag a drift of the whole product."""
    old, new = varied(60, 1), [an_answer(f"Sure! {answer.text}") for answer in varied(60, 2)]

    alone, together = drift(pairs(old, new)), drift(pairs(old, new, clusters=4))

    assert finding(alone, "preamble").flagged
    assert not finding(together, "preamble").flagged
    assert (60, 4) == (finding(together, "preamble").interval.n, finding(together, "preamble").interval.clusters)
    assert finding(alone, "preamble").delta == finding(together, "preamble").delta == 1.0


def test_where_too_few_pairs_differ_the_bounds_are_unknown_and_say_so() -> None:
    """Five answers cannot bound a length; a number would be made up."""
    old, new = varied(5, 1), varied(5, 2)

    found = finding(drift(pairs(old, new)), "chars")

    assert (-math.inf, math.inf) == (found.interval.low, found.interval.high)
    assert not found.flagged
    assert found.reason.startswith("too few differing pairs to bound it: p = ")


def test_a_finding_inside_the_noise_says_so() -> None:
    """Most of a table is this, and nobody should have to read p-values to see it."""
    found = finding(drift(pairs(varied(60, 1), varied(60, 2))), "chars")

    assert not found.flagged
    assert found.reason.startswith("inside the noise: p = ")


def test_examples_of_equal_changes_are_the_first_ones_and_never_cases_without_a_change() -> None:
    """The same file names the same examples, and none of them is beside the point."""
    old = [an_answer("abc")] * 30
    new = [an_answer("abcd") if number in (7, 21) else an_answer("abc") for number in range(30)]

    assert ("case-7", "case-21") == finding(drift(pairs(old, new)), "chars").examples


def exchangeable(count: int, seed: int) -> Iterator[PairedRow]:
    """Two runs of one simulated model: any difference between them is luck."""
    model = simulated.INCUMBENT if seed % 2 else simulated.CANDIDATE
    runs = (simulated.pairs(count, 2 * seed + run) for run in (0, 1))
    for number, both in enumerate(zip(*runs, strict=True)):
        old, new = (
            Answer(
                row["outputs"][model]["text"],
                numbers=tuple(row["outputs"][model].get(name, math.nan) for name in NUMBER_FIELDS),
            )
            for row in both
        )
        yield PairedRow(number + 1, f"case-{number}", old, new, ("a" if number % 3 else "b",))


@pytest.mark.slow
def test_between_two_equal_variants_at_most_one_file_in_twenty_has_any_flag() -> None:
    """A report that cries wolf is not read twice: 36 comparisons a file, and the whole table counts as one."""
    with_flags = [seed for seed in range(160) if flagged(drift(list(exchangeable(60, seed))))]

    assert 8 >= len(with_flags)


@pytest.mark.slow
def test_a_change_that_was_planted_among_equal_answers_is_found_and_little_else() -> None:
    """Half of the candidate's closing lines are gone; everything else is luck."""
    planted = {"closing_offer", "chars", "words", "median_chars"}
    found, others = 0, 0
    for seed in range(20):
        rows = list(exchangeable(80, 2 * seed + 1))
        for row in rows[::2]:
            row.candidate.text = (row.candidate.text or "").split("\n\n")[0]
        marks = flagged(drift(rows))
        found += ("closing_offer", AGGREGATE) in marks
        others += any(metric not in planted and not metric.startswith("line: ") for metric, _ in marks)

    assert 20 == found
    assert 2 >= others


def test_a_change_that_is_the_same_in_every_pair_is_a_finding_like_any_other() -> None:
    """A system prompt that grew by twelve tokens adds twelve to every request."""
    old = [an_answer(tokens_in=300.0 + number) for number in range(60)]
    new = [an_answer(tokens_in=312.0 + number) for number in range(60)]

    found = finding(drift(pairs(old, new)), "tokens_in")

    assert (True, 12.0) == (found.flagged, found.delta)
    assert found.interval.low < 12.0 < found.interval.high
