"""What a gateway is told, and what is said of what it lacks."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from midshift.cli.gateway_settings import GatewayOptions, gateway_settings
from midshift.cli.limits import SaidLimits
from midshift.cli.project import applied
from midshift.errors import ConfigError
from midshift.gateway.settings import GatewaySettings, Limits
from tests.cli.test_defining import OLD_FILE, WORKLOAD, a_product, edit, run, store_of

UNIT_KEY = "unit-key-0123456789"
KNOWN = {"MIDSHIFT_UNIT_KEY": UNIT_KEY, "MIDSHIFT_PROVIDER_SIM_URL": "http://127.0.0.1:9/v1"}


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """A product whose definitions are applied."""
    a_product(tmp_path)
    run(tmp_path, "apply", "--who", "ada")
    return tmp_path


def settings(product: Path, environment: Mapping[str, str], host: str = "127.0.0.1") -> GatewaySettings:
    """What a gateway would be told."""
    options = GatewayOptions(product / "state", "gateway-1", host, 0)
    with store_of(product) as store:
        return gateway_settings(store, applied(store), options, environment)


def test_a_gateway_is_told_what_was_applied(product: Path) -> None:
    """Files define, the store decides: a gateway on another host has no files."""
    found = settings(product, KNOWN)

    assert [WORKLOAD] == [workload.name for workload in found.workloads]
    assert {"sim": "http://127.0.0.1:9/v1"} == {name: one.base_url for name, one in found.upstreams.items()}
    assert product / "state" / "gateways" / "gateway-1" == found.state_dir


def test_beyond_loopback_a_gateway_asks_for_keys(product: Path) -> None:
    """Anybody could spend the provider's key otherwise."""
    with pytest.raises(ConfigError, match="MIDSHIFT_CLIENT_KEYS"):
        settings(product, KNOWN, host="0.0.0.0")

    keys = "client-key-0123456789, client-key-9876543210"
    found = settings(product, {**KNOWN, "MIDSHIFT_CLIENT_KEYS": keys}, host="0.0.0.0")
    assert ["client-1", "client-2"] == [key.name for key in found.client_keys]


@pytest.mark.parametrize("missing", sorted(KNOWN))
def test_what_a_gateway_lacks_is_said_by_its_variable(product: Path, missing: str) -> None:
    """A process that does not start must say what to type."""
    with pytest.raises(ConfigError, match=f"found no {missing}.*Type next: export {missing}="):
        settings(product, {name: value for name, value in KNOWN.items() if name != missing})


PROVIDERS = """
providers:
  my-host: {vendor: openai_compatible, base_url: "https://vllm.example:8000/v1", key: env:MY_KEY, region: eu}
  anthropic: {shadow_key: env:SHADOW}
"""


def test_a_gateway_takes_addresses_from_what_was_applied(tmp_path: Path) -> None:
    """The files are not on its host: whoever changes an address has to apply it, under a name, with a commit."""
    a_product(tmp_path)
    main = tmp_path / "midshift.yaml"
    main.write_text(main.read_text(encoding="utf-8") + PROVIDERS, encoding="utf-8")
    edit(main, "vendors: [sim]", "vendors: [my-host, anthropic]")
    edit(tmp_path / OLD_FILE, "provider: sim", "provider: my-host")
    run(tmp_path, "apply", "--who", "ada")
    main.unlink()
    keys = {"MY_KEY": "k-1", "ANTHROPIC_API_KEY": "k-2", "SHADOW": "k-3"}

    found = settings(tmp_path, {"MIDSHIFT_UNIT_KEY": UNIT_KEY, **keys}).upstreams
    with pytest.raises(ConfigError, match="provider 'my-host' has no key: found no MY_KEY"):
        settings(tmp_path, {"MIDSHIFT_UNIT_KEY": UNIT_KEY})

    assert {"my-host", "anthropic"} == set(found)
    assert ("https://vllm.example:8000/v1", "k-1") == (found["my-host"].base_url, found["my-host"].api_key)
    assert ("k-2", "k-3") == (found["anthropic"].api_key, found["anthropic"].shadow_api_key)
    with store_of(tmp_path) as store:
        stored = json.dumps([item.content for item in store.definitions()])
    assert "env:MY_KEY" in stored
    assert [] == [key for key in keys.values() if key in stored]


def test_a_gateway_is_told_its_shadow_budget(product: Path) -> None:
    """In dollars a day; without one there is no limit."""
    with store_of(product) as store:
        for budget in (None, 20.0):
            options = GatewayOptions(product / "state", "g", "127.0.0.1", 0, None, budget)
            found = gateway_settings(store, applied(store), options, KNOWN)
            assert budget == found.shadow.budget_usd_per_day


def test_a_gateway_is_told_its_limits(product: Path) -> None:
    """What is typed reaches the process that refuses by it."""
    with store_of(product) as store:
        options = GatewayOptions(product / "state", "g", "127.0.0.1", 0, limits=SaidLimits(max_in_flight=5000))
        found = gateway_settings(store, applied(store), options, KNOWN)

    assert Limits(max_in_flight=5000) == found.limits


def test_a_unit_key_that_is_too_short_is_named_with_one_to_type(product: Path) -> None:
    """A person set an environment variable, and knows nothing of a field called `unit_key`."""
    with pytest.raises(ConfigError, match=r"MIDSHIFT_UNIT_KEY has 5 bytes, expected at least 16.*Type next: export"):
        settings(product, {**KNOWN, "MIDSHIFT_UNIT_KEY": "short"})
