"""GitHub Copilot's command line, unmodified and offline, against a gateway: on the wires that it speaks.

Its client is not ours to redistribute: `make foreign-all` fetches it, and without it these tests are skipped.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from midshift.domain.exposure import Fate
from midshift.wire.protocol import WireName
from tests.foreign.clients import ENVIRONMENTS
from tests.foreign.stage import CLAIM, a_stage

pytestmark = pytest.mark.heavy

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName
PROGRAM = ENVIRONMENTS / "node/node_modules/@github/copilot/npm-loader.js"
SETTINGS = {
    CHAT: {"COPILOT_PROVIDER_TYPE": "openai", "COPILOT_PROVIDER_WIRE_API": "completions"},
    RESPONSES: {"COPILOT_PROVIDER_TYPE": "openai", "COPILOT_PROVIDER_WIRE_API": "responses"},
    ANTHROPIC: {"COPILOT_PROVIDER_TYPE": "anthropic"},
}


async def said(root: str, wire: WireName, home: Path) -> str:
    """What Copilot answers to one prompt."""
    process = await asyncio.create_subprocess_exec(
        *(shutil.which("node") or "node", str(PROGRAM), "-p", "Say hello.", "--silent"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=home,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "NO_PROXY": "*",
            "COPILOT_OFFLINE": "true",
            "COPILOT_PROVIDER_BASE_URL": root if wire is ANTHROPIC else f"{root}/v1",
            "COPILOT_PROVIDER_API_KEY": "sk-of-the-app",
            "COPILOT_MODEL": CLAIM,
            **SETTINGS[wire],
        },
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:  # the test was given up
            process.kill()
            await process.wait()
    return out.decode()


@pytest.mark.parametrize(
    ("wire", "provider"),
    [(CHAT, CHAT), (RESPONSES, RESPONSES), (ANTHROPIC, ANTHROPIC), (CHAT, ANTHROPIC), (ANTHROPIC, CHAT)],
)
async def test_copilot_works_offline_through_a_gateway(wire: WireName, provider: WireName, tmp_path: Path) -> None:
    """A large app with many tools that nobody here wrote."""
    if not PROGRAM.exists():
        pytest.skip("NOT TESTED: no Copilot at .foreign/node (type: make foreign-all)")
    async with a_stage(provider, parameters={} if wire is provider else {"set": {"max_tokens": 2000}}) as stage:
        found = await said(stage.address, wire, tmp_path)

        assert "Hello from old." in found
        assert {(Fate.INCUMBENT, 200)} == {(exposure.fate, exposure.status) for exposure in stage.exposures}
        assert all(exposure.tokens_in == 12 for exposure in stage.exposures)
