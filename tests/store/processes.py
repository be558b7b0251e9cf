"""Processes for tests, forked from a server that has everything loaded: a hundredth of a second each."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.store.children"])
PATIENCE_S = 60.0


class Child:
    """A process that runs a function of `children`, and what it has told so far."""

    def __init__(self, process: ForkServerProcess, heard: Connection) -> None:
        self._process, self._heard = process, heard

    def hear(self) -> Any:
        """The next thing that it tells."""
        assert self._heard.poll(PATIENCE_S), f"{self._process} tells nothing"
        return self._heard.recv()

    def tell(self, message: object) -> None:
        """Let it go on."""
        self._heard.send(message)

    def kill(self, after_s: float = 0.0) -> list[Any]:
        """SIGKILL after a moment; all that it had told until then."""
        self._process.join(after_s)
        self._process.kill()
        self._process.join()
        assert self._process.exitcode == -9, f"it ended by itself, with {self._process.exitcode}"
        told = []
        with suppress(EOFError):
            while self._heard.poll():
                told.append(self._heard.recv())
        return told

    def end(self) -> None:
        """Wait until it ends by itself, without an error."""
        self._process.join(PATIENCE_S)
        assert self._process.exitcode == 0


@contextmanager
def running(function: Callable[..., None], where: str, *arguments: object) -> Iterator[Child]:
    """A process of `function(where, pipe, *arguments)`; killed at the end if it still runs."""
    heard, told = CONTEXT.Pipe()
    process = CONTEXT.Process(target=function, args=(where, told, *arguments), daemon=True)
    process.start()
    told.close()
    try:
        yield Child(process, heard)
    finally:
        process.kill()
        process.join()
        process.close()
        heard.close()
