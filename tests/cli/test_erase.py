"""`midshift erase`: a person's records, by the name that the app has for them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from midshift.cli.main import run
from midshift.domain.light import replaced
from midshift.domain.unit import stored_unit
from midshift.store.recorder import SegmentWriter
from midshift.store.segments import Kind, Reading, exposures, segments
from tests.store.children import an_exposure

KEY = "unit-key-0123456789"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with records of ada and of a conversation."""
    monkeypatch.setenv("MIDSHIFT_UNIT_KEY", KEY)
    folder = tmp_path / "state"
    with SegmentWriter(folder, "g1") as writer:
        for number, value in enumerate((b"unit:ada", b"unit:bob", b"conversation:Hello, I am Ada.")):
            unit = stored_unit(KEY.encode(), value)
            writer.record(replaced(an_exposure(f"r-{number}"), unit=unit))
    return folder


def left(state: Path) -> list[str]:
    """The ids that are left."""
    return [row.request_id for one in segments(state, Kind.EXPOSURES) for row in exposures(one.path, Reading())]


def erase(state: Path, unit: str, *more: str) -> int:
    """Run it."""
    return run(["erase", "--unit", unit, "--workload", "support", "--state", str(state), *more])


def test_a_unit_is_found_by_the_name_that_the_app_has_for_it(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stored is an HMAC: only whoever has the key can find it."""
    assert 0 == erase(state, "ada")
    assert ["r-1", "r-2"] == left(state)
    assert "support: 1 records of this unit removed on this host (1 in exposures-v1" in capsys.readouterr().out


def test_a_conversation_is_found_by_what_it_began_with(state: Path) -> None:
    """Where nothing else names a unit."""
    assert 0 == erase(state, "Hello, I am Ada.")
    assert ["r-0", "r-1"] == left(state)


def test_the_name_can_come_from_standard_input(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it stands in no history of a shell."""
    monkeypatch.setattr("sys.stdin", io.StringIO("bob\n"))

    assert 0 == erase(state, "-")
    assert ["r-0", "r-2"] == left(state)


def test_nothing_found_is_said_by_the_exit_code(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name with a mistake in it must not look like a duty done."""
    assert 3 == erase(state, "adda", "--json")
    document = json.loads(capsys.readouterr().out)

    assert ("midshift.erased/1", 0) == (document["format"], document["removed"]["exposures-v1"])
    assert 3 == len(left(state))


def test_what_is_missing_is_said(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the key nobody is found, which would look like nobody was there."""
    assert 2 == erase(state / "none", "ada")
    assert "Type next: --state DIR" in capsys.readouterr().err
    monkeypatch.delenv("MIDSHIFT_UNIT_KEY")
    assert 2 == erase(state, "ada")
    said = capsys.readouterr().err
    assert "found no MIDSHIFT_UNIT_KEY" in said and "Type next: export MIDSHIFT_UNIT_KEY=" in said


def test_a_workload_that_no_gateway_serves_is_no_success(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is typed wrong erases nothing, and whoever asked would tell the person that it is done."""
    routes = state / "gateways/g1/routes.json"
    routes.parent.mkdir(parents=True)
    routes.write_text('{"routes": [{"workload": "support"}, {"workload": "assist"}]}', encoding="utf-8")
    with SegmentWriter(state, "g2") as writer:
        writer.record(an_exposure("r-9"))
        found = run(["erase", "--unit", "ada", "--workload", "suport", "--state", str(state)])

    assert 3 == found
    assert "suport is served by no gateway of this host, expected one of: assist, support" in capsys.readouterr().out
    assert 0 == erase(state, "ada")
