"""What a process calls: what was applied, the keys that it refers to, and a local server in its place."""

from dataclasses import replace
from pathlib import Path

import pytest

from midshift.cli import upstreams
from midshift.config import Definitions
from midshift.errors import ConfigError
from midshift.providers.auth import Auth
from midshift.providers.definition import Provider
from midshift.providers.http.settings import Timeouts
from midshift.providers.secrets import SecretKind, SecretRef
from midshift.wire.protocol import WireName

PLANTED = "planted-" + "secret-0123456789"
LOCAL = "http://127.0.0.1:9/v1"
OPENAI = Provider("openai", "openai")
CLAUDE = Provider(
    "claude-eu",
    "anthropic",
    base_url="https://eu.api.anthropic.com",
    shadow_key=SecretRef(SecretKind.ENV, "SHADOW"),
    headers={"X-Team": "b"},
    timeouts=Timeouts(total_s=30.0),
    max_connections=7,
    ca_file="/etc/ca.pem",
)


def test_an_upstream_is_what_was_defined(tmp_path: Path) -> None:
    """Every field that somebody wrote must arrive where the requests are made."""
    found = upstreams.upstream(CLAUDE, {"ANTHROPIC_API_KEY": "k", "SHADOW": "s"}, tmp_path)

    assert ("https://eu.api.anthropic.com", "k", "s") == (found.base_url, found.api_key, found.shadow_api_key)
    assert (Auth.X_API_KEY, {"anthropic": ""}) == (found.auth, found.wires)
    assert {"anthropic": ((b"anthropic-version", b"2023-06-01"), (b"x-team", b"b"))} == found.headers
    assert (30.0, 7, Path("/etc/ca.pem")) == (found.timeouts.total_s, found.max_connections, found.ca_file)
    assert ((b"x-api-key", b"k"),) == found.lines_with("k")


def test_what_the_app_says_itself_is_not_said_twice() -> None:
    """An app that asks for a version of the API must get it."""
    found = upstreams.upstream(CLAUDE, {"ANTHROPIC_API_KEY": "k", "SHADOW": "s"})

    said = found.completed("anthropic", [(b"Anthropic-Version", b"2026-10-21")])

    assert [(b"Anthropic-Version", b"2026-10-21"), (b"x-team", b"b")] == list(said)
    assert [] == list(found.completed("openai_chat", []))


def test_a_vendors_own_key_goes_to_its_own_address_only() -> None:
    """A server that somebody puts in its place must not be handed the key of the account."""
    known = {"OPENAI_API_KEY": "sk-1", "MIDSHIFT_PROVIDER_OPENAI_URL": LOCAL}

    own = upstreams.upstream(OPENAI, {"OPENAI_API_KEY": "sk-1"})
    other = upstreams.upstream(OPENAI, known)
    with_key = upstreams.upstream(OPENAI, {**known, "MIDSHIFT_PROVIDER_OPENAI_KEY": "local"})

    assert ("https://api.openai.com/v1", "sk-1") == (own.base_url, own.api_key)
    assert [(LOCAL, None), (LOCAL, "local")] == [(one.base_url, one.api_key) for one in (other, with_key)]
    assert {"openai_chat": "", "openai_responses": ""} == other.wires


@pytest.mark.parametrize("host", ["10.0.0.1", "proxy.example", "localhost.example", "169.254.169.254", "[2001:db8::1]"])
def test_the_environment_leads_nowhere_off_this_machine(host: str) -> None:
    """Whoever can set a variable could send every user's text anywhere."""
    environment = {"MIDSHIFT_PROVIDER_OPENAI_URL": f"http://{host}/v1", "OPENAI_API_KEY": PLANTED}

    with pytest.raises(ConfigError, match="expected one of this machine.*Type next: providers:.*midshift apply") as no:
        upstreams.upstream(OPENAI, environment)

    assert PLANTED not in str(no.value)


@pytest.mark.parametrize("text", ["ftp://127.0.0.1", "127.0.0.1:9", "http://", f"http://me:{PLANTED}@127.0.0.1:9"])
def test_an_override_that_is_no_address_is_refused_and_not_repeated(text: str) -> None:
    """It may hold a password."""
    with pytest.raises(ConfigError) as refused:
        upstreams.upstream(OPENAI, {"MIDSHIFT_PROVIDER_OPENAI_URL": text})

    assert PLANTED not in f"{refused.value!r}"


def test_a_key_without_its_address_is_no_way_round_the_reference() -> None:
    """Secrets come by reference, from applied files."""
    with pytest.raises(ConfigError, match="MIDSHIFT_PROVIDER_OPENAI_KEY without MIDSHIFT_PROVIDER_OPENAI_URL") as no:
        upstreams.upstream(OPENAI, {"MIDSHIFT_PROVIDER_OPENAI_KEY": PLANTED})

    assert PLANTED not in str(no.value)


def test_what_is_needed_must_be_there_and_what_may_be_wanted_need_not() -> None:
    """A vendor that a workload merely admits may have no key yet; the incumbent's must."""
    definitions = Definitions({}, providers={"claude-eu": CLAUDE})

    assert {} == upstreams.upstreams(definitions, (), ("claude-eu", "openai", "vllm", "azure", "sim"), {})
    with pytest.raises(ConfigError, match="provider 'openai' has no key: found no OPENAI_API_KEY"):
        upstreams.upstreams(definitions, ("openai",), (), {})
    with pytest.raises(ConfigError, match="provider 'vllm' is neither a known vendor nor defined"):
        upstreams.upstreams(definitions, ("vllm",), (), {})
    with pytest.raises(ConfigError, match="provider 'sim' has no address, found no MIDSHIFT_PROVIDER_SIM_URL"):
        upstreams.upstreams(definitions, ("sim",), (), {})


def test_an_applied_definition_goes_before_the_vendor_of_that_name() -> None:
    """What somebody wrote is what they mean."""
    elsewhere = replace(OPENAI, base_url="https://proxy.example/v1", key=SecretRef(SecretKind.ENV, "PROXY"))
    definitions = Definitions({}, providers={"openai": elsewhere})

    found = upstreams.upstreams(definitions, ("openai",), (), {"PROXY": "p", "OPENAI_API_KEY": PLANTED})["openai"]

    assert ("https://proxy.example/v1", "p") == (found.base_url, found.api_key)
    assert WireName.OPENAI_CHAT in found.wires
    assert "'p'" not in repr(found)
