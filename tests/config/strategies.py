"""Definitions of every shape, as values: what the files can say, and nothing that they cannot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from midshift.config import Definition, Definitions, Environment, SecretKind, SecretRef, VariantFile
from midshift.config.definitions import ProviderHere
from midshift.config.secrets import looks_like_secret, names_secret
from midshift.domain import rendering
from midshift.domain.plan import Approval, Halts, Plan, Step
from midshift.domain.rendering import Append, Replace
from midshift.domain.retirement import ModelName
from midshift.domain.suite import Margin, Slice, SliceRole
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.domain.workload import (
    BodyEquals,
    Budgets,
    Capture,
    Cycle,
    DataPolicy,
    HeaderEquals,
    LanguageIs,
    Redaction,
    Ring,
    SliceRule,
    Stakes,
    UnitKind,
    UnitSource,
    Workload,
)
from midshift.providers import presets
from midshift.providers.auth import Auth
from midshift.providers.definition import Provider
from midshift.providers.faults import faults
from midshift.providers.http.settings import Timeouts

TEXT = st.text(max_size=12).filter(lambda text: not looks_like_secret(text))
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
MODELS = st.from_regex(r"[\x21-\x7e]{1,12}", fullmatch=True).filter(lambda text: not looks_like_secret(text))
POINTS = st.decimals("0.0001", "99.9999", places=4).map(float)
HOURS = st.integers(24, 9000).map(lambda hours: timedelta(hours=hours))
AMOUNTS = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
KEYS = TEXT.filter(lambda key: key not in ("", "drop", "set", "model", "messages", "stream") and not names_secret(key))
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
PROMPTS = st.text(min_size=1, max_size=30).filter(
    lambda text: text.strip() and "\r" not in text and "\ufeff" not in text and not looks_like_secret(text)
)


def _fields(direct: dict[str, Any], drop: list[str], own: dict[str, Any]) -> dict[str, Any]:
    drop = sorted(set(drop) - set(direct))
    return {**direct, **({"drop": tuple(drop)} if drop else {}), **({"set": own} if own else {})}


PARAMETERS = st.builds(
    _fields,
    st.dictionaries(KEYS, JSON, max_size=3),
    st.lists(KEYS, max_size=3),
    st.dictionaries(st.sampled_from(["drop", "set"]), JSON, max_size=2),
)
EDITS = st.lists(st.builds(Append, PROMPTS) | st.builds(Replace, PROMPTS, TEXT), min_size=1, max_size=3).map(
    rendering.edits_text
)
PROMPT = (
    st.just(Prompt())
    | st.builds(Prompt, st.just(PromptMode.REPLACE), PROMPTS)
    | st.builds(Prompt, st.just(PromptMode.TEMPLATE), PROMPTS.filter(lambda text: not text.startswith("---")))
    | st.builds(Prompt, st.just(PromptMode.EDIT), EDITS)
)


def variants(providers: Iterable[str]) -> st.SearchStrategy[Variant]:
    """Variants at one of these providers, or at a vendor that needs no entry."""
    names = st.sampled_from(["sim", "openai", "anthropic", *providers])
    return st.builds(Variant, names, MODELS, PROMPT, st.none() | WORDS, PARAMETERS)


REFERENCES = st.sampled_from([SecretRef(SecretKind.ENV, "MY_KEY"), SecretRef(SecretKind.FILE, "/run/secrets/my-key")])
ADDRESSES = st.sampled_from(
    ["https://host.example/llm", "http://127.0.0.1:9", "https://[::1]:8443/a/b", "https://eu.api.openai.com"]
)
HEADERS = st.dictionaries(
    st.sampled_from(["anthropic-version", "X-Team", "openai-project"]),
    st.from_regex(r"[\x21-\x7e]([\x20-\x7e]{0,6}[\x21-\x7e])?", fullmatch=True).filter(
        lambda text: not looks_like_secret(text)
    ),
    max_size=2,
)
SECONDS = st.floats(min_value=0.001, max_value=86400)


@st.composite
def providers(draw: st.DrawFn) -> Provider:
    """Providers that go together, of every vendor."""
    vendor = draw(st.sampled_from(presets.bundled().names))
    own = draw(NAMES.filter(lambda name: presets.bundled().vendor(name) is None))
    needs = presets.bundled().by_name[vendor].needs
    known = list(presets.bundled().by_name[vendor].wires)

    def maybe(values: st.SearchStrategy[Any], field: str, is_possible: bool = True) -> Any:
        if field in needs:
            return draw(values)
        return draw(st.none() | values) if is_possible else None

    auth = draw(st.none() | st.sampled_from(Auth))
    found = Provider(
        draw(st.sampled_from([own, vendor])),
        vendor,
        base_url=maybe(ADDRESSES, "base_url"),
        wires=tuple(draw(st.lists(st.sampled_from(known), unique=True))),
        auth=auth,
        key=maybe(REFERENCES, "key"),
        shadow_key=maybe(REFERENCES, "shadow_key"),
        headers=draw(HEADERS),
        timeouts=draw(st.builds(Timeouts, SECONDS, SECONDS, SECONDS, SECONDS) | st.just(Timeouts())),
        max_connections=draw(st.integers(1, 100_000)),
        region=maybe(WORDS, "region"),
        resource=maybe(st.just("acme-eu"), "resource", vendor == "azure"),
        project=maybe(st.just("acme-prod"), "project", vendor == "vertex"),
        ca_file=draw(st.none() | st.sampled_from(["/etc/ssl/internal ca.pem", "certs/ü.pem"])),
        stream_usage=draw(st.none() | st.booleans()),
    )
    return found if not any(faults(found)) else replace(found, auth=Auth.BEARER)  # a key where none is shown


UNITS = (
    st.just(UnitSource(UnitKind.CONVERSATION))
    | st.builds(UnitSource, st.just(UnitKind.HEADER), st.from_regex(r"[a-z0-9!#$%&'*+.^_|~-]{1,8}", fullmatch=True))
    | st.builds(
        UnitSource, st.just(UnitKind.BODY), st.from_regex(r"[A-Za-z0-9_$-]{1,5}(\.[a-z0-9]{1,3})?", fullmatch=True)
    )
)
WHENS = (
    st.builds(LanguageIs, st.from_regex(r"[a-z]{2,3}(-[a-z0-9]{2})?", fullmatch=True))
    | st.builds(HeaderEquals, st.from_regex(r"[a-z][a-z-]{0,8}", fullmatch=True), TEXT)
    | st.builds(BodyEquals, st.just("metadata.tier"), PLAIN.filter(lambda value: value is not None))
)
CAPTURES = st.builds(
    Capture,
    POINTS.map(lambda points: round(points / 100, 8)),
    HOURS,
    st.lists(st.sampled_from(Redaction), unique=True).map(tuple),
) | st.just(Capture())
POLICIES = st.builds(
    DataPolicy, st.lists(NAMES, max_size=2).map(tuple), st.lists(WORDS, max_size=2).map(tuple), CAPTURES
)
BUDGETS = st.builds(Budgets, st.none() | AMOUNTS, st.none() | AMOUNTS)
ENVIRONMENTS = st.builds(
    Environment,
    NAMES,
    st.just(SecretRef(SecretKind.ENV, "DB")) | st.just(SecretRef(SecretKind.FILE, "/run/secrets/db")),
    st.lists(st.sampled_from(["http://g-1:8080", "https://[::1]:1", "http://g.example"]), max_size=2).map(tuple),
    st.dictionaries(
        st.sampled_from(["openai", "mistral"]),
        st.builds(
            ProviderHere, st.none() | st.just("https://proxy.example"), st.none() | REFERENCES, st.none() | REFERENCES
        ),
        max_size=2,
    ),
)


RETIRING = st.builds(ModelName, NAMES, MODELS)


RINGS = st.builds(Ring, NAMES, st.none() | WHENS.filter(lambda when: not isinstance(when, LanguageIs)))
PARTS = st.decimals("0", "100", places=4).map(lambda share: float(share / 100))


def _by_name(rings: list[Ring]) -> list[Ring]:
    return sorted(rings, key=lambda ring: ring.name)


@st.composite
def plans(draw: st.DrawFn, cycle: Cycle, margin: Margin, slices: list[str], rings: tuple[Ring, ...]) -> Plan:
    """Plans that the domain takes."""
    shares = sorted(draw(st.sets(st.decimals("0.0001", "99.9999", places=4), min_size=1, max_size=4)))
    steps = [Step(float(share / 100), draw(HOURS) + timedelta(days=7)) for share in shares] + [Step(1.0, timedelta())]
    at_first = draw(st.sampled_from([[], [Step(0.0, timedelta(days=7))]])) if rings else []
    steps = [*at_first, *steps]
    approval = st.builds(
        Approval, st.sampled_from([step.share for step in steps]), WORDS, st.none() | st.sampled_from(slices)
    )
    return Plan(
        steps=tuple(steps),
        shadow=draw(HOURS) + timedelta(days=7),
        soak=draw(HOURS) + timedelta(days=14),
        cycle=cycle,
        margin=margin,
        halts=Halts(draw(POINTS), draw(POINTS), draw(AMOUNTS)),
        noise=draw(PARTS),
        pairs=draw(PARTS),
        rings=tuple(ring.name for ring in rings),
        approvals=tuple(sorted(draw(st.lists(approval, max_size=3)), key=lambda item: item.share)),
    )


@st.composite
def workloads(draw: st.DrawFn, name: str, number: int, providers: Iterable[str]) -> Definition:
    """One workload of a set; claims and files carry its number, so that they are its own."""
    some = variants(providers)
    incumbent, harbour = draw(some), draw(st.none() | some)
    parts = sorted(draw(st.sets(WORDS, min_size=1, max_size=3)))
    slices = [Slice(part, draw(st.sampled_from(SliceRole)), draw(st.none() | POINTS.map(Margin))) for part in parts]
    slices[0] = replace(slices[0], role=SliceRole.CRITICAL)
    margin = Margin(draw(POINTS))
    cycle = draw(st.sampled_from(Cycle))
    rings = tuple(draw(st.lists(RINGS, max_size=2, unique_by=lambda ring: ring.name).map(_by_name)))
    workload = Workload(
        name=name,
        claims=tuple(f"{claim}#{number}" for claim in sorted(draw(st.sets(MODELS, min_size=1, max_size=2)))),
        incumbent=incumbent,
        slices=tuple(slices),
        cycle=cycle,
        stakes=draw(st.sampled_from(Stakes)),
        margin=margin,
        safe_harbour=harbour if harbour != incumbent else None,
        unit=tuple(draw(st.lists(UNITS, max_size=2, unique=True))),
        rules=tuple(SliceRule(part, draw(WHENS)) for part in parts if draw(st.booleans())),
        budgets=draw(BUDGETS),
        data=draw(POLICIES),
        rings=rings,
    )
    return Definition(
        workload,
        replace(draw(plans(cycle, margin, parts, rings)), budgets=workload.budgets),
        _file(incumbent, f"variants/{number} ü.yaml", f"prompts/{number}.md"),
        _file(workload.safe_harbour, f"{number}.yaml", f"{number}.md") if workload.safe_harbour else None,
        draw(st.none() | st.just("suites/a b.jsonl")),
        draw(st.none() | st.just("docs/oncall.md")),
    )


@st.composite
def definitions(draw: st.DrawFn) -> Definitions:
    """Sets of definitions."""
    names = sorted(draw(st.sets(NAMES, min_size=1, max_size=2)))
    environments = draw(st.lists(ENVIRONMENTS, max_size=2, unique_by=lambda item: item.name))
    defined = {item.name: item for item in draw(st.lists(providers(), max_size=3, unique_by=lambda item: item.name))}
    keyless = {name for name, provider in defined.items() if provider.auth is Auth.NONE}
    return Definitions(
        {name: draw(workloads(name, number, sorted(defined))) for number, name in enumerate(names)},
        {item.name: _without_keys(item, keyless) for item in environments},
        retirements=draw(st.dictionaries(RETIRING, st.dates(date(2000, 1, 1), date(2099, 12, 31)), max_size=2)),
        providers=dict(sorted(defined.items())),
        graders=draw(st.sampled_from([(), ("shop.graders:is_polite",), ("a:b", "a:c")])),
    )


def _without_keys(environment: Environment, keyless: set[str]) -> Environment:
    """An environment gives no key to a provider that shows none."""
    here = {
        name: ProviderHere(found.base_url) if name in keyless else found
        for name, found in environment.providers.items()
    }
    return replace(environment, providers=here)


def _file(variant: Variant, path: str, prompt_path: str) -> VariantFile:
    return VariantFile(path, variant, None if variant.prompt.mode is PromptMode.KEEP else prompt_path)
