"""What is exported comes back when it is imported, and what another tool has no words for is listed."""

import pytest

from midshift.evals.exporters import EXPORTERS, Exported, Target
from midshift.evals.importers import File, Options, import_file
from midshift.evals.suite_file import EvalCase, Suite, case_of

TURNS = [
    {"role": "developer", "content": "Be kind."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        ],
    },
    {
        "role": "assistant",
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}],
    },
    {"role": "tool", "tool_call_id": "1", "content": "a cat"},
]
FULL = {
    "id": "a",
    "messages": TURNS,
    "slice": ["x", "y"],
    "cluster": "k",
    "weight": 2.0,
    "reference": {"cat": [1]},
    "expects": "json",
    "graders": [
        {"type": "contains", "values": ["p", "q"], "mode": "any", "ignore_case": True},
        {"type": "json_equal", "value": {"cat": [1]}, "name": "same", "weight": 2},
        {"type": "equals", "value": "x", "strip": False, "not": True},
        {"type": "length", "max_words": 9},
        {"type": "rubric", "rubric": "kind", "threshold": 0.5},
    ],
    "tools": [{"type": "function", "function": {"name": "look"}}],
    "params": {"seed": 3},
    "variables": {"v": 1},
    "metadata": {"m": "n"},
    "source": {"system": "trace"},
}
DRAFT = {
    "id": "b",
    "messages": [{"role": "user", "content": "hé"}],
    "slice": "x",
    "reference": "so",
    "reference_status": "draft",
}
SUITE = Suite("s", (case_of(FULL, 1), case_of(DRAFT, 2)))


def back(exported: Exported) -> tuple[EvalCase, ...]:
    """The cases of what was exported."""
    ((name, held),) = exported.files.items()
    return import_file(File(name, held), None, Options())[1].cases


@pytest.mark.parametrize("target", Target)
def test_a_suite_comes_back_as_it_was(target: Target) -> None:
    """Turns, slices, clusters, graders, and above all: a draft is still a draft."""
    assert SUITE.cases == back(EXPORTERS[target](SUITE))


def test_what_promptfoo_has_no_words_for_is_listed() -> None:
    """A suite that grades less elsewhere must say so."""
    graders = ({"type": "tool_calls", "calls": []}, {"type": "equals", "value": "x"}, {"type": "contains"})
    case = case_of({"id": "a", "messages": [{"role": "user", "content": "{{x}}"}], "params": {"seed": 1}}, 1)

    lost = {loss.what for loss in EXPORTERS[Target.PROMPTFOO](Suite("s", (case,), graders)).not_carried}

    expected = {"grader tool_calls", "grader equals", "grader contains", "{{ in a text", "params", "providers"}
    assert expected == lost


def test_a_sample_that_was_edited_in_inspect_keeps_the_edit() -> None:
    """What we noted beside it must not overrule a person."""
    exported = EXPORTERS[Target.INSPECT](SUITE)
    held = exported.files["dataset.jsonl"].replace(
        b'"input":[{"role":"user","content":"h\xc3\xa9"', b'"input":[{"role":"user","content":"ho"'
    )

    assert "ho" == back(Exported({"dataset.jsonl": held}))[1].messages[0]["content"]
