"""The catalogue of models: what one public source says about prices, limits, capabilities and shutdown dates.

It is LiteLLM's `model_prices_and_context_window.json`, cut to the providers and kinds of models that midshift can
serve, and otherwise unchanged: an entry keeps the field names and values of the source. A catalogue says where it
comes from, when it was taken and what its bytes hash to, so that whoever uses a fact can print its source and age.
A fact that the source does not state is absent, which is not the same as false or zero.

One comes with midshift; `midshift prices refresh` puts a newer one into the state folder, as `catalogue.json`. `load`
takes the newer of the two, so that an old file there does not outlive an upgrade of midshift.
Elsewhere: what a price, a capability or a date out of it means (prices, capabilities, lifecycle).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, partial
from importlib import resources
from pathlib import Path

import msgspec

from midshift.errors import InputError

FORMAT = "midshift.catalogue/1"
FILE = "catalogue.json"
ORIGIN = "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json"

_MODES = frozenset({"chat", "responses", "completion"})
_PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "bedrock_mantle": "bedrock",
    "cohere_chat": "cohere",
    "deepseek": "deepseek",
    "fireworks_ai": "fireworks",
    "gemini": "gemini",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "replicate": "replicate",
    "together_ai": "together",
    "xai": "xai",
}
_PREFIXES = ("azure_ai", "bedrock_converse", "bedrock_mantle", "fireworks_ai", "together_ai", "vertex_ai", *_PROVIDERS)


class _File(msgspec.Struct, kw_only=True):
    format: str
    origin: str
    version: str
    taken_on: date
    licence: str
    models: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Entry:
    """What the source says about one model. `model` is the id as that provider takes it, without the source's prefix.

    `facts` are the source's fields: prices in USD a token, limits in tokens, `supports_*` flags, `deprecation_date`.
    """

    provider: str
    model: str
    facts: Mapping[str, object]

    @property
    def source(self) -> str | None:
        """The page on which the source found it, where it says so."""
        found = self.facts.get("source")
        return found if isinstance(found, str) and found else None

    def number(self, name: str) -> float | None:
        """A fact that is a number; None where it is not stated, or is none."""
        found = self.facts.get(name)
        return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None

    def flag(self, name: str) -> bool | None:
        """A fact that is yes or no; None where it is not stated."""
        found = self.facts.get(name)
        return found if isinstance(found, bool) else None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every entry of one snapshot. `sha256` names its content; `taken_on` is the day on which it was taken.

    The entries are read when one is first asked for: most processes want to know only which catalogue it is.
    """

    origin: str
    version: str
    taken_on: date
    licence: str
    sha256: str
    _entries: Callable[[], Mapping[tuple[str, str], Entry]]

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries().values())

    def entry(self, provider: str, model: str) -> Entry | None:
        """The entry of a model at a provider; None where the source has none."""
        return self._entries().get((provider, model))


@cache
def bundled() -> Catalogue:
    """The catalogue that comes with this version of midshift."""
    return _opened((resources.files("midshift.providers") / "data" / FILE).read_bytes())


def load(state: Path | None = None) -> Catalogue:
    """The catalogue to use: the one in the state folder, or the bundled one where that is newer or the only one.

    Raises:
        InputError: if the file in the state folder is not one.
    """
    ours = bundled()
    path = None if state is None else state / FILE
    if path is None or not path.is_file():
        return ours
    try:
        found = read(path.read_bytes())
    except InputError as error:
        raise InputError(
            f"{path}: {error}. Type next: midshift prices refresh --from URL, or remove the file"
        ) from None
    return found if found.taken_on >= ours.taken_on else ours


def read(content: bytes) -> Catalogue:
    """Read a catalogue file, whole.

    Raises:
        InputError: if it is not one.
    """
    found = _opened(content)
    len(found)
    return found


def taken(content: bytes, origin: str, version: str, taken_on: date) -> bytes:
    """A catalogue file of what the source publishes, one model a line, so that two of them can be compared.

    Raises:
        InputError: if `content` is not the source's, or holds no model that midshift can serve.
    """
    try:
        found = msgspec.json.decode(content, type=dict[str, dict[str, object]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"expected a JSON object of models, each an object: {error}") from None
    kept = {name: facts for name, facts in sorted(found.items()) if provider_of(facts) and _is_served(facts)}
    if not kept:
        raise InputError(f"none of the {len(found)} entries is a model that midshift can serve")
    head = {"format": FORMAT, "origin": origin, "version": version, "taken_on": taken_on, "licence": "MIT"}
    lines = [f'"{name}":{msgspec.json.encode(value).decode()}' for name, value in head.items()]
    models = ",\n".join(f"{_json(name)}:{_json(dict(sorted(facts.items())))}" for name, facts in kept.items())
    return f'{{{",".join(lines)},"models":{{\n{models}\n}}}}\n'.encode()


def provider_of(facts: Mapping[str, object]) -> str | None:
    """The name that midshift has for the provider of an entry; None for one that it does not know."""
    theirs = facts.get("litellm_provider")
    if not isinstance(theirs, str):
        return None
    return "vertex" if theirs.startswith("vertex_ai") else _PROVIDERS.get(theirs)


def _opened(content: bytes) -> Catalogue:
    try:
        found = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"this is no catalogue of models: {error}") from None
    if found.format != FORMAT:
        raise InputError(f"this catalogue has the format {found.format!r}, expected {FORMAT!r}")
    digest = hashlib.sha256(content).hexdigest()
    entries = cache(partial(_entries, found.models))
    return Catalogue(found.origin, found.version, found.taken_on, found.licence, digest, entries)


def _entries(models: msgspec.Raw) -> dict[tuple[str, str], Entry]:
    try:
        found = msgspec.json.decode(models, type=dict[str, dict[str, object]])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"this is no catalogue of models: {error}") from None
    entries: dict[tuple[str, str], Entry] = {}
    for name, facts in found.items():
        provider = provider_of(facts)
        if provider is not None:
            model = _without_prefix(name)
            entries.setdefault((provider, model), Entry(provider, model, facts))
    return entries


def _is_served(facts: Mapping[str, object]) -> bool:
    return facts.get("mode") in _MODES


def _without_prefix(name: str) -> str:
    first, slash, rest = name.partition("/")
    return rest if slash and first in _PREFIXES else name


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
