"""Which prompt is chosen: floors first."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.suite import Margin
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase
from midshift.retune.measuring import Scored, broken, deltas, reward, with_contracts
from midshift.retune.selecting import Tried, chosen
from midshift.retune.splits import split

MARGIN = 0.02


def scored(values: dict[str, list[float | None]]) -> tuple[Scored, ...]:
    """Answers with one score `s` each, by slice; None has no score."""
    return tuple(
        Scored(EvalCase(0, f"{name}-{number}", (), (name,)), Answer("x"), {} if value is None else {"s": value})
        for name, found in values.items()
        for number, value in enumerate(found)
    )


def tried(number: int, values: dict[str, list[float | None]], text: str = "") -> Tried:
    """A prompt that was scored."""
    return Tried(number, text or f"prompt {number}", None if number == 0 else 0, "", scored(values))


INCUMBENT = scored({"a": [0.8] * 10, "b": [0.8] * 5})


def test_the_highest_average_is_not_chosen_if_a_slice_pays_for_it() -> None:
    """Four slices up and one in ruins is what an optimiser calls its best."""
    ruinous = tried(1, {"a": [1.0] * 10, "b": [0.5] * 5})
    honest = tried(2, {"a": [0.82] * 10, "b": [0.8] * 5})

    found = chosen([tried(0, {"a": [0.5] * 10, "b": [0.5] * 5}), ruinous, honest], INCUMBENT, MARGIN)

    assert found.judged[1].reward > found.judged[2].reward
    assert found.chosen is not None
    assert 2 == found.chosen.tried.number
    assert [("s", "b")] == [(floor.score, floor.slice) for floor in found.judged[1].floors]


def test_nothing_is_chosen_if_every_prompt_breaks_a_floor() -> None:
    """The nearest is named, so that a person sees how far it is."""
    found = chosen(
        [tried(0, {"a": [0.8] * 10, "b": [0.2] * 5}), tried(1, {"a": [0.8] * 10, "b": [0.7] * 5})], INCUMBENT, MARGIN
    )

    assert found.chosen is None
    assert 1 == found.nearest.tried.number


def test_a_slice_may_fall_by_the_margin_and_no_more() -> None:
    """Not worse means within the margin, in every slice."""
    within, beyond = tried(0, {"a": [0.8] * 10, "b": [0.78] * 5}), tried(0, {"a": [0.8] * 10, "b": [0.779] * 5})

    assert chosen([within], INCUMBENT, MARGIN).chosen is not None
    assert chosen([beyond], INCUMBENT, MARGIN).chosen is None
    assert chosen([beyond], INCUMBENT, MARGIN, frozenset("b")).chosen is not None


def test_a_slice_with_a_margin_of_its_own_has_its_own_floor() -> None:
    """Wider or narrower than the usual one; a margin for `*` is none, for that is all cases."""
    fallen = tried(0, {"a": [0.79] * 10, "b": [0.75] * 5})

    assert chosen([fallen], INCUMBENT, 0.05, own={}).chosen is not None
    assert chosen([fallen], INCUMBENT, 0.04, own={"b": Margin(6.0)}).chosen is not None
    assert chosen([fallen], INCUMBENT, 0.05, own={"*": Margin(1.0)}).chosen is not None
    (floor,) = chosen([fallen], INCUMBENT, 0.05, own={"a": Margin(0.5)}).nearest.floors
    assert "a" == floor.slice
    assert pytest.approx(0.005) == floor.short


def test_a_missing_score_of_the_candidate_is_the_worst_one() -> None:
    """A prompt whose answers cannot be graded must not win by that."""
    evasive = tried(0, {"a": [0.8] * 10, "b": [None, 1.0, 1.0, 1.0, 1.0]})
    hidden = tried(0, {"a": [1.0] * 10, "b": [None, None, 1.0, 1.0, 1.0]})

    assert chosen([evasive], INCUMBENT, MARGIN).chosen is not None
    assert chosen([hidden], INCUMBENT, MARGIN).chosen is None


def test_a_prompt_gains_nothing_by_answers_that_nobody_can_grade() -> None:
    """A judge that cannot read one answer in fifty must not make its prompt the best of those within the floor."""
    values: dict[str, list[float | None]] = {"a": [0.7] * 50}
    graded = [with_contracts_of(one) for one in scored(values)]
    dodged = [with_contracts_of(one) for one in scored({"a": [None, *values["a"][1:]]})]

    prompts = [Tried(0, "graded", None, "", tuple(graded)), Tried(1, "dodges", 0, "", tuple(dodged))]

    found = chosen(prompts, graded, MARGIN)

    assert found.chosen is not None
    assert "graded" == found.chosen.tried.text
    assert not found.judged[1].floors
    assert (0.85, 0.5) == (reward(graded[0], graded[0]), reward(dodged[0], graded[0]))


def test_what_the_incumbent_lacks_is_no_reward() -> None:
    """The floors do not see it, so nobody may be chosen by it."""
    (old,), (new,) = scored({"a": [None]}), scored({"a": [0.2]})

    assert 1.0 == reward(with_contracts_of(new), with_contracts_of(old))
    assert 0.0 == reward(new, old)


def with_contracts_of(one: Scored) -> Scored:
    """The same, with the promises about its form that every answer is held to."""
    return replace(one, scores=with_contracts(one.case, one.answer, one.scores))


def test_what_the_incumbent_has_no_score_for_says_nothing() -> None:
    """It is left out, and counted as neither."""
    (one, *rest) = deltas(scored({"a": [None, 1.0]}), scored({"a": [0.0, 1.0]}))

    assert (1, 1.0, 1.0) == (one.n, one.before, one.after)
    assert 1 == len(rest)


def test_of_equals_the_shorter_prompt_is_chosen() -> None:
    """Every request pays for its length."""
    values: dict[str, list[float | None]] = {"a": [0.9] * 10, "b": [0.9] * 5}

    found = chosen([tried(0, values, "long prompt"), tried(1, values, "short")], INCUMBENT, MARGIN)

    assert found.chosen is not None
    assert 1 == found.chosen.tried.number


GRADES = st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4)


@given(st.lists(st.tuples(GRADES, GRADES), min_size=1, max_size=6))
def test_no_chosen_prompt_has_a_slice_below_its_floor(prompts: list[tuple[list[float], list[float]]]) -> None:
    """Whatever was tried."""
    old = scored({"a": [0.5] * 4, "b": [0.5] * 4})
    found = chosen([tried(number, {"a": list(a), "b": list(b)}) for number, (a, b) in enumerate(prompts)], old, MARGIN)

    if found.chosen is not None:
        for name in "ab":
            grades = [one.scores["s"] for one in found.chosen.tried.scored if name in one.case.slices]
            assert sum(grades) / 4 >= 0.5 - MARGIN - 1e-6
    else:
        assert all(judged.floors for judged in found.judged)


@pytest.mark.realdata
def test_of_three_real_prompts_the_one_that_costs_no_slice_is_chosen(data_dir: Path) -> None:
    """One model under a plain, a concise and a verbose prompt, graded by slice; the plain one is the incumbent."""
    names = {"plain": "gpt-3.5-turbo-1106", "concise": "gpt-3.5-turbo-1106_concise"}
    names["verbose"] = "gpt-3.5-turbo-1106_verbose"
    rows = [json.loads(line) for line in (data_dir / "alpaca_eval.jsonl").read_text("utf-8").splitlines()]
    cases = {
        str(row["id"]): EvalCase(
            place, str(row["id"]), tuple(row["messages"]), (row["slice"],), metadata={"row": row["outputs"]}
        )
        for place, row in enumerate(rows)
    }
    select = split(list(cases.values()), "alpaca").select

    def answers(name: str) -> tuple[Scored, ...]:
        found = [(case, case.metadata["row"][names[name]]) for case in select]
        return tuple(Scored(case, Answer(out["text"]), {"win": out["scores"]["winrate_ae2"]}) for case, out in found)

    incumbent = answers("plain")
    three = [Tried(number, name, None, "", answers(name)) for number, name in enumerate(("concise", "verbose"))]
    found = chosen(three, incumbent, MARGIN)

    assert found.nearest.tried.text == "verbose"
    assert broken(found.judged[0].deltas, MARGIN)
    worst = found.nearest.floors[0].short if found.nearest.floors else 0.0
    assert worst < found.judged[0].floors[0].short
