"""Suites as other tools read them, with a list of everything that they have no words for."""

from midshift.evals.exporters.targets import EXPORTERS, Exported, Target

__all__ = ["EXPORTERS", "Exported", "Target"]
