"""Whom to trust: TLS 1.2 or newer, host names verified, against the system's authorities or a file of one's own.

Contract. A process that could verify nobody says so when it starts, and what to install; it never goes on unverified.
Elsewhere: when a connection is encrypted (dial).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from midshift.errors import ConfigError

# Where systems keep all authorities in one file: Debian and Alpine, Fedora, openSUSE, BSD and macOS. An OpenSSL that
# was built elsewhere, as a portable Python's, looks in none of them.
BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/ca-bundle.pem"),
    Path("/etc/ssl/cert.pem"),
)


@dataclass(frozen=True, slots=True)
class Authorities:
    """Certificates to trust: a file of them, a folder as `openssl rehash` makes it, or both."""

    file: Path | None
    folder: Path | None


class Contexts:
    """The contexts of one process: one for each file of authorities, made when the first connection needs it.

    To load a system's authorities takes tens of milliseconds and about a megabyte each time.
    """

    __slots__ = ("_environment", "_made")

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._made: dict[Path | None, ssl.SSLContext] = {}

    def trusting(self, ca_file: Path | None) -> ssl.SSLContext:
        """The context that trusts this file, or without one the system.

        Raises:
            ConfigError: as `client_context`.
        """
        if ca_file not in self._made:
            self._made[ca_file] = client_context(ca_file, self._environment)
        return self._made[ca_file]


def client_context(ca_file: Path | None, environment: Mapping[str, str]) -> ssl.SSLContext:
    """What to verify servers with. `ca_file` stands in for the system's authorities.

    Without it, `SSL_CERT_FILE` and `SSL_CERT_DIR` of the environment do, as for OpenSSL.

    Raises:
        ConfigError: if there are no authorities, or a file holds none.
    """
    trusted = _named(ca_file, environment) or system_authorities()
    try:
        context = ssl.create_default_context(cafile=trusted.file, capath=trusted.folder)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"no certificate can be read from {str(trusted.file)!r} ({error.strerror or error}), expected a PEM file "
            "of authorities. Type next: openssl x509 -noout -subject -in FILE   (and mend ca_file or SSL_CERT_FILE)"
        ) from None
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["http/1.1"])
    return context


def system_authorities(
    bundles: Sequence[Path] = BUNDLES, defaults: ssl.DefaultVerifyPaths | None = None
) -> Authorities:
    """Where this system keeps the authorities that it trusts: where OpenSSL looks, and else in a known place.

    Raises:
        ConfigError: if it has none, as slim containers do.
    """
    compiled = defaults or ssl.get_default_verify_paths()
    files = [Path(compiled.openssl_cafile), *bundles]
    file = next((path for path in files if path.is_file()), None)
    folder = Path(compiled.openssl_capath)
    if file is not None:
        return Authorities(file, None)
    if folder.is_dir() and any(folder.iterdir()):
        return Authorities(None, folder)
    raise ConfigError(
        f"this system trusts no certificate authority, so no provider could be verified: found none in "
        f"{', '.join(map(str, files))}. Type next: apt-get install ca-certificates   (apk add ca-certificates on "
        "Alpine; or set ca_file, or SSL_CERT_FILE)"
    )


def _named(ca_file: Path | None, environment: Mapping[str, str]) -> Authorities | None:
    if ca_file is not None:
        return Authorities(ca_file, None)
    file, folder = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    if not file and not folder:
        return None
    return Authorities(Path(file) if file else None, Path(folder) if folder else None)
