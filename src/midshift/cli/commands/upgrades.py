"""One upgrade: begin it, see where it stands, have your say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midshift.cli.commands.options import (
    CONFIG,
    STATE,
    AllowFloating,
    ApproveData,
    AsJson,
    Config,
    Env,
    EventsTo,
    FloatingJudge,
    JudgeFile,
    MaxUsd,
    MaybeWorkload,
    PlannedLooks,
    RebuyUnknown,
    SkipUnknown,
    State,
    Store,
    Streamed,
    Who,
    Why,
    Workload,
)

upgrade_app = typer.Typer(help="Begin an upgrade, see where it stands, have your say.", no_args_is_help=True)


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
    from midshift.cli import project, standing

    target = project.Target(config, env, store)
    raise typer.Exit(standing.status(target, workload, state, watch=watch, as_json=as_json))


@upgrade_app.command("log")
def upgrade_log(
    workload: Workload,
    upgrade: Annotated[
        str | None, typer.Option("--upgrade", metavar="ID", help="Which of its upgrades; default: the newest.")
    ] = None,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """What happened to an upgrade: when, who said so, what, and why."""
    from midshift.cli import project, upgrade_log

    raise typer.Exit(upgrade_log.log(project.Target(config, env, store), workload, upgrade, as_json))


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
        str,
        typer.Argument(
            metavar="WHAT",
            help="A slice's name; drift:KIND[:METRIC]; 'budget:cost per call' or 'budget:p99 latency'; coverage; "
            "shadow (its clock, coverage and unknown budgets, and nothing that was shown); pins:canary (a model that "
            "may change); of an eval that failed and was forced: '*' (all cases together), G7, G8.",
        ),
    ],
    who: Who,
    why: Why,
    config: Config = CONFIG,
    env: Env = None,
    store: Store = None,
    state: State = STATE,
) -> None:
    """Open a gate by name and reason: both stay in the log (midshift upgrade log)."""
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
