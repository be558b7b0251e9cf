"""A product's files and its store: how every command finds both.

Nothing here loads numerics: `midshift rollback` starts from this module.
Elsewhere: the commands on the files (defining), what they mean (config), what an upgrade does (upgrade), the way back
(rollback).
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midshift import config
from midshift.config import files, tree
from midshift.config.definitions import Environment, SecretKind, SecretRef, Unreadable
from midshift.config.problems import Place, Report, one_of, refuse
from midshift.config.tree import Fields, Items, Scalar
from midshift.errors import ConfigError, UsageError
from midshift.ports import RouteSource
from midshift.reports.text import visible

if TYPE_CHECKING:
    from midshift.store.gateway_side import GatewaySide
    from midshift.store.sql import SqlStore

REMOVED_FORMAT = "midshift.removed/1"
"""What a store keeps of a workload that left the files, so that it is defined no longer and its history stays."""

_STORE_OPTION = "--store"
_IN_MEMORY = re.compile(r"sqlite(?:\+pysqlite)?://(?:/(?::memory:)?)?(?:\?.*)?")


@dataclass(frozen=True, slots=True)
class Target:
    """Which product, and which of its environments, as typed. `store` is a reference that needs no file at all."""

    path: Path = Path(config.MAIN)
    env: str | None = None
    store: str | None = None

    @property
    def main(self) -> Path:
        """The main file."""
        return self.path / config.MAIN if self.path.is_dir() else self.path

    def definitions(self) -> config.Definitions:
        """What the files define.

        Raises:
            InvalidConfig: with every problem of every file.
        """
        with each_on_a_line():
            return config.load(self.main)

    def environment(self) -> Environment:
        """The environment that is meant. Reads nothing but its section, so that no other fault is in the way.

        Raises:
            ConfigError: if there is none of that name, or several and none is named.
        """
        if self.store is not None:
            return Environment(_STORE_OPTION, _reference(self.store, _STORE_OPTION))
        known = _environments(self.main)
        if not known:
            place = Place(self.main.name)
            refuse(place, "no environment", "where the store is", "environments: {local: {store: env:MIDSHIFT_DB}}")
        if self.env is None and len(known) == 1:
            return next(iter(known.values()))
        if self.env is None:
            names = one_of(known)
            raise ConfigError(
                f"{self.main} has {len(known)} environments, expected --env. Type next: --env with {names}"
            )
        if self.env not in known:
            raise ConfigError(
                f"--env {self.env!r} is not an environment of {self.main}, expected {one_of(known)}. "
                f"Type next: --env {next(iter(known))}"
            )
        return known[self.env]

    def open_store(self) -> SqlStore:
        """The store of the environment, which `midshift apply` has made. Of its address only a file's path is shown.

        Raises:
            ConfigError: if the reference leads nowhere, or to a file that is not there.
            StoreError: if it cannot be opened.
        """
        from midshift.store.sql import SqlStore

        address = self._address()
        self._require_made(address)
        return SqlStore.open(address)

    def make_store(self) -> SqlStore:
        """The same, made if it is not there.

        Raises:
            ConfigError: if the reference leads nowhere.
            StoreError: if it cannot be opened.
        """
        from midshift.store.sql import SqlStore

        return SqlStore.open(self._address())

    def open_gateway_side(self) -> GatewaySide | SqlStore:
        """The same store as a gateway needs it, brought up to date: in a file, without an SQL toolkit.

        Raises:
            ConfigError: if the reference leads nowhere.
            StoreError: if it cannot be opened.
        """
        from midshift.store.gateway_side import GatewaySide, is_current
        from midshift.store.sqlite_file import Location

        location = Location.of(self._address())
        if location is None:
            return self.open_store()
        if not is_current(location):
            self.open_store().close()  # which makes its tables, or says why not
        return GatewaySide(location)

    def _address(self) -> str:
        return _resolved(self.environment(), self.main.parent)

    def _require_made(self, address: str) -> None:
        """A mistyped address would be a new store, in which nothing serves and nothing was ever decided."""
        from midshift.store.sqlite_file import Location

        location = Location.of(address)
        path = None if location is None else Path(location.path)
        if path is None or (path.is_file() and path.stat().st_size > 0):
            return
        raise ConfigError(
            f"{_called(self.environment())}: found no store at {str(path)!r}, expected the file that midshift apply "
            f"has made. Type next: ls -l {shlex.quote(visible(str(path.parent), 1000))}, or where nothing was applied "
            "yet: midshift apply"
        )


def applied(store: GatewaySide | SqlStore) -> config.Definitions:
    """What was applied, without the workloads that have left."""
    contents = [item.content for item in store.definitions()]
    return config.restored(content for content in contents if content.get("format") != REMOVED_FORMAT)


def applied_one(store: SqlStore, workload: str) -> config.Definition:
    """The applied definition of a workload.

    Raises:
        UsageError: if there is none, naming those that there are.
    """
    known = applied(store).workloads
    if workload not in known:
        listed = one_of(known) if known else "one that was applied"
        raise UsageError(f"workload {workload!r} was not applied, expected {listed}. Type next: midshift apply")
    return known[workload]


def named(source: RouteSource, variant_id: str) -> str:
    """A variant as people tell it apart: model, effort, the first digits of its hash."""
    variant = source.variant(variant_id)
    effort = f" {variant.effort}" if variant.effort else ""
    return f"{variant.model}{effort} [{variant.short_id}]"


@contextmanager
def each_on_a_line() -> Iterator[None]:
    """Several problems of files as several lines: all but the last are told here, the last one goes its way."""
    try:
        yield
    except config.InvalidConfig as error:
        *most, last = error.problems
        for problem in most:
            sys.stderr.write(f"midshift: {visible(str(problem), 2000)}\n")
        if error.hidden:
            sys.stderr.write(f"midshift: and {error.hidden} more; mend these first\n")
        raise config.InvalidConfig([last]) from None


def say(*lines: str) -> None:
    """Print lines."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


def note(text: str) -> None:
    """Tell whoever looks at the terminal something beside the result."""
    sys.stderr.write(f"midshift: {visible(text, 2000)}\n")
    sys.stderr.flush()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it, and the loss of power leaves the old one or the new one."""
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            beside.chmod(mode)
        beside.replace(path.resolve())
    finally:
        beside.unlink(missing_ok=True)


def _environments(main: Path) -> dict[str, Environment]:
    source = files.read(main.parent, main.name)
    if source is None:
        refuse(Place(main.name), "no such file", "the definitions of the product", "midshift init, or --config PATH")
    if isinstance(source, Unreadable):
        refuse(Place(main.name, source.line, source.column), source.found, source.expected, source.type_next)
    report = Report()
    root = tree.read(main.name, source.removeprefix("\ufeff"), report)
    if root is None:
        report.settle()
    section = root.get("environments") if isinstance(root, Fields) else None
    found = {}
    for name, entry in section.entries if isinstance(section, Fields) else ():
        store = entry.get("store") if isinstance(entry, Fields) else None
        if not isinstance(store, Scalar):
            refuse(
                name.place, f"environment {name.text!r} without a store", "a reference to it", "store: env:MIDSHIFT_DB"
            )
        gateways = entry.get("gateways") if isinstance(entry, Fields) else None
        addresses = (
            [item.text for item in gateways.items if isinstance(item, Scalar)] if isinstance(gateways, Items) else []
        )
        found[name.text] = Environment(name.text, _reference(store.text, str(store.place)), tuple(addresses))
    return found


def _reference(text: str, where: str) -> SecretRef:
    try:
        return SecretRef.parse(text)
    except ValueError as error:
        raise ConfigError(
            f"{where}: found something else (not shown), {error}. "
            "Type next: export MIDSHIFT_DB=ADDRESS, and env:MIDSHIFT_DB"
        ) from None


def _resolved(environment: Environment, folder: Path) -> str:
    reference = environment.store
    where = _called(environment)
    if reference.kind is SecretKind.ENV:
        value = os.environ.get(reference.name, "").strip()
        do = f"export {reference.name}=sqlite:///$PWD/midshift.db"
    else:
        do = f"write sqlite:///FILE into {folder / reference.name}"
        try:
            value = (folder / reference.name).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ConfigError(f"{where} cannot be read ({why}), expected an address in it. Type next: {do}") from None
    if not value:
        raise ConfigError(f"{where} is empty, expected an address in it. Type next: {do}")
    if "://" not in value:
        raise ConfigError(f"{where} holds no address (not shown), expected sqlite:///FILE. Type next: {do}")
    if _IN_MEMORY.fullmatch(value):
        raise ConfigError(
            f"{where} is a store in memory, which ends with this command, expected one in a file. Type next: {do}"
        )
    return value


def _called(environment: Environment) -> str:
    """What errors call a store: by where its address comes from."""
    if environment.name == _STORE_OPTION:
        return f"{_STORE_OPTION} {environment.store}"
    return f"the store of environment {environment.name!r}, {environment.store}"
