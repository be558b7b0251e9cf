"""The processes: a controller, and gateways."""

from __future__ import annotations

from typing import Annotated

import typer

from midshift.cli.commands.options import (
    CONFIG,
    STATE,
    Config,
    Env,
    State,
    Store,
)

serve_app = typer.Typer(help="The processes: a controller, and gateways.", no_args_is_help=True)


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
    name: Annotated[str, typer.Option(metavar="NAME", help="Its name; a second gateway of that name is refused.")],
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
    from midshift.cli import gateway_settings, limits, project, serve

    said = limits.SaidLimits(max_in_flight, max_in_flight_per_workload, max_held_mb, max_connections)
    options = gateway_settings.GatewayOptions(state, name, host, port, admin_port, shadow_budget, said)
    raise typer.Exit(serve.gateway(project.Target(config, env, store), options))
