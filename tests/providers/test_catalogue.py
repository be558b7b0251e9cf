"""The bundled catalogue, and the file format it is kept in."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from midshift.errors import InputError
from midshift.providers import catalogue

SOURCE = b"""{
 "sample_spec": {"mode": "one of: chat, embedding"},
 "claude-x": {"litellm_provider": "anthropic", "mode": "chat", "input_cost_per_token": 2e-06, "supports_vision": true},
 "vertex_ai/claude-x@20260101": {"litellm_provider": "vertex_ai-anthropic_models", "mode": "chat"},
 "picture-1": {"litellm_provider": "openai", "mode": "image_generation"}
}"""


def test_a_snapshot_keeps_what_midshift_serves_and_says_where_it_is_from() -> None:
    made = catalogue.taken(SOURCE, "somewhere", "v1", date(2026, 1, 2))

    found = catalogue.read(made)

    assert [(entry.provider, entry.model) for entry in found] == [
        ("anthropic", "claude-x"),
        ("vertex", "claude-x@20260101"),
    ]
    assert (found.origin, found.version, found.taken_on) == ("somewhere", "v1", date(2026, 1, 2))
    assert made.count(b"\n") == 4  # one model a line, so that two snapshots can be compared


def test_a_fact_that_is_not_stated_is_none_and_not_false() -> None:
    entry = catalogue.read(catalogue.taken(SOURCE, "", "", date(2026, 1, 2))).entry("anthropic", "claude-x")

    assert entry is not None
    assert entry.number("input_cost_per_token") == 2e-06
    assert entry.flag("supports_vision") is True
    assert entry.flag("supports_pdf_input") is None
    assert entry.number("max_output_tokens") is None
    assert entry.source is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b'{"a": {"mode": "chat"}}'])
def test_what_holds_no_model_makes_no_snapshot(content: bytes) -> None:
    with pytest.raises(InputError):
        catalogue.taken(content, "", "", date(2026, 1, 2))


def test_another_format_is_named() -> None:
    with pytest.raises(InputError, match=r"midshift\.catalogue/1"):
        catalogue.read(b'{"format":"x/9","origin":"","version":"","taken_on":"2026-01-02","licence":"MIT","models":{}}')


def test_the_bundled_one_knows_the_vendors_it_is_bundled_for() -> None:
    found = catalogue.bundled()

    providers = {entry.provider for entry in found}
    assert {
        "anthropic",
        "openai",
        "gemini",
        "vertex",
        "bedrock",
        "azure",
        "mistral",
        "fireworks",
        "together",
    } <= providers
    assert found.taken_on >= date(2026, 11, 1)
    assert len(found.sha256) == 64


def test_the_newer_of_the_two_catalogues_is_used(tmp_path: Path) -> None:
    """A refresh must be seen, and must not outlive an upgrade that brings a newer one."""
    ours = catalogue.bundled()
    for day, is_used in ((date(2099, 1, 1), True), (date(2020, 1, 1), False)):
        (tmp_path / catalogue.FILE).write_bytes(catalogue.taken(SOURCE, "somewhere", "v1", day))

        assert is_used == (catalogue.load(tmp_path).origin == "somewhere")

    assert ours is catalogue.load() is catalogue.load(tmp_path / "nowhere")


def test_a_broken_catalogue_in_the_state_folder_is_named(tmp_path: Path) -> None:
    """Going on with the bundled one would price by another list than the user believes."""
    (tmp_path / catalogue.FILE).write_text("{")

    with pytest.raises(InputError, match=r"catalogue\.json.*Type next"):
        catalogue.load(tmp_path)


def test_models_that_are_none_are_refused_when_a_file_is_read() -> None:
    """Not weeks later, when a price is first asked for."""
    head = b'{"format":"midshift.catalogue/1","origin":"","version":"","taken_on":"2026-01-02","licence":"MIT",'

    with pytest.raises(InputError, match="no catalogue"):
        catalogue.read(head + b'"models":{"a":1}}')
