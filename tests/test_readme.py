"""The README shows what the program prints, and not what it once printed."""

import io
import re
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from midshift.cli import compare, demo, story
from midshift.cli.system import SystemClock
from midshift.reports import terminal
from midshift.testing import ManualClock, simulated

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 118


def test_the_output_in_the_readme_is_what_the_demo_prints() -> None:
    """A reader decides by this picture; it was measured, so it has to stay so."""
    with tempfile.TemporaryDirectory(prefix="m") as folder:  # a short name: a long one breaks the line that holds it
        printed = printed_by_the_demo(Path(folder))
    shown = re.search(r"```text\n(RETUNE.*?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)

    assert shown is not None
    assert printed == shown[1]


def printed_by_the_demo(folder: Path) -> str:
    file = demo.write_simulated(folder)
    options = compare.Options(file, simulated.INCUMBENT, simulated.CANDIDATE)
    printed = io.StringIO()
    terminal.show(
        compare.compare(options, ManualClock()),
        Console(file=printed, width=COLUMNS, highlight=False, color_system=None),
    )
    return as_shown(printed.getvalue(), folder)


def as_shown(printed: str, folder: Path) -> str:
    """What the README keeps of a terminal: no trailing blanks, single empty lines, and a folder of the reader's own."""
    lines = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).replace(str(folder), "simulated-demo")


@pytest.mark.heavy
def test_the_story_in_the_readme_is_what_the_demo_tells(tmp_path: Path) -> None:
    """The same for the eight weeks; how long they took on this machine is left out."""
    printed = io.StringIO()
    console = Console(file=printed, width=COLUMNS, highlight=False, color_system=None)
    ended_well = story.tell(console, tmp_path, SystemClock())
    shown = re.search(r"```text\n(One upgrade.*?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)

    assert shown is not None
    assert ended_well
    assert without_machine_time(as_shown(printed.getvalue(), tmp_path)) == without_machine_time(shown[1])


def without_machine_time(text: str) -> str:
    """A story without its last line, which says how fast this machine was."""
    return text.rsplit("\n", 1)[0]
