"""Which proxy the environment names."""

import pytest

from midshift.errors import ConfigError
from midshift.providers.http.proxies import Proxy, is_direct, proxy_for

HOST = "api.example.com"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://one:3128"}, Proxy("one", 3128)),
        ({"https_proxy": "http://two:1", "HTTPS_PROXY": "http://one:1"}, Proxy("two", 1)),
        ({"https_proxy": "", "HTTPS_PROXY": "http://one:1"}, None),
        ({"ALL_PROXY": "http://all"}, Proxy("all", 80)),
        ({"HTTPS_PROXY": "http://one:1", "ALL_PROXY": "http://all:1"}, Proxy("one", 1)),
        ({"HTTP_PROXY": "http://one:1"}, None),
        ({"HTTPS_PROXY": "one:3128"}, Proxy("one", 3128)),
        ({"HTTPS_PROXY": "https://one"}, Proxy("one", 443, is_secure=True)),
        ({"HTTPS_PROXY": "http://[::1]:3128"}, Proxy("::1", 3128)),
        ({"HTTPS_PROXY": "http://a%40b:c%3Ad@one:1"}, Proxy("one", 1, authorization=b"Basic YUBiOmM6ZA==")),
        ({"HTTPS_PROXY": "http://one:1", "NO_PROXY": HOST}, None),
        ({"HTTPS_PROXY": "http://one:1", "no_proxy": "", "NO_PROXY": HOST}, Proxy("one", 1)),
    ],
)
def test_the_environment_names_the_proxy(environment: dict[str, str], expected: Proxy | None) -> None:
    """As curl and the vendors' clients read it."""
    assert expected == proxy_for("https", HOST, 443, environment)


def test_a_header_of_a_client_does_not_choose_the_proxy() -> None:
    """CVE-2016-5385: under CGI a header `Proxy: evil` becomes HTTP_PROXY."""
    evil = {"HTTP_PROXY": "http://evil:1"}

    assert Proxy("evil", 1) == proxy_for("http", HOST, 80, evil)
    assert proxy_for("http", HOST, 80, {**evil, "REQUEST_METHOD": "POST"}) is None


@pytest.mark.parametrize("value", ["socks5://one:1", "http://", "http://one:99999", "http://one:0", "://"])
def test_what_is_no_http_proxy_is_refused_by_its_variable(value: str) -> None:
    """Going on without it would lead past what the owner of the network wants."""
    with pytest.raises(ConfigError, match="HTTPS_PROXY is no address of an HTTP proxy"):
        proxy_for("https", HOST, 443, {"HTTPS_PROXY": value})


def test_a_password_is_not_repeated() -> None:
    """Neither in an error nor in a repr."""
    with pytest.raises(ConfigError) as refused:
        proxy_for("https", HOST, 443, {"HTTPS_PROXY": "socks5://user:secret@one:1"})

    assert "secret" not in str(refused.value)
    assert "c2Vjcm" not in repr(Proxy("one", 1, authorization=b"Basic dTpzZWNyZXQ="))


@pytest.mark.parametrize(
    ("no_proxy", "host", "expected"),
    [
        ("", HOST, False),
        ("*", HOST, True),
        ("api.example.com", HOST, True),
        ("example.com", HOST, True),
        (".example.com", HOST, True),
        ("*.example.com", HOST, True),
        (".example.com", "example.com", True),
        ("EXAMPLE.com", "Api.Example.COM.", True),
        ("ample.com", HOST, False),
        ("example.com.evil", HOST, False),
        ("other.com, example.com", HOST, True),
        ("other.com example.com", HOST, True),
        ("example.com:8443", HOST, True),
        ("example.com:443", HOST, False),
        ("*:8443", HOST, True),
        (".", HOST, False),
        ("*.", HOST, False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8443", "10.1.2.3", True),
        ("10.1.2.3:1", "10.1.2.3", False),
        ("1.2.3", "10.1.2.3", False),
        ("fd00::/8", "fd12::1", True),
        ("fd12::1", "fd12::1", True),
        ("[fd12::1]:8443", "fd12::1", True),
        ("[fd12::1]:1", "fd12::1", False),
        ("10.0.0.0/99", "10.1.2.3", False),
        ("", "localhost", True),
        ("", "127.0.0.9", True),
        ("", "::1", True),
        ("", "localhost.example.com", False),
    ],
)
def test_no_proxy_names_hosts_below_a_domain_addresses_networks_and_ports(
    no_proxy: str, host: str, expected: bool
) -> None:
    """One rule a line; a proxy would reach its own loopback, so that is never asked through one."""
    assert expected == is_direct(host, 8443, no_proxy)
