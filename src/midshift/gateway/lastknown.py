"""The last-known-good file: routes, the variants that they name, and local flips, for a start with the store dead.

Written whole or not at all (a new file that takes the old one's place), readable by its owner only: it holds prompts.
A file that is damaged, or of another form, is as good as none.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from midshift.domain.routing import Route
from midshift.domain.variant import Json, Prompt, PromptMode, Variant

FORMAT = "midshift.routes/1"
NAME = "routes.json"


@dataclass(frozen=True, slots=True)
class LastKnown:
    """What was true at `confirmed_at` (machine time). `flips` are local, each with the epoch that it was made at."""

    confirmed_at: datetime
    routes: tuple[Route, ...] = ()
    variants: tuple[Variant, ...] = ()
    flips: Mapping[str, int] | None = None


class _Variant(msgspec.Struct):
    id: str
    provider: str
    model: str
    mode: PromptMode
    text: str
    effort: str | None
    parameters: dict[str, Any]


class _File(msgspec.Struct):
    format: str
    confirmed_at: datetime
    routes: list[Route]
    variants: list[_Variant]
    flips: dict[str, int]


def write(folder: Path, known: LastKnown) -> None:
    """Put the file into the folder, which is made if it is missing.

    Raises:
        OSError: if the disk refuses; the old file is as it was then.
    """
    variants = [_flat(variant) for variant in known.variants]
    content = _File(FORMAT, known.confirmed_at, list(known.routes), variants, dict(known.flips or {}))
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{NAME}.", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(content))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(folder / NAME)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read(folder: Path) -> LastKnown | None:
    """What the file says; None without a usable one."""
    try:
        content = msgspec.json.decode((folder / NAME).read_bytes(), type=_File)
        if content.format != FORMAT:
            return None
        variants = tuple(_whole(variant) for variant in content.variants)
    except (OSError, ValueError):
        return None
    return LastKnown(content.confirmed_at, tuple(content.routes), variants, content.flips)


def _flat(variant: Variant) -> _Variant:
    prompt = variant.prompt
    parameters = {name: _thawed(value) for name, value in variant.parameters.items()}
    return _Variant(variant.id, variant.provider, variant.model, prompt.mode, prompt.text, variant.effort, parameters)


def _whole(flat: _Variant) -> Variant:
    prompt = Prompt(flat.mode, flat.text)
    variant = Variant(flat.provider, flat.model, prompt, flat.effort, flat.parameters)
    if variant.id != flat.id:
        raise ValueError(f"variant {flat.id!r} has content of the hash {variant.id!r}")
    return variant


def _thawed(value: Json) -> Any:
    match value:
        case tuple():
            return [_thawed(item) for item in value]
        case Mapping():
            return {name: _thawed(item) for name, item in value.items()}
        case _:
            return value
