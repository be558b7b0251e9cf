"""Where a report may be written: found out before the work, and not after it."""

from __future__ import annotations

from pathlib import Path

from midshift.errors import UsageError


def require_folder(path: Path) -> None:
    """Find out before the work, and not after it, that a report cannot be written.

    Raises:
        UsageError: if `path` is a folder, or lies in none.
    """
    if path.is_dir() or not path.parent.is_dir():
        found = "it is a folder" if path.is_dir() else f"there is no folder {str(path.parent)!r}"
        raise UsageError(f"cannot write {str(path)!r}: {found}; expected a file name in a folder that exists")
