"""The package `openai`, unmodified, against a gateway whose provider speaks OpenAI's wires."""

import pytest

from midshift.wire.protocol import WireName
from tests.foreign.clients import Client
from tests.foreign.stage import CLAIM, OLD, a_stage
from tests.foreign.upstreams import CALLS, PLACE, REQUEST_ID

CHAT, RESPONSES = WireName.OPENAI_CHAT, WireName.OPENAI_RESPONSES
NOT_COMPARED = {"host", "authorization", "content-length", "accept-encoding", "connection"}


async def test_chat_is_parsed_with_its_usage_and_its_request_id(openai: Client) -> None:
    """What an app reads of an answer is the provider's, down to the tokens of each kind."""
    async with a_stage(CHAT) as stage:
        found = await openai.call("chat", base_url=f"{stage.address}/v1", model=CLAIM, text="Hi.")

        assert "Hello from old." == found["choices"][0]["message"]["content"]
        assert (12, 7) == (found["usage"]["prompt_tokens"], found["usage"]["completion_tokens"])
        assert 4 == found["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert 2 == found["usage"]["completion_tokens_details"]["reasoning_tokens"]
        assert (REQUEST_ID, "41") == (found["request_id"], found["headers"]["x-ratelimit-remaining-requests"])
        assert OLD[CHAT].short_id == found["headers"]["x-midshift-variant"]
        assert not {"set-cookie", "x-goog-api-key"} & set(found["headers"])


@pytest.mark.parametrize("call", ["chat", "chat_stream", "responses", "responses_stream"])
async def test_undoing_the_base_url_leaves_a_working_app(openai: Client, call: str) -> None:
    """The provider gets the same request either way, but for the model of the variant and the key."""
    wire = RESPONSES if call.startswith("responses") else CHAT
    async with a_stage(wire) as stage:
        for root in (stage.old.provider.base_url, f"{stage.address}/v1"):
            more = {"stream_options": {"include_usage": True}} if call == "chat_stream" else {}
            await openai.call(call, base_url=root, model=CLAIM, text="Hi.", temperature=0.5, **more)
        directly, through = stage.old.provider.seen

        model = OLD[wire].model.encode()
        assert directly.body.replace(b'"old-model"', b'"%b"' % model) == through.body
        assert directly.path == through.path
        kept = {name: value for name, value in directly.headers.items() if name.lower() not in NOT_COMPARED}
        assert kept.items() <= through.headers.items()
        assert "Bearer sk-old-provider-key" == through.headers["authorization"]


async def test_a_stream_comes_in_pieces_and_is_put_together(openai: Client) -> None:
    """The client's own helper reads it, without the usage that only the gateway asked for."""
    async with a_stage(CHAT) as stage:
        found = await openai.call("chat_stream", base_url=f"{stage.address}/v1", model=CLAIM, text="Hi.")

        assert "Hello from old." == found["choices"][0]["message"]["content"]
        assert ["", "Hello f", "rom old.", None] == found["pieces"]
        assert not any(found["usages"])
        assert 12 == stage.exposures[0].tokens_in


async def test_a_stream_has_the_usage_that_the_app_asked_for(openai: Client) -> None:
    """Once, at its end."""
    async with a_stage(CHAT) as stage:
        asked = {"stream_options": {"include_usage": True}}
        found = await openai.call("chat_stream", base_url=f"{stage.address}/v1", model=CLAIM, text="Hi.", **asked)

        assert (1, 7) == (sum(found["usages"]), found["usage"]["completion_tokens"])


@pytest.mark.parametrize("call", ["chat", "chat_stream"])
async def test_calls_of_tools_keep_their_ids_and_arguments(openai: Client, call: str) -> None:
    """Two in parallel, whose deltas interleave."""
    async with a_stage(CHAT) as stage:
        found = await openai.call(call, base_url=f"{stage.address}/v1", model=CLAIM, text="scenario=tools", tools=True)

        calls = found["choices"][0]["message"]["tool_calls"]
        functions = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]
        assert list(CALLS) == functions


async def test_structured_output_passes(openai: Client) -> None:
    """The schema reaches the provider as it is."""
    async with a_stage(CHAT) as stage:
        found = await openai.call("chat_parsed", base_url=f"{stage.address}/v1", model=CLAIM, text="scenario=place")

        assert PLACE == found["choices"][0]["message"]["content"]
        assert "place" == stage.old.provider.seen[0].json["response_format"]["json_schema"]["name"]


async def test_responses_are_parsed_with_their_usage(openai: Client) -> None:
    """The wire that OpenAI's newer apps speak."""
    async with a_stage(RESPONSES) as stage:
        found = await openai.call("responses", base_url=f"{stage.address}/v1", model=CLAIM, text="Hi.")

        assert ("Hello from old.", REQUEST_ID) == (found["text"], found["request_id"])
        usage = found["usage"]
        assert (12, 4, 7, 2) == (
            usage["input_tokens"],
            usage["input_tokens_details"]["cached_tokens"],
            usage["output_tokens"],
            usage["output_tokens_details"]["reasoning_tokens"],
        )


async def test_a_stream_of_responses_has_every_event(openai: Client) -> None:
    """In the order in which the provider sent them."""
    async with a_stage(RESPONSES) as stage:
        found = await openai.call("responses_stream", base_url=f"{stage.address}/v1", model=CLAIM, text="Hi.")

        assert "Hello from old." == found["text"]
        assert ("response.created", "response.completed") == (found["types"][0], found["types"][-1])
        assert 2 == found["types"].count("response.output_text.delta")


@pytest.mark.parametrize("call", ["responses", "responses_stream"])
async def test_calls_of_tools_are_items_of_a_response(openai: Client, call: str) -> None:
    """With the ids by which their results are sent back."""
    async with a_stage(RESPONSES) as stage:
        found = await openai.call(call, base_url=f"{stage.address}/v1", model=CLAIM, text="scenario=tools", tools=True)

        assert list(CALLS) == [(item["call_id"], item["name"], item["arguments"]) for item in found["output"]]


async def test_tokens_are_counted_where_the_answer_would_come_from(openai: Client) -> None:
    """A count is no evidence."""
    async with a_stage(RESPONSES) as stage:
        found = await openai.call("input_tokens", base_url=f"{stage.address}/v1", model=CLAIM, text="Hi.")

        assert 12 == found["input_tokens"]
        assert [] == stage.exposures


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
async def test_models_are_what_workloads_claim(openai: Client, prefix: str) -> None:
    """Clients list them before they begin."""
    async with a_stage(CHAT) as stage:
        found = await openai.call("models", base_url=f"{stage.address}{prefix}", model=CLAIM)

        assert {"listed": [CLAIM], "one": CLAIM, "by": "Model"} == found


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (404, "NotFoundError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
    ],
)
@pytest.mark.parametrize("call", ["chat", "responses", "chat_stream"])
async def test_a_providers_error_raises_the_class_of_its_status(
    openai: Client, status: int, kind: str, call: str
) -> None:
    """With the provider's own words and request id, as without a gateway."""
    async with a_stage(RESPONSES if call == "responses" else CHAT) as stage:
        found = await openai.call(call, base_url=f"{stage.address}/v1", model=CLAIM, text=f"scenario=http_{status}")

        assert (kind, status, REQUEST_ID) == (found["raised"][0], found["status_code"], found["request_id"])
        assert "old says no." in found["message"]


async def test_an_error_of_the_gateway_names_the_field(openai: Client) -> None:
    """A developer who mistypes a model reads what there is."""
    async with a_stage(CHAT) as stage:
        found = await openai.call("chat", base_url=f"{stage.address}/v1", model="unknown", text="Hi.")

        assert ("NotFoundError", "model", "model_not_found") == (found["raised"][0], found["param"], found["code"])
        assert CLAIM in found["message"]


async def test_a_client_key_is_shown_where_the_vendors_was(openai: Client) -> None:
    """And reaches no provider."""
    async with a_stage(CHAT, key="sk-another-key-of-an-app") as stage:
        found = await openai.call("chat", base_url=f"{stage.address}/v1", model=CLAIM, text="Hi.")

        assert "AuthenticationError" == found["raised"][0]
        assert [] == stage.old.provider.seen


async def test_the_clients_own_retries_are_the_only_ones(openai: Client) -> None:
    """It waits as long as the provider asks; a gateway that retried too would multiply them."""
    async with a_stage(CHAT) as stage:
        found = await openai.call(
            "chat", base_url=f"{stage.address}/v1", model=CLAIM, text="scenario=retry_once", retries=2
        )

        assert "Hello from old." == found["choices"][0]["message"]["content"]
        assert 2 == len(stage.old.provider.seen)


async def test_a_provider_that_forbids_retries_is_asked_once(openai: Client) -> None:
    """`x-should-retry` passes."""
    async with a_stage(CHAT) as stage:
        found = await openai.call(
            "chat", base_url=f"{stage.address}/v1", model=CLAIM, text="scenario=never_retry", retries=2
        )

        assert "RateLimitError" == found["raised"][0]
        assert 1 == len(stage.old.provider.seen)


async def test_a_stream_that_breaks_raises(openai: Client) -> None:
    """Half an answer must not pass for a whole one; on the other wire this client yields the error as an event."""
    async with a_stage(CHAT) as stage:
        found = await openai.call("chat_stream", base_url=f"{stage.address}/v1", model=CLAIM, text="scenario=broken")
        assert ("APIError", "It broke.") == (found["raised"][0], found["message"])

    async with a_stage(RESPONSES) as stage:
        events = await openai.call(
            "responses_events", base_url=f"{stage.address}/v1", model=CLAIM, text="scenario=broken"
        )
        assert ("error", "It broke.") == (events[-1]["type"], events[-1]["message"])
