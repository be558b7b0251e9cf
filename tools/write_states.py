"""Write docs/reference/upgrade-states.md from the transition table, so that the diagram cannot lie.

`--check` writes nothing and fails where the file differs.
"""

import sys
from pathlib import Path

from midshift.domain.upgrade import REMARKS, TRANSITIONS, Stage

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "upgrade-states.md"
OPENING = """# The states of an upgrade

Written from `midshift.domain.upgrade.TRANSITIONS` by `python tools/write_states.py`; edit the table, not this page.
What is not drawn cannot happen: the canary is reached only from shadow, completed or waived by name and reason, and
`done` only from a completed soak.

"""


def main() -> int:
    """Write the page, or compare it."""
    page = OPENING + diagram() + "\n" + table() + "\n" + remarks()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(page, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == page:
        return 0
    print(f"docs/reference/{TARGET.name} differs from the table. Type next: python tools/write_states.py")
    return 1


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    edges = [f"    {stage.value} --> {after.value}: {kind.value}" for (stage, kind), after in TRANSITIONS.items()]
    ends = [f"    {stage.value} --> [*]" for stage in Stage if stage.is_final]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> eval", *edges, *ends, "```", ""])


def table() -> str:
    """The table as a table."""
    rows = [f"| {stage.value} | {kind.value} | {after.value} |" for (stage, kind), after in TRANSITIONS.items()]
    return "\n".join(["| in | when | then |", "|---|---|---|", *rows, ""])


def remarks() -> str:
    """What is recorded without leaving a stage."""
    names = ", ".join(f"`{kind.value}`" for kind in sorted(REMARKS))
    return f"In any stage that is not final, {names} are recorded without leaving it.\n"


if __name__ == "__main__":
    sys.exit(main())
