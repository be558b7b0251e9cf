"""The guide for adopting a gateway says lines that work: each of its blocks is run as it stands, at another address."""

import asyncio
import re
import shutil
from asyncio.subprocess import PIPE

import pytest

from midshift.wire.protocol import WireName
from tests.foreign.clients import ENVIRONMENT, ENVIRONMENTS, REPOSITORY, Client, require
from tests.foreign.stage import CLAIM, a_stage

GUIDE = REPOSITORY / "docs/guides/adopt.md"
ADDRESS, MODEL = "http://127.0.0.1:8080", "my-model"


def block(heading: str, language: str, address: str) -> str:
    """The block of code under a heading, for the gateway at an address."""
    section = GUIDE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert 1 == len(found)
    assert ADDRESS in found[0] and MODEL in found[0]
    return str(found[0]).replace(ADDRESS, address).replace(MODEL, CLAIM)


@pytest.fixture
def client(clients: dict[str, Client], name: str) -> Client:
    """The client whose lines are copied."""
    return require(clients[name])


@pytest.mark.parametrize(
    ("heading", "name", "wire"),
    [
        ("OpenAI", "openai-3", WireName.OPENAI_CHAT),
        ("OpenAI", "openai-2", WireName.OPENAI_CHAT),
        ("Anthropic", "anthropic-2", WireName.ANTHROPIC),
        ("Anthropic", "anthropic-0", WireName.ANTHROPIC),
        ("Google", "google-genai-3", WireName.GEMINI),
    ],
)
async def test_the_lines_of_the_guide_work(client: Client, heading: str, name: str, wire: WireName) -> None:
    """Whoever copies them has an answer."""
    async with a_stage(wire) as stage:
        found = await client.call("run", code=block(heading, "python", stage.address))

        assert {"printed": "Hello from old.\n"} == found


@pytest.mark.heavy
@pytest.mark.usefixtures("ai_sdk")
async def test_the_lines_of_the_guide_for_node_work() -> None:
    """The same on Node.js."""
    async with a_stage(WireName.OPENAI_RESPONSES) as stage:
        code = block("Vercel AI SDK", "js", stage.address)
        command = (shutil.which("node") or "node", "--input-type=module", "-e", code)
        where = ENVIRONMENTS / "node"
        process = await asyncio.create_subprocess_exec(*command, cwd=where, env=ENVIRONMENT, stdout=PIPE)
        printed, _ = await process.communicate()

        assert b"Hello from old.\n" == printed
