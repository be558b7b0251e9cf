"""Suites: build, check and exchange them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midshift.cli.commands.options import (
    CONFIG,
    STATE,
    AsJson,
    Config,
    State,
    Workload,
)

suite_app = typer.Typer(help="Build, check and exchange the suites that upgrades are judged by.", no_args_is_help=True)

Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


@suite_app.command("build")
def suite_build(
    workload: Workload,
    source: Annotated[
        str, typer.Option("--from", metavar="TRACE|record", help="Recorded requests: a file, or what was captured.")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Default: suites/WORKLOAD.jsonl.")
    ] = None,
    per_slice: Annotated[int, typer.Option(metavar="N", help="The most cases of a slice.")] = 200,
    seed: Annotated[int, typer.Option(metavar="S", help="Another number takes other requests.")] = 0,
    config: Config = CONFIG,
    state: State = STATE,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make a suite of recorded requests: some of each slice, in it no two alike, answers as drafts to confirm."""
    from midshift.cli import project
    from midshift.cli import suite_building as command

    options = command.Options(workload, source, out, state, per_slice, seed, force, as_json)
    raise typer.Exit(command.run(project.Target(config), options))


@suite_app.command("check")
def suite_check(
    named: Annotated[str, typer.Argument(metavar="FILE|WORKLOAD", help="A suite, or the workload that has it.")],
    margin: Annotated[
        str | None, typer.Option(metavar="2pt", help="The largest drop that counts as not worse; default: the plan's.")
    ] = None,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Cases by slice, how small a drop they can show, and what is missing. 1 if a slice can show nothing."""
    from midshift.cli import project
    from midshift.cli import suite as command

    raise typer.Exit(command.check(project.Target(config), named, margin, as_json))


@suite_app.command("import")
def suite_import(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A suite of another tool, or any table.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE", help="Default: suites/NAME.jsonl.")] = None,
    form: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="Which tool; default: told from the file.")
    ] = None,
    field: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Which field is what: input=question. Repeatable.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(metavar="LABEL", help="The prompt to put promptfoo's tests to.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Take over a suite of another tool, and say what is not carried. Runs nothing that it says. 3 without slices."""
    from midshift.cli import suite as command

    options = command.ImportOptions(file, out, form, tuple(field or ()), prompt, force, as_json)
    raise typer.Exit(command.take_over(options))


@suite_app.command("export")
def suite_export(
    file: Annotated[Path, typer.Argument(metavar="SUITE", help="A suite, .jsonl or .yaml.")],
    to: Annotated[str, typer.Option(metavar="promptfoo|inspect", help="For which tool.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The folder to write to.")],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a suite for another tool, and say what it has no words for."""
    from midshift.cli import suite as command

    raise typer.Exit(command.export(file, to, out, force, as_json))


@suite_app.command("confirm")
def suite_confirm(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="A suite with draft references.")],
    id: Annotated[list[str] | None, typer.Option("--id", metavar="ID", help="A case. Repeatable.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every draft: you have read them all.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make draft references into references that graders use, in the file."""
    from midshift.cli import suite as command

    raise typer.Exit(command.confirm(file, tuple(id or ()), every, as_json))
