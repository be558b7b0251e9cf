"""The only part of `config` that opens files: everything inside the folder of `midshift.yaml`, as text or as trouble.

Nothing outside of that folder is read, links included: a file of a pull request must not bring in another.
"""

from __future__ import annotations

from pathlib import Path

from midshift.config import assemble, shelf
from midshift.config.definitions import MAIN, Definitions, Source, Unreadable, VariantFile

LARGEST_FILE = 64 * 1024 * 1024


def load(main: Path) -> Definitions:
    """The definitions of a `midshift.yaml`, or of the folder that holds one.

    Raises:
        InvalidConfig: with every problem of every file.
    """
    folder, name = _divided(main)
    return assemble.assemble(lambda path: read(folder, path), name)


def load_variant(main: Path, path: str) -> VariantFile:
    """A variant file beside a `midshift.yaml`, such as the candidate of a new upgrade; `path` is from its folder.

    Raises:
        InvalidConfig: with every problem of the variant's files.
    """
    folder, own = _divided(main)
    others = () if (folder / path).exists() else _beside(folder, path)
    return assemble.variant_file(lambda name: read(folder, name), path, own, others)


def read(folder: Path, path: str) -> Source | None:
    """A file's text; None if there is none."""
    try:
        whole = (folder / path).resolve()
        if not whole.is_relative_to(folder.resolve()):
            return Unreadable(
                f"a link out of the folder of {MAIN}", "a file inside it", f"the file itself in place of {path}"
            )
        if not whole.exists():
            return None
        if not whole.is_file():
            return Unreadable("a folder or a device", "a file", f"ls -ld {path}")
        size = whole.stat().st_size
        if size > LARGEST_FILE:
            return Unreadable(f"{size:,} bytes", f"at most {LARGEST_FILE:,}", f"ls -l {path}   (is it the right file?)")
        return shelf.decoded(whole.read_bytes())
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # no permission, a name that no file can have, a circle of links
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Unreadable(f"a file that cannot be read ({why})", "one that can", f"ls -l {path}")


def _beside(folder: Path, path: str) -> tuple[str, ...]:
    """The YAML files where `path` would be; those of `variants/`, where there is no such place."""
    for place in ((folder / path).parent, folder / "variants"):
        inside = place.resolve()
        if inside.is_dir() and inside.is_relative_to(folder.resolve()):
            found = sorted(item for item in inside.glob("*.yaml") if item.is_file() and item.name != MAIN)
            if found:
                return tuple(item.relative_to(folder.resolve()).as_posix() for item in found)
    return ()


def _divided(main: Path) -> tuple[Path, str]:
    return (main, MAIN) if main.is_dir() else (main.parent, main.name)
