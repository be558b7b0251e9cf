"""Whether the models of an upgrade stay what they are, and the override by name and reason where they do not.

Elsewhere: the classes (providers.pins), what an override leaves open (controller.decide), the table (models).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from midshift import config
from midshift.domain.variant import Variant
from midshift.errors import ConfigError, UsageError
from midshift.ports import Clock, Http
from midshift.providers import catalogue, pins, resolving
from midshift.providers.lifecycle.answers import Access
from midshift.providers.pins import Pin, PinClass
from midshift.reports.text import visible

_MOST_PINS = 4


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two variants of an upgrade: the vendor whose rules hold, its class, and what its vendor answered."""

    role: str
    variant: Variant
    vendor: str
    pin: Pin
    answered: str = ""

    @property
    def is_firm(self) -> bool:
        """Whether it stays what it is."""
        return pins.policy(self.pin.cls).is_firm

    @property
    def name(self) -> str:
        """The model at its provider, and its class, on one line."""
        return visible(f"{self.role} {self.variant.model!r} at {self.variant.provider!r} ({self.pin.cls.value})")

    @property
    def instead(self) -> tuple[str, ...]:
        """The pins to use."""
        return pins.pins_for(self.vendor, self.variant.model, catalogue.bundled())


def side(role: str, variant: Variant, vendor: str | None) -> Side:
    """A variant with its class, by the form of its id."""
    return Side(role, variant, vendor or variant.provider, pins.classify_variant(variant, vendor))


def vendors_of(definitions: config.Definitions) -> Callable[[str], str | None]:
    """From a provider's name to the vendor that the files say it is; None where the name has to say it."""

    def vendor(provider: str) -> str | None:
        found = definitions.provider(provider)
        return None if found is None else found.vendor

    return vendor


def control_planes(
    definitions: config.Definitions, providers: Iterable[str], environment: Mapping[str, str], folder: Path
) -> dict[str, Access]:
    """As for the radar; Azure's control plane has another address and another token than its models.

    `az account get-access-token --query accessToken -o tsv` prints the token, and
    `az cognitiveservices account show --query id -o tsv` the account.
    """
    from midshift.cli.radar import access_of

    names, vendor = set(providers), vendors_of(definitions)
    found = access_of(definitions, names, environment, folder)
    account, token = environment.get("AZURE_OPENAI_RESOURCE_ID"), environment.get("AZURE_MANAGEMENT_TOKEN")
    address = None if not account else f"https://management.azure.com/{account.strip('/')}"
    return found | {name: Access(address, token or None) for name in names if (vendor(name) or name) == "azure"}


async def asked(sides: Iterable[Side], access: Mapping[str, Access], http: Http, clock: Clock) -> list[Side]:
    """The same, with what is opaque resolved where its control plane says what is behind it."""
    return [
        await _asked(item, access.get(item.variant.provider, Access()), http, clock)
        if item.pin.cls is PinClass.OPAQUE
        else item
        for item in sides
    ]


def override(sides: Iterable[Side], reason: str | None) -> str | None:
    """Why an upgrade with these models goes on, for the record; None if all of them stay what they are.

    Raises:
        ConfigError: if one may change and no reason was given, naming the pin to use and the override.
        UsageError: if the reason is empty, or there is nothing to override.
    """
    loose = [item for item in sides if not item.is_firm]
    if reason is None:
        if loose:
            _refuse(loose)
        return None
    if not reason.strip():
        raise UsageError(f"--allow-floating {reason!r} is empty, expected a reason. Type next: --allow-floating 'WHY'")
    if not loose:
        raise UsageError(
            "--allow-floating, and both models stay what they are: there is nothing to override. "
            "Type next: the same without --allow-floating"
        )
    return f"{reason.strip()} ({'; '.join(item.name for item in loose)})"


def require_pinned(item: Side) -> None:
    """Refuse a variant that may change under its name, with no way around it.

    Raises:
        ConfigError: naming the pin to use.
    """
    if not item.is_firm:
        fix = f"model: {_listed(item.instead)}" if item.instead else "a variant file with a pinned model"
        raise ConfigError(
            f"found {item.name}: {visible(item.answered or item.pin.why)}; expected a model that stays what it is. "
            f"Type next: {fix}, and: midshift apply"
        )


async def _asked(item: Side, access: Access, http: Http, clock: Clock) -> Side:
    found = await resolving.resolve(http, item.vendor, item.variant.model, access, clock.now())
    return replace(item, pin=found.pin or item.pin, answered=found.why)


def _refuse(loose: list[Side]) -> None:
    found = "; ".join(f"{item.name}: {visible(item.answered or item.pin.why)}{_pin_of(item)}" for item in loose)
    fixes = [f"model: {_listed(item.instead)}" for item in loose if item.role == "candidate" and item.instead]
    if any(item.pin.cls is PinClass.OPAQUE for item in loose):
        fixes.append("midshift models --live   (says what it needs to know what is behind it)")
    fixes.append("--allow-floating 'WHY' --who NAME   (it goes no further than shadow then)")
    raise ConfigError(f"found {found}; expected models that stay what they are. Type next: {', or: '.join(fixes)}")


def _pin_of(item: Side) -> str:
    """The incumbent's pin is for whoever pins it first; the candidate's is in what to type."""
    return f" (its pin: {_listed(item.instead)})" if item.role == "incumbent" and item.instead else ""


def _listed(instead: tuple[str, ...]) -> str:
    listed = ", ".join(visible(name) for name in instead[-_MOST_PINS:])
    return listed if len(instead) < 2 else f"one of {listed}"
