"""What a variant settles is out of the way before a request is written: on every wire, in every spelling."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midshift.domain.clamping import Bounds
from midshift.domain.rendering import Changes, Recipe
from midshift.domain.variant import Json, Variant
from midshift.wire.protocol import WireName
from midshift.wire.translation.conversation import Uncarried
from midshift.wire.translation.translate import translated_request

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName
HI = [{"role": "user", "content": "Hi."}]


def a_chat(**fields: object) -> bytes:
    return json.dumps({"model": "m", "messages": HI, "max_tokens": 4000, **fields}).encode()


def a_message(**fields: object) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 4000, "messages": HI, **fields}).encode()


def sent(spoken: WireName, wanted: WireName, body: bytes, changes: Changes) -> Any:
    """What goes to the provider, as plain values; of Gemini the config."""
    request = translated_request(spoken, wanted, body, "/v1/x", "", changes)
    found = json.loads(request.rewritten(changes).body)
    return found["generationConfig"] if wanted is GEMINI else found


@pytest.mark.parametrize(
    ("wanted", "effort", "place", "expected"),
    [
        (ANTHROPIC, "auto", "thinking", {"type": "adaptive"}),
        (ANTHROPIC, "budget:2048", "thinking", {"type": "enabled", "budget_tokens": 2048}),
        (ANTHROPIC, "budget:0", "thinking", {"type": "disabled"}),
        (GEMINI, "auto", "thinkingConfig", {"thinkingBudget": -1}),
        (GEMINI, "budget:2048", "thinkingConfig", {"thinkingBudget": 2048}),
        (GEMINI, "none", "thinkingConfig", {"thinkingBudget": 0}),
        (GEMINI, "high", "thinkingConfig", {"thinkingLevel": "HIGH"}),
        (RESPONSES, "high", "reasoning", {"effort": "high"}),
    ],
)
@pytest.mark.parametrize("own", [None, "low", "minimal", "of_next_year"])
def test_an_effort_of_the_variant_takes_the_place_of_the_apps(
    wanted: WireName, effort: str, place: str, expected: dict[str, object], own: str | None
) -> None:
    """`auto` and budgets pass preflight and serve apps of the provider's own wire: they must serve the others too."""
    body = a_chat() if own is None else a_chat(reasoning_effort=own)

    found = sent(CHAT, wanted, body, Changes(effort=effort))

    assert expected == found[place]
    assert "output_config" not in found


def test_a_level_of_the_variant_is_thinking_at_anthropic() -> None:
    """As it is where the app itself asks for an effort: models that think only when told to would stay silent."""
    found = sent(CHAT, ANTHROPIC, a_chat(), Changes(effort="high"))

    assert ({"type": "adaptive"}, {"effort": "high"}) == (found["thinking"], found["output_config"])


@pytest.mark.parametrize(
    ("parameters", "temperature"),
    [
        ({"clamp": {"temperature": (0, 1)}}, 1),
        ({"set": {"temperature": 0.5}}, 0.5),
        ({"temperature": 0.5}, 0.5),
        ({"drop": ("temperature",)}, None),
    ],
)
def test_a_temperature_that_the_variant_settles_is_none_of_the_apps(
    parameters: dict[str, Json], temperature: float | None
) -> None:
    """A guard that the provider's own wire honours must hold in translation."""
    changes = Recipe.of(Variant("p", "n", parameters=parameters)).always
    with pytest.raises(Uncarried, match="temperature"):
        sent(CHAT, ANTHROPIC, a_chat(temperature=1.3), Changes())

    assert temperature == sent(CHAT, ANTHROPIC, a_chat(temperature=1.3), changes).get("temperature")


def test_an_effort_beyond_its_bounds_becomes_the_bound() -> None:
    """`minimal` is no level of Anthropic's, and `max` none of Gemini's."""
    bounds = Changes(clamp={"effort": Bounds("low", "high")})

    low = sent(CHAT, ANTHROPIC, a_chat(reasoning_effort="minimal"), bounds)
    high = sent(ANTHROPIC, GEMINI, a_message(output_config={"effort": "max"}), bounds)

    assert {"effort": "low"} == low["output_config"]
    assert {"thinkingLevel": "HIGH"} == high["thinkingConfig"]


@pytest.mark.parametrize(
    ("wanted", "name", "value", "place", "expected"),
    [
        (ANTHROPIC, "output_config.effort", "low", "output_config", {"effort": "low"}),
        (ANTHROPIC, "output_config", {"effort": "low"}, "output_config", {"effort": "low"}),
        (GEMINI, "generationConfig.thinkingConfig.thinkingLevel", "LOW", "thinkingConfig", {"thinkingLevel": "LOW"}),
        (
            GEMINI,
            "generationConfig",
            {"thinkingConfig": {"thinkingBudget": 9}},
            "thinkingConfig",
            {"thinkingBudget": 9},
        ),
        (GEMINI, "generation_config.thinking_config.thinking_budget", 9, "thinking_config", {"thinking_budget": 9}),
        (GEMINI, "thinkingConfig", {"thinkingBudget": 9}, "thinkingConfig", {"thinkingBudget": 9}),
        (RESPONSES, "reasoning.effort", "low", "reasoning", {"effort": "low"}),
        (CHAT, "reasoning_effort", "low", "reasoning_effort", "low"),
    ],
)
def test_what_is_set_is_not_carried(wanted: WireName, name: str, value: Json, place: str, expected: object) -> None:
    """The app's own budget, and its effort `max`, are void by that: most of these wires have no words for them."""
    said = a_message(thinking={"type": "enabled", "budget_tokens": 2048}, output_config={"effort": "max"})
    spoken, body = (ANTHROPIC, said) if wanted is not ANTHROPIC else (CHAT, a_chat(reasoning_effort="minimal"))

    assert expected == sent(spoken, wanted, body, Changes({name: value}))[place]


def test_a_format_that_is_set_is_not_carried() -> None:
    """JSON without a schema is unknown to Anthropic; with the variant's schema there is one."""
    schema: Json = {"type": "json_schema", "schema": {"type": "object"}}
    body = a_chat(response_format={"type": "json_object"})

    assert {"format": schema} == sent(CHAT, ANTHROPIC, body, Changes({"output_config.format": schema}))["output_config"]


def test_a_budget_and_an_effort_are_not_both_carried_to_gemini() -> None:
    """It takes one of the two, and which one the app would rather do without is not ours to say."""
    said = {"thinking": {"type": "enabled", "budget_tokens": 2048}, "output_config": {"effort": "high"}}

    with pytest.raises(Uncarried, match=r"thinking\.budget_tokens"):
        sent(ANTHROPIC, GEMINI, a_message(**said), Changes())
    assert {"thinkingBudget": 9} == sent(ANTHROPIC, GEMINI, a_message(**said), Changes(effort="budget:9"))[
        "thinkingConfig"
    ]
