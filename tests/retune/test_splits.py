"""The three parts of a suite."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from midshift.evals.suite_file import EvalCase
from midshift.retune.splits import ENOUGH, Kept, Part, Splits, marks, merged, part_of, split

NAMES = st.sampled_from(["a", "b", "c", "d"])
CASES = st.lists(
    st.tuples(st.frozensets(NAMES, max_size=3), st.sampled_from([None, "x", "y", "z"])), min_size=1, max_size=60
)


def case(number: int, *slices: str, cluster: str | None = None, says: str | None = None) -> EvalCase:
    """A case that asks something of its own, or what `says` says."""
    return EvalCase(number, f"c-{number}", ({"role": "user", "content": says or f"case {number}"},), slices, cluster)


def parts(found: Splits) -> list[tuple[EvalCase, ...]]:
    """Tune, select, locked."""
    return [found.tune, found.select, found.locked]


def made(spec: list[tuple[frozenset[str], str | None]]) -> list[EvalCase]:
    """Cases of a drawn form."""
    return [case(number, *sorted(slices), cluster=cluster) for number, (slices, cluster) in enumerate(spec)]


@given(CASES)
def test_every_case_is_in_one_part_and_no_cluster_in_two(spec: list[tuple[frozenset[str], str | None]]) -> None:
    """A cluster in two parts is an answer that is known before it is asked."""
    cases = made(spec)
    found = split(cases, "seed")

    assert Counter(one.id for one in cases) == Counter(one.id for part in parts(found) for one in part)
    homes: dict[str, set[int]] = {}
    for number, part in enumerate(parts(found)):
        for one in part:
            homes.setdefault(one.cluster or one.id, set()).add(number)
    assert {1} == {len(home) for home in homes.values()}


@given(CASES, st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_matter(spec: list[tuple[frozenset[str], str | None]], random: object) -> None:
    """A suite that was sorted anew must not deal the locked cases again."""
    cases = made(spec)
    shuffled = list(cases)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    first, second = split(cases, "seed"), split(shuffled, "seed")

    assert [{one.id for one in part} for part in parts(first)] == [{one.id for one in part} for part in parts(second)]


@given(CASES)
def test_a_slice_is_in_every_part_or_it_is_said_that_it_is_not(spec: list[tuple[frozenset[str], str | None]]) -> None:
    """A floor that no case holds is none, and somebody has to know."""
    cases = made(spec)
    found = split(cases, "seed")

    for name in {name for one in cases for name in one.slices}:
        is_everywhere = all(any(name in one.slices for one in part) for part in parts(found))
        assert is_everywhere != any(f"slice {name!r}" in note for note in found.notes)


@given(st.dictionaries(NAMES, st.integers(1, 30), min_size=1))
def test_three_independent_cases_are_enough_for_a_slice(sizes: dict[str, int]) -> None:
    """Small slices are the ones that an average hides: they come first."""
    names = [name for name, size in sizes.items() for _ in range(size)]
    found = split([case(number, name) for number, name in enumerate(names)], "seed")

    for name, size in sizes.items():
        counts = [sum(name in one.slices for one in part) for part in parts(found)]
        assert size < ENOUGH or 0 not in counts
        assert all(abs(count - share * size) < 2 for count, share in zip(counts, (0.4, 0.3, 0.3), strict=True))


def test_a_slice_of_one_case_is_there_to_choose_by() -> None:
    """A prompt that ruins it has to be seen before it is chosen."""
    found = split([*(case(number, "many") for number in range(9)), case(9, "one")], "seed")

    assert ["c-9"] == [one.id for one in found.select if "one" in one.slices]
    assert ("slice 'one' has 1 case: none in locked or tune",) == found.notes


def test_cases_that_ask_the_same_are_never_in_two_parts() -> None:
    """A duplicate with another id would be learnt in one part and asked in another."""
    cases = [case(number, "a", says=f"the same {number % 3}") for number in range(12)]

    homes = [{one.messages[0]["content"] for one in part} for part in parts(split(cases, "seed"))]

    assert [] == [text for text in homes[0] if text in homes[1] | homes[2]] + list(homes[1] & homes[2])


def test_another_seed_deals_another_way() -> None:
    """It is a draw, and not the order of the ids."""
    cases = [case(number, "a") for number in range(40)]

    assert split(cases, "one").locked != split(cases, "two").locked


def kept(found: Splits) -> dict[str, Part]:
    """What a re-tuning writes down of its deal."""
    by_part = {Part.TUNE: found.tune, Part.SELECT: found.select, Part.LOCKED: found.locked}
    return merged({mark: part} for part, cases in by_part.items() for case in cases for mark in marks(case))


@given(CASES, CASES)
def test_a_case_that_was_shown_is_never_locked_when_the_suite_has_grown(
    spec: list[tuple[frozenset[str], str | None]], more: list[tuple[frozenset[str], str | None]]
) -> None:
    """The next prompt may be made from the last one, and carries what that was fitted to."""
    first = split(made(spec), "seed")
    second = split(made([*spec, *more]), "seed", kept=Kept(kept(first)))

    shown = {one.id for one in (*first.tune, *first.select)}
    assert set() == shown & {one.id for one in second.locked}
    clusters = {one.cluster for one in (*first.tune, *first.select)} - {None}
    assert set() == clusters & {one.cluster for one in second.locked}


@given(CASES)
def test_the_same_suite_is_dealt_the_same_again(spec: list[tuple[frozenset[str], str | None]]) -> None:
    """A search that goes on must find its cases where they were."""
    first = split(made(spec), "seed")
    second = split(made(spec), "another", kept=Kept(kept(first)))

    assert parts(first) == parts(second)


def test_locked_cases_that_were_judged_make_room_for_new_ones() -> None:
    """They are spent as a judge, and still good to learn from."""
    cases = [case(number, "a") for number in range(30)]
    first = split(cases, "seed")
    judged = frozenset(mark for one in first.locked for mark in marks(one))
    second = split([*cases, *(case(number, "a") for number in range(30, 50))], "seed", kept=Kept(kept(first), judged))

    assert second.locked
    assert set() == {one.id for one in first.locked} & {one.id for one in second.locked}


def test_a_case_is_known_by_what_it_asks_and_by_its_cluster() -> None:
    """Another id, or a slice that was renamed, makes it no new case."""
    dealt = kept(Splits((case(1, "a", cluster="x"),), (case(2, "a", cluster="y"),), ()))

    assert Part.TUNE is part_of(EvalCase(9, "renamed", case(1).messages, ("b",)), dealt)
    assert Part.TUNE is part_of(case(3, "a", cluster="x"), dealt)
    assert Part.TUNE is part_of(EvalCase(9, "both", case(2).messages, (), "x"), dealt)
    assert None is part_of(case(4, "a"), dealt)
    assert not any("case 1" in mark or "x" in mark.partition(":")[2][:1] for mark in marks(case(1, cluster="x")))
