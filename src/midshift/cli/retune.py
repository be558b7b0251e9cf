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
from dataclasses import dataclass, replace
from decimal import ROUND_UP, Decimal
from pathlib import Path

import msgspec
import uvloop

from midshift.cli import basis, buying, eval_setting, findings, retune_files, retune_gate, retune_manual, tuned
from midshift.cli.project import Target, note
from midshift.cli.retune_files import Shelf
from midshift.cli.retune_gate import Judged
from midshift.cli.retune_report import reported
from midshift.cli.retune_setting import Options, Setting, dealt, purchasing, read
from midshift.cli.state_folder import StateFolder
from midshift.cli.system import SystemClock
from midshift.domain.evidence import Basis
from midshift.domain.gate import Decision, Retuning
from midshift.errors import UsageError
from midshift.evals.suite_file import EvalCase
from midshift.ports import PaidCalls
from midshift.reports import retuning as report
from midshift.retune import copying, diagnosing, edits, gating, reflecting, search, selecting, stale
from midshift.retune.adapter import Rules
from midshift.retune.edits import Story
from midshift.retune.looking import Taken
from midshift.retune.measuring import Scored
from midshift.retune.reserving import Reserve, usd
from midshift.retune.search import Asked, Purchases, Searched
from midshift.retune.selecting import Choice
from midshift.retune.splits import Kept, marks, part_of
from midshift.retune.stale import Row, Stale

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
    left = _left(setting, options)
    shelf, name = _shelf(setting, options), _search_id(setting, options)
    setting = _dealt(setting, shelf, name, options.unlock is not None)
    budget = json.dumps([options.max_usd, options.max_calls])
    shelf.require_unseen(
        setting.splits.locked,
        lambda look: (look.search, look.budget) == (name, budget),
        options.unlock is not None,
    )
    _require_parts(setting)
    with eval_setting.opened(options.of_eval) as calls:
        began = shelf.began(name)
        at = clock.machine_now() if began is None else began.at
        reserve = Reserve(setting.ways, setting.grading, setting.till, calls, at)
        _require_calls(setting, options, reserve)
        _require_money(setting, reserve)
        if began is None:
            shelf.begin(name, at, edits.parts(setting.splits))
        tuning = _Tuning(setting, options, shelf, name, budget, reserve)
        story, known = uvloop.run(tuning.told(calls, environment))
    story = replace(story, stale=tuple(_stale(setting, left, known)))
    return reported(setting, _kept(setting, options, story), options.as_json)


def _shelf(setting: Setting, options: Options) -> Shelf:
    workload = setting.subject.definition.name
    return Shelf(options.state, workload, tuned.looks(setting.target.main.parent, workload))


def _dealt(setting: Setting, shelf: Shelf, search: str, is_unlocked: bool) -> Setting:
    """As the first run of this search dealt the cases. A new one locks new cases, if there are any, and lets go of
    locked ones that were judged."""
    workload, cases = setting.subject.definition.name, setting.suite.cases
    began = shelf.began(search)
    if began is not None:
        return replace(setting, splits=dealt(cases, workload, Kept(began.parts)))
    parts = tuned.dealt(setting.target.main.parent, workload)
    looked = {name for look in shelf.looks() for name in look.cases}
    if is_unlocked or all(case.content_hash in looked or part_of(case, parts) is not None for case in cases):
        looked = set()
    judged = frozenset(mark for case in cases if case.content_hash in looked for mark in marks(case))
    return replace(setting, splits=dealt(cases, workload, Kept(parts, judged)))


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


def _require_parts(setting: Setting) -> None:
    buying.require_bounded(setting.lines, setting.till, setting.terms)
    parts = setting.splits
    for part, cases in (("learn from", parts.tune), ("choose by", parts.select), ("lock", parts.locked)):
        if not cases:
            raise UsageError(
                f"{setting.suite.name}: found {len(setting.suite.cases)} cases and none of them to {part}, expected "
                f"more. Type next: midshift suite build {setting.subject.definition.name} --from TRACE.jsonl"
            )


def _require_calls(setting: Setting, options: Options, reserve: Reserve) -> None:
    parts, text = setting.splits, setting.tunable.text
    incumbents = reserve.incumbents([*parts.tune, *parts.select])
    prompt = len(reserve.answers(text, parts.select).keys() - incumbents.keys())
    least = search.least_calls(len(incumbents), prompt, -(-prompt // len(parts.select)))
    least += len(reserve.verdict(text, parts.locked))
    if options.max_calls is not None and options.max_calls < least:
        raise UsageError(
            f"--max-calls {options.max_calls:,}: expected at least {least:,} for {len(setting.suite.cases):,} cases; a "
            f"smaller search ends as if nothing could be found. Type next: --max-calls {least}"
        )


def _require_money(setting: Setting, reserve: Reserve) -> None:
    """Room for the verdict, and for one prompt that it could be on."""
    parts, text, cap_usd = setting.splits, setting.tunable.text, setting.terms.cap_usd
    verdict = usd(reserve.verdict(text, parts.locked))
    first = usd(reserve.incumbents([*parts.tune, *parts.select]) | reserve.answers(text, parts.select))
    if cap_usd is not None and cap_usd < verdict + first:
        least = (verdict + first).quantize(Decimal("0.01"), ROUND_UP)
        raise UsageError(
            f"--max-usd {cap_usd}: the verdict on {len(parts.locked):,} locked cases may cost up to {verdict:.4f} USD, "
            f"and to score the prompt as it is up to {first:.4f} USD, expected room for both: a search that spends it "
            f"all finds a prompt that nobody may judge. Type next: --max-usd {least}, or a smaller max_tokens in the "
            "variants' params"
        )


class _Tuning:
    """One search, with the places where it is on record."""

    def __init__(
        self, setting: Setting, options: Options, shelf: Shelf, name: str, budget: str, reserve: Reserve
    ) -> None:
        self._setting = setting
        self._options = options
        self._shelf = shelf
        self._name = name
        self._budget = budget
        self._reserve = reserve

    async def told(self, calls: PaidCalls, environment: Mapping[str, str]) -> tuple[Story, list[Scored]]:
        """Search, choose, judge; gives what happened, and the incumbent's answers."""
        setting, options = self._setting, self._options
        text, parts = setting.tunable.text, setting.splits
        reserved = len(self._reserve.verdict(text, parts.locked))
        most = None if options.max_calls is None else options.max_calls - reserved
        with ExitStack() as stack:
            purchases = purchasing(
                setting, stack, calls, environment, self._reserve.began, most, options.max_calls, self._verdict_usd
            )
            purchases.hold_back(text)
            known = await purchases.incumbents([*parts.tune, *parts.select])
            rules = _rules(setting, known)
            asked = Asked(text, parts.tune, parts.select, rules, options.seed, ROUNDS)
            found = await search.search(asked, purchases, {one.case.id: one for one in known})
            if not found.record.tried:
                raise UsageError(
                    f"the search ended before the prompt as it was had been scored ({found.ended}), expected room for "
                    "a few rounds. Type next: a higher --max-usd or --max-calls; what was paid is kept"
                )
            margin = setting.subject.definition.workload.margin.fraction
            choice = selecting.chosen(found.record.tried, found.incumbent, margin, setting.watched, setting.own_margins)
            purchases.judge_now(reserved)
            retuning = _retuning(found)
            judged = await self._gated(purchases, found, choice, retuning)
            return self._story(found, choice, retuning, judged, purchases), known

    def _verdict_usd(self, text: str) -> Decimal:
        return usd(self._reserve.verdict(text, self._setting.splits.locked))

    async def _gated(self, purchases: Purchases, found: Searched, choice: Choice, retuning: Retuning) -> Judged:
        """The verdict on the locked cases, which are bought first and looked at when all of them are there."""
        setting = self._setting
        if choice.chosen is None:
            return retune_gate.nearest(setting, found.incumbent, choice.nearest.tried.scored, retuning)
        text, locked = choice.chosen.tried.text, setting.splits.locked
        old, new = await purchases.incumbents(locked), await purchases.answers(text, locked)
        return retune_gate.locked(setting, self._shelf, self._look(text, locked), old, new, retuning)

    def _look(self, text: str, locked: Sequence[EvalCase]) -> Taken:
        """The look that is to be taken, if it may be."""
        options, variant = self._options, self._setting.tunable.with_text(text).id
        self._shelf.require_unseen(
            locked,
            lambda look: (look.search, look.budget, look.variant) == (self._name, self._budget, variant),
            options.unlock is not None,
        )
        at = SystemClock().machine_now().isoformat(timespec="seconds")
        hashes = tuple(case.content_hash for case in locked)
        unlocked = (options.who or "", options.unlock) if options.unlock is not None else ("", "")
        return Taken(self._name, self._budget, variant, hashes, at, *unlocked)

    def _story(
        self, found: Searched, choice: Choice, retuning: Retuning, judged: Judged, purchases: Purchases
    ) -> Story:
        setting, reflection = self._setting, self._setting.reflection
        incumbent, candidate = setting.subject.incumbent, setting.subject.candidates[0]
        variants = incumbent.variant, candidate.variant
        first, last = choice.judged[0].tried, (choice.chosen or choice.nearest).tried
        return Story(
            id=self._name,
            day=self._reserve.began.date(),
            workload=setting.subject.definition.name,
            names=(incumbent.name, candidate.name),
            variants=variants,
            reflection="" if reflection is None else reflection.name,
            seed=self._options.seed,
            margin=setting.subject.definition.workload.margin.fraction,
            own_margins=setting.own_margins,
            splits=setting.splits,
            choice=choice,
            refused=tuple(found.record.refused),
            rounds=found.record.rounds,
            proposed=found.record.proposed,
            ended=found.ended,
            retuning=retuning,
            gated=judged.gated,
            look=judged.look,
            more=judged.more,
            guards=judged.guards,
            stand_ins=setting.stand_ins,
            judges=setting.judges,
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


@dataclass(frozen=True, slots=True)
class _Left:
    """What a person names as made by the incumbent: files with their texts, tables with their rows."""

    files: Sequence[tuple[str, str]]
    tables: Sequence[tuple[str, Sequence[Row]]]


def _left(setting: Setting, options: Options) -> _Left:
    folder = setting.target.main.parent
    return _Left(retune_files.plans(folder, options.plans), retune_files.tables(folder, options.plan_tables))


def _stale(setting: Setting, left: _Left, known: Sequence[Scored]) -> list[Stale]:
    incumbent, answers = setting.subject.incumbent, [one.answer.text or "" for one in known]
    names = incumbent.variant.model, incumbent.name
    rows = [stale.stale_rows(table, found, names, answers) for table, found in left.tables]
    return [*stale.stale(left.files, names, answers), *rows]


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
        text = report.finding(story)
        files["finding"] = findings.write(folder, story.workload, setting.start.variant.id, Path(name).name, text)
    story = replace(story, files=files)
    records = json.dumps(edits.document(story), indent=2, ensure_ascii=False) + "\n"
    texts = {files["log"]: report.log(story), files["post"]: report.post(story), files["records"]: records}
    retune_files.write_texts(folder, texts)
    rests_on = _basis(setting, options)
    for evidence in retune_gate.evidence(setting, story) if rests_on is not None else ():
        StateFolder(options.state, SystemClock()).write_eval(replace(evidence, basis=rests_on))
    return story


def _basis(setting: Setting, options: Options) -> Basis | None:
    """What the verdict rests on; None where the command's own grader or judge stood in for the suite's."""
    judges = [bench.line.variant.id for bench in setting.grading.benches]
    if unkept := basis.no_evidence(setting.target, options.of_eval, setting.suite, judges):
        note(f"no evidence for an upgrade: {unkept}")
        return None
    subject, home = setting.subject, setting.target.main.parent
    incumbent = subject.incumbent.variant.id
    return basis.basis_of(
        home, subject.definition, subject.definitions.graders, incumbent, setting.suite, judges, options.of_eval.trials
    )
