"""What a gateway refuses to start with."""

from __future__ import annotations

import math
from typing import Any

import pytest

from midshift.domain.variant import Variant
from midshift.errors import ConfigError
from midshift.gateway.settings import Admin, ClientKey, GatewaySettings, Shadow, is_loopback
from midshift.providers.http.settings import Timeouts, Upstream
from tests.gateway.fakes import UNIT_KEY, a_workload

GOOD = "Zm9vYmFyYmF6cXV4cXV1eA"


def the_settings(**fields: Any) -> GatewaySettings:
    """Settings that are right, but for what is given."""
    given: dict[str, Any] = {
        "name": "g",
        "workloads": (a_workload(),),
        "upstreams": {"old-provider": Upstream("http://127.0.0.1/v1", api_key=GOOD)},
        "unit_key": UNIT_KEY,
        **fields,
    }
    return GatewaySettings(**given)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])
def test_beyond_loopback_only_with_client_keys(host: str) -> None:
    """Gateways that were open by default have been emptied."""
    with pytest.raises(ConfigError, match="without client keys"):
        the_settings(host=host)

    assert host == the_settings(host=host, client_keys=(ClientKey("app", GOOD),)).host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_loopback_is_recognised(host: str) -> None:
    """Adoption on one machine needs no key."""
    assert is_loopback(host)


@pytest.mark.parametrize("secret", ["", "sk-1234", "a" * 40, "abababababababababababab", "passwordpassword"[:15]])
def test_keys_that_are_easily_guessed_are_refused_without_being_repeated(secret: str) -> None:
    """The message says how to make one, and goes to a log."""
    for make in (lambda: ClientKey("app", secret), lambda: Admin(secret)):
        with pytest.raises(ConfigError, match="too easily guessed") as refused:
            make()
        assert not secret or repr(secret) not in str(refused.value)


@pytest.mark.parametrize(
    "field", ["max_concurrent", "timeout_s", "max_held_bytes", "max_per_minute", "budget_usd_per_day", "unpriced_usd"]
)
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_a_limit_of_the_mirror_is_above_nothing(field: str, value: float) -> None:
    """A price of 0 would make a budget that is never used up; a limit that is NaN never holds."""
    with pytest.raises(ConfigError, match=f"shadow {field} must be above 0"):
        Shadow(**{field: value})  # type: ignore[arg-type]


def test_secrets_do_not_show() -> None:
    """Settings are printed in tracebacks and logs."""
    settings = the_settings(
        upstreams={"old-provider": Upstream("http://127.0.0.1/v1", api_key=GOOD, shadow_api_key=GOOD)},
        client_keys=(ClientKey("app", GOOD),),
        admin=Admin(GOOD),
    )

    assert GOOD not in repr(settings)
    assert repr(UNIT_KEY) not in repr(settings)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"unit_key": b"short"}, "unit_key needs at least 16 bytes"),
        ({"poll_s": 0.2}, "poll_s lies in 0..0.1"),
        ({"poll_s": 0.0}, "poll_s lies in 0..0.1"),
        ({"workloads": (a_workload(), a_workload())}, "workload given twice: 'support'"),
        ({"workloads": (a_workload(), a_workload(name="other"))}, "claim given twice: 'old-model'"),
        ({"upstreams": {}}, "served by provider 'old-provider', which is not among the upstreams: none"),
        ({"client_keys": (ClientKey("a", GOOD), ClientKey("b", GOOD))}, "client key given twice$"),
        (
            {"workloads": (a_workload(incumbent=Variant("x", "m")),)},
            "provider 'x', .* among the upstreams: 'old-provider'",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(fields: dict[str, Any], said: str) -> None:
    """At the start, and not at the first request."""
    with pytest.raises(ConfigError, match=said):
        the_settings(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": "ftp://h/v1"},
        {"base_url": "https://"},
        {"base_url": "h/v1"},
        {"base_url": "https://h/v1?key=1"},
        {"base_url": "https://user:pass@h/v1"},
        {"base_url": "https://h", "api_key": "a\r\nx-evil: 1"},
        {"base_url": "https://h", "shadow_api_key": "a b"},
        {"base_url": "https://h", "max_connections": 0},
    ],
)
def test_an_upstream_that_cannot_work_is_refused(fields: dict[str, Any]) -> None:
    """Without repeating what may be a secret."""
    with pytest.raises(ConfigError) as refused:
        Upstream(**fields)
    assert not any(secret in str(refused.value) for secret in ("pass@", "x-evil", "key=1"))


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("name", ["connect_s", "first_byte_s", "idle_s", "total_s"])
def test_every_timeout_is_a_limit(name: str, value: float) -> None:
    """`no limit` is how a silent server holds a gateway for ever."""
    with pytest.raises(ConfigError, match=name):
        Timeouts(**{name: value})
