"""Suites are read strictly, written losslessly, and never take a draft for a reference."""

import pytest

from midshift.errors import InputError
from midshift.evals import suite_file
from midshift.evals.suite_file import EvalCase, Suite, case_of, confirmed, line_of, read, read_cases

LINE = b'{"id": "r-1", "slice": "refunds", "messages": [{"role": "user", "content": "Where is it?"}]}\n'
FULL = {
    "id": "r-17",
    "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Wo bleibt es?"}],
    "slice": ["refunds", "german"],
    "cluster": "customer-4",
    "weight": 2.5,
    "reference": {"refund": True},
    "expects": "json",
    "graders": [{"type": "json_equal"}],
    "tools": [{"type": "function", "function": {"name": "refund"}}],
    "params": {"max_tokens": 100},
    "variables": {"tone": "kind"},
    "metadata": {"author": "ann"},
    "source": {"system": "promptfoo"},
}


def case(**fields: object) -> EvalCase:
    return case_of({"id": "a", "messages": [{"role": "user", "content": "Hi."}], **fields}, 1)


def test_a_case_with_every_field_comes_back_from_its_line() -> None:
    """Importers, build and confirm write suites: what they lose is lost for good."""
    written = case_of(FULL, 1)

    assert [written] == read_cases([line_of(written)], "s.jsonl")
    assert set(FULL) | {"reference_status"} == set(suite_file.FIELDS)


def test_a_field_that_nobody_knows_is_a_fault_with_its_line_and_column() -> None:
    """`slise` would make a case without a slice, and nobody would see why the slice is small."""
    misspelt = LINE.replace(b"slice", b"slise").replace(b"r-1", b"r-2")

    with pytest.raises(InputError, match=r"s\.jsonl:2:15: unknown field 'slise', expected 'slice'"):
        read([LINE, misspelt], "s.jsonl")


@pytest.mark.parametrize(
    ("line", "place", "found"),
    [
        (b'{"id": 1,]', "s.jsonl:1:10", "malformed"),
        (b'{"id": 1, "messages": "hi"}', "s.jsonl:1:11", "Expected `array`"),
        (b'{"id": 1, "messages": []}', "s.jsonl:1:11", "at least one message"),
        (b'{"id": 1, "messages": [{"role": "usr"}]}', "s.jsonl:1:11", "role 'usr'"),
        (b'{"id": 1, "weight": 0, "messages": [{"role": "user"}]}', "s.jsonl:1:11", "above 0"),
        (b'{"id": 1, "slice": "*", "messages": [{"role": "user"}]}', "s.jsonl:1:11", "other than"),
        (b'{"id": 1, "graders": [{}], "messages": [{"role": "user"}]}', "s.jsonl:1:11", "without a type"),
        (b'{"id": "\xff"}', "s.jsonl:1:", "UTF-8"),
        (b'{"id": 1, "reference": ' + b"[" * 100_000, "s.jsonl:1:1", "deeply"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(line: bytes, place: str, found: str) -> None:
    """A suite may have ten thousand lines."""
    with pytest.raises(InputError) as raised:
        read([line], "s.jsonl")

    assert place in str(raised.value)
    assert found in str(raised.value)


def test_a_suite_without_slices_gates_nothing_and_is_refused() -> None:
    """R1.4: an average can hide the requests that matter."""
    plain = LINE.replace(b'"slice": "refunds", ', b"")

    assert 1 == len(read_cases([plain], "s.jsonl"))
    with pytest.raises(InputError, match="no case has a slice"):
        read([plain], "s.jsonl")


def test_an_id_that_is_there_twice_is_refused() -> None:
    """Its answers could not be told apart."""
    with pytest.raises(InputError, match=r"s\.jsonl:2:1: id 'r-1' again \(see 1\)"):
        read([LINE, LINE], "s.jsonl")


def test_a_draft_is_no_reference_until_somebody_confirms_it() -> None:
    """What the incumbent said would else become what is right, and every candidate would be worse."""
    draft = case(reference="Paris", reference_status="draft")

    assert (None, "Paris") == (draft.reference, draft.draft)
    assert ("Paris", None) == (confirmed(draft).reference, confirmed(draft).draft)
    assert [draft] == read_cases([line_of(draft)], "s.jsonl")


def test_equal_requests_have_one_hash_whatever_they_are_called() -> None:
    """Cases are paired by content where two suites number them differently."""
    asked = case(tools=[{"a": 1, "b": 2}])

    assert asked.content_hash == case(tools=[{"b": 2, "a": 1}], id="z", slice="x", metadata={"m": 1}).content_hash
    assert asked.content_hash != case(params={"max_tokens": 5}, tools=[{"a": 1, "b": 2}]).content_hash


def test_a_case_is_graded_by_its_suite_and_by_itself() -> None:
    """The suite's first, so that every case has them in one order."""
    own = case(graders=[{"type": "regex", "pattern": "x"}])

    assert ["json", "regex"] == [g["type"] for g in Suite("s", (own,), ({"type": "json"},)).graders_of(own)]
