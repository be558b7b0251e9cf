"""promptfoo's result JSON (version 3) as cases: its prompts are rendered, whatever templates they were made with.

Answers and scores are no part of a case: `midshift compare` reads them from the same file.
Elsewhere: tests and assertions (promptfoo_tests), pairs of answers (evals.promptfoo).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from midshift.errors import InputError
from midshift.evals import promptfoo
from midshift.evals.importers import chat, data
from midshift.evals.importers.promptfoo_tests import OTHER_PROMPT, Reader, add_case, mapping
from midshift.evals.importers.result import File, Imported, Options


def read(file: File, options: Options) -> Imported:
    """The tests of a result file, each with the first prompt it was put to, or the one of `--prompt`.

    Raises:
        InputError: for a file that is none, or without a usable test.
    """
    reader = Reader(file, options)
    chosen: dict[int, _Found] = {}
    for number, raw in enumerate(_raw(file), start=1):
        found = _found(reader, number, data.json_of(bytes(raw), f"{file.name}: result {number}"))
        if found is None or options.prompt not in (None, found.label):
            continue
        before = chosen.get(found.test, found)
        if before.prompt != found.prompt:
            reader.lose(f"prompt {max(before, found, key=lambda one: one.prompt).label[:60]!r}", OTHER_PROMPT)
        if before.prompt > found.prompt or before is found:
            chosen[found.test] = found
    for test in sorted(chosen):
        _add(reader, chosen[test])
    reader.basket.note(f"answers and scores are read by: midshift compare {file.name}")
    return reader.basket.done(file.name)


@dataclass(frozen=True, slots=True)
class _Found:
    test: int
    prompt: int
    label: str
    text: str
    result: Mapping[str, Any]


def _found(reader: Reader, number: int, result: Any) -> _Found | None:
    """What a result was asked, and in which column of promptfoo's table."""
    match result:
        case {"testIdx": int() as test, "prompt": {"raw": str() as text, **rest}}:
            at = result.get("promptIdx", 0)
            return _Found(test, at if isinstance(at, int) else 0, str(rest.get("label") or ""), text, result)
        case _:
            reader.lose(f"result {number}", "no testIdx or prompt.raw")
            return None


def _raw(file: File) -> list[Any]:
    if file.name.endswith(".jsonl"):
        return list(promptfoo.results_of_lines(file.data.split(b"\n")))
    try:
        return list(promptfoo.results_of(file.data))
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from None


def _add(reader: Reader, found: _Found) -> None:
    variables = mapping(found.result.get("vars"))
    case = mapping(found.result.get("testCase"))
    metadata = mapping(case.get("metadata")) or mapping(found.result.get("metadata"))
    try:
        messages = chat.messages_of(found.text)
    except chat.NotMessages as error:
        reader.lose(f"test {found.test}", f"its prompt is no request: {error}")
        return
    add_case(reader, found.test, {**case, "metadata": metadata}, messages, variables)
