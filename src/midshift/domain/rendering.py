"""What a variant changes in a request: the model, the system prompt, the effort, and the pinned parameters.

Pure, and blind to any wire format: `render` says what changes, `midshift.wire` writes it into the bytes. Whatever a
variant does not name stays as the app sent it; without an `effort`, that is the app's own.

The text of a prompt, by mode (`midshift.domain.variant.PromptMode`):

    keep        none
    replace     the system prompt
    edit        a JSON list, applied in order: {"replace": TEXT, "with": TEXT} and {"append": TEXT}
    template    a text with {{variables}}; optionally after the text that the app renders today:
                    --- match
                    You are the assistant of {{name}}.
                    --- text
                    Help {{name}}. Be brief.

An edit whose text is not there, or a template whose variables cannot be told without doubt, matches nothing. Nor
does an edit, or a template that reads the prompt, match one that is not all text (a file in it): the outcome would
take the place of what nobody has read. And nothing but `keep` matches where the request only names a prompt in a
vendor's store. Then the variant cannot serve this request, and `render` says so with None.

Parameters are request fields to set, but for three reserved names: `drop` (a list of fields to remove), `set` (more
fields to set) and `clamp` (fields and two bounds each, `effort` among them: what the app sends beyond a bound becomes
the bound). What is set is neither dropped nor clamped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, Self

from midshift.domain.clamping import EFFORT, Bounds, bounds_by_field
from midshift.domain.light import Light, replaced
from midshift.domain.variant import Json, Prompt, PromptMode, Variant

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")
_MATCH, _TEXT = "--- match\n", "\n--- text\n"

GUARDS = ("drop", "set", "clamp")
"""The reserved names among a variant's parameters."""


class Readable(Protocol):
    """What rendering reads of a request, if the variant's prompt needs it: a wire may look it up only then."""

    @property
    def system(self) -> str | None:
        """The system prompt; None where there is none, or where not all of it can be read as text."""
        ...

    @property
    def prompt_is_text(self) -> bool:
        """Whether all of the system prompt can be read as text; true where there is none."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Texts by name that the app sent along."""
        ...

    @property
    def prompt_is_elsewhere(self) -> bool:
        """Whether the request only names a prompt that a vendor keeps: no variant can read or change that."""
        ...


@dataclass(frozen=True, slots=True)
class RequestFields:
    """A `Readable` that is there already."""

    system: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    prompt_is_elsewhere: bool = False
    prompt_is_text: bool = True


class Changes(Light):
    """What becomes of a request: fields to set, fields to remove, and the system prompt (None: as it was sent).

    `model` and `effort` are apart because each wire spells them in its own way; None leaves the app's own. `clamp`
    bounds what the app sends, by field; `clamping.EFFORT` stands for the field of the effort.
    """

    set: Mapping[str, Json] = {}
    drop: frozenset[str] = frozenset()
    system: str | None = None
    model: str | None = None
    effort: str | None = None
    clamp: Mapping[str, Bounds] = {}


@dataclass(frozen=True, slots=True)
class Append:
    """An edit that adds to the end."""

    text: str

    def apply(self, system: str) -> str | None:
        """The text with the addition."""
        return system + self.text


@dataclass(frozen=True, slots=True)
class Replace:
    """An edit that exchanges every occurrence of one text for another.

    Raises:
        ValueError: for an empty text to look for.
    """

    old: str
    new: str

    def __post_init__(self) -> None:
        if not self.old:
            raise ValueError("an edit cannot replace the empty text; use append")

    def apply(self, system: str) -> str | None:
        """The text after the exchange; None where there was nothing to exchange."""
        return system.replace(self.old, self.new) if self.old in system else None


Edit = Append | Replace


@dataclass(frozen=True, slots=True)
class Template:
    """A text with variables; `match` is what the app renders today, to read their values from."""

    text: str
    match: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A variant, prepared to be rendered many times: what is the same for every request, and the prompt.

    `whole` is all of it where the new prompt does not depend on the app's own; None where it does.
    """

    always: Changes
    prompt: Prompt
    whole: Changes | None

    @classmethod
    def of(cls, variant: Variant) -> Self:
        """The recipe of a variant.

        Raises:
            ValueError: for a prompt text or a parameter that is not well formed, saying what was expected.
        """
        check(variant)
        pinned, drop, bounds = _parameters(variant.parameters)
        settled = {*pinned, *drop, *(() if variant.effort is None else (EFFORT,))}
        clamp = {name: pair for name, pair in bounds.items() if name not in settled}
        changes = Changes(pinned, drop.difference(pinned), model=variant.model, effort=variant.effort, clamp=clamp)
        return cls(changes, variant.prompt, _whole(changes, variant.prompt))

    def render(self, request: Readable) -> Changes | None:
        """What changes in this request; None if the prompt does not match it (the incumbent serves then)."""
        if self.whole is self.always:
            return self.always
        if request.prompt_is_elsewhere:
            return None
        if self.whole is not None:
            return self.whole
        system = system_prompt(self.prompt, request)
        return None if system is None else replaced(self.always, system=system)


def _whole(always: Changes, prompt: Prompt) -> Changes | None:
    match prompt.mode:
        case PromptMode.KEEP:
            return always
        case PromptMode.REPLACE:
            return replaced(always, system=prompt.text)
        case PromptMode.EDIT | PromptMode.TEMPLATE:
            return None


def render(request: Readable, variant: Variant) -> Changes | None:
    """What `variant` changes in `request`; None if its prompt does not match this one.

    Raises:
        ValueError: for a prompt text or a parameter that is not well formed; `check` finds that beforehand.
    """
    return Recipe.of(variant).render(request)


def check(variant: Variant) -> None:
    """Make sure that `render` can read the variant, whatever the request.

    Raises:
        ValueError: saying which part is not well formed, and what was expected.
    """
    _parameters(variant.parameters)
    match variant.prompt.mode:
        case PromptMode.EDIT:
            edits(variant.prompt.text)
        case PromptMode.TEMPLATE:
            template(variant.prompt.text)
        case PromptMode.KEEP | PromptMode.REPLACE:
            pass


def system_prompt(prompt: Prompt, request: Readable) -> str | None:
    """The system prompt that comes of the app's own; None where the prompt's mode finds nothing to hold on to."""
    match prompt.mode:
        case PromptMode.KEEP:
            return request.system
        case PromptMode.REPLACE:
            return prompt.text
        case PromptMode.EDIT:
            return _edited(request.system or "", edits(prompt.text)) if request.prompt_is_text else None
        case PromptMode.TEMPLATE:
            return _filled(template(prompt.text), request)


@lru_cache(maxsize=256)
def edits(text: str) -> tuple[Edit, ...]:
    """Read the text of an `edit` prompt.

    Raises:
        ValueError: if it is not a list of replacements and appends.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"an edit prompt is a JSON list of edits, and this is no JSON: {error}") from None
    if not isinstance(found, list) or not found:
        raise ValueError(f"an edit prompt is a JSON list of at least one edit, got {text!r}")
    return tuple(_edit(item) for item in found)


def edits_text(made: Iterable[Edit]) -> str:
    """Write edits as the text of an `edit` prompt; `edits` reads it back."""
    rows = [
        {"append": edit.text} if isinstance(edit, Append) else {"replace": edit.old, "with": edit.new} for edit in made
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1)


@lru_cache(maxsize=256)
def template(text: str) -> Template:
    """Read the text of a `template` prompt.

    Raises:
        ValueError: if the part to match is empty, or has two variables with nothing between them.
    """
    if not text.startswith(_MATCH):
        return Template(text)
    match, separator, rest = text.removeprefix(_MATCH).partition(_TEXT)
    if not separator or not match:
        raise ValueError("a template that begins with '--- match' needs a text to match, and '--- text' after it")
    if "" in _VARIABLE.split(match)[2:-1:2]:
        raise ValueError("the text to match has two variables with nothing between them: where does the first one end?")
    return Template(rest, match)


def extracted(match: str, system: str) -> dict[str, str] | None:
    """The values of the variables for which `match` reads `system`; None if there are none, or more than one way.

    Literals are looked for from the left and from the right. Where both searches find the same places there is only
    one way to read the text, in time that grows with its length and not with the number of variables.
    """
    literals, names = _VARIABLE.split(match)[0::2], _VARIABLE.split(match)[1::2]
    if not names:
        return {} if match == system else None
    forwards = _places(literals, system)
    if forwards is None or forwards != _places_from_the_right(literals, system):
        return None
    found: dict[str, str] = {}
    for name, (begin, end) in zip(names, forwards, strict=True):
        if found.setdefault(name, system[begin:end]) != system[begin:end]:
            return None
    return found


def _edited(system: str, made: Iterable[Edit]) -> str | None:
    for edit in made:
        changed = edit.apply(system)
        if changed is None:
            return None
        system = changed
    return system


def _filled(prompt: Template, request: Readable) -> str | None:
    values = dict(request.metadata)
    if prompt.match is not None:
        read = extracted(prompt.match, request.system or "") if request.prompt_is_text else None
        if read is None:
            return None
        values.update(read)
    if any(name not in values for name in _VARIABLE.findall(prompt.text)):
        return None
    # One pass: a value that looks like a variable stays text.
    return _VARIABLE.sub(lambda variable: values[variable[1]], prompt.text)


def _edit(item: object) -> Edit:
    match item:
        case {"append": str(text), **rest} if not rest:
            return Append(text)
        case {"replace": str(old), "with": str(new), **rest} if not rest:
            return Replace(old, new)
        case _:
            raise ValueError(f'an edit is {{"append": TEXT}} or {{"replace": TEXT, "with": TEXT}}, got {item!r}')


def _parameters(parameters: Mapping[str, Json]) -> tuple[dict[str, Json], frozenset[str], dict[str, Bounds]]:
    drop, more = parameters.get("drop", ()), parameters.get("set", {})
    if not isinstance(drop, tuple) or not all(isinstance(name, str) for name in drop):
        raise ValueError(f"parameters.drop is a list of field names, got {drop!r}")
    if not isinstance(more, Mapping):
        raise ValueError(f"parameters.set holds fields and their values, got {more!r}")
    fields = {**{name: value for name, value in parameters.items() if name not in GUARDS}, **more}
    bounds = bounds_by_field(parameters.get("clamp", {}))
    if taken := {"model", "messages", "stream"} & (fields.keys() | bounds.keys()):
        raise ValueError(f"parameters cannot set {', '.join(sorted(taken))}: the variant or the app does")
    return fields, frozenset(str(name) for name in drop), bounds


def _places(literals: list[str], text: str) -> list[tuple[int, int]] | None:
    """Where the variables lie between these literals, each literal as early as possible."""
    if not text.startswith(literals[0]):
        return None
    at, found = len(literals[0]), []
    for literal in literals[1:-1]:
        end = text.find(literal, at)
        if end < 0:
            return None
        found.append((at, end))
        at = end + len(literal)
    last = len(text) - len(literals[-1])
    return [*found, (at, last)] if at <= last and text.endswith(literals[-1]) else None


def _places_from_the_right(literals: list[str], text: str) -> list[tuple[int, int]] | None:
    mirrored = _places([literal[::-1] for literal in reversed(literals)], text[::-1])
    return mirrored and [(len(text) - end, len(text) - begin) for begin, end in reversed(mirrored)]
