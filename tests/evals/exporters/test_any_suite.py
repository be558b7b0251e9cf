"""Any suite that is exported and imported again is the suite that it was, but for what was named as lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from midshift.evals.exporters import EXPORTERS, Target
from midshift.evals.suite_file import EvalCase, Suite
from tests.evals.exporters.test_round_trip import back

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "{{x}}",
        "{% if a %}",
        "{# c #}",
        "[1]",
        '{"role": "user"}',
        "yes",
        "1.0",
        "file://x.txt",
        " a ",
        "a, b",
        "null",
        "\u2028",
    ]
)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=1, max_size=8) | st.sampled_from(
    ["slice", "category", "id", "midshift", "description", "_promptfooX", "tags", "choices", "target", "input"]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=3)
PARTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": st.fixed_dictionaries({"url": TEXTS})}),
    st.just({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}),
)
CALLS = st.fixed_dictionaries(
    {
        "id": TEXTS,
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": NAMES, "arguments": TEXTS | st.just('{"a": 1}')}),
    }
)
MESSAGES = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "developer", "user", "assistant"]), "content": TEXTS}),
    st.fixed_dictionaries({"role": st.just("user"), "content": st.lists(PARTS, min_size=2, max_size=3)}),
    st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": st.lists(CALLS, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": TEXTS, "content": TEXTS}),
)
SAID = {"name": NAMES, "weight": st.sampled_from([0.5, 2, 3.25]), "not": st.just(True)}


def grader(kind: str, required: Mapping[str, Any], **more: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A grader of a kind, with any of what graders may have."""
    return st.fixed_dictionaries({"type": st.just(kind), **required}, optional={**SAID, **more})


GRADERS = st.one_of(
    grader("equals", {"value": TEXTS, "strip": st.just(False)}),
    grader("equals", {"value": TEXTS}),
    grader("contains", {"value": TEXTS}, ignore_case=st.just(True)),
    grader("contains", {"values": st.lists(TEXTS, min_size=1, max_size=3), "mode": st.sampled_from(["any", "all"])}),
    grader("contains", {}),
    grader("starts_with", {"value": TEXTS}, ignore_case=st.just(True)),
    grader("regex", {"pattern": st.sampled_from(["a+", "(?i)a", "(?P<n>a)", "^x$", "{{2}}", "a{2}", r"\d\Z"])}),
    grader("json", {}),
    grader("json_schema", {"schema": st.sampled_from([{"type": "object"}, {}, {"const": "{{x}}"}])}),
    grader("json_equal", {"value": JSON}),
    grader("length", {}, min_words=st.integers(0, 3), max_words=st.integers(3, 9), max_chars=st.integers(1, 9)),
    grader("rubric", {"rubric": TEXTS}, threshold=st.sampled_from([0.5, 0.7])),
    grader("pairwise", {"criterion": TEXTS}),
    grader("tool_calls", {"calls": st.just([])}),
)


@st.composite
def cases(draw: st.DrawFn, number: int) -> EvalCase:
    """A case that a suite can hold."""
    reference = draw(JSON)
    is_draft = draw(st.booleans()) and reference is not None
    return EvalCase(
        place=number,
        id=f"{draw(TEXTS)}{number}",
        messages=tuple(draw(st.lists(MESSAGES, min_size=1, max_size=3))),
        slices=tuple(draw(st.lists(st.sampled_from(["a", "b", "c d", "[e]"]), max_size=2, unique=True))),
        cluster=draw(st.none() | NAMES),
        weight=draw(st.sampled_from([1.0, 2.5])),
        reference=None if is_draft else reference,
        expects=draw(st.none() | st.just("json") | st.just({"schema": {"type": "object"}})),
        draft=reference if is_draft else None,
        graders=tuple(draw(st.lists(GRADERS, max_size=3))),
        tools=tuple(draw(st.lists(OBJECTS, max_size=2))),
        params=draw(OBJECTS),
        variables=draw(OBJECTS),
        metadata=draw(OBJECTS),
        source=draw(OBJECTS),
    )


@st.composite
def suites(draw: st.DrawFn) -> Suite:
    """A suite of some cases, with graders of its own."""
    found = tuple(draw(cases(number)) for number in range(1, draw(st.integers(1, 3)) + 1))
    return Suite("s", found, tuple(draw(st.lists(GRADERS, max_size=1))))


def graders(case: EvalCase, named: Sequence[Mapping[str, Any]], lost: Collection[str]) -> list[Mapping[str, Any]]:
    """Graders but for the kinds that were named as lost; one that compares with the reference says with what."""
    return [in_words(case, one) for one in named if f"grader {one['type']}" not in lost]


def in_words(case: EvalCase, one: Mapping[str, Any]) -> Mapping[str, Any]:
    """A grader with what it compares with."""
    if one["type"] != "contains" or {"value", "values"} & one.keys():
        return one
    texts = case.reference
    return {**one, **({"values": texts, "mode": "all"} if isinstance(texts, list) else {"value": texts})}


@pytest.mark.slow
@pytest.mark.parametrize("target", Target)
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],  # a suite is too large to be shrunk in a minute
    suppress_health_check=[HealthCheck.too_slow],
)
@given(suite=suites())
def test_any_suite_comes_back_as_it_was_but_for_what_is_named(target: Target, suite: Suite) -> None:
    """Nothing goes in silence on the way there and back."""
    exported = EXPORTERS[target](suite)
    lost = {loss.what for loss in exported.not_carried}

    found = back(exported)

    assert [case.id for case in suite.cases] == [case.id for case in found]
    for before, after in zip(suite.cases, found, strict=True):
        own = lost if target is Target.PROMPTFOO else ()  # an export to Inspect has the whole case beside the sample
        assert graders(before, suite.graders_of(before), own) == graders(before, after.graders, own)
        messages = before.messages if "{{ in a text" not in lost else after.messages
        assert replace(before, graders=(), messages=messages) == replace(after, graders=())
