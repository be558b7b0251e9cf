"""The providers of the files as types: where models answer, and where keys are kept.

Elsewhere: the other documents (documents), what the values mean together (providers).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import UNSET, Meta, UnsetType

from midshift.config.values import HIDDEN, Document, HeaderName, Name, SecretReference, Word
from midshift.providers.auth import Auth
from midshift.wire.protocol import WireName

BaseUrl: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^https?://([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]{0,200})?$",
        title="http:// or https://, a host, and a port and a path if need be; without a query or a password",
        examples=["https://vllm.internal:8000/v1"],
        extra={"withhold": "[@?=]"},  # a user, a password, a token
    ),
]
HeaderValue: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,500}[\x21-\x7e])?$",
        title="a header's value in ASCII",
        examples=["2023-06-01"],
    ),
]
Resource: TypeAlias = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$", title="the name of a resource", examples=["acme-eu"])
]
Project: TypeAlias = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]{0,62}$", title="a project's id", examples=["acme-prod"])
]
HostPath: TypeAlias = Annotated[
    str,
    Meta(
        pattern=rf"^[^{HIDDEN}\\~\s][^{HIDDEN}\\]{{0,300}}$",
        title="the path of a file on the machine that calls",
        examples=["/etc/ssl/internal-ca.pem"],
    ),
]
Seconds: TypeAlias = Annotated[float, Meta(gt=0, le=86400, title="seconds, above 0 and at most 86400", examples=[60])]


class StreamUsage(StrEnum):
    """Whether streams are asked for their usage."""

    ASK = "ask"
    NEVER = "never"


class Timeouts(Document, frozen=True, kw_only=True):
    """How long a provider may take."""

    connect_s: Annotated[Seconds, Meta(description="Until there is a connection.", examples=[5])] = 5.0
    first_byte_s: Annotated[Seconds, Meta(description="Until a stream begins.")] = 60.0
    idle_s: Annotated[Seconds, Meta(description="Between two pieces of a stream.")] = 60.0
    total_s: Annotated[
        Seconds, Meta(description="Until the answer is whole; what is not streamed has this alone.", examples=[600])
    ] = 600.0


class Provider(Document, frozen=True, kw_only=True):
    """Where models answer, and where the key is kept."""

    vendor: Annotated[
        Name | UnsetType,
        Meta(
            description="The vendor whose preset it takes, or `openai_compatible`. Default: the provider's own name.",
            examples=["openai_compatible"],
        ),
    ] = UNSET
    base_url: Annotated[
        BaseUrl | UnsetType,
        Meta(description="Its address, up to where the vendor's paths begin. Default: the vendor's own."),
    ] = UNSET
    key: Annotated[
        SecretReference | UnsetType,
        Meta(
            description="Where the key is kept. Default: the vendor's own variable, at the vendor's own address only.",
            examples=["env:ANTHROPIC_API_KEY"],
        ),
    ] = UNSET
    shadow_key: Annotated[
        SecretReference | UnsetType,
        Meta(
            description="A key for mirrored requests, so that they spend a quota of their own. Default: the same.",
            examples=["env:ANTHROPIC_SHADOW_KEY"],
        ),
    ] = UNSET
    region: Annotated[
        Word | UnsetType,
        Meta(
            description="Where it handles data, as the contract has it: held against a workload's `data.regions`.",
            examples=["eu"],
        ),
    ] = UNSET
    resource: Annotated[Resource | UnsetType, Meta(description="The name in an Azure address.")] = UNSET
    project: Annotated[Project | UnsetType, Meta(description="The project in a Vertex AI address.")] = UNSET
    wires: Annotated[
        tuple[WireName, ...],
        Meta(
            max_length=4,
            description="The wires that it speaks, its own first. Default: the vendor's.",
            examples=[["openai_chat"]],
        ),
    ] = ()
    auth: Annotated[Auth | UnsetType, Meta(description="The header that carries the key. Default: the vendor's.")] = (
        UNSET
    )
    headers: Annotated[
        dict[HeaderName, HeaderValue],
        Meta(
            description="Headers for requests that have none of that name. No keys.",
            examples=[{"anthropic-version": "2023-06-01"}],
        ),
    ] = {}
    timeouts: Annotated[Timeouts, Meta(description="How long it may take.", examples=[{"first_byte_s": 120}])] = (
        Timeouts()
    )
    max_connections: Annotated[
        float,
        Meta(
            gt=0,
            le=100_000,
            title="a number from 1 to 100000",
            description="The most connections at a time.",
            examples=[1000],
        ),
    ] = 1000
    ca_file: Annotated[
        HostPath | UnsetType,
        Meta(description="Certificates to trust, a file on the gateway's machine. Default: the system's."),
    ] = UNSET
    stream_usage: Annotated[
        StreamUsage | UnsetType,
        Meta(
            description="`never` for a server that refuses `stream_options`, else `ask`. Default: the vendor's.",
        ),
    ] = UNSET


class ProviderHere(Document, frozen=True, kw_only=True):
    """What is different about a provider in one environment."""

    base_url: Annotated[BaseUrl | UnsetType, Meta(description="Its address here.")] = UNSET
    key: Annotated[SecretReference | UnsetType, Meta(description="Where its key is kept here.")] = UNSET
    shadow_key: Annotated[SecretReference | UnsetType, Meta(description="Where its shadow key is kept here.")] = UNSET


class StoredProviders(Document, frozen=True, kw_only=True):
    """The providers that a store keeps."""

    providers: dict[Name, Provider]
