"""The files as types: `midshift.yaml`, a variant file, and the edits of a prompt.

One place says what a field is called, what it may hold and what it means: the reader, its messages, the JSON Schema
for editors and the reference all come from here. `title` says what is expected, `examples` what could be typed.
Elsewhere: what single values look like (values), providers (provider_documents), what they mean together (assemble).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from midshift.config.provider_documents import Provider, ProviderHere
from midshift.config.values import (
    Address,
    Amount,
    BodyPath,
    Day,
    Document,
    Duration,
    FilePath,
    FunctionName,
    HeaderName,
    Language,
    ModelId,
    ModelPath,
    Name,
    Percent,
    Points,
    SecretReference,
    SliceName,
    UnitText,
    Word,
)
from midshift.domain.suite import SliceRole
from midshift.domain.variant import PromptMode
from midshift.domain.workload import Cycle, Redaction, Stakes


class When(Document, frozen=True, kw_only=True):
    """Which requests fall into a slice: exactly one of header, body and language."""

    header: Annotated[HeaderName | UnsetType, Meta(description="Name of a request header; goes with `equals`.")] = UNSET
    body: Annotated[
        BodyPath | UnsetType,
        Meta(description="Dotted path in the request's JSON body, such as `metadata.tier`; goes with `equals`."),
    ] = UNSET
    equals: Annotated[
        str | int | float | bool | UnsetType,
        Meta(
            description="The value that the header or body field must have, exactly. Quote a number that is text.",
            examples=["escalation"],
        ),
    ] = UNSET
    language: Annotated[
        Language | UnsetType,
        Meta(description="BCP 47 tag of the language that the user writes in, such as `de`."),
    ] = UNSET


class Slice(Document, frozen=True, kw_only=True):
    """A part of the traffic that is judged on its own."""

    when: Annotated[
        When | UnsetType,
        Meta(
            description="Which requests fall into it. Without it, the app says so itself in `x-midshift-slice`.",
            examples=[{"language": "de"}],
        ),
    ] = UNSET
    role: Annotated[
        SliceRole,
        Meta(description="`critical`: an upgrade waits for it. `watch`: it is shown and does not gate."),
    ] = SliceRole.CRITICAL
    margin: Annotated[
        Points | UnsetType,
        Meta(
            description="Its own largest drop that still counts as not worse; without it, `upgrade.margin`.",
            examples=["3pt"],
        ),
    ] = UNSET


class Ring(Document, frozen=True, kw_only=True):
    """People who get a candidate before everybody else, and are in no comparison."""

    when: Annotated[
        When | UnsetType,
        Meta(
            description="Whose requests are in it, by header or body. Without it, apps name it in `x-midshift-ring`.",
            examples=[{"header": "x-staff", "equals": "yes"}],
        ),
    ] = UNSET


class Approval(Document, frozen=True, kw_only=True):
    """A named yes that a step waits for."""

    role: Annotated[Word, Meta(description="Who says yes, such as `legal`.")]
    slice: Annotated[
        SliceName | UnsetType, Meta(description="The slice whose outputs they look at; without it, all.")
    ] = UNSET


class Halt(Document, frozen=True, kw_only=True):
    """How much harm, once it is proven, stops the candidate."""

    eval: Annotated[Points, Meta(description="Drop of an eval score.")] = "2pt"
    satisfaction: Annotated[
        float,
        Meta(gt=0, title="a number above 0", description="Drop of satisfaction, in its own unit.", examples=[0.5]),
    ] = 0.5
    error_rate: Annotated[Points, Meta(description="Rise of the error rate, in points of all requests.")] = "1pt"


class Upgrade(Document, frozen=True, kw_only=True):
    """How an upgrade of the workload goes."""

    steps: Annotated[
        tuple[Percent, ...],
        Meta(
            min_length=2,
            max_length=20,
            description="Shares of users that the candidate serves, rising to 100%.",
            examples=[["1%", "5%", "25%", "100%"]],
        ),
    ] = ("1%", "5%", "25%", "100%")
    holds: Annotated[
        tuple[Duration, ...],
        Meta(
            min_length=1,
            max_length=19,
            description="How long each step but the last is held: at least `24h`; of a weekly workload, `7d` at 25%.",
            examples=[["2d", "4d", "7d"]],
        ),
    ] = ("2d", "4d", "7d")
    margin: Annotated[Points, Meta(description="The largest drop of a score that still counts as not worse.")] = "2pt"
    shadow: Annotated[
        Duration | UnsetType,
        Meta(
            description="How long the candidate answers unseen: at least `7d`. Default by stakes: 1, 2 or 4 weeks.",
            examples=["2w"],
        ),
    ] = UNSET
    soak: Annotated[
        Duration,
        Meta(description="How long the way back stays open after 100%: at least `14d`.", examples=["2w"]),
    ] = "2w"
    noise: Annotated[
        Percent,
        Meta(
            description="The share of shadowed requests that the incumbent answers twice: how it differs from itself.",
            examples=["5%"],
        ),
    ] = "2%"
    pairs: Annotated[
        Percent,
        Meta(
            description="The share of requests in canary and soak that the other variant answers as well, unseen.",
            examples=["2%"],
        ),
    ] = "1%"
    rings: Annotated[
        dict[Name, Ring],
        Meta(
            description="People who get the candidate from the first step on. With them, steps may begin with `0%`.",
            examples=[{"staff": {"when": {"header": "x-staff", "equals": "yes"}}}],
        ),
    ] = {}
    approvals: Annotated[
        dict[Percent, Annotated[tuple[Approval, ...], Meta(min_length=1, examples=[[{"role": "legal"}]])]],
        Meta(
            description="By step, the approvals that it waits for.",
            examples=[{"25%": [{"role": "legal", "slice": "escalations"}]}],
        ),
    ] = {}
    halt: Annotated[Halt, Meta(description="How much proven harm stops the candidate.", examples=[{"eval": "2pt"}])] = (
        Halt()
    )


class Budgets(Document, frozen=True, kw_only=True):
    """What an answer may take."""

    p99_latency_ms: Annotated[
        Amount | UnsetType, Meta(description="The latency that 99 of 100 answers stay under, in milliseconds.")
    ] = UNSET
    cost_per_call_usd: Annotated[
        Amount | UnsetType, Meta(description="Mean cost of a call, in US dollars.", examples=[0.012])
    ] = UNSET


class Capture(Document, frozen=True, kw_only=True):
    """Which full texts are kept."""

    texts: Annotated[Percent, Meta(description="The share of requests whose texts are kept.")]
    keep: Annotated[Duration, Meta(description="How long they are kept.", examples=["14d"])]
    redact: Annotated[
        tuple[Redaction, ...], Meta(description="What is blacked out before anything is kept.", examples=[["email"]])
    ] = ()


class Data(Document, frozen=True, kw_only=True):
    """Where the workload's data may go."""

    vendors: Annotated[
        tuple[Name, ...],
        Meta(
            description="Providers that may see it without a named approval. Default: the incumbent's only.",
            examples=[["anthropic"]],
        ),
    ] = ()
    regions: Annotated[
        tuple[Word, ...], Meta(description="Regions that it may go to. Default: nothing said.", examples=[["eu"]])
    ] = ()
    capture: Annotated[
        Capture | UnsetType,
        Meta(
            description="Which full texts are kept, and how long. Default: none.",
            examples=[{"texts": "5%", "keep": "14d"}],
        ),
    ] = UNSET


class Workload(Document, frozen=True, kw_only=True):
    """One job that the product gives a model."""

    claims: Annotated[
        tuple[ModelId, ...],
        Meta(
            min_length=1,
            description="Model ids that the app already sends; a request that names one belongs to this workload.",
            examples=[["claude-3-7-sonnet-20250219"]],
        ),
    ]
    incumbent: Annotated[
        FilePath,
        Meta(
            description="Variant file of what serves today. Changes only through an upgrade, by `midshift sync`.",
            examples=["variants/sonnet-3-7.yaml"],
        ),
    ]
    slices: Annotated[
        dict[SliceName, Slice],
        Meta(
            min_length=1,
            description="The parts that are judged on their own: one name for suite, traffic, gates and reports.",
            examples=[{"german": {"when": {"language": "de"}}}],
        ),
    ]
    unit: Annotated[
        tuple[UnitText, ...],
        Meta(
            description="What keeps the same variant: the first that a request has. None: each request by itself.",
            examples=[["header:x-user-id", "conversation"]],
        ),
    ] = ()
    cycle: Annotated[Cycle, Meta(description="The rhythm of the traffic, which holds have to cover.")] = Cycle.WEEKLY
    stakes: Annotated[
        Stakes, Meta(description="What a bad answer costs. Sets the weeks in shadow: low 1, normal 2, high 4.")
    ] = Stakes.NORMAL
    safe_harbour: Annotated[
        FilePath | UnsetType,
        Meta(
            description="Variant file to fall back on when the incumbent itself is gone.",
            examples=["variants/haiku-4-5.yaml"],
        ),
    ] = UNSET
    suite: Annotated[
        FilePath | UnsetType,
        Meta(
            description="The eval suite (`.jsonl` of cases, or `.yaml`). Without one, no upgrade.",
            examples=["suites/support.jsonl"],
        ),
    ] = UNSET
    upgrade: Annotated[
        Upgrade, Meta(description="How an upgrade of this workload goes.", examples=[{"margin": "2pt"}])
    ] = Upgrade()
    budgets: Annotated[Budgets, Meta(description="What an answer may take.", examples=[{"p99_latency_ms": 9000}])] = (
        Budgets()
    )
    data: Annotated[
        Data, Meta(description="Where its data may go, and what is kept.", examples=[{"regions": ["eu"]}])
    ] = Data()
    runbook: Annotated[
        FilePath | UnsetType,
        Meta(
            description="What the person on call reads; it must name `midshift rollback WORKLOAD`.",
            examples=["docs/oncall.md"],
        ),
    ] = UNSET


class Environment(Document, frozen=True, kw_only=True):
    """A place where it all runs."""

    store: Annotated[SecretReference, Meta(description="Where the address of the store's database is kept.")]
    gateways: Annotated[
        tuple[Address, ...],
        Meta(description="The gateways, each as its own address.", examples=[["http://gateway-1:8080"]]),
    ] = ()
    providers: Annotated[
        dict[Name, ProviderHere],
        Meta(
            description="By provider, the address and keys that are different here.",
            examples=[{"anthropic": {"key": "env:STAGING_ANTHROPIC_KEY"}}],
        ),
    ] = {}


class Midshift(Document, frozen=True, kw_only=True):
    """`midshift.yaml`."""

    version: Annotated[Literal[1], Meta(description="Version of the format.", examples=[1])]
    workloads: Annotated[
        dict[Name, Workload],
        Meta(min_length=1, description="The workloads by name.", examples=[{"support-reply": {}}]),
    ]
    providers: Annotated[
        dict[Name, Provider],
        Meta(
            description="The providers by name. Most known vendors need no entry: their name and key variable will do.",
            examples=[{"my-host": {"vendor": "openai_compatible", "base_url": "https://vllm.internal:8000/v1"}}],
        ),
    ] = {}
    environments: Annotated[
        dict[Name, Environment],
        Meta(description="The environments by name.", examples=[{"production": {"store": "env:MIDSHIFT_DB"}}]),
    ] = {}
    retirements: Annotated[
        dict[ModelPath, Day],
        Meta(
            description=(
                "Shutdown dates that you know better than vendor and catalogue, by provider and model; "
                "`midshift radar` shows both."
            ),
            examples=[{"anthropic/claude-sonnet-4-6": "2027-01-31"}],
        ),
    ] = {}
    graders: Annotated[
        tuple[FunctionName, ...],
        Meta(
            max_length=100,
            description=(
                "Python functions that suites may grade with (`type: python`), as MODULE:FUNCTION. They run with your "
                "rights, so no suite can name another one."
            ),
            examples=[["shop.graders:is_polite"]],
        ),
    ] = ()


class Prompt(Document, frozen=True, kw_only=True):
    """How the system prompt is made from the one that the app sends."""

    mode: Annotated[
        PromptMode,
        Meta(
            description=(
                "`keep`: the app's text. `edit`: the app's text after the edits in `file`. `replace`: the text of "
                "`file`. `template`: the text of `file`, its `{{variables}}` filled in from the request."
            )
        ),
    ] = PromptMode.KEEP
    file: Annotated[
        FilePath | UnsetType,
        Meta(
            description="The text or the edits, for every mode but `keep`. A new text is a new file.",
            examples=["../prompts/support-reply.v2.md"],
        ),
    ] = UNSET


class Variant(Document, frozen=True, kw_only=True):
    """A variant file: what answers."""

    provider: Annotated[
        Name,
        Meta(description="A provider of midshift.yaml, or a vendor that midshift knows.", examples=["anthropic"]),
    ]
    model: Annotated[
        ModelId,
        Meta(description="The model's id at that vendor, pinned to a snapshot.", examples=["claude-sonnet-4-6"]),
    ]
    effort: Annotated[
        Word | UnsetType,
        Meta(
            description="Reasoning effort. Without it, what the app sends or else the provider's default.",
            examples=["low"],
        ),
    ] = UNSET
    prompt: Annotated[
        Prompt, Meta(description="The system prompt. Default: the app's own.", examples=[{"mode": "keep"}])
    ] = Prompt()
    params: Annotated[
        dict[str, Any],
        Meta(
            description=(
                "Request fields that are pinned, as plain JSON. `drop: [NAME, ...]` takes fields out of the request; "
                "`set: {NAME: VALUE}` is the same as naming them directly; `clamp: {NAME: [LOW, HIGH]}` holds a number "
                "that the app sends within bounds, and `effort` likewise."
            ),
            examples=[{"drop": ["temperature"]}],
        ),
    ] = {}


Text: TypeAlias = Annotated[str, Meta(min_length=1, title="a text that is not empty", examples=["A text."])]


class Edit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"by": "with"}):
    """One edit of the app's prompt: a replacement, or something to append."""

    replace: Annotated[Text | UnsetType, Meta(description="A text of the app's prompt; goes with `with`.")] = UNSET
    by: Annotated[str | UnsetType, Meta(description="What stands in its place; may be empty.", examples=[""])] = UNSET
    append: Annotated[Text | UnsetType, Meta(description="A text to add at the end.")] = UNSET


Edits: TypeAlias = Annotated[
    tuple[Edit, ...],
    Meta(min_length=1, max_length=100, title="a list of edits", examples=[[{"append": "Answer in English."}]]),
]
