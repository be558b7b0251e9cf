"""Variants: values that are known by the hash of their content, today and in years."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.domain.variant import Json, Prompt, PromptMode, Variant

# The canonical JSON of a variant, written by hand: keys sorted, no spaces, UTF-8 as it is.
CANONICAL = (
    '{"effort":"high","model":"claude-x-20250101","parameters":{"stop":["\\n\\n"],"temperature":0.2,'
    '"tools":{"a":[true,null],"b":1}},"prompt":{"mode":"replace","text":"Antworte höflich.\\n"},"provider":"anthropic"}'
)
PINNED = "b38a667a427f97323e483409a4a80e414cf1eea05620e1eb2107e2a7723192d1"

texts = st.text(max_size=8)
names = texts.filter(str.strip)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
prompts = st.just(Prompt()) | st.builds(
    Prompt, st.sampled_from([mode for mode in PromptMode if mode is not PromptMode.KEEP]), texts.filter(bool)
)
variants = st.builds(Variant, names, names, prompts, st.none() | texts, st.dictionaries(texts, plain_json, max_size=4))


def a_variant(**changed: Any) -> Variant:
    return replace(
        Variant(
            "anthropic",
            "claude-x-20250101",
            Prompt(PromptMode.REPLACE, "Antworte höflich.\n"),
            "high",
            {"temperature": 0.2, "stop": ("\n\n",), "tools": {"b": 1, "a": (True, None)}},
        ),
        **changed,
    )


def reordered(value: Any) -> Any:
    """The same JSON, with every object's keys the other way round."""
    if isinstance(value, dict):
        return {key: reordered(item) for key, item in reversed(value.items())}
    return [reordered(item) for item in value] if isinstance(value, list) else value


# --- The id -------------------------------------------------------------------------------------------------------


def test_the_id_is_pinned() -> None:
    """Stored upgrades name variants by it: an id that changes with a release loses every prompt ever shipped."""
    assert PINNED == hashlib.sha256(CANONICAL.encode()).hexdigest()
    assert PINNED == a_variant().id
    assert PINNED[:12] == a_variant().short_id


def test_the_id_is_the_same_in_every_process() -> None:
    """Python's own hash of a text is not."""
    program = (
        "from midshift.domain.variant import *; import sys;"
        "print(Variant('anthropic', 'claude-x-20250101', Prompt(PromptMode.REPLACE, 'Antworte höflich.\\n'), 'high',"
        "{'tools': {'a': [True, None], 'b': 1}, 'temperature': 0.2, 'stop': ['\\n\\n']}).id)"
    )

    runs = [
        subprocess.run(
            [sys.executable, "-X", "utf8", "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("0", "1")
    ]

    assert [PINNED, PINNED] == runs


@pytest.mark.slow
@given(variants)
def test_the_id_is_the_hash_of_the_content_as_anyone_would_write_it(variant: Variant) -> None:
    """Another tool, in another language, has to be able to check it."""

    def thawed(value: Json) -> object:
        if isinstance(value, tuple):
            return [thawed(item) for item in value]
        return {key: thawed(item) for key, item in value.items()} if isinstance(value, Mapping) else value

    content = {
        "provider": variant.provider,
        "model": variant.model,
        "prompt": {"mode": variant.prompt.mode.value, "text": variant.prompt.text},
        "effort": variant.effort,
        "parameters": thawed(variant.parameters),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    assert hashlib.sha256(text.encode()).hexdigest() == variant.id


@pytest.mark.slow
@given(st.dictionaries(texts, plain_json, max_size=4))
def test_the_order_of_keys_changes_nothing(parameters: dict[str, Any]) -> None:
    """A YAML file that was tidied up is not a new variant."""
    one, other = (a_variant(parameters=p) for p in (parameters, reordered(parameters)))

    assert (one, one.id, hash(one)) == (other, other.id, hash(other))


@pytest.mark.parametrize(
    "changed",
    [
        {"provider": "bedrock"},
        {"model": "claude-x-20250102"},
        {"prompt": Prompt()},
        {"prompt": Prompt(PromptMode.EDIT, "Antworte höflich.\n")},
        {"prompt": Prompt(PromptMode.REPLACE, "Antworte höflich.")},
        {"effort": "low"},
        {"effort": None},
        {"effort": ""},
        {"parameters": {}},
        {"parameters": {"temperature": 0.2}},
        {"parameters": {"temperature": 0.3, "stop": ["\n\n"], "tools": {"b": 1, "a": [True, None]}}},
        {"parameters": {"temperature": 0.2, "stop": ["\n"], "tools": {"b": 1, "a": [True, None]}}},
        {"parameters": {"temperature": 0.2, "stop": ["\n\n"], "tools": {"b": 1, "a": [None, True]}}},
        {"parameters": {"temperature": "0.2", "stop": ["\n\n"], "tools": {"b": 1, "a": [True, None]}}},
    ],
)
def test_any_other_content_is_another_variant(changed: dict[str, Any]) -> None:
    """Two effort settings, two prompts, two snapshots: two variants, two evals."""
    other = a_variant(**changed)

    assert a_variant().id != other.id
    assert a_variant() != other


def test_the_default_effort_is_an_effort_of_its_own() -> None:
    """What the provider's default resolves to today may change tomorrow."""
    ids = {a_variant(effort=effort).id for effort in (None, "", "default", "null", "medium")}

    assert 5 == len(ids)


def test_what_looks_alike_to_a_person_is_told_apart() -> None:
    """A composed and a decomposed umlaut are different bytes to a model, and different variants here."""
    composed, decomposed = (a_variant(prompt=Prompt(PromptMode.REPLACE, text)) for text in ("h\u00f6", "ho\u0308"))

    assert composed.id != decomposed.id


def test_half_a_character_has_an_id_too() -> None:
    """A prompt from a broken file holds lone surrogates: that is an ugly variant, not a crash."""
    assert 64 == len(a_variant(prompt=Prompt(PromptMode.REPLACE, "\ud83d")).id)


# --- A value ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@given(variants, variants)
def test_a_copy_is_equal_and_one_id_is_one_variant(one: Variant, other: Variant) -> None:
    """Sets and dictionaries of variants rely on it."""
    copy = Variant(one.provider, one.model, one.prompt, one.effort, one.parameters)

    assert (one, one.id, hash(one)) == (copy, copy.id, hash(copy))
    assert one == other or one.id != other.id


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0, False), (0.0, -0.0)])
def test_numbers_that_python_calls_equal_are_equal_variants_only_with_one_id(one: Json, other: Json) -> None:
    """Equal values with two hashes are in a set and are not, depending on the day."""
    left, right = (a_variant(parameters={"n": value}) for value in (one, other))

    assert (left == right) is (left.id == right.id)


@pytest.mark.parametrize(
    ("field", "value"), [("provider", "x"), ("model", "x"), ("prompt", Prompt()), ("effort", "x"), ("parameters", {})]
)
def test_a_variant_cannot_be_changed(field: str, value: object) -> None:
    """What was evaluated is what is shipped."""
    with pytest.raises(FrozenInstanceError):
        setattr(a_variant(), field, value)


def test_parameters_cannot_be_changed_at_any_depth() -> None:
    """As above: a list that is shared with the caller would be a back door."""
    stop, tools = ["\n\n"], {"b": 1, "a": [True, None]}
    variant = a_variant(parameters={"temperature": 0.2, "stop": stop, "tools": tools})

    stop.append("x")
    tools["c"] = 2
    tools["a"].append(1)  # type: ignore[attr-defined]  # the list inside

    assert PINNED == variant.id
    with pytest.raises(TypeError):
        variant.parameters["stop"] = ()  # type: ignore[index]  # that it cannot be written is the point
    with pytest.raises(TypeError):
        variant.parameters["tools"]["b"] = 2  # type: ignore[index]  # as above
    assert ("\n\n",) == variant.parameters["stop"]


def test_parameters_of_two_variants_are_not_shared() -> None:
    """The default is one empty mapping, and nobody can write to it."""
    assert {} == dict(Variant("p", "m").parameters) == dict(Variant("p", "n").parameters)


# --- What is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("parameters.t: JSON has no nan; expected a finite number", {"t": float("nan")}),
        ("parameters.t: JSON has no inf; expected a finite number", {"t": float("inf")}),
        ("parameters.a.b[1]: JSON has no -inf; expected a finite number", {"a": {"b": [0, float("-inf")]}}),
        ("parameters.when: expected plain JSON, got set {1}", {"when": {1}}),
        ("parameters.a[0]: expected plain JSON, got bytes b'x'", {"a": [b"x"]}),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(fault: str, parameters: dict[str, Any]) -> None:
    """NaN is not equal to itself: a variant with one would never be found again."""
    with pytest.raises(ValueError) as raised:
        a_variant(parameters=parameters)

    assert fault == str(raised.value)


@pytest.mark.parametrize(("field", "value"), [("provider", ""), ("model", ""), ("provider", " "), ("model", "\t\n")])
def test_a_variant_without_a_name_is_refused(field: str, value: str) -> None:
    """An empty environment variable is where it comes from."""
    with pytest.raises(ValueError) as raised:
        a_variant(**{field: value})

    assert f"a variant needs a {field}, got {value!r}" == str(raised.value)


@pytest.mark.parametrize(
    ("fault", "mode", "text"),
    [
        ("prompt mode 'keep' goes with no text, got 'x'", PromptMode.KEEP, "x"),
        ("prompt mode 'edit' goes with a text, got ''", PromptMode.EDIT, ""),
        ("prompt mode 'replace' goes with a text, got ''", PromptMode.REPLACE, ""),
        ("prompt mode 'template' goes with a text, got ''", PromptMode.TEMPLATE, ""),
    ],
)
def test_a_prompt_has_a_text_unless_it_keeps_the_apps_own(fault: str, mode: PromptMode, text: str) -> None:
    """A prompt file that could not be read must not become "no system prompt"."""
    with pytest.raises(ValueError) as raised:
        Prompt(mode, text)

    assert fault == str(raised.value)
