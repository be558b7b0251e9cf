"""A row of any table as a case: which field is what, by the person, by the format, or by a guess that is said aloud.

A field is named by a dotted path (`metadata.tier`, `inputs.question`). What is asked for and not in a row is a loss of
that row; what a row has beside is carried in `metadata`, unless it is bookkeeping of the tool that wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from midshift.domain.suite import AGGREGATE
from midshift.errors import UsageError
from midshift.evals.importers import chat
from midshift.evals.importers.result import Basket, Options
from midshift.evals.suite_file import EvalCase

OURS = ("id", "input", "reference", "slice", "cluster", "weight", "system", "tools", "metadata")
"""What a person may map with --field."""

GUESSES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "case_id", "uid", "uuid", "key", "custom_id"),
    "input": ("messages", "input", "inputs", "prompt", "question", "query", "instruction", "text", "problem"),
    "reference": (
        "reference",
        "expected",
        "expected_output",
        "expectedOutput",
        "target",
        "ideal",
        "answer",
        "ground_truth",
        "completion",
        "output",
        "response",
        "label",
    ),
    "slice": ("slice", "category", "metadata.slice", "metadata.category", "subject", "topic"),
    "cluster": ("cluster", "conversation_id", "user_id", "session_id"),
    "system": ("system", "system_prompt"),
    "tools": ("tools",),
    "metadata": ("metadata",),
    "weight": ("weight",),
}
_IN_AN_OBJECT = ("messages", "input", "question", "query", "prompt", "text", "message", "content", "user_input")
_LONGEST_SLICE = 100


@dataclass(frozen=True, slots=True)
class Form:
    """Where a format keeps things: `fields` from our names to their paths; `bookkeeping` goes without a word.

    `system` names the tool in a case's source.
    """

    system: str
    fields: Mapping[str, Sequence[str]] = field(default_factory=lambda: GUESSES)
    bookkeeping: Collection[str] = ()
    source: Mapping[str, Sequence[str]] = field(default_factory=dict)


def paths(form: Form, options: Options) -> dict[str, tuple[str, ...]]:
    """The paths to try for each of our names: what a person said, or else what the format has.

    Raises:
        UsageError: for a name that is none of ours.
    """
    for name in options.fields:
        if name not in OURS:
            raise UsageError(f"--field {name}=...: expected one of {', '.join(OURS)}. Type next: --field input=PATH")
    said = {name: (path,) for name, path in options.fields.items()}
    return {name: tuple(form.fields.get(name, ())) for name in OURS} | said


def add(basket: Basket, row: Mapping[str, Any], place: str, number: int, form: Form, options: Options) -> None:
    """Put the case of a row into the basket, or the reason why there is none."""
    known = paths(form, options)
    used: set[str] = set()
    found = {name: _first(row, known[name], used) for name in OURS}
    for name in options.fields:
        if found[name] is None:
            basket.lose(place, options.fields[name], f"asked for as {name}, and not in the row")
    try:
        messages, variables = _asked(found["input"], found["system"])
    except chat.NotMessages as error:
        fields = ", ".join(map(str, list(row)[:8]))
        basket.lose(place, "the row", f"its input is no request: {error}. Say --field input=PATH, one of {fields}")
        return
    for name in chat.not_carried(_chat_of(found["input"])):
        basket.lose(place, f"{name} of a message", "a chat request has no such field")
    if found["tools"] is None and variables.get("tools") and _are_tools(variables["tools"]):
        found["tools"] = variables.pop("tools")
    metadata = _metadata(row, found["metadata"], used, form)
    if found["tools"] is not None and not _are_tools(found["tools"]):
        basket.lose(place, "tools", "expected a list of objects")
        found["tools"] = None
    case = EvalCase(
        place=number,
        id=_name(found["id"]) or f"row-{number}",
        messages=messages,
        slices=slices_of(found["slice"], place, basket),
        cluster=_name(found["cluster"]),
        weight=weight_of(found["weight"], place, basket),
        reference=found["reference"] if found["reference"] != "" else None,
        tools=tuple(found["tools"] or ()),
        variables=variables,
        metadata=metadata,
        source=_source(row, form),
    )
    basket.add(case, place)


def at(row: Any, path: str) -> Any:
    """The value at a dotted path, also inside of texts that hold JSON objects (as CSV has them); None if none."""
    if isinstance(row, Mapping) and path in row:
        return row[path]
    first, _, rest = path.partition(".")
    inner = row.get(first) if isinstance(row, Mapping) else None
    if not rest or inner is None:
        return None
    return at(opened(inner), rest)


def opened(value: Any) -> Any:
    """A text that holds a JSON object or list, as that; anything else as it is."""
    if not (isinstance(value, str) and value.strip()[:1] in ("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def slices_of(found: Any, place: str, basket: Basket) -> tuple[str, ...]:
    """The names of slices; what cannot be one is a loss."""
    found = opened(found)
    names = []
    for one in found if isinstance(found, list) else [found]:
        if one is None or one == "":
            continue
        name = str(one).strip() if isinstance(one, str | int | float) else ""
        if not name or name == AGGREGATE or len(name) > _LONGEST_SLICE:
            basket.lose(place, "slice", "expected a short name, or a list of them")
            continue
        names.append(name)
    return tuple(dict.fromkeys(names))


def _first(row: Mapping[str, Any], tried: Sequence[str], used: set[str]) -> Any:
    there = [(path, value) for path in tried if (value := at(row, path)) is not None]
    for path, value in [*(one for one in there if one[1] != ""), *there][:1]:
        used.add(path)
        return value
    return None


def _key(value: Any) -> str | None:
    """Which field of an object of inputs is the question; None for what is a message itself, or has none."""
    if not isinstance(value, Mapping) or {"role", "lc"} & value.keys() or {"type", "data"} <= value.keys():
        return None
    key = next((name for name in _IN_AN_OBJECT if value.get(name)), None)
    texts = [str(name) for name, inner in value.items() if isinstance(inner, str)]
    return texts[0] if key is None and len(value) == 1 and texts else key


def _chat_of(value: Any) -> Any:
    value = opened(value)
    key = _key(value)
    return value if key is None else opened(value[key])


def _asked(value: Any, system: Any) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """Messages, and what an object of inputs had beside them."""
    value = opened(value)
    variables: dict[str, Any] = {}
    if isinstance(value, Mapping) and not ({"role", "lc"} & value.keys() or {"type", "data"} <= value.keys()):
        key = _key(value)
        if key is None:
            raise chat.NotMessages(f"an object with {', '.join(map(repr, list(value)[:6])) or 'no fields'}")
        variables = {name: inner for name, inner in value.items() if name != key}
        value = value[key]
    messages = chat.messages_of(value)
    head = ({"role": "system", "content": system},) if isinstance(system, str) and system else ()
    return (*head, *messages), variables


def _metadata(row: Mapping[str, Any], found: Any, used: set[str], form: Form) -> dict[str, Any]:
    """What a row says of itself, and every field that is nothing else."""
    own = opened(found)
    rest = {
        str(name): left
        for name, value in row.items()
        if name not in used and name not in form.bookkeeping
        if (left := _without(value, [path.partition(".")[2] for path in used if path.startswith(f"{name}.")]))
        not in (None, "", [], {})
    }
    own = own if isinstance(own, dict) else {} if own in (None, "") else {"metadata": own}
    return own | {f"row.{name}" if name in own else name: value for name, value in rest.items()}


def _without(value: Any, paths: Sequence[str]) -> Any:
    """An object without what was taken out of it by path."""
    if not paths or not isinstance(inner := opened(value), Mapping):
        return value
    return {
        name: _without(one, [path.partition(".")[2] for path in paths if path.startswith(f"{name}.")])
        for name, one in inner.items()
        if name not in paths
    }


def _source(row: Mapping[str, Any], form: Form) -> dict[str, Any]:
    found = {name: next((row[path] for path in tried if row.get(path)), None) for name, tried in form.source.items()}
    return {"system": form.system, **{name: value for name, value in found.items() if value is not None}}


def _are_tools(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(tool, Mapping) for tool in value)


def weight_of(found: Any, place: str, basket: Basket) -> float:
    """How much a case counts; what cannot be one is a loss."""
    try:
        weight = 1.0 if found in (None, "") else float(found)
    except (TypeError, ValueError, OverflowError):
        weight = 0.0
    if 0.0 < weight < 1e12:
        return weight
    basket.lose(place, "weight", "expected a number above 0")
    return 1.0


def _name(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and str(value).strip() else None
