"""What is odd about definitions that can be read: `midshift check`, offline.

A remark is never a boolean: it says what, where, and what to type. Red is what an upgrade would founder on.
Elsewhere: what makes a file unreadable (assemble), what needs a provider or a store (preflight, readiness).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from midshift.config.definitions import MAIN, Definition, Definitions, Environment
from midshift.config.problems import Place
from midshift.domain.suite import SliceRole
from midshift.providers.definition import Provider, is_private
from midshift.providers.egress import outside


class Level(StrEnum):
    """How much a remark matters."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was looked at, and what came of it; green ones have nothing to type."""

    level: Level
    place: Place
    words: str
    type_next: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.words}" + (f". Type next: {self.type_next}" if self.type_next else "")


@dataclass(frozen=True, slots=True)
class RollbackStep:
    """One of the three things that the person on call does, in this order."""

    number: int
    command: str
    words: str
    is_deploy: bool = False

    def __str__(self) -> str:
        return f"{self.number}. {self.command}: {self.words}"


def check(definitions: Definitions) -> list[Remark]:
    """Everything worth saying, workload by workload."""
    remarks = [remark for item in definitions for remark in _of_workload(item, definitions)]
    remarks += [remark for provider in definitions.providers.values() for remark in _provider(provider, definitions)]
    if not definitions.environments:
        first = next(iter(definitions), None)
        place = Place(first.place().file) if first else Place("midshift.yaml")
        remarks.append(
            Remark(
                Level.YELLOW,
                place,
                "no environment, so nothing can be applied",
                "environments: {NAME: {store: env:NAME}}",
            )
        )
    return remarks


def rollback_steps(
    definition: Definition, environments: Mapping[str, Environment]
) -> tuple[RollbackStep, RollbackStep, RollbackStep]:
    """How this workload goes back to its incumbent, as its files have it.

    The first is a flip as long as a gateway stands in the path of its requests. Without one, going back means to
    deploy the app with the old model, which is what must never be.
    """
    name, incumbent = definition.name, definition.incumbent
    gateways = [address for environment in environments.values() for address in environment.gateways]
    if gateways:
        words = f"one write, and every gateway ({len(gateways)}) serves {incumbent.path} again"
        flip = RollbackStep(1, f"midshift rollback {name}", words)
    else:
        words = f"no environment names a gateway, so this is a deploy of the app with {incumbent.variant.model}"
        flip = RollbackStep(1, "deploy", words, is_deploy=True)
    return (
        flip,
        RollbackStep(2, f"midshift status {name}", f"every gateway reports {incumbent.variant.short_id}"),
        RollbackStep(
            3, f"midshift sync {name}", "one line, so that the repository says what serves; nothing waits for it"
        ),
    )


def deploys_in(runbook: str, workload: str) -> list[tuple[int, str]]:
    """The lines of the runbook's rollback section that ask for a deploy, with their numbers."""
    lines = runbook.splitlines()
    at = next((number for number, line in enumerate(lines) if _names_command(line, workload)), None)
    if at is None:
        return []
    begin = next((number for number in range(at, -1, -1) if lines[number].startswith("#")), 0)
    end = next((number for number in range(at + 1, len(lines)) if lines[number].startswith("#")), len(lines))
    return [
        (number + 1, lines[number].strip())
        for number in range(begin, end)
        if _DEPLOY.search(lines[number]) and not _DENIED.search(lines[number])
    ]


_DEPLOY = re.compile(
    r"(?i)\b(?:re-?)?deploy(?:s|ment)?\b|\bkubectl (?:apply|set|rollout)\b|\bhelm (?:upgrade|install|rollback)\b"
    r"|\bterraform apply\b|\bgit (?:push|revert)\b|\bdocker (?:build|push)\b|\bmerge (?:a|the) (?:pr|pull request)\b"
)
_DENIED = re.compile(r"(?i)\b(?:no|not|never|without|nothing|instead of)\b")


def _of_workload(item: Definition, definitions: Definitions) -> Iterator[Remark]:
    environments = definitions.environments
    yield from _suite(item)
    yield from _slices(item)
    yield from _requests(item)
    yield from _egress(item, definitions)
    yield from _runbook(item)
    for step in rollback_steps(item, environments):
        level = Level.RED if step.is_deploy else Level.GREEN
        yield Remark(level, item.place(), str(step), "gateways: [http://HOST:PORT]" if step.is_deploy else "")


def _suite(item: Definition) -> Iterator[Remark]:
    place, suite = item.place("suite"), item.suite
    build = f"midshift suite build {item.name} --from TRACE.jsonl"
    if item.suite_path is None:
        yield Remark(Level.RED, place, f"{item.name} has no suite, and without one there is no upgrade", build)
    elif suite is None:
        yield Remark(Level.RED, place, f"the suite {item.suite_path!r} is not there", build)
    elif suite.trouble:
        yield Remark(Level.RED, place, f"the suite {item.suite_path!r} cannot be read: {suite.trouble}", build)
    elif not suite.slices:
        words = f"the suite {item.suite_path!r} has {suite.cases:,} cases and no slices; an average alone gates nothing"
        yield Remark(Level.RED, place, words, '"slice": "NAME" in each case')
    else:
        parts = ", ".join(f"{name} {count:,}" for name, count in suite.slices.items())
        yield Remark(Level.GREEN, place, f"suite of {suite.cases:,} cases: {parts}")
        if suite.sliceless or suite.unreadable:
            words = f"{suite.sliceless:,} cases without a slice, {suite.unreadable:,} lines that are no case"
            yield Remark(Level.YELLOW, place, words, f"midshift suite check {item.name}")


def _slices(item: Definition) -> Iterator[Remark]:
    suite, rules = item.suite, {rule.slice for rule in item.workload.rules}
    seen = suite.slices if suite is not None else {}
    for part in item.workload.slices:
        place = item.place(f"slices.{part.name}")
        if seen and part.name not in seen:
            level = Level.RED if part.role is SliceRole.CRITICAL else Level.YELLOW
            yield Remark(
                level,
                place,
                f"slice {part.name!r} has no case in {item.suite_path!r}",
                f"midshift suite build {item.name} --from TRACE.jsonl",
            )
        if part.name not in rules:
            words = f"slice {part.name!r} has no `when`; a request is in it only if the app says so in x-midshift-slice"
            yield Remark(Level.YELLOW, place, words, "when: {header: NAME, equals: VALUE}")
    known = {part.name for part in item.workload.slices}
    for name in (name for name in seen if name not in known):
        yield Remark(
            Level.YELLOW,
            item.place("slices"),
            f"slice {name!r} is in the suite and not here, so no request falls into it",
            f"slices: {{{name}: {{when: ...}}}}",
        )


def _requests(item: Definition) -> Iterator[Remark]:
    workload = item.workload
    if not workload.unit:
        yield Remark(
            Level.YELLOW,
            item.place("unit"),
            "no unit: each request is assigned by itself, and one user can meet both variants",
            "unit: [header:x-user-id, conversation]",
        )


def _egress(item: Definition, definitions: Definitions) -> Iterator[Remark]:
    """Variants at a provider that lies outside of the vendors or regions that the data may go to."""
    incumbent = definitions.provider(item.incumbent.variant.provider)
    for file in item.variants:
        provider = definitions.provider(file.variant.provider)
        if incumbent is None or provider is None:
            continue
        for found in outside(item.workload.data, incumbent, provider):
            level = Level.RED if file is item.incumbent else Level.YELLOW
            place = item.place(f"data.{found.limit.value}")
            yield Remark(level, place, f"{file.path} is at {found.words}", found.type_next)


def _provider(provider: Provider, definitions: Definitions) -> Iterator[Remark]:
    """What may be meant, and probably is not."""
    place, address = definitions.provider_places.get(provider.name, Place(MAIN)), provider.address
    if provider.key_ref is not None and address is not None and not is_private(address):
        yield Remark(
            Level.YELLOW,
            place,
            f"the key of provider {provider.name!r} goes to {provider.host} without TLS, readable on the way",
            f"base_url: https://{address.partition('://')[2]}",
        )


def _runbook(item: Definition) -> Iterator[Remark]:
    place, command = item.place("runbook"), f"midshift rollback {item.name}"
    if item.runbook_path is None:
        yield Remark(
            Level.RED, place, f"{item.name} has no runbook, so nobody is told how to go back", "runbook: docs/oncall.md"
        )
    elif item.runbook is None:
        yield Remark(Level.RED, place, f"the runbook {item.runbook_path!r} is not there", f"write it, with: {command}")
    elif not any(_names_command(line, item.name) for line in item.runbook.splitlines()):
        yield Remark(Level.RED, place, f"the runbook {item.runbook_path!r} does not name the command", command)
    else:
        yield Remark(Level.GREEN, place, f"the runbook {item.runbook_path!r} names the command")
        for number, line in deploys_in(item.runbook, item.name):
            where = Place(item.runbook_path, number)
            yield Remark(Level.RED, where, f"a step of the rollback is a deploy: {line[:80]!r}", command)


def _names_command(line: str, workload: str) -> bool:
    return re.search(rf"\bmidshift rollback {re.escape(workload)}(?![A-Za-z0-9_-]|\.[A-Za-z0-9])", line) is not None
