"""YAML as far as every reader of it agrees."""

import pytest

from midshift import config
from midshift.config import tree
from midshift.config.problems import Place, Report
from midshift.config.tree import Ambiguous, Fields, Scalar
from tests.config.texts import FILES, having


def scalar(text: str) -> object:
    """What a value means."""
    report = Report()
    root = tree.read("f.yaml", f"a: {text}\n", report)
    assert [] == report.problems
    assert isinstance(root, Fields)
    value = root.get("a")
    assert isinstance(value, Scalar)
    return tree.resolve(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-7", -7),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("'7'", "7"),
        ('"true"', "true"),
        ("''", ""),
        ("nothing", "nothing"),
        ("1.2.3", "1.2.3"),
        ("2d", "2d"),
        ("25%", "25%"),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_a_plain_scalar_is_what_yaml_1_2_and_json_take_it_for(text: str, value: object) -> None:
    """So that a file means the same in an editor, in another language, and here."""
    found = scalar(text)

    assert (value, type(value)) == (found, type(found))


@pytest.mark.parametrize(
    "text",
    "yes No on OFF y n 010 0x10 0o7 0b1 1_000 1:30 190:20:30 2024-01-01 2024-01-01T10:00:00 .inf -.INF .nan".split()
    + ["9223372036854775808", "1" * 60, "1e999"],
)
def test_what_readers_of_yaml_disagree_on_is_told_apart(text: str) -> None:
    """Norway's `no` as a stop word became false elsewhere, and a version 010 became 8."""
    found = scalar(text)

    assert isinstance(found, Ambiguous)
    assert text == found


def test_where_text_is_expected_such_a_word_is_text() -> None:
    """`language: no` is Norwegian, and nothing else could be meant there."""
    files = {**FILES, "midshift.yaml": FILES["midshift.yaml"].replace("{}", "{when: {language: no}}")}

    assert "no" in str(config.parse(files).workloads["support"].workload.rules)


def test_an_anchor_may_spare_repetition() -> None:
    """Bounded, an alias is only a short way to write something twice."""
    files = having("upgrade: {holds: &holds [7d, 7d, 7d]}", "data: {regions: *holds}")

    assert ("7d", "7d", "7d") == config.parse(files).workloads["support"].workload.data.regions


def test_a_problem_with_an_aliased_value_is_where_it_is_used() -> None:
    """The anchored value may be right where it stands."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.parse(having("suite: &s suites/a.jsonl", "cycle: *s"))

    assert [Place("midshift.yaml", 8, 12)] == [problem.place for problem in refused.value.problems]


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_what_windows_adds_to_a_file_changes_nothing(change: object) -> None:
    """A byte-order mark and carriage returns come with the editor, not with a decision."""
    assert callable(change)
    changed = {name: change(text) for name, text in FILES.items()}

    assert config.parse(FILES) == config.parse(changed)


def test_columns_are_counted_in_characters() -> None:
    """An editor jumps to them."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.parse(having("runbook: 'dökü/ö.md'", "data: {regions: ['ö', 'é é']}"))

    assert [Place("midshift.yaml", 8, 22), Place("midshift.yaml", 8, 27)] == [p.place for p in refused.value.problems]
