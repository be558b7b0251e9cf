"""What of a variant is tuned: one text, and how a new text becomes a variant again.

    keep       the app's own system prompt, if every case has the same one (or none); tuned it becomes `replace`
    replace    its text
    edit       what the edits make of the app's system prompt, likewise; tuned it becomes `replace`
    template   its text, with the same variables; what it matches stays as it is

Elsewhere: what a prompt does to a request (domain.rendering).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from midshift.domain import rendering
from midshift.domain.rendering import RequestFields
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import UsageError
from midshift.evals.suite_file import EvalCase

_SYSTEM_ROLES = ("system", "developer")
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Tunable:
    """A variant as it is, and the text that stands for its prompt."""

    variant: Variant
    text: str

    def with_text(self, text: str) -> Variant:
        """The variant with another text; with its own text it is the variant itself, and shares its paid answers."""
        if text == self.text:
            return self.variant
        return replace(self.variant, prompt=self._prompt(text))

    @property
    def variables(self) -> frozenset[str]:
        """The variables that a new text has to use; none but for a template."""
        return variables(self.text) if self.variant.prompt.mode is PromptMode.TEMPLATE else frozenset()

    def _prompt(self, text: str) -> Prompt:
        if self.variant.prompt.mode is not PromptMode.TEMPLATE:
            return Prompt(PromptMode.REPLACE, text)
        match = rendering.template(self.variant.prompt.text).match
        return Prompt(PromptMode.TEMPLATE, text if match is None else f"--- match\n{match}\n--- text\n{text}")


def tunable(variant: Variant, cases: Iterable[EvalCase]) -> Tunable:
    """What of a variant is tuned.

    Raises:
        UsageError: if its prompt depends on the app's, and the cases do not all have the same one.
    """
    prompt = variant.prompt
    match prompt.mode:
        case PromptMode.REPLACE:
            return Tunable(variant, prompt.text)
        case PromptMode.TEMPLATE:
            return Tunable(variant, rendering.template(prompt.text).text)
        case PromptMode.KEEP | PromptMode.EDIT:
            text = rendering.system_prompt(prompt, RequestFields(_common(cases, prompt.mode)))
            return Tunable(variant, text or "")


def variables(text: str) -> frozenset[str]:
    """The names in double braces."""
    return frozenset(_VARIABLE.findall(text))


def _common(cases: Iterable[EvalCase], mode: PromptMode) -> str | None:
    found = {_system(case) for case in cases}
    if len(found) > 1:
        raise UsageError(
            f"prompt mode {mode.value!r}: found {len(found)} different system prompts in the suite, expected one text "
            "to tune. Type next: in the variant file, prompt: {mode: template, file: ../prompts/NAME.v1.md}"
        )
    return next(iter(found), None)


def _system(case: EvalCase) -> str | None:
    texts = [message.get("content") for message in case.messages if message.get("role") in _SYSTEM_ROLES]
    return "\n\n".join(text for text in texts if isinstance(text, str)) if texts else None
