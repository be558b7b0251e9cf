"""What the commands know of judges: whether their models stay what they are, who calibrated them, what they cost.

A calibration is kept in the state folder under the judge's name, which changes with its words, and its variant: a
judge with another rubric or model has none. Elsewhere: judges (evals.judges), calibrating (calibrating), the words
beside their numbers (reports.judging).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from midshift import config
from midshift.cli import pinning
from midshift.cli.project import write_whole
from midshift.domain.variant import Variant
from midshift.errors import ConfigError, InputError, UsageError
from midshift.evals.grading import Grading, Judge
from midshift.evals.judges import PairwiseJudge
from midshift.evals.pairing import AT_ONCE, Plan, in_parts, judge_keys
from midshift.evals.requests import Line
from midshift.ports import PaidCalls
from midshift.reports.text import visible

if TYPE_CHECKING:
    from midshift.evals.judges.labels import Calibration
    from midshift.reports.judging import JudgeNote

FORMAT = "midshift.judge/1"
BenchId: TypeAlias = tuple[str, str]
"""A judge's name, and the id of the variant that is asked."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What one judge took. `cost_usd` is None if that of one call is unknown."""

    calls: int = 0
    cost_usd: float | None = 0.0


def pin_of(variant: Variant, definitions: config.Definitions, reason: str | None) -> str:
    """Whether the judge's model stays what it is, in words; one that may change needs a reason.

    Raises:
        ConfigError: for a model that may change under the judge, if there is no reason.
        UsageError: for an empty reason.
    """
    if reason is not None and not reason.strip():
        raise UsageError(f"--allow-floating {reason!r} is empty, expected a reason. Type next: --allow-floating 'WHY'")
    provider = definitions.provider(variant.provider)
    side = pinning.side("judge", variant, None if provider is None else provider.vendor)
    if side.is_firm:
        return side.pin.cls.value
    if reason is None:
        instead = f"model: {visible(side.instead[-1])} in its file, or " if side.instead else ""
        raise ConfigError(
            f"found the {side.name}: {visible(side.pin.why)}; expected a judge that stays what it is, or the same "
            f"answer gets another grade next week. Type next: {instead}--allow-floating 'WHY'"
        )
    return f"{side.pin.cls.value}, allowed: {reason.strip()}"


def bills(plan: Plan, grading: Grading, calls: PaidCalls) -> dict[BenchId, Bill]:
    """What each judge took in this eval; a verdict that candidates share counts once."""
    found: dict[BenchId, Bill] = {}
    for part in in_parts(judge_keys(plan, grading, calls), AT_ONCE):
        known = calls.purchases(key for key, _ in part)
        for key, line in part:
            made, before = known.get(key), found.get((key.grader, line.variant.id), Bill())
            unknown = made is None or made.has_unknown_cost or bool(made.open_usd) or before.cost_usd is None
            cost = None if unknown or made is None else (before.cost_usd or 0.0) + float(made.known_usd)
            found[key.grader, line.variant.id] = Bill(before.calls + 1, cost)
    return found


def notes(
    plan: Plan,
    candidate: Line,
    grading: Grading,
    calls: PaidCalls,
    billed: Mapping[BenchId, Bill],
    pins: Mapping[str, str],
    state: Path,
) -> tuple[JudgeNote, ...]:
    """What stands beside the numbers of each judge; `pins` are in words, by the variant's id."""
    from midshift.evals.judges.standing import standing
    from midshift.reports.judging import JudgeNote

    made = []
    for bench in grading.benches:
        variant = bench.line.variant
        bill = billed.get((bench.judge.name, variant.id), Bill())
        made.append(
            JudgeNote(
                score=bench.judge.name.rpartition(":")[0],
                kind="pairwise" if isinstance(bench.judge, PairwiseJudge) else "rubric",
                model=model_words(variant),
                pin=pins[variant.id],
                standing=standing(bench, plan, candidate, calls),
                calibration=kept(state, bench.judge, variant),
                calls=bill.calls,
                cost_usd=bill.cost_usd,
            )
        )
    return tuple(made)


def model_words(variant: Variant) -> str:
    """A judge's model as people tell it apart."""
    return f"{variant.provider}/{variant.model}" + (f" at {variant.effort}" if variant.effort else "")


def keep(state: Path, judge: Judge, variant: Variant, found: Calibration) -> Path:
    """Keep a calibration, in place of an older one of the same judge and model."""
    path = _path(state, judge, variant)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {"format": FORMAT, "judge": judge.name, "variant": variant.id, "model": model_words(variant)}
    content |= {"calibration": msgspec.to_builtins(found)}
    write_whole(path, msgspec.json.format(msgspec.json.encode(content)) + b"\n")
    return path


def kept(state: Path, judge: Judge, variant: Variant) -> Calibration | None:
    """The calibration of just this judge and model; None if there is none.

    Raises:
        InputError: for a file that is none.
    """
    from midshift.evals.judges.labels import Calibration

    path = _path(state, judge, variant)
    try:
        found = msgspec.json.decode(path.read_bytes())
        return msgspec.convert(found["calibration"], Calibration) if found["format"] == FORMAT else None
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: found no calibration ({error}), expected {FORMAT!r}. Type next: midshift judge calibrate"
        ) from None


def _path(state: Path, judge: Judge, variant: Variant) -> Path:
    return state / "judges" / f"{re.sub(r'[^A-Za-z0-9.@_-]+', '-', judge.name)}-{variant.id}.json"
