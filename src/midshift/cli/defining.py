"""The commands on a product's files: `init`, `check`, `apply`, `sync`.

Elsewhere: how every command finds files and store (project), what the files mean (config), what an upgrade does
(upgrade).
"""

from __future__ import annotations

import difflib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from midshift import config
from midshift.cli import providers
from midshift.cli.project import REMOVED_FORMAT, Target, applied, each_on_a_line, say, write_whole
from midshift.cli.system import SystemClock
from midshift.config.problems import one_of
from midshift.config.starter import Answers
from midshift.config.starter import files as starter_files
from midshift.domain.routing import Route
from midshift.domain.variant import Variant
from midshift.errors import ConfigError, StoreError, UsageError
from midshift.ports import Definition
from midshift.reports.text import visible

if TYPE_CHECKING:
    from midshift.store.sql import SqlStore

CHECK_FORMAT = "midshift.check/1"

_GIT_S = 10.0
_STAND_IN_PORT = 9000
_UPGRADE_STEPS = (
    "export MIDSHIFT_DB=sqlite:///$PWD/midshift.db MIDSHIFT_WHO=YOUR-NAME",
    "midshift apply",
    f"midshift upgrade start {Answers().workload} --to variants/{Answers().candidate}.yaml",
)


def init(folder: Path) -> int:
    """Write the starter's files, and never over one that is there."""
    written, kept = [], []
    for name, text in starter_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            written.append(name)
        except FileExistsError:
            kept.append(name)
    say(*(f"wrote  {visible(str(folder / name))}" for name in written))
    say(*(f"kept   {visible(str(folder / name))} (it is there; nothing was changed in it)" for name in kept))
    steps = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(visible(str(folder), 1000))}"]
    say("", "Type next:", *(f"  {step}" for step in [*steps, *_first_steps()]))
    say("", "and to upgrade:", *(f"  {step}" for step in _UPGRADE_STEPS))
    return 0


def _first_steps() -> list[str]:
    """A first eval, on a stand-in for the models that the starter names."""
    names = Answers()
    voices = " ".join(f"--voice {model}=sim/{model}" for model in (names.incumbent, names.candidate))
    python = shlex.quote(visible(sys.executable, 1000))
    return [
        "midshift check",
        f"{python} -m midshift.testing.provider_server scripted --port {_STAND_IN_PORT} {voices} &",
        f"export MIDSHIFT_PROVIDER_{names.provider.upper()}_URL=http://127.0.0.1:{_STAND_IN_PORT}/v1"
        "   # that stand-in, in the place of a model",
        f"midshift eval {names.workload} --to variants/{names.candidate}.yaml",
    ]


def check(target: Target, as_json: bool) -> int:
    """Look at the files, offline. Exit code 2 if something is wrong, or so odd that an upgrade would founder on it."""
    try:
        definitions = config.load(target.main) if as_json else target.definitions()
    except config.InvalidConfig as error:
        if not as_json:
            raise
        problems = [
            {"place": str(item.place), "found": item.found, "expected": item.expected, "type_next": item.type_next}
            for item in error.problems
        ]
        say(json.dumps({"format": CHECK_FORMAT, "ok": False, "problems": problems, "remarks": []}, indent=2))
        return 2
    remarks = config.check(definitions)
    steps = {item.name: config.rollback_steps(item, definitions.environments) for item in definitions}
    red = any(remark.level is config.Level.RED for remark in remarks)
    described = providers.described(definitions, os.environ, target.main.parent)
    if as_json:
        say(json.dumps({**_check_document(remarks, steps, ok=not red), "providers": described}, indent=2))
    else:
        _say_check(remarks, steps, providers.lines(described))
    return 2 if red else 0


def apply(target: Target, who: str, bypass: str | None) -> int:
    """Record what the files define, unless it would change a model in passing (G0)."""
    _require_name(who)
    definitions, environment = target.definitions(), target.environment()
    definitions = definitions.in_environment(target.env or environment.name)
    with target.make_store() as store:
        old = applied(store)
        serving = {route.workload: route.incumbent for route in store.routes()}
        found = config.difference(old if old.workloads else None, definitions, serving)
        say(*(f"  {change}" for change in found.changes))
        with each_on_a_line():
            config.guard(found, None if bypass is None else _bypass(who, bypass))
        leaving = [name for name in old.workloads if name not in definitions.workloads]
        for name in leaving:
            if (active := store.active_upgrade(name)) is not None:
                raise StoreError(
                    f"workload {name!r} is no longer in {target.main} and its upgrade {active.id!r} is in stage "
                    f"{active.stage}, expected it to be over. Type next: midshift rollback {name}"
                )
        _exchange(store, definitions, old, who, bypass)
        _record(store, target, definitions, leaving, old, who)
        following = _after_apply(store, definitions, who)
    where = target.store if target.store is not None else f"environment {visible(environment.name)}"
    say(
        f"{_counted(len(definitions.workloads))} recorded in {visible(where)} by {visible(who)}"
        + ("" if found.changes else "; nothing had changed")
    )
    if old.workloads and found.changes:
        say(
            "Running gateways read definitions when they start: start them again for changed claims, units, slices, "
            "captures, providers and keys. Routes they follow by themselves"
        )
    say(*following)
    return 0


def _after_apply(store: SqlStore, definitions: config.Definitions, who: str) -> list[str]:
    """What there is to type next: nothing that would be refused."""
    if unsynced := _unsynced(store, definitions):
        return [f"Type next: midshift sync {unsynced[0]}   (another variant serves than its file says)"]
    opened = {upgrade.workload for upgrade in store.upgrades() if not upgrade.stage.is_final}
    names = [item.name for item in definitions]
    free = [name for name in names if name not in opened]
    if free:
        return [f"Type next: midshift upgrade start {free[0]} --to VARIANT_FILE --who {visible(who)}"]
    return [f"Type next: midshift upgrade status {names[0]}"] if names else []


def sync(target: Target, workload: str | None, dry_run: bool) -> int:
    """Change the one line that says what serves, where an upgrade or its rollback has left the file behind."""
    definitions = target.definitions()
    if workload is not None and workload not in definitions.workloads:
        raise UsageError(
            f"{target.main} has no workload {workload!r}, expected {one_of(definitions.workloads)}. "
            f"Type next: midshift sync {next(iter(definitions.workloads))}"
        )
    before = after = _text(target.main)
    with target.open_store() as store:
        for name in [workload] if workload is not None else sorted(definitions.workloads):
            route = store.route(name)
            if route is None:
                raise UsageError(f"workload {name!r} has no route, expected one. Type next: midshift apply")
            item = definitions.workloads[name]
            if route.incumbent == item.incumbent.variant.id:
                say(f"{name}: {visible(item.incumbent.path)} serves, as the file says")
                continue
            path = _file_of(target, item, store.variant(route.incumbent))
            bom, body = ("\ufeff", after[1:]) if after.startswith("\ufeff") else ("", after)
            body = config.one_line_change(body, name, path)
            if item.safe_harbour is not None and item.safe_harbour.variant.id == route.incumbent:
                body = config.without_safe_harbour(body, name)
                say(
                    f"{name}: the safe harbour serves, so it is none any more. Name another one before the next upgrade"
                )
            after = bom + body
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), target.main.name, target.main.name, lineterm=""
    )
    say(*(visible(line, 500) for line in lines))
    if after == before:
        return 0
    if dry_run:
        say(f"{visible(str(target.main))} was not changed (--dry-run)")
        return 0
    write_whole(target.main, after.encode("utf-8"))
    say(f"Type next: git commit -m 'Say what serves' {visible(str(target.main))} && midshift apply")
    return 0


def _check_document(
    remarks: Sequence[config.Remark], steps: Mapping[str, Sequence[config.RollbackStep]], ok: bool
) -> dict[str, object]:
    return {
        "format": CHECK_FORMAT,
        "ok": ok,
        "problems": [],
        "remarks": [
            {
                "level": remark.level.value,
                "place": str(remark.place),
                "words": remark.words,
                "type_next": remark.type_next,
            }
            for remark in remarks
        ],
        "rollback": {
            name: [
                {"number": step.number, "command": step.command, "words": step.words, "is_deploy": step.is_deploy}
                for step in listed
            ]
            for name, listed in steps.items()
        },
    }


def _say_check(
    remarks: Sequence[config.Remark], steps: Mapping[str, Sequence[config.RollbackStep]], providers: Iterable[str]
) -> None:
    signs = {config.Level.GREEN: "✔", config.Level.YELLOW: "⚠", config.Level.RED: "✖"}
    of_rollback = {str(step) for listed in steps.values() for step in listed}
    for remark in remarks:
        if remark.words not in of_rollback:
            say(f"{signs[remark.level]} {visible(str(remark), 600)}")
    say("", "Providers:", *(f"  {line}" for line in providers))
    for name, listed in steps.items():
        say("", f"The way back of {name}:")
        for step in listed:
            sign = "✖" if step.is_deploy else "✔"
            say(f"  {sign} {visible(str(step), 400)}")
        if any(step.is_deploy for step in listed):
            say("    Type next: gateways: [http://HOST:PORT], in the environment of midshift.yaml")
    count = {level: sum(remark.level is level for remark in remarks) for level in config.Level}
    say("", ", ".join(f"{number} {level}" for level, number in count.items()))


def _counted(workloads: int) -> str:
    return "1 workload is" if workloads == 1 else f"{workloads} workloads are"


def _require_name(who: str) -> None:
    if not who.strip():
        raise UsageError(f"--who {who!r} is empty, expected a person's name. Type next: --who NAME")


def _bypass(who: str, why: str) -> config.Bypass:
    try:
        return config.Bypass(who, why)
    except ValueError as error:
        raise UsageError(f"--bypass-g0 {why!r}: {error}. Type next: --bypass-g0 'WHY'") from None


def _exchange(
    store: SqlStore, definitions: config.Definitions, old: config.Definitions, who: str, bypass: str | None
) -> None:
    """What a bypass of G0 does: the file's incumbent serves from now on. Written first, so that a crash repeats it."""
    if bypass is None:
        return
    for item in definitions:
        before, standing = old.workloads.get(item.name), store.standing(item.name)
        if before is None or standing.route is None or before.incumbent.variant == item.incumbent.variant:
            continue
        route, variant = standing.route, item.incumbent.variant
        if route.incumbent == variant.id:
            continue
        if standing.upgrade is not None:
            raise StoreError(
                f"workload {item.name!r} has the upgrade {standing.upgrade.id!r} in stage {standing.upgrade.stage}, "
                f"expected none while G0 is bypassed. Type next: midshift rollback {item.name}"
            )
        store.put_variant(variant)
        store.put_route(Route(item.name, variant.id, route.epoch + 1), route.epoch, who, f"G0 bypassed: {bypass}")


def _record(
    store: SqlStore,
    target: Target,
    definitions: config.Definitions,
    leaving: Sequence[str],
    old: config.Definitions,
    who: str,
) -> None:
    now, commit = SystemClock().machine_now(), _commit(target.main, definitions)
    records = [
        Definition(item.name, item.definition_hash, config.content(item), now, who, commit) for item in definitions
    ]
    records += [
        Definition(name, "removed", {"format": REMOVED_FORMAT, "name": name}, now, who, commit) for name in leaving
    ]
    if definitions.providers or old.providers:
        content = config.providers_content(definitions)
        records.append(
            Definition(config.PROVIDERS, config.digest(config.PROVIDERS, content), content, now, who, commit)
        )
    if definitions.graders or old.graders:
        content = config.graders_content(definitions)
        records.append(Definition(config.GRADERS, config.digest(config.GRADERS, content), content, now, who, commit))
    # A new workload always brings its row, so that the store refuses one that came back with another incumbent.
    first = [
        Route(item.name, item.incumbent.variant.id, 1)
        for item in definitions
        if item.name not in old.workloads or store.route(item.name) is None
    ]
    store.apply_definitions(records, list(definitions.variants.values()), first)


def _unsynced(store: SqlStore, definitions: config.Definitions) -> list[str]:
    serving = {route.workload: route.incumbent for route in store.routes()}
    return [item.name for item in definitions if serving.get(item.name) != item.incumbent.variant.id]


def _commit(main: Path, definitions: config.Definitions) -> str | None:
    """The commit that the files are of, `-dirty` if one of them has changed since; None outside of git."""
    head = _git(main.parent, "rev-parse", "HEAD")
    if not head:
        return None
    variants = [file for item in definitions for file in item.variants]
    paths = [main.name, *(path for file in variants for path in (file.path, file.prompt_path) if path is not None)]
    return f"{head}-dirty" if _git(main.parent, "status", "--porcelain", "--", *paths) else head


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        run = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=_GIT_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: found bytes that are no UTF-8, expected text. Type next: midshift check") from None


def _file_of(target: Target, item: config.Definition, variant: Variant) -> str:
    """The file that says this variant.

    Raises:
        ConfigError: if none does.
    """
    for path in _variant_files(target.main.parent, item):
        try:
            if config.load_variant(target.main, path).variant == variant:
                return path
        except config.InvalidConfig:
            continue
    raise ConfigError(
        f"workload {item.name!r} is served by {variant.model} [{variant.short_id}], found no variant file beside "
        f"{item.incumbent.path} that says so, expected the one that its upgrade was started with. "
        "Type next: git log --diff-filter=D -- '*.yaml'   (and bring it back)"
    )


def _variant_files(folder: Path, item: config.Definition) -> Iterator[str]:
    yield from (file.path for file in item.variants)
    places = dict.fromkeys([Path(item.incumbent.path).parent, Path("variants")])
    for place in places:
        for pattern in ("*.yaml", "*.yml"):
            yield from sorted(path.relative_to(folder).as_posix() for path in (folder / place).glob(pattern))
