"""Whom the client trusts, when it starts."""

import ssl
from pathlib import Path

import pytest

from midshift.errors import ConfigError
from midshift.providers.http.pool import Pool
from midshift.providers.http.settings import Upstream
from midshift.providers.http.tls import Authorities, Contexts, client_context, system_authorities
from tests.providers.http.authority import Authority


def looking_in(file: Path, folder: Path) -> ssl.DefaultVerifyPaths:
    """What an OpenSSL that was built for these places says."""
    return ssl.DefaultVerifyPaths("", "", "SSL_CERT_FILE", str(file), "SSL_CERT_DIR", str(folder))


def test_tls_is_1_2_or_newer_and_names_are_verified(authority: Authority) -> None:
    """Older versions are broken, and an unverified server is anybody."""
    context = client_context(authority.ca_file, {})

    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert (True, ssl.CERT_REQUIRED) == (context.check_hostname, context.verify_mode)


def test_a_file_of_ones_own_stands_in_for_the_systems_authorities(authority: Authority) -> None:
    """Whoever runs a private authority does not want the public ones to vouch for its hosts."""
    for context in (
        client_context(authority.ca_file, {}),
        client_context(None, {"SSL_CERT_FILE": str(authority.ca_file)}),
        client_context(authority.ca_file, {"SSL_CERT_FILE": "/nowhere"}),
    ):
        assert 1 == len(context.get_ca_certs())
        assert "A test's authority" in str(context.get_ca_certs())


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_file_without_certificates_is_refused_at_the_start(tmp_path: Path, content: bytes | None) -> None:
    """Later it would be an error of every single call."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"no certificate can be read from .*ca\.pem"):
        Pool(Upstream("https://api.example.com", ca_file=path))


def test_a_system_without_authorities_says_what_to_install(tmp_path: Path) -> None:
    """Slim containers have none; the first call is too late to hear of it."""
    empty = tmp_path / "certs"
    empty.mkdir()

    for folder in (empty, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="apt-get install ca-certificates"):
            system_authorities([tmp_path / "a.crt"], looking_in(tmp_path / "b.pem", folder))


def test_authorities_are_where_openssl_looks_or_in_a_known_place(tmp_path: Path) -> None:
    """A portable Python's OpenSSL was built on another system, and looks where that one kept them."""
    known, compiled, folder = tmp_path / "known.crt", tmp_path / "compiled.pem", tmp_path / "certs"
    folder.mkdir()
    (folder / "0a1b2c3d.0").touch()

    assert Authorities(None, folder) == system_authorities([known], looking_in(compiled, folder))
    known.touch()
    assert Authorities(known, None) == system_authorities([known], looking_in(compiled, folder))
    compiled.touch()
    assert Authorities(compiled, None) == system_authorities([known], looking_in(compiled, folder))


def test_a_host_without_tls_needs_no_authorities() -> None:
    """A model on this machine runs in the slimmest of containers."""
    nowhere = {"SSL_CERT_FILE": "/nowhere"}

    assert 0 == Pool(Upstream("http://127.0.0.1:8000/v1"), environment=nowhere).counts().open
    with pytest.raises(ConfigError, match="/nowhere"):
        Pool(Upstream("https://127.0.0.1:8000/v1"), environment=nowhere)


def test_pools_of_one_gateway_load_each_file_of_authorities_once(authority: Authority, tmp_path: Path) -> None:
    """Tens of milliseconds and a megabyte for each pool, and a gateway has two for each provider."""
    other = tmp_path / "other.pem"
    other.write_bytes(authority.ca_file.read_bytes())
    contexts = Contexts({"SSL_CERT_FILE": str(authority.ca_file)})

    assert contexts.trusting(None) is contexts.trusting(None)
    assert contexts.trusting(other) is contexts.trusting(other)
    assert contexts.trusting(None) is not contexts.trusting(other)


def test_pools_trust_what_they_are_given(authority: Authority, tmp_path: Path) -> None:
    """The file is gone when the second pool is made: it is not read again."""
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.ca_file.read_bytes())
    contexts = Contexts({})
    Pool(Upstream("https://one.test", ca_file=file), contexts=contexts)
    file.unlink()

    Pool(Upstream("https://two.test", ca_file=file), contexts=contexts)
    with pytest.raises(ConfigError, match="no certificate can be read"):
        Pool(Upstream("https://three.test", ca_file=file))
