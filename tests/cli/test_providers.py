"""What `midshift check` says of providers."""

from __future__ import annotations

from pathlib import Path

import pytest

from midshift.cli import main
from tests.cli.test_defining import a_product


def test_check_says_where_this_shell_puts_a_server_in_a_provider_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever forgets the variable takes a simulator's answers for a vendor's."""
    a_product(tmp_path)
    main.run(["check", "--config", str(tmp_path)])
    before = capsys.readouterr().out

    monkeypatch.setenv("MIDSHIFT_PROVIDER_SIM_URL", "http://127.0.0.1:9/v1")
    main.run(["check", "--config", str(tmp_path)])

    expected = "HERE MIDSHIFT_PROVIDER_SIM_URL puts a server of this machine in its place"
    assert (False, True) == (expected in before, expected in capsys.readouterr().out)
