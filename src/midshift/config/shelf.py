"""The files of one reading, fetched by name when they are needed, and everything that is wrong with them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from midshift.config import tree
from midshift.config.definitions import MAIN, Source, Unreadable, VariantFile, beside
from midshift.config.problems import Place, Report, shown
from midshift.config.reading import Cursor, read

Fetch: TypeAlias = Callable[[str], Source | None]


@dataclass(slots=True)
class Shelf:
    """The files of one reading; each variant is judged once, however often it is named."""

    fetch: Fetch
    report: Report = field(default_factory=Report)
    variants: dict[str, VariantFile | None] = field(default_factory=dict)
    providers: frozenset[str] | None = frozenset()
    """The names that the main file defines; None if a name was looked at before, as in what a store keeps."""

    def document(self, path: str, kind: type[Any]) -> Cursor | None:
        """The root of a file as a typed document; None, with a problem, if it has none."""
        text = self.text(path)
        root = None if text is None else tree.read(path, text.removeprefix("\ufeff"), self.report)
        return None if root is None else Cursor(read(root, kind, self.report), self.report)

    def text(self, path: str) -> str | None:
        """The text of a file; None if there is none, with a problem if it cannot be read."""
        source = self.fetch(path)
        if isinstance(source, Unreadable):
            self.report.add(Place(path, source.line, source.column), source.found, source.expected, source.type_next)
            return None
        return source

    def inside(self, at: Cursor, path: str, what: str) -> str | None:
        """The path of a file that a field names, from the main file's folder; None, with a problem, if it leads out."""
        resolved = beside(at.place.file, path)
        if resolved is None:
            at.complain(
                f"{shown(path)}, which leads out of the folder of {MAIN}",
                f"{what} inside it",
                f"{at.path[-1]}: {posixpath.basename(path)}   (after moving it here)",
            )
        return resolved

    def named(self, at: Cursor, path: str, what: str) -> str | None:
        """The same for a file that has to be there."""
        resolved = self.inside(at, path, what)
        if resolved is not None and self.fetch(resolved) is None:
            at.complain(f"{shown(path)}, and no such file", what, f"{at.path[-1]}: FILE   (or write {resolved})")
            return None
        return resolved


def decoded(data: bytes) -> Source:
    """The text of a file's bytes."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        found = f"the byte 0x{data[error.start]:02x}, which is not UTF-8"
        return Unreadable(found, "UTF-8 text", "iconv -t UTF-8 FILE > NEW   (with -f and what it is)", line, column)
