"""A suite as a dataset of Inspect: JSON lines for `json_dataset`.

Graders are code there, and are listed; a whole case lies under `metadata.midshift`, so that an import gives it back.
Source: inspect_ai `Sample` and `ChatMessage`, 0.3.285.
Elsewhere: the way back (importers.inspect_dataset).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from midshift.evals.exporters.kept import Exported, rest_of
from midshift.evals.importers.result import Basket
from midshift.evals.suite_file import EvalCase, Suite

FILE = "dataset.jsonl"
_ROLES = {"developer": "system", "function": "tool"}


def write(suite: Suite) -> Exported:
    """The dataset, one sample a case."""
    basket = Basket()
    lines = [msgspec.json.encode(_sample(suite, case, basket)) for case in suite.cases]
    return Exported({FILE: b"\n".join(lines) + b"\n"}, tuple(basket.losses.values()))


def _sample(suite: Suite, case: EvalCase, basket: Basket) -> dict[str, Any]:
    place = f"case {case.id!r}"
    for grader in suite.graders_of(case):
        basket.lose(place, f"grader {grader['type']}", "scorers are code there; name them in the task")
    for name, value in (("tools", case.tools), ("params", case.params)):
        if value:
            basket.lose(place, name, "they are the task's to say there")
    return {
        "id": case.id,
        "input": [_message(message, place, basket) for message in case.messages],
        "target": _target(case.reference),
        "metadata": {
            **case.metadata,
            **({"slice": case.slices[0] if len(case.slices) == 1 else list(case.slices)} if case.slices else {}),
            "midshift": rest_of(replace(case, graders=suite.graders_of(case)), ()),
        },
    }


def _target(reference: object) -> str | list[str]:
    if reference is None:
        return ""
    if isinstance(reference, list) and all(isinstance(one, str) for one in reference):
        return reference
    return reference if isinstance(reference, str) else json.dumps(reference, ensure_ascii=False)


def _message(message: Mapping[str, Any], place: str, basket: Basket) -> dict[str, Any]:
    role = message["role"]
    written: dict[str, Any] = {"role": _ROLES.get(role, role), "content": message.get("content") or ""}
    if isinstance(written["content"], list):
        parts = (_part(part, place, basket) for part in written["content"])
        written["content"] = [part for part in parts if part is not None]
    if calls := message.get("tool_calls"):
        written["tool_calls"] = [_call(call) for call in calls]
    if message.get("tool_call_id"):
        written["tool_call_id"] = message["tool_call_id"]
    return written


def _part(part: Mapping[str, Any], place: str, basket: Basket) -> dict[str, Any] | None:
    match part:
        case {"type": "text", "text": text}:
            return {"type": "text", "text": text}
        case {"type": "image_url", "image_url": {"url": url}}:
            return {"type": "image", "image": url}
        case _:
            basket.lose(place, f"a part {part.get('type')!r}", "Inspect says it in another way")
            return None


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError:
        arguments = {"arguments": function.get("arguments")}
    return {"id": call.get("id", ""), "type": "function", "function": function.get("name"), "arguments": arguments}
