"""Which proxy stands between this machine and a host, as the environment says it.

Contract. `HTTPS_PROXY` is for https addresses, `HTTP_PROXY` for http ones, `ALL_PROXY` for those that have none of
their own; names in lower case win, an empty value means none. `HTTP_PROXY` in capitals is not read where
`REQUEST_METHOD` is set: there a client's header could have written it (httpoxy.org, CVE-2016-5385).

`NO_PROXY` lists hosts that are reached directly, between commas or blanks:

- `*`: all of them;
- `example.com`, `.example.com` or `*.example.com`: that host, and every host below it;
- `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`: an address, or a network; for hosts that are written as addresses;
- any of these with `:PORT` (`example.com:8443`, `[::1]:8443`): only at that port.

`localhost` and loopback addresses are always reached directly: a proxy would reach its own.
Elsewhere: how a proxy is spoken to (dial, pool).
"""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from midshift.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens; `authorization` is the value of Proxy-Authorization, or nothing."""

    host: str
    port: int
    is_secure: bool = False
    authorization: bytes = field(default=b"", repr=False)


def proxy_for(scheme: str, host: str, port: int, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for a host, or None.

    Raises:
        ConfigError: naming the variable, if its value is no address of an HTTP proxy.
    """
    if is_direct(host, port, _value(environment, "no_proxy")):
        return None
    for name in (f"{scheme}_proxy", "all_proxy"):
        if value := _value(environment, name):
            return _parsed(name, value)
    return None


def is_direct(host: str, port: int, no_proxy: str) -> bool:
    """Whether a host is reached without a proxy, by the rules of this module."""
    host = host.lower().rstrip(".")
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_names(entry, host, address, port) for entry in no_proxy.replace(",", " ").split())


def _value(environment: Mapping[str, str], name: str) -> str:
    if name in environment:
        return environment[name].strip()
    if name == "http_proxy" and "REQUEST_METHOD" in environment:
        return ""
    return environment.get(name.upper(), "").strip()


def _parsed(name: str, value: str) -> Proxy:
    parts = urlsplit(value if "://" in value else f"http://{value}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(
            f"{name.upper()} is no address of an HTTP proxy: found scheme {parts.scheme!r} and host "
            f"{parts.hostname!r}, expected http(s)://[USER:PASSWORD@]HOST:PORT. Type next: "
            f"export {name.upper()}=http://HOST:PORT   (or unset it; SOCKS is not spoken)"
        )
    is_secure = parts.scheme == "https"
    return Proxy(parts.hostname, port or (443 if is_secure else 80), is_secure, _basic(parts.username, parts.password))


def _basic(user: str | None, password: str | None) -> bytes:
    """RFC 7617; user and password are percent-encoded in a URL."""
    if user is None:
        return b""
    return b"Basic " + b64encode(f"{unquote(user)}:{unquote(password or '')}".encode())


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _names(entry: str, host: str, address: _Address | None, port: int) -> bool:
    """Whether an entry of NO_PROXY is about this host."""
    name, at = _with_port(entry.lower())
    if at is not None and at != port:
        return False
    if name == "*":
        return True
    if address is not None:
        return _contains(name, address)
    suffix = name.removeprefix("*").strip(".")
    return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))


def _with_port(entry: str) -> tuple[str, int | None]:
    """An entry's name and port; the colons of a bare IPv6 address are no port."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, int(rest[1:]) if rest[1:].isdecimal() else None
    name, colon, port = entry.rpartition(":")
    return (name, int(port)) if colon and ":" not in name and port.isdecimal() else (entry, None)


def _contains(network: str, address: _Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
