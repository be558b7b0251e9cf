"""Looks at cases that no prompt was fitted to: which one this is, and what it may spend of the error.

A look is known by what it sees: the cases, and on each the outputs of both sides with their scores. The same again
shows the same numbers and is no further look. Other outputs on cases that were judged before (new trials, another
prompt, a suite that has grown) are: each one after a look that did not clear is judged at half the level of the one
before (`stats.looks`). A look after one that cleared can only take that back, and spends nothing.
Contract: pure. Elsewhere: where looks are kept (cli.retune_files), what a locked case is (splits).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from midshift.domain.gate import Decision
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase
from midshift.stats.looks import Look

ALPHA = 0.05
_DIGITS = 9
"""Scores are told apart to so many decimals: the last bits of a sum depend on its order."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One judging of locked cases: by which search and budget (none for an eval), of which variant, and who unlocked
    it if need be. `cases` are content hashes, `outputs` what was seen; `cleared` is None where nobody wrote it down.
    """

    search: str
    budget: str
    variant: str
    cases: tuple[str, ...]
    at: str
    unlocked_by: str = ""
    unlocked_why: str = ""
    outputs: tuple[str, ...] = ()
    further: int = 0
    cleared: bool | None = None

    def shows(self, outputs: Iterable[str]) -> bool:
        """Whether all of this was seen then."""
        wanted = set(outputs)
        return bool(wanted) and wanted <= set(self.outputs)


def output(case: EvalCase, incumbent: Answer, candidate: Answer) -> str:
    """What is seen of a case, as a digest: what was asked, what both answered, and how that was graded."""
    sides = [
        (
            answer.text,
            [(tool.name, tool.arguments) for tool in answer.tools],
            sorted((name, round(value, _DIGITS)) for name, value in answer.scores.items()),
        )
        for answer in (incumbent, candidate)
    ]
    seen = msgspec.json.encode([case.content_hash, _plain(sides)])
    return hashlib.sha256(seen).hexdigest()[:16]


def look(earlier: Sequence[Taken], cases: Iterable[str], outputs: Iterable[str]) -> Look:
    """Which look this is, after those that were taken before; `cases` are content hashes."""
    wanted, names = set(outputs), set(cases)
    for one in earlier:
        if one.shows(wanted):
            return Look(further=one.further)
    return Look(further=sum(one.cleared is not True for one in earlier if names & set(one.cases)))


def cleared(decision: Decision) -> bool:
    """Whether a look has opened the gate."""
    return decision in (Decision.PROCEED, Decision.PROCEED_WITH_CAUTION)


def words(found: Look, alpha: float = ALPHA) -> str:
    """`look 2 at these cases, at 2.5 %: with the others 7.5 % of error is spent`; nothing for the first."""
    if not found.further:
        return ""
    return (
        f"look {found.number + found.further} at cases that were judged before, at {100 * found.alpha(alpha):.3g} %: "
        f"with the looks before it {100 * found.spent(alpha):.3g} % of error is spent"
    )


def _plain(value: object) -> object:
    """Text that is no Unicode is told apart all the same."""
    match value:
        case str():
            return value.encode("utf-8", "surrogatepass").hex() if not value.isprintable() else value
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value
