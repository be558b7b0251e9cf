"""Arguments and options that several commands share: one name, one help, one meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the log (midshift upgrade log).")]
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
