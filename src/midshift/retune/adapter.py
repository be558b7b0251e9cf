"""The seam to GEPA: prompts go out, scores and proposals come in, and everything that happened is kept here.

GEPA (package gepa, 0.1.4) reflects on failures, mutates a prompt and keeps a Pareto front of prompts by case and by
slice. That is all it is used for. Not used, each for a reason that docs/design/008-retuning.md gives: its run folder
and pickle, its evaluation cache, its count of calls, and its own best prompt.

Contract: synchronous, called from one thread. The same answers give the same sequence of questions, so a search that
died is repeated from the ledger to where it was. When something ends the search (`Ended`, or an error), it is kept in
`over`, because GEPA catches what a proposal raises and would go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gepa.api import optimize
from gepa.core.adapter import EvaluationBatch, ProposalFn

from midshift.errors import UsageError
from midshift.evals.suite_file import EvalCase
from midshift.retune import copying, reflecting
from midshift.retune.copying import Material
from midshift.retune.measuring import Scored, reward
from midshift.retune.selecting import Tried

PROMPT = "prompt"
"""The one component that is tuned, under GEPA's name for such things."""
T = TypeVar("T")
MINIBATCH = 3
TRIES = 3
"""How often the reflection model may propose before a round counts as lost: what is refused is refused with reasons."""


class Ended(UsageError):
    """The search is over because its budget is; nothing is lost."""


class Model(Protocol):
    """The two models, as functions that return when there is an answer. Both raise `Ended` before they overspend."""

    def answers(self, text: str, cases: Sequence[EvalCase]) -> list[Scored]:
        """The candidate's answers under a prompt, graded, in the order of the cases."""
        ...

    def reflection(self, messages: Sequence[Mapping[str, Any]]) -> str | None:
        """What the reflection model says; the same question again is another draw."""
        ...

    def spent_usd(self) -> float | None:
        """What was paid so far for both; None if nobody knows."""
        ...


@dataclass(frozen=True, slots=True)
class Rules:
    """What a proposed prompt has to keep to."""

    before: str
    cases: Material
    most_characters: int
    variables: frozenset[str] = frozenset()

    def objection(self, text: str) -> str | None:
        """Why a text is refused; None for one that may be tried."""
        return copying.objection(text, self.before, self.cases, self.most_characters) or copying.lost_variables(
            text, self.variables
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """A proposal that was never put to the task model, and why."""

    text: str
    why: str


@dataclass(slots=True, eq=False)
class Record:
    """What a search did: every prompt that was scored on the select cases, and every one that was refused.

    `proposed` counts the different prompts that were put to the candidate at all, on however few cases.
    """

    tried: list[Tried] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    rounds: int = 0
    proposed: int = 0
    over: Exception | None = None


class Adapter:
    """Implements `gepa.GEPAAdapter` for one prompt; `propose` is given to GEPA apart."""

    propose_new_texts: ProposalFn | None = None

    def __init__(
        self, model: Model, incumbent: Mapping[str, Scored], select: Sequence[EvalCase], rules: Rules, record: Record
    ) -> None:
        self._model = model
        self._incumbent = incumbent
        self._select = [case.id for case in select]
        self._rules = rules
        self._record = record
        self._known: dict[str, dict[str, Scored]] = {}
        self._made: dict[str, tuple[str, str, float | None]] = {}
        self._shown: list[Scored] = []

    def evaluate(
        self, batch: list[EvalCase], candidate: dict[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Scored, str]:
        """See `gepa.GEPAAdapter`: slices are its objectives, each with the cases that it has."""
        text = candidate[PROMPT]
        scored = self._kept(lambda: self._model.answers(text, batch))
        self._known.setdefault(text, {}).update((one.case.id, one) for one in scored)
        self._note(text, scored)
        rewards = [self._reward(one) for one in scored]
        objectives = [
            dict.fromkeys(one.case.slices or ("",), gained) for one, gained in zip(scored, rewards, strict=True)
        ]
        return EvaluationBatch(
            outputs=[one.answer.text or "" for one in scored],
            scores=rewards,
            trajectories=scored,
            objective_scores=objectives,
        )

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: EvaluationBatch[Scored, str], components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """See `gepa.GEPAAdapter`: what failed is kept here and shown by `propose`."""
        self._shown = list(eval_batch.trajectories or ())
        return {name: [{"case": one.case.id} for one in self._shown] for name in components_to_update}

    def propose(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """See `gepa.core.adapter.ProposalFn`. Where every proposal was refused, the prompt comes back as it was."""
        parent = candidate[PROMPT]
        return {PROMPT: self._kept(lambda: self._proposed(parent))}

    def _proposed(self, parent: str) -> str:
        before_usd, rules = self._model.spent_usd(), list[str]()
        self._record.rounds += 1
        for _ in range(TRIES):
            asked = reflecting.messages(parent, self._shown, self._incumbent, self._table(parent), rules)
            found = reflecting.read(self._model.reflection(asked))
            why = "it holds no prompt between the two lines" if found.text is None else None
            why = why or self._rules.objection(found.text or "")
            if why is None and found.text is not None:
                self._record.proposed += found.text not in (self._rules.before, *self._made)
                self._made.setdefault(found.text, (parent, found.reason, before_usd))
                return found.text
            self._record.refused.append(Refused(found.text or "", why or ""))
            rules.append(f"Your last proposal was refused: {why}.")
        return parent

    def _table(self, text: str) -> list[tuple[str, int, float, float]]:
        """Mean rewards by slice over what this prompt has answered; both models on the same cases."""
        known = [(one, self._incumbent[name]) for name, one in self._known.get(text, {}).items()]
        slices = sorted({name for one, _ in known for name in one.case.slices})
        rows = []
        for part in slices:
            both = [(reward(one, old), reward(old, old)) for one, old in known if part in one.case.slices]
            now, before = (sum(values) / len(both) for values in zip(*both, strict=True))
            rows.append((part, len(both), now, before))
        return rows

    def _reward(self, one: Scored) -> float:
        return reward(one, self._incumbent[one.case.id])

    def is_perfect(self) -> bool:
        """Whether a prompt has the best score on every select case."""
        return any(is_perfect(tried, self._incumbent) for tried in self._record.tried)

    def _note(self, text: str, scored: Sequence[Scored]) -> None:
        """Keep a prompt that was scored on all select cases: it was accepted."""
        if [one.case.id for one in scored] != self._select or any(one.text == text for one in self._record.tried):
            return
        parent, reason, before_usd = self._made.get(text, (None, "", 0.0))
        number_of = {one.text: one.number for one in self._record.tried}
        spent = self._model.spent_usd()
        cost = None if spent is None or before_usd is None else spent - before_usd
        number = len(self._record.tried)
        kept = Tried(number, text, None if parent is None else number_of.get(parent), reason, tuple(scored), cost)
        self._record.tried.append(kept)

    def _kept(self, ask: Callable[[], T]) -> T:
        """The answer; whatever ends the search is remembered, for GEPA may catch it and ask again."""
        if self._record.over is not None:
            raise self._record.over
        try:
            return ask()
        except Exception as error:
            self._record.over = error
            raise


def optimise(
    adapter: Adapter, record: Record, text: str, tune: list[EvalCase], select: list[EvalCase], seed: int, rounds: int
) -> None:
    """Let GEPA search until something ends it; what it found is in the record."""
    optimize(
        seed_candidate={PROMPT: text},
        trainset=tune,
        valset=select,
        adapter=adapter,
        custom_candidate_proposer=adapter.propose,
        frontier_type="hybrid",
        reflection_minibatch_size=MINIBATCH,
        track_best_outputs=False,
        cache_evaluation=False,
        logger=_Silent(),
        seed=seed,
        stop_callbacks=lambda state: record.over is not None or state.i >= rounds or adapter.is_perfect(),
    )


def is_perfect(tried: Tried, incumbent: Mapping[str, Scored]) -> bool:
    """Whether a prompt leaves nothing to gain on any case; the incumbent's answers are by the case's id."""
    return all(reward(one, incumbent[one.case.id]) >= 1.0 for one in tried.scored)


class _Silent:
    def log(self, message: str) -> None:
        """GEPA's remarks are for its authors."""
