"""TLS in front of the mock provider: a certificate, and whoever decrypts.

nginx where it is found (BENCH_NGINX, or on the PATH). Else a relay on uvloop, made here: it takes more of the first
core than the mock does, so that answers a second say how fast *it* is. What the gateway spends on an answer is the
gateway's own either way, and is the figure to read. Connections stay open: handshakes are hardly in it.

    python bench/gateway/tls.py PORT PROVIDER_PORT CERTIFICATE KEY
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import uvloop


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine that signs itself, and its key.

    Raises:
        SystemExit: without the openssl program.
    """
    if shutil.which("openssl") is None:
        raise SystemExit("bench: needs openssl for its certificate. Type next: apt-get install openssl")
    made, key = folder / "server.pem", folder / "server.key"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    command = ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


def terminator(folder: Path, port: int, provider_port: int) -> tuple[str, Sequence[str], Path]:
    """Who decrypts, the command, and the file to trust."""
    made, key = certificate(folder)
    nginx = os.environ.get("BENCH_NGINX") or shutil.which("nginx")
    if nginx:
        return "nginx", [nginx, "-c", str(_nginx(folder, port, provider_port, made, key))], made
    numbers = (str(port), str(provider_port))
    return "a relay on uvloop", [sys.executable, __file__, *numbers, str(made), str(key)], made


def _nginx(folder: Path, port: int, provider_port: int, made: Path, key: Path) -> Path:
    """TLS alone: bytes go on as they are."""
    own = folder / "nginx-tls"
    own.mkdir(exist_ok=True)
    path = own / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # nginx makes a folder for each, whatever it serves
    places = "; ".join(f"{kind}_temp_path {own}/{kind}" for kind in kinds)
    path.write_text(
        f"worker_processes 1; daemon off; pid {own}/pid; error_log {own}/error.log warn; worker_rlimit_nofile 65536;\n"
        "events { worker_connections 16384; }\nhttp { access_log off; keepalive_requests 100000000;\n"
        f" {places}; client_body_buffer_size 64k;\n"
        f" upstream up {{ server 127.0.0.1:{provider_port}; keepalive 512; keepalive_requests 100000000; }}\n"
        f" server {{ listen 127.0.0.1:{port} ssl backlog=4096; ssl_certificate {made}; ssl_certificate_key {key};\n"
        '  location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";'
        " proxy_buffering off; } } }\n",
        encoding="utf-8",
    )
    return path


class _Side(asyncio.Protocol):
    """One end of a relayed connection; what it hears goes to `other`, and what comes before that is there waits."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)
        else:
            self._early.append(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def joined(self, other: _Side) -> None:
        """Begin to relay."""
        self.other, other.other = other, self
        if self.transport is None and other.transport is not None:
            other.transport.close()
        for data in self._early:
            self.data_received(data)


async def relay(port: int, provider_port: int, context: ssl.SSLContext) -> None:
    """Decrypt and pass on, until ended."""
    loop = asyncio.get_running_loop()
    joining: set[asyncio.Task[None]] = set()

    async def join(app: _Side) -> None:
        _, provider = await loop.create_connection(_Side, "127.0.0.1", provider_port)
        app.joined(provider)

    class Front(_Side):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            task = loop.create_task(join(self))
            joining.add(task)
            task.add_done_callback(joining.discard)

    server = await loop.create_server(Front, "127.0.0.1", port, ssl=context, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """Relay, by the arguments."""
    port, provider_port, made, key = sys.argv[1:5]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    uvloop.run(relay(int(port), int(provider_port), context))


if __name__ == "__main__":
    main()
