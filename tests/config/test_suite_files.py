"""A suite in YAML: what holds for all cases, and every problem with its place."""

import pytest

from midshift.config.problems import InvalidConfig
from midshift.config.suite_files import load
from midshift.domain.suite import Margin, SliceRole
from midshift.errors import InputError

CASES = '{"id": 1, "slice": "german", "messages": [{"role": "user", "content": "Hallo"}]}\n'
YAML = """\
name: support
graders: [{type: contains}]
cases: a.jsonl
slices: {german: {role: watch, margin: 3pt}}
defaults: {expects: json, params: {max_tokens: 4}, system: Be kind.}
"""


def test_what_holds_for_all_cases_is_said_once() -> None:
    """Graders, slices, and what a case has unless it says otherwise."""
    suite = load("suites/s.yaml", {"suites/s.yaml": YAML, "suites/a.jsonl": CASES}.get)

    assert ("support", ({"type": "contains"},)) == (suite.name, suite.graders)
    assert (SliceRole.WATCH, Margin(3.0)) == (suite.slices["german"].role, suite.slices["german"].margin)
    assert "json" == suite.cases[0].expects
    assert ["system", "user"] == [message["role"] for message in suite.cases[0].messages]
    assert {"max_tokens": 4} == suite.cases[0].params


def test_cases_may_stand_in_the_yaml() -> None:
    """For suites that are written by hand."""
    text = "cases:\n- {id: 1, slice: [a, b], messages: [{role: user, content: 'yes'}]}\n"

    assert ("a", "b") == load("s.yaml", {"s.yaml": text}.get).cases[0].slices


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        ("cases: a.jsonl\ngradrs: []\n", "s.yaml:2:1", "gradrs"),
        ("cases: a.jsonl\nslices: {german: {role: wach}}\n", "s.yaml:2:25", "wach"),
        ("cases: a.jsonl\nslices: {french: {}}\n", "s.yaml:2:10", "french"),
        ("cases: a.jsonl\nslices: {german: {margin: 0pt}}\n", "s.yaml:2:27", "a margin of 0pt"),
        ("cases: a.jsonl\nslices: {german: {margin: 101pt}}\n", "s.yaml:2:27", "101pt"),
        ("cases: a.jsonl\nslices: {german: {margin: 2}}\n", "s.yaml:2:27", "expected points"),
        ("cases: a.jsonl\ngraders: [{name: x}]\n", "s.yaml:2:11", "without a type"),
        ("cases: ../../etc/passwd\n", "s.yaml:1:8", "passwd"),
        ("cases: b.jsonl\n", "s.yaml:1:8", "no such file"),
        ("cases:\n- {id: 1, messages: []}\n", "s.yaml:2:3", "at least one message"),
        ("cases:\n- 7\n", "s.yaml:2:3", "no mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, place: str, found: str) -> None:
    """The file, the line, the column, and what was found there."""
    with pytest.raises(InvalidConfig) as raised:
        load("s.yaml", {"s.yaml": text, "a.jsonl": CASES}.get)

    assert place in str(raised.value)
    assert found in str(raised.value)


def test_a_suite_that_is_not_there_is_refused_with_the_command_that_builds_one() -> None:
    """R0.1."""
    with pytest.raises(InputError, match="midshift suite build"):
        load("s.jsonl", lambda path: None)
