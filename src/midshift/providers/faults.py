"""What is said of a provider and does not go together, by field, for whoever knows the places.

Elsewhere: the provider itself (definition), its place in a file (config).
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from midshift.providers import presets
from midshift.providers.auth import Auth
from midshift.providers.definition import Provider
from midshift.providers.presets import Preset
from midshift.wire.protocol import WireName

SAMPLES = {
    "base_url": "base_url: https://HOST/v1",
    "key": "key: env:NAME",
    "project": "project: NAME",
    "region": "region: NAME",
    "resource": "resource: NAME",
}
"""What could be typed for a field that a vendor needs."""

_SET_BY_MIDSHIFT = frozenset(
    (
        *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade"),
        *("expect", "accept-encoding", "content-type", "cookie"),
    )
)
_CREDENTIALS = frozenset(
    ("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "helicone-auth")
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a provider: the field, what was found in it, what was expected, and what to type.

    `is_name` if it is the field's name that is wrong, whatever stands in it.
    """

    field: tuple[str | int, ...]
    found: str
    expected: str
    type_next: str
    is_name: bool = False


def faults(provider: Provider) -> Iterator[Fault]:
    """Everything that is said of a provider and does not go together."""
    yield from _of_vendor(provider)
    if provider.base_url is not None:
        yield from _of_address(provider, provider.base_url)
    yield from _of_wires(provider)
    if provider.shows_key_by is Auth.NONE:
        for name in ("key", "shadow_key"):
            if getattr(provider, name) is not None:
                yield Fault((name,), f"a {name} with auth 'none'", "no key where none is shown", f"remove {name}")
    repeated = Counter(name.lower() for name in provider.headers)
    for name in provider.headers:
        yield from _of_header(name, repeated[name.lower()] > 1)


def lacks(provider: Provider) -> tuple[str, ...]:
    """The fields that the vendor needs and nobody said; an address of one's own takes the place of the vendor's."""
    preset = provider.preset
    spoken = _fields_in(*(_prefix(preset, wire) for wire in provider.wires or preset.wires))
    of_address = _fields_in(preset.base_url or "", *preset.base_url_of.values())
    needed = {*preset.needs, *spoken} - (set() if provider.base_url is None else of_address - spoken)
    return tuple(sorted(name for name in needed if getattr(provider, name) is None))


def _of_vendor(provider: Provider) -> Iterator[Fault]:
    name, preset = provider.name, provider.preset
    namesake = presets.bundled().vendor(name)
    if namesake is not None and namesake != provider.vendor:
        yield Fault(
            ("vendor",),
            f"the vendor {provider.vendor!r} under the name of the vendor {name!r}",
            "a name that promises no other vendor, for data.vendors goes by it",
            f"{name}-by-{provider.vendor.replace('_', '-')}: {{vendor: {provider.vendor}}}",
        )
    for lacking in lacks(provider):
        yield Fault(
            (lacking,),
            f"no {lacking!r} of provider {name!r}",
            f"it: midshift cannot know the {lacking} of {preset.title}",
            SAMPLES[lacking],
        )
    used = _fields_in(preset.base_url or "", *(path.prefix for path in preset.wires.values()))
    for unused in ("project", "resource"):
        if unused not in used and getattr(provider, unused) is not None:
            found = f"{unused!r} for {provider.vendor}, whose address has none"
            yield Fault((unused,), found, "nothing", f"remove {unused}", is_name=True)


def _of_address(provider: Provider, base_url: str) -> Iterator[Fault]:
    parts = urlsplit(base_url)
    try:
        port_exists = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        port_exists = False
    if not parts.hostname or not port_exists:
        yield Fault(("base_url",), "an address whose port does not exist", "1 to 65535", "base_url: https://HOST:PORT")
        return
    path = parts.path.rstrip("/")
    openings = (_opening(provider.preset, wire) for wire in provider.wires or provider.preset.wires)
    doubled = next((opening for opening in openings if opening and path.endswith(opening)), None)
    if doubled is not None:
        without = base_url.rstrip("/").removesuffix(doubled)
        found = f"an address that ends in {doubled}"
        yield Fault(("base_url",), found, "it without, for midshift adds it", f"base_url: {without}")


def _of_wires(provider: Provider) -> Iterator[Fault]:
    known = ", ".join(provider.preset.wires)
    for index, wire in enumerate(provider.wires):
        if wire not in provider.preset.wires:
            found = f"the wire {wire.value!r}, which {provider.vendor} does not speak"
            yield Fault(("wires", index), found, f"one of {known}", f"wires: [{known}]")
        elif wire in provider.wires[:index]:
            yield Fault(("wires", index), f"the wire {wire.value!r} again", "each once", "remove one of them")


def _of_header(name: str, is_repeated: bool) -> Iterator[Fault]:
    where, lower = ("headers", name), name.lower()
    if lower in _CREDENTIALS:
        found = f"the header {name!r}, which carries a key"
        yield Fault(where, found, "the key by reference", "key: env:NAME", is_name=True)
    elif lower in _SET_BY_MIDSHIFT or lower.startswith("x-midshift-"):
        found = f"the header {name!r}, which midshift sets itself"
        yield Fault(where, found, "another one", f"remove {name}", is_name=True)
    elif is_repeated:
        yield Fault(where, f"the header {name!r} twice", "each once", "remove one of them", is_name=True)


def _opening(preset: Preset, wire: WireName) -> str:
    """What midshift writes first below an address."""
    path = preset.wires.get(wire)
    if path is None or path.prefix or path.cuts_version:
        return path.prefix if path is not None else ""
    return {WireName.ANTHROPIC: "/v1", WireName.GEMINI: "/v1beta"}.get(wire, "")


def _prefix(preset: Preset, wire: WireName) -> str:
    return preset.wires[wire].prefix if wire in preset.wires else ""


def _fields_in(*patterns: str) -> set[str]:
    return {name for pattern in patterns for _, name, _, _ in string.Formatter().parse(pattern) if name}
