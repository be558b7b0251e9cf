"""The versions of the store's tables, for those who look without loading the tables themselves."""

from __future__ import annotations

VERSION_TABLE = "midshift_schema"
KNOWN = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
"""Every version of this schema, oldest first, as the migrations name them."""

HEAD = KNOWN[-1]
