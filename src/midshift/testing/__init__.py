"""Public fakes: what a test, a demo or a third party passes in where production has the real thing."""

from midshift.testing.clock import ManualClock

__all__ = ["ManualClock"]
