"""What an eval rests on, and what an upgrade rests on now: evidence of other cases, graders or margins counts for none.

`basis_of` is of an eval that is made; `Holding` is of what was applied and lies in the suite's file at this moment. A
judge whose variant the suite does not name may be any; how the users' own functions grade is told by the content of
their files, which are read and not run.
Elsewhere: comparing both (domain.evidence), where evidence is kept (serve).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from midshift import config
from midshift.cli.choosing import candidate_of, own_margins
from midshift.cli.functions import versions
from midshift.cli.project import Target, applied
from midshift.config import files, suite_files
from midshift.domain.evidence import Basis
from midshift.domain.suite import SliceRole
from midshift.domain.upgrade import Upgrade
from midshift.errors import ConfigError
from midshift.evals import suite_file
from midshift.evals.suite_file import EvalCase, Suite
from midshift.ports import Clock

if TYPE_CHECKING:
    from midshift.store.sql import SqlStore

_JUDGED = ("rubric", "pairwise")
_AGAIN_S = 10.0


def basis_of(
    home: Path,
    definition: config.Definition,
    allowed: Sequence[str],
    incumbent: str,
    suite: Suite,
    judges: Sequence[str],
    trials: int = 1,
) -> Basis:
    """What an eval rests on. `judges` are the ids of variants, one for each judge of the suite in its order."""
    margins = {"*": definition.workload.margin, **own_margins(definition.workload, suite)}
    return Basis(
        workload=definition.name,
        incumbent=incumbent,
        cases=_digest([_asked(case) for case in sorted(suite.cases, key=lambda case: case.id)]),
        graders=_graders(suite, versions(home, allowed, suite)),
        judges=tuple(judges),
        margins="; ".join(f"{name} {margin}" for name, margin in margins.items()),
        watched=", ".join(sorted(_watched(definition, suite))),
        trials=trials,
    )


def names_graders(suite: Suite) -> bool:
    """Whether a suite says how it is graded; one that does not is graded by whatever the command names."""
    return bool(suite.graders) or any(case.graders for case in suite.cases)


@dataclass(slots=True)
class _Seen:
    """What was held at a second, by what was applied and the suite's file then."""

    by: tuple[object, ...]
    at_s: float
    basis: Basis


class Holding:
    """What upgrades rest on now: read again when the suite's file or what was applied is another, or after a while."""

    def __init__(self, target: Target, store: SqlStore, clock: Clock) -> None:
        self._target = target
        self._store = store
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def __call__(self, upgrade: Upgrade) -> Basis:
        """What evidence for this upgrade has to rest on.

        Raises:
            ConfigError: if the workload or its suite is not there.
            InputError: if the suite cannot be read.
        """
        definitions = applied(self._store)
        definition = definitions.workloads.get(upgrade.workload)
        if definition is None or definition.suite_path is None:
            raise ConfigError(f"workload {upgrade.workload!r} has no suite that was applied, expected one")
        path = self._target.main.parent / definition.suite_path
        by = (definition.definition_hash, upgrade.incumbent, _stamp(path))
        before, now_s = self._seen.get(upgrade.id), self._clock.monotonic_s()
        if before is None or before.by != by or now_s - before.at_s >= _AGAIN_S:
            suite = _read(path)
            judges = named_judges(suite, lambda file: candidate_of(self._target, file).id)
            home = self._target.main.parent
            basis = basis_of(home, definition, definitions.graders, upgrade.incumbent, suite, judges)
            before = self._seen[upgrade.id] = _Seen(by, now_s, basis)
        return before.basis


def named_judges(suite: Suite, variant_of: Callable[[str], str]) -> list[str]:
    """The ids of the variants that a suite names for its judges, in their order; empty for one that it does not."""
    named = [said.get("judge") for said in suite.graders if said.get("type") in _JUDGED]
    return [variant_of(file) if isinstance(file, str) else "" for file in named]


def _read(path: Path) -> Suite:
    suite = suite_files.load(path.name, lambda name: files.read(path.parent, name))
    return Suite(str(path), tuple(suite_file.gateable(list(suite.cases), str(path))), suite.graders, suite.slices)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _watched(definition: config.Definition, suite: Suite) -> set[str]:
    known = {part.name: part.role for part in definition.workload.slices}
    roles = {name: note.role for name, note in suite.slices.items()} | known
    return {name for name, role in roles.items() if role is SliceRole.WATCH}


def _graders(suite: Suite, code: Mapping[str, str | None]) -> str:
    own = {case.id: case.graders for case in suite.cases if case.graders}
    return _digest([suite.graders, own, dict(code)]) if names_graders(suite) else ""


def _asked(case: EvalCase) -> Any:
    return [case.id, case.body, case.slices, case.cluster, case.weight, case.reference, case.expects]


def _digest(value: Any) -> str:
    content = msgspec.json.encode(value, enc_hook=_plain, order="deterministic")
    return hashlib.sha256(content).hexdigest()[:32]


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


class Asked(Protocol):
    """The options of `midshift eval` that may make it an eval of something else than the upgrade is about."""

    @property
    def suite(self) -> Path | None: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def offline_from(self) -> Path | None: ...
    @property
    def grader(self) -> str | None: ...
    @property
    def judge(self) -> str | None: ...


def no_evidence(target: Target, options: Asked, suite: Suite, judges: Sequence[str]) -> str:
    """Why an eval with these options is none that an upgrade may rest on; empty for one that is."""
    if options.suite is not None:
        return "--suite names another suite than the workload's"
    if options.limit is not None:
        return "--limit leaves cases out"
    if options.offline_from is not None:
        return "--offline-from reads another ledger"
    if options.grader is not None and names_graders(suite):
        return f"--grader {options.grader} replaces the suite's own graders"
    named = named_judges(suite, lambda file: candidate_of(target, file).id) if options.judge is not None else []
    if any(own not in ("", used) for own, used in zip(named, judges, strict=False)):
        return f"--judge {options.judge} replaces the judge that the suite names"
    return ""
