"""`midshift suite build`: recorded requests, from a trace file or from what the gateways captured, as a suite.

A request is put into words of a chat request, whatever wire it came on; its texts are redacted again as the workload
says, so that a trace which nobody has redacted does not become a file in a repository with names in it. Whose request
it was is kept as a hash, only to know which cases belong together.
Elsewhere: choosing (evals.building), reading requests (providers.requests).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from midshift.cli import suite, suite_report
from midshift.cli.progress import reading as with_progress
from midshift.cli.project import Target, say
from midshift.domain.capture import unit_paths
from midshift.domain.redacted_body import redacted_json
from midshift.domain.redaction import redacted
from midshift.domain.workload import Workload
from midshift.errors import InputError, UsageError
from midshift.evals import slicing
from midshift.evals.building import Observed, build
from midshift.evals.importers.result import Basket
from midshift.evals.importers.row_cases import slices_of
from midshift.providers import requests
from midshift.store.segments import Kind, lines_of, segments
from midshift.wire.openai_chat_request import PATH
from midshift.wire.protocol import Unreadable, WireName
from midshift.wire.translation.conversation import Uncarried
from midshift.wire.translation.translate import TRANSLATIONS
from midshift.wire.wires import WIRES

RECORD = "record"
_STATE_ELSEWHERE = ("previous_response_id", "conversation")


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `midshift suite build`, as typed."""

    workload: str
    source: str
    out: Path | None
    state: Path
    per_slice: int = 200
    seed: int = 0
    force: bool = False
    as_json: bool = False


@dataclass(slots=True)
class _Reader:
    """Goes along with the lines: what was read, and what could not be used."""

    workload: Workload
    met: requests.Reading
    left_out: dict[str, int]
    not_told: int = 0

    def leave(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def run(target: Target, options: Options) -> int:
    """Build a suite and write it."""
    if options.per_slice < 1:
        raise UsageError(f"--per-slice {options.per_slice}: expected at least 1. Type next: --per-slice 200")
    definition = suite.workload(target, options.workload)
    out = options.out or target.main.parent / "suites" / f"{definition.name}.jsonl"
    if out.exists() and not options.force:
        raise UsageError(f"{out} is there, expected a new file. Type next: -o OTHER.jsonl, or --force")
    reader = _Reader(definition.workload, requests.Reading(), {})
    try:
        built = build(_observed(_lines(options), reader), options.per_slice, options.seed)
    except InputError as error:
        raise InputError(f"{error}{_reasons(reader)}") from None
    built = type(built)(built.cases, built.seen, {**reader.met.unusable, **reader.left_out, **built.left_out})
    suite.write(out, built.cases, options.force)
    if options.as_json:
        say(json.dumps(suite_report.built_document(str(out), built, _notes(reader)), indent=2))
    else:
        suite_report.show_built(str(out), built, _notes(reader))
    return 0


def _reasons(reader: _Reader) -> str:
    """Why lines were left out, behind the words of an error: without them nobody knows what to mend."""
    met = {**reader.met.unusable, **reader.left_out}
    said = "; ".join(f"{count:,} {reason}" for reason, count in met.items())
    return f". Left out of {reader.met.lines:,} lines: {said}" if said else ""


def _lines(options: Options) -> Iterator[bytes]:
    if options.source != RECORD:
        path = Path(options.source)
        with path.open("rb") as file:
            yield from with_progress(file, path.stat().st_size, path.name)
        return
    found = segments(options.state, Kind.REQUESTS)
    if not found:
        raise InputError(
            f"no captured requests under {options.state}, expected some. Type next: "
            "data: {capture: {texts: 5%, keep: 14d}} in midshift.yaml, or --from TRACE.jsonl"
        )
    for segment in found:
        yield from lines_of(segment.path)


def _observed(lines: Iterable[bytes], reader: _Reader) -> Iterator[Observed]:
    for line in lines:
        for request in requests.read([line], reader.met):
            row = msgspec.json.decode(line, type=dict[str, Any])
            if row.get("workload") not in (None, reader.workload.name):
                reader.leave("of another workload")
                continue
            if "workload" not in row and request.model and request.model not in reader.workload.claims:
                reader.leave("for a model that the workload does not claim")
                continue
            one = _one(request, row, reader)
            if one is not None:
                yield one


def _one(request: Any, row: Mapping[str, Any], reader: _Reader) -> Observed | None:
    if any(request.body.get(name) for name in _STATE_ELSEWHERE):
        reader.leave("continues a conversation that the provider keeps")
        return None
    body = _as_chat(request.wire, request.body, request.model, reader)
    if body is None:
        return None
    kinds, units = reader.workload.data.capture.redact, unit_paths(reader.workload)
    answer = _answer(row, request.wire)
    name = request.id if row.get("id") else f"line-{reader.met.requests}"
    return Observed(
        id=name,
        body=redacted_json(body, kinds, units),
        slices=_slices(row, body, reader),
        cluster=_cluster(row),
        answer=None if answer is None else redacted(answer, kinds),
        source={"system": "midshift" if "workload" in row else "trace", "wire": request.wire.value, "request_id": name},
    )


def _as_chat(wire: WireName, body: Mapping[str, Any], model: str, reader: _Reader) -> dict[str, Any] | None:
    """The body as a chat request; None, with the reason noted, where a chat request cannot say it."""
    if wire is WireName.OPENAI_CHAT:
        return dict(body)
    try:
        conversation = TRANSLATIONS[wire].read_request(msgspec.json.encode(body), _path(wire, model), "")
        sent = TRANSLATIONS[WireName.OPENAI_CHAT].write_request(conversation)
    except (Uncarried, Unreadable, ValueError) as error:
        what = error.param if isinstance(error, Uncarried) else "its body"
        reader.leave(f"not to be said as a chat request: {what}")
        return None
    return msgspec.json.decode(sent.body, type=dict[str, Any])


def _path(wire: WireName, model: str) -> str:
    return f"/v1beta/models/{model or 'model'}:generateContent" if wire is WireName.GEMINI else PATH


def _slices(row: Mapping[str, Any], chat: Mapping[str, Any], reader: _Reader) -> tuple[str, ...]:
    """What the line says, and what the workload's rules say of its headers, its body and its user's language."""
    said = slices_of(row.get("slices", row.get("slice")), "the trace", Basket())
    headers = row.get("headers")
    lowered = {str(name).lower(): value for name, value in headers.items()} if isinstance(headers, Mapping) else {}
    language = None
    if slicing.asks_language(reader.workload):
        language = slicing.language_of_user(chat.get("messages") or ())
        reader.not_told += language is None
    return slicing.slices_of(reader.workload, slicing.Recorded(lowered, row.get("body", row), language), said)


def _notes(reader: _Reader) -> list[str]:
    """What a person should know of rules on the language."""
    never = [
        f"the rule {{language: {tag}}} of slice {name!r} was not applied: that language cannot be told from a text"
        for name, tag in slicing.never_told(reader.workload)
    ]
    if reader.not_told:
        never.append(f"language not told for {reader.not_told:,} requests: they are in no slice by language")
    return never


def _cluster(row: Mapping[str, Any]) -> str | None:
    unit = row.get("unit") or row.get("cluster") or row.get("conversation_id")
    if not isinstance(unit, str | int) or not str(unit):
        return None
    return hashlib.blake2b(str(unit).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _answer(row: Mapping[str, Any], wire: WireName) -> str | None:
    """What the incumbent said, if it answered well: a text, or the body of a response."""
    if row.get("status") not in (None, 0, 200):
        return None
    answer, response = row.get("answer"), row.get("response")
    if isinstance(answer, str):
        return answer or None
    if not isinstance(response, Mapping):
        return response if isinstance(response, str) and response else None
    found = WIRES[wire].read_answer(msgspec.json.encode(response))
    return found.text if found is not None else None
