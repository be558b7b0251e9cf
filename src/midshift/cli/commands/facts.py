"""What is known before a token is spent: models, prices, retirements, requests."""

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
    PriceFile,
    State,
    Store,
)

app = typer.Typer()
models_app = typer.Typer(help="What kind of id each model has, and the pin to use.", invoke_without_command=True)
prices_app = typer.Typer(help="What models cost, and who says so.", no_args_is_help=True)


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
