"""The connections of a gateway: whose are whose, and what they say of themselves."""

from __future__ import annotations

from midshift.providers.http.messages import Failure
from tests.gateway.fakes import Stage, a_question, a_route, a_stage, cutting, silent


async def said(stage: Stage) -> dict[str, float]:
    """What `/metrics` says of the connections to providers."""
    text = (await stage.app.ask(path="/metrics", method="GET")).body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("midshift_upstream_")]
    return {name.removeprefix("midshift_upstream_"): float(value) for name, _, value in lines}


def of(provider: str, traffic: str = "served", kind: str = "") -> str:
    """The labels of one pool."""
    return f'{{provider="{provider}",traffic="{traffic}"' + (f',kind="{kind}"' if kind else "") + "}"


async def test_metrics_say_what_connections_to_a_provider_do() -> None:
    """By provider: the first call opens one, the second one takes it again."""
    async with a_stage() as stage:
        await stage.app.chat()
        await stage.app.chat()
        found = await said(stage)

        old = of("old-provider")
        assert (1.0, 1.0) == (found["connections" + old], found["connections_idle" + old])
        assert (1.0, 1.0) == (found["connections_opened_total" + old], found["connections_reused_total" + old])
        assert 0.0 == found["connections_opened_total" + of("old-provider", "unseen")]
        assert 0.0 == found["connections_opened_total" + of("new-provider")]


async def test_metrics_say_that_calls_wait_for_a_connection() -> None:
    """Of a provider that may have one at a time: the app waits, and nobody else can say for what."""
    async with a_stage(silent, upstream={"max_connections": 1}) as stage:
        async with stage.app.sent(a_question()), stage.app.sent(a_question()):
            await stage.old.asked.wait()
            while (found := await said(stage))["calls_waiting" + of("old-provider")] < 1.0:
                pass

            assert 1.0 == found["connections" + of("old-provider")]
            assert 0.0 == found["connections_idle" + of("old-provider")]


async def test_metrics_name_every_kind_of_failure_also_those_that_never_were() -> None:
    """A rate begins at zero; a series that appears with its first failure has none."""
    async with a_stage(cutting) as stage:
        await stage.app.chat()
        found = await said(stage)

        for failure in Failure:
            times = 1.0 if failure is Failure.BROKEN else 0.0
            assert times == found["failures_total" + of("old-provider", kind=failure.value)]


async def test_unseen_answers_have_connections_of_their_own() -> None:
    """The mirror's traffic must not take a place that a user waits for, and is told apart."""
    async with a_stage(route=a_route(share=0.0, shadow_share=1.0)) as stage:
        await stage.app.chat()
        await stage.settled()
        found = await said(stage)

        assert 1.0 == found["connections_opened_total" + of("old-provider")]
        assert 1.0 == found["connections_opened_total" + of("new-provider", "unseen")]
        assert 0.0 == found["connections_opened_total" + of("new-provider")]
