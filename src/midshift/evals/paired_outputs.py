"""Read the paired-outputs file: JSON lines, one case a line, the outputs of any number of variants in each.

    {"id": "r-17", "slice": "refunds", "cluster": "customer-4", "expects": "json",
     "outputs": {"old": {"text": "...", "scores": {"accuracy": 1}, "latency_s": 0.8},
                 "new": {"text": null, "scores": {"accuracy": null}}}}

A value that is wrong costs itself and not its row; a row without a usable id or pair is excluded. Either way the
ledger knows where, and what was expected instead.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import msgspec

from midshift.domain.suite import AGGREGATE
from midshift.errors import UsageError
from midshift.evals.rows import NUMBER_FIELDS, Answer, Ledger, PairedRow, Side, unanswered

LONGEST_LINE_BYTES = 64 * 1024 * 1024
SMALLEST, LARGEST = 1e-100, 1e100
"""No weight lies outside of these and no measurement above: their squares would leave the range of a float."""
_VARIANTS_REMEMBERED = 100
UTF8_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Request:
    """What to read from a file: which two variants, which rows to leave out, which texts are a provider's error."""

    incumbent: str
    candidate: str
    skip: str | None = None
    error_text: re.Pattern[str] | None = None
    expects: str | None = None
    variants_seen: dict[str, int] = field(default_factory=dict)
    skip_seen: bool = False

    def name(self, side: Side) -> str:
        """The variant on one side."""
        return self.incumbent if side is Side.INCUMBENT else self.candidate

    def remember_variants(self, names: Iterable[str]) -> None:
        """Count the variants of a row, so that a misspelt one can be answered with those that exist."""
        for name in names:
            asked_for = name in (self.incumbent, self.candidate)
            if asked_for or name in self.variants_seen or len(self.variants_seen) < _VARIANTS_REMEMBERED:
                self.variants_seen[name] = self.variants_seen.get(name, 0) + 1


class _Row(msgspec.Struct):
    """The fields that are read; others (messages, tools, ...) are checked as JSON and never built."""

    id: Any = None
    outputs: Any = None
    slice: Any = None
    cluster: Any = None
    trial: Any = None
    weight: Any = None
    expects: Any = None


@dataclass(slots=True)
class Unusable(Exception):
    """A row that has to be left out, and why; `place` where it is not the row's own."""

    reason: str
    example: str
    place: int | None = None


@dataclass(slots=True)
class Place:
    """Where in the file we are, and whom to tell about it."""

    number: int
    ledger: Ledger

    def note(self, reason: str, example: str = "") -> None:
        """Tell the ledger of a value that cannot be used."""
        self.ledger.note(reason, self.number, example)


def lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; one beyond `LONGEST_LINE_BYTES` comes cut, so that no file can fill the memory."""
    while line := file.readline(LONGEST_LINE_BYTES + 1):
        yield line
        while len(line) > LONGEST_LINE_BYTES and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE_BYTES + 1)


def read(source: Iterable[bytes], request: Request, ledger: Ledger) -> Iterator[PairedRow]:
    """The usable rows of a paired-outputs file, in order; what is not usable goes to the `ledger`."""
    decode = _decoder(request.skip)
    for number, line in enumerate(source, start=1):
        if number == 1:
            line = line.removeprefix(UTF8_MARK)
        if not line.strip():
            ledger.blank += 1
            continue
        ledger.read += 1
        try:
            yield _pair(_decoded(line, decode), request, Place(number, ledger))
        except Unusable as unusable:
            ledger.exclude(unusable.reason, number, unusable.example)


def _decoder(skip: str | None) -> msgspec.json.Decoder[_Row]:
    if skip is None:
        return msgspec.json.Decoder(_Row)
    known = {field.encode_name: field.name for field in msgspec.structs.fields(_Row)}
    if skip in known:
        raise UsageError(
            f"--skip {skip}: expected a field of yours that marks rows to leave out, not one of {sorted(known)}"
        )
    try:
        kind = msgspec.defstruct("_RowWithSkip", [("skip_mark", Any, None)], bases=(_Row,), rename={"skip_mark": skip})
    except ValueError:
        raise UsageError(f"--skip {skip!r}: expected a field name without quotes, backslashes and controls") from None
    return msgspec.json.Decoder(kind)


def _decoded(line: bytes, decode: msgspec.json.Decoder[_Row]) -> _Row:
    if len(line) > LONGEST_LINE_BYTES:
        raise Unusable("line_too_long", f"more than {LONGEST_LINE_BYTES >> 20} MB in one line")
    try:
        return decode.decode(line)
    except RecursionError:
        raise Unusable("not_json", "nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _decoded_as_python_reads(line, decode, error)


def _decoded_as_python_reads(line: bytes, decode: msgspec.json.Decoder[_Row], error: Exception) -> _Row:
    """Python reads NaN, 1e999 and lone surrogates, which no standard allows: one bad value should not cost the row."""
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as undecodable:
        raise Unusable("not_utf8", f"byte {undecodable.start + 1} of the line is not UTF-8") from None
    except RecursionError:
        raise Unusable("not_json", "nested too deeply") from None
    except ValueError:
        raise Unusable("not_json", f"{error}; expected one JSON object a line") from None
    try:
        return msgspec.convert(row, decode.type)
    except msgspec.ValidationError:
        raise Unusable(
            "not_an_object", f"the line is {shown(row)}, expected a JSON object with id and outputs"
        ) from None


def _pair(row: _Row, request: Request, place: Place) -> PairedRow:
    if request.skip is not None:
        _skip(getattr(row, "skip_mark", None), request, place)
    identity = _id(row.id)
    if not isinstance(row.outputs, dict):
        found = "no outputs" if row.outputs is None else f"outputs is {shown(row.outputs)}"
        raise Unusable("no_outputs", f"{found}, expected an object from variant to output")
    request.remember_variants(row.outputs)
    for side in Side:
        if request.name(side) not in row.outputs:
            present = f"only of {shown(list(row.outputs))}" if row.outputs else "nor of any other"
            raise Unusable(f"no_{side}_output", f"no output of {request.name(side)!r}, {present}")
    return PairedRow(
        place=place.number,
        id=identity,
        incumbent=read_answer(row.outputs[request.incumbent], Side.INCUMBENT, request.error_text, place),
        candidate=read_answer(row.outputs[request.candidate], Side.CANDIDATE, request.error_text, place),
        slices=read_slices(row.slice, place),
        cluster=_label(row.cluster, "cluster", place),
        trial=_label(row.trial, "trial", place) or "",
        weight=_weight(row.weight),
        expects=_expectation(row.expects, request.expects, place),
    )


def _skip(mark: object, request: Request, place: Place) -> None:
    if mark is None:
        return
    request.skip_seen = True
    if mark is True:
        raise Unusable("skipped", f"{request.skip} is true")
    if mark is not False:
        place.note("bad_skip", f"{request.skip} is {shown(mark)}, expected true or false; not skipped")


def _id(found: object) -> str:
    name = _name(found)
    if name:
        return name
    identity = "no id" if found is None else f"the id is {shown(found)}"
    raise Unusable("no_id", f"{identity}, expected a string or a whole number")


def read_answer(output: object, side: Side, error_text: re.Pattern[str] | None, place: Place) -> Answer:
    """One variant's output as an `Answer`; what is wrong with it is noted, or makes the row `Unusable`."""
    if output is None:
        place.note(f"{side}_null_answer", "the output is null")
        return Answer(None, failure="null")
    if not isinstance(output, dict):
        raise Unusable(f"bad_{side}_output", f"the output is {shown(output)}, expected an object")
    text = output.get("text")
    if text is not None and not isinstance(text, str):
        raise Unusable(f"bad_{side}_text", f"text is {shown(text)}, expected a string or null")
    calls = output.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        place.note(f"{side}_bad_tool_calls", f"tool_calls is {shown(calls)}, expected an array")
        calls = None
    failure = unanswered(text, len(calls or ()), bool(output.get("error")))
    if not failure and text is not None and error_text is not None and error_text.search(text):
        failure = "blocked"
    if failure:
        what = ("error", output["error"]) if failure == "error" else ("text", text)
        place.note(f"{side}_{failure}_answer", f"{what[0]} is {shown(what[1])}")
    return Answer(
        text,
        len(calls or ()),
        failure,
        _scores(output.get("scores"), side, place),
        tuple(_measured(output.get(name), name, side, place) for name in NUMBER_FIELDS),
    )


def _scores(found: object, side: Side, place: Place) -> Mapping[str, float]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        place.note(f"{side}_bad_score", f"scores is {shown(found)}, expected an object from name to number")
        return {}
    scores = {}
    for name, value in found.items():
        number = _finite(value)
        if number is not None:
            scores[str(name)] = number
        elif value is not None:
            place.note(f"{side}_bad_score", f"score {name!r} is {shown(value)}, expected a number or null")
    return scores


def _measured(value: object, name: str, side: Side, place: Place) -> float:
    if value is None:
        return math.nan
    number = None if isinstance(value, bool) else _finite(value)
    if number is not None and 0.0 <= number <= LARGEST:
        return number
    limit = f" (and to {LARGEST:g})" if number is not None and number > 0.0 else ""
    place.note(f"{side}_bad_{name}", f"{name} is {shown(value)}, expected a number from 0 up{limit}")
    return math.nan


def read_slices(found: object, place: Place) -> tuple[str, ...]:
    """The slices that a field names; an impossible name is noted, a field of another type makes the row `Unusable`."""
    names = [found] if isinstance(found, str) else found
    if names is None:
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Unusable("bad_slice", f"slice is {shown(found)}, expected a string or an array of strings")
    kept = tuple(dict.fromkeys(name for name in names if name.strip() and name != AGGREGATE))
    if len(kept) < len(set(names)):
        place.note("unnamed_slice", f"slice is {shown(found)}; a slice needs a name other than {AGGREGATE!r}")
    return kept


def _label(value: object, name: str, place: Place) -> str | None:
    if value is None:
        return None
    label = _name(value)
    if label is None:
        place.note(f"bad_{name}", f"{name} is {shown(value)}, expected a string or a whole number")
    return label


def _name(value: object) -> str | None:
    """A string or a whole number as a name; None for anything else."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    try:
        return str(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return None


def _weight(value: object) -> float:
    if value is None:
        return 1.0
    number = None if isinstance(value, bool) else _finite(value)
    if number is not None and SMALLEST <= number <= LARGEST:
        return number
    limits = f" (and from {SMALLEST:g} to {LARGEST:g})" if number is not None and number > 0.0 else ""
    raise Unusable("bad_weight", f"weight is {shown(value)}, expected a number above 0{limits}")


def _finite(value: object) -> float | None:
    """A number that a float can hold, true and false as 1 and 0; None for anything else."""
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _expectation(found: object, default: str | None, place: Place) -> str | Mapping[str, object] | None:
    match found:
        case None:
            return default
        case "json":
            return "json"
        case {"schema": dict() as schema}:
            return dict(schema)
        case _:
            place.note("bad_expects", f'expects is {shown(found)}, expected "json" or {{"schema": ...}}')
            return default


def shown(value: object) -> str:
    """A value as JSON, short enough for a message."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."
