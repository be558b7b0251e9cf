"""`midshift preflight`: would the requests of today survive the candidate? And what is known of a model.

Opens files and prints; asks no vendor and spends no token. Requests are in a file, or what gateways captured.
Elsewhere: judging (providers.preflight), reading requests (providers.requests), the report (reports.preflight).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import yaml
from rich.console import Console

from midshift import config
from midshift.cli.progress import reading as with_progress
from midshift.cli.project import Target, say
from midshift.domain import rendering
from midshift.domain.variant import Variant
from midshift.errors import ConfigError, InputError, UsageError
from midshift.providers import capability_sources, catalogue, learning, preflight_rules, presets, requests
from midshift.providers.capabilities import Capabilities
from midshift.providers.catalogue import Catalogue
from midshift.providers.definition import Provider
from midshift.providers.preflight import preflight
from midshift.providers.preflight_remedy import remedy
from midshift.providers.preflight_way import Candidate
from midshift.providers.presets import Preset
from midshift.providers.request_fields import VERSION_HEADER
from midshift.reports import preflight as report_of
from midshift.reports.text import visible
from midshift.store.segments import Kind, Segment, lines_of, segments
from midshift.wire.protocol import WireName

RECORD = Path("record")
_LARGEST_OVERRIDES = 1 << 20
_NO_DATA = 3
_PREFERRED = ("anthropic", "openai", "gemini", "mistral", "xai", "deepseek")


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `midshift preflight`, as typed."""

    workload: str | None = None
    to: str | None = None
    requests: Path | None = None
    overrides: Path | None = None
    learn: Path | None = None
    show: str | None = None
    api_version: str | None = None
    state: Path = Path(".midshift")
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class _Own:
    """The user's own file: facts about models, and rules about fields."""

    facts: tuple[capability_sources.Rule, ...] = ()
    fields: tuple[preflight_rules.Rule, ...] = ()


def run(target: Target, options: Options, today: date) -> int:
    """Do the one thing that was asked for."""
    asked = [name for name in ("requests", "learn", "show") if getattr(options, name) is not None]
    if len(asked) != 1:
        found = " and ".join(f"--{name}" for name in asked) or "none of them"
        raise UsageError(
            f"found {found}, expected one of --requests, --learn and --show. "
            "Type next: midshift preflight --to variants/NEW.yaml --requests requests.jsonl"
        )
    if options.learn is not None:
        return _learn(options.learn, options.as_json)
    own = _own(options.overrides, today)
    if options.show is not None:
        return _show(options.show, own, catalogue.load(options.state), options.as_json)
    return _preflight(target, options, own)


def _preflight(target: Target, options: Options, own: _Own) -> int:
    variant = _variant(target, options)
    candidate = _candidate(target, variant, own, catalogue.load(options.state), options.api_version)
    met = requests.Reading()
    if options.requests is None:
        raise UsageError("found no --requests, expected a file. Type next: --requests requests.jsonl")
    source = _source(options.requests, options.state)
    with _lines(source, options.workload) as lines:
        report = preflight(requests.read(lines, met), candidate, (*own.fields, *preflight_rules.bundled()))
    if not report.requests:
        return _say_nothing(options, met)
    mended = remedy(report, variant, candidate.capabilities)
    if options.as_json:
        document = report_of.document(report, variant, mended)
        say(json.dumps({**document, "left_out": _left_out(met)}, indent=2))
    else:
        Console(highlight=False).print(report_of.render(report, variant, mended))
        say(*_captured(source, options.workload), *_left_out_lines(met))
        if mended.params:
            say("", f"To paste into {visible(options.to or 'the variant file')}:", "")
            sys.stdout.write(report_of.params_block(mended))
    return 1 if report.is_fatal else 0


def _learn(path: Path, as_json: bool) -> int:
    met = requests.Reading()
    with _file(path) as lines:
        refusals = [
            (request, learning.learn(error, request.wire, status, request))
            for request, status, error in requests.refused(lines, met)
        ]
    content = learning.merged(proposal for _, proposal in refusals if proposal is not None)
    not_understood = sum(proposal is None for _, proposal in refusals)
    if as_json:
        say(json.dumps({"format": "midshift.learned/1", **content, "not_understood": not_understood}, indent=2))
        return 0 if content else _NO_DATA
    if content:
        say("# Read them first. Then into a file for --overrides:")
        sys.stdout.write(yaml.safe_dump(content, sort_keys=False, width=110, allow_unicode=True))
    say(f"# {met.requests} refusals, {not_understood} of them not understood", *_left_out_lines(met))
    return 0 if content else _NO_DATA


def _show(model: str, own: _Own, known: Catalogue, as_json: bool) -> int:
    provider, name = _named(model, known)
    found = capability_sources.capabilities(provider, name, known, own.facts)
    if as_json:
        say(json.dumps(report_of.capabilities_document(found), indent=2))
    else:
        Console(highlight=False).print(report_of.render_capabilities(found))
    return 0 if found.facts else _NO_DATA


def _named(model: str, known: Catalogue) -> tuple[str, str]:
    """Provider and model of `PROVIDER/MODEL`, or of a model that the catalogue knows at a vendor of its own."""
    providers = {entry.provider for entry in known} | set(presets.bundled().names)
    first, slash, rest = model.partition("/")
    if slash and first in providers:
        return first, rest
    at = sorted({entry.provider for entry in known if entry.model == model})
    first_hand = [provider for provider in _PREFERRED if provider in at]
    if len(at) == 1 or first_hand:
        return (first_hand or at)[0], model
    found = f"at {', '.join(at)}" if at else "in no catalogue"
    raise UsageError(
        f"--show {model!r}: found it {found}, expected one provider. "
        f"Type next: midshift preflight --show {at[0] if at else 'PROVIDER'}/{model}"
    )


def _variant(target: Target, options: Options) -> Variant:
    if options.to is not None:
        return _of_file(target, options.to)
    if options.workload is None:
        raise UsageError(
            "found neither a workload nor --to, expected a candidate. "
            "Type next: midshift preflight --to variants/NEW.yaml --requests requests.jsonl"
        )
    with target.open_store() as store:
        upgrade = store.standing(options.workload).upgrade
        if upgrade is not None:
            return store.variant(upgrade.candidate)
    raise UsageError(
        f"workload {options.workload!r} has no open upgrade, and --to names no candidate. "
        f"Type next: midshift preflight {options.workload} --to variants/NEW.yaml --requests FILE"
    )


def _of_file(target: Target, to: str) -> Variant:
    """The variant of a file that is named from here, or from the folder of the main file."""
    folder = target.main.parent
    if not (folder / to).exists() and Path(to).exists() and Path(to).resolve().is_relative_to(folder.resolve()):
        to = Path(to).resolve().relative_to(folder.resolve()).as_posix()
    found = config.load_variant(target.main, os.path.normpath(to))
    try:
        rendering.check(found.variant)
    except ValueError as error:
        raise ConfigError(f"{found.path}: {error}. Type next: mend {found.path}") from None
    return found.variant


def _candidate(target: Target, variant: Variant, own: _Own, known: Catalogue, api_version: str | None) -> Candidate:
    provider, preset = _provider(target, variant.provider)
    vendor = provider.vendor if provider is not None else presets.bundled().vendor(variant.provider)
    able = _capabilities(vendor or variant.provider, variant.model, own, known)
    headers = (
        provider.headers_on(WireName.ANTHROPIC) if provider is not None and WireName.ANTHROPIC in preset.wires else {}
    )
    return Candidate(variant, able, _wires(provider, preset), api_version, headers.get(VERSION_HEADER))


def _capabilities(vendor: str, model: str, own: _Own, known: Catalogue) -> Capabilities:
    return capability_sources.capabilities(vendor, model, known, own.facts)


def _provider(target: Target, name: str) -> tuple[Provider | None, Preset]:
    """The provider as the files define it, or what is known of the vendor of that name."""
    provider = target.definitions().provider(name) if target.main.exists() else None
    preset = provider.preset if provider is not None else presets.bundled().find(name)
    if preset is None:
        raise ConfigError(
            f"the provider {name!r} is neither defined in {target.main} nor a known vendor, expected one of: "
            f"{', '.join(presets.bundled().names)}. Type next: midshift check"
        )
    return provider, preset


def _wires(provider: Provider | None, preset: Preset) -> tuple[WireName, ...]:
    said = provider.wires if provider is not None else ()
    return said or tuple(name for name, path in preset.wires.items() if not path.is_optional)


def _own(path: Path | None, today: date) -> _Own:
    if path is None:
        return _Own()
    content = path.read_bytes()
    if len(content) > _LARGEST_OVERRIDES:
        raise InputError(f"{path}: found {len(content):,} bytes, expected at most {_LARGEST_OVERRIDES:,}")
    try:
        values = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: this is no YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return _Own()
    if isinstance(values, Mapping) and (odd := sorted(map(str, values.keys() - {"rules", "fields"}))):
        raise InputError(f"{path}: found {', '.join(map(repr, odd))}, expected 'rules' and 'fields'")
    return _Own(
        capability_sources.overrides(values, str(path), today), preflight_rules.overrides(values, str(path), today)
    )


def _source(asked: Path, state: Path) -> Path | list[Segment]:
    """The file that was named, or the segments of captured requests in a state folder."""
    if asked.is_dir():
        return _segments(asked)
    return _segments(state) if asked == RECORD and not asked.exists() else asked


def _segments(folder: Path) -> list[Segment]:
    found = segments(folder, Kind.REQUESTS)
    if not found:
        raise InputError(
            f"{folder}: found no captured requests, expected {Kind.REQUESTS}/ as a gateway writes it. Type next: "
            "data: {capture: {texts: 5%, keep: 14d}} in midshift.yaml, or --requests FILE.jsonl"
        )
    return found


@contextmanager
def _lines(source: Path | list[Segment], workload: str | None) -> Iterator[Iterator[bytes]]:
    if isinstance(source, Path):
        with _file(source) as lines:
            yield lines
        return
    total_bytes = sum(segment.bytes for segment in source)
    yield iter(with_progress(_captured_lines(source, workload), total_bytes, "captured requests"))


@contextmanager
def _file(path: Path) -> Iterator[Iterator[bytes]]:
    with path.open("rb") as file:
        yield iter(with_progress(file, path.stat().st_size, path.name))


def _captured_lines(found: list[Segment], workload: str | None) -> Iterator[bytes]:
    """The whole lines of these segments, of one workload if it is named: a record holds those of all."""
    for segment in found:
        for line in lines_of(segment.path):
            if workload is None or _workload_of(line) in (None, workload):
                yield line


def _workload_of(line: bytes) -> str | None:
    try:
        return _of_workload.decode(line).workload
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class _OfWorkload(msgspec.Struct):
    workload: str | None = None


_of_workload = msgspec.json.Decoder(_OfWorkload)


def _captured(source: Path | list[Segment], workload: str | None) -> list[str]:
    """What has to be known of captured requests, to read what is said of them."""
    if isinstance(source, Path):
        return []
    whose = "all workloads (name one, to have its own alone)" if workload is None else workload
    return [f"# captured requests of {visible(whose)}: the share that data.capture keeps, redacted"]


def _say_nothing(options: Options, met: requests.Reading) -> int:
    if options.as_json:
        say(json.dumps({"format": report_of.FORMAT, "requests": 0, "left_out": _left_out(met)}, indent=2))
    else:
        say(f"no requests in {visible(str(options.requests))}: nothing was judged", *_left_out_lines(met))
    return _NO_DATA


def _left_out(met: requests.Reading) -> list[dict[str, Any]]:
    return [{"reason": reason, "lines": count, "first": met.places[reason]} for reason, count in met.unusable.items()]


def _left_out_lines(met: requests.Reading) -> list[str]:
    return [
        f"# left out {count} of {met.lines} lines: {reason} (line {', '.join(map(str, met.places[reason]))})"
        for reason, count in met.unusable.items()
    ]
