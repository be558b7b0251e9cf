"""What the incumbent left behind and the candidate would go on from: few-shot examples, cached plans, stored answers.

A plan that the old model wrote steers the new one, and a few-shot example teaches the old one's manner. Files and
tables are named by the user; here it is only told which of them, or which of their rows, the incumbent made, and why
we think so. One that shows no trace of its maker is listed as such: it was named as one of these, and only its owner
knows.
Contract: pure; texts come from the shell. Elsewhere: reading files (cli.retune_files).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHORTEST_TRACE = 40
"""So many characters of an answer have to be found, or it may be anybody's."""
_NO_TRACE = "shows no trace of who made it; look"


@dataclass(frozen=True, slots=True)
class Stale:
    """What to make anew after the switch: how many lines of a file, or rows of a table, show a trace of the incumbent,
    and which trace. `rows` are those of a table, by id or number."""

    path: str
    entries: int
    why: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its id or number, the text in the column that was named, and everything that it says."""

    name: str
    text: str
    said: str


def stale(files: Iterable[tuple[str, str]], models: Sequence[str], answers: Iterable[str]) -> list[Stale]:
    """The files, by path and text, that are to be made anew; `answers` are the incumbent's, `models` its names."""
    traces = _traces(answers)
    return [_judged(path, text, models, traces) for path, text in files]


def stale_rows(path: str, rows: Iterable[Row], models: Sequence[str], answers: Iterable[str]) -> Stale:
    """The rows of one table that are to be made anew: the column holds an answer, or any field names the incumbent."""
    traces = _traces(answers)
    found = [(row.name, why) for row in rows if (why := _why(row, models, traces)) is not None]
    if not found:
        return Stale(path, 0, _NO_TRACE)
    return Stale(path, len(found), found[0][1], tuple(name for name, _ in found))


def _traces(answers: Iterable[str]) -> list[str]:
    return sorted({trace for answer in answers if len(trace := _plain(answer)) >= SHORTEST_TRACE})


def _why(row: Row, models: Sequence[str], traces: Sequence[str]) -> str | None:
    named = next((model for model in models if model in row.said), None)
    if named is not None:
        return _names(named)
    plain = _plain(row.text)
    repeated = next((trace for trace in traces if trace in plain), None)
    return None if repeated is None else _holds(repeated)


def _judged(path: str, text: str, models: Sequence[str], traces: Sequence[str]) -> Stale:
    lines = [line for line in text.splitlines() if line.strip()]
    naming = [line for line in lines if any(model in line for model in models)]
    whole = _plain(text)
    repeated = [trace for trace in traces if trace in whole]
    if naming:
        return Stale(path, len(naming), _names(next(model for model in models if model in naming[0])))
    if repeated:
        return Stale(path, len(repeated), _holds(repeated[0]))
    return Stale(path, 0, _NO_TRACE)


def _names(model: str) -> str:
    return f"names {model!r}"


def _holds(trace: str) -> str:
    return f"holds an answer of the incumbent: {trace[:60]!r}"


def _plain(text: str) -> str:
    """Without what JSON and line breaks add."""
    return " ".join(text.replace("\\n", " ").replace('\\"', '"').split())
