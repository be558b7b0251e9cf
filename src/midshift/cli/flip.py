"""`midshift rollback --admin-port URL`: gateways one by one, with the store dead.

Loads nothing but the standard library, asks no store and no definition, and knows no way towards the candidate.
Elsewhere: the port (gateway.admin), the rollback that needs the store (rollback).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from midshift.cli.project import say
from midshift.cli.system import SystemClock
from midshift.errors import ConfigError, UsageError
from midshift.reports.text import visible

KEY = "MIDSHIFT_ADMIN_KEY"
PATIENCE_S = 2.0


def flip(urls: Sequence[str], workload: str, environment: Mapping[str, str] = os.environ) -> int:
    """Send a workload home at each of these ports, all at once; 4 if one of them did not.

    Raises:
        ConfigError: without the admin key.
        UsageError: for what is no address of a port.
    """
    key = environment.get(KEY, "")
    if not key:
        raise ConfigError(f"found no {KEY}, expected the key of the admin ports. Type next: export {KEY}=...")
    for url in urls:
        _checked(url)
    with ThreadPoolExecutor(len(urls)) as threads:
        found = list(threads.map(lambda url: _flipped(url, workload, key), urls))
    for _, line in found:
        say(line)
    done = sum(is_done for is_done, _ in found)
    say(f"{done} of {len(urls)} gateways serve the incumbent to everybody")
    say(f"When the store is back, type next: midshift rollback {workload}   (until then the flips hold by themselves)")
    return 0 if done == len(urls) else 4


def _checked(url: str) -> None:
    parts = urlsplit(url)
    try:
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not None
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError(f"--admin-port {url!r}: expected an address with its port, like http://127.0.0.1:8701")


def _flipped(url: str, workload: str, key: str) -> tuple[bool, str]:
    """Whether one gateway is home now, and a line about it."""
    clock = SystemClock()
    started_s = clock.monotonic_s()
    try:
        status, nonce = _asked(url, "GET", "/-/nonce", key)
        if status == 200:
            body = json.dumps({"workload": workload})
            status, said = _asked(url, "POST", "/-/force-incumbent", key, nonce, body)
        else:
            said = nonce
    except (OSError, HTTPException) as error:
        return False, f"{url}: NOT home: {visible(str(error) or type(error).__name__, 200)}"
    if status != 200:
        return False, f"{url}: NOT home: {status} {visible(said.strip(), 300)}"
    kept = "" if '"survives_a_restart":true' in said else "; a restart forgets it"
    return True, f"{url}: home after {1000 * (clock.monotonic_s() - started_s):.0f} ms{kept}"


def _asked(url: str, method: str, path: str, key: str, nonce: str = "", body: str = "") -> tuple[int, str]:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, {"authorization": f"Bearer {key}", "x-midshift-nonce": nonce})
        answer = connection.getresponse()
        return answer.status, answer.read(64 * 1024).decode("utf-8", "replace")
    finally:
        connection.close()
