"""Known vendors: where a request to each of them goes, and how it shows its key. Expected values are the vendors'."""

from dataclasses import dataclass, field

import pytest

from midshift.errors import InputError
from midshift.providers import presets
from midshift.providers.definition import Provider
from midshift.providers.faults import faults
from midshift.providers.http.settings import Upstream
from midshift.wire.protocol import WireName

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName
SINCE = {"anthropic-version": "2023-06-01"}


@dataclass(frozen=True, slots=True)
class Known:
    """One vendor on one wire: the whole URL of a request, the header of a key `K`, what else is sent."""

    vendor: str
    wire: WireName
    url: str
    key: tuple[str, str] = ("authorization", "Bearer K")
    said: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    is_optional: bool = False


PATHS = {
    CHAT: "/chat/completions",
    RESPONSES: "/responses",
    ANTHROPIC: "/v1/messages",
    GEMINI: "/v1beta/models/M:generateContent",
}
MANTLE = "https://bedrock-mantle.eu-west-1.api.aws"
VLLM = "http://vllm:8000/v1"
VERTEX = {"project": "acme", "region": "europe-west4"}
EVERY = (
    Known("anthropic", ANTHROPIC, "https://api.anthropic.com/v1/messages", ("x-api-key", "K"), headers=SINCE),
    Known("openai", CHAT, "https://api.openai.com/v1/chat/completions"),
    Known("openai", RESPONSES, "https://api.openai.com/v1/responses"),
    Known(
        "gemini",
        GEMINI,
        "https://generativelanguage.googleapis.com/v1beta/models/M:generateContent",
        ("x-goog-api-key", "K"),
    ),
    Known("mistral", CHAT, "https://api.mistral.ai/v1/chat/completions"),
    Known("openrouter", CHAT, "https://openrouter.ai/api/v1/chat/completions"),
    Known("together", CHAT, "https://api.together.ai/v1/chat/completions"),
    Known("fireworks", CHAT, "https://api.fireworks.ai/inference/v1/chat/completions"),
    Known("fireworks", ANTHROPIC, "https://api.fireworks.ai/inference/v1/messages", headers=SINCE),
    Known("xai", CHAT, "https://api.x.ai/v1/chat/completions"),
    Known("xai", RESPONSES, "https://api.x.ai/v1/responses"),
    Known("groq", CHAT, "https://api.groq.com/openai/v1/chat/completions"),
    Known("groq", RESPONSES, "https://api.groq.com/openai/v1/responses"),
    Known("deepseek", CHAT, "https://api.deepseek.com/chat/completions"),
    Known("deepseek", ANTHROPIC, "https://api.deepseek.com/anthropic/v1/messages", headers=SINCE),
    Known(
        "azure",
        CHAT,
        "https://acme.openai.azure.com/openai/v1/chat/completions",
        ("api-key", "K"),
        {"resource": "acme"},
    ),
    Known(
        "azure", RESPONSES, "https://acme.openai.azure.com/openai/v1/responses", ("api-key", "K"), {"resource": "acme"}
    ),
    Known("bedrock_mantle", CHAT, f"{MANTLE}/openai/v1/chat/completions", said={"region": "eu-west-1"}),
    Known("bedrock_mantle", RESPONSES, f"{MANTLE}/openai/v1/responses", said={"region": "eu-west-1"}),
    Known("bedrock_mantle", ANTHROPIC, f"{MANTLE}/anthropic/v1/messages", said={"region": "eu-west-1"}, headers=SINCE),
    Known(
        "vertex",
        GEMINI,
        "https://europe-west4-aiplatform.googleapis.com/v1/projects/acme/locations/europe-west4/publishers/google"
        "/models/M:generateContent",
        said=VERTEX,
    ),
    Known(
        "vertex",
        CHAT,
        "https://europe-west4-aiplatform.googleapis.com/v1/projects/acme/locations/europe-west4/endpoints/openapi"
        "/chat/completions",
        said=VERTEX,
    ),
    Known("anyscale", CHAT, "https://svc.example/v1/chat/completions", said={"base_url": "https://svc.example/v1"}),
    Known("litellm", CHAT, "http://litellm:4000/v1/chat/completions", said={"base_url": "http://litellm:4000"}),
    Known("litellm", RESPONSES, "http://litellm:4000/v1/responses", said={"base_url": "http://litellm:4000/"}),
    Known(
        "litellm", ANTHROPIC, "http://litellm:4000/v1/messages", said={"base_url": "http://litellm:4000"}, headers=SINCE
    ),
    Known(
        "litellm",
        GEMINI,
        "http://litellm:4000/v1beta/models/M:generateContent",
        said={"base_url": "http://litellm:4000"},
    ),
    Known("openai_compatible", CHAT, f"{VLLM}/chat/completions", said={"base_url": VLLM}),
    Known("openai_compatible", RESPONSES, f"{VLLM}/responses", said={"base_url": VLLM}, is_optional=True),
    Known("openai_compatible", ANTHROPIC, f"{VLLM}/messages", said={"base_url": VLLM}, headers=SINCE, is_optional=True),
)


@pytest.mark.parametrize("known", EVERY, ids=lambda known: f"{known.vendor}-{known.wire}")
def test_a_request_goes_where_the_vendor_says_with_the_header_that_it_reads(known: Known) -> None:
    """A wrong address answers 404 on the day of the canary; a wrong header 401."""
    provider = provider_of(known)

    assert provider.address is not None
    asked = Upstream(
        provider.address,
        wires={wire.value: path for wire, path in provider.paths.items()},
        cuts_version=frozenset(provider.cuts_version),
    )
    assert known.url == provider.address + asked.target(known.wire, PATHS[known.wire])
    assert (known.key,) == provider.shows_key_by.headers("K")
    assert known.headers == provider.headers_on(known.wire)


def test_every_preset_is_in_the_table_with_every_wire_that_it_speaks() -> None:
    """A line that nobody looked at would be a guess."""
    listed = {(known.vendor, known.wire) for known in EVERY}
    bundled = presets.bundled()
    spoken = {(name, wire) for name in bundled.names if name != "simulated" for wire in bundled.by_name[name].wires}

    assert spoken == listed


@pytest.mark.parametrize("name", presets.bundled().names)
def test_every_preset_has_a_source(name: str) -> None:
    """A fact without a page to look it up at cannot be mended by anybody."""
    source = presets.bundled().by_name[name].source

    assert source.startswith("https://") or source.startswith("docs/")


def test_the_global_location_of_vertex_has_a_host_of_its_own() -> None:
    """It is the one location that does not stand in front of the host's name."""
    found = Provider("vertex", "vertex", region="global", project="acme")

    assert "https://aiplatform.googleapis.com" == found.address
    assert "/v1/projects/acme/locations/global/publishers/google" == found.paths[GEMINI]


def test_a_server_that_refuses_stream_options_is_not_asked_for_usage() -> None:
    """Mistral answers 422 to a field that it does not know."""
    assert not Provider("mistral", "mistral").asks_usage
    assert Provider("openai", "openai").asks_usage


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "truncated"),
        (b'{"format": "another/1", "checked_on": "2026-11-22", "presets": {}}', "another/1"),
        (b'{"format": "midshift.presets/1", "checked_on": "d", "presets": {"a": {"titel": "A"}}}', "titel"),
    ],
)
def test_a_file_that_holds_no_presets_is_refused(content: bytes, why: str) -> None:
    """A misspelt field would be a fact that is silently not there."""
    with pytest.raises(InputError, match=why):
        presets.read(content)


def provider_of(known: Known) -> Provider:
    """The vendor with what it needs."""
    said = known.said
    provider = Provider(
        known.vendor,
        known.vendor,
        base_url=said.get("base_url"),
        region=said.get("region"),
        resource=said.get("resource"),
        project=said.get("project"),
        wires=(known.wire,) if known.is_optional else (),
    )
    assert [] == [fault for fault in faults(provider) if fault.field != ("key",)]
    return provider
