"""`midshift serve controller` and `midshift serve gateway`: the two processes, and the folder that they share.

The state folder holds what is no decision: evals (`evals/`), records of requests (`exposures-v1/`, `pairs-v1/`) and
each gateway's own last-known-good routes (`gateways/NAME/`). Everything that was decided is in the store.
Elsewhere: deciding (controller), answering (gateway).
"""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Waiting
from typing import TYPE_CHECKING

import msgspec

from midshift.cli.project import Target, applied, named, say, write_whole
from midshift.cli.system import SystemClock
from midshift.domain.evidence import EvalEvidence
from midshift.domain.exposure import Pair, ShadowAnswer
from midshift.domain.upgrade import Stage, Upgrade
from midshift.errors import ConfigError, MidshiftError, UsageError
from midshift.ports import Clock
from midshift.reports.text import visible
from midshift.store.sql import SqlStore

if TYPE_CHECKING:
    from midshift.controller.loop import Tick
    from midshift.evals.rows import Answer
    from midshift.gateway.server import Listening
    from midshift.gateway.settings import Admin, ClientKey, GatewaySettings
    from midshift.providers.http.settings import Upstream
    from midshift.shadow.drift import Finding

LOG = logging.getLogger(__name__)

EVAL_FORMAT = "midshift.eval-evidence/1"
FORCE_FILE = "force-incumbent"
_DRIFT_AGAIN_AT = 1.5
_DRIFT_AGAIN_S = 600.0
_OPENAI = "https://api.openai.com/v1"


class _EvalFile(msgspec.Struct):
    format: str
    evidence: EvalEvidence


@dataclass(frozen=True, slots=True)
class _Judged:
    """The drift that pairs showed when they were so many bytes, at that second."""

    bytes: int
    at_s: float
    flagged: tuple[str, ...]


class StateFolder:
    """Evals and pairs by upgrade. Implements `controller.loop.Sources`."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._judged: dict[tuple[str, str], _Judged] = {}

    def write_eval(self, evidence: EvalEvidence) -> Path:
        """Keep the last eval of a candidate, whole or not at all."""
        path = self._eval_path(evidence.candidate)
        make_private(self._folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, msgspec.json.format(msgspec.json.encode(_EvalFile(EVAL_FORMAT, evidence))) + b"\n")
        return path

    def eval_of(self, upgrade: Upgrade) -> EvalEvidence | None:
        """The eval of the present candidate; a file that cannot be read is as good as none, and said."""
        path = self._eval_path(upgrade.candidate)
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_EvalFile)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            LOG.warning("the eval %s cannot be read and counts as none: %s", path, error)
            return None
        if found.format != EVAL_FORMAT or found.evidence.candidate != upgrade.candidate:
            LOG.warning("the eval %s is of another form or candidate and counts as none", path)
            return None
        return found.evidence

    def flagged_drift(self, upgrade: Upgrade) -> tuple[str, ...]:
        """The drift over all pairs of the present candidate.

        Computed again when there are half as many more, or some more after ten minutes: a look at all pairs is dear.
        """
        from midshift.store.segments import Kind, segments

        key = (upgrade.id, upgrade.candidate)
        size = sum(segment.bytes for segment in segments(self._folder, Kind.PAIRS))
        now_s, before = self._clock.monotonic_s(), self._judged.get(key)
        if before is not None:
            is_due = size >= before.bytes * _DRIFT_AGAIN_AT or now_s - before.at_s >= _DRIFT_AGAIN_S
            if size == before.bytes or not is_due:
                return before.flagged
        flagged = dict.fromkeys(f"{item.kind.value}:{item.metric}" for item in self.findings(upgrade) if item.flagged)
        self._judged[key] = _Judged(size, now_s, tuple(flagged))
        return self._judged[key].flagged

    def findings(self, upgrade: Upgrade) -> list[Finding]:
        """What the pairs show that the segments hold now."""
        return _drift_of(self._pairs(upgrade))

    def _pairs(self, upgrade: Upgrade) -> Iterator[Pair]:
        from midshift.store.segments import Kind, Reading, pairs, segments

        reading = Reading()
        for segment in segments(self._folder, Kind.PAIRS):
            for pair in pairs(segment.path, reading):
                if pair.upgrade == upgrade.id and pair.candidate_id == upgrade.candidate:
                    yield pair
        if reading.unreadable:
            LOG.warning("%d lines of pairs cannot be read: %s", reading.unreadable, "; ".join(reading.places))

    def _eval_path(self, candidate: str) -> Path:
        return self._folder / "evals" / f"{candidate}.json"


def make_private(state: Path) -> None:
    """Make the state folder, for its owner alone and out of git: it holds what users wrote."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore = state / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


def _drift_of(pairs: Iterable[Pair]) -> list[Finding]:
    from midshift.evals.rows import Ledger, PairedRow
    from midshift.evals.table import Table
    from midshift.shadow import drift
    from midshift.shadow.columns import Columns

    table, columns = Table(Ledger(unit="pair")), Columns()
    for number, pair in enumerate(pairs, start=1):
        row = PairedRow(number, pair.request_id, _as_answer(pair.incumbent), _as_answer(pair.candidate), pair.slices)
        table.append(row)
        columns.append(row)
    cases = table.finish()
    return drift.findings(columns, cases, table.ids.__getitem__) if cases.rows.size else []


def _as_answer(side: ShadowAnswer) -> Answer:
    from midshift.evals.rows import Answer, unanswered

    numbers = (side.tokens_in, side.tokens_out, None, side.latency_s, None, side.cost_usd)
    return Answer(
        side.text,
        failure=unanswered(side.text, int(side.finish_reason == "tool_calls"), side.status != 200),
        numbers=tuple(math.nan if number is None else float(number) for number in numbers),
    )


# The controller


def controller(target: Target, state: Path, every: str) -> int:
    """Look again and again at every open upgrade, until SIGTERM or SIGINT."""
    from midshift.controller.loop import LEADERSHIP, Controller

    every_s = seconds(every)
    clock, stopping = SystemClock(), Waiting()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    with target.open_store() as store:
        turning = Controller(store, StateFolder(state, clock), clock, owner)
        _say_now(f"controller {owner} looks every {every_s:g} s; it ends on SIGTERM")
        while not stopping.is_set():
            try:
                for tick in turning.tick():
                    if tick.decision.kind is not None:
                        _say_now(_decided(store, tick))
            except MidshiftError as error:  # a store that is away for a while: gateways go home by themselves
                _warn(f"midshift: {visible(str(error), 1000)}; looking again in {every_s:g} s")
            stopping.wait(every_s)
        lease = store.take_lease(owner, clock.machine_now(), LEADERSHIP)
        if lease is not None:
            store.release(lease, clock.machine_now())
    _say_now("controller: ended")
    return 0


def seconds(text: str) -> float:
    """Read `1s`, `0.5s`, `200ms` or `1m`.

    Raises:
        UsageError: for anything else, or more than the lease of a controller lasts.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m)\s*", text)
    found = float(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[match[2]] if match is not None else 0.0
    if not 0.01 <= found <= 60.0:
        raise UsageError(f"--every {text!r}: expected a time from 10ms to 1m. Type next: --every 1s")
    return found


def _decided(store: SqlStore, tick: Tick) -> str:
    assert tick.decision.kind is not None
    after = tick.after
    share = f" at {100 * after.share:.4g} %" if after.stage is Stage.CANARY else ""
    return (
        f"{after.entered:%Y-%m-%d %H:%M:%S}Z {after.id} {tick.decision.kind.value}: {tick.before.stage.value} → "
        f"{after.stage.value}{share} ({visible(named(store, after.candidate))}): {visible(tick.decision.reason, 400)}"
    )


# The gateway


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """The command line of `midshift serve gateway`, as typed."""

    state: Path
    name: str
    host: str
    port: int
    admin_port: int | None = None


def gateway(target: Target, options: GatewayOptions) -> int:
    """Answer requests until SIGTERM or SIGINT."""
    from midshift.gateway.app import Gateway
    from midshift.gateway.server import run
    from midshift.store.recorder import SegmentWriter

    clock = SystemClock()

    def listening(where: Listening) -> None:
        admin = "" if where.admin_port is None else f"; admin port {where.admin_port}"
        _say_now(
            f"gateway {options.name} listens on http://{_bracketed(where.host)}:{where.port}/v1{admin}; "
            f"touch {visible(str(options.state / FORCE_FILE))} sends everybody to the incumbent; it ends on SIGTERM"
        )

    with ExitStack() as stack:
        store = stack.enter_context(target.open_store())
        settings = gateway_settings(store, options, os.environ)
        make_private(options.state)
        sink = stack.enter_context(SegmentWriter(options.state, options.name))
        served = Gateway(settings, clock=clock, source=store, sink=sink, sums=store, reports=store)
        run(served, clock, listening)
    _say_now(f"gateway {options.name}: ended")
    return 0


def gateway_settings(store: SqlStore, options: GatewayOptions, environment: Mapping[str, str]) -> GatewaySettings:
    """What a gateway needs to know, of what was applied and of the environment.

    Raises:
        ConfigError: naming what is missing, and what to type.
    """
    from midshift.gateway.settings import GatewaySettings, is_loopback

    definitions = applied(store)
    if not definitions.workloads:
        raise ConfigError("the store has no workload, expected one that was applied. Type next: midshift apply")
    needed = {variant.provider for variant in definitions.variants.values()}
    wanted = needed | {vendor for item in definitions for vendor in item.workload.data.vendors}
    wanted |= {store.variant(item.candidate).provider for item in store.upgrades() if not item.stage.is_final}
    found = {name: upstream(name, environment) for name in sorted(wanted)}
    for name in sorted(needed):
        if found[name] is None:
            raise ConfigError(no_address(name))
    return GatewaySettings(
        name=options.name,
        workloads=tuple(item.workload for item in definitions),
        upstreams={name: one for name, one in found.items() if one is not None},
        unit_key=_unit_key(environment),
        client_keys=_client_keys(environment, is_required=not is_loopback(options.host)),
        host=options.host,
        port=options.port,
        admin=_admin(options.admin_port, environment),
        state_dir=options.state / "gateways" / options.name,
        force_file=options.state / FORCE_FILE,
    )


def upstream(provider: str, environment: Mapping[str, str]) -> Upstream | None:
    """Where a provider answers, and with which key; None if nobody said.

    The vendor's own key variable goes to the vendor's own address and nowhere else.

    Raises:
        ConfigError: for an address that is none, or the vendor's without a key.
    """
    from midshift.providers.http.settings import Upstream

    prefix = _variable(provider)
    address, key = environment.get(f"{prefix}_URL"), environment.get(f"{prefix}_KEY")
    if not address and provider == "openai":
        address, key = _OPENAI, key or environment.get("OPENAI_API_KEY")
        if not key:
            return None
    if not address:
        return None
    try:
        return Upstream(address, key or None)
    except ConfigError as error:
        raise ConfigError(f"{prefix}_URL: {error}. Type next: export {prefix}_URL=http://HOST:PORT/v1") from None


def no_address(provider: str) -> str:
    """What to say where `upstream` knows nothing."""
    prefix = _variable(provider)
    if provider == "openai":
        return "provider 'openai' has no key, expected one. Type next: export OPENAI_API_KEY=KEY"
    return (
        f"provider {provider!r} has no address, found no {prefix}_URL in the environment, expected one. Type next: "
        f"export {prefix}_URL=http://HOST:PORT/v1   (and {prefix}_KEY, if it asks for one)"
    )


def _variable(provider: str) -> str:
    return f"MIDSHIFT_PROVIDER_{re.sub(r'[^A-Z0-9]', '_', provider.upper())}"


def _unit_key(environment: Mapping[str, str]) -> bytes:
    key = environment.get("MIDSHIFT_UNIT_KEY", "")
    if not key:
        raise ConfigError(
            "found no MIDSHIFT_UNIT_KEY, expected the key that all gateways of this environment share: stored units "
            f"are HMACs under it. Type next: {_export('MIDSHIFT_UNIT_KEY')}   (and keep it: another key is other units)"
        )
    return key.encode()


def _client_keys(environment: Mapping[str, str], is_required: bool) -> tuple[ClientKey, ...]:
    from midshift.gateway.settings import ClientKey

    found = [key.strip() for key in environment.get("MIDSHIFT_CLIENT_KEYS", "").split(",")]
    keys = tuple(ClientKey(f"client-{index}", key, True) for index, key in enumerate(filter(None, found), start=1))
    if is_required and not keys:
        raise ConfigError(
            "the gateway would listen beyond loopback, found no MIDSHIFT_CLIENT_KEYS, expected the keys that apps "
            f"show, with commas between. Type next: {_export('MIDSHIFT_CLIENT_KEYS')}"
        )
    return keys


def _admin(port: int | None, environment: Mapping[str, str]) -> Admin | None:
    from midshift.gateway.settings import Admin

    key = environment.get("MIDSHIFT_ADMIN_KEY", "")
    if port is None:
        return None
    if not key:
        raise ConfigError(
            f"--admin-port {port}: found no MIDSHIFT_ADMIN_KEY, expected the key of that port. "
            f"Type next: {_export('MIDSHIFT_ADMIN_KEY')}"
        )
    return Admin(key, port=port)


def _export(variable: str) -> str:
    return f"export {variable}=$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say_now(line: str) -> None:
    say(line)
    sys.stdout.flush()


def _warn(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
