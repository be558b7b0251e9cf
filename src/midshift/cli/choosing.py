"""What a command line names: a workload of the files with its suite, and a variant file as a candidate."""

from __future__ import annotations

import os
from pathlib import Path

from midshift import config
from midshift.cli.project import Target
from midshift.domain import rendering
from midshift.domain.suite import Margin
from midshift.domain.variant import Variant
from midshift.domain.workload import Workload
from midshift.errors import ConfigError, UsageError
from midshift.evals.suite_file import Suite


def defined(target: Target, workload: str) -> config.Definition:
    """The definition of a workload in the files.

    Raises:
        UsageError: if there is none of that name.
    """
    definitions = target.definitions().workloads
    if workload not in definitions:
        raise UsageError(
            f"{target.main} has no workload {workload!r}, expected one of: {', '.join(map(repr, definitions))}. "
            "Type next: midshift check"
        )
    return definitions[workload]


def require_suite(definition: config.Definition) -> None:
    """No suite, no upgrade (G1): without one nobody would see that the candidate is worse.

    Raises:
        ConfigError: with the command that builds one.
    """
    suite, path = definition.suite, definition.suite_path
    if suite is not None and not suite.trouble and suite.slices:
        return
    if path is None:
        found = "no suite"
    elif suite is None:
        found = f"no file {path!r}"
    else:
        found = suite.trouble or f"{suite.cases:,} cases without a slice in {path!r}"
    line = '{"id": "t-1", "slice": "NAME", "messages": [{"role": "user", "content": "..."}], "reference": "..."}'
    raise ConfigError(
        f"{definition.place('suite')}: found {found}, expected a suite with slices: no suite, no upgrade. Type next: "
        f"midshift suite build {definition.name} --from TRACE.jsonl; or write "
        f"{path or f'suites/{definition.name}.jsonl'}, one case a line like {line}, and: midshift check"
    )


def own_margins(workload: Workload, suite: Suite) -> dict[str, Margin]:
    """The margins of slices that have one of their own: the workload's word, and else the suite's."""
    said = {name: note.margin for name, note in suite.slices.items()}
    said |= {part.name: part.margin for part in workload.slices if part.margin is not None}
    return {name: margin for name, margin in sorted(said.items()) if margin is not None}


def candidate_of(target: Target, to: str) -> Variant:
    """The variant of a file that is named from here, or from the folder of the main file.

    Raises:
        ConfigError: if it cannot be read, or its prompt cannot be rendered.
    """
    return candidate_file(target, to).variant


def candidate_file(target: Target, to: str) -> config.VariantFile:
    """The same with the files that it was written in."""
    folder = target.main.parent
    if not (folder / to).exists() and Path(to).exists() and Path(to).resolve().is_relative_to(folder.resolve()):
        to = Path(to).resolve().relative_to(folder.resolve()).as_posix()
    found = config.load_variant(target.main, os.path.normpath(to))
    try:
        rendering.check(found.variant)
    except ValueError as error:
        raise ConfigError(f"{found.path}: {error}. Type next: mend the prompt of {found.path}") from None
    return found
