"""`midshift radar`: when the models of a product shut down, and whether an upgrade would be over by then.

Exit codes: 0 every model outlives the end of soak, 1 one does not or is retired, 3 of one nobody can say and none
fails. `sightings` is for other commands.
Elsewhere: asking (providers.lifecycle), judging (domain.retirement), showing (reports.retirement).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from threading import Event
from typing import TYPE_CHECKING, Protocol

from midshift import config
from midshift.cli.keys import credentials
from midshift.cli.project import Target, say, write_whole
from midshift.cli.system import SystemClock
from midshift.cli.upstreams import override, variable
from midshift.domain.retirement import (
    FitVerdict,
    ModelName,
    Retirement,
    Role,
    Sighting,
    Use,
    end_of_soak,
    sighting,
    worst,
)
from midshift.errors import MidshiftError, UsageError
from midshift.ports import Clock, Http
from midshift.providers.definition import Provider
from midshift.reports.text import visible

if TYPE_CHECKING:
    from midshift.providers.lifecycle.answers import Access, SigningKeys

EXIT_CODES = {FitVerdict.CLEAR: 0, FitVerdict.TIGHT: 0, FitVerdict.TOO_LATE: 1, FitVerdict.UNKNOWN: 3}

_AMAZON = ("bedrock", "bedrock_mantle")


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `midshift radar`, as typed."""

    end_of_soak: str | None = None
    watch: str | None = None
    offline: bool = False
    as_json: bool = False
    metrics: Path | None = None


class Waiting(Protocol):
    """Whatever a watch waits on between two looks."""

    def wait(self, timeout: float) -> bool:
        """Wait that many seconds; True ends the watch."""
        ...


def run(target: Target, options: Options) -> int:
    """Look once, or again and again until SIGTERM or SIGINT; the exit code is that of the last look."""
    clock = SystemClock()
    until = None if options.end_of_soak is None else day(options.end_of_soak)
    if options.watch is None:
        return look(target, options, until, clock, os.environ)
    every_s, stopping = seconds(options.watch), Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return watch(lambda: look(target, options, until, clock, os.environ), stopping, every_s)


def watch(once: Callable[[], int], waiting: Waiting, every_s: float) -> int:
    """Look, wait, look again; a look that fails is told, and the next one comes all the same."""
    code = _forgiven(once)
    while not waiting.wait(every_s):
        code = _forgiven(once)
    return code


def look(target: Target, options: Options, until: date | None, clock: Clock, environment: Mapping[str, str]) -> int:
    """One look: ask, print, write the metrics."""
    from rich.console import Console

    from midshift.reports import retirement

    found = asyncio.run(_seen(target, until, clock, environment, options.offline))
    now = clock.now()
    if options.metrics is not None:
        options.metrics.touch(mode=0o644)  # whoever collects it is another user
        write_whole(options.metrics, retirement.metrics(found, now).encode())
    if options.as_json:
        document = retirement.document(found, now)
        say(json.dumps(document, indent=None if options.watch else 2))
    else:
        Console(highlight=False).print(retirement.render(found, now.date()))
    sys.stdout.flush()
    return EXIT_CODES[worst(item.fit.verdict for item in found)]


async def sightings(
    target: Target, until: date | None, clock: Clock, environment: Mapping[str, str], http: Http | None
) -> list[Sighting]:
    """Every model that the files name, each held against the latest end of soak of those who need it.

    `until` takes the place of every plan's own end of soak. `http` None asks nobody.

    Raises:
        InvalidConfig: if the files cannot be read.
    """
    from midshift.providers import catalogue
    from midshift.providers.lifecycle import collected, radar
    from midshift.providers.lifecycle.settle import Lists

    definitions, now = target.definitions(), clock.now()
    uses = models_of(definitions, candidates(target.main, definitions), now.date(), until)
    lists = Lists(catalogue.bundled(), collected.bundled(), definitions.retirements)
    access = access_of(definitions, {name.provider for name in uses}, environment, target.main.parent)
    found = await radar.look(uses, http, access, lists, now)
    return [_held(item, uses, now.date()) for item in found]


def models_of(
    definitions: config.Definitions, files: Iterable[config.VariantFile], today: date, until: date | None
) -> dict[ModelName, list[Use]]:
    """Who needs which model until when: incumbents, safe harbours, and the candidates of `files`.

    A workload needs its models until an upgrade that began today would leave soak; nobody knows whose candidate a
    file is, so it is held against the latest of those days.
    """
    ends = {item.name: until or end_of_soak(item.plan, today) for item in definitions}
    found: dict[ModelName, list[Use]] = {}
    for item in definitions:
        for role, file in ((Role.INCUMBENT, item.incumbent), (Role.SAFE_HARBOUR, item.safe_harbour)):
            if file is not None:
                found.setdefault(_name(file), []).append(Use(item.name, role, ends[item.name]))
    for file in files:
        found.setdefault(_name(file), []).append(Use(file.path, Role.CANDIDATE, max(ends.values(), default=today)))
    return found


def candidates(main: Path, definitions: config.Definitions) -> list[config.VariantFile]:
    """The variant files beside those that serve, in folders of their own. One that cannot be read is told, and left
    out."""
    served = {file.path for item in definitions for file in item.variants}
    folders = {str(PurePosixPath(path).parent) for path in served} - {"."}  # there lies everything else as well
    found = []
    for path in sorted({path for folder in folders for path in _yaml_files(main.parent, folder)} - served):
        try:
            found.append(config.load_variant(main, path))
        except config.InvalidConfig as error:
            _warn(f"{path} is left out, it cannot be read as a variant: {error.problems[0]}")
    return found


def access_of(
    definitions: config.Definitions, providers: Iterable[str], environment: Mapping[str, str], folder: Path
) -> dict[str, Access]:
    """Where each provider is asked and with which key, as far as files and environment say.

    An address of this machine in the environment goes first, as for a gateway; a key that is not there is no error.

    Raises:
        ConfigError: for an override that leads off this machine.
    """
    from midshift.providers.lifecycle.answers import Access

    found = {}
    for name in sorted(providers):
        provider, own = definitions.provider(name), override(name, environment)
        if own is not None:
            vendor = name if provider is None else provider.vendor
            found[name] = Access(own, environment.get(f"{variable(name)}_KEY") or None, vendor=vendor)
        elif provider is None or provider.vendor in _AMAZON:
            found[name] = _amazon(name, provider, environment)
        else:
            key = credentials([provider], environment, folder)[name].key
            found[name] = Access(provider.base_url, key, vendor=provider.vendor)
    return found


def day(text: str) -> date:
    """Read a date.

    Raises:
        UsageError: for anything else.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--end-of-soak {text!r}: expected a date as YEAR-MONTH-DAY. Type next: --end-of-soak 2027-01-31"
        ) from None


def seconds(text: str) -> float:
    """Read `30m`, `6h`, `1d` or `1w`.

    Raises:
        UsageError: for anything else, or a time below a minute or above four weeks.
    """
    match = re.fullmatch(r"(\d{1,5})(m|h|d|w)", text.strip())
    found = int(match[1]) * {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}[match[2]] if match is not None else 0
    if not 60 <= found <= 28 * 86400:
        raise UsageError(f"--watch {text!r}: expected a time from 1m to 4w. Type next: --watch 1d")
    return float(found)


async def _seen(
    target: Target, until: date | None, clock: Clock, environment: Mapping[str, str], offline: bool
) -> list[Sighting]:
    if offline:
        return await sightings(target, until, clock, environment, None)
    from midshift.providers.http.client import HttpClient

    async with HttpClient(environment) as http:
        return await sightings(target, until, clock, environment, http)


def _forgiven(once: Callable[[], int]) -> int:
    try:
        return once()
    except MidshiftError as error:
        _warn(str(error))
        return error.exit_code
    except OSError as error:  # a folder of metrics that is away for a while
        _warn(f"{error.filename or 'the radar'}: {error.strerror or error}")
        return 4


def _held(found: Retirement, uses: Mapping[ModelName, list[Use]], today: date) -> Sighting:
    return sighting(found, uses[found.name], today)


def _name(file: config.VariantFile) -> ModelName:
    return ModelName(file.variant.provider, file.variant.model)


def _yaml_files(root: Path, folder: str) -> Iterator[str]:
    for path in (root / folder).glob("*.yaml"):
        yield path.relative_to(root).as_posix()


def _amazon(name: str, provider: Provider | None, environment: Mapping[str, str]) -> Access:
    """The variables of AWS's own tools; profiles and roles are not looked up."""
    from midshift.providers.lifecycle.answers import Access

    vendor = name if provider is None else provider.vendor
    if vendor not in _AMAZON:
        return Access(vendor=vendor)
    return Access(
        environment.get("AWS_ENDPOINT_URL_BEDROCK") or None,
        environment.get("AWS_BEARER_TOKEN_BEDROCK") or None,
        (provider.region if provider else None)
        or environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION"),
        _signing(environment),
        vendor,
    )


def _signing(environment: Mapping[str, str]) -> SigningKeys | None:
    from midshift.providers.lifecycle.answers import SigningKeys

    key_id, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    return SigningKeys(key_id, secret, environment.get("AWS_SESSION_TOKEN") or None) if key_id and secret else None


def _warn(line: str) -> None:
    sys.stderr.write(f"midshift: {visible(line, 1000)}\n")
    sys.stderr.flush()
