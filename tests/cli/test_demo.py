"""`midshift demo`: what a newcomer sees in the first minute."""

import json
import shlex
from pathlib import Path

import pytest

from midshift.cli import demo, main
from midshift.testing import simulated


def test_the_demo_runs_to_its_end_and_says_that_it_is_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows a verdict that stops an upgrade; that is no failure of the demo, and no claim about a real model."""
    code = main.run(["demo", "--brief", "--folder", str(tmp_path / "new folder")])

    out, err = capsys.readouterr()
    assert (0, "") == (code, err)
    assert "SIMULATED" in out
    assert f"{simulated.INCUMBENT} → {simulated.CANDIDATE}" in out


def test_the_demo_leaves_a_file_to_read_and_a_page_to_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is the example of the format; the page is what goes to a colleague."""
    main.run(["demo", "--brief", "--folder", str(tmp_path)])

    names = {path.suffix: path for path in tmp_path.iterdir()}
    assert {".jsonl", ".html"} == set(names)
    assert "SIMULATED" in names[".html"].read_text(encoding="utf-8").upper()
    assert str(names[".html"]) in capsys.readouterr().out


def test_the_command_that_the_demo_ends_with_can_be_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next step must work as it stands, with the same result."""
    main.run(["demo", "--brief", "--folder", str(tmp_path)])
    command = capsys.readouterr().out.split("midshift compare ")[1].splitlines()[0]

    code = main.run(["compare", *shlex.split(command), "--json"])

    report = json.loads(capsys.readouterr().out)
    assert (1, "retune", True) == (code, report["decision"], report["simulated"])


def test_the_demo_tells_the_same_story_every_time(tmp_path: Path) -> None:
    """Documents quote its numbers."""
    first, second = (demo.write_simulated(tmp_path / name).read_bytes() for name in ("a", "b"))

    assert first == second
