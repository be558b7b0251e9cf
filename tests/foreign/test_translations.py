"""An app of one vendor whose answers come from another one's model: its unmodified client must not notice."""

from typing import Any

import pytest

from midshift.domain.exposure import Fate
from midshift.wire.protocol import WireName
from tests.foreign.apps import App, Understood
from tests.foreign.stage import NEW, a_stage

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName
PAIRS = [(app, provider) for app in WireName for provider in WireName if app is not provider]
USED = (12, 7)
BOTH_CALLS = (("weather", {"city": "Bonn"}), ("weather", {"city": "Oslo"}))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("wire", "provider"), PAIRS)
async def test_words_and_usage_arrive_on_the_apps_own_wire(
    app: App, wire: WireName, provider: WireName, stream: bool
) -> None:
    """Every client checks the types of what it reads, so a field that is missing fails here."""
    async with a_stage(provider) as stage:
        found = await app.understood(stage.address, "Hi.", stream)

        assert Understood("Hello from old.", (), USED) == found
        assert (Fate.INCUMBENT, *USED) == (
            stage.exposures[0].fate,
            stage.exposures[0].tokens_in,
            stage.exposures[0].tokens_out,
        )
        assert "You help." in stage.old.provider.seen[0].body.decode() or wire is RESPONSES


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("wire", "provider"), PAIRS)
async def test_calls_of_tools_arrive_on_the_apps_own_wire(
    app: App, wire: WireName, provider: WireName, stream: bool
) -> None:
    """Two in parallel, with their arguments as JSON; the provider got the schema."""
    async with a_stage(provider) as stage:
        found = await app.understood(stage.address, "scenario=tools", stream, tools=True)

        assert Understood(None, BOTH_CALLS, USED) == found
        assert b'"city"' in stage.old.provider.seen[0].body


@pytest.mark.parametrize(("wire", "provider"), PAIRS)
async def test_errors_of_one_vendor_are_raised_as_the_others(app: App, wire: WireName, provider: WireName) -> None:
    """An app backs off on its own client's class, not on another one's."""
    async with a_stage(provider) as stage:
        found = await app.ask(stage.address, "scenario=http_429")

        assert ("ClientError" if wire is GEMINI else "RateLimitError") == found["raised"][0]
        assert "old says no." in found["message"]


UNCARRIED: dict[WireName, tuple[dict[str, Any], str]] = {
    CHAT: ({"logprobs": True}, "logprobs"),
    RESPONSES: ({"previous_response_id": "resp_0"}, "previous_response_id"),
    ANTHROPIC: ({"inference_geo": "eu"}, "inference_geo"),
    GEMINI: ({"media_resolution": "MEDIA_RESOLUTION_HIGH"}, "generationConfig.mediaResolution"),
}
OTHER = {CHAT: ANTHROPIC, RESPONSES: GEMINI, ANTHROPIC: CHAT, GEMINI: RESPONSES}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wire", WireName)
async def test_a_field_without_words_on_the_other_wire_is_refused_by_its_name(
    app: App, wire: WireName, stream: bool
) -> None:
    """Left out in silence it would be another request; the developer reads which field it is."""
    more, param = UNCARRIED[wire]
    if wire is CHAT and stream:
        pytest.skip("this client's own helper wants logprobs in the answer; the whole answer shows the rule")
    async with a_stage(OTHER[wire]) as stage:
        found = await app.ask(stage.address, "Hi.", stream, **more)

        assert ("ClientError" if wire is GEMINI else "BadRequestError") == found["raised"][0]
        assert f"'{param}' cannot be carried" in found["message"]
        assert found["param"] in (param, None)
        assert [] == stage.old.provider.seen


@pytest.mark.parametrize("wire", WireName)
async def test_a_candidate_that_cannot_be_told_leaves_the_answer_to_the_incumbent(app: App, wire: WireName) -> None:
    """The app never learns of it, the record does."""
    more, _ = UNCARRIED[wire]
    async with a_stage(wire, OTHER[wire], share=1.0) as stage:
        found = await app.ask(stage.address, "Hi.", **more)

        assert "raised" not in found, found
        assert [] == stage.new.provider.seen
        assert (Fate.INCUMBENT, True) == (stage.exposures[0].fate, stage.exposures[0].fell_back)


@pytest.mark.parametrize(("wire", "provider"), PAIRS)
async def test_the_candidates_model_is_asked_in_its_own_words(app: App, wire: WireName, provider: WireName) -> None:
    """A canary across vendors."""
    async with a_stage(wire, provider, share=1.0) as stage:
        found = await app.understood(stage.address, "Hi.", stream=True)

        seen = stage.new.provider.seen[0]
        assert "Hello from new." == found.text
        assert NEW[provider].model in (seen.path if provider is GEMINI else seen.body.decode())
        assert [] == stage.old.provider.seen
