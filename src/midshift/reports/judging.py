"""What stands beside every number that a judge gave: how far it is to be believed, and what it cost.

Unknown is said as such: a judge that nobody has held against people has no agreement, good or bad.
Elsewhere: the measurements (evals.judges), the reports that show these words (terminal, html, finding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from midshift.evals.judges.calibration import Share
from midshift.evals.judges.labels import Calibration
from midshift.evals.judges.standing import Standing

UNLABELLED = str(Share(0, 0))


@dataclass(frozen=True, slots=True)
class JudgeNote:
    """One judge of one comparison. `cost_usd` is what it cost in the whole eval, None where that is unknown.

    `pin` says whether its model stays what it is, `calibration` is None if nobody has labelled a sample.
    """

    score: str
    kind: str
    model: str
    pin: str
    standing: Standing
    calibration: Calibration | None
    calls: int
    cost_usd: float | None


def words(note: JudgeNote) -> str:
    """One judge in one sentence, in the order in which doubts arise."""
    return f"judged: {note.score} by {note.model} ({note.kind}, {note.pin}): " + "; ".join(_parts(note))


def documents(notes: Sequence[JudgeNote]) -> list[dict[str, Any]]:
    """As plain values; shares are fractions of one, and what is unknown is null."""
    return [_document(note) for note in notes]


def agreement_words(found: Calibration) -> list[str]:
    """Agreement with people, and what it is to be compared with."""
    if not found.same.n:
        return [f"agreement with people {UNLABELLED}"]
    return [
        f"agreement with people {found.same}",
        f"within one step {found.near}",
        f"always the commonest label {_percent(found.usual)}",
    ]


def _parts(note: JudgeNote) -> list[str]:
    said, orders = note.standing, note.standing.orders
    parts = [f"{said.unread:,} of {said.asked:,} verdicts unread"]
    if orders is not None:
        parts.append(f"both orders agree {_measured(orders.consistent)}")
        parts.append(f"first place wins {_measured(orders.first)}")
    found = note.calibration
    parts += [f"agreement with people {UNLABELLED}"] if found is None else agreement_words(found)
    cost = "unknown" if note.cost_usd is None else f"{note.cost_usd:.4f} USD"
    return [*parts, f"cost {cost} for {note.calls:,} calls"]


def _measured(share: Share) -> str:
    return str(share) if share.n else "unknown: no verdict to count"


def _percent(share: Share) -> str:
    return "unknown" if share.estimate is None else f"{100 * share.estimate:.0f} %"


def _document(note: JudgeNote) -> dict[str, Any]:
    orders, found = note.standing.orders, note.calibration
    return {
        "score": note.score,
        "kind": note.kind,
        "model": note.model,
        "pin": note.pin,
        "asked": note.standing.asked,
        "unread": note.standing.unread,
        "order_consistency": None if orders is None else share_document(orders.consistent),
        "first_place": None if orders is None else share_document(orders.first),
        "agreement": None if found is None else calibration_document(found),
        "calls": note.calls,
        "cost_usd": note.cost_usd,
    }


def calibration_document(found: Calibration) -> dict[str, Any]:
    """A calibration as plain values."""
    return {
        "same": share_document(found.same),
        "near": share_document(found.near),
        "usual": found.usual.estimate,
        "unread": found.unread,
        "at": found.at,
    }


def share_document(share: Share) -> dict[str, Any]:
    """A share with its interval."""
    low, high = share.bounds or (None, None)
    return {"hits": share.hits, "n": share.n, "estimate": share.estimate, "low": low, "high": high}
