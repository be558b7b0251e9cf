"""What a new user does, by the very commands that `init` prints: nothing on the way may stop them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PORT = "--port 9000"


def midshift(folder: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One printed command, in the folder."""
    program, *arguments = shlex.split(command, comments=True)
    assert "midshift" == program
    own = {name: value for name, value in os.environ.items() if not name.startswith("MIDSHIFT")}
    return subprocess.run(
        [sys.executable, "-m", "midshift", *arguments],
        cwd=folder,
        env={**own, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def the_stand_in(command: str) -> Iterator[str]:
    """The provider of the printed command, on a port that is free and without its waiting."""
    assert PORT in command
    arguments = shlex.split(command.removesuffix("&").replace(PORT, "--port 0 --latency-scale 0 --until-eof"))
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.kill()


@pytest.mark.slow
def test_the_commands_that_init_prints_lead_to_an_eval_and_into_an_upgrade(tmp_path: Path) -> None:
    printed = [line.strip() for line in midshift(tmp_path, "midshift init").stdout.splitlines()]
    stand_in = next(line for line in printed if "provider_server" in line)
    check, evaluate, begin = (
        next(line for line in printed if line.startswith(f"midshift {word}"))
        for word in ("check", "eval", "upgrade start")
    )
    store = {"MIDSHIFT_DB": f"sqlite:///{tmp_path}/midshift.db", "MIDSHIFT_WHO": "ada"}

    assert 0 == midshift(tmp_path, check).returncode
    with the_stand_in(stand_in) as url:
        named = {"MIDSHIFT_PROVIDER_SIM_URL": url}
        first = midshift(tmp_path, f"{evaluate} --max-usd 1", **named)
        assert (3, "") == (first.returncode, first.stderr), "six cases prove nothing, and that is no error"
        assert "12 calls, 12 of them bought now; cost in all: 0.0" in first.stdout
        assert "Type next: midshift suite check support-reply" in first.stdout

        assert 0 == midshift(tmp_path, "midshift apply", **store).returncode
        refused = midshift(tmp_path, "midshift upgrade eval support-reply", **store, **named)
        assert "or to compare files without one: midshift eval support-reply --to" in refused.stderr
        assert 0 == midshift(tmp_path, begin, **store).returncode
        again = midshift(tmp_path, "midshift upgrade eval support-reply", **store, **named)

    assert (3, "") == (again.returncode, again.stderr)
    assert "12 calls, 0 of them bought now" in again.stdout
