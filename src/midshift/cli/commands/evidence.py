"""What an eval buys and what can be made of it: evals, re-tuning, judges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midshift.cli.commands.options import (
    CONFIG,
    STATE,
    AllowUnknownCost,
    ApproveData,
    AsJson,
    Concurrency,
    Config,
    EventsTo,
    FloatingJudge,
    GraderName,
    JudgeFile,
    MaxUsd,
    PlannedLooks,
    PriceFile,
    RebuyUnknown,
    RequestsAMinute,
    SkipUnknown,
    State,
    Streamed,
    TokensAMinute,
    Workload,
)

app = typer.Typer()
judge_app = typer.Typer(help="Hold judges against people.", no_args_is_help=True)


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
