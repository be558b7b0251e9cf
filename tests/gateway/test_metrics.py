"""What `/metrics` says is what the guide explains."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_metric_is_explained() -> None:
    """A number whose meaning has to be guessed is read wrongly at three in the morning."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/midshift/gateway").glob("*.py"))
    names = set(re.findall(r'yield \(?\s*"([a-z_]+)"', sources))
    guide = (ROOT / "docs/guides/operate.md").read_text(encoding="utf-8")

    assert "requests_received_total" in names
    assert set() == {name for name in names if f"`{name}`" not in guide}
