"""Vercel's AI SDK on Node.js, unmodified, on every wire: texts, tools, usage in its own words, and errors."""

import pytest

from midshift.wire.protocol import WireName
from tests.foreign.clients import Client
from tests.foreign.stage import CLAIM, a_stage

pytestmark = pytest.mark.heavy

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName
OTHER = {CHAT: ANTHROPIC, RESPONSES: GEMINI, ANTHROPIC: CHAT, GEMINI: RESPONSES}
REASONING = {CHAT: 2, RESPONSES: 2, GEMINI: 2, ANTHROPIC: None}
"""The provider for Anthropic does not tell thinking from other output."""


@pytest.mark.parametrize("call", ["generate", "stream"])
@pytest.mark.parametrize("wire", WireName)
async def test_words_and_usage_are_understood(ai_sdk: Client, wire: WireName, call: str) -> None:
    """The SDK has one notion of usage for all vendors, and its own way to it from each."""
    async with a_stage(wire) as stage:
        found = await ai_sdk.call(call, wire=wire, root=stage.address, model=CLAIM, text="Hi.")

        assert "raised" not in found, found
        assert ("Hello from old.", "stop", 12, 4, 7) == (
            found["text"],
            found["finish"],
            found["into"],
            found["cached"],
            found["out"],
        )
        assert found.get("reasoning") in (REASONING[wire], 2)
        assert call == "generate" or len(found["pieces"]) == 2


@pytest.mark.parametrize("call", ["generate", "stream"])
@pytest.mark.parametrize("is_translated", [False, True], ids=["own wire", "another vendor's model"])
@pytest.mark.parametrize("wire", WireName)
async def test_tools_are_called(ai_sdk: Client, wire: WireName, is_translated: bool, call: str) -> None:
    """Two in parallel, also where another vendor's model calls them."""
    provider = OTHER[wire] if is_translated else wire
    more = {"providerOptions": {"openai": {"store": False}}}
    async with a_stage(provider) as stage:
        found = await ai_sdk.call(
            call, wire=wire, root=stage.address, model=CLAIM, text="scenario=tools", tools=True, more=more
        )

        assert [["weather", {"city": "Bonn"}], ["weather", {"city": "Oslo"}]] == found.get("calls"), found
        assert "tool-calls" == found["finish"]


@pytest.mark.parametrize("wire", WireName)
async def test_errors_are_the_sdks_own(ai_sdk: Client, wire: WireName) -> None:
    """With the status by which it decides to ask again."""
    async with a_stage(wire) as stage:
        found = await ai_sdk.call("generate", wire=wire, root=stage.address, model=CLAIM, text="scenario=http_429")

        assert (["AI_APICallError"], "old says no.", 429, True) == (
            found["raised"],
            found["message"],
            found["status"],
            found["again"],
        )


@pytest.mark.parametrize("wire", WireName)
async def test_a_candidate_that_fails_is_answered_for(ai_sdk: Client, wire: WireName) -> None:
    """The app raises nothing."""
    async with a_stage(wire, share=1.0, fails=500) as stage:
        found = await ai_sdk.call("stream", wire=wire, root=stage.address, model=CLAIM, text="Hi.")

        assert "Hello from old." == found.get("text"), found
