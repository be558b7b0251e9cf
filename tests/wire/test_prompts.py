"""Every mode of a prompt, every effort and every guard of a variant, on every wire and each of its spellings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from midshift.domain.rendering import Changes, Recipe
from midshift.domain.variant import Json, Prompt, PromptMode, Variant
from midshift.wire.protocol import WireName, WireRequest
from midshift.wire.wires import WIRES

CHAT, RESPONSES, ANTHROPIC, GEMINI = WireName
TEXT = "You help Ann. Be kind."
CACHED = {"cache_control": {"type": "ephemeral"}}
USER = {"role": "user", "content": "Hi."}
CONTENT = {"role": "user", "parts": [{"text": "Hi."}]}


@dataclass(frozen=True)
class Spelling:
    """A request whose system prompt is `TEXT`, and where to find a new one."""

    wire: WireName
    body: dict[str, Any]
    place: tuple[str | int, ...]
    beside: tuple[tuple[str | int, ...], Any] | None = None
    path: str = ""
    first: str = TEXT


def a_chat(*leading: object) -> dict[str, Any]:
    return {"model": "old", "messages": [*leading, USER]}


def an_input(*leading: object, **fields: object) -> dict[str, Any]:
    return {"model": "old", "input": [*leading, USER], **fields}


def a_message(system: object) -> dict[str, Any]:
    return {"model": "old", "max_tokens": 100, "messages": [USER], "system": system}


def a_part(text: str = TEXT, kind: str = "text") -> dict[str, Any]:
    return {"type": kind, "text": text}


MESSAGE, ITEM = ("messages", 0, "content"), ("input", 0, "content")
FIRST, SECOND = "You help Ann.", "Be kind."
GENERATE = "/v1beta/models/old:generateContent"
SPELLINGS = {
    "chat, a system message": Spelling(CHAT, a_chat({"role": "system", "content": TEXT}), MESSAGE),
    "chat, a developer message": Spelling(
        CHAT, a_chat({"role": "developer", "content": TEXT}), MESSAGE, (("messages", 0, "role"), "developer")
    ),
    "chat, parts": Spelling(
        CHAT,
        a_chat({"role": "system", "content": [{**a_part(), **CACHED}]}),
        (*MESSAGE, 0, "text"),
        ((*MESSAGE, 0), CACHED),
    ),
    "chat, several messages": Spelling(
        CHAT,
        a_chat({"role": "system", "content": FIRST}, {"role": "system", "content": SECOND}),
        MESSAGE,
        (("messages", 1), USER),
        first=f"{FIRST}\n{SECOND}",
    ),
    "responses, instructions": Spelling(RESPONSES, an_input(instructions=TEXT), ("instructions",)),
    "responses, a developer item": Spelling(
        RESPONSES, an_input({"role": "developer", "content": TEXT}), ITEM, (("input", 0, "role"), "developer")
    ),
    "responses, an item of parts": Spelling(
        RESPONSES,
        an_input({"type": "message", "role": "system", "content": [a_part(kind="input_text")]}),
        (*ITEM, 0, "text"),
        (("input", 1), USER),
    ),
    "responses, both": Spelling(
        RESPONSES,
        an_input({"role": "developer", "content": SECOND}, instructions=FIRST),
        ("instructions",),
        (("input", 0), USER),
        first=f"{FIRST}\n{SECOND}",
    ),
    "anthropic, a text": Spelling(ANTHROPIC, a_message(TEXT), ("system",)),
    "anthropic, blocks": Spelling(
        ANTHROPIC,
        a_message([a_part(FIRST), {**a_part(SECOND), **CACHED}]),
        ("system", 0, "text"),
        (("system", 0), CACHED),
        first=f"{FIRST}\n{SECOND}",
    ),
    "gemini": Spelling(
        GEMINI,
        {"contents": [CONTENT], "systemInstruction": {"parts": [{"text": TEXT}]}},
        ("systemInstruction", "parts", 0, "text"),
        path=GENERATE,
    ),
    "gemini, in snake case, with a role": Spelling(
        GEMINI,
        {"contents": [CONTENT], "system_instruction": {"role": "user", "parts": [{"text": TEXT}]}},
        ("system_instruction", "parts", 0, "text"),
        (("system_instruction", "role"), "user"),
        path=GENERATE,
    ),
}
EVERY = pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)


def read(wire: WireName, body: dict[str, Any], path: str = "") -> WireRequest:
    return WIRES[wire].read_request(json.dumps(body).encode(), path or "/v1/x")


def rendered(spelling: Spelling, mode: PromptMode, text: str) -> Any:
    """The plain values of a request as a variant with this prompt sends it; None if the prompt does not match."""
    request = read(spelling.wire, spelling.body, spelling.path)
    changes = Recipe.of(Variant("p", "new", Prompt(mode, text))).render(request)
    return None if changes is None else json.loads(request.rewritten(changes).body)


def at(value: Any, place: tuple[str | int, ...]) -> Any:
    for name in place:
        value = value[name]
    return value


def check_beside(spelling: Spelling, sent: Any) -> None:
    """What stands beside the prompt stays: role, cache marker, what the user said."""
    if spelling.beside is not None:
        place, expected = spelling.beside
        found = at(sent, place)
        assert expected == ({name: found[name] for name in expected} if isinstance(expected, dict) else found)


@EVERY
def test_the_prompt_is_read(spelling: Spelling) -> None:
    """Whatever its spelling, it is one text."""
    assert spelling.first == read(spelling.wire, spelling.body, spelling.path).system


@EVERY
def test_keep_leaves_it(spelling: Spelling) -> None:
    """To the byte, but for the model."""
    sent = rendered(spelling, PromptMode.KEEP, "")

    assert {**spelling.body, "model": ""} == {**sent, "model": ""} or spelling.body == sent


@EVERY
def test_replace_takes_its_place(spelling: Spelling) -> None:
    """And nothing of the old one stays anywhere."""
    sent = rendered(spelling, PromptMode.REPLACE, "Be brief.")

    assert "Be brief." == at(sent, spelling.place)
    assert "Ann" not in json.dumps(sent) and "kind" not in json.dumps(sent)
    check_beside(spelling, sent)


@EVERY
def test_edit_changes_it(spelling: Spelling) -> None:
    """Text by text, and at the end."""
    edits = json.dumps([{"replace": "kind", "with": "brief"}, {"append": " Always."}])
    sent = rendered(spelling, PromptMode.EDIT, edits)

    assert spelling.first.replace("kind", "brief") + " Always." == at(sent, spelling.place)
    check_beside(spelling, sent)


@EVERY
def test_an_edit_of_what_is_not_there_matches_nothing(spelling: Spelling) -> None:
    """Then the incumbent serves."""
    assert rendered(spelling, PromptMode.EDIT, '[{"replace": "You serve", "with": "x"}]') is None


@EVERY
def test_a_template_reads_its_variables_from_it(spelling: Spelling) -> None:
    """The app renders names into its prompt, and the variant needs them."""
    match = spelling.first.replace("Ann", "{{name}}")
    sent = rendered(spelling, PromptMode.TEMPLATE, f"--- match\n{match}\n--- text\nHelp {{{{name}}}}. Be brief.")

    assert "Help Ann. Be brief." == at(sent, spelling.place)
    check_beside(spelling, sent)


@EVERY
def test_a_template_that_does_not_read_it_matches_nothing(spelling: Spelling) -> None:
    """A name that was guessed would be somebody else's."""
    assert rendered(spelling, PromptMode.TEMPLATE, "--- match\nServe {{name}}.\n--- text\nHelp {{name}}.") is None


FILE = {"type": "input_file", "file_id": "file-1"}
LATIN = "caf\xe9"
UNREAD = {
    "chat, a part that is no text": Spelling(
        CHAT, a_chat({"role": "system", "content": [a_part(), {"type": "x"}]}), ()
    ),
    "chat, no text": Spelling(CHAT, a_chat({"role": "system", "content": 5}), ()),
    "chat, a byte that is no UTF-8": Spelling(CHAT, a_chat({"role": "system", "content": LATIN}), ()),
    "responses, a file": Spelling(RESPONSES, an_input({"role": "developer", "content": [FILE]}, instructions=TEXT), ()),
    "responses, a text and a file": Spelling(
        RESPONSES, an_input({"role": "developer", "content": [a_part(kind="input_text"), FILE]}), ()
    ),
    "responses, instructions that are no text": Spelling(RESPONSES, an_input(instructions=[TEXT]), ()),
    "responses, an item with such a byte": Spelling(RESPONSES, an_input({"role": "developer", "content": LATIN}), ()),
    "anthropic, a block that is no text": Spelling(ANTHROPIC, a_message([a_part(), {"type": "image"}]), ()),
    "anthropic, such a byte": Spelling(ANTHROPIC, a_message(LATIN), ()),
    "gemini, a file": Spelling(
        GEMINI,
        {"contents": [CONTENT], "systemInstruction": {"parts": [{"text": TEXT}, {"fileData": {}}]}},
        (),
        path=GENERATE,
    ),
    "gemini, such a byte": Spelling(
        GEMINI, {"contents": [CONTENT], "systemInstruction": {"parts": [{"text": LATIN}]}}, (), path=GENERATE
    ),
}


@pytest.mark.parametrize("spelling", UNREAD.values(), ids=UNREAD)
def test_a_prompt_that_is_not_all_text_is_not_edited(spelling: Spelling) -> None:
    """What is added to it would take its place, and the rules of the app would be gone."""
    body = json.dumps(spelling.body, ensure_ascii=False).encode("latin-1")
    request = WIRES[spelling.wire].read_request(body, spelling.path or "/v1/x")
    edit = Recipe.of(Variant("p", "new", Prompt(PromptMode.EDIT, '[{"append": " Be brief."}]')))
    replace = Recipe.of(Variant("p", "new", Prompt(PromptMode.REPLACE, "Be brief.")))

    assert (None, False) == (request.system, request.prompt_is_text)
    assert edit.render(request) is None
    changes = replace.render(request)
    assert changes is not None
    sent = request.rewritten(changes).body
    assert b"Be brief." in sent
    assert spelling.wire is not CHAT or "system" == json.loads(sent)["messages"][0]["role"]


SILENT = {
    "chat, null": Spelling(
        CHAT, a_chat({"role": "system", "content": TEXT}, {"role": "system", "content": None}), MESSAGE
    ),
    "chat, no parts": Spelling(
        CHAT, a_chat({"role": "system", "content": TEXT}, {"role": "system", "content": []}), MESSAGE
    ),
    "responses, no parts": Spelling(
        RESPONSES, an_input({"role": "developer", "content": []}, instructions=TEXT), ("instructions",)
    ),
    "responses, null instructions": Spelling(
        RESPONSES, an_input({"role": "developer", "content": TEXT}, instructions=None), ITEM
    ),
}
NONE = {
    "chat": Spelling(CHAT, a_chat(), MESSAGE, first=""),
    "chat, null": Spelling(CHAT, a_chat({"role": "system", "content": None}), MESSAGE, first=""),
    "responses": Spelling(RESPONSES, an_input(), ("instructions",), first=""),
    "anthropic, null": Spelling(ANTHROPIC, a_message(None), ("system",), first=""),
    "gemini, no parts": Spelling(
        GEMINI,
        {"contents": [CONTENT], "systemInstruction": {"parts": []}},
        ("systemInstruction", "parts", 0, "text"),
        path=GENERATE,
        first="",
    ),
}


@pytest.mark.parametrize("spelling", [*SILENT.values(), *NONE.values()], ids=[*SILENT, *(f"none: {at}" for at in NONE)])
def test_what_says_nothing_takes_nothing_away(spelling: Spelling) -> None:
    """Some clients send an empty message beside the prompt, or instead of one."""
    request = read(spelling.wire, spelling.body, spelling.path)
    sent = rendered(spelling, PromptMode.EDIT, '[{"append": " Be brief."}]')

    assert (spelling.first or None, True) == (request.system, request.prompt_is_text)
    assert f"{spelling.first} Be brief." == at(sent, spelling.place)


@pytest.mark.parametrize("mode", [mode for mode in PromptMode if mode is not PromptMode.KEEP])
def test_a_prompt_in_openais_store_is_left_alone_and_matches_nothing(mode: PromptMode) -> None:
    """Its text is not known here: a candidate without its own prompt would be a third variant."""
    texts = {PromptMode.REPLACE: "x", PromptMode.EDIT: '[{"append": "x"}]', PromptMode.TEMPLATE: "x"}
    body = {"model": "old", "prompt": {"id": "pmpt_1", "version": "2"}, "input": "Hi."}
    request = read(RESPONSES, body)

    assert Recipe.of(Variant("p", "new", Prompt(mode, texts[mode]))).render(request) is None
    kept = Recipe.of(Variant("p", "new")).render(request)
    assert kept is not None
    assert {**body, "model": "new"} == json.loads(request.rewritten(kept).body)


EFFORTS = {
    CHAT: (a_chat(), "", ("reasoning_effort",), "low"),
    RESPONSES: (an_input(), "", ("reasoning", "effort"), "low"),
    ANTHROPIC: (a_message("x"), "", ("output_config", "effort"), "low"),
    GEMINI: ({"contents": [CONTENT]}, GENERATE, ("generationConfig", "thinkingConfig", "thinkingLevel"), "LOW"),
}


@pytest.mark.parametrize("wire", WireName)
def test_an_effort_stands_where_the_wire_has_it(wire: WireName) -> None:
    """A part of the variant: the same model with another effort is another variant."""
    body, path, place, expected = EFFORTS[wire]
    request = read(wire, body, path)
    changes = Recipe.of(Variant("p", "new", effort="low")).render(request)
    assert changes is not None

    assert expected == at(json.loads(request.rewritten(changes).body), place)


GUARDED = {
    CHAT: ({**a_chat(), "temperature": 1.5, "top_p": 0.9}, "", ()),
    RESPONSES: ({**an_input(), "temperature": 1.5, "top_p": 0.9}, "", ()),
    ANTHROPIC: ({**a_message("x"), "temperature": 1.5, "top_p": 0.9}, "", ()),
    GEMINI: (
        {"contents": [CONTENT], "generationConfig": {"temperature": 1.5, "topP": 0.9, "top_p": 0.9}},
        GENERATE,
        ("generationConfig",),
    ),
}
GUARDS: dict[str, tuple[dict[str, Json], dict[str, Any]]] = {
    "drop": ({"drop": ("temperature",)}, {"top_p": 0.9}),
    "set": ({"set": {"temperature": 0.25}}, {"temperature": 0.25, "top_p": 0.9}),
    "clamp": ({"clamp": {"temperature": (0.0, 1.0)}}, {"temperature": 1.0, "top_p": 0.9}),
    "a plain parameter": ({"temperature": 0.5}, {"temperature": 0.5, "top_p": 0.9}),
}


@pytest.mark.parametrize(("parameters", "expected"), GUARDS.values(), ids=GUARDS)
@pytest.mark.parametrize("wire", WireName)
def test_guards_hold_on_every_wire(wire: WireName, parameters: dict[str, Json], expected: dict[str, Any]) -> None:
    """What a model refuses is taken out, set or bounded; what stands beside it stays."""
    body, path, place = GUARDED[wire]
    request = read(wire, body, path)
    changes = Recipe.of(Variant("p", "new", parameters=parameters)).render(request)
    assert changes is not None

    sent = at(json.loads(request.rewritten(changes).body), place)
    assert expected == {name: sent[name] for name in ("temperature", "top_p") if name in sent}


@pytest.mark.parametrize("wire", WireName)
def test_no_change_is_no_byte(wire: WireName) -> None:
    """Whatever a variant does not name stays as the app sent it."""
    body, path, _ = GUARDED[wire]
    request = read(wire, body, path)

    assert request.body == request.rewritten(Changes()).body
