"""`midshift retune`: a prompt of its own for the candidate, found by search or by hand, within a budget.

The suite is dealt into cases to learn from, to choose by, and locked ones; the search buys through the ledger of
`midshift eval`; the prompt that keeps every floor is judged once on the locked cases, and everything goes into files of
the user's repository. Nothing here changes an upgrade: the command to type is printed.
Elsewhere: the search (retune), the files (retune_files), by hand (retune_manual), buying (buying, eval).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec
import uvloop

from midshift.cli import buying, retune_files, retune_manual
from midshift.cli import eval as evaluating
from midshift.cli.project import Target
from midshift.cli.retune_files import Look, Shelf
from midshift.cli.retune_report import reported
from midshift.cli.retune_setting import Options, Setting, purchasing, read
from midshift.cli.serve import StateFolder
from midshift.cli.system import SystemClock
from midshift.domain.evidence import EvalEvidence
from midshift.domain.gate import Decision, Retuning
from midshift.errors import UsageError
from midshift.evals.suite_file import EvalCase
from midshift.ports import PaidCalls
from midshift.reports import retuning as report
from midshift.retune import copying, diagnosing, edits, gating, reflecting, search, selecting, stale
from midshift.retune.adapter import Rules
from midshift.retune.edits import Story
from midshift.retune.gating import Gated
from midshift.retune.measuring import Scored
from midshift.retune.search import Asked, Purchases, Searched
from midshift.retune.selecting import Choice

ROUNDS = 200
LENGTHIER = 2.0
"""A prompt may grow to so many times its length, or to `ROOM` characters if that is more."""
ROOM = 4000


def run(target: Target, workload: str, options: Options, environment: Mapping[str, str] = os.environ) -> int:
    """Search for a prompt, or score one by hand; gives the exit code of the decision."""
    setting = read(target, workload, options, environment)
    if options.manual:
        return retune_manual.run(setting, options, environment)
    return _searched(setting, options, environment)


# The search


def _searched(setting: Setting, options: Options, environment: Mapping[str, str]) -> int:
    clock = SystemClock()
    left = retune_files.plans(setting.target.main.parent, options.plans)
    shelf, name = Shelf(options.state, setting.subject.definition.name), _search_id(setting, options)
    budget = json.dumps([options.max_usd, options.max_calls])
    shelf.require_unseen(
        setting.splits.locked,
        lambda look: (look.search, look.budget) == (name, budget),
        options.unlock is not None,
    )
    _require_room(setting, options)
    with evaluating.opened(options.of_eval) as calls:
        began = shelf.began(name, clock.machine_now())
        tuning = _Tuning(setting, options, shelf, name, budget, began)
        story, known = uvloop.run(tuning.told(calls, environment))
    story = replace(story, stale=tuple(_stale(setting, left, known)))
    return reported(setting, _kept(setting, options, story), options.as_json)


def _search_id(setting: Setting, options: Options) -> str:
    """The same for the same search, however much it may spend."""
    reflection = setting.reflection
    content = [
        setting.subject.incumbent.variant.id,
        setting.start.variant.id,
        None if reflection is None else reflection.variant.id,
        reflecting.GRADER,
        options.seed,
        options.grader,
        [(case.id, case.content_hash, case.slices, case.cluster, case.graders) for case in setting.suite.cases],
        setting.suite.graders,
    ]
    return hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()[:16]


def _require_room(setting: Setting, options: Options) -> None:
    buying.require_bounded(setting.lines, setting.till, setting.terms)
    parts = setting.splits
    for part, cases in (("learn from", parts.tune), ("choose by", parts.select), ("lock", parts.locked)):
        if not cases:
            raise UsageError(
                f"{setting.suite.name}: found {len(setting.suite.cases)} cases and none of them to {part}, expected "
                f"more. Type next: midshift suite build {setting.subject.definition.name} --from TRACE.jsonl"
            )
    least = search.least_calls(len(parts.tune), len(parts.select)) + 2 * len(parts.locked)
    if options.max_calls is not None and options.max_calls < least:
        raise UsageError(
            f"--max-calls {options.max_calls:,}: expected at least {least:,} for {len(setting.suite.cases):,} cases; a "
            f"smaller search ends as if nothing could be found. Type next: --max-calls {least:,}"
        )


class _Tuning:
    """One search, with the places where it is on record."""

    def __init__(
        self, setting: Setting, options: Options, shelf: Shelf, name: str, budget: str, began: datetime
    ) -> None:
        self._setting = setting
        self._options = options
        self._shelf = shelf
        self._name = name
        self._budget = budget
        self._began = began

    async def told(self, calls: PaidCalls, environment: Mapping[str, str]) -> tuple[Story, list[Scored]]:
        """Search, choose, judge; gives what happened, and the incumbent's answers."""
        setting, options = self._setting, self._options
        reserved = 2 * len(setting.splits.locked)
        most = None if options.max_calls is None else options.max_calls - reserved
        with ExitStack() as stack:
            purchases = purchasing(setting, stack, calls, environment, self._began, most, options.max_calls)
            parts = setting.splits
            known = await purchases.incumbents([*parts.tune, *parts.select])
            rules = _rules(setting, known)
            asked = Asked(setting.tunable.text, parts.tune, parts.select, rules, options.seed, ROUNDS)
            found = await search.search(asked, purchases, {one.case.id: one for one in known})
            if not found.record.tried:
                raise UsageError(
                    f"the search ended before the prompt as it was had been scored ({found.ended}), expected room for "
                    "a few rounds. Type next: a higher --max-usd; what was paid is kept"
                )
            margin = setting.subject.definition.workload.margin.fraction
            choice = selecting.chosen(found.record.tried, found.incumbent, margin, setting.watched)
            purchases.most_calls = None if options.max_calls is None else purchases.calls + reserved
            retuning = _retuning(found)
            gated = await self._gated(purchases, found, choice, retuning)
            return self._story(found, choice, retuning, gated, purchases), known

    async def _gated(self, purchases: Purchases, found: Searched, choice: Choice, retuning: Retuning) -> Gated:
        """The verdict on the locked cases, which are bought first and looked at when all of them are there."""
        setting = self._setting
        margin = setting.subject.definition.workload.margin
        if choice.chosen is None:
            return gating.gate(found.incumbent, choice.nearest.tried.scored, margin, setting.watched, retuning)
        text, locked = choice.chosen.tried.text, setting.splits.locked
        old, new = await purchases.incumbents(locked), await purchases.answers(text, locked)
        self._look(text, locked)
        return gating.gate(old, new, margin, setting.watched, retuning)

    def _look(self, text: str, locked: Sequence[EvalCase]) -> None:
        options, variant = self._options, self._setting.tunable.with_text(text).id
        self._shelf.require_unseen(
            locked,
            lambda look: (look.search, look.budget, look.variant) == (self._name, self._budget, variant),
            options.unlock is not None,
        )
        at = SystemClock().machine_now().isoformat(timespec="seconds")
        hashes = tuple(case.content_hash for case in locked)
        unlocked = (options.who or "", options.unlock) if options.unlock is not None else ("", "")
        self._shelf.take(Look(self._name, self._budget, variant, hashes, at, *unlocked))

    def _story(self, found: Searched, choice: Choice, retuning: Retuning, gated: Gated, purchases: Purchases) -> Story:
        setting, reflection = self._setting, self._setting.reflection
        incumbent, candidate = setting.subject.incumbent, setting.subject.candidates[0]
        variants = incumbent.variant, candidate.variant
        first, last = choice.judged[0].tried, (choice.chosen or choice.nearest).tried
        return Story(
            id=self._name,
            day=self._began.date(),
            workload=setting.subject.definition.name,
            names=(incumbent.name, candidate.name),
            variants=variants,
            reflection="" if reflection is None else reflection.name,
            seed=self._options.seed,
            margin=setting.subject.definition.workload.margin.fraction,
            splits=setting.splits,
            choice=choice,
            refused=tuple(found.record.refused),
            rounds=found.record.rounds,
            ended=found.ended,
            retuning=retuning,
            gated=gated,
            calls=purchases.calls,
            spent_usd=purchases.spent_usd,
            reasons=tuple(diagnosing.reasons(first.text, found.incumbent, first.scored, variants)),
            left=tuple(diagnosing.reasons(last.text, found.incumbent, last.scored, variants)),
        )


def _rules(setting: Setting, known: Sequence[Scored]) -> Rules:
    """No prompt may repeat what any case says, seen or unseen, nor what the incumbent answered."""
    answers = {one.case.id: [one.answer] for one in known}
    said = [text for case in setting.suite.cases for text in reflecting.texts(case, answers.get(case.id, []))]
    text = setting.tunable.text
    most = max(int(LENGTHIER * len(text)), ROOM)
    return Rules(text, copying.material(said), most, setting.tunable.variables)


def _retuning(found: Searched) -> Retuning:
    """A search that found nothing to gain has budget left, and one that hardly began was none."""
    if found.is_perfect:
        return Retuning.BUDGET_LEFT
    return Retuning.BUDGET_SPENT if found.had_a_chance else Retuning.NOT_RUN


# What comes of it


def _stale(setting: Setting, left: Sequence[tuple[str, str]], known: Sequence[Scored]) -> list[stale.Stale]:
    incumbent = setting.subject.incumbent
    return stale.stale(left, (incumbent.variant.model, incumbent.name), [one.answer.text or "" for one in known])


def _kept(setting: Setting, options: Options, story: Story) -> Story:
    """Write what the user's repository gets, and on a stop what the controller needs to know."""
    folder, files = setting.target.main.parent, dict[str, str]()
    if story.is_changed and story.choice.chosen is not None:
        variant = setting.tunable.with_text(story.choice.chosen.tried.text)
        files |= retune_files.write_variant(folder, setting.start, variant, setting.tunable.text, story.workload)
    name = retune_files.free_name(folder, f"retune/{story.day:%Y-%m-%d}-{story.names[1]}", story.id)
    files |= {"log": f"{name}.md", "post": f"{name}-post.md", "records": f"{name}.json"}
    if story.ruling.decision is Decision.STOP:
        gating.require_stage_two(story.retuning, story.ruling.decision)
        files["finding"] = f"findings/{Path(name).name}.md"
    story = replace(story, files=files)
    records = json.dumps(edits.document(story), indent=2, ensure_ascii=False) + "\n"
    texts = {files["log"]: report.log(story), files["post"]: report.post(story), files["records"]: records}
    retune_files.write_texts(folder, texts)
    if "finding" in files:
        retune_files.write_texts(folder, {files["finding"]: report.finding(story)})
        ruling = story.ruling
        evidence = EvalEvidence(setting.start.variant.id, ruling.decision, ruling.reason)
        StateFolder(options.state, SystemClock()).write_eval(evidence)
    return story
