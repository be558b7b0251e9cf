"""`/metrics`: the counters and the state of a gateway, in Prometheus's text format (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from midshift.gateway.counters import Counters
from midshift.gateway.recorder import RecordQueue
from midshift.gateway.route import Serving

Sample: TypeAlias = tuple[str, str, Mapping[str, str], float]


def text(
    counters: Counters,
    recorder: RecordQueue,
    servings: Sequence[Serving],
    open_breakers: Sequence[tuple[str, str]],
    route_failures: int,
) -> bytes:
    """Everything, one line a sample."""
    lines: list[str] = []
    described = ""
    for name, help_text, labels, value in _samples(counters, recorder, servings, open_breakers, route_failures):
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
) -> Iterator[Sample]:
    yield from counters.samples()
    lost = {
        "exposure": recorder.lost_exposures,
        "pair": recorder.lost_pairs,
        "text": recorder.lost_texts,
        "sum": recorder.lost_sums,
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


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
