"""`midshift`: the commands, their exit codes, and the one fence that turns errors into messages.

Exit codes: 0 proceed (with or without caution) · 1 retune, stop, failed gate · 2 usage or configuration ·
3 collect more, no data, no score at all · 4 error.
"""

from __future__ import annotations

import gc
import io
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from midshift import __version__
from midshift.cli.commands import comparing, evidence, facts, processes, product, suites, upgrades

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
    gc.set_threshold(50_000, 20, 20)  # modules that load leave no garbage: to look for it is a tenth of their time
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
        if _is_a_group(arguments):
            app([*arguments, "--help"], standalone_mode=False)
            return 2
        return _complain(f"{error.format_message().rstrip('.')}. Type next: {_help_for(error, arguments)}", 2)
    except (typer.Abort, KeyboardInterrupt):
        return _complain("interrupted", 4)
    except BrokenPipeError:
        sys.stderr.close()
        return 4
    except OSError as error:
        if error.filename is None:
            return _complain(f"{error.strerror or error}", 4)
        return _complain(_of_file(error), 2)
    except Exception as error:  # noqa: BLE001 - the fence: Python's exit code for a crash is 1, which means "retune"
        for line in "".join(traceback.format_exception(error)).splitlines():
            _complain(line, 4)
        return _complain("this is a fault of midshift, not of your files: please report the lines above", 4)
    return result if isinstance(result, int) else 0


def _help_for(error: typer.TyperException, arguments: list[str]) -> str:
    """The help of the command that was typed, or of midshift. An option without its value leaves no context."""
    names, context = list[str](), getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        names, context = [str(context.info_name), *names], context.parent
    return " ".join(["midshift", *(names or _commands_in(arguments)), "--help"])


def _is_a_group(arguments: list[str]) -> bool:
    """Whether the arguments name a group, and none of its commands."""
    from typer.main import get_command

    command: object = get_command(app)
    for word in arguments:
        command = getattr(command, "commands", {}).get(word)
    return hasattr(command, "commands")


def _commands_in(arguments: list[str]) -> list[str]:
    """The command, and that of its group, that the arguments begin with."""
    from typer.main import get_command

    names, commands = list[str](), getattr(get_command(app), "commands", {})
    for word in arguments:
        if word not in commands:
            break
        names, commands = [*names, word], getattr(commands[word], "commands", {})
    return names


def _of_file(error: OSError) -> str:
    path = Path(str(error.filename))
    match error:
        case FileNotFoundError():
            return f"{path}: found no such file or folder, expected one that is there. Type next: ls {path.parent}"
        case IsADirectoryError():
            return f"{path} is a folder, expected a file. Type next: ls {path}"
        case PermissionError():
            return f"{path}: {error.strerror}, expected to be let in. Type next: ls -ld {path}"
        case _:
            return f"{path}: {error.strerror}"


def _complain(message: str, exit_code: int) -> int:
    from midshift.reports.text import visible

    sys.stderr.write(f"midshift: {visible(message, 2000)}\n")
    return exit_code


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"midshift {__version__}\n")
        raise typer.Exit(0)


for commands in (comparing, product, facts, evidence):
    app.add_typer(commands.app)
app.add_typer(upgrades.upgrade_app, name="upgrade")
app.add_typer(processes.serve_app, name="serve")
app.add_typer(facts.prices_app, name="prices")
app.add_typer(facts.models_app, name="models")
app.add_typer(evidence.judge_app, name="judge")
app.add_typer(suites.suite_app, name="suite")


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
