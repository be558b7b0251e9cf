"""Whether the host of a gateway forces the incumbent: by a variable for as long as the process lives, or by a file.

Elsewhere: what follows from it, and how often it is looked at (route, app).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from midshift.errors import UsageError

FORCE_VARIABLE = "MIDSHIFT_FORCE"


class Forcing:
    """The variable as it was at the start, and the file as it comes and goes.

    Raises:
        UsageError: if `MIDSHIFT_FORCE` is set to anything but `incumbent`.
    """

    def __init__(self, environment: Mapping[str, str], file: Path | None) -> None:
        value = environment.get(FORCE_VARIABLE, "")
        if value not in ("", "incumbent"):
            raise UsageError(f"{FORCE_VARIABLE} is {value!r}, expected 'incumbent' or nothing at all")
        self._is_set = value == "incumbent"
        self._file = file

    def holds(self) -> bool:
        """Whether it does now: one `stat`."""
        return self._is_set or (self._file is not None and os.path.exists(self._file))
