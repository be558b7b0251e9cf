"""The files of a product, and what is in force: check, apply, status, the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midshift.cli.commands.options import (
    CONFIG,
    STATE,
    AsJson,
    Config,
    Env,
    MaybeWorkload,
    State,
    Store,
    Who,
    Why,
    Workload,
)

app = typer.Typer()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to write; default: here.")] = Path(),
) -> None:
    """Write a small set of files to begin with; never over one that is there."""
    from midshift.cli import defining

    raise typer.Exit(defining.init(folder))


@app.command()
def check(
    config: Config = CONFIG,
    report: Annotated[str, typer.Option(metavar="text|json", help="The form of the report.")] = "text",
    as_json: AsJson = False,
) -> None:
    """Look at midshift.yaml and the files beside it, offline: what is wrong, what is odd, and the way back."""
    from midshift.cli import defining, project
    from midshift.errors import UsageError

    if report not in ("text", "json"):
        raise UsageError(f"--report {report!r}: expected text or json. Type next: --report json")
    raise typer.Exit(defining.check(project.Target(config), as_json or report == "json"))


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
    from midshift.cli import defining, project

    raise typer.Exit(defining.apply(project.Target(config, env, store), who, bypass_g0))


@app.command()
def sync(
    workload: MaybeWorkload = None,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the change, and change nothing.")] = False,
) -> None:
    """Write what serves into midshift.yaml: one line a workload."""
    from midshift.cli import defining, project

    raise typer.Exit(defining.sync(project.Target(config, env, store), workload, dry_run))


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
    from midshift.cli import project, standing

    target = project.Target(config, env, store)
    raise typer.Exit(standing.status(target, workload, state, watch=False, as_json=as_json, with_routes=True))


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
    """Put the incumbent back everywhere, at once, and end the upgrade. Asks nobody.

    Exit codes: 0 no user can get the candidate any more; 4 it is written, but a gateway does not follow or is not
    heard (with --admin-port: one is not home); 3 it is written, and no gateway is heard; 2 nothing was written, for
    it was not understood.
    """
    from midshift.cli import flip, project, rollback

    if admin_port:
        raise typer.Exit(flip.flip(admin_port, workload))
    target = project.Target(config, env, store)
    raise typer.Exit(rollback.rollback(target, workload, who or rollback.login(), why, wait))


@app.command()
def dead(
    gateways: Annotated[list[str], typer.Argument(metavar="GATEWAY...", help="As `midshift status` names them.")],
    why: Annotated[str, typer.Option(metavar="REASON", help="How you know: node-7 is gone, the pod was killed.")],
    who: Annotated[
        str | None, typer.Option(metavar="NAME", envvar="MIDSHIFT_WHO", help="Who says so; default: your login.")
    ] = None,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
) -> None:
    """Say that silent gateways are dead and not cut off, so that no rollback asks after them.

    Only who has looked can know: a gateway that the store does not hear serves on by the row that it knew. What you say
    holds until that process says anything again.
    """
    from midshift.cli import dead, project, rollback

    target = project.Target(config, env, store)
    raise typer.Exit(dead.say_dead(target, gateways, who or rollback.login(), why))


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
