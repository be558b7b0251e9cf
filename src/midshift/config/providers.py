"""From the `providers:` of the main file to `Provider` values, and what a variant may call its provider.

Elsewhere: what goes together in a provider (providers.faults), known vendors (providers.presets).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from midshift.config import documents, provider_documents
from midshift.config.definitions import Environment, ProviderHere
from midshift.config.problems import one_of, shown
from midshift.config.reading import Cursor, nearest, unset
from midshift.providers import presets
from midshift.providers.definition import Provider, of_preset
from midshift.providers.faults import SAMPLES, Fault, faults
from midshift.providers.http.settings import Timeouts
from midshift.providers.secrets import SecretRef

AN_ENTRY = "{vendor: openai_compatible, base_url: https://HOST/v1}"


def providers(section: Mapping[str, provider_documents.Provider], at: Cursor) -> dict[str, Provider]:
    """The providers of a section, by name; what does not go together in one is reported at its place."""
    found = {}
    for name, entry in sorted(section.items()):
        provider = _provider(name, entry, at / name)
        if provider is not None:
            _report(faults(provider), at / name)
            found[name] = provider
    return found


def here(entry: documents.Environment) -> dict[str, ProviderHere]:
    """What an environment says of its providers, once there is no problem with it."""
    return {
        name: ProviderHere(unset(said.base_url), _reference(said.key), _reference(said.shadow_key))
        for name, said in sorted(entry.providers.items())
    }


def check_environment(environment: Environment, defined: Mapping[str, Provider], at: Cursor) -> None:
    """Report what an environment says of providers that there are not, or that does not fit them."""
    for name, said in environment.providers.items():
        provider = defined.get(name) or of_preset(name)
        if provider is None:
            check_name(name, defined, at / name, at_name=True)
        elif not any(faults(provider)):
            _report(faults(said.of(provider)), at / name)


def check_name(name: str, defined: Collection[str], at: Cursor, *, at_name: bool = False) -> None:
    """Report the name of a provider that is neither defined nor a vendor that needs no definition."""
    if name in defined or of_preset(name) is not None or not at.whole:
        return
    preset = presets.bundled().find(name)
    if preset is None:
        _complain_of_name(name, defined, at, at_name)
        return
    entry = ", ".join(SAMPLES[field] for field in preset.needs)
    at.complain(
        f"the provider {shown(name)}, and no entry for it in the providers of midshift.yaml",
        f"one, for midshift cannot know its {' and '.join(preset.needs)}",
        f"providers: {{{name}: {{{entry}}}}}",
        at_name=at_name,
    )


def _complain_of_name(name: str, defined: Collection[str], at: Cursor, at_name: bool) -> None:
    ready = [vendor for vendor in presets.bundled().names if of_preset(vendor) is not None]
    near = nearest(name, sorted({*defined, *ready}))
    entry = f"providers: {{{name}: {AN_ENTRY}}}"
    own = one_of(sorted(defined)) if defined else "an entry of midshift.yaml's providers"
    at.complain(
        f"the unknown provider {shown(name)}",
        f"{near!r}, perhaps" if near else f"{own}, or one of the vendors {', '.join(ready)}",
        _mended(near, at_name) + (f"   (or {entry})" if near else entry),
        at_name=at_name,
    )


def _mended(near: str | None, is_name: bool) -> str:
    if near is None:
        return ""
    return f"{near}:" if is_name else f"provider: {near}"


def _provider(name: str, entry: provider_documents.Provider, at: Cursor) -> Provider | None:
    if not at.whole:
        return None
    said = unset(entry.vendor) or name
    vendor = presets.bundled().vendor(said)
    if vendor is None:
        _complain_of_vendor(said, unset(entry.vendor) is not None, at)
        return None
    usage = unset(entry.stream_usage)
    limits = entry.timeouts
    return Provider(
        name,
        vendor,
        base_url=unset(entry.base_url),
        wires=tuple(entry.wires),
        auth=unset(entry.auth),
        key=_reference(entry.key),
        shadow_key=_reference(entry.shadow_key),
        headers=entry.headers,
        timeouts=Timeouts(limits.connect_s, limits.first_byte_s, limits.idle_s, limits.total_s),
        max_connections=max(1, int(entry.max_connections)),
        region=unset(entry.region),
        resource=unset(entry.resource),
        project=unset(entry.project),
        ca_file=unset(entry.ca_file),
        stream_usage=None if usage is None else usage is provider_documents.StreamUsage.ASK,
    )


def _complain_of_vendor(said: str, is_said: bool, at: Cursor) -> None:
    known = presets.bundled().names
    near = nearest(said, list(known))
    place = at / "vendor" if is_said else at
    place.complain(
        f"the unknown vendor {shown(said)}" if is_said else f"{shown(said)}, which is no vendor, and no `vendor` in it",
        f"{near!r}, perhaps" if near else f"one of {', '.join(known)}",
        f"vendor: {near or 'openai_compatible'}",
        at_name=not is_said,
    )


def _report(found: Iterator[Fault], at: Cursor) -> None:
    for fault in found:
        here = at
        for step in fault.field:
            here = here / step
        here.complain(fault.found, fault.expected, fault.type_next, at_name=fault.is_name)


def _reference(text: object) -> SecretRef | None:
    return SecretRef.parse(text) if isinstance(text, str) else None
