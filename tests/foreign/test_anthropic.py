"""The package `anthropic`, unmodified, against a gateway whose provider speaks Anthropic's wire."""

import pytest

from midshift.wire.protocol import WireName
from tests.foreign.clients import Client
from tests.foreign.stage import CLAIM, OLD, a_stage
from tests.foreign.upstreams import CALLS, REQUEST_ID, SIGNATURE

WIRE = WireName.ANTHROPIC
NOT_COMPARED = {"host", "authorization", "x-api-key", "content-length", "accept-encoding", "connection"}
VERSIONS = {"anthropic-2": "2026-10-21", "anthropic-0": "2023-06-01"}


async def test_a_message_is_parsed_with_its_usage_and_its_request_id(anthropic: Client) -> None:
    """What an app reads of an answer is the provider's, down to the tokens of each kind."""
    async with a_stage(WIRE) as stage:
        found = await anthropic.call("message", base_url=stage.address, model=CLAIM, text="Hi.")

        assert ("Hello from old.", REQUEST_ID) == (found["content"][0]["text"], found["request_id"])
        usage = found["usage"]
        assert (8, 4, 7) == (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"])
        assert "41" == found["headers"]["anthropic-ratelimit-requests-remaining"]
        assert OLD[WIRE].short_id == found["headers"]["x-midshift-variant"]
        assert not {"set-cookie", "x-goog-api-key"} & set(found["headers"])
        assert (12, 7) == (stage.exposures[0].tokens_in, stage.exposures[0].tokens_out)


@pytest.mark.parametrize("call", ["message", "message_stream"])
async def test_undoing_the_base_url_leaves_a_working_app(anthropic: Client, call: str) -> None:
    """The provider gets the same request either way, in the API version of the client, with a key of ours."""
    async with a_stage(WIRE) as stage:
        for root in (f"http://127.0.0.1:{stage.old.provider.port}", stage.address):
            await anthropic.call(call, base_url=root, model=CLAIM, text="Hi.", thinking=THINKING)
        directly, through = stage.old.provider.seen

        assert directly.body.replace(b'"old-model"', b'"%b"' % OLD[WIRE].model.encode()) == through.body
        kept = {name: value for name, value in directly.headers.items() if name.lower() not in NOT_COMPARED}
        assert kept.items() <= through.headers.items()
        assert VERSIONS[anthropic.name] == through.headers["anthropic-version"]
        assert "sk-old-provider-key" == through.headers["x-api-key"]
        assert "sk-of-the-app" not in str(through.headers)


THINKING = {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize("call", ["message", "message_stream"])
async def test_thinking_comes_with_the_very_signature(anthropic: Client, call: str) -> None:
    """The next request brings it back, and one byte less makes it void."""
    async with a_stage(WIRE) as stage:
        found = await anthropic.call(call, base_url=stage.address, model=CLAIM, text="scenario=thinking")
        assert SIGNATURE == found["content"][0]["signature"]

        again = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": found["content"][:1]}]
        messages = [*again, {"role": "user", "content": "Go on."}]
        await anthropic.call("message", base_url=stage.address, model=CLAIM, text="", messages=messages)
        assert f'"{SIGNATURE}"'.encode() in stage.old.provider.seen[1].body


@pytest.mark.parametrize("call", ["message", "message_stream"])
async def test_calls_of_tools_keep_their_ids_and_arguments(anthropic: Client, call: str) -> None:
    """Two in parallel."""
    async with a_stage(WIRE) as stage:
        found = await anthropic.call(call, base_url=stage.address, model=CLAIM, text="scenario=tools", tools=True)

        assert [("call_a", {"city": "Bonn"}), ("call_b", {"city": "Oslo"})] == [
            (block["id"], block["input"]) for block in found["content"]
        ]
        assert len(CALLS) == len(found["content"])
        assert "tool_use" == found["stop_reason"]


async def test_a_stream_comes_in_pieces_with_its_pings(anthropic: Client) -> None:
    """The client's own helper puts it together."""
    async with a_stage(WIRE) as stage:
        found = await anthropic.call("message_stream", base_url=stage.address, model=CLAIM, text="Hi.")

        assert "Hello from old." == found["content"][0]["text"]
        assert ["text_delta"] * 2 == found["pieces"]
        assert 7 == found["usage"]["output_tokens"]


async def test_tokens_are_counted_and_models_listed(anthropic: Client) -> None:
    """`GET /v1/models` is claimed by three vendors: this one's clients say their API version."""
    async with a_stage(WIRE) as stage:
        counted = await anthropic.call("count_tokens", base_url=stage.address, model=CLAIM, text="Hi.")
        listed = await anthropic.call("models", base_url=f"{stage.address}/anthropic", model=CLAIM)
        bare = await anthropic.call("models", base_url=stage.address, model=CLAIM)

        assert 12 == counted["input_tokens"]
        assert {"listed": [CLAIM], "one": CLAIM, "by": "ModelInfo"} == listed == bare


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (529, "OverloadedError"),
    ],
)
@pytest.mark.parametrize("call", ["message", "message_stream"])
async def test_a_providers_error_raises_the_class_of_its_status(
    anthropic: Client, status: int, kind: str, call: str
) -> None:
    """With the provider's own words and request id, as without a gateway."""
    async with a_stage(WIRE) as stage:
        found = await anthropic.call(call, base_url=stage.address, model=CLAIM, text=f"scenario=http_{status}")

        assert (kind, status, REQUEST_ID) == (found["raised"][0], found["status_code"], found["request_id"])
        assert "old says no." in found["message"]


async def test_an_error_of_the_gateway_is_one_of_the_clients_own(anthropic: Client) -> None:
    """A developer who mistypes a model reads what there is."""
    async with a_stage(WIRE) as stage:
        found = await anthropic.call("message", base_url=stage.address, model="unknown", text="Hi.")

        assert "NotFoundError" == found["raised"][0]
        assert CLAIM in found["message"]


async def test_a_client_key_is_shown_in_either_way(anthropic: Client) -> None:
    """2.x sends it as a bearer, 0.x as `x-api-key`."""
    async with a_stage(WIRE, key="sk-another-key-of-an-app") as stage:
        found = await anthropic.call("message", base_url=stage.address, model=CLAIM, text="Hi.")
        assert "AuthenticationError" == found["raised"][0]

    async with a_stage(WIRE, key="sk-of-the-app-itself-and-long") as stage:
        found = await anthropic.call(
            "message", base_url=stage.address, model=CLAIM, text="Hi.", extra_headers=auth(anthropic)
        )
        assert "Hello from old." == found["content"][0]["text"]


def auth(client: Client) -> dict[str, str]:
    """The header in which this version shows a key."""
    key = "sk-of-the-app-itself-and-long"
    return {"authorization": f"Bearer {key}"} if client.name == "anthropic-2" else {"x-api-key": key}


async def test_the_clients_own_retries_are_the_only_ones(anthropic: Client) -> None:
    """It waits as long as the provider asks, and not at all where it must not ask again."""
    async with a_stage(WIRE) as stage:
        found = await anthropic.call(
            "message", base_url=stage.address, model=CLAIM, text="scenario=retry_once", retries=2
        )
        assert "Hello from old." == found["content"][0]["text"]
        assert 2 == len(stage.old.provider.seen)

        found = await anthropic.call(
            "message", base_url=stage.address, model=CLAIM, text="scenario=never_retry", retries=2
        )
        assert "RateLimitError" == found["raised"][0]
        assert 3 == len(stage.old.provider.seen)


async def test_a_stream_that_breaks_raises(anthropic: Client) -> None:
    """Half an answer must not pass for a whole one."""
    async with a_stage(WIRE) as stage:
        found = await anthropic.call("message_stream", base_url=stage.address, model=CLAIM, text="scenario=broken")

        assert "APIStatusError" in found["raised"]
        assert "It broke." in found["message"]
