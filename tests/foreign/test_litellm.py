"""LiteLLM, unmodified, on both sides: its router asks a gateway, and a gateway asks its proxy."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from subprocess import PIPE, STDOUT

import pytest

from midshift.domain.exposure import Fate
from midshift.providers.http.settings import Upstream
from midshift.wire.protocol import WireName
from tests.foreign.apps import App
from tests.foreign.clients import ENVIRONMENTS, Client, require
from tests.foreign.stage import CLAIM, OLD, a_stage

pytestmark = pytest.mark.heavy

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName
KEY = "sk-for-tests-of-a-proxy-0123456789"


@pytest.fixture(scope="module")
def litellm() -> Iterator[Client]:
    """LiteLLM's router."""
    client = Client("litellm", "bin/python", "litellm_client.py")
    yield require(client, "make foreign-all")
    client.close()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("wire", "provider", "path"), [(CHAT, "openai", "/v1"), (ANTHROPIC, "anthropic", "")])
async def test_a_router_asks_a_gateway(litellm: Client, wire: WireName, provider: str, path: str, stream: bool) -> None:
    """For it a gateway is a deployment like any other."""
    async with a_stage(wire) as stage:
        root = f"{stage.address}{path}"
        found = await litellm.call("ask", root=root, provider=provider, model=CLAIM, text="Hi.", stream=stream)

        assert "Hello from old." == found["choices"][0]["message"]["content"], found
        assert Fate.INCUMBENT is stage.exposures[0].fate


@pytest.fixture(scope="module")
def proxy(litellm: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of LiteLLM's proxy, with models that answer by themselves."""
    folder, port = tmp_path_factory.mktemp("litellm"), _free_port()
    models = "".join(
        f"  - model_name: {OLD[wire].model}\n"
        f"    litellm_params: {{model: {vendor}/x, api_key: k, mock_response: Hello from old.}}\n"
        for wire, vendor in ((CHAT, "openai"), (RESPONSES, "openai"), (ANTHROPIC, "anthropic"))
    )
    config = folder / "config.yaml"
    config.write_text(f"model_list:\n{models}general_settings: {{master_key: {KEY}}}\n")
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": "*",
    }
    program = [str(ENVIRONMENTS / litellm.name / "bin/litellm"), "--config", str(config), "--host", "127.0.0.1"]
    with subprocess.Popen(
        [*program, "--port", str(port)], stdout=PIPE, stderr=STDOUT, text=True, cwd=folder, env=environment
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Uvicorn running" in line:
                break
        else:
            pytest.fail("the proxy did not start:\n" + "".join(said[-20:]))
        yield port
        process.terminate()
        process.stdout.read()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wire", [CHAT, RESPONSES, ANTHROPIC])
async def test_a_gateway_asks_a_proxy(proxy: int, app: App, wire: WireName, stream: bool) -> None:
    """The vendor's client understands the proxy as well through a gateway as without one, be that well or not."""
    root = f"http://127.0.0.1:{proxy}"
    behind = Upstream(root if wire is ANTHROPIC else f"{root}/v1", KEY, wires={wire: ""})
    async with a_stage(wire, behind=behind) as stage:
        through = await app.ask(stage.address, "Hi.", stream)
        directly = await app.ask(root, "Hi.", stream, key=KEY, model=OLD[wire].model)

        assert directly.get("raised") == through.get("raised")
        assert ("Hello from old." in str(directly)) is ("Hello from old." in str(through))
        assert "Hello from old." in str(through) or (wire, stream) != (CHAT, False)
        assert Fate.INCUMBENT is stage.exposures[0].fate
