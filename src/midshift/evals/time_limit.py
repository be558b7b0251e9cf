"""How long a pattern may search an answer: what a suite says meets what a model wrote, and some pairs never come to
an end.

Contract. Work that takes longer than its limit is given up and raises `OutOfTime`: nobody's score, and no zero. The
limit is in seconds of computing and not of the clock, so that a machine with other work scores alike. Ctrl-C ends the
work at once, in an event loop too. Both need the main thread, which is where Python hears signals: elsewhere the work
runs without a limit. One piece of work has no other inside.
Elsewhere: why not another way (docs/design/011), who notes what was given up (graders.compiling, table).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias, TypeVar

LIMIT_S = 0.5
_Handler: TypeAlias = Callable[[int, FrameType | None], Any]
T = TypeVar("T")


class OutOfTime(ValueError):
    """What was given up, in words."""


class _Rang(BaseException):
    """The limit is reached; no `except Exception` on the way up takes it for its own."""


def limited(what: str, work: Callable[[], T], limit_s: float = LIMIT_S) -> T:
    """What `work` gives, if it does so within `limit_s` seconds of computing; `what` names it for people.

    Raises:
        OutOfTime: if it does not.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    try:
        with _handled(signal.SIGVTALRM, _ring), _disarmed(), _interruptible():
            signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
            with _disarmed():
                return work()
    except _Rang:
        raise OutOfTime(f"{what} was given up after {limit_s:g} s of computing") from None


@contextmanager
def _disarmed() -> Iterator[None]:
    """No timer is left behind. Twice, because Ctrl-C may come before the inner one has begun to disarm it."""
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)


@contextmanager
def _interruptible() -> Iterator[None]:
    """An event loop hears Ctrl-C when the work is over, and it may be a long way to there."""
    if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.default_int_handler, None):
        yield
        return
    with _handled(signal.SIGINT, signal.default_int_handler):
        yield


@contextmanager
def _handled(number: signal.Signals, handler: _Handler) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL if before is None else before)


def _ring(number: int, frame: FrameType | None) -> None:
    raise _Rang
