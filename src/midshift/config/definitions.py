"""What the files of a product define, as values: workloads with their plans and variants, and environments.

Equal files give equal values and equal hashes, whatever their comments, layout or order.
Elsewhere: reading (assemble), writing (dumping).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType
from typing import TypeAlias

from midshift.config import entries
from midshift.config.problems import Place
from midshift.domain.plan import Plan
from midshift.domain.retirement import ModelName
from midshift.domain.variant import Variant
from midshift.domain.workload import Workload
from midshift.providers.definition import Provider, of_preset
from midshift.providers.secrets import SecretKind as SecretKind
from midshift.providers.secrets import SecretRef as SecretRef

MAIN = "midshift.yaml"
"""The name of the file that everything starts from."""


@dataclass(frozen=True, slots=True)
class ProviderHere:
    """What is different about a provider in one environment; None for what is not."""

    base_url: str | None = None
    key: SecretRef | None = None
    shadow_key: SecretRef | None = None

    def of(self, provider: Provider) -> Provider:
        """The provider as it is here."""
        return replace(
            provider,
            base_url=self.base_url or provider.base_url,
            key=self.key or provider.key,
            shadow_key=self.shadow_key or provider.shadow_key,
        )


@dataclass(frozen=True, slots=True)
class Environment:
    """A place where it all runs: the secret that says where the store is, and the gateways' addresses."""

    name: str
    store: SecretRef
    gateways: tuple[str, ...] = ()
    providers: Mapping[str, ProviderHere] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VariantFile:
    """A variant, and the files that it was written in."""

    path: str
    variant: Variant
    prompt_path: str | None = None


@dataclass(frozen=True, slots=True)
class SuiteFacts:
    """What a suite file holds, as far as its slices go. `trouble` says why it could not be looked into."""

    cases: int = 0
    slices: Mapping[str, int] = field(default_factory=dict)
    sliceless: int = 0
    unreadable: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Definition:
    """A workload with its plan and the files that belong to it.

    `places` (by dotted field), `suite` and `runbook` are what was found beside it: no part of what is defined.
    `suite` and `runbook` are None where the file is not there.
    """

    workload: Workload
    plan: Plan
    incumbent: VariantFile
    safe_harbour: VariantFile | None = None
    suite_path: str | None = None
    runbook_path: str | None = None
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)
    suite: SuiteFacts | None = field(default=None, compare=False, repr=False)
    runbook: str | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The workload's name."""
        return self.workload.name

    @property
    def variants(self) -> tuple[VariantFile, ...]:
        """What may serve without an upgrade: the incumbent, and the safe harbour if there is one."""
        return (self.incumbent,) if self.safe_harbour is None else (self.incumbent, self.safe_harbour)

    @property
    def entry(self) -> entries.Plain:
        """Its entry in the main file, in plain form."""
        safe_harbour = self.safe_harbour.path if self.safe_harbour else None
        return self._entry(self.incumbent.path, safe_harbour)

    @property
    def definition_hash(self) -> str:
        """SHA-256 of what is defined, variants by their own hash: the same wherever a variant's file lies."""
        safe_harbour = self.safe_harbour.variant.id if self.safe_harbour else None
        return entries.digest(self.name, self._entry(self.incumbent.variant.id, safe_harbour))

    def _entry(self, incumbent: str, safe_harbour: str | None) -> entries.Plain:
        return entries.entry(self.workload, self.plan, incumbent, safe_harbour, self.suite_path, self.runbook_path)

    def place(self, name: str = "") -> Place:
        """Where a field stands; where the workload stands, if the field was left out."""
        return self.places.get(name) or self.places.get("") or Place(MAIN)


@dataclass(frozen=True, slots=True)
class Definitions:
    """Everything that a product's files define: definitions by workload, environments and providers by name.

    `retirements` are shutdown dates that the user knows, by model. `graders` are the Python functions that suites may
    name, in the order of their names. `provider_places` is where a provider's address stands, or its name.
    """

    workloads: Mapping[str, Definition]
    environments: Mapping[str, Environment] = field(default_factory=dict)
    retirements: Mapping[ModelName, date] = field(default_factory=dict)
    providers: Mapping[str, Provider] = field(default_factory=dict)
    graders: tuple[str, ...] = ()
    provider_places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)

    def provider(self, name: str) -> Provider | None:
        """A provider that is defined, or the known vendor of that name; None if it is neither."""
        return self.providers.get(name) or of_preset(name)

    def in_environment(self, name: str) -> Definitions:
        """The same with its providers as one environment has them."""
        here = self.environments[name].providers if name in self.environments else {}
        known = {item: self.provider(item) for item in here}
        changed = {item: here[item].of(provider) for item, provider in known.items() if provider is not None}
        return replace(self, providers=MappingProxyType(dict(sorted({**self.providers, **changed}.items()))))

    def __iter__(self) -> Iterator[Definition]:
        return iter(self.workloads.values())

    @property
    def variants(self) -> Mapping[str, Variant]:
        """Every variant that a workload names, by its id."""
        return {file.variant.id: file.variant for definition in self for file in definition.variants}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that is there and cannot be read as text, and why."""

    found: str
    expected: str
    type_next: str
    line: int = 1
    column: int = 1


Source: TypeAlias = str | Unreadable


def beside(owner: str, path: str) -> str | None:
    """A path as `owner` names it, from the folder of the main file; None if it leads out of that folder."""
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(owner), path))
    return None if joined.startswith(("../", "/")) or joined == ".." else joined


def relative(owner: str, path: str) -> str:
    """How `owner` names a path from the folder of the main file: the other way of `beside`."""
    return posixpath.relpath(path, posixpath.dirname(owner) or ".")
