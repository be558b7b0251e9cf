"""From a variant file and its prompt to a `Variant`.

Two files that ask for the same are one variant: parameters have one form, a prompt's line ends are \\n.
Elsewhere: how a prompt's text is used (domain.rendering).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midshift.config import documents, providers
from midshift.config.definitions import VariantFile
from midshift.config.problems import Place, shown
from midshift.config.reading import Cursor, unset
from midshift.config.secrets import holds_key
from midshift.config.shelf import Shelf
from midshift.domain import rendering
from midshift.domain.clamping import bounds_by_field
from midshift.domain.rendering import GUARDS, Append, Replace
from midshift.domain.variant import Json, Prompt, PromptMode, Variant

LONGEST_PROMPT = 1024 * 1024
OF_THE_REQUEST = {
    "model": "`model` beside `params`",
    "messages": "the app's own messages, and `prompt` for the system's",
    "stream": "the app's own choice",
}
"""Request fields that no variant can pin by `params`, and what says them instead."""
_CLAMP = "clamp: {max_tokens: [1, 8000], effort: [low, high]}"


def variant(shelf: Shelf, path: str) -> VariantFile | None:
    """The variant of a file, judged once however often it is named; None if it has a problem."""
    if path not in shelf.variants:
        root = shelf.document(path, documents.Variant)
        shelf.variants[path] = None if root is None else _variant(shelf, path, root)
    return shelf.variants[path]


def _variant(shelf: Shelf, path: str, root: Cursor) -> VariantFile | None:
    before = len(shelf.report.problems)
    document: documents.Variant = root.reading.document
    if shelf.providers is not None:
        providers.check_name(document.provider, shelf.providers, root / "provider")
    prompt_path = _check_prompt(shelf, document.prompt, root / "prompt")
    parameters = _parameters(document.params, root / "params")
    prompt = _prompt(shelf, document.prompt.mode, prompt_path)
    if prompt is None or not root.whole or len(shelf.report.problems) > before:
        return None
    try:
        variant = Variant(document.provider, document.model, prompt, unset(document.effort), parameters)
        rendering.check(variant)
    except ValueError as error:
        place = Place(prompt_path) if prompt_path and prompt.mode is PromptMode.TEMPLATE else root.place
        shelf.report.add(
            place,
            f"a variant that cannot be rendered ({error})",
            "one that can",
            "midshift init   (shows how one looks)",
        )
        return None
    return VariantFile(path, variant, prompt_path)


def _check_prompt(shelf: Shelf, prompt: documents.Prompt, at: Cursor) -> str | None:
    """The path of the prompt's text, if the mode has one and it is there."""
    path = unset(prompt.file)
    if not (at / "mode").whole or not (at / "file").whole:
        return None
    if prompt.mode is PromptMode.KEEP:
        if path is not None:
            (at / "file").complain(
                "a prompt file with mode 'keep', which takes the app's text",
                "a mode that uses it",
                "mode: replace",
                at_name=True,
            )
        return None
    if path is None:
        at.complain(
            f"the prompt mode {prompt.mode.value!r} without a file",
            "the file of its text",
            "file: ../prompts/NAME.v1.md",
        )
        return None
    return shelf.named(at / "file", path, "a prompt file")


def _prompt(shelf: Shelf, mode: PromptMode, path: str | None) -> Prompt | None:
    if mode is PromptMode.KEEP:
        return Prompt()
    text = shelf.text(path) if path is not None else None
    if path is None or text is None:
        return None
    text = prompt_text(text)
    if not text.strip() or len(text) > LONGEST_PROMPT:
        shelf.report.add(
            Place(path),
            f"{len(text):,} characters" if text.strip() else "an empty prompt",
            f"a text of 1 to {LONGEST_PROMPT:,} characters",
            "the prompt, or `mode: keep` in the variant file",
        )
        return None
    if holds_key(text):
        line = next((number for number, line in enumerate(text.split("\n"), start=1) if holds_key(line)), 1)
        shelf.report.add(
            Place(path, line), "what looks like a key or password (not shown)", "a prompt without secrets", "remove it"
        )
        return None
    if mode is PromptMode.EDIT:
        edits = _edits(shelf, path)
        return Prompt(mode, edits) if edits is not None else None
    return Prompt(mode, text)


def prompt_text(text: str) -> str:
    """A prompt file's text as it is sent: line ends are \\n, and the one that ends the file is not part of it."""
    return text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


def _edits(shelf: Shelf, path: str) -> str | None:
    before = len(shelf.report.problems)
    root = shelf.document(path, documents.Edits)
    if root is None:
        return None
    made: list[Append | Replace] = []
    for index, edit in enumerate(root.reading.document):
        old, new, added = unset(edit.replace), unset(edit.by), unset(edit.append)
        if not (root / index).whole:
            continue
        if old is not None and new is not None and added is None:
            made.append(Replace(old, new))
        elif added is not None and old is None and new is None:
            made.append(Append(added))
        else:
            given = [name for name, value in (("replace", old), ("with", new), ("append", added)) if value is not None]
            (root / index).complain(
                f"an edit with {' and '.join(map(repr, given)) or 'nothing'}",
                "'replace' and 'with', or 'append' alone",
                "- {replace: OLD, with: NEW}",
            )
    return rendering.edits_text(made) if len(shelf.report.problems) == before else None


def _parameters(params: Mapping[str, Any], at: Cursor) -> dict[str, Json]:
    """The parameters in one form, however they were written: equal requests are equal variants."""
    drop = params.get("drop", ())
    more = params.get("set", {})
    clamp = params.get("clamp", {})
    if not at.whole:
        return {}
    if not isinstance(drop, tuple) or not all(isinstance(name, str) and name for name in drop):
        (at / "drop").complain("something else in drop", "a list of the names of request fields", "drop: [temperature]")
        drop = ()
    if not isinstance(more, Mapping):
        (at / "set").complain("something else in set", "a mapping of request fields", "set: {max_tokens: 500}")
        more = {}
    try:
        bounds_by_field(clamp)
    except ValueError as error:
        why = str(error).removeprefix("parameters.")
        (at / "clamp").complain(f"bounds that cannot be ({why})", "a mapping of fields to two bounds", _CLAMP)
        clamp = {}
    direct = {name: value for name, value in params.items() if name not in GUARDS}
    for where, fields in ((at, direct), (at / "set", more)):
        for name in fields:
            _check_parameter(name, where / name, direct, more, drop, again=fields is more)
    for name in clamp:
        _check_clamped(name, at / "clamp" / name, {*direct, *more}, drop)
    every: dict[str, Json] = {**direct, **more}
    own = {name: every.pop(name) for name in GUARDS if name in more}
    guards: dict[str, Json] = {"drop": tuple(sorted(set(drop))), "set": own, "clamp": clamp}
    return {**every, **{name: guard for name, guard in guards.items() if guard}}


def _check_parameter(
    name: str, at: Cursor, direct: Mapping[str, Any], more: Mapping[str, Any], drop: Sequence[object], *, again: bool
) -> None:
    if name in OF_THE_REQUEST:
        at.complain(f"the parameter {name!r}", OF_THE_REQUEST[name], f"remove {name}", at_name=True)
    elif again and name in direct:
        at.complain(f"{shown(name)} in params and in params.set", "it once", "remove one of them", at_name=True)
    elif name in drop:
        at.complain(f"{shown(name)} set and in drop", "one of the two", "remove one of them", at_name=True)


def _check_clamped(name: str, at: Cursor, fixed: set[str], drop: Sequence[object]) -> None:
    if name in OF_THE_REQUEST:
        at.complain(f"bounds for {name!r}", OF_THE_REQUEST[name], f"remove {name}", at_name=True)
    elif name in fixed or name in drop:
        done = "set" if name in fixed else "in drop"
        at.complain(f"{shown(name)} in clamp and {done}", "one of the two", "remove one of them", at_name=True)
