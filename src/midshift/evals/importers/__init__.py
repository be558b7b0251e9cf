"""Suites of other tools as cases: one module a tool, each a pure function of bytes.

Elsewhere: which one reads a file (sniffing), what they all give (result), writing for other tools (exporters).
"""

from midshift.evals.importers.result import Beside, File, Imported, Loss, Options
from midshift.evals.importers.sniffing import Source, import_file, sniffed

__all__ = ["Beside", "File", "Imported", "Loss", "Options", "Source", "import_file", "sniffed"]
