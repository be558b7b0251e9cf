"""Is the candidate worse, by answers that are there already; and the demo, which shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def compare(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Paired outputs (JSON lines), or promptfoo's results.")],
    incumbent: Annotated[
        str, typer.Option(metavar="VARIANT", help="The variant that is served today, as the file names it.")
    ],
    candidate: Annotated[str, typer.Option(metavar="VARIANT", help="The variant that may replace it.")],
    score: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:LO..HI]",
            help="A score that gates, with its range (default 0..1). Repeatable; default: every score of the file.",
        ),
    ] = None,
    margin: Annotated[
        str,
        typer.Option(
            metavar="POINTS",
            help="The largest drop that is still 'not worse', in points: hundredths of a score's range.",
        ),
    ] = "2pt",
    slice_margin: Annotated[
        list[str] | None,
        typer.Option(metavar="SLICE=POINTS", help="A margin of its own for one slice. Repeatable."),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(metavar="json", help="Every answer must be JSON as a whole; becomes the contract json_valid."),
    ] = None,
    error_text: Annotated[
        str | None, typer.Option(metavar="REGEX", help="An answer that matches is a provider's error, not an answer.")
    ] = None,
    skip: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Leave out, and count, the rows in which FIELD is true.")
    ] = None,
    watch: Annotated[
        list[str] | None, typer.Option(metavar="SLICE", help="A slice that is watched and does not gate. Repeatable.")
    ] = None,
    look: Annotated[
        str,
        typer.Option(
            metavar="K/N[+F]",
            help="This is the K-th of N planned looks at a growing sample; each spends 1/N of alpha, and the F-th "
            "after them half of the one before.",
        ),
    ] = "1/1",
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Also write the report as one self-contained page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON (midshift.compare/1).")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show the drift of every slice, flagged or not.")] = False,
) -> None:
    """Compare two variants on recorded outputs: is the candidate worse, and what else changed?"""
    from midshift.cli import compare as command

    code = command.run(
        command.Options(
            file=file,
            incumbent=incumbent,
            candidate=candidate,
            scores=tuple(score or ()),
            margin=margin,
            slice_margin=tuple(slice_margin or ()),
            expect=expect,
            error_text=error_text,
            skip=skip,
            watch=tuple(watch or ()),
            look=look,
            html=html,
            as_json=as_json,
            full=full,
        )
    )
    raise typer.Exit(code)


@app.command()
def demo(
    folder: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the demo writes its files; default: a new temporary folder."),
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="Only the comparison, without the upgrade.")] = False,
) -> None:
    """See it work on simulated models: a comparison, and a whole upgrade in under a minute."""
    from midshift.cli import demo as command

    raise typer.Exit(command.run(folder, brief))
