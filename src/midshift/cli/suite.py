"""`midshift suite`: look at a suite, take one over from another tool, write one for it, confirm drafts.

Opens files and prints; runs nothing that a file says and asks nobody.
Elsewhere: building a suite from recorded requests (suite_building), formats (evals.importers, evals.exporters), what a
suite can show (evals.checking), how it looks (suite_report).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from midshift import config
from midshift.cli import suite_report as report
from midshift.cli.choosing import own_margins
from midshift.cli.project import Target, say, write_whole
from midshift.config import files, suite_files
from midshift.domain.suite import Margin
from midshift.errors import ConfigError, InputError, UsageError
from midshift.evals import checking, exporters, importers, suite_file
from midshift.evals.graders import compiled
from midshift.evals.importers import Source
from midshift.evals.importers.data import LARGEST_FILE
from midshift.evals.judges import from_suite
from midshift.evals.suite_file import EvalCase, SliceNote, Suite
from midshift.reports.text import visible

_NO_DATA = 3


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The command line of `midshift suite import`, as typed."""

    file: Path
    out: Path | None
    form: str | None = None
    fields: Sequence[str] = ()
    prompt: str | None = None
    force: bool = False
    as_json: bool = False


def check(target: Target, named: str, margin: str | None, as_json: bool) -> int:
    """Say what a suite holds, and how small a drop it can show. 1 if a slice can show nothing of its margin."""
    definition = _workload(target, named)
    path = Path(named) if definition is None else _suite_of(target, definition)
    suite = load(path)
    own = None if margin is None else _margin(margin)
    notes = None if definition is None else _notes(definition, suite)
    usual = Margin() if definition is None else definition.workload.margin
    compiled(_without_code(suite))
    from_suite(suite)
    found = checking.check(suite, usual.points if own is None else own, notes)
    if as_json:
        say(json.dumps(report.document(str(path), suite, found), indent=2))
    else:
        report.show(str(path), suite, found)
    if not found.slices:
        return 2
    return 1 if any(part.is_small for part in found.slices) else 0


def _margin(text: str) -> float:
    try:
        return Margin.parse(text).points
    except ValueError as error:
        raise UsageError(f"--margin: {error}. Type next: --margin 2pt") from None


def _without_code(suite: Suite) -> Suite:
    """The suite without graders of the type python: which functions may run is said by an applied file."""
    cases = tuple(replace(case, graders=_plain(case.graders)) for case in suite.cases)
    return replace(suite, cases=cases, graders=_plain(suite.graders))


def _plain(graders: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    return tuple(grader for grader in graders if grader["type"] != "python")


def load(path: Path) -> Suite:
    """A suite in a file, whichever form it has.

    Raises:
        InputError: for one that cannot be read.
        InvalidConfig: for YAML with problems.
    """
    return suite_files.load(path.name, lambda name: files.read(path.parent, name))


def take_over(options: ImportOptions) -> int:
    """Import a suite of another tool. Exit code 3 if it has no slice, so that it gates nothing yet."""
    source = _source(options.form)
    csv.field_size_limit(LARGEST_FILE)
    fields = dict(_field(text) for text in options.fields)
    file = importers.File(options.file.name, _bytes(options.file), _beside(options.file))
    found, imported = importers.import_file(file, source, importers.Options(fields, options.prompt))
    out = options.out or Path("suites") / f"{options.file.stem}.jsonl"
    write(out, imported.cases, options.force)
    if options.as_json:
        say(json.dumps(report.imported_document(found, str(out), imported), indent=2))
    else:
        report.show_imported(found, str(out), imported)
    return 0 if any(case.slices for case in imported.cases) else _NO_DATA


def export(named: Path, to: str, out: Path, force: bool, as_json: bool) -> int:
    """Write a suite for another tool, and say what it does not say."""
    known = [target.value for target in exporters.Target]
    if to not in known:
        raise UsageError(f"--to {to!r}: expected one of {', '.join(known)}. Type next: --to {known[0]}")
    exported = exporters.EXPORTERS[exporters.Target(to)](load(named))
    out.mkdir(parents=True, exist_ok=True)
    for name, content in exported.files.items():
        _write(out / name, content, force)
    written = [str(out / name) for name in exported.files]
    if as_json:
        say(json.dumps(report.exported_document(written, exported.not_carried), indent=2))
    else:
        say(*(f"wrote  {visible(name)}" for name in written), *report.losses(exported.not_carried))
    return 0


def confirm(path: Path, ids: Sequence[str], every: bool, as_json: bool) -> int:
    """Make drafts into references, in the file itself."""
    if path.suffix in (".yaml", ".yml"):
        raise UsageError(f"{path}: expected the .jsonl file that holds the cases. Type next: confirm NAME.jsonl")
    if bool(ids) == every:
        raise UsageError("expected either --id or --all. Type next: --id ID   (after reading its draft)")
    with path.open("rb") as lines:
        cases = suite_file.read_cases(lines, str(path))
    unknown = sorted(set(ids) - {case.id for case in cases if case.draft is not None})
    if unknown:
        raise InputError(
            f"{path}: no draft of {unknown[0]!r}, expected the id of one. Type next: midshift suite check {path}"
        )
    chosen = {case.id for case in cases if case.draft is not None and (every or case.id in ids)}
    changed = [suite_file.confirmed(case) if case.id in chosen else case for case in cases]
    write(path, changed, force=True)
    left = sum(case.draft is not None for case in changed)
    if as_json:
        say(json.dumps({"format": report.FORMAT, "confirmed": sorted(chosen), "drafts_left": left}, indent=2))
    else:
        say(f"{len(chosen):,} confirmed in {visible(str(path))}, {left:,} drafts left")
    return 0


def write(path: Path, cases: Sequence[EvalCase], force: bool) -> None:
    """Write cases as JSON lines, whole or not at all, and over another file only where that was asked for."""
    _write(path, b"".join(suite_file.line_of(case) for case in cases), force)


def _write(path: Path, content: bytes, force: bool) -> None:
    if path.exists() and not force:
        raise UsageError(f"{path} is there, expected a new file. Type next: -o OTHER, or --force")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def _workload(target: Target, named: str) -> config.Definition | None:
    """The workload of that name, if there is no such file."""
    if Path(named).suffix or Path(named).is_file():
        return None
    return workload(target, named)


def workload(target: Target, named: str) -> config.Definition:
    """A workload by its name.

    Raises:
        UsageError: if there is none.
    """
    definitions = target.definitions()
    found = definitions.workloads.get(named)
    if found is None:
        known = ", ".join(sorted(definitions.workloads)) or "none"
        raise UsageError(f"{named!r} is no file and no workload of {target.main}, expected one of: {known}")
    return found


def _suite_of(target: Target, definition: config.Definition) -> Path:
    if definition.suite_path is None:
        raise ConfigError(
            f"workload {definition.name!r} has no suite, expected one. "
            f"Type next: midshift suite build {definition.name} --from TRACE.jsonl"
        )
    return target.main.parent / definition.suite_path


def _notes(definition: config.Definition, suite: Suite) -> dict[str, SliceNote]:
    """What is said of the slices: by the workload, whose word counts, and else by the suite."""
    roles = {part.name: part.role for part in definition.workload.slices}
    margins = own_margins(definition.workload, suite)
    names = {*roles, *suite.slices}
    return {
        name: SliceNote(roles.get(name, suite.slices.get(name, SliceNote()).role), margins.get(name)) for name in names
    }


def _source(form: str | None) -> Source | None:
    known = [source.value for source in Source]
    if form is not None and form not in known:
        raise UsageError(
            f"--from {form!r}: expected one of {', '.join(known)}. Type next: leave it out, and it is told"
        )
    return None if form is None else Source(form)


def _field(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise UsageError(f"--field {text!r}: expected NAME=PATH. Type next: --field input=question")
    return name.strip(), path.strip()


def _bytes(path: Path) -> bytes:
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise InputError(
            f"{path}: {size:,} bytes, expected at most {LARGEST_FILE:,}. Type next: split -l 100000 {path}"
        )
    return path.read_bytes()


def _beside(path: Path) -> importers.Beside:
    """Files that a file names, from inside its own folder and nowhere else, links followed."""
    folder = path.resolve().parent

    def beside(name: str) -> bytes | None:
        try:
            found = (folder / name).resolve()
            inside = found.is_relative_to(folder) and found.is_file()
            return _bytes(found) if inside else None
        except (OSError, ValueError, RuntimeError):
            return None

    return beside
