"""What a provider makes of its preset and of what is said beside it."""

from dataclasses import replace

import pytest

from midshift.domain.workload import DataPolicy
from midshift.providers.auth import Auth
from midshift.providers.definition import Provider, admits_region, is_loopback, of_preset
from midshift.providers.egress import Limit, outside
from midshift.providers.faults import faults
from midshift.providers.secrets import SecretKind, SecretRef
from midshift.wire.protocol import WireName

OPENAI = Provider("openai", "openai")
OWN = SecretRef(SecretKind.FILE, "/run/secrets/own")


@pytest.mark.parametrize(
    ("provider", "reference"),
    [
        (OPENAI, "env:OPENAI_API_KEY"),
        (replace(OPENAI, base_url="https://eu.api.openai.com/v1"), "env:OPENAI_API_KEY"),
        (replace(OPENAI, base_url="http://api.openai.com/v1"), None),
        (replace(OPENAI, base_url="https://proxy.example/v1"), None),
        (replace(OPENAI, base_url="https://api.openai.com.proxy.example/v1"), None),
        (replace(OPENAI, base_url="https://evilapi.openai.com/v1"), None),
        (replace(OPENAI, base_url="https://proxy.example/v1", key=OWN), "file:/run/secrets/own"),
        (replace(OPENAI, auth=Auth.NONE), None),
        (Provider("host", "openai_compatible", base_url="https://h/v1"), None),
        (Provider("azure", "azure", resource="acme"), "env:AZURE_OPENAI_API_KEY"),
        (Provider("azure", "azure", resource="acme", base_url="https://other.openai.azure.com"), None),
    ],
)
def test_a_vendors_own_key_goes_to_the_vendors_own_hosts_only(provider: Provider, reference: str | None) -> None:
    """A proxy that somebody names must not be handed the key of the account, unless they say so."""
    assert reference == (None if provider.key_ref is None else str(provider.key_ref))


def test_a_bare_name_is_a_provider_where_the_vendor_needs_no_more() -> None:
    """Most people write nothing but `provider: anthropic`."""
    found = of_preset("anthropic")

    assert found == Provider("anthropic", "anthropic")
    assert [None, None, None] == [of_preset(name) for name in ("azure", "openai_compatible", "elsewhere")]
    assert Provider("sim", "simulated") == of_preset("sim")


def test_a_header_that_is_said_takes_the_place_of_the_vendors() -> None:
    """A newer version of an API, without waiting for us."""
    newer = Provider("anthropic", "anthropic", headers={"Anthropic-Version": "2026-10-21", "X-Team": "b"})

    assert {"anthropic-version": "2026-10-21", "x-team": "b"} == newer.headers_on(WireName.ANTHROPIC)


def test_a_wire_that_is_said_comes_first() -> None:
    """The first is asked when the app's own is not spoken."""
    found = Provider("f", "fireworks", wires=(WireName.ANTHROPIC, WireName.OPENAI_CHAT))

    assert [WireName.ANTHROPIC, WireName.OPENAI_CHAT] == list(found.paths)


FAULTY = {
    "another vendor's name": (
        Provider("anthropic", "openrouter"),
        "the vendor 'openrouter' under the name of the vendor 'anthropic'",
    ),
    "no address": (Provider("h", "openai_compatible"), "no 'base_url' of provider 'h'"),
    "no resource": (Provider("azure", "azure"), "no 'resource' of provider 'azure'"),
    "no project, own address": (
        Provider("v", "vertex", base_url="https://h", region="eu", key=OWN),
        "no 'project' of provider 'v'",
    ),
    "a resource for nothing": (replace(OPENAI, resource="acme"), "'resource' for openai, whose address has none"),
    "a prefix twice": (Provider("l", "litellm", base_url="http://l:4000/v1/"), "an address that ends in /v1"),
    "a version twice": (
        Provider("anthropic", "anthropic", base_url="https://h/v1", key=OWN),
        "an address that ends in /v1",
    ),
    "a port": (replace(OPENAI, base_url="https://h:99999/v1"), "an address whose port does not exist"),
    "a wire": (replace(OPENAI, wires=(WireName.GEMINI,)), "the wire 'gemini', which openai does not speak"),
    "a wire twice": (replace(OPENAI, wires=(WireName.OPENAI_CHAT,) * 2), "the wire 'openai_chat' again"),
    "a key for nobody": (replace(OPENAI, auth=Auth.NONE, key=OWN), "a key with auth 'none'"),
    "a key in a header": (replace(OPENAI, headers={"X-Api-Key": "v"}), "the header 'X-Api-Key', which carries a key"),
    "a header of ours": (replace(OPENAI, headers={"Host": "v"}), "the header 'Host', which midshift sets itself"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_what_does_not_go_together_is_told_by_its_field(name: str) -> None:
    """Whoever knows the places can point at it."""
    provider, found = FAULTY[name]

    assert [found] == [fault.found for fault in faults(provider)]


def test_a_vendor_without_a_preset_is_no_provider() -> None:
    """Nothing would be known of it."""
    with pytest.raises(ValueError, match="no preset of a vendor 'elsewhere'"):
        Provider("p", "elsewhere")


@pytest.mark.parametrize(
    ("allowed", "region", "is_in"),
    [
        (("eu",), "eu", True),
        (("eu",), "eu-west-1", True),
        (("eu",), "EU-central-1", True),
        (("eu",), "europe-west4", False),
        (("eu-west-1",), "eu", False),
        (("us", "eu"), "eu", True),
        (("eu",), None, False),
        ((), "eu", False),
        (("e.",), "eu", False),
    ],
)
def test_a_region_is_in_the_list_or_within_one_of_it(allowed: tuple[str, ...], region: str | None, is_in: bool) -> None:
    """An unknown region is in no list."""
    assert is_in == admits_region(allowed, region)


ANTHROPIC_EU = Provider("claude-eu", "anthropic", region="eu-central-1")
HOST = Provider("vllm", "openai_compatible", base_url="https://h/v1", region="eu")
EGRESS = {
    "the incumbent's vendor": (DataPolicy(), ANTHROPIC_EU, []),
    "another vendor": (DataPolicy(), OPENAI, [Limit.VENDORS]),
    "a listed vendor": (DataPolicy(("openai",)), OPENAI, []),
    "a listed name": (DataPolicy(("vllm",)), HOST, []),
    "a kind of host is no vendor": (DataPolicy(("openai_compatible",)), HOST, [Limit.VENDORS]),
    "a region within": (DataPolicy(("anthropic",), ("eu",)), ANTHROPIC_EU, []),
    "a region outside": (DataPolicy(("anthropic",), ("us",)), ANTHROPIC_EU, [Limit.REGIONS]),
    "a region that nobody says": (DataPolicy(("openai",), ("eu",)), OPENAI, [Limit.REGIONS]),
    "both": (DataPolicy(("anthropic",), ("eu",)), OPENAI, [Limit.VENDORS, Limit.REGIONS]),
}


@pytest.mark.parametrize("name", EGRESS)
def test_data_goes_to_listed_vendors_and_regions_and_nowhere_else(name: str) -> None:
    """What nobody approved must not leave."""
    data, provider, limits = EGRESS[name]

    assert limits == [found.limit for found in outside(data, Provider("anthropic", "anthropic"), provider)]


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost.example", False),
        ("10.0.0.1", False),
        (None, False),
    ],
)
def test_loopback_is_what_leads_nowhere_else(host: str | None, is_here: bool) -> None:
    """Names can lead anywhere."""
    assert is_here == is_loopback(host)


@pytest.mark.parametrize(
    ("auth", "line"),
    [
        (Auth.BEARER, ("authorization", "Bearer K")),
        (Auth.X_API_KEY, ("x-api-key", "K")),
        (Auth.API_KEY, ("api-key", "K")),
        (Auth.X_GOOG_API_KEY, ("x-goog-api-key", "K")),
    ],
)
def test_a_key_goes_into_the_header_that_is_said(auth: Auth, line: tuple[str, str]) -> None:
    """One header, or none at all."""
    assert (line,) == auth.headers("K")
    assert () == auth.headers(None)
    assert () == Auth.NONE.headers("K")
