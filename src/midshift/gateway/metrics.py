"""`/metrics`: the counters and the state of a gateway, in Prometheus's text format (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from midshift.gateway.counters import Counters
from midshift.gateway.pools import PoolState
from midshift.gateway.recorder import RecordQueue
from midshift.gateway.route import Serving

Sample: TypeAlias = tuple[str, str, Mapping[str, str], float]


def text(
    counters: Counters,
    recorder: RecordQueue,
    servings: Sequence[Serving],
    open_breakers: Sequence[tuple[str, str]],
    route_failures: int,
    pools: Sequence[PoolState],
) -> bytes:
    """Everything, one line a sample."""
    lines: list[str] = []
    described = ""
    samples = _samples(counters, recorder, servings, open_breakers, route_failures, pools)
    for name, help_text, labels, value in samples:
        if name != described:
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# HELP midshift_{name} {help_text}", f"# TYPE midshift_{name} {kind}"]
            described = name
        lines.append(f"midshift_{name}{_labels(labels)} {value}")
    return "\n".join([*lines, ""]).encode()


def _samples(
    counters: Counters,
    recorder: RecordQueue,
    servings: Sequence[Serving],
    open_breakers: Sequence[tuple[str, str]],
    route_failures: int,
    pools: Sequence[PoolState],
) -> Iterator[Sample]:
    yield from counters.samples()
    lost = {
        "exposure": recorder.lost_exposures,
        "pair": recorder.lost_pairs,
        "text": recorder.lost_texts,
        "sum": recorder.lost_sums,
        "feedback": recorder.lost_feedback,
    }
    for kind, count in lost.items():
        yield "lost_total", "What of the record could not be kept.", {"kind": kind}, count
    yield "record_failures_total", "Hand-overs of the record that failed.", {}, recorder.failures
    yield "route_failures_total", "Readings of the routes that failed.", {}, route_failures
    for serving in servings:
        yield "route_epoch", "Epoch of the routing row.", {"workload": serving.route.workload}, serving.route.epoch
    for serving in servings:
        yield "route_share", "Share of units in force.", {"workload": serving.route.workload}, serving.route.share
    for serving in servings:
        if serving.home is not None:
            labels = {"workload": serving.route.workload, "reason": serving.home.value}
            yield "route_home", "The incumbent serves everything, and why.", labels, 1
    for serving in servings:
        if serving.is_unwatched:
            yield "route_unwatched", "The lease is over; nobody new.", {"workload": serving.route.workload}, 1
    for workload, candidate in open_breakers:
        labels = {"workload": workload, "candidate": candidate[:12]}
        yield "breaker_open", "The candidate is left alone for now.", labels, 1
    yield from _upstream_samples(pools)


def _upstream_samples(pools: Sequence[PoolState]) -> Iterator[Sample]:
    """The connections to providers. All failures are named, also those that never were: a rate begins at zero."""
    about = [({"provider": pool.provider, "traffic": pool.traffic}, pool.counts) for pool in pools]
    for labels, counts in about:
        yield "upstream_connections", "Connections to the provider that are open.", labels, counts.open
    for labels, counts in about:
        yield "upstream_connections_idle", "Those of them that no call has.", labels, counts.idle
    for labels, counts in about:
        yield "upstream_calls_waiting", "Calls that wait for a connection.", labels, counts.waiting
    for labels, counts in about:
        yield "upstream_connections_opened_total", "Connections that were opened.", labels, counts.opened
    for labels, counts in about:
        yield "upstream_connections_reused_total", "Calls on a connection that was open.", labels, counts.reused
    for labels, counts in about:
        yield "upstream_calls_aborted_total", "Calls let go before their answer was whole.", labels, counts.aborted
    for labels, counts in about:
        for failure, count in counts.failures.items():
            kinds = {**labels, "kind": failure.value}
            yield "upstream_failures_total", "Calls that failed, by kind.", kinds, count


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
