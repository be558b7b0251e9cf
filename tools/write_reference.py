"""Write docs/reference/cli.md from the commands' own --help, so that it cannot say anything else.

`--check` writes nothing and fails where the file differs.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from typer.main import get_command

from midshift.cli.main import app

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"
OPENING = """# Command line

Written from `--help` by `python tools/write_reference.py`; edit the commands, not this page.

Exit codes: 0 proceed, with or without caution · 1 retune, stop, failed gate · 2 usage or configuration ·
3 collect more, no data, no score at all · 4 error.
"""


def main() -> int:
    """Write the page, or compare it."""
    page = OPENING + "".join(section(command) for command in commands())
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == page:
        return 0
    print(f"docs/reference/{TARGET.name} differs from --help. Type next: python tools/write_reference.py")
    return 1


def commands() -> Iterator[list[str]]:
    """Every command that there is, groups with theirs at the end."""
    yield []
    found = dict(getattr(get_command(app), "commands", {}))
    inside = {name: dict(getattr(command, "commands", {})) for name, command in found.items()}
    yield from ([name] for name in found if not inside[name])
    for name in filter(inside.__getitem__, found):
        yield [name]
        yield from ([name, each] for each in inside[name])


def section(command: list[str]) -> str:
    """One command's help, as a section."""
    environment = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "midshift", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    title = " ".join(["midshift", *command])
    usage = run.stdout.replace("python -m midshift", "midshift").strip()
    return f"\n## {title}\n\n```text\n{usage}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
