"""`midshift`: the commands, their exit codes, and the one fence that turns errors into messages.

Exit codes: 0 proceed (with or without caution) · 1 retune, stop, failed gate · 2 usage or configuration ·
3 collect more, no data, no score at all · 4 error.
"""

from __future__ import annotations

import io
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from midshift import __version__

app = typer.Typer(
    name="midshift",
    help="Changes the LLM behind a running product without its users noticing.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without a sign shows its number, not a crash
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; every error becomes a message on stderr and its exit code."""
    from midshift.errors import MidshiftError

    try:
        if not arguments:
            app(["--help"], standalone_mode=False)
            return 2
        result = app(arguments, standalone_mode=False)
    except MidshiftError as error:
        return _complain(str(error), error.exit_code)
    except typer.Exit as leaving:
        return int(leaving.exit_code)
    except typer.TyperException as error:
        return _complain(f"{error.format_message().rstrip('.')}. Type next: midshift --help", 2)
    except (typer.Abort, KeyboardInterrupt):
        return _complain("interrupted", 4)
    except BrokenPipeError:
        sys.stderr.close()
        return 4
    except OSError as error:
        if error.filename is None:
            return _complain(f"{error.strerror or error}", 4)
        return _complain(f"{error.filename}: {error.strerror}", 2)
    except Exception as error:  # noqa: BLE001 - the fence: Python's exit code for a crash is 1, which means "retune"
        for line in "".join(traceback.format_exception(error)).splitlines():
            _complain(line, 4)
        return _complain("this is a fault of midshift, not of your files: please report the lines above", 4)
    return result if isinstance(result, int) else 0


def _complain(message: str, exit_code: int) -> int:
    from midshift.reports.text import visible

    sys.stderr.write(f"midshift: {visible(message, 2000)}\n")
    return exit_code


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"midshift {__version__}\n")
        raise typer.Exit(0)


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


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
            metavar="K/N", help="This is the K-th of N planned looks at a growing sample; each spends 1/N of alpha."
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
) -> None:
    """See it work on simulated answers: no key, no network."""
    from midshift.cli import demo as command

    raise typer.Exit(command.run(folder))
