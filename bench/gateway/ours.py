"""A product whose gateway does everything that it can do, made of files and of midshift's own commands.

Keys that apps show, units, slices by rule, prices, sums, the record of every request, texts captured; a candidate with
another model, another prompt and another effort. The store is SQLite, the record is on disk. Nothing is a mock but the
provider: the process is `midshift serve gateway`.
"""

from __future__ import annotations

import compileall
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import midshift
from midshift.cli import main as cli
from midshift.config import load_variant
from midshift.domain.routing import Route
from midshift.store.sql import SqlStore

KEY = "a-client-key-of-this-bench-0123456789"
MODEL = "sonnet-3.7"
WORKLOAD = "support"

_MAIN = """\
version: 1
workloads:
  support:
    claims: [sonnet-3.7]
    unit: [body:user, conversation]
    cycle: weekly
    stakes: normal
    slices:
      acme: {when: {body: metadata.tenant, equals: acme}}
      others: {when: {body: metadata.tenant, equals: none}}
    incumbent: variants/old.yaml
    suite: suite.jsonl
    upgrade: {steps: [25%, 100%], holds: [7d], margin: 2pt}
    data:
      vendors: [bench]
      capture: {texts: TEXTS%, keep: 14d}
    runbook: oncall.md
providers:
  bench: {vendor: openai_compatible, ADDRESS, region: eu, max_connections: 4200}
"""
_CANDIDATE = """\
provider: bench
model: sonnet-4.6
effort: low
prompt: {mode: replace, file: ../prompt.md}
"""
_PRICES = """\
format: midshift.prices/1
prices:
  - {provider: bench, model: sonnet-3.7, per_million_tokens: {input: 3, output: 15}, source: made up, date: 2026-01-01}
  - {provider: bench, model: sonnet-4.6, per_million_tokens: {input: 3, output: 15}, source: made up, date: 2026-01-01}
"""


def prepare(
    folder: Path, provider_port: int, texts_percent: int, share: float, shadow_share: float, ca_file: Path | None = None
) -> None:
    """Write the files, apply them, and give the store the routing row that a controller would have written.

    The bytecode is written first, as an installation does: where PYTHONDONTWRITEBYTECODE is set, each start of a source
    tree would compile all of it. With a `ca_file` the provider is spoken to encrypted.
    """
    compileall.compile_dir(Path(midshift.__file__).parent, quiet=1)
    _write(folder, _MAIN.replace("TEXTS", str(texts_percent)).replace("ADDRESS", _address(provider_port, ca_file)))
    if cli.run(["apply", "--who", "bench", "--config", str(folder), "--store", _store(folder)]) != 0:
        raise SystemExit("bench: midshift apply refused the files of the benchmark, and says why above")
    candidate = load_variant(folder, "variants/new.yaml").variant
    with SqlStore.open(f"sqlite:///{folder / 'midshift.db'}") as store:
        store.put_variant(candidate)
        before = store.route(WORKLOAD)
        assert before is not None
        route = _route(before, candidate.id, share, shadow_share)
        store.put_route(route, before.epoch)


def command(folder: Path, port: int, *limits: str) -> list[str]:
    """The gateway of production; `limits` are options more."""
    options = ("--name", "gateway-1", "--port", str(port), "--config", str(folder), "--store", _store(folder))
    return [sys.executable, "-m", "midshift", "serve", "gateway", *options, "--state", str(folder / "state"), *limits]


def environment() -> Mapping[str, str]:
    """What it is told besides."""
    return {
        "MIDSHIFT_UNIT_KEY": "a-unit-key-of-this-bench-0123456789",
        "MIDSHIFT_CLIENT_KEYS": KEY,
        "BENCH_API_KEY": "a-provider-key",
    }


def _address(port: int, ca_file: Path | None) -> str:
    if ca_file is None:
        return f'base_url: "http://127.0.0.1:{port}/v1"'
    return f'base_url: "https://127.0.0.1:{port}/v1", ca_file: "{ca_file}"'


def _route(before: Route, candidate: str, share: float, shadow_share: float) -> Route:
    return replace(
        before,
        epoch=before.epoch + 1,
        candidate=candidate,
        share=share,
        shadow_share=shadow_share,
        salt="salt",
        step=2,
        upgrade="support-1",
        lease_until=datetime.now(UTC) + timedelta(hours=12),
    )


def _store(folder: Path) -> str:
    (folder / "store.txt").write_text(f"sqlite:///{folder / 'midshift.db'}\n", encoding="utf-8")
    return "file:store.txt"


def _write(folder: Path, main: str) -> None:
    texts = {
        "midshift.yaml": main,
        "prices.yaml": _PRICES,
        "variants/old.yaml": "provider: bench\nmodel: sonnet-3.7\n",
        "variants/new.yaml": _CANDIDATE,
        "prompt.md": "You are the bank's assistant. Be brief, and polite. " * 12,
        "suite.jsonl": '{"id": "t-1", "slice": "acme", "messages": [{"role": "user", "content": "Hi"}]}\n',
        "oncall.md": "# On call\n\nmidshift rollback support\n",
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
