"""The bundled list of shutdown dates."""

from __future__ import annotations

import json
from datetime import date

import pytest

from midshift.domain.retirement import ModelName
from midshift.errors import InputError
from midshift.providers.lifecycle import collected
from midshift.providers.lifecycle.collected import Evidence

ENTRY = {
    "provider": "sim",
    "models": ["a", "b"],
    "shuts_down_on": "2027-01-01",
    "source": "somewhere",
    "evidence": "vendor_docs",
    "taken_on": "2026-11-22",
}


def listing(*entries: object) -> bytes:
    """A list in its file format."""
    return json.dumps({"format": collected.FORMAT, "retirements": entries}).encode()


def test_a_date_counts_for_every_model_of_its_entry() -> None:
    found = collected.read(listing(ENTRY))

    assert {ModelName("sim", "a"), ModelName("sim", "b")} == set(found)
    assert date(2027, 1, 1) == found[ModelName("sim", "b")].shuts_down_on


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"format": "midshift.retirements/9", "retirements": []}',
        listing(ENTRY | {"models": ["a", "a"]}),
        listing(ENTRY, ENTRY),
        listing(ENTRY | {"evidence": "rumour"}),
        listing(ENTRY | {"shuts_down_on": None}),
        listing({**ENTRY, "surprise": 1}),
    ],
)
def test_what_is_no_such_list_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        collected.read(content)


def test_the_bundled_list_says_where_each_date_is_from() -> None:
    bundled = collected.bundled()
    assert bundled
    for name, kept in bundled.items():
        assert kept.source, name
        assert kept.taken_on >= date(2026, 11, 22), name
        is_page = kept.source.startswith("https://")
        assert is_page is (kept.evidence is not Evidence.VENDOR_PACKAGE), name


def test_the_bundled_list_knows_what_the_catalogue_has_forgotten() -> None:
    """Who still has a model in a file that is long retired needs to hear it most."""
    found = collected.bundled()

    assert date(2026, 2, 19) == found[ModelName("anthropic", "claude-3-7-sonnet-20250219")].shuts_down_on
    assert Evidence.THIRD_PARTY is found[ModelName("mistral", "mistral-large-2411")].evidence
