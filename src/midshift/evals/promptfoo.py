"""Read promptfoo's result JSON (`promptfoo eval -o results.json`, result version 3) as paired rows.

The two variants are named by provider label or id, or, where one provider ran two prompts, by prompt label; with
several of both, `PROVIDER :: PROMPT`. A test is a case, known by its index; tests with equal variables (`--repeat`)
are one cluster. Slices are `metadata.slice`, or else `metadata.category`. Scores are promptfoo's `score`, `pass` and
its named scores; an errored test has none, although promptfoo writes a 0 there.

Facts: promptfoo 0.121 output files; failureReason 0 none, 1 assertion, 2 error.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from midshift.errors import InputError
from midshift.evals.paired_outputs import UTF8_MARK, Place, Request, Unusable, read_answer, read_slices, shown
from midshift.evals.rows import Ledger, PairedRow, Side

_ERRORED = 2
SEPARATOR = " :: "
T = TypeVar("T")


class _Provider(msgspec.Struct, frozen=True):
    id: str = ""
    label: str | None = None


class _Prompt(msgspec.Struct, frozen=True):
    label: str | None = None
    raw: str | None = None


class _Key(msgspec.Struct, rename="camel"):
    """The part of a result that says which test and which variant it is."""

    test_idx: int
    provider: _Provider | str
    prompt: _Prompt = _Prompt()
    prompt_idx: int = 0

    def names(self) -> set[str]:
        provider = self.provider if isinstance(self.provider, _Provider) else _Provider(self.provider)
        providers = {name for name in (provider.label, provider.id) if name}
        prompts = {name for name in (self.prompt.label, self.prompt.raw) if name}
        both = {f"{left}{SEPARATOR}{right}" for left in providers for right in prompts}
        return providers | prompts | both

    def title(self) -> str:
        provider = self.provider if isinstance(self.provider, str) else self.provider.label or self.provider.id
        return f"{provider}{SEPARATOR}{self.prompt.label}" if self.prompt.label else provider


class _Results(msgspec.Struct):
    results: list[msgspec.Raw]


class _Document(msgspec.Struct):
    results: _Results | list[msgspec.Raw]


class _PlainResults(msgspec.Struct):
    results: list[Any]


class _PlainDocument(msgspec.Struct):
    results: _PlainResults | list[Any]


def results_of(document: bytes | memoryview) -> list[msgspec.Raw]:
    """The single results of a promptfoo document, undecoded.

    Raises:
        InputError: if the document is not JSON, or not promptfoo's.
    """
    if bytes(document[: len(UTF8_MARK)]) == UTF8_MARK:
        document = document[len(UTF8_MARK) :]
    try:
        decoded = msgspec.json.decode(document, type=_Document)
    except msgspec.ValidationError as error:
        raise _not_promptfoo(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _results_as_python_reads(document, error)
    return decoded.results.results if isinstance(decoded.results, _Results) else decoded.results


def _results_as_python_reads(document: bytes | memoryview, error: Exception) -> list[msgspec.Raw]:
    """JavaScript writes half a character (a lone surrogate) where it cut a text: that should not cost the file."""
    try:
        decoded = msgspec.convert(json.loads(bytes(document)), _PlainDocument)
    except msgspec.ValidationError as mismatch:
        raise _not_promptfoo(mismatch) from None
    except (ValueError, RecursionError):
        raise _not_promptfoo(error) from None
    results = decoded.results.results if isinstance(decoded.results, _PlainResults) else decoded.results
    return [msgspec.Raw(json.dumps(result).encode()) for result in results]


def _not_promptfoo(error: Exception) -> InputError:
    return InputError(
        f"not a promptfoo result file: {error}. Expected the JSON that `promptfoo eval -o results.json` writes"
    )


def results_of_lines(lines: Iterable[bytes]) -> list[msgspec.Raw]:
    """The single results of promptfoo's JSON lines (`promptfoo eval -o results.jsonl`), undecoded."""
    return [msgspec.Raw(line.removeprefix(UTF8_MARK)) for line in lines if line.strip()]


def read(results: Iterable[msgspec.Raw], request: Request, ledger: Ledger) -> Iterator[PairedRow]:
    """The usable rows, in the order of their tests.

    Raises:
        InputError: if a name fits several provider-prompt combinations of one test.
    """
    ledger.unit = "result"
    tests: dict[int, dict[Side, tuple[int, msgspec.Raw]]] = {}
    first: dict[int, int] = {}
    found: dict[Side, set[tuple[int, str]]] = {side: set() for side in Side}
    for number, raw in enumerate(results, start=1):
        try:
            key = _decoded(raw, _Key)
        except Unusable as unusable:
            ledger.read += 1
            ledger.exclude(unusable.reason, number, unusable.example)
            continue
        request.remember_variants([key.title()])
        sides = tests.setdefault(key.test_idx, {})
        first.setdefault(key.test_idx, number)
        for side in Side:
            if request.name(side) not in key.names():
                continue
            found[side].add((key.prompt_idx, key.title()))
            if side in sides and len(found[side]) == 1:
                ledger.read += 1
                ledger.exclude("duplicate_result", number, f"test {key.test_idx} of {request.name(side)!r} again")
            else:
                sides[side] = (number, raw)
    for side, columns in found.items():
        _require_one(side, request.name(side), [title for _, title in sorted(columns)])
        if columns:
            request.remember_variants([request.name(side)])
    if found[Side.INCUMBENT] and found[Side.INCUMBENT] == found[Side.CANDIDATE]:
        raise InputError(
            f"--incumbent {request.incumbent!r} and --candidate {request.candidate!r} are one variant, "
            f"{next(iter(found[Side.INCUMBENT]))[1]!r}; name two to compare"
        )
    for test, sides in sorted(tests.items()):
        ledger.read += 1
        try:
            yield _pair(test, sides, request, ledger)
        except Unusable as unusable:
            ledger.exclude(unusable.reason, unusable.place or first[test], unusable.example)


def _require_one(side: Side, name: str, titles: Sequence[str]) -> None:
    """One name must mean one column of promptfoo's table: one provider with one prompt."""
    if len(titles) < 2:
        return
    if len(set(titles)) == len(titles):
        listed = ", ".join(map(repr, sorted(titles)))
        raise InputError(f"--{side} {name!r} fits {len(titles)} variants: {listed}; name one of them")
    raise InputError(
        f"--{side} {name!r} fits {len(titles)} columns of the results, and some have equal names; "
        "give each provider and prompt a label of its own in promptfoo's configuration, and run it again"
    )


def _decoded(raw: msgspec.Raw, kind: type[T]) -> T:
    """One result, read as Python reads JSON where the standard is too strict: one bad value costs no result."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            return msgspec.convert(json.loads(bytes(raw)), kind)
        except msgspec.ValidationError as mismatch:
            raise Unusable("not_a_result", str(mismatch)) from None
        except (ValueError, RecursionError):
            raise Unusable("not_a_result", str(error)) from None


def _pair(test: int, sides: Mapping[Side, tuple[int, msgspec.Raw]], request: Request, ledger: Ledger) -> PairedRow:
    for side in Side:
        if side not in sides:
            raise Unusable(f"no_{side}_output", f"test {test} has no result of {request.name(side)!r}")
    answers, decoded = {}, {}
    for side in Side:
        number, raw = sides[side]
        place = Place(number, ledger)
        try:
            decoded[side] = _decoded(raw, dict[str, Any])
            answers[side] = read_answer(_as_output(decoded[side], side, place), side, request.error_text, place)
        except Unusable as unusable:
            raise Unusable(unusable.reason, unusable.example, number) from None
    result, place = decoded[Side.INCUMBENT], Place(sides[Side.INCUMBENT][0], ledger)
    case = _object(result.get("testCase"), "testCase", "bad_test_case", place)
    return PairedRow(
        place=place.number,
        id=f"test {test}",
        incumbent=answers[Side.INCUMBENT],
        candidate=answers[Side.CANDIDATE],
        slices=_slices(case.get("metadata") or result.get("metadata"), place),
        cluster=_digest(result.get("vars")),
        expects=_expects_json(case.get("assert")) or request.expects,
    )


def _as_output(result: Mapping[str, Any], side: Side, place: Place) -> Mapping[str, Any]:
    """A promptfoo result in the shape of a paired output."""
    response = result.get("response")
    if response is not None and not isinstance(response, dict):
        raise Unusable(f"bad_{side}_output", f"response is {shown(response)}, expected an object")
    response = response or {}
    text = response.get("output")
    errored = result.get("failureReason") == _ERRORED or (text is None and bool(result.get("error")))
    usage = _object(response.get("tokenUsage"), "tokenUsage", f"{side}_bad_tokens", place)
    details = _object(usage.get("completionDetails"), "completionDetails", f"{side}_bad_tokens", place)
    named = _object(result.get("namedScores"), "namedScores", f"{side}_bad_score", place)
    scores = {"score": result.get("score"), "pass": result.get("success"), **named}
    return {
        "text": text if text is None or isinstance(text, str) else json.dumps(text, ensure_ascii=False),
        "error": (result.get("error") or "no message") if errored else None,
        "scores": {} if errored else scores,
        "latency_s": None if response.get("cached") is True else _seconds(result.get("latencyMs")),
        "tokens_in": usage.get("prompt"),
        "tokens_out": usage.get("completion"),
        "tokens_reasoning": details.get("reasoning"),
        "cost_usd": response.get("cost"),
    }


def _object(found: object, name: str, reason: str, place: Place) -> Mapping[str, Any]:
    """A part of a result that promptfoo writes as an object; anything else is noted and read as an empty one."""
    if isinstance(found, dict):
        return found
    if found is not None:
        place.note(reason, f"{name} is {shown(found)}, expected an object")
    return {}


def _seconds(milliseconds: object) -> object:
    """Milliseconds as seconds; what is no number stays as it is, for its reader to note."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return milliseconds
    try:
        return milliseconds / 1000.0
    except OverflowError:
        return math.inf


def _slices(found: object, place: Place) -> tuple[str, ...]:
    metadata = _object(found, "metadata", "bad_metadata", place)
    named = metadata.get("slice") or metadata.get("category")
    names = named if isinstance(named, list) else [named]
    return read_slices(
        [str(name) if isinstance(name, int | float) else name for name in names if name is not None], place
    )


def _expects_json(asserts: object) -> str | None:
    found = asserts if isinstance(asserts, list) else ()
    return "json" if any(isinstance(item, dict) and item.get("type") == "is-json" for item in found) else None


def _digest(variables: object) -> str | None:
    if not variables:
        return None
    canonical = json.dumps(variables, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
