"""What kind of id a model's id is: does it stay what it is, or does its vendor point it elsewhere one day?

Owns the grammar of pins. The rules are data (`data/pins.json`): per vendor an ordered list of regular expressions, the
first that matches wins, and one may hand a part of the id on to another vendor's rules (Bedrock's
`us.anthropic.claude-...`). Every rule says where it was read and how well that is known. An id that no rule matches is
`UNKNOWN`, which is treated as floating and never as pinned. Any text is classified, in time linear in its length.
Elsewhere: asking a vendor what an alias stands for (resolving), the override at the start of an upgrade (cli).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources

import msgspec

from midshift.domain.variant import Json, Variant
from midshift.errors import InputError
from midshift.providers import catalogue

FORMAT = "midshift.pins/1"

_MOST_HOPS = 4
_DATED = re.compile(r"[-@]20\d\d-?\d\d-?\d\d(?:-v\d+(?::\d+)?)?|-\d{4}", re.ASCII)


class PinClass(StrEnum):
    """How firmly an id names one model.

    `WEIGHTS` and `HOST_FLOATING` are one family: the weights are fixed and the server is not. With the first it is
    one host that may change its stack, with the second the host itself may be another one at each call.
    """

    PINNED = "pinned"
    SELF = "self"
    FLOATING = "floating"
    PREVIEW = "preview"
    WEIGHTS = "weights"
    HOST_FLOATING = "host_floating"
    OPAQUE = "opaque"
    UNKNOWN = "unknown"


class Evidence(StrEnum):
    """How well a rule is known."""

    DOCUMENTED = "documented"
    PACKAGE = "package"
    BY_DEFINITION = "by_definition"
    NOT_VERIFIED = "not_verified"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a class allows. `is_firm`: it may be the incumbent or the candidate of an upgrade without an override."""

    is_firm: bool
    words: str


@dataclass(frozen=True, slots=True)
class Pin:
    """What is known about an id. `pinned_as` is the pin that its vendor documents for it, if it documents one."""

    cls: PinClass
    why: str
    rule: str | None = None
    pinned_as: str | None = None
    source: str = ""
    evidence: Evidence = Evidence.NOT_VERIFIED


class Rule(msgspec.Struct, kw_only=True, frozen=True):
    """One line of the grammar: it gives a class, or hands the group `id` on to the rules of the vendor `as_`.

    `matches` are ids that this rule decides, `not_` are ids that it must leave to others; a test holds it to both.
    """

    name: str
    regex: str
    why: str
    source: str
    evidence: Evidence
    cls: PinClass | None = msgspec.field(name="class", default=None)
    as_: str | None = msgspec.field(name="as", default=None)
    matches: tuple[str, ...] = ()
    not_: tuple[str, ...] = msgspec.field(name="not", default=())


class Vendor(msgspec.Struct, kw_only=True, frozen=True):
    """The rules of one vendor, in order. `also` are other names of it, `stands_for` the aliases that it documents."""

    says: str
    rules: tuple[Rule, ...]
    also: tuple[str, ...] = ()
    stands_for: dict[str, str] = {}


class _File(msgspec.Struct, kw_only=True):
    format: str
    taken_on: date
    vendors: dict[str, Vendor]


@dataclass(frozen=True, slots=True)
class Grammar:
    """The rules of all vendors, by the vendor's name, as of `taken_on`."""

    taken_on: date
    vendors: Mapping[str, Vendor]
    _names: Mapping[str, str] = field(repr=False)
    _compiled: Mapping[str, tuple[tuple[Rule, re.Pattern[str]], ...]] = field(repr=False)

    def vendor_of(self, provider: str) -> str | None:
        """The vendor whose rules hold for a provider; None for a provider that nobody wrote rules for."""
        return self._names.get(provider)

    def classify(self, provider: str, model: str) -> Pin:
        """The class of an id, and why. See `classify`."""
        vendor = self.vendor_of(provider)
        if vendor is None:
            why = f"there are no rules for the provider {provider!r}, so the id is treated as floating"
            return Pin(PinClass.UNKNOWN, why, evidence=Evidence.BY_DEFINITION)
        if not model or not model.isprintable() or any(sign.isspace() for sign in model):
            why = "no model has an id with spaces or unprintable signs in it, or none at all; treated as floating"
            return Pin(PinClass.UNKNOWN, why, evidence=Evidence.BY_DEFINITION)
        return self._first(vendor, model, _MOST_HOPS)

    def _first(self, vendor: str, model: str, hops: int) -> Pin:
        for rule, pattern in self._compiled[vendor]:
            found = pattern.search(model)
            if found is None:
                continue
            if rule.as_ is not None:
                return self._handed_on(rule.as_, found["id"], vendor, rule, hops)
            assert rule.cls is not None, rule
            stands_for = self.vendors[vendor].stands_for.get(model)
            return Pin(rule.cls, rule.why, f"{vendor}.{rule.name}", stands_for, rule.source, rule.evidence)
        return Pin(PinClass.UNKNOWN, f"no rule for {vendor} knows this id, so it is treated as floating")

    def _handed_on(self, to: str, part: str, vendor: str, rule: Rule, hops: int) -> Pin:
        if hops == 0:
            return Pin(PinClass.UNKNOWN, "its prefixes have no end, so it is treated as floating")
        found = self._first(to, part, hops - 1)
        if found.rule is None:
            return found
        # A pin of another vendor's is no id here: Bedrock's has a prefix and a version, Vertex's an @.
        return replace(found, rule=f"{vendor}.{rule.name} > {found.rule}", pinned_as=None)


def read(content: bytes) -> Grammar:
    """Read a file of rules.

    Raises:
        InputError: if it is not one, or a rule neither classifies nor hands on to a vendor that is there.
    """
    try:
        found = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"these are no rules of pins: {error}") from None
    if found.format != FORMAT:
        raise InputError(f"these rules have the format {found.format!r}, expected {FORMAT!r}")
    names = {also: name for name, vendor in found.vendors.items() for also in (name, *vendor.also)}
    compiled = {
        name: tuple((rule, _compiled(name, rule, found.vendors)) for rule in vendor.rules)
        for name, vendor in found.vendors.items()
    }
    return Grammar(found.taken_on, found.vendors, names, compiled)


@cache
def bundled() -> Grammar:
    """The rules that come with this version of midshift."""
    return read((resources.files("midshift.providers") / "data" / "pins.json").read_bytes())


def classify(provider: str, model: str) -> Pin:
    """The class of a model's id at a provider, by the bundled rules. Never raises, whatever the texts are."""
    return bundled().classify(provider, model)


def classify_variant(variant: Variant, vendor: str | None = None) -> Pin:
    """The class of what a variant asks for: at a host of hosts, its parameters may pin the host.

    `vendor` is whose rules hold, where the provider's name does not say so.

    OpenRouter serves from one host alone if the request says `provider: {only: [HOST], allow_fallbacks: false}`; then
    the id is what it would be at the author of the model, and open weights where the author has no rules here.
    """
    found = classify(vendor or variant.provider, variant.model)
    if found.cls is not PinClass.HOST_FLOATING or (host := _only_host(variant.parameters.get("provider"))) is None:
        return found
    author, _, rest = variant.model.partition("/")
    maker = bundled().vendor_of(author)
    if maker is None:
        why = f"the weights are fixed, and the parameters name {host!r} as the only host"
        return replace(found, cls=PinClass.WEIGHTS, why=why)
    name = rest.partition(":")[0]
    inner = classify(maker, name.replace(".", "-") if maker == "anthropic" else name)
    return replace(inner, why=f"the parameters name {host!r} as the only host, and there: {inner.why}", pinned_as=None)


def policy(cls: PinClass) -> Policy:
    """What an id of this class may be in an upgrade."""
    match cls:
        case PinClass.PINNED:
            return Policy(True, "stays what it is")
        case PinClass.SELF:
            return Policy(True, "has no other form; treated as pinned, and what the answers name is watched")
        case PinClass.WEIGHTS:
            return Policy(True, "fixed weights; what the answers name is watched, for the server may change")
        case PinClass.OPAQUE:
            return Policy(False, "ask the control plane (midshift models --live), or override it by name and reason")
        case _:
            return Policy(False, "needs an override by name and reason, and goes no further than shadow with it")


def pins_for(provider: str, model: str, known: catalogue.Catalogue) -> tuple[str, ...]:
    """The pins to use in place of an id: the one that its vendor documents, or those that a catalogue has.

    A catalogue has ids that are this id with a date behind. Of several, which one it stands for today only the vendor
    knows; see `resolving`.
    """
    found = classify(provider, model)
    if found.pinned_as is not None:
        return (found.pinned_as,)
    vendor, base = bundled().vendor_of(provider), model.removesuffix("-latest")
    return tuple(
        entry.model
        for entry in known
        if entry.provider == vendor
        and entry.model.startswith(base)
        and _DATED.fullmatch(entry.model[len(base) :])
        and classify(provider, entry.model).cls is PinClass.PINNED
    )


def _compiled(vendor: str, rule: Rule, vendors: Mapping[str, Vendor]) -> re.Pattern[str]:
    place = f"rule {vendor}.{rule.name}"
    try:
        # `\Z` is the end; `$` would also match before a line feed at the end.
        pattern = re.compile(rule.regex.replace("$", r"\Z"), re.ASCII)
    except re.error as error:
        raise InputError(f"{place}: {rule.regex!r} is no regular expression: {error}") from None
    if (rule.cls is None) == (rule.as_ is None):
        raise InputError(f"{place}: expected either a class or `as`, got both or none")
    if rule.as_ is not None and (rule.as_ not in vendors or "id" not in pattern.groupindex):
        raise InputError(f"{place}: hands on to {rule.as_!r}, expected a vendor that is here and a group `id`")
    return pattern


def _only_host(found: Json) -> str | None:
    """The one host that a request to OpenRouter names, if it allows no other."""
    match found:
        case {"only": (str(host),), "allow_fallbacks": False}:
            return host
        case _:
            return None
