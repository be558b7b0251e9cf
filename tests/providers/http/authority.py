"""A certificate authority that lives as long as the tests, made with the openssl program."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True, slots=True)
class Authority:
    """A folder with `ca.pem` and `ca.key`, and what was signed."""

    folder: Path

    @classmethod
    def made_in(cls, folder: Path) -> Authority:
        """A new authority."""
        subject = ["-days", "2", "-subj", "/CN=A test's authority"]
        openssl(folder, "req", "-x509", *_KEY, *subject, "-keyout", "ca.key", "-out", "ca.pem")
        return cls(folder)

    @property
    def ca_file(self) -> Path:
        """What a client trusts."""
        return self.folder / "ca.pem"

    def server_context(self, names: str) -> ssl.SSLContext:
        """A server's certificate for these names, as openssl writes them: `DNS:one.test,IP:127.0.0.1`."""
        openssl(self.folder, "req", *_KEY, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr")
        (self.folder / "names").write_text(f"subjectAltName={names}")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2"]
        openssl(self.folder, "x509", "-req", "-in", "server.csr", *signed, "-out", "server.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        return context


def openssl(folder: Path, *arguments: str) -> None:
    """Run the program there."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
