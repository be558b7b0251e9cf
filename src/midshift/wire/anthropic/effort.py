"""How much a model thinks: the canonical scale of a variant, in Anthropic's two fields.

`output_config.effort` takes low, medium, high, xhigh and max; `thinking.type` is adaptive, enabled (with
`budget_tokens`, the older dial: models up to Claude 4.5 know no other, those from Opus 4.7 on refuse it), disabled or
between_tools. An effort of a variant is the whole dial, so the app's own setting of the other field gives way:

    none, budget:0    thinking disabled, no effort
    auto              thinking adaptive, no effort
    budget:N          thinking enabled with that budget, no effort
    anything else     that effort; thinking that is enabled with a budget, or disabled, becomes adaptive

Where the app sends no `thinking`, a level adds none: whether the model thinks unasked is its own default, and an app
that never asked for thinking may not expect its blocks. A level that the API does not have (`minimal`) is sent as it
is and refused in words: moved to its neighbour, it would be another variant. A variant that wants another pair of the
two fields pins them with `set`, which has the last word.
Elsewhere: which values a model takes (providers.capabilities), bounds (domain.clamping).
"""

from __future__ import annotations

import re

from midshift.domain.clamping import Bounds
from midshift.wire.json_object import NULL, Fields, object_of, put, remove, text_of, value_at

_BUDGET = re.compile(r"budget:([0-9]+)")


def set_effort(fields: Fields, effort: str) -> None:
    """Write the effort of a variant into a request's fields."""
    budget = _BUDGET.fullmatch(effort)
    if effort == "none" or (budget and int(budget[1]) == 0):
        _think(fields, "disabled")
    elif budget:
        _think(fields, "enabled", int(budget[1]))
    elif effort == "auto":
        _think(fields, "adaptive")
    else:
        put(fields, "output_config.effort", effort)
        if thinking_type(fields) in ("enabled", "disabled"):
            _think_adaptively(fields)


def clamp_effort(fields: Fields, bounds: Bounds) -> None:
    """Bring the app's own effort within bounds; one that it does not state has none to exceed."""
    effort = "none" if thinking_type(fields) == "disabled" else value_at(fields, "output_config.effort")
    clamped = bounds.clamped(effort)
    if clamped != effort:
        set_effort(fields, str(clamped))


def thinking_type(fields: Fields) -> str | None:
    """`thinking.type`; None where the request does not say."""
    thinking = object_of(fields.get("thinking", NULL)) or {}
    return text_of(thinking.get("type", NULL))


def disable_thinking(fields: Fields) -> None:
    """Thinking disabled takes no further field."""
    put(fields, "thinking", {"type": "disabled"})


def _think(fields: Fields, kind: str, budget: int | None = None) -> None:
    """This kind of thinking, and no effort beside it."""
    remove(fields, "output_config.effort")
    if kind == "disabled":
        disable_thinking(fields)
    elif kind == "adaptive":
        _think_adaptively(fields)
    else:
        put(fields, "thinking.type", kind)
        put(fields, "thinking.budget_tokens", budget)


def _think_adaptively(fields: Fields) -> None:
    """How thinking is shown, and what else stands beside its type, stays."""
    put(fields, "thinking.type", "adaptive")
    remove(fields, "thinking.budget_tokens")
