"""The package `google-genai`, unmodified, against a gateway whose provider speaks Gemini's wire."""

import pytest

from midshift.wire.protocol import WireName
from tests.foreign.clients import Client
from tests.foreign.stage import CLAIM, OLD, a_stage
from tests.foreign.upstreams import SIGNATURE

WIRE = WireName.GEMINI
NOT_COMPARED = {"host", "x-goog-api-key", "content-length", "accept-encoding", "connection"}
VERSIONS = [None, "v1", "v1beta"]
BOTH_CALLS = [["weather", {"city": "Bonn"}], ["weather", {"city": "Oslo"}]]


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_answer_is_parsed_with_its_usage_and_its_status(google: Client, version: str | None) -> None:
    """In both versions of the API, and in the client's own default."""
    async with a_stage(WIRE) as stage:
        found = await google.call("generate", base_url=stage.address, model=CLAIM, text="Hi.", version=version)

        assert ("Hello from old.", "STOP", "gemini-scripted-1") == (found["text"], found["finish"], found["model"])
        usage = found["usage"]
        assert (12, 4, 5, 2) == (
            usage["prompt_token_count"],
            usage["cached_content_token_count"],
            usage["candidates_token_count"],
            usage["thoughts_token_count"],
        )
        assert "LEGACY" == found["status"]["model_stage"]
        assert f"/{version or 'v1'}/models/{OLD[WIRE].model}:generateContent" == stage.old.provider.seen[0].path
        assert (12, 7) == (stage.exposures[0].tokens_in, stage.exposures[0].tokens_out)
        assert not {"set-cookie", "x-goog-api-key"} & {name.lower() for name in found["headers"]}


@pytest.mark.parametrize("call", ["generate", "generate_stream"])
async def test_undoing_the_base_url_leaves_a_working_app(google: Client, call: str) -> None:
    """The provider gets the very same bytes either way: the model stands in the path."""
    more = {"temperature": 0.5, "thinking_config": {"thinking_budget": 5}, "max_output_tokens": 99}
    async with a_stage(WIRE) as stage:
        for root in (f"http://127.0.0.1:{stage.old.provider.port}", stage.address):
            await google.call(call, base_url=root, model=CLAIM, text="Hi.", **more)
        directly, through = stage.old.provider.seen

        assert directly.body == through.body
        assert directly.path.replace(CLAIM, OLD[WIRE].model) == through.path
        kept = {name: value for name, value in directly.headers.items() if name.lower() not in NOT_COMPARED}
        assert kept.items() <= through.headers.items()
        assert "sk-old-provider-key" == through.headers["x-goog-api-key"]


async def test_a_stream_comes_in_chunks(google: Client) -> None:
    """Each is an answer in itself, with its own usage."""
    async with a_stage(WIRE) as stage:
        found = await google.call("generate_stream", base_url=stage.address, model=CLAIM, text="Hi.")

        assert ["Hello f", "rom old."] == [chunk["text"] for chunk in found]
        assert [None, "STOP"] == [chunk["finish"] for chunk in found]
        assert 5 == found[-1]["usage"]["candidates_token_count"]


async def test_calls_of_tools_keep_their_arguments_and_the_signature(google: Client) -> None:
    """Two in parallel, whole and streamed."""
    async with a_stage(WIRE) as stage:
        asked = {"base_url": stage.address, "model": CLAIM, "text": "scenario=tools", "tools": True}
        whole = await google.call("generate", **asked)
        chunks = await google.call("generate_stream", **asked)

        assert BOTH_CALLS == whole["calls"] == [call for chunk in chunks for call in chunk["calls"]]
        assert SIGNATURE.replace("+", "-").replace("/", "_") == whole["parts"][0]["thought_signature"]


async def test_tokens_are_counted_and_models_listed(google: Client) -> None:
    """`GET /v1/models` is claimed by three vendors: this one's clients show their key in a header of their own."""
    async with a_stage(WIRE) as stage:
        counted = await google.call("count_tokens", base_url=stage.address, model=CLAIM, text="Hi.")
        listed = await google.call("models", base_url=f"{stage.address}/gemini", model=CLAIM)
        bare = await google.call("models", base_url=stage.address, model=CLAIM)

        assert 12 == counted["total_tokens"]
        assert {"listed": [f"models/{CLAIM}"], "one": f"models/{CLAIM}"} == listed == bare


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "ClientError"), (401, "ClientError"), (404, "ClientError"), (429, "ClientError"), (503, "ServerError")],
)
@pytest.mark.parametrize("call", ["generate", "generate_stream"])
async def test_a_providers_error_raises_the_class_of_its_status(
    google: Client, status: int, kind: str, call: str
) -> None:
    """With the provider's own words, as without a gateway."""
    async with a_stage(WIRE) as stage:
        found = await google.call(call, base_url=stage.address, model=CLAIM, text=f"scenario=http_{status}")

        assert (kind, status, "old says no.") == (found["raised"][0], found["code"], found["message"])


async def test_an_error_of_the_gateway_is_one_of_the_clients_own(google: Client) -> None:
    """A developer who mistypes a model reads what there is."""
    async with a_stage(WIRE) as stage:
        found = await google.call("generate", base_url=stage.address, model="unknown", text="Hi.")

        assert ("ClientError", 404, "NOT_FOUND") == (found["raised"][0], found["code"], found["status"])
        assert CLAIM in found["message"]


async def test_a_client_key_is_asked_for(google: Client) -> None:
    """It stands where the vendor's was."""
    async with a_stage(WIRE, key="sk-another-key-of-an-app") as stage:
        found = await google.call("generate", base_url=stage.address, model=CLAIM, text="Hi.")

        assert ("ClientError", "UNAUTHENTICATED") == (found["raised"][0], found["status"])


async def test_a_stream_that_breaks_raises(google: Client) -> None:
    """Half an answer must not pass for a whole one."""
    async with a_stage(WIRE) as stage:
        found = await google.call("generate_stream", base_url=stage.address, model=CLAIM, text="scenario=broken")

        assert ("ServerError", 503, "It broke.") == (found["raised"][0], found["code"], found["message"])
