"""`midshift serve controller` and `midshift serve gateway`: the two processes, and the folder that they share.

The state folder holds what is no decision: evals (`evals/`), records of requests (`exposures-v1/`, `pairs-v1/`,
`requests-v1/`, `feedback-v1/`) and each gateway's own last-known-good routes (`gateways/NAME/`). Everything that was
decided is in the store.
Elsewhere: deciding (controller), answering (gateway).
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Waiting
from threading import Thread
from typing import TYPE_CHECKING

import msgspec

from midshift.cli.limits import SaidLimits, limits_of, raise_file_limit
from midshift.cli.own_name import Entering, own_name
from midshift.cli.project import Target, applied, named, say, write_whole
from midshift.cli.system import SystemClock
from midshift.config import Definitions
from midshift.domain.evidence import Basis, EvalEvidence
from midshift.domain.exposure import Pair, ShadowAnswer
from midshift.domain.unseen import PairKind
from midshift.domain.upgrade import Stage, Upgrade
from midshift.errors import ConfigError, MidshiftError, UsageError
from midshift.ports import Clock
from midshift.reports.text import visible

if TYPE_CHECKING:
    from midshift.controller.evidence import Taken
    from midshift.controller.loop import Tick
    from midshift.evals.rows import Answer
    from midshift.gateway.server import Listening
    from midshift.gateway.settings import Admin, ClientKey, GatewaySettings
    from midshift.shadow.divergence import Divergence, Said
    from midshift.shadow.drift import Finding
    from midshift.store.gateway_side import GatewaySide
    from midshift.store.sql import SqlStore

LOG = logging.getLogger(__name__)

EVAL_FORMAT = "midshift.eval-evidence/2"
FORCE_FILE = "force-incumbent"
_DRIFT_AGAIN_AT = 1.5
_DRIFT_AGAIN_S = 600.0
_CLEANS_AFTER_S = 10.0


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
    """Evals and pairs by upgrade. Implements `controller.loop.Sources`.

    `holds` says what evidence for an upgrade has to rest on now; without it that is the workload, the incumbent and the
    candidate alone.
    """

    def __init__(self, folder: Path, clock: Clock, holds: Callable[[Upgrade], Basis] | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._holds = holds
        self._judged: dict[tuple[str, str], _Judged] = {}
        self._said: dict[str, str] = {}

    def write_eval(self, evidence: EvalEvidence) -> Path:
        """Keep the last eval of a candidate for a workload, whole or not at all.

        Raises:
            ValueError: for evidence that does not say what it rests on.
        """
        if evidence.basis is None:
            raise ValueError("evidence without a basis is evidence of nothing")
        path = self._eval_path(evidence.basis.workload, evidence.candidate)
        make_private(self._folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, msgspec.json.format(msgspec.json.encode(_EvalFile(EVAL_FORMAT, evidence))) + b"\n")
        return path

    def eval_of(self, upgrade: Upgrade) -> EvalEvidence | None:
        """The eval of the present candidate; one that cannot be read or rests on something else is as good as none."""
        found, trouble = self._eval(upgrade)
        if trouble and self._said.get(upgrade.id) != trouble:
            LOG.warning("%s: %s", upgrade.id, trouble)
        self._said[upgrade.id] = trouble
        return None if trouble else found

    def eval_trouble(self, upgrade: Upgrade) -> str:
        """See `Sources`."""
        return self._eval(upgrade)[1]

    def _eval(self, upgrade: Upgrade) -> tuple[EvalEvidence | None, str]:
        """What is on record, and why it counts as none."""
        again = f"it counts as none. Type next: midshift upgrade eval {upgrade.workload}"
        path = self._eval_path(upgrade.workload, upgrade.candidate)
        earlier = self._folder / "evals" / f"{upgrade.candidate}.json"
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_EvalFile)
        except FileNotFoundError:
            said = f"the eval {earlier} is of an earlier form, which does not say what it rests on: {again}"
            return None, said if earlier.exists() else ""
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            return None, f"the eval {path} cannot be read ({error}): {again}"
        if found.format != EVAL_FORMAT or found.evidence.candidate != upgrade.candidate or found.evidence.basis is None:
            return None, f"the eval {path} is of another form or candidate: {again}"
        try:
            others = self._others(found.evidence.basis, upgrade)
        except MidshiftError as error:
            return None, f"nobody can say whether the eval on record still fits ({error}): {again}"
        if others:
            return None, f"the eval on record rests on other {', '.join(others)}: {again}"
        return found.evidence, ""

    def _others(self, basis: Basis, upgrade: Upgrade) -> tuple[str, ...]:
        """What it rests on that is another now."""
        own = replace(basis, workload=upgrade.workload, incumbent=upgrade.incumbent)
        return basis.differs(own) or (() if self._holds is None else basis.differs(self._holds(upgrade)))

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

    def unseen(self, upgrade: Upgrade) -> Taken | None:
        """What the candidate's shadow answers took; asked only where something was promised."""
        from midshift.controller.evidence import taken_by
        from midshift.domain.workload import Budgets

        if upgrade.plan.budgets == Budgets():
            return None
        return taken_by(pair.candidate for pair in self._pairs(upgrade, PairKind.SHADOW, upgrade.candidate))

    def findings(self, upgrade: Upgrade) -> list[Finding]:
        """What the shadow pairs show that the segments hold now."""
        return _drift_of(self._pairs(upgrade, PairKind.SHADOW, upgrade.candidate))

    def divergence(self, upgrade: Upgrade) -> list[Divergence]:
        """How much the candidate's answers differ, net of how much the incumbent's differ from themselves."""
        from midshift.shadow.divergence import Both

        both = Both()
        for pair in self._pairs(upgrade, PairKind.NOISE, upgrade.incumbent):
            seen, again = _as_said(pair.incumbent), _as_said(pair.candidate)
            if seen is not None and again is not None:
                both.add_noise(pair.request_id, pair.slices, pair.unit, seen, again)
        for pair in self._pairs(upgrade, PairKind.SHADOW, upgrade.candidate):
            seen, unseen = _as_said(pair.incumbent), _as_said(pair.candidate)
            if seen is not None and unseen is not None:
                both.add_shadow(pair.request_id, seen, unseen)
        return both.findings()

    def noise_pairs(self, upgrade: Upgrade) -> int:
        """How many requests the incumbent answered twice, whether the texts were kept or not."""
        return sum(1 for _ in self._pairs(upgrade, PairKind.NOISE, upgrade.incumbent))

    def _pairs(self, upgrade: Upgrade, kind: PairKind, candidate_id: str) -> Iterator[Pair]:
        from midshift.store.segments import Kind, Reading, pairs, segments

        reading = Reading()
        for segment in segments(self._folder, Kind.PAIRS):
            for pair in pairs(segment.path, reading):
                if (pair.upgrade, pair.kind, pair.candidate_id) == (upgrade.id, kind, candidate_id):
                    yield pair
        if reading.unreadable:
            LOG.warning("%d lines of pairs cannot be read: %s", reading.unreadable, "; ".join(reading.places))

    def _eval_path(self, workload: str, candidate: str) -> Path:
        return self._folder / "evals" / "by-workload" / workload / f"{candidate}.json"


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
        sides = _as_answer(pair.incumbent), _as_answer(pair.candidate)
        row = PairedRow(number, pair.request_id, *sides, pair.slices, pair.unit or None)
        table.append(row)
        columns.append(row)
    cases = table.finish()
    return drift.findings(columns, cases, table.ids.__getitem__) if cases.rows.size else []


def _as_answer(side: ShadowAnswer) -> Answer:
    from midshift.evals.rows import Answer, unanswered

    numbers = (
        *(side.tokens_in, side.tokens_out, side.reasoning_out),
        *(side.latency_s, side.first_byte_s, side.cost_usd),
    )
    kept = side.features
    said = side.text if side.text is not None or kept is None else "words" if kept.words else ""
    return Answer(
        side.text,
        failure=unanswered(said, int(side.finish_reason == "tool_calls"), side.status != 200),
        numbers=tuple(math.nan if number is None else float(number) for number in numbers),
        measured=kept,
    )


def _as_said(side: ShadowAnswer) -> Said | None:
    """None for a side that gave no answer, or whose text was not kept: neither says anything about randomness."""
    from midshift.shadow.divergence import Said

    if side.text is None and side.features is not None:
        return None
    return Said(side.text or "", side.tools or "") if side.status == 200 else None


# The controller


def controller(target: Target, state: Path, every: str) -> int:
    """Look again and again at every open upgrade, until SIGTERM or SIGINT."""
    from midshift.cli.basis import Holding
    from midshift.controller.loop import LEADERSHIP, Controller

    every_s = seconds(every)
    clock, stopping = SystemClock(), Waiting()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    with target.open_store() as store:
        turning = Controller(store, StateFolder(state, clock, Holding(target, store, clock)), clock, owner)
        _say_now(f"controller {owner} looks every {every_s:g} s; it ends on SIGTERM")
        if not store.routes():
            _say_now("nothing is applied yet, so there is nothing to decide: it waits. Type next: midshift apply")
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
    shadow_budget_usd: float | None = None
    limits: SaidLimits = SaidLimits()


def gateway(target: Target, options: GatewayOptions) -> int:
    """Answer requests until SIGTERM or SIGINT."""
    from midshift.cli import price_book
    from midshift.gateway.app import Gateway
    from midshift.gateway.server import run
    from midshift.providers.prices.pricing import pricing
    from midshift.store.capturing import CapturingRecorder
    from midshift.store.recorder import SegmentWriter
    from midshift.store.retention import Janitor, Rules

    clock = SystemClock()

    def listening(where: Listening) -> None:
        admin = "" if where.admin_port is None else f"; admin port {where.admin_port}"
        _say_now(
            f"gateway {options.name} listens on http://{_bracketed(where.host)}:{where.port}/v1{admin}; "
            f"touch {visible(str(options.state / FORCE_FILE))} sends everybody to the incumbent; it ends on SIGTERM"
        )
        Thread(target=ask_for_prices, name="midshift-prices", daemon=True).start()

    def ask_for_prices() -> None:
        price_book.ask_all(book, definitions.variants.values(), clock.machine_now())

    raise_file_limit()
    with ExitStack() as stack:
        store = target.open_gateway_side()
        stack.callback(store.close)
        definitions = applied(store)
        settings = gateway_settings(store, definitions, options, os.environ, target.main.parent)
        make_private(options.state)
        settings = replace(settings, instance=secrets.token_hex(8))
        captures = {workload.name: workload.data.capture for workload in settings.workloads}
        rules = Rules(captures, settings.unit_key)
        stack.enter_context(Janitor(options.state, rules, clock.machine_now, begins_after_s=_CLEANS_AFTER_S))
        writer = stack.enter_context(SegmentWriter(options.state, options.name))
        mine = options.state / "gateways" / options.name  # a folder only once the writer has found the name to be one
        dead = stack.enter_context(own_name(settings.process, mine, store, clock, Waiting().wait))
        sink = CapturingRecorder(writer, settings.workloads, settings.unit_key, clock.machine_now)
        vendors = {name: provider.vendor for name, provider in definitions.providers.items()}
        book = price_book.book(price_book.Where(target, options.state), vendors)
        served = Gateway(
            settings,
            clock=clock,
            source=store,
            sink=sink,
            sums=store,
            reports=Entering(store, dead),
            feedback=store,
            pricing=pricing(book, clock.machine_now),
            price_book=book.id,
        )
        try:
            run(served, clock, listening)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
                raise
            raise ConfigError(
                f"{error.strerror}, expected a port of this machine that is free. Type next: ss -ltnp   (who has it), "
                "or --port N, --admin-port N; 0 takes any"
            ) from error
    _say_now(f"gateway {options.name}: ended")
    return 0


def gateway_settings(
    store: GatewaySide | SqlStore,
    definitions: Definitions,
    options: GatewayOptions,
    environment: Mapping[str, str],
    folder: Path = Path(),
) -> GatewaySettings:
    """What a gateway needs to know, of what was applied and of the environment; `folder` is where keys' files lie.

    Raises:
        ConfigError: naming what is missing, and what to type.
    """
    from midshift.cli.upstreams import upstreams
    from midshift.gateway.settings import GatewaySettings, Shadow, is_loopback

    if not definitions.workloads:
        raise ConfigError("the store has no workload, expected one that was applied. Type next: midshift apply")
    needed = {variant.provider for variant in definitions.variants.values()}
    wanted = {vendor for item in definitions for vendor in item.workload.data.vendors} | set(definitions.providers)
    candidates = {store.variant(item.candidate).provider for item in store.upgrades() if not item.stage.is_final}
    candidates |= {store.variant(other.variant).provider for route in store.routes() for other in route.others}
    found = upstreams(definitions, needed, wanted | candidates, environment, folder)
    for name in sorted(candidates - set(found)):
        LOG.warning("provider %r of a candidate has no address or no key here: the incumbent answers instead", name)
    return GatewaySettings(
        name=options.name,
        workloads=tuple(item.workload for item in definitions),
        upstreams=found,
        unit_key=_unit_key(environment),
        client_keys=_client_keys(environment, is_required=not is_loopback(options.host)),
        host=options.host,
        port=options.port,
        admin=_admin(options.admin_port, environment),
        state_dir=options.state / "gateways" / options.name,
        force_file=options.state / FORCE_FILE,
        shadow=Shadow(budget_usd_per_day=options.shadow_budget_usd),
        limits=limits_of(options.limits),
    )


def _unit_key(environment: Mapping[str, str]) -> bytes:
    from midshift.gateway.settings import SHORTEST_KEY

    key = environment.get("MIDSHIFT_UNIT_KEY", "")
    if not key:
        raise ConfigError(
            "found no MIDSHIFT_UNIT_KEY, expected the key that all gateways of this environment share: stored units "
            f"are HMACs under it. Type next: {_export('MIDSHIFT_UNIT_KEY')}   (and keep it: another key is other units)"
        )
    if len(key.encode()) < SHORTEST_KEY:
        raise ConfigError(
            f"MIDSHIFT_UNIT_KEY has {len(key.encode())} bytes, expected at least {SHORTEST_KEY} that nobody can guess. "
            f"Type next: {_export('MIDSHIFT_UNIT_KEY')}   (and keep it: another key is other units)"
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
