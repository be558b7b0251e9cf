"""What the incumbent left behind and the candidate would go on from: few-shot examples, cached plans, stored answers.

A plan that the old model wrote steers the new one, and a few-shot example teaches the old one's manner. Files are named
by the user; here it is only told which of them the incumbent made, and why we think so. A file that shows no trace of
its maker is listed as such: it was named as one of these, and only its owner knows.
Contract: pure; texts come from the shell. Elsewhere: reading files (cli.retune).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHORTEST_TRACE = 40
"""So many characters of an answer have to be found, or it may be anybody's."""


@dataclass(frozen=True, slots=True)
class Stale:
    """A file to make anew after the switch: how many of its lines show a trace of the incumbent, and which."""

    path: str
    entries: int
    why: str


def stale(files: Iterable[tuple[str, str]], models: Sequence[str], answers: Iterable[str]) -> list[Stale]:
    """The files, by path and text, that are to be made anew; `answers` are the incumbent's, `models` its names."""
    traces = sorted({trace for answer in answers if len(trace := _plain(answer)) >= SHORTEST_TRACE})
    return [_judged(path, text, models, traces) for path, text in files]


def _judged(path: str, text: str, models: Sequence[str], traces: Sequence[str]) -> Stale:
    lines = [line for line in text.splitlines() if line.strip()]
    naming = [line for line in lines if any(model in line for model in models)]
    whole = _plain(text)
    repeated = [trace for trace in traces if trace in whole]
    if naming:
        return Stale(path, len(naming), f"names {next(model for model in models if model in naming[0])!r}")
    if repeated:
        return Stale(path, len(repeated), f"holds an answer of the incumbent: {repeated[0][:60]!r}")
    return Stale(path, 0, "shows no trace of who made it; look")


def _plain(text: str) -> str:
    """Without what JSON and line breaks add."""
    return " ".join(text.replace("\\n", " ").replace('\\"', '"').split())
