"""The grammar of pins: its own examples, the lists that vendors ship, and whatever else somebody may type."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.variant import Variant
from midshift.errors import InputError
from midshift.providers import catalogue, pins
from midshift.providers.pins import PinClass, Rule

DATA = Path(__file__).parent / "data"
GRAMMAR = pins.bundled()
RULES = [(vendor, rule) for vendor, found in GRAMMAR.vendors.items() for rule in found.rules]
EXAMPLES = [(vendor, rule, example) for vendor, rule in RULES for example in rule.matches]
ENDLESS = ("a", "-", "-20", "-2024-01-0", "us.", "-preview", "a/", "1", ":1", "-v1", "-a", "@2", "claude-", "arn:")
SHA = "5c7d5dc6" * 8
ARN = "arn:aws:bedrock:us-east-1:123456789012:"

TABLE = [
    ("openai", "gpt-5-2026-02-15", "pinned"),
    ("openai", "gpt-5.2-2025-12-11", "pinned"),
    ("openai", "o3-2025-04-16", "pinned"),
    ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc", "pinned"),
    ("openai", "gpt-5-2026-13-45", "floating"),
    ("openai", "gpt-5", "floating"),
    ("openai", "gpt-6.2-sol", "self"),
    ("openai", "gpt-4-0613", "pinned"),
    ("openai", "gpt-4-1106-preview", "pinned"),
    ("openai", "gpt-3.5-turbo-16k-0613", "pinned"),
    ("openai", "gpt-4-turbo", "floating"),
    ("openai", "chatgpt-4o-latest", "floating"),
    ("openai", "gpt-5.2-chat-latest", "floating"),
    ("openai", "o1-preview", "preview"),
    ("openai", "computer-use-preview", "preview"),
    ("openai", "o1-preview-2024-09-12", "pinned"),
    ("openai", "gpt-5.6-sol", "self"),
    ("openai", "gpt-6.2-astra", "self"),
    ("openai", "gpt-6-luna", "self"),
    ("openai", "gpt-5.5", "floating"),
    ("openai", "gpt-5.4-mini", "floating"),
    ("openai", "gpt-4o", "floating"),
    ("openai", "gpt-5.1", "floating"),
    ("openai", "o3", "floating"),
    ("anthropic", "claude-sonnet-4-5-20250929", "pinned"),
    ("anthropic", "claude-3-7-sonnet-20250219", "pinned"),
    ("anthropic", "claude-sonnet-4-5", "floating"),
    ("anthropic", "claude-3-7-sonnet-latest", "floating"),
    ("anthropic", "claude-mythos-preview", "preview"),
    ("anthropic", "claude-sonnet-4-6", "pinned"),
    ("anthropic", "claude-opus-5", "pinned"),
    ("anthropic", "claude-haiku-5-5", "pinned"),
    ("anthropic", "claude-opus-4-0", "floating"),
    ("anthropic", "claude-haiku-4-5", "floating"),
    ("gemini", "gemini-flash-latest", "floating"),
    ("gemini", "gemini-pro-latest", "floating"),
    ("gemini", "gemini-3.1-pro-preview", "preview"),
    ("gemini", "gemini-2.5-flash-preview-09-2025", "preview"),
    ("gemini", "gemini-exp-1206", "preview"),
    ("vertex", "gemini-1.5-pro-002", "pinned"),
    ("gemini", "gemini-2.0-flash-001", "pinned"),
    ("gemini", "gemini-2.0-flash", "floating"),
    ("gemini", "gemini-2.5-pro", "pinned"),
    ("vertex", "gemini-3.8-flash", "pinned"),
    ("gemini", "gemini-3.5-flash-lite", "pinned"),
    ("mistral", "labs-leanstral-1-5", "preview"),
    ("mistral", "mistral-large-latest", "floating"),
    ("mistral", "codestral-latest", "floating"),
    ("mistral", "mistral-large-2411", "pinned"),
    ("mistral", "mistral-medium-2604", "pinned"),
    ("mistral", "codestral-2508", "pinned"),
    ("mistral", "mistral-large-3", "floating"),
    ("mistral", "mistral-medium-3.5", "floating"),
    ("mistral", "mistral-large-4", "floating"),
    ("vertex", "claude-sonnet-4-5@20250929", "pinned"),
    ("vertex", "mistral-large@2411-001", "pinned"),
    ("vertex", "claude-opus-4-8@default", "floating"),
    ("vertex", "codestral@latest", "floating"),
    ("bedrock", "anthropic.claude-sonnet-4-6", "pinned"),
    ("bedrock", "anthropic.claude-sonnet-4-6-v1:0", "pinned"),
    ("bedrock", "us.anthropic.claude-opus-4-6-v1", "pinned"),
    ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "pinned"),
    ("bedrock", "amazon.nova-pro-v1:0", "pinned"),
    ("bedrock", "amazon.nova-2-pro-preview-20251202-v1:0", "preview"),
    ("bedrock", f"{ARN}application-inference-profile/abc123", "opaque"),
    ("bedrock", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0", "pinned"),
    ("azure", "gpt-4o-2024-11-20", "opaque"),
    ("openrouter", "~anthropic/claude-sonnet-latest", "floating"),
    ("openrouter", "openrouter/auto", "floating"),
    ("openrouter", "anthropic/claude-4.6-sonnet-20260217", "pinned"),
    ("openrouter", "anthropic/claude-sonnet-4.6:nitro", "host_floating"),
    ("replicate", f"meta/meta-llama-3-8b-instruct:{SHA}", "pinned"),
    ("replicate", "meta/meta-llama-3-8b-instruct", "floating"),
    ("fireworks", "accounts/fireworks/models/x#accounts/a/deployments/d", "pinned"),
    ("fireworks", "accounts/fireworks/models/deepseek-v3-0324", "weights"),
    ("fireworks", "accounts/fireworks/routers/kimi-k3-spot", "floating"),
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "weights"),
    ("anyscale", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "weights"),
    ("litellm", "gpt-5", "opaque"),
    ("midshift", "support", "opaque"),
    ("sim", "sonnet-3.7", "pinned"),
]


@pytest.mark.parametrize(("provider", "model", "expected"), TABLE)
def test_each_example_written_by_hand_has_its_class(provider: str, model: str, expected: str) -> None:
    """Read by a person from the vendors' pages and packages, apart from the rules."""
    assert expected == pins.classify(provider, model).cls.value


@pytest.mark.parametrize(
    ("vendor", "rule", "example"), EXAMPLES, ids=lambda item: getattr(item, "name", str(item)[:40])
)
def test_a_rule_decides_its_own_examples(vendor: str, rule: Rule, example: str) -> None:
    """A rule that an earlier one hides would be dead data, and its source a lie."""
    found = pins.classify(vendor, example)

    assert f"{vendor}.{rule.name}" == (found.rule or "").split(" > ")[0]


@pytest.mark.parametrize(("vendor", "rule"), RULES, ids=lambda item: getattr(item, "name", str(item)))
def test_a_rule_leaves_to_others_what_it_says_is_not_its_own(vendor: str, rule: Rule) -> None:
    """The near misses are where a vendor's form is easily got wrong."""
    assert [] == [
        model for model in rule.not_ if (pins.classify(vendor, model).rule or "").startswith(f"{vendor}.{rule.name}")
    ]


@pytest.mark.parametrize(
    ("vendor", "expected", "unknown"),
    [
        ("openai", {"pinned": 48, "floating": 45, "self": 14, "preview": 8}, set()),
        (
            "anthropic",
            {"pinned": 24, "floating": 7, "preview": 1, "unknown": 7},
            {"claude-1.3", "claude-1.3-100k", "claude-2.0", "claude-2.1"}
            | {"claude-instant-1.1", "claude-instant-1.1-100k", "claude-instant-1.2"},
        ),
        (
            "gemini",
            {"pinned": 19, "preview": 10, "unknown": 4, "floating": 3, "weights": 2},
            {"gemini-nano-banana-2.1", "gemini-omni-1.1-flash", "gemini-omni-1.2-flash", "lyria-3.5"},
        ),
        ("mistral", {"floating": 13, "pinned": 2}, set()),
        ("bedrock", {"pinned": 2}, set()),
    ],
)
def test_the_ids_that_a_vendors_package_names_are_classified(
    vendor: str, expected: dict[str, int], unknown: set[str]
) -> None:
    """The lists carry no labels: this counts what is classified, and a change of it has to be looked at."""
    found = {model: pins.classify(vendor, model).cls for model in listed(vendor)}

    assert expected == dict(Counter(cls.value for cls in found.values()))
    assert unknown == {model for model, cls in found.items() if cls is PinClass.UNKNOWN}


def test_no_id_that_is_its_own_snapshot_has_a_dated_one() -> None:
    """Once the vendor publishes a dated form, the undated one is an alias, and the rule is out of date."""
    models = {*listed("openai"), *(entry.model for entry in catalogue.bundled() if entry.provider == "openai")}
    selves = {model for model in models if pins.classify("openai", model).cls is PinClass.SELF}

    assert selves
    assert set() == {model for model in selves if any(other.startswith(f"{model}-20") for other in models)}


def test_what_an_alias_stands_for_is_a_pin_by_the_same_rules() -> None:
    """A hint that leads to the next alias is no help."""
    stands_for = [(name, *pair) for name, vendor in GRAMMAR.vendors.items() for pair in vendor.stands_for.items()]

    assert stands_for
    for name, alias, pin in stands_for:
        assert (False, True) == tuple(pins.policy(pins.classify(name, item).cls).is_firm for item in (alias, pin))


@given(st.one_of(st.sampled_from([*GRAMMAR.vendors, "", "nobody", "sim"]), st.text()), st.text())
def test_any_text_is_classified(provider: str, model: str) -> None:
    """Ids come out of files and answers of machines."""
    assert pins.classify(provider, model).cls in PinClass


@given(
    st.sampled_from([rule_and_id[0::2] for rule_and_id in EXAMPLES]),
    st.text(alphabet="\n\r\t \x00\x1b\u202e\u200b\ud800", min_size=1, max_size=3),
)
def test_an_id_with_something_invisible_behind_it_is_never_firm(example: tuple[str, str], behind: str) -> None:
    """A pin and a line feed is another id: what serves it, nobody knows."""
    vendor, model = example

    assert PinClass.UNKNOWN is pins.classify(vendor, model + behind).cls


@pytest.mark.slow
@pytest.mark.parametrize("vendor", GRAMMAR.vendors)
def test_the_time_grows_no_faster_than_the_id(vendor: str) -> None:
    """Whoever can write a config or a route must not be able to stop the machine: 10 kB, at any rule."""
    starts = ["", *(example[:12] for name, _, example in EXAMPLES if name == vendor)]
    ids = [start + piece * (10_000 // len(piece)) + end for start in starts for piece in ENDLESS for end in ("", "!")]

    slowest_s = max(seconds(lambda model=model: pins.classify(vendor, model)) for model in ids)  # type: ignore[misc]

    assert 0.1 > slowest_s, "a regular expression backtracks: one quadratic in 10 kB takes about a second"


def test_an_id_that_no_rule_knows_is_unknown_and_never_pinned() -> None:
    for provider, model in [("openai", "whatever"), ("nobody", "gpt-4-0613"), ("anthropic", "claude"), ("", "")]:
        found = pins.classify(provider, model)

        assert PinClass.UNKNOWN is found.cls
        assert "treated as floating" in found.why
        assert not pins.policy(found.cls).is_firm


def test_prefixes_without_an_end_are_unknown() -> None:
    assert PinClass.UNKNOWN is pins.classify("bedrock", "us." * 9 + "amazon.nova-pro-v1:0").cls


def test_only_what_stays_what_it_is_may_be_in_an_upgrade() -> None:
    firm = {cls for cls in PinClass if pins.policy(cls).is_firm}

    assert {PinClass.PINNED, PinClass.SELF, PinClass.WEIGHTS} == firm


@pytest.mark.parametrize(
    ("model", "provider", "expected"),
    [
        ("anthropic/claude-sonnet-4.6", {"only": ["Anthropic"], "allow_fallbacks": False}, PinClass.PINNED),
        ("openai/gpt-4o", {"only": ["OpenAI"], "allow_fallbacks": False}, PinClass.FLOATING),
        ("meta-llama/llama-4-scout", {"only": ["Groq"], "allow_fallbacks": False}, PinClass.WEIGHTS),
        ("meta-llama/llama-4-scout", {"only": ["Groq", "Together"], "allow_fallbacks": False}, PinClass.HOST_FLOATING),
        ("meta-llama/llama-4-scout", {"only": ["Groq"]}, PinClass.HOST_FLOATING),
        ("meta-llama/llama-4-scout", "Groq", PinClass.HOST_FLOATING),
    ],
)
def test_a_host_that_the_request_pins_does_not_float(model: str, provider: object, expected: PinClass) -> None:
    """The model behind the host may float all the same."""
    variant = Variant("openrouter", model, parameters={"provider": provider})  # type: ignore[dict-item]

    assert expected is pins.classify_variant(variant).cls


def test_the_vendor_of_the_files_goes_before_the_name_of_the_provider() -> None:
    """Two keys at one vendor are two providers, and their names are the user's."""
    variant = Variant("support-eu", "claude-sonnet-4-6")

    assert PinClass.UNKNOWN is pins.classify_variant(variant).cls
    assert PinClass.PINNED is pins.classify_variant(variant, "anthropic").cls


def test_of_several_snapshots_all_are_named_for_only_the_vendor_knows_which_it_is() -> None:
    known = catalogue.bundled()

    assert ("claude-sonnet-4-5-20250929",) == pins.pins_for("anthropic", "claude-sonnet-4-5", known)
    assert {"gpt-4o-2024-08-06", "gpt-4o-2024-11-20"} <= set(pins.pins_for("openai", "gpt-4o", known))
    assert "gpt-4o-mini-2024-07-18" not in pins.pins_for("openai", "gpt-4o", known)
    assert ("claude-sonnet-4-5@20250929",) == pins.pins_for("vertex", "claude-sonnet-4-5", known)
    assert () == pins.pins_for("nobody", "gpt-4o", known)


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        (b"[]", "no rules of pins"),
        (b'{"format":"x/1","taken_on":"2026-01-02","vendors":{}}', "midshift.pins/1"),
        (b'"regex":"(","class":"pinned"', "no regular expression"),
        (b'"regex":"a"', "either a class or"),
        (b'"regex":"a","as":"v"', "a group `id`"),
        (b'"regex":"(?P<id>a)","as":"w"', "a vendor that is here"),
    ],
)
def test_rules_that_cannot_be_are_refused(rules: bytes, complaint: str) -> None:
    rest = b'{"name":"r","why":"","source":"","evidence":"documented",' + rules + b"}"
    whole = b'{"format":"midshift.pins/1","taken_on":"2026-01-02","vendors":{"v":{"says":"","rules":[' + rest + b"]}}}"

    with pytest.raises(InputError, match=complaint):
        pins.read(rules if rules[:1] in b"[{" else whole)


def seconds(call: Callable[[], object]) -> float:
    """What a call costs of the processor."""
    began = time.process_time()
    call()
    return time.process_time() - began


def listed(vendor: str) -> list[str]:
    """The ids of a list of tests/providers/data."""
    lines = (DATA / f"{vendor}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
