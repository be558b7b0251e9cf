"""Which exporters there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType

from midshift.evals.exporters import inspect, promptfoo
from midshift.evals.exporters.kept import Exported as Exported
from midshift.evals.suite_file import Suite


class Target(StrEnum):
    """The tools that a suite can be written for, as `--to` names them."""

    PROMPTFOO = "promptfoo"
    INSPECT = "inspect"


EXPORTERS: Mapping[Target, Callable[[Suite], Exported]] = MappingProxyType(
    {Target.PROMPTFOO: promptfoo.write, Target.INSPECT: inspect.write}
)
