"""Made-up answers of two made-up models, for demos, tests and benchmarks: never mistaken for measurements.

The story: a support team moves its reply drafting from `sim/sonnet-3.7` to `sim/sonnet-4.6`. The candidate answers
shorter and cheaper, forgets the closing line that the incumbent always had, resolves slightly fewer cases as long as
its prompt is the old one, and says something off-brand on escalations. How often each happens is scripted as exact
quotas over the cases and dealt out by a seed, so that a file of any size tells the same story.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

INCUMBENT = "sim/sonnet-3.7"
CANDIDATE = "sim/sonnet-4.6"

_SLICES = (("billing", 0.32), ("shipping", 0.30), ("returns", 0.22), ("german", 0.10), ("escalations", 0.06))
_CLOSING = "Is there anything else I can help you with?"
_OFF_BRAND = "Per policy, no exceptions can be made."
_SENTENCES = (
    "Thanks for getting in touch about your order.",
    "I have checked the details on our side and everything is in place.",
    "The parcel left our warehouse and should reach you within three working days.",
    "The refund goes back to the card that you paid with.",
    "It can take up to five days until your bank shows it.",
    "You will receive a confirmation by e-mail as soon as it is done.",
    "If the address has changed, please send us the new one before tomorrow evening.",
    "Your invoice is attached to this message.",
    "We have noted your request and added it to your account.",
    "The discount was applied to the total automatically.",
)
_USD_PER_TOKEN = {INCUMBENT: (3.0e-6, 15.0e-6), CANDIDATE: (2.5e-6, 11.0e-6)}


@dataclass(frozen=True, slots=True)
class Script:
    """How often things happen, as shares of all cases."""

    both_right: float = 0.628
    only_incumbent_right: float = 0.086
    only_candidate_right: float = 0.060
    incumbent_closes: float = 0.98
    candidate_closes: float = 0.06
    candidate_unanswered: float = 0.0


def pairs(cases: int, seed: int, script: Script = Script()) -> Iterator[dict[str, Any]]:
    """Rows of a paired-outputs file, `cases` of them; the same seed gives the same rows."""
    random = Random(seed)
    grades = _dealt(
        cases,
        random,
        ((1, 1), script.both_right),
        ((1, 0), script.only_incumbent_right),
        ((0, 1), script.only_candidate_right),
        otherwise=(0, 0),
    )
    silent = _dealt(cases, random, (True, script.candidate_unanswered), otherwise=False)
    slices = _dealt(cases, random, *_SLICES, otherwise=_SLICES[0][0])
    for number in range(cases):
        part, (old_grade, new_grade) = slices[number], grades[number]
        old = _answer(
            random, INCUMBENT, part, random.randint(4, 7), random.random() < script.incumbent_closes, old_grade
        )
        new = _answer(
            random, CANDIDATE, part, random.randint(4, 6), random.random() < script.candidate_closes, new_grade
        )
        if silent[number]:
            new = {**new, "text": None, "scores": {"resolved": None}, "tokens_out": 0}
        yield {"id": f"ticket-{number:05d}", "slice": part, "outputs": {INCUMBENT: old, CANDIDATE: new}}


def lines(cases: int, seed: int, script: Script = Script()) -> Iterator[str]:
    """The same, as the lines of a file."""
    for row in pairs(cases, seed, script):
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _answer(random: Random, model: str, part: str, sentences: int, closes: bool, grade: int) -> dict[str, Any]:
    said = random.sample(_SENTENCES, sentences)
    if model == CANDIDATE and part == "escalations" and random.random() < 0.5:
        said.append(_OFF_BRAND)
    text = " ".join(said) + (f"\n\n{_CLOSING}" if closes else "")
    tokens_in, tokens_out = 380 + random.randint(-60, 60), max(1, round(len(text) / 4.2))
    price_in, price_out = _USD_PER_TOKEN[model]
    seconds_per_token = 0.016 if model == INCUMBENT else 0.014
    return {
        "text": text,
        "scores": {"resolved": grade},
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "latency_s": round(random.lognormvariate(0.0, 0.25) * (0.4 + seconds_per_token * tokens_out), 4),
        "cost_usd": round(tokens_in * price_in + tokens_out * price_out, 7),
    }


def _dealt(cases: int, random: Random, *quotas: tuple[Any, float], otherwise: Any) -> list[Any]:
    """Exact quotas in random order."""
    dealt: list[Any] = []
    for value, share in quotas:
        dealt += [value] * round(share * cases)
    dealt = (dealt + [otherwise] * cases)[:cases]
    random.shuffle(dealt)
    return dealt
