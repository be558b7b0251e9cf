"""The edits that a person made to a prompt, from their record: diff, reason, effect by slice and cost of each.

Contract: pure, from the plain JSON that `midshift retune --manual` keeps. Elsewhere: that record (cli.retune_by_hand),
the edits of a search (retuning).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midshift.domain.suite import AGGREGATE
from midshift.reports import words
from midshift.reports.markdown import fenced, joined, quoted, said


def page(record: Mapping[str, Any]) -> str:
    """Everything that was scored, oldest first."""
    first, *edited = record["prompts"]
    stand_ins = record["stand_ins"]
    return joined(
        f"# {said(record['candidate']['name'])}, edited by hand for {said(record['workload'])}",
        f"**{said(words.stand_in_note(stand_ins), 400)}**" if stand_ins else "",
        "Scored on the cases to learn from and to choose by; the locked ones stay unseen. What is edited here is "
        "fitted to those cases: `midshift eval` gates it on the others alone.",
        "## As it was",
        fenced(first["text"]),
        _table(first["against_incumbent"], ("incumbent", "candidate")),
        *map(_edit, edited),
    )


def _edit(one: Mapping[str, Any]) -> str:
    spent = "cost unknown" if one["spent_usd"] is None else f"{one['spent_usd']:.4f} USD"
    return joined(
        f"## Prompt {one['number']}, {said(one['day'])}, from prompt {one['parent']}",
        quoted(one["why"]) or "> (no reason was given: `--why TEXT`)",
        fenced("\n".join(one["diff"]), "diff"),
        "Since the text before:",
        _table(one["gains"], ("before", "after")),
        "Against the incumbent:",
        _table(one["against_incumbent"], ("incumbent", "candidate")),
        f"{one['bought']:,} calls bought, {spent}.",
    )


def _table(found: Sequence[Mapping[str, Any]], names: tuple[str, str]) -> str:
    if not found:
        return "Unknown: the answers to that text are not in the ledger."
    head = f"| score | slice | cases | {names[0]} | {names[1]} | delta | 95 % bounds, one-sided each |"
    return "\n".join([head, "|---|---|---|---|---|---|---|", *map(_row, found)])


def _row(one: Mapping[str, Any]) -> str:
    part = "all cases" if one["slice"] == AGGREGATE else said(one["slice"])
    bounds = "too few" if one["low"] is None else f"{one['low']:+.3f} .. {one['high']:+.3f}"
    numbers = f"{one['n']} | {one['before']:.3f} | {one['after']:.3f} | {one['delta']:+.3f} | {bounds}"
    return f"| {said(one['score'])} | {part} | {numbers} |"
