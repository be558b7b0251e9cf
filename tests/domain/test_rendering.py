"""What a variant changes in a request."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from midshift.domain.clamping import Bounds
from midshift.domain.rendering import (
    Append,
    Changes,
    Replace,
    RequestFields,
    check,
    edits,
    edits_text,
    extracted,
    render,
    system_prompt,
    template,
)
from midshift.domain.variant import Json, Prompt, PromptMode, Variant

WORDS = st.text(alphabet="ab {}.\n", max_size=12)
VALUES = st.text(alphabet="abc {}.", max_size=6)
EDITS = st.lists(
    st.one_of(st.builds(Append, WORDS), st.builds(Replace, WORDS.filter(bool), WORDS)), min_size=1, max_size=4
)


def a_variant(
    mode: PromptMode = PromptMode.KEEP, text: str = "", effort: str | None = None, **parameters: Json
) -> Variant:
    """A variant of the model `new`."""
    return Variant("p", "new", Prompt(mode, text), effort, parameters)


def prompt_for(mode: PromptMode, text: str, system: str | None, **metadata: str) -> str | None:
    """The system prompt that comes of the app's own."""
    return system_prompt(Prompt(mode, text), RequestFields(system, metadata))


@given(st.none() | st.text())
def test_keep_changes_the_model_and_nothing_else(system: str | None) -> None:
    """The first upgrade of every app is this one."""
    assert Changes(model="new") == render(RequestFields(system), a_variant())


@given(st.none() | st.text())
def test_replace_is_its_text_whatever_the_app_sent(system: str | None) -> None:
    """Also where the app sent none."""
    changes = render(RequestFields(system), a_variant(PromptMode.REPLACE, "Be brief."))

    assert Changes(system="Be brief.", model="new") == changes


@pytest.mark.parametrize("mode", PromptMode)
def test_a_prompt_in_a_vendors_store_is_only_kept(mode: PromptMode) -> None:
    """Nobody has read it, so that a new one may leave out all that it says."""
    text = '[{"append": "Be brief."}]' if mode is PromptMode.EDIT else "Be brief." * (mode is not PromptMode.KEEP)
    changes = render(RequestFields(prompt_is_elsewhere=True), a_variant(mode, text))

    assert (Changes(model="new") if mode is PromptMode.KEEP else None) == changes


@pytest.mark.parametrize(
    ("mode", "text", "expected"),
    [
        (PromptMode.KEEP, "", Changes(model="new")),
        (PromptMode.REPLACE, "Be brief.", Changes(system="Be brief.", model="new")),
        (PromptMode.EDIT, '[{"append": "Be brief."}]', None),
        (PromptMode.TEMPLATE, "--- match\n{{rules}}\n--- text\n{{rules}} Be brief.", None),
        (PromptMode.TEMPLATE, "Be brief.", Changes(system="Be brief.", model="new")),
    ],
)
def test_a_prompt_that_is_not_all_text_is_neither_edited_nor_matched(
    mode: PromptMode, text: str, expected: Changes | None
) -> None:
    """No prompt and one that nobody has read are two things: an addition to the second would take its place."""
    assert expected == render(RequestFields(prompt_is_text=False), a_variant(mode, text))


def test_the_effort_is_set_when_the_variant_has_one() -> None:
    """Without one the app's own stays: an app that asks for more thought on hard cases goes on doing so."""
    low, own = a_variant(effort="low"), a_variant()

    assert Changes(model="new", effort="low") == render(RequestFields(), low)
    assert Changes(model="new") == render(RequestFields(), own)


def test_parameters_are_set_and_dropped() -> None:
    """`set` is for fields whose names are taken; what is set is not dropped."""
    variant = a_variant(max_tokens=5, drop=("temperature", "max_tokens"), set={"seed": 1})

    expected = Changes({"max_tokens": 5, "seed": 1}, frozenset({"temperature"}), model="new")
    assert expected == render(RequestFields(), variant)


def test_what_the_variant_settles_itself_has_no_bounds() -> None:
    """A bound is for what the app chooses: it must not undo what was pinned and tested."""
    bounds: dict[str, Any] = {"max_tokens": (1, 100), "effort": ("low", "high"), "seed": (0, 9), "top_k": (1, 5)}
    variant = a_variant(effort="max", seed=42, drop=("top_k",), clamp=bounds)

    rendered = render(RequestFields(), variant)

    assert rendered is not None
    assert {"max_tokens": Bounds(1, 100)} == rendered.clamp
    assert ({"seed": 42}, "max") == (rendered.set, rendered.effort)


@pytest.mark.parametrize(
    "parameters",
    [
        {"drop": "temperature"},
        {"drop": (1,)},
        {"set": ("a",)},
        {"model": "x"},
        {"set": {"messages": ()}},
        {"stream": True},
        {"clamp": (1, 2)},
        {"clamp": {"max_tokens": (2, 1)}},
        {"clamp": {"stream": (0, 1)}},
    ],
)
def test_parameters_that_cannot_be_are_found_beforehand(parameters: dict[str, Json]) -> None:
    """A user's request is the wrong moment to learn of it."""
    with pytest.raises(ValueError, match="parameters"):
        check(Variant("p", "new", parameters=parameters))


@given(EDITS)
def test_edits_are_read_as_they_were_written(made: list[Append | Replace]) -> None:
    """The text is what is stored and hashed."""
    assert tuple(made) == edits(edits_text(made))


@given(EDITS, WORDS)
def test_an_edit_whose_text_is_not_there_matches_nothing(made: list[Append | Replace], system: str) -> None:
    """A prompt that is only half edited is a variant that nobody evaluated."""
    expected: str | None = system
    for edit in made:
        if expected is not None and isinstance(edit, Replace):
            expected = expected.replace(edit.old, edit.new) if edit.old in expected else None
        elif expected is not None and isinstance(edit, Append):
            expected += edit.text

    assert expected == prompt_for(PromptMode.EDIT, edits_text(made), system)


@pytest.mark.parametrize(
    "text", ["", "x", "{}", "[]", '[{"replace": "a"}]', '[{"append": 1}]', '[{"append": "a", "b": 1}]']
)
def test_edits_that_are_none_are_refused(text: str) -> None:
    """With what was expected instead."""
    with pytest.raises(ValueError, match="edit"):
        edits(text)


def test_a_template_takes_its_variables_from_the_metadata() -> None:
    """An app that sends what the prompt is made of needs no text to match."""
    assert "Help Ann." == prompt_for(PromptMode.TEMPLATE, "Help {{ name }}.", None, name="Ann")
    assert prompt_for(PromptMode.TEMPLATE, "Help {{name}}.", None) is None


MATCHED = "--- match\nYou help {{name}}. Today is {{day}}.\n--- text\nHelp {{name}} ({{day}})."


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("You help Ann. Today is Monday.", "Help Ann (Monday)."),
        ("You help . Today is .", "Help  ()."),
        ("You help {{day}}. Today is Monday.", "Help {{day}} (Monday)."),
        ("You help Ann. Today is Monday. Bye.", "Help Ann (Monday. Bye)."),
        ("You assist Ann. Today is Monday.", None),
        ("You help Ann. Today is Monday", None),
        ("You help Ann. Today is x. Today is Monday.", None),
        (None, None),
    ],
)
def test_a_template_takes_its_variables_from_the_text_that_the_app_renders(
    system: str | None, expected: str | None
) -> None:
    """A value that looks like a variable stays text; a text that can be read in two ways is not guessed at."""
    assert expected == prompt_for(PromptMode.TEMPLATE, MATCHED, system)


def test_a_variable_that_stands_twice_must_have_one_value() -> None:
    """Else the text is not the one that the template describes."""
    assert {"a": "x"} == extracted("{{a}} and {{a}}", "x and x")
    assert extracted("{{a}} and {{a}}", "x and y") is None


@given(st.lists(WORDS, min_size=2, max_size=4), st.lists(VALUES, min_size=3, max_size=3))
def test_what_is_read_from_a_text_is_what_was_put_into_it_or_nothing(literals: list[str], values: list[str]) -> None:
    """A wrong name in a prompt is worse than the incumbent's answer."""
    assume(all("{{" not in literal and "}}" not in literal for literal in literals))
    names = [f"v{number}" for number in range(len(literals) - 1)]
    put = dict(zip(names, values, strict=False))
    match = interleaved(literals, ["{{" + name + "}}" for name in names])
    assume(template_is_sound(match) and match.count("{{") == len(names))

    found = extracted(match, interleaved(literals, [put[name] for name in names]))

    assert found in (None, put)


def test_reading_a_text_takes_time_in_proportion_to_its_length() -> None:
    """A search that backtracks would let one user's text stop the gateway for everybody."""
    match = "x".join("{{" + f"v{number}" + "}}" for number in range(30)) + "!"

    assert extracted(match, "x" * 200_000) is None


@pytest.mark.parametrize(
    "text", ["--- match\nno text", "--- match\n\n--- text\nx", "--- match\n{{a}}{{b}}\n--- text\nx"]
)
def test_templates_that_cannot_be_matched_are_found_beforehand(text: str) -> None:
    """Two variables with nothing between them have no border."""
    with pytest.raises(ValueError, match="match"):
        check(a_variant(PromptMode.TEMPLATE, text))


def test_a_prompt_that_matches_nothing_leaves_the_request_to_the_incumbent() -> None:
    """None is the only answer that cannot be sent by mistake."""
    assert render(RequestFields("Other."), a_variant(PromptMode.TEMPLATE, MATCHED)) is None


def interleaved(literals: list[str], between: list[str]) -> str:
    """literal, value, literal, value, literal."""
    return "".join(a + b for a, b in zip(literals, [*between, ""], strict=True))


def template_is_sound(match: str) -> bool:
    """Whether it is accepted as a text to match."""
    try:
        template(f"--- match\n{match}\n--- text\nx")
    except ValueError:
        return False
    return True
