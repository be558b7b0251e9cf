"""The vendors' clients, each loaded once a session; tests here may be coroutines."""

import shutil
from collections.abc import Iterator

import pytest

from midshift.wire.protocol import WireName
from tests.coroutines import pytest_pyfunc_call
from tests.foreign.apps import CLIENT_OF, App
from tests.foreign.clients import Client, require

__all__ = ["pytest_pyfunc_call"]

DRIVERS = {
    "openai-3": "openai_client.py",
    "openai-2": "openai_client.py",
    "anthropic-2": "anthropic_client.py",
    "anthropic-0": "anthropic_client.py",
    "google-genai-3": "google_genai_client.py",
}


@pytest.fixture(scope="session")
def clients() -> Iterator[dict[str, Client]]:
    """Every client of Python; `require` loads one."""
    found = {name: Client(name, "bin/python", driver) for name, driver in DRIVERS.items()}
    yield found
    for client in found.values():
        client.close()


@pytest.fixture
def app(clients: dict[str, Client], wire: WireName) -> App:
    """An app on the wire that the test is about, with the newest client."""
    return App(wire, require(clients[CLIENT_OF[wire]]))


@pytest.fixture(params=["openai-3", "openai-2"])
def openai(request: pytest.FixtureRequest, clients: dict[str, Client]) -> Client:
    """OpenAI's client, in each version that apps use."""
    return require(clients[request.param])


@pytest.fixture(params=["anthropic-2", "anthropic-0"])
def anthropic(request: pytest.FixtureRequest, clients: dict[str, Client]) -> Client:
    """Anthropic's client: 2.x shows its key as a bearer and asks for the API of 2026, 0.x does neither."""
    return require(clients[request.param])


@pytest.fixture(scope="session")
def ai_sdk() -> Iterator[Client]:
    """Vercel's AI SDK on Node.js, with the providers of three vendors."""
    client = Client("node", shutil.which("node") or "node", "ai_sdk.mjs")
    yield require(client, "make foreign-all")
    client.close()


@pytest.fixture
def google(clients: dict[str, Client]) -> Client:
    """Google's client."""
    return require(clients["google-genai-3"])
