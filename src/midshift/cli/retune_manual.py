"""`midshift retune --manual`: edit the prompt file, see every slice move.

Each run scores the prompt as it is on the cases to learn from and to choose by, never on the locked ones, beside the
incumbent and beside the text of the run before. What the ledger has costs nothing; a changed text is bought within
--max-usd, which bounds each text. Elsewhere: the search (retune).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event as Waiting
from typing import Any

import uvloop

from midshift.cli import buying, eval_setting, retune_by_hand, retune_setting
from midshift.cli.choosing import candidate_file
from midshift.cli.project import say
from midshift.cli.retune_files import Shelf
from midshift.cli.retune_report import sign_of
from midshift.cli.retune_setting import Options, Setting
from midshift.cli.system import SystemClock
from midshift.errors import MidshiftError, UsageError
from midshift.ports import PaidCalls
from midshift.reports import words
from midshift.reports.text import visible
from midshift.retune import measuring, prompts
from midshift.retune.edits import delta
from midshift.retune.measuring import Delta, Floor, Scored
from midshift.retune.search import Purchases

FORMAT = "midshift.retune-manual/1"
_LOOK_S = 0.3


def run(setting: Setting, options: Options, environment: Mapping[str, str] = os.environ) -> int:
    """Score the prompt once, or with --watch whenever its files change; 1 if a slice is below its floor."""
    if not options.watch:
        return _once(setting, options, environment)
    files, waiting, seen = _files(setting), Waiting(), dict[Path, int]()
    try:
        while True:
            now = {file: file.stat().st_mtime_ns for file in files if file.exists()}
            if now != seen:
                seen = now
                setting = _shown_again(setting, options, environment)
            waiting.wait(_LOOK_S)
    except KeyboardInterrupt:
        return 0


def _shown_again(setting: Setting, options: Options, environment: Mapping[str, str]) -> Setting:
    """A file that is being edited may be wrong for a moment: that is said, and waited out."""
    try:
        setting = _read_again(setting, options)
        _once(setting, options, environment)
    except MidshiftError as error:
        say(f"✖ {visible(str(error), 2000)}")
    return setting


def _files(setting: Setting) -> list[Path]:
    folder = setting.target.main.parent
    return [folder / path for path in (setting.start.path, setting.start.prompt_path) if path is not None]


def _read_again(setting: Setting, options: Options) -> Setting:
    start = candidate_file(setting.target, options.to)
    tunable = prompts.tunable(start.variant, setting.suite.cases)
    return replace(setting, start=start, tunable=tunable, ways=retune_setting.ways_of(setting, tunable))


def _once(setting: Setting, options: Options, environment: Mapping[str, str]) -> int:
    shelf, text = Shelf(options.state, setting.subject.definition.name), setting.tunable.text
    before = shelf.last_text(options.to)
    with eval_setting.opened(options.of_eval) as calls:
        started = SystemClock().monotonic_s()
        found = uvloop.run(_scored(setting, calls, environment, before))
        took_s = SystemClock().monotonic_s() - started
    shelf.keep_text(options.to, text)
    incumbent, now, last, bought, spent_usd = found
    against = measuring.deltas(incumbent, now)
    margin = setting.subject.definition.workload.margin.fraction
    floors = measuring.broken(against, margin, setting.watched, setting.own_margins)
    moved = [] if last is None else measuring.deltas(last, now)
    why, today = (options.why or "").strip(), SystemClock().now().date()
    page = retune_by_hand.keep(setting, today, why, before, against, moved, floors, bought, spent_usd)
    if options.as_json:
        document = {**_document(setting, against, moved, floors, bought, spent_usd), "page": page}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        _show(setting, against, moved, floors)
        spent = "cost unknown" if spent_usd is None else f"{spent_usd:.4f} USD"
        say(f"{bought:,} calls bought, {spent}, {took_s:.1f} s; the {len(setting.splits.locked)} locked cases unseen")
        say(f"edits so far: {visible(page)}")
    return 1 if floors else 0


_Found = tuple[list[Scored], list[Scored], list[Scored] | None, int, float | None]


async def _scored(setting: Setting, calls: PaidCalls, environment: Mapping[str, str], before: str | None) -> _Found:
    cases = [*setting.splits.tune, *setting.splits.select]
    lines = [setting.ways.incumbent, setting.ways.candidate(setting.tunable.text)]
    keys = [line.key(case) for line in lines for case in cases]
    known = calls.purchases(keys)
    expected = None if setting.grading.benches else sum(key not in known for key in keys)
    began = SystemClock().machine_now()
    with ExitStack() as stack:
        purchases = retune_setting.purchasing(setting, stack, calls, environment, began, shown_calls=expected)
        _require_room(setting, sum([purchases.missing(line, cases) for line in lines]))
        incumbent = await purchases.incumbents(cases)
        now = await purchases.answers(setting.tunable.text, cases)
        last = await _before(setting, purchases, before)
        return incumbent, now, last, purchases.bought, purchases.paid_usd


async def _before(setting: Setting, purchases: Purchases, text: str | None) -> list[Scored] | None:
    """The text of the run before, if it was another one and all its answers are still there."""
    cases = [*setting.splits.tune, *setting.splits.select]
    if text is None or text == setting.tunable.text or purchases.missing(setting.ways.candidate(text), cases):
        return None
    return await purchases.answers(text, cases)


def _require_room(setting: Setting, missing: int) -> None:
    if missing and setting.terms.cap_usd is None:
        raise UsageError(
            f"the ledger lacks {missing:,} answers to this prompt, expected all, or the most that they may cost. "
            "Type next: the same command with --max-usd 1"
        )
    if missing:
        buying.require_bounded(setting.lines, setting.till, setting.terms)


def _document(
    setting: Setting,
    against: list[Delta],
    moved: list[Delta],
    floors: list[Floor],
    bought: int,
    spent_usd: float | None,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "workload": setting.subject.definition.name,
        "candidate": setting.start.variant.id,
        "simulated": bool(setting.stand_ins),
        "stand_ins": list(setting.stand_ins),
        "against_incumbent": [delta(one) for one in against],
        "against_last": [delta(one) for one in moved],
        "broken_floors": [{"score": one.score, "slice": one.slice, "short": one.short} for one in floors],
        "bought": bought,
        "spent_usd": spent_usd,
    }


def _show(setting: Setting, against: list[Delta], moved: list[Delta], floors: list[Floor]) -> None:
    broken = {(one.score, one.slice) for one in floors}
    last = {(one.score, one.slice): one for one in moved}
    say(f"{visible(setting.start.path)} against {visible(setting.subject.incumbent.name)}:")
    if setting.stand_ins:
        say(visible(words.stand_in_note(setting.stand_ins), 400))
    for judge in setting.judges:
        say(visible(judge, 800))
    for one in against:
        sign = sign_of(one, (one.score, one.slice) in broken, setting)
        before = last.get((one.score, one.slice))
        since = "" if before is None else f", {before.d:+.3f} since the last text"
        say(
            f"  {sign} {visible(one.score)} {visible(one.slice)}: {one.before:.3f} → {one.after:.3f} "
            f"({one.d:+.3f} on {one.n}){since}"
        )
