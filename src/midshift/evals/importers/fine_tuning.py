"""OpenAI's fine-tuning lines (`{"messages": [...], "tools": [...]}`), also written by LangSmith and Phoenix.

The last message of the assistant is what the model should say: its text is the reference, its tool calls a grader.
Source: OpenAI fine-tuning guide, chat format; `weight` of a message and `parallel_tool_calls` as documented there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midshift.evals.importers import chat, data
from midshift.evals.importers.result import Basket, File, Imported, Options
from midshift.evals.importers.row_cases import slices_of
from midshift.evals.suite_file import EvalCase

_PARAMS = ("parallel_tool_calls", "response_format")
_KNOWN = frozenset({"messages", "tools", "functions", "metadata", *_PARAMS})


def read(file: File, options: Options) -> Imported:
    """The cases of a file of training examples.

    Raises:
        InputError: if no line is one.
    """
    basket = Basket()
    for number, row in data.rows_of(file.data, file.name):
        place = f"{file.name}:{number}"
        try:
            messages = chat.messages_of(row.get("messages"))
        except chat.NotMessages as error:
            basket.lose(place, "the row", f"its messages are none: {error}")
            continue
        _add(basket, row, messages, place, number)
    if not any(case.slices for case in basket.cases):
        basket.note("no row names a slice: add `metadata: {slice: NAME}` to the rows, or `slice` to the cases")
    return basket.done(file.name)


def _add(basket: Basket, row: Mapping[str, Any], messages: tuple[dict[str, Any], ...], place: str, number: int) -> None:
    answer = messages[-1] if messages[-1]["role"] == "assistant" else None
    asked = messages if answer is None else messages[:-1]
    if not asked:
        basket.lose(place, "the row", "it has an answer and no question")
        return
    if any(isinstance(one, Mapping) and "weight" in one for one in row["messages"]):
        basket.lose(place, "weight of a message", "it means training and not grading")
    for name in sorted(set(row) - _KNOWN):
        basket.lose(place, name, "fine-tuning lines have no such field")
    metadata = dict(found) if isinstance(found := row.get("metadata"), Mapping) else {}
    calls = chat.calls_of(answer) if answer is not None else []
    basket.add(
        EvalCase(
            place=number,
            id=str(metadata.pop("id", None) or f"row-{number}"),
            messages=asked,
            slices=slices_of(metadata.pop("slice", None) or metadata.pop("category", None), place, basket),
            reference=None if answer is None else chat.answer_text(answer),
            graders=({"type": "tool_calls", "calls": calls, "mode": "unordered"},) if calls else (),
            tools=_tools(row),
            params={name: row[name] for name in _PARAMS if row.get(name) is not None},
            metadata=metadata,
            source={"system": "openai-fine-tuning"},
        ),
        place,
    )


def _tools(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    tools, functions = row.get("tools"), row.get("functions")
    if isinstance(tools, list):
        return tuple(tool for tool in tools if isinstance(tool, Mapping))
    if isinstance(functions, list):
        return tuple({"type": "function", "function": one} for one in functions if isinstance(one, Mapping))
    return ()
