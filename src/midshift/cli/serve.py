"""`midshift serve controller` and `midshift serve gateway`: the two processes.

Elsewhere: deciding (controller), answering (gateway), what a gateway is told (gateway_settings), the folder that both
share (state_folder).
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import signal
import socket
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event as Waiting
from threading import Thread
from typing import TYPE_CHECKING

from midshift.cli.gateway_settings import FORCE_FILE, GatewayOptions, gateway_settings
from midshift.cli.limits import raise_file_limit
from midshift.cli.own_name import Entering, own_name
from midshift.cli.project import Target, applied, named, say
from midshift.cli.state_folder import StateFolder, make_private
from midshift.cli.system import SystemClock
from midshift.domain.upgrade import Stage
from midshift.errors import ConfigError, MidshiftError, UsageError
from midshift.reports.text import visible

if TYPE_CHECKING:
    from midshift.controller.loop import Tick
    from midshift.gateway.server import Listening
    from midshift.store.sql import SqlStore

_CLEANS_AFTER_S = 10.0


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


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _say_now(line: str) -> None:
    say(line)
    sys.stdout.flush()


def _warn(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
