"""What an eval is to judge: for whom, against what, and where it leaves what.

Elsewhere: who fills it in (eval), who judges (eval_report).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from midshift.domain.evidence import Basis
from midshift.domain.suite import Margin
from midshift.domain.workload import Workload

COMPARISON, CALLS = "eval.json", "calls.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to judge: the workload, the names of the incumbent and of each candidate, and where to put what.

    `home` is the user's repository. `watch` are slices that only the suite speaks of, `own_margins` those of slices
    that have one, `overrides` the guards that a person stepped over, `pins` says of judges' variants, by id, whether
    they stay what they are. `stand_ins` are the providers whose answers are not a vendor's. `basis` is what the eval is
    evidence of, None where it is none, for the reason `unkept`; `looks` is how many looks are planned, if the command
    says so. `python_graders` are the users' functions that grade, each with the hash of its code.
    """

    workload: Workload
    names: tuple[str, ...]
    folder: Path
    ledger: Path
    bought: int
    basis: Basis | None
    home: Path
    unkept: str = ""
    looks: int | None = None
    watch: frozenset[str] = frozenset()
    own_margins: Mapping[str, Margin] = field(default_factory=dict)
    taken_on: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    stand_ins: tuple[str, ...] = ()
    python_graders: Mapping[str, str | None] = field(default_factory=dict)
    html: Path | None = None
    as_json: bool = False
    goes_on: str = ""
    """What to type if the gate is open."""

    @property
    def files(self) -> dict[str, str]:
        """Where the run leaves what."""
        found = {"folder": self.folder, "comparison": self.folder / COMPARISON, "calls": self.folder / CALLS}
        return {what: str(path) for what, path in (found | {"ledger": self.ledger}).items()}


def slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.@_-]+", "-", name).strip("-.") or "candidate"


def folder_of(state: Path, workload: str, at: datetime) -> Path:
    """Where a run leaves its files."""
    return state / "evals" / "runs" / f"{slug(workload)}-{at:%Y%m%dT%H%M%S%fZ}"
