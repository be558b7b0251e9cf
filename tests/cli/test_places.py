"""A provider that has moved is asked anew, and who has a ledger already does not pay twice for it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from midshift.cli.places import Places
from midshift.domain.paid_call import CallKey, Intent
from midshift.errors import InputError
from midshift.providers.definition import Provider
from midshift.providers.http.settings import Upstream
from midshift.store.ledger import Ledger

EU, US = "https://eu.acme.example/v1", "https://us.acme.example/v1"
WIRE = "openai_chat"


@dataclass
class Asked:
    """The places of a ledger, and what was said about them."""

    ledger: Path
    said: list[str] = field(default_factory=list)

    def place(
        self, url: str = EU, wire: str = WIRE, headers: Mapping[str, str] | None = None, is_read_only: bool = False
    ) -> str:
        """As a command of its own asks."""
        provider = Provider("acme", "openai_compatible", base_url=url, headers=headers or {})
        return Places(self.ledger, self.said.append, is_read_only).place("acme", provider, Upstream(url), wire)


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """A ledger that is not there yet."""
    return Asked(tmp_path / "calls.sqlite")


def test_where_a_ledger_began_keys_are_plain(asked: Asked) -> None:
    """Also where the address is spelt with a slash at its end."""
    assert ["", "", "", []] == [asked.place(), asked.place(), asked.place(EU + "/"), asked.said]


@pytest.mark.parametrize(
    ("url", "wire", "headers"),
    [(US, WIRE, {}), (EU, "anthropic", {}), (EU, WIRE, {"OpenAI-Organization": "other"})],
    ids=["address", "wire", "headers"],
)
def test_elsewhere_they_are_not_and_that_is_said(asked: Asked, url: str, wire: str, headers: Mapping[str, str]) -> None:
    """Another server behind the same name is another model, perhaps; its answers cost money."""
    asked.place()

    moved = asked.place(url, wire, headers)

    assert "" != moved == asked.place(url, wire, headers)
    assert "asked, and paid, anew" in asked.said[0]


def test_who_goes_back_finds_the_first_answers(asked: Asked) -> None:
    asked.place()
    asked.place(US)

    assert "" == asked.place()


def test_a_ledger_of_before_is_not_bought_again_and_says_what_it_is_taken_for(asked: Asked) -> None:
    """Nobody wrote down where its answers come from."""
    key = CallKey("variant", "request")
    with Ledger(asked.ledger) as calls:
        written = threading.Event()
        intent = Intent(key, 1, "acme", "model", datetime(2026, 1, 1, tzinfo=UTC))
        calls.write([intent], lambda _: written.set())
        assert written.wait(10.0)

    assert ["", ""] == [asked.place(), asked.place()]
    (said,) = asked.said
    assert "taken to be of https://eu.acme.example/v1" in said


def test_a_secret_of_a_header_is_not_kept(asked: Asked) -> None:
    """The file says that a header is another one, and not what it was."""
    asked.place(headers={"x-token": "hush"})

    assert "hush" not in (asked.ledger.with_name("calls.sqlite.places.json")).read_text()


def test_what_is_only_read_is_not_written_to(asked: Asked) -> None:
    """Somebody else's ledger."""
    asked.place(is_read_only=True)

    assert [] == list(asked.ledger.parent.iterdir())


def test_a_broken_file_is_named(asked: Asked) -> None:
    """Without it answers of one place could be taken for those of another."""
    asked.ledger.with_name("calls.sqlite.places.json").write_text("{")

    with pytest.raises(InputError, match=r"calls\.sqlite\.places\.json.*Type next: restore it"):
        asked.place()
