"""What an exporter gives, and what of a case other tools only carry.

Beside its own fields a format has a place for notes; what only midshift understands goes there, under `midshift`, and
comes back when the file is imported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from midshift.evals.importers.result import Loss
from midshift.evals.suite_file import EvalCase, line_of


@dataclass(frozen=True, slots=True)
class Exported:
    """Files by name, and what they do not say."""

    files: Mapping[str, bytes]
    not_carried: tuple[Loss, ...] = ()


def rest_of(case: EvalCase, spoken: Collection[str]) -> dict[str, Any]:
    """The fields of a case but for those that the other format says itself."""
    fields = msgspec.json.decode(line_of(case), type=dict[str, Any])
    return {name: value for name, value in fields.items() if name not in spoken}
