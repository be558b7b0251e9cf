"""How early a vendor promises to announce a shutdown."""

from __future__ import annotations

import pytest

from midshift.providers.lifecycle.notice import notice


@pytest.mark.parametrize(
    ("provider", "model", "days"),
    [
        ("openai", "gpt-6.1-sol", 181),
        ("openai", "gpt-4o-2024-08-06", 181),
        ("openai", "gpt-5.1-chat-latest", 89),
        ("openai", "gpt-5.3-codex", 89),
        ("openai", "o3-deep-research", 89),
        ("openai", "computer-use-preview", 14),
        ("openai", "gpt-4o-audio-preview", 14),
        ("anthropic", "claude-sonnet-4-6", 60),
    ],
)
def test_the_promise_is_the_one_of_the_vendors_page(provider: str, model: str, days: int) -> None:
    """The examples are the vendors' own; months count at their shortest, for a promise is a floor."""
    found = notice(provider, model)

    assert found is not None
    assert days == found.at_least.days
    assert found.origin.startswith("https://")


@pytest.mark.parametrize(
    ("provider", "model"), [("bedrock", "m"), ("sim", "m"), ("anthropic", "claude-mythos-preview")]
)
def test_where_no_promise_is_known_there_is_none(provider: str, model: str) -> None:
    """Amazon and Google set their own dates for Anthropic's models."""
    assert notice(provider, model) is None
