"""Public fakes: what a test, a demo or a third party passes in where production has the real thing.

`traffic` and `provider_server` open sockets and load asyncio; they are imported by their names.
"""

from midshift.testing.clock import ManualClock
from midshift.testing.replay import Recording, ReplayGrader, ReplayProvider
from midshift.testing.scaled import ScaledClock
from midshift.testing.scripted import Fault, Faults, FaultyProvider, ScriptedProvider, Voice

__all__ = [
    "Fault",
    "Faults",
    "FaultyProvider",
    "ManualClock",
    "Recording",
    "ReplayGrader",
    "ReplayProvider",
    "ScaledClock",
    "ScriptedProvider",
    "Voice",
]
