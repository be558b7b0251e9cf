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


upgrade_app = typer.Typer(help="Begin an upgrade, see where it stands, have your say.", no_args_is_help=True)
serve_app = typer.Typer(help="The processes: a controller, and gateways.", no_args_is_help=True)
app.add_typer(upgrade_app, name="upgrade")
app.add_typer(serve_app, name="serve")

Workload = Annotated[str, typer.Argument(metavar="WORKLOAD", help="The workload, as midshift.yaml names it.")]
MaybeWorkload = Annotated[str | None, typer.Argument(metavar="[WORKLOAD]", help="One workload; default: all of them.")]
Config = Annotated[Path, typer.Option("--config", metavar="PATH", help="The main file, or its folder.")]
Env = Annotated[
    str | None,
    typer.Option("--env", metavar="E", envvar="MIDSHIFT_ENV", help="The environment; default: the only one there is."),
]
Store = Annotated[
    str | None,
    typer.Option("--store", metavar="REF", help="env:NAME or file:PATH of the store, in place of midshift.yaml."),
]
State = Annotated[
    Path,
    typer.Option("--state", metavar="DIR", help="What commands, controller and gateways share on a host."),
]
Who = Annotated[str, typer.Option("--who", metavar="NAME", envvar="MIDSHIFT_WHO", help="The person who says so.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the log.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

CONFIG = Path("midshift.yaml")
STATE = Path(".midshift")


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
    brief: Annotated[bool, typer.Option("--brief", help="Only the comparison, without the upgrade.")] = False,
) -> None:
    """See it work on simulated models: a comparison, and a whole upgrade in under a minute."""
    from midshift.cli import demo as command

    raise typer.Exit(command.run(folder, brief))


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to write; default: here.")] = Path(),
) -> None:
    """Write a small set of files to begin with; never over one that is there."""
    from midshift.cli import project

    raise typer.Exit(project.init(folder))


@app.command()
def check(
    config: Config = CONFIG,
    report: Annotated[str, typer.Option(metavar="text|json", help="The form of the report.")] = "text",
    as_json: AsJson = False,
) -> None:
    """Look at midshift.yaml and the files beside it, offline: what is wrong, what is odd, and the way back."""
    from midshift.cli import project
    from midshift.errors import UsageError

    if report not in ("text", "json"):
        raise UsageError(f"--report {report!r}: expected text or json. Type next: --report json")
    raise typer.Exit(project.check(project.Target(config), as_json or report == "json"))


@app.command()
def apply(
    who: Who,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    bypass_g0: Annotated[
        str | None,
        typer.Option(metavar="WHY", help="Exchange the incumbent without an upgrade, by --who and for this reason."),
    ] = None,
) -> None:
    """Record what the files define, and say what that changes."""
    from midshift.cli import project

    raise typer.Exit(project.apply(project.Target(config, env, store), who, bypass_g0))


@app.command()
def sync(
    workload: MaybeWorkload = None,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change, and change nothing.")] = False,
) -> None:
    """Write what serves into midshift.yaml: one line a workload."""
    from midshift.cli import project

    raise typer.Exit(project.sync(project.Target(config, env, store), workload, dry_run))


@app.command()
def status(
    workload: MaybeWorkload = None,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """What serves, at which gateways, and where upgrades stand."""
    from midshift.cli import project, upgrade

    target = project.Target(config, env, store)
    raise typer.Exit(upgrade.status(target, workload, state, watch=False, as_json=as_json, with_routes=True))


@app.command()
def rollback(
    workload: Workload,
    who: Annotated[
        str | None, typer.Option(metavar="NAME", envvar="MIDSHIFT_WHO", help="Who says so; default: your login.")
    ] = None,
    why: Why = "no reason was given",
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the gateways to follow.")] = 2.0,
) -> None:
    """Put the incumbent back everywhere, at once, and end the upgrade. Asks nobody."""
    from midshift.cli import project, rollback

    target = project.Target(config, env, store)
    raise typer.Exit(rollback.rollback(target, workload, who or rollback.login(), why, wait))


@app.command()
def halt(workload: Workload, who: Who, why: Why, config: Config = CONFIG, env: Env = None, store: Store = None) -> None:
    """Take a canary's candidate away from users, and keep all else: it can be resumed."""
    from midshift.cli import project, upgrade

    raise typer.Exit(upgrade.halt(project.Target(config, env, store), workload, who, why))


@upgrade_app.command("start")
def upgrade_start(
    workload: Workload,
    to: Annotated[str, typer.Option(metavar="VARIANT_FILE", help="The variant that may serve next.")],
    who: Who,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
) -> None:
    """Begin an upgrade. Nothing changes for users before its canary."""
    from midshift.cli import project, upgrade

    raise typer.Exit(upgrade.start(project.Target(config, env, store), workload, to, who))


@upgrade_app.command("eval")
def upgrade_eval(
    workload: Workload,
    grader: Annotated[str, typer.Option(metavar="exact|contains", help="How an answer is held to its reference.")],
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Also write the report as one self-contained page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the suite on both variants, at their providers, and keep the result for the controller."""
    from midshift.cli import project, upgrade

    options = upgrade.EvalOptions(workload, grader, state, html, as_json)
    raise typer.Exit(upgrade.evaluate(project.Target(config, env, store), options))


@upgrade_app.command("status")
def upgrade_status(
    workload: MaybeWorkload = None,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    watch: Annotated[bool, typer.Option("--watch", help="Draw it again each second, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Where upgrades stand: stages, steps, and what every gate says. Changes nothing."""
    from midshift.cli import project, upgrade

    target = project.Target(config, env, store)
    raise typer.Exit(upgrade.status(target, workload, state, watch=watch, as_json=as_json))


@upgrade_app.command("waive")
def upgrade_waive(
    workload: Workload,
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="A slice's name, drift:KIND[:METRIC], coverage, or shadow.")
    ],
    who: Who,
    why: Why,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
) -> None:
    """Open a gate by name and reason: it stays in the log, with both."""
    from midshift.cli import project, upgrade

    raise typer.Exit(upgrade.waive(project.Target(config, env, store), workload, what, who, why, state))


@upgrade_app.command("approve")
def upgrade_approve(
    workload: Workload,
    what: Annotated[str, typer.Argument(metavar="ROLE@STEP", help="The approval, as the plan has it: legal@25%.")],
    who: Who,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
) -> None:
    """Say the yes that a step waits for."""
    from midshift.cli import project, upgrade

    raise typer.Exit(upgrade.approve(project.Target(config, env, store), workload, what, who))


@upgrade_app.command("candidate")
def upgrade_candidate(
    workload: Workload,
    to: Annotated[str, typer.Option(metavar="VARIANT_FILE", help="The candidate to go on with.")],
    who: Who,
    why: Why,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
) -> None:
    """Go on with another candidate, from the eval: after a re-tune, or a halt."""
    from midshift.cli import project, upgrade

    raise typer.Exit(upgrade.change_candidate(project.Target(config, env, store), workload, to, who, why))


@upgrade_app.command("pause")
def upgrade_pause(workload: Workload, who: Who, config: Config = CONFIG, env: Env = None, store: Store = None) -> None:
    """Let nothing advance; proven harm still stops it."""
    from midshift.cli import project, upgrade

    raise typer.Exit(upgrade.pause(project.Target(config, env, store), workload, who))


@upgrade_app.command("resume")
def upgrade_resume(workload: Workload, who: Who, config: Config = CONFIG, env: Env = None, store: Store = None) -> None:
    """Go on with what was paused, and with a canary that was halted."""
    from midshift.cli import project, upgrade

    raise typer.Exit(upgrade.resume(project.Target(config, env, store), workload, who))


@serve_app.command("controller")
def serve_controller(
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    every: Annotated[str, typer.Option(metavar="TIME", help="How often to look, 10ms to 1m.")] = "1s",
) -> None:
    """Decide: one line for each decision. Several may run; one at a time leads."""
    from midshift.cli import project, serve

    raise typer.Exit(serve.controller(project.Target(config, env, store), state, every))


@serve_app.command("gateway")
def serve_gateway(
    name: Annotated[str, typer.Option(metavar="NAME", help="Its name, its own among all running gateways.")],
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Its port; 0 takes any that is free.")
    ] = 8080,
    admin_port: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, max=65535, help="The port that works with the store dead, on loopback."),
    ] = None,
) -> None:
    """Answer requests, with the variants that the store says."""
    from midshift.cli import project, serve

    options = serve.GatewayOptions(state, name, host, port, admin_port)
    raise typer.Exit(serve.gateway(project.Target(config, env, store), options))
