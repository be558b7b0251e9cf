"""Values as JSON and back: exact, versioned, and refused when they would not come back."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from midshift.domain.exposure import TextFeatures
from midshift.domain.plan import Approval, Halts, Plan, Step
from midshift.domain.routing import Route
from midshift.domain.suite import Margin
from midshift.domain.upgrade import Event, Kind, Stage, Upgrade, Waiver
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.domain.workload import Cycle
from midshift.errors import StoreError
from midshift.store import documents, schema
from midshift.testing.contracts import CANDIDATE, START

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
said = text.filter(str.strip)
moments = st.datetimes(timezones=st.timezones())
finite = st.floats(allow_nan=False, allow_infinity=False)
from_0 = st.floats(0.0, allow_nan=False, allow_infinity=False)
holds = st.timedeltas(min_value=timedelta(days=7), max_value=timedelta(days=4000))
lengths = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=4000))
shares = st.sets(st.floats(0.0, 1.0, exclude_min=True, exclude_max=True), min_size=1, max_size=4)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    steps = tuple(Step(share, draw(holds)) for share in [*sorted(draw(shares)), 1.0])
    approvals = st.builds(Approval, st.sampled_from([step.share for step in steps]), text, st.none() | text)
    return Plan(
        steps=steps,
        shadow=draw(lengths),
        soak=draw(lengths),
        cycle=draw(st.sampled_from(Cycle)),
        margin=Margin(draw(st.floats(0.0, 100.0, exclude_min=True))),
        halts=Halts(draw(from_0), draw(from_0), draw(from_0)),
        approvals=tuple(draw(st.lists(approvals, max_size=2))),
        shadow_coverage=draw(st.floats(0.0, 1.0)),
    )


upgrades = st.builds(
    Upgrade,
    id=text,
    workload=text,
    incumbent=text,
    candidate=text,
    plan=plans(),
    stage=st.sampled_from(Stage),
    entered=moments,
    salt=text,
    step=st.integers(0, 9),
    version=st.integers(0, 10**9),
    paused=st.booleans(),
    waivers=st.lists(st.builds(Waiver, said, said, said), max_size=2).map(tuple),
    approvals=st.lists(text, max_size=2).map(tuple),
)
events = st.builds(Event, st.sampled_from(Kind), moments, text, text, text, st.none() | text)
routes = st.builds(
    Route,
    workload=text,
    incumbent=text,
    epoch=st.integers(0, 2**62),
    candidate=text,
    share=st.floats(0.0, 1.0),
    shadow_share=st.floats(0.0, 1.0),
    salt=text,
    step=st.integers(0, 9),
    upgrade=st.none() | text,
    lease_until=st.none() | moments,
)


@given(plans() | upgrades | events | routes)
def test_a_value_comes_back_as_it_was(value: documents.Document) -> None:
    """A replayed decision must see what the first one saw: not a share rounded, not a microsecond lost."""
    assert documents.in_utc(value) == documents.decode(type(value), documents.encode(value))


def test_a_document_names_its_form() -> None:
    """Whoever finds one in a backup in ten years can tell what it is."""
    assert documents.encode(Plan()).startswith('{"format":"midshift.plan/1","value":{')


def test_a_document_of_a_newer_form_is_refused() -> None:
    """Reading it as the old form would drop what the new one says, and the next write would make that final."""
    newer = documents.encode(Plan()).replace("midshift.plan/1", "midshift.plan/2")

    with pytest.raises(StoreError, match=r"found a document of form 'midshift.plan/2'.*pip install --upgrade"):
        documents.decode(Plan, newer)


@pytest.mark.parametrize(
    "spoil", [lambda text: text[:-9], lambda text: text.replace('"steps"', '"stops":0,"steps"', 1)[:60]]
)
def test_a_damaged_document_says_what_was_found(spoil: Callable[[str], str]) -> None:
    """A stack trace out of a decoder tells nobody that it is time for the backup."""
    with pytest.raises(StoreError, match=r"found a damaged midshift.plan/1 .*restore the store from a backup"):
        documents.decode(Plan, spoil(documents.encode(Plan())))


@pytest.mark.parametrize(
    "value",
    [
        Event(Kind.PAUSED, datetime(2026, 1, 1)),  # noqa: DTZ001 - the time without a zone is what is refused
        Event(Kind.PAUSED, START, candidate=3),  # type: ignore[arg-type] # the wrong type is what is refused
        Event(Kind.PAUSED, START, why="\ud800"),
    ],
)
def test_what_would_not_come_back_is_refused_when_it_is_written(value: documents.Document) -> None:
    """Months later, when it is read, nobody can say any more what it was."""
    with pytest.raises(StoreError, match=r"a midshift.event/1 cannot be stored"):
        documents.encode(value)


def test_an_event_fits_its_table() -> None:
    """A field that somebody adds to Event needs a column and a migration; without them it would be lost silently."""
    columns = {"upgrade", "version", "evidence", "policy", "machine_at"}

    assert {field.name for field in fields(Event)} == set(schema.events.c.keys()) - columns


def test_a_route_fits_its_table() -> None:
    """The same for the routing row."""
    assert {field.name for field in fields(Route)} == set(schema.routes.c.keys())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.text().map(lambda text: Prompt(PromptMode.REPLACE, text) if text else Prompt()),
    st.none() | st.text(),
    st.dictionaries(st.text(max_size=8), json_values, max_size=3),
)
def test_a_variant_comes_back_with_its_hash(prompt: Prompt, effort: str | None, parameters: dict[str, object]) -> None:
    """Its id is all that a routing row knows of it; prompts hold whatever people paste."""
    variant = Variant("p", "m", prompt, effort, parameters)  # type: ignore[arg-type] # the domain freezes lists

    assert variant == documents.decode_variant(variant.id, documents.encode_variant(variant))


def test_a_variant_under_a_foreign_hash_is_refused() -> None:
    """A damaged row must not become another prompt in front of users."""
    with pytest.raises(StoreError, match=r"has content of the hash .*Restore the store from a backup"):
        documents.decode_variant("0" * 64, documents.encode_variant(CANDIDATE))


def test_every_field_of_a_variant_is_stored() -> None:
    """A part that is hashed but not stored would make every new variant unreadable; this says so in review."""
    assert {"provider", "model", "prompt", "effort", "parameters"} == {field.name for field in fields(Variant)}


class _Verdict(Enum):
    PASS = "pass"


@dataclass(frozen=True)
class _Found:
    low: float
    slices: frozenset[str]
    verdict: _Verdict


_MEASURED = TextFeatures(chars=5, words=1, form=0, opening="Hello", closing="Hello")


@pytest.mark.parametrize(
    ("found", "value"),
    [
        ({"low": "-inf", "slices": ["a"], "verdict": "pass"}, _Found(float("-inf"), frozenset({"a"}), _Verdict.PASS)),
        ("nan", float("nan")),
        ("2026-03-02T09:30:00+00:00", START),
        (86400.0, timedelta(days=1)),
        ({"chars": 5, "words": 1, "form": 0, "opening": "Hello", "closing": "Hello"}, _MEASURED),
        ([1, [2.5]], (1, (2.5,))),
        ("b'x'", b"x"),
        ("\ud800", "\ud800"),
    ],
)
def test_evidence_of_any_kind_is_kept(found: object, value: object) -> None:
    """A halt must not fail because its evidence holds an unbounded interval."""
    assert {"found": found} == documents.decode_plain(documents.encode_plain({"found": value}))


def test_text_from_people_is_made_printable_or_refused_by_name() -> None:
    """A rollback mends what somebody typed; a decision says which field it is."""
    assert "a? \ufffd" == documents.printable("a\udfff \0")
    with pytest.raises(StoreError, match=r"why: found 'a\\x00'"):
        documents.check_printable("why", "a\0")


def test_a_moment_without_a_zone_cannot_be_stored() -> None:
    """It would be another moment on a machine in another zone."""
    with pytest.raises(ValueError, match="a moment needs a zone"):
        schema.Instant().process_bind_param(START.replace(tzinfo=None), sqlite.dialect())
