"""Shutdown dates that the catalogue lacks, each with where it was read and how good that is.

The catalogue deletes what is long retired, and knows few dates of some vendors. This list is bundled beside it
(`data/retirements.json`) and asked after it; what a third party says of a vendor is marked as such.
Elsewhere: the catalogue itself (catalogue).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources

import msgspec

from midshift.domain.retirement import ModelName
from midshift.errors import InputError

FORMAT = "midshift.retirements/1"


class Evidence(StrEnum):
    """Who was read: the vendor's package, the vendor's pages, or somebody else about the vendor."""

    VENDOR_PACKAGE = "vendor_package"
    VENDOR_DOCS = "vendor_docs"
    THIRD_PARTY = "third_party"

    @property
    def words(self) -> str:
        """The same for people."""
        return self.value.replace("_", " ").replace("vendor ", "vendor's ")


class _Entry(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    provider: str
    models: list[str]
    shuts_down_on: date
    replacement: str | None = None
    source: str
    evidence: Evidence
    taken_on: date
    note: str = ""


class _File(msgspec.Struct, kw_only=True):
    format: str
    retirements: list[_Entry]


@dataclass(frozen=True, slots=True)
class Collected:
    """One date. `source` is a page, or a package with its version; `taken_on` is when it was read."""

    shuts_down_on: date
    replacement: str | None
    source: str
    evidence: Evidence
    taken_on: date
    note: str


@cache
def bundled() -> Mapping[ModelName, Collected]:
    """The list that comes with this version of midshift."""
    return read((resources.files("midshift.providers") / "data" / "retirements.json").read_bytes())


def read(content: bytes) -> Mapping[ModelName, Collected]:
    """Read such a list.

    Raises:
        InputError: if it is none, or has a model twice.
    """
    try:
        found = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"this is no list of retirements: {error}") from None
    if found.format != FORMAT:
        raise InputError(f"this list has the format {found.format!r}, expected {FORMAT!r}")
    listed: dict[ModelName, Collected] = {}
    for entry in found.retirements:
        value = Collected(
            entry.shuts_down_on, entry.replacement, entry.source, entry.evidence, entry.taken_on, entry.note
        )
        for model in entry.models:
            name = ModelName(entry.provider, model)
            if name in listed:
                raise InputError(f"{str(name)!r} is in the list twice, expected once")
            listed[name] = value
    return listed
