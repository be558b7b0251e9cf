"""The vendors' clients as processes of their own, each in an environment that `make foreign` has made.

A client is slow to load and quick to call: one process serves all tests of a session, one JSON line a call. It is
loaded before the first test that asks for it begins, so that no test's own limit has to hold the loading: of a client
that was only just installed, on a machine with other work, that may take a minute.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENTS = REPOSITORY / ".foreign"
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "NO_PROXY": "*", **dict.fromkeys(KEYS, "sk-of-the-app")}
DRIVERS = Path(__file__).resolve().parent / "drivers"


class Client:
    """One vendor's client in one version."""

    def __init__(self, name: str, program: str | Path, driver: str) -> None:
        self.name = name
        self._command = [str(ENVIRONMENTS / name / program), str(DRIVERS / driver)]
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_there(self) -> bool:
        """Whether `make` has installed it, whole."""
        return (ENVIRONMENTS / self.name / ".made").exists()

    async def call(self, call: str, **arguments: Any) -> Any:
        """What the client gave back, or `raised` with the classes of its error."""
        return await asyncio.to_thread(self._call, {"call": call, **arguments})

    def _call(self, asked: dict[str, Any]) -> Any:
        assert self._process is not None and self._process.stdin is not None, f"{self.name} is not loaded"
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._said(self._process)

    def load(self) -> None:
        """Begin the process, if it is not there, and wait until it can be called."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ENVIRONMENTS / self.name,
                env=ENVIRONMENT,
            )
            assert "loaded" == self._said(self._process)

    def _said(self, process: subprocess.Popen[str]) -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the driver of {self.name} ended with {process.wait()}"
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()  # it holds nothing that is worth a good-bye
            self._process.communicate()


def require(client: Client, made_by: str = "make foreign") -> Client:
    """The client, loaded, or a test that is skipped and says why."""
    if not client.is_there:
        pytest.skip(f"NOT TESTED: no {client.name} at .foreign/{client.name} (type: {made_by})")
    client.load()
    return client
