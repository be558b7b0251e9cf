"""The way home as an app sees it, on every wire, through its vendor's own client."""

from dataclasses import replace

import pytest

from midshift.domain.exposure import Fate
from midshift.wire.protocol import WireName
from tests.foreign.apps import App
from tests.foreign.stage import a_stage


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("wire", WireName)
async def test_one_conversation_goes_to_the_candidate_and_home_with_the_next_request(
    app: App, wire: WireName, stream: bool
) -> None:
    """Incumbent, candidate, and after a rollback the incumbent again: no pin, no cookie, no restart of the app."""
    async with a_stage(wire) as stage:
        said = [(await app.understood(stage.address, "Hi.", stream)).text]
        stage.put(replace(stage.row, share=1.0, epoch=2))
        said.append((await app.understood(stage.address, "Hi.", stream)).text)
        stage.put(stage.row.rolled_back())
        said.append((await app.understood(stage.address, "Hi.", stream)).text)

        assert ["Hello from old.", "Hello from new.", "Hello from old."] == said


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("status", [400, 429, 500])
@pytest.mark.parametrize("wire", WireName)
async def test_a_candidate_that_fails_is_answered_for_and_the_app_raises_nothing(
    app: App, wire: WireName, status: int, stream: bool
) -> None:
    """Before the first byte nobody has seen anything; the failure is the candidate's, and is on its record."""
    async with a_stage(wire, share=1.0, fails=status) as stage:
        found = await app.understood(stage.address, "Hi.", stream)

        assert "Hello from old." == found.text
        assert (1, 1) == (len(stage.new.provider.seen), len(stage.old.provider.seen))
        assert (Fate.INCUMBENT, True) == (stage.exposures[0].fate, stage.exposures[0].fell_back)
