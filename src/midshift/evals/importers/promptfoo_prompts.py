"""promptfoo's prompts that are data: texts, chats in JSON or YAML, and files of them beside the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from midshift.errors import InputError
from midshift.evals.importers import chat, data
from midshift.evals.importers.promptfoo_tests import CODE, OTHER_PROMPT, Reader

_DATA = (".json", ".yaml", ".yml", ".txt", ".md")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, and what to call it."""

    label: str
    content: Any
    """A text, or the messages of a chat."""


def prompts(found: Any, reader: Reader) -> list[Prompt]:
    """The prompts that are data."""
    listed: Sequence[Any] = found if isinstance(found, list) else [] if found is None else [found]
    if isinstance(found, dict):
        listed = [{"raw": raw, "label": label} for raw, label in found.items()]
    prompts: list[Prompt] = []
    for number, one in enumerate(listed, start=1):
        match one:
            case str():
                prompts += _prompt(one, None, reader)
            case {**fields}:
                text = fields.get("raw") or fields.get("id")
                label = fields.get("label") or fields.get("id")
                prompts += _prompt(text, label, reader) if isinstance(text, str) else []
            case _:
                reader.lose(f"prompt {number}", "neither a text nor an object")
    return prompts


def _prompt(text: str, label: Any, reader: Reader) -> list[Prompt]:
    name = str(label or text)[:100]
    if not _is_file(text):
        return [Prompt(name, _content(text))]
    path = text.removeprefix("file://")
    if path.partition(":")[0].endswith(CODE) or "*" in path:
        reader.lose(f"prompt {path!r}", "it is code or a pattern of names; an import runs and searches nothing")
        return []
    held = reader.file.beside(path)
    if held is None:
        reader.lose(f"prompt {path!r}", "no such file in the folder of the configuration")
        return []
    if path.endswith((".yaml", ".yml")):
        return [Prompt(name, data.yaml_of(held, path))]
    parts = data.text_of(held, path).split("\n---\n") if path.endswith(".txt") else [data.text_of(held, path)]
    return [Prompt(name, _content(part.strip())) for part in parts if part.strip()]


def _is_file(text: str) -> bool:
    return text.startswith("file://") or ("\n" not in text and "{{" not in text and text.endswith((*_DATA, *CODE)))


def _content(text: str) -> Any:
    """A text, or the messages that it is the JSON or YAML of."""
    stripped = text.lstrip()
    if stripped.startswith("- role:"):
        try:
            found = data.yaml_of(text.encode(), "prompt")
        except InputError:
            return text
        return found if chat.is_chat(found) else text
    return chat.chat_in(text) or text


def chosen(prompts: Sequence[Prompt], reader: Reader) -> Prompt:
    wanted = reader.options.prompt
    fitting = [prompt for prompt in prompts if wanted is None or prompt.label == wanted]
    if not fitting:
        known = ", ".join(repr(prompt.label) for prompt in prompts) or "none that is data"
        raise InputError(
            f"{reader.file.name}: no prompt{'' if wanted is None else f' {wanted!r}'} for the tests; found {known}. "
            "Type next: promptfoo eval -o results.json, and import results.json: its prompts are rendered"
        )
    for other in prompts:
        if other is not fitting[0]:
            reader.lose(f"prompt {other.label!r}", OTHER_PROMPT)
    return fitting[0]
