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
        return _complain(f"{error.format_message().rstrip('.')}. Type next: {_help_for(error)}", 2)
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


def _help_for(error: typer.TyperException) -> str:
    """The help of the command that was typed, or of midshift."""
    names, context = list[str](), getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        names, context = [str(context.info_name), *names], context.parent
    return " ".join(["midshift", *names, "--help"])


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


upgrade_app = typer.Typer(help="Begin an upgrade, see where it stands, have your say.", no_args_is_help=True)
serve_app = typer.Typer(help="The processes: a controller, and gateways.", no_args_is_help=True)
app.add_typer(upgrade_app, name="upgrade")
app.add_typer(serve_app, name="serve")
prices_app = typer.Typer(help="What models cost, and who says so.", no_args_is_help=True)
app.add_typer(prices_app, name="prices")
models_app = typer.Typer(help="What kind of id each model has, and the pin to use.", invoke_without_command=True)
app.add_typer(models_app, name="models")
judge_app = typer.Typer(help="Hold judges against people.", no_args_is_help=True)
app.add_typer(judge_app, name="judge")
suite_app = typer.Typer(help="Build, check and exchange the suites that upgrades are judged by.", no_args_is_help=True)
app.add_typer(suite_app, name="suite")

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

MaxUsd = Annotated[
    str | None, typer.Option(metavar="X", help="The most it may cost in all; kept before each call, not after.")
]
GraderName = Annotated[
    str | None, typer.Option(metavar="NAME", help="How an answer is held to its reference: exact, contains.")
]
AllowUnknownCost = Annotated[
    bool, typer.Option("--allow-unknown-cost", help="With --max-usd: let calls through that nobody can bound.")
]
RebuyUnknown = Annotated[bool, typer.Option("--rebuy-unknown", help="Pay again for calls whose answer was lost.")]
SkipUnknown = Annotated[bool, typer.Option("--skip-unknown", help="Judge without the calls whose answer was lost.")]
Concurrency = Annotated[int, typer.Option(metavar="N", min=1, help="Calls at once, by provider.")]
RequestsAMinute = Annotated[float | None, typer.Option(metavar="N", min=0.01, help="Requests a minute, by provider.")]
TokensAMinute = Annotated[float | None, typer.Option(metavar="N", min=1, help="Tokens a minute, by provider.")]
JudgeFile = Annotated[
    str | None,
    typer.Option(
        "--judge", metavar="VARIANT_FILE", help="Who judges; in place of one that the suite names it gates nothing."
    ),
]
PlannedLooks = Annotated[
    int | None,
    typer.Option(
        "--looks",
        metavar="N",
        min=1,
        help="How often the growing suite is to be judged: each look spends a share of the error, later ones half.",
    ),
]
Streamed = Annotated[
    bool, typer.Option("--stream", help="Ask for answers as streams, and time their first tokens. Buys nothing again.")
]
EventsTo = Annotated[
    str | None,
    typer.Option("--events", metavar="FILE|-", help="Write what happens while it does, one JSON object a line."),
]
PriceFile = Annotated[
    Path | None,
    typer.Option("--prices", metavar="FILE", help="Your own prices; default: prices.yaml beside the main file."),
]

AllowFloating = Annotated[
    str | None,
    typer.Option(metavar="WHY", help="Go on with a model that may change under it, by --who and for this reason."),
]

ApproveData = Annotated[
    str | None,
    typer.Option(metavar="WHY", help="Let the data go to a vendor or region outside its list, by --who and for this."),
]

FloatingJudge = Annotated[
    str | None,
    typer.Option("--allow-floating", metavar="WHY", help="Ask a judge whose model may change under it, for this."),
]

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
    admin_port: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="With the store dead: flip this gateway by its admin port (repeatable)."),
    ] = None,
) -> None:
    """Put the incumbent back everywhere, at once, and end the upgrade. Asks nobody."""
    from midshift.cli import flip, project, rollback

    if admin_port:
        raise typer.Exit(flip.flip(admin_port, workload))
    target = project.Target(config, env, store)
    raise typer.Exit(rollback.rollback(target, workload, who or rollback.login(), why, wait))


@app.command()
def erase(
    unit: Annotated[
        str, typer.Option(metavar="VALUE", help="The unit as the app names it; - reads it from standard input.")
    ],
    workload: Annotated[str, typer.Option(metavar="NAME", help="The workload whose records are meant.")],
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Remove all records of one unit on this host: numbers, captured texts, pairs, comments. Needs the unit key."""
    import os

    from midshift.cli import erase
    from midshift.cli.system import SystemClock

    whom = erase.Whom(unit, workload)
    raise typer.Exit(erase.run(state, whom, os.environ, SystemClock().machine_now(), as_json))


@app.command()
def halt(workload: Workload, who: Who, why: Why, config: Config = CONFIG, env: Env = None, store: Store = None) -> None:
    """Take a canary's candidate away from users, and keep all else: it can be resumed."""
    from midshift.cli import project, upgrade

    raise typer.Exit(upgrade.halt(project.Target(config, env, store), workload, who, why))


@models_app.callback()
def models(
    context: typer.Context,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    live: Annotated[
        bool,
        typer.Option("--live", help="Ask the vendors what is behind an alias or a deployment."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Every model of the files and of open upgrades: its class, the pin to use, and its end. 1 if one may change."""
    if context.invoked_subcommand is not None:
        return
    from midshift.cli import models, project

    raise typer.Exit(models.run(project.Target(config, env, store), models.Options(state, live, as_json)))


@models_app.command("classify")
def models_classify(
    model: Annotated[str, typer.Argument(metavar="ID", help="The id of a model, as its provider takes it.")],
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="The provider; default: every vendor whose rules know the id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The class of any model's id, offline, and the rule that says so. 1 if it may change."""
    from midshift.cli import models

    raise typer.Exit(models.classify(model, provider, as_json))


@app.command()
def radar(
    config: Config = CONFIG,
    end_of_soak: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="The day to outlive; default: every plan's own, if it began today."),
    ] = None,
    watch: Annotated[str | None, typer.Option(metavar="EVERY", help="Look again and again, 1m to 4w.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no vendor: the bundled lists only.")] = False,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a textfile for Prometheus, whole or not at all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """When the models shut down, and who says so. 1 if one does before the end of soak, 3 if nobody can say of one."""
    from midshift.cli import project, radar

    options = radar.Options(end_of_soak, watch, offline, as_json, metrics)
    raise typer.Exit(radar.run(project.Target(config), options))


@app.command()
def preflight(
    workload: Annotated[
        str | None, typer.Argument(metavar="[WORKLOAD]", help="Its open upgrade's candidate, where --to names none.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="VARIANT_FILE", help="The candidate.")] = None,
    requests: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR|record",
            help="Recorded requests, one a line; or what gateways captured: a state folder, or 'record' for --state.",
        ),
    ] = None,
    overrides: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What you know better about models and fields, as YAML.")
    ] = None,
    api_version: Annotated[
        str | None, typer.Option(metavar="DATE", help="The anthropic-version to judge by; default: each request's own.")
    ] = None,
    learn: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Refusals, one a line; prints rules to paste into --overrides.")
    ] = None,
    show: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Print what is known of a model, with sources; or VENDOR/MODEL.")
    ] = None,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Would recorded requests survive the candidate? Offline. 1 if one would be refused, 3 if there are none."""
    from midshift.cli import preflight as command
    from midshift.cli import project
    from midshift.cli.system import SystemClock

    options = command.Options(workload, to, requests, overrides, learn, show, api_version, state, as_json)
    target = project.Target(config, env, store)
    raise typer.Exit(command.run(target, options, SystemClock().now().date()))


@app.command("eval")
def evaluate(
    workload: Workload,
    to: Annotated[
        list[str] | None, typer.Option(metavar="VARIANT_FILE", help="A candidate. Repeatable: then it is a bake-off.")
    ] = None,
    sweep: Annotated[
        str | None, typer.Option(metavar="low,medium,high", help="Each candidate (or the incumbent) at each effort.")
    ] = None,
    grader: GraderName = None,
    judge: JudgeFile = None,
    suite: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Other cases than the workload's suite; then it gates nothing.")
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", min=1, help="How often each case is put to each variant.")] = 1,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The first N cases only; then it gates nothing.")
    ] = None,
    looks: PlannedLooks = None,
    max_usd: MaxUsd = None,
    allow_unknown_cost: AllowUnknownCost = False,
    rebuy_unknown: RebuyUnknown = False,
    skip_unknown: SkipUnknown = False,
    concurrency: Concurrency = 16,
    rpm: RequestsAMinute = None,
    tpm: TokensAMinute = None,
    stream: Streamed = False,
    events: EventsTo = None,
    offline_from: Annotated[
        Path | None, typer.Option(metavar="LEDGER", help="Ask nobody: judge what this ledger holds.")
    ] = None,
    approve_data: ApproveData = None,
    allow_floating: FloatingJudge = None,
    config: Config = CONFIG,
    state: State = STATE,
    prices: PriceFile = None,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Also write each report as one self-contained page.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put the suite to the incumbent and to candidates, paying each call once, and judge. Again: it goes on.

    It compares files and needs no upgrade. In an open upgrade, `midshift upgrade eval` does the same with the two
    variants that the upgrade is about; both share one ledger, so neither buys what the other has bought.
    """
    from midshift.cli import eval as command
    from midshift.cli import project
    from midshift.cli.eval_options import Options

    options = Options(
        state=state,
        to=tuple(to or ()),
        sweep=tuple(filter(None, (sweep or "").replace(" ", "").split(","))),
        suite=suite,
        grader=grader,
        judge=judge,
        trials=trials,
        limit=limit,
        looks=looks,
        max_usd=max_usd,
        allow_unknown_cost=allow_unknown_cost,
        rebuy_unknown=rebuy_unknown,
        skip_unknown=skip_unknown,
        concurrency=concurrency,
        requests_per_min=rpm,
        tokens_per_min=tpm,
        stream=stream,
        events=events,
        offline_from=offline_from,
        prices=prices,
        approve_data=approve_data,
        allow_floating=allow_floating,
        html=html,
        as_json=as_json,
    )
    raise typer.Exit(command.run(project.Target(config), workload, options))


@app.command()
def retune(
    workload: Workload,
    to: Annotated[str, typer.Option(metavar="VARIANT_FILE", help="The candidate whose prompt is tuned.")],
    reflection: Annotated[
        str | None,
        typer.Option(metavar="VARIANT_FILE|PROVIDER/MODEL", help="The model that reads failures and proposes prompts."),
    ] = None,
    max_usd: MaxUsd = None,
    max_calls: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The most calls, those of the eval among them.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="The luck of the search; the locked cases stay the same.")] = 0,
    manual: Annotated[
        bool, typer.Option("--manual", help="Score the prompt as it is: edit the file, run again, see slices move.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="With --manual: again at each change of the files.")] = False,
    plans: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Few-shot or cached files to look through for the incumbent's. Repeatable."),
    ] = None,
    plan_table: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE:COLUMN", help="The same for a table of CSV or JSON lines, row by row. Repeatable."),
    ] = None,
    unlock: Annotated[
        str | None, typer.Option(metavar="WHY", help="Judge locked cases a second time, by --who and for this.")
    ] = None,
    who: Annotated[
        str | None, typer.Option("--who", metavar="NAME", envvar="MIDSHIFT_WHO", help="With --unlock.")
    ] = None,
    grader: GraderName = None,
    judge: Annotated[
        str | None, typer.Option(metavar="VARIANT_FILE", help="The model behind the suite's judges.")
    ] = None,
    why: Annotated[
        str | None,
        typer.Option("--why", metavar="TEXT", help="With --manual: why the prompt was edited, for the record."),
    ] = None,
    allow_floating: FloatingJudge = None,
    allow_unknown_cost: AllowUnknownCost = False,
    rebuy_unknown: RebuyUnknown = False,
    concurrency: Concurrency = 16,
    rpm: RequestsAMinute = None,
    tpm: TokensAMinute = None,
    approve_data: ApproveData = None,
    config: Config = CONFIG,
    state: State = STATE,
    prices: PriceFile = None,
    as_json: AsJson = False,
) -> None:
    """Find a prompt for the candidate that costs no slice its floor; judge it once on cases that nobody has seen."""
    from midshift.cli import project
    from midshift.cli import retune as command
    from midshift.cli.retune_setting import Options

    options = Options(
        state=state,
        to=to,
        reflection=reflection,
        max_usd=max_usd,
        max_calls=max_calls,
        seed=seed,
        manual=manual,
        watch=watch,
        grader=grader,
        judge=judge,
        plans=tuple(plans or ()),
        plan_tables=tuple(plan_table or ()),
        unlock=unlock,
        who=who,
        allow_unknown_cost=allow_unknown_cost,
        rebuy_unknown=rebuy_unknown,
        concurrency=concurrency,
        requests_per_min=rpm,
        tokens_per_min=tpm,
        prices=prices,
        approve_data=approve_data,
        allow_floating=allow_floating,
        why=why,
        as_json=as_json,
    )
    raise typer.Exit(command.run(project.Target(config), workload, options))


@upgrade_app.command("start")
def upgrade_start(
    workload: Workload,
    to: Annotated[str, typer.Option(metavar="VARIANT_FILE", help="The variant that may serve next.")],
    who: Who,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    allow_floating: AllowFloating = None,
    approve_data: ApproveData = None,
) -> None:
    """Begin an upgrade. Nothing changes for users before its canary."""
    from midshift.cli import project, upgrade

    target = project.Target(config, env, store)
    raise typer.Exit(upgrade.start(target, workload, to, who, state, allow_floating, approve_data))


@upgrade_app.command("eval")
def upgrade_eval(
    workload: Workload,
    grader: Annotated[
        str | None, typer.Option(metavar="NAME", help="exact or contains, for a suite that names no graders.")
    ] = None,
    judge: JudgeFile = None,
    allow_floating: FloatingJudge = None,
    override: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="G7|G8 WHY", help="Step over a guard of the eval; --who and this stay on record."),
    ] = None,
    who: Annotated[str | None, typer.Option(metavar="NAME", help="Who steps over it.")] = None,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    html: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Also write the report as one self-contained page.")
    ] = None,
    looks: PlannedLooks = None,
    max_usd: MaxUsd = None,
    rebuy_unknown: RebuyUnknown = False,
    skip_unknown: SkipUnknown = False,
    stream: Streamed = False,
    events: EventsTo = None,
    as_json: AsJson = False,
) -> None:
    """Stage one of an open upgrade: `midshift eval` on its two variants as applied, for the controller to go on."""
    from midshift.cli import project, upgrade

    terms = {
        "looks": looks,
        "max_usd": max_usd,
        "rebuy_unknown": rebuy_unknown,
        "skip_unknown": skip_unknown,
        "stream": stream,
        "events": events,
        "judge": judge,
        "allow_floating": allow_floating,
    }
    options = upgrade.EvalOptions(workload, grader, state, html, as_json, override, who, terms)
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


@upgrade_app.command("drift")
def upgrade_drift(
    workload: Workload,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """What shadow pairs show: drift, and how much of the difference is the incumbent's own randomness."""
    from midshift.cli import drift, project

    raise typer.Exit(drift.drift(project.Target(config, env, store), workload, state, as_json))


@upgrade_app.command("shadow")
def upgrade_shadow(
    workload: Workload,
    also: Annotated[str, typer.Option("--also", metavar="VARIANT_FILE", help="One more candidate, never served.")],
    who: Who,
    why: Why,
    share: Annotated[str, typer.Option(metavar="SHARE", help="Of the shadowed requests; 0% lets it go.")] = "10%",
    approve_data: ApproveData = None,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
) -> None:
    """Let one more candidate answer unseen, beside the upgrade's own."""
    from midshift.cli import others, project

    target = project.Target(config, env, store)
    raise typer.Exit(others.shadow(target, workload, also, share, who, why, approve_data))


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


@upgrade_app.command("force")
def upgrade_force(
    workload: Workload,
    who: Who,
    why: Why,
    to: Annotated[
        str | None,
        typer.Option(metavar="VARIANT_FILE", help="Which stopped candidate goes on; default: the last one."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no vendor for dates: midshift.yaml and the bundled lists only.")
    ] = False,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
) -> None:
    """The incumbent retires: go on after a stop, with what failed waived by name and a safe harbour to go back to."""
    from midshift.cli import forcing, project

    options = forcing.Options(workload, who, why, state, to, offline)
    raise typer.Exit(forcing.force(project.Target(config, env, store), options))


@upgrade_app.command("approve")
def upgrade_approve(
    workload: Workload,
    what: Annotated[str, typer.Argument(metavar="ROLE@STEP", help="The approval, as the plan has it: legal@25%.")],
    who: Who,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
) -> None:
    """Say the yes that a step waits for."""
    from midshift.cli import project, upgrade

    raise typer.Exit(upgrade.approve(project.Target(config, env, store), workload, what, who, state))


@upgrade_app.command("candidate")
def upgrade_candidate(
    workload: Workload,
    to: Annotated[str, typer.Option(metavar="VARIANT_FILE", help="The candidate to go on with.")],
    who: Who,
    why: Why,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    allow_floating: AllowFloating = None,
    approve_data: ApproveData = None,
) -> None:
    """Go on with another candidate, from the eval: after a re-tune, or a halt."""
    from midshift.cli import project, upgrade

    target = project.Target(config, env, store)
    raise typer.Exit(upgrade.change_candidate(target, workload, to, who, why, allow_floating, approve_data))


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


@judge_app.command("calibrate")
def judge_calibrate(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite's file, or the workload that has it.")],
    labels: Annotated[
        Path, typer.Option(metavar="FILE", help="Answers with people's grades: {id, text, score, label} a line.")
    ],
    judge: Annotated[
        str | None, typer.Option(metavar="VARIANT_FILE", help="Who judges, in place of the suite's own judges.")
    ] = None,
    workload: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose data the suite holds, where its file does not say.")
    ] = None,
    max_usd: MaxUsd = None,
    approve_data: ApproveData = None,
    allow_floating: FloatingJudge = None,
    config: Config = CONFIG,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Ask a judge about answers that people have graded; every later eval prints how far they agree."""
    from midshift.cli import calibrating, project
    from midshift.cli.eval_options import Options

    options = Options(
        state, judge=judge, max_usd=max_usd, approve_data=approve_data, allow_floating=allow_floating, as_json=as_json
    )
    wanted = calibrating.Wanted(suite, labels, options, workload)
    raise typer.Exit(calibrating.run(project.Target(config), wanted))


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
    shadow_budget: Annotated[
        float | None,
        typer.Option(metavar="USD", min=0.01, help="What unseen answers may cost a day; what is beyond it is shed."),
    ] = None,
    max_in_flight: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Requests under way at once; default: 4000.")
    ] = None,
    max_in_flight_per_workload: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="The same of any one workload; default: 3000.")
    ] = None,
    max_held_mb: Annotated[
        int | None, typer.Option(metavar="MB", min=1, help="The bodies of all of them together; default: 1024.")
    ] = None,
    max_connections: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Connections of apps, also idle ones; default: 16384.")
    ] = None,
) -> None:
    """Answer requests, with the variants that the store says."""
    from midshift.cli import limits, project, serve

    said = limits.SaidLimits(max_in_flight, max_in_flight_per_workload, max_held_mb, max_connections)
    options = serve.GatewayOptions(state, name, host, port, admin_port, shadow_budget, said)
    raise typer.Exit(serve.gateway(project.Target(config, env, store), options))


@prices_app.command("show")
def prices_show(
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="Default: your variants'.")] = None,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="At this provider alone.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="DATE", help="A day, or a moment with a zone; default: now.")
    ] = None,
    tier: Annotated[str | None, typer.Option(metavar="TIER", help="batch, flex, priority, ...")] = None,
    config: Config = CONFIG,
    state: State = STATE,
    prices: PriceFile = None,
    as_json: AsJson = False,
) -> None:
    """Prices with their source and date, and where sources disagree by more than 1 %."""
    from midshift.cli import prices as command
    from midshift.cli import project
    from midshift.cli.system import SystemClock

    where = command.Where(project.Target(config), state, prices)
    wanted = command.Wanted(models or (), provider, tier, None if at is None else command.moment(at))
    raise typer.Exit(command.show(where, wanted, SystemClock().now(), as_json))


@prices_app.command("refresh")
def prices_refresh(
    source: Annotated[str, typer.Option("--from", metavar="FILE|URL", help="A catalogue, or LiteLLM's price file.")],
    version: Annotated[str | None, typer.Option(metavar="TEXT", help="Which version of it that is.")] = None,
    accept_losses: Annotated[
        bool, typer.Option("--accept-losses", help="Also take one that has lost many of the models known today.")
    ] = False,
    state: State = STATE,
    as_json: AsJson = False,
) -> None:
    """Take a newer catalogue of models into the state folder, with where it is from and when."""
    from midshift.cli import prices as command
    from midshift.cli.system import SystemClock

    wanted = command.Refresh(source, version, accept_losses)
    raise typer.Exit(command.refresh(state, wanted, SystemClock().now().date(), as_json))


@prices_app.command("recompute")
def prices_recompute(
    run: Annotated[Path, typer.Argument(metavar="RUN.json", help="The recorded calls of a run.")],
    book: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prices that were pinned with a run, in place of today's.")
    ] = None,
    config: Config = CONFIG,
    state: State = STATE,
    prices: PriceFile = None,
    as_json: AsJson = False,
) -> None:
    """The cost of a recorded run under other prices than those it was recorded with."""
    from midshift.cli import prices as command
    from midshift.cli import project

    where = command.Where(project.Target(config), state, prices)
    raise typer.Exit(command.recompute(where, run, book, as_json))


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
    """Make a suite of recorded requests: some of each slice, no two alike, answers as drafts to confirm."""
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
