"""promptfoo's configurations and results as cases: data is carried, code is listed and never run."""

import json

import pytest

from midshift.errors import InputError
from tests.evals.importers.imports import a_result, imported, lost

CONFIG = """\
prompts:
- id: chat
  label: chat
  raw: '[{"role": "system", "content": "Be {{tone}}."}, {"role": "user", "content": "{{q}}"}]'
- "Plain {{q}}"
providers: [openai:gpt-5]
defaultTest:
  vars: {tone: kind}
  assert: [{type: not-contains, value: sorry}]
tests:
- vars: {q: 'Say "yes", {{tone}}'}
  description: quoted
  assert: [{type: contains, value: "{{tone}}", weight: 2, metric: acc}]
  metadata: {slice: words, author: ann}
- vars: {q: [one, two]}
  assert: [{type: assert-set, threshold: 0.5, assert: [{type: equals, value: one}]}]
- file://t.csv
"""
CSV = """\
q,__expected,__metadata:slice,__metadata:tags[],__description
hello,"icontains-all: A, e",s,"x,y",first
w,bare,,,
"""


def test_a_configuration_becomes_cases_with_graders() -> None:
    """Templates, defaults, lists of values and CSV, as promptfoo itself expands them."""
    found = imported("promptfooconfig.yaml", CONFIG, {"t.csv": CSV})

    first, one, two, third, fourth = found.cases
    assert ["Be kind.", 'Say "yes", kind'] == [message["content"] for message in first.messages]
    assert (("words",), {"author": "ann", "description": "quoted"}) == (first.slices, first.metadata)
    assert (
        {"type": "contains", "value": "sorry", "not": True},
        {"type": "contains", "value": "kind", "name": "acc", "weight": 2},
    ) == first.graders
    assert ["one", "two"] == [case.messages[1]["content"] for case in (one, two)]
    assert {"type": "contains", "values": ["A", "e"], "mode": "all", "ignore_case": True} == third.graders[1]
    assert {"slice": "s", "tags": ["x", "y"]} == {"slice": third.slices[0], "tags": third.metadata["tags"]}
    assert {"type": "equals", "value": "bare", "strip": False} == fourth.graders[1]
    assert {"providers", "prompt 'Plain {{q}}'", "assert-set"} == lost(found)


def test_the_prompt_can_be_chosen() -> None:
    """Prompts are compared as variants; a case has one."""
    found = imported("c.yaml", CONFIG, {"t.csv": CSV}, prompt="Plain {{q}}")

    assert 'Plain Say "yes", kind' == found.cases[0].messages[0]["content"]
    with pytest.raises(InputError, match="no prompt 'other'"):
        imported("c.yaml", CONFIG, prompt="other")


@pytest.mark.parametrize(
    ("assertion", "grader"),
    [
        ("{type: equals, value: {a: 1}}", {"type": "json_equal", "value": {"a": 1}}),
        ("{type: starts-with, value: Dear}", {"type": "starts_with", "value": "Dear"}),
        ("{type: regex, value: '(?<n>a)b{2}'}", {"type": "regex", "pattern": "(?P<n>a)b{2}"}),
        ("{type: is-json}", {"type": "json"}),
        ("{type: is-json, value: {type: object}}", {"type": "json_schema", "schema": {"type": "object"}}),
        ("{type: is-json, value: file://s.json}", {"type": "json_schema", "schema": {"type": "array"}}),
        ("{type: word-count, value: {max: 9}}", {"type": "length", "max_words": 9}),
        ("{type: contains-any, value: 'a, b'}", {"type": "contains", "values": ["a", "b"], "mode": "any"}),
        ("{type: not-icontains, value: X}", {"type": "contains", "value": "X", "ignore_case": True, "not": True}),
        ("{type: llm-rubric, value: kind, threshold: 0.7}", {"type": "rubric", "rubric": "kind", "threshold": 0.7}),
        ("{type: select-best, value: shorter}", {"type": "pairwise", "criterion": "shorter"}),
    ],
)
def test_an_assertion_becomes_the_grader_that_means_the_same(assertion: str, grader: dict[str, object]) -> None:
    """What is carried must score as before."""
    text = f"prompts: [hi]\ntests: [{{assert: [{assertion}]}}]\n"

    assert (grader,) == imported("c.yaml", text, {"s.json": '{"type": "array"}'}).cases[0].graders


@pytest.mark.parametrize(
    "assertion",
    [
        "{type: javascript, value: 'process.exit(1)'}",
        "{type: python, value: file://check.py}",
        "{type: webhook, value: 'https://example.com'}",
        "{type: similar, value: x}",
        "{type: contains, value: file://check.js}",
        "{type: contains, value: x, transform: output.trim()}",
        "{type: contains, value: '{{ q | upper }}'}",
        "{type: regex, value: '(['}",
        "{type: contains, value: {a: b}}",
        "{value: x}",
    ],
)
def test_what_has_no_grader_of_the_same_meaning_is_listed_and_not_carried(assertion: str) -> None:
    """Least of all code: an import runs nothing."""
    found = imported("c.yaml", f"prompts: [hi]\ntests: [{{assert: [{assertion}]}}]\n", {"check.py": "", "check.js": ""})

    assert () == found.cases[0].graders
    assert 1 == len(found.not_carried)


def test_a_test_that_changes_the_answer_first_carries_no_grader() -> None:
    """Its assertions would be put to another text than promptfoo put them to."""
    text = "prompts: [hi]\ntests: [{options: {transform: output.x}, assert: [{type: contains, value: a}]}]\n"

    found = imported("c.yaml", text)

    assert (() == found.cases[0].graders, {"options.transform"}) == (True, lost(found))


@pytest.mark.parametrize(
    "named", ["file://gen.py:tests", "huggingface://datasets/x", "https://sheet", "../../etc/passwd"]
)
def test_tests_that_are_code_or_elsewhere_are_listed(named: str) -> None:
    """Nothing is run, fetched, or read from outside of the folder."""
    found = imported("c.yaml", f"prompts: [hi]\ntests: ['{named}', {{vars: {{}}}}]\n")

    assert (1, {f"tests {named!r}"}) == (len(found.cases), lost(found))


def test_a_prompt_that_is_more_than_variables_is_not_guessed() -> None:
    """The result file has it rendered, and the message says so."""
    with pytest.raises(InputError, match="more than a variable"):
        imported("c.yaml", "prompts: ['{% if a %}b{% endif %}']\ntests: [{vars: {a: 1}}]\n")
    with pytest.raises(InputError, match=r"results\.json"):
        imported("c.yaml", "prompts: [file://prompt.js]\ntests: [{vars: {a: 1}}]\n", {"prompt.js": "x"})


def test_scenarios_are_every_configuration_with_every_test() -> None:
    """As promptfoo runs them."""
    text = (
        "prompts: ['{{a}} {{b}}']\nscenarios: [{config: [{vars: {a: 1}}, {vars: {a: 2}}], tests: [{vars: {b: 3}}]}]\n"
    )

    assert ["1 3", "2 3"] == [case.messages[0]["content"] for case in imported("c.yaml", text).cases]


def test_results_give_the_prompts_as_they_were_rendered() -> None:
    """Whatever templates made them; all tests with one and the same prompt, in the order of the tests."""
    rows = [
        a_result(1, 1, "B"),
        a_result(0, 1, "b"),
        a_result(1, 0, "A"),
        a_result(0, 0, '[{"role": "user", "content": "a"}]'),
    ]

    found = imported("out.json", json.dumps({"evalId": "e", "results": {"version": 3, "results": rows}}))

    assert ["a", "A"] == [case.messages[0]["content"] for case in found.cases]
    assert ["test 0", "test 1"] == [case.id for case in found.cases]
    assert ({"type": "contains", "value": "x"},) == found.cases[0].graders
    assert {"prompt 'p1'"} == lost(found)
