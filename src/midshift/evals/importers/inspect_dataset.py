"""Inspect's datasets (CSV, JSON, JSON lines) and samples: input, target, id, metadata.

A target becomes the reference: a text where it is one, else the list. What `midshift suite export --to inspect` put
under `metadata.midshift` comes back as it was. Source: inspect_ai `Sample` and `FieldSpec`, 0.3.285.
Elsewhere: logs (inspect_log).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from midshift.errors import InputError
from midshift.evals.importers import chat, data
from midshift.evals.importers.result import Basket, File, Imported, Options
from midshift.evals.importers.row_cases import OURS, at, opened, slices_of
from midshift.evals.suite_file import EvalCase, case_of

_LEFT = {
    "sandbox": "an answer comes from a model alone",
    "files": "an answer comes from a model alone",
    "setup": "it is code",
    "choices": "how they are shown is the solver's to say; they are in the metadata",
}
_KNOWN = frozenset({"input", "target", "id", "metadata", *_LEFT})


def read(file: File, options: Options) -> Imported:
    """The cases of a dataset; `--field` does what `FieldSpec` does.

    Raises:
        InputError: if no row is a sample.
    """
    basket = Basket()
    for number, row in data.rows_of(file.data, file.name):
        add_sample(basket, row, f"{file.name}:{number}", number, options)
    basket.lose(file.name, "the task's scorers", "they are code; name graders in the suite")
    return noted(basket).done(file.name)


def noted(basket: Basket) -> Basket:
    """Say it if no case has a slice."""
    if not any(case.slices for case in basket.cases):
        basket.note("no sample names a slice; name the field that does: --field slice=metadata.NAME")
    return basket


def add_sample(
    basket: Basket,
    row: Mapping[str, Any],
    place: str,
    number: int,
    options: Options,
    graders: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Put the case of a sample into the basket, or the reason why there is none."""
    found = _fields(row, options)
    metadata = dict(inner) if isinstance(inner := opened(found["metadata"]), Mapping) else {}
    own = metadata.pop("midshift", None)
    for name in sorted(set(row) & set(_LEFT)):
        if row[name] not in (None, "", [], {}):
            basket.lose(place, name, _LEFT[name])
    try:
        messages = chat.messages_of(opened(found["input"]))
    except chat.NotMessages as error:
        basket.lose(place, "the sample", f"its input is no request: {error}")
        return
    if isinstance(own, Mapping) and (case := _ours(own, found, messages, number)) is not None:
        basket.add(case, place)
        return
    slices = (
        found["slice"] if "slice" in options.fields else metadata.pop("slice", None) or metadata.pop("category", None)
    )
    choices = {"choices": row["choices"]} if row.get("choices") else {}
    basket.add(
        EvalCase(
            place=number,
            id=str(found["id"] if found["id"] not in (None, "") else number),
            messages=messages,
            slices=slices_of(slices, place, basket),
            reference=_target(found["reference"]),
            graders=tuple(graders),
            metadata={**metadata, **choices, **_rest(row, options)},
            source={"system": "inspect"},
        ),
        place,
    )


def _ours(
    own: Mapping[str, Any], found: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], number: int
) -> EvalCase | None:
    """The case that an export of ours was made of; None if somebody changed it into no case."""
    try:
        case = case_of({**own, "id": str(found["id"])}, number)
    except ValueError:
        return None
    # Roles and parts that Inspect says in another way come back from ours, as long as nobody has edited the sample.
    return case if _said(case.messages) == _said(messages) else replace(case, messages=tuple(messages))


def _said(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [_words(message.get("content")) for message in messages]


def _words(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content] if content else []
    texts = [part.get("text") for part in content or () if isinstance(part, Mapping)]
    return [text for text in texts if isinstance(text, str) and text]


def _fields(row: Mapping[str, Any], options: Options) -> dict[str, Any]:
    theirs = {**{name: name for name in OURS}, "reference": "target", **options.fields}
    return {name: at(row, path) for name, path in theirs.items()}


def _rest(row: Mapping[str, Any], options: Options) -> dict[str, Any]:
    used = {path.partition(".")[0] for path in options.fields.values()}
    return {name: value for name, value in row.items() if name not in _KNOWN | used and value not in (None, "", [])}


def _target(found: Any) -> Any:
    match opened(found):
        case "" | [] | [""] | None:
            return None
        case [only]:
            return only
        case [*several]:
            return several
        case _:
            return found


def require_samples(found: Any, name: str) -> list[Any]:
    """The samples of a log.

    Raises:
        InputError: if it is none.
    """
    samples = found.get("samples") if isinstance(found, Mapping) else None
    if not isinstance(samples, list):
        raise InputError(f"{name}: no samples, expected the log of an eval that ran to its samples")
    return samples
