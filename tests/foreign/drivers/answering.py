"""The loop of a driver: "loaded", then a line of JSON in, a call of the vendor's client, a line of JSON out.

Runs in the environment of a vendor's client, which knows nothing of midshift. An error that the client raises is told
by its class, with what an app can read of it.
"""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from typing import Any

SAID = ("message", "code", "param", "type", "status", "status_code", "request_id")


def answer(calls: dict[str, Callable[..., Any]]) -> None:
    """Serve these calls, and `run`, until the input ends."""
    calls = {**calls, "run": run}
    say("loaded")
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            found = calls[asked.pop("call")](**asked)
        except Exception as error:  # noqa: BLE001 - whatever the client raises is what the test wants to know
            found = {"raised": [kind.__name__ for kind in type(error).__mro__]}
            found |= {name: plain(getattr(error, name, None)) for name in SAID}
            found["because"] = str(error.__cause__ or "")[:1000]
        say(found)


def say(found: Any) -> None:
    """A line for who asked."""
    sys.stdout.write(json.dumps(found, default=str) + "\n")
    sys.stdout.flush()


def run(code: str) -> Any:
    """What a piece of a guide prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    return {"printed": printed.getvalue()}


def plain(value: Any) -> Any:
    """What JSON can hold of a value."""
    return value if isinstance(value, str | int | float | None) else str(value)
