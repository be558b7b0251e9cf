"""The gateways beside ours, and how each is started: as its own documents say for production, on one core.

A peer that is not here is said to be missing and is not measured. Where they are looked for: `nginx`, `envoy`,
`litellm` and `portkey` on the PATH, or where BENCH_NGINX, BENCH_ENVOY, BENCH_LITELLM (the commands) and BENCH_PORTKEY
(its `start-server.js`) say. What each does not do that ours does is in docs/why/gateway-speed.md.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PORTS = {"nginx": 8101, "nginx mirror": 8102, "envoy": 8111, "envoy mirror": 8112, "litellm": 8201, "portkey": 8301}
LITELLM_KEY = "sk-5f3a9c1e7b2d48065f3a9c1e7b2d4806"


@dataclass(frozen=True, slots=True)
class Peer:
    """A gateway that may be measured, in the `phases` that it can do; `command` is empty where it is absent."""

    name: str
    command: Sequence[str]
    port: int
    phases: Sequence[str]
    lines: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    stream_connections: int = 256


def peers(folder: Path, provider_port: int) -> list[Peer]:
    """All of them, with their configuration written into `folder`."""
    plain = ("plain", "streams", "paced")
    return [
        Peer("nginx", _nginx(folder, provider_port, "nginx"), PORTS["nginx"], plain),
        Peer("nginx mirror", _nginx(folder, provider_port, "nginx mirror"), PORTS["nginx mirror"], ("shadow",)),
        Peer("envoy", _envoy(folder, provider_port, "envoy"), PORTS["envoy"], plain),
        Peer("envoy mirror", _envoy(folder, provider_port, "envoy mirror"), PORTS["envoy mirror"], ("shadow",)),
        _litellm(folder, provider_port),
        _portkey(provider_port),
    ]


def _found(name: str) -> str:
    return os.environ.get(f"BENCH_{name.upper()}") or shutil.which(name) or ""


def _nginx(folder: Path, provider_port: int, name: str) -> Sequence[str]:
    own = folder / name.replace(" ", "-")
    own.mkdir(exist_ok=True)
    mirror = "mirror /mirror; mirror_request_body on;" if "mirror" in name else ""
    places = "; ".join(
        f"{kind}_temp_path {own}/{kind}" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    passed = 'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;'
    text = (
        f"worker_processes 1; daemon off; pid {own}/pid; error_log {own}/error.log warn; worker_rlimit_nofile 65536;\n"
        f"events {{ worker_connections 8192; }}\nhttp {{ access_log off; client_body_buffer_size 64k; {places};\n"
        " keepalive_requests 100000000;\n"
        f" upstream up {{ server 127.0.0.1:{provider_port}; keepalive 512; keepalive_requests 100000000; }}\n"
        f" server {{ listen 127.0.0.1:{PORTS[name]} backlog=4096;\n"
        f"  location / {{ {mirror} proxy_pass http://up; {passed} }}\n"
        f"  location = /mirror {{ internal; proxy_pass http://up$request_uri; {passed} }} }} }}\n"
    )
    path = own / "nginx.conf"
    path.write_text(text, encoding="utf-8")
    return [_found("nginx"), "-c", str(path)] if _found("nginx") else []


def _envoy(folder: Path, provider_port: int, name: str) -> Sequence[str]:
    mirror = ", request_mirror_policies: [{cluster: up}]" if "mirror" in name else ""
    types = "type.googleapis.com/envoy.extensions.filters"
    breakers = "{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000, max_retries: 100}"
    address = f"{{socket_address: {{address: 127.0.0.1, port_value: {provider_port}}}}}"
    text = f"""\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {PORTS[name]}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {types}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          codec_type: HTTP1
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: up, timeout: 0s{mirror}}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": {types}.http.router.v3.Router}}
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 1s
    circuit_breakers: {{thresholds: [{breakers}]}}
    load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {address}}}}}]}}]}}
"""
    path = folder / f"{name.replace(' ', '-')}.yaml"
    path.write_text(text, encoding="utf-8")
    options = ("--concurrency", "1", "-l", "error", "--disable-hot-restart")
    return [_found("envoy"), "-c", str(path), *options] if _found("envoy") else []


def _litellm(folder: Path, provider_port: int) -> Peer:
    """One worker without a database and without callbacks: the least that it can do. It shadows by `silent_model`."""
    model = f'{{model: openai/MODEL, api_base: "http://127.0.0.1:{provider_port}/v1", api_key: sk-upstream'
    text = (
        "model_list:\n"
        f"  - {{model_name: sonnet-3.7, litellm_params: {model.replace('MODEL', 'sonnet-3.7')}}}}}\n"
        "litellm_settings: {num_retries: 0, telemetry: false, set_verbose: false}\n"
        "general_settings: {disable_spend_logs: true}\n"
    )
    path = folder / "litellm.yaml"
    path.write_text(text, encoding="utf-8")
    port = PORTS["litellm"]
    options = ("--config", str(path), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    return Peer(
        "litellm",
        [_found("litellm"), *options] if _found("litellm") else [],
        port,
        ("plain", "streams"),  # it cannot hold 200 requests a second on one core: a paced run only measures its queue
        {"authorization": f"Bearer {LITELLM_KEY}"},
        {
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_MASTER_KEY": LITELLM_KEY,
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "NO_DOCS": "True",
        },
        stream_connections=16,
    )


def _portkey(provider_port: int) -> Peer:
    port, server = PORTS["portkey"], os.environ.get("BENCH_PORTKEY", "")
    lines = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{provider_port}/v1"}
    command = ["node", server, f"--port={port}", "--headless"] if server and shutil.which("node") else []
    return Peer("portkey", command, port, ("plain", "streams", "paced"), lines, {"NODE_ENV": "production"})
