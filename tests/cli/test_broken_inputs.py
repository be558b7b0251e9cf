"""Broken inputs, each with its exact message and place.

Three things can happen to one: the command refuses (a message on stderr, exit code 2), it finds nothing to judge (exit
code 3, and the report says why), or it goes on without what is broken. Whatever is left out is counted and named with
its line; nothing is dropped in silence, and nothing missing becomes a zero.
"""

import codecs
import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from midshift.cli import main
from midshift.cli.compare import EXIT_CODES, Options, compare
from midshift.reports.comparison import document
from midshift.testing import ManualClock
from tests.builders import NEW, OLD, a_row, an_output, lines_of

GOOD = lines_of(a_row(f"good-{number}") for number in range(6))
BROKEN_AT = 4
HUGE = 10**400


def around(*lines: bytes | dict[str, Any]) -> bytes:
    """Six good rows with the broken lines in their middle, from line 4 on."""
    broken = [line if isinstance(line, bytes) else lines_of([line])[0] for line in lines]
    return b"".join([*GOOD[: BROKEN_AT - 1], *(line.rstrip(b"\n") + b"\n" for line in broken), *GOOD[BROKEN_AT - 1 :]])


def broken(**fields: object) -> dict[str, Any]:
    """A row that is good but for these fields."""
    return {**a_row("broken"), **fields}


def answering(output: object) -> dict[str, Any]:
    """A row that is good but for the candidate's output."""
    return {**a_row("broken"), "outputs": {OLD: an_output(), NEW: output}}


def without(field: str) -> dict[str, Any]:
    """A row that lacks a field."""
    return {name: value for name, value in a_row("broken").items() if name != field}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the input lies."""
    return tmp_path / "rows.jsonl"


def run(file: Path, *options: str) -> int:
    """The command line, in this process."""
    names = [] if {"--incumbent", "--candidate"} & set(options) else ["--incumbent", OLD, "--candidate", NEW]
    return main.run(["compare", str(file), *names, *options])


def compared(file: Path, **options: Any) -> dict[str, Any]:
    """The comparison as JSON."""
    return document(compare(Options(file, OLD, NEW, **options), ManualClock()))


def problems(report: dict[str, Any], unit: str = "lines") -> list[tuple[str, bool, int, list[int], str]]:
    """What the report says was wrong."""
    return [
        (item["reason"], item["excluded"], item["count"], item[unit], item["example"])
        for item in report["rows"]["problems"]
    ]


@dataclass(frozen=True)
class Row:
    """A broken row that is left out, and the words for it."""

    name: str
    line: bytes | dict[str, Any]
    reason: str
    example: str


LEFT_OUT = [
    Row(
        "broken JSON",
        b'{"id": "x" "outputs": {}}',
        "not_json",
        "JSON is malformed: expected ',' or '}' (byte 11); expected one JSON object a line",
    ),
    Row(
        "cut JSON",
        b'{"id": "x", "outp',
        "not_json",
        "JSON is malformed: invalid character (byte 17); expected one JSON object a line",
    ),
    Row(
        "two objects in a line",
        b"{} {}",
        "not_json",
        "JSON is malformed: trailing characters (byte 4); expected one JSON object a line",
    ),
    Row(
        "a line of CSV",
        b"id,old,new",
        "not_json",
        "JSON is malformed: invalid character (byte 0); expected one JSON object a line",
    ),
    Row("100,000 brackets", b"[" * 100_000, "not_json", "nested too deeply"),
    Row("100,000 levels", b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json", "nested too deeply"),
    Row("bare NaN", b"NaN", "not_an_object", "the line is NaN, expected a JSON object with id and outputs"),
    Row("a number", b"3", "not_an_object", "the line is 3, expected a JSON object with id and outputs"),
    Row("a list", b'["x"]', "not_an_object", 'the line is ["x"], expected a JSON object with id and outputs'),
    Row("a string", b'"x"', "not_an_object", 'the line is "x", expected a JSON object with id and outputs'),
    Row("null", b"null", "not_an_object", "the line is null, expected a JSON object with id and outputs"),
    Row(
        "a long list",
        json.dumps(["x"] * 100).encode(),
        "not_an_object",
        f"the line is {json.dumps(['x'] * 100)[:57]}..., expected a JSON object with id and outputs",
    ),
    Row("no UTF-8", b'{"id": "\xff"}', "not_utf8", "byte 9 of the line is not UTF-8"),
    Row(
        "no UTF-8 in a text",
        b'{"id": "x", "outputs": {"old": {"text": "caf\xe9"}, "new": {}}}',
        "not_utf8",
        "byte 45 of the line is not UTF-8",
    ),
    Row("half a character in bytes", b'{"id": "\xed\xa0\x80"}', "not_utf8", "byte 9 of the line is not UTF-8"),
    Row("no id", without("id"), "no_id", "no id, expected a string or a whole number"),
    Row("a null id", broken(id=None), "no_id", "no id, expected a string or a whole number"),
    Row("an empty id", broken(id=""), "no_id", 'the id is "", expected a string or a whole number'),
    Row("a fraction as id", broken(id=1.5), "no_id", "the id is 1.5, expected a string or a whole number"),
    Row("a truth as id", broken(id=True), "no_id", "the id is true, expected a string or a whole number"),
    Row("a list as id", broken(id=["x"]), "no_id", 'the id is ["x"], expected a string or a whole number'),
    Row("no outputs", without("outputs"), "no_outputs", "no outputs, expected an object from variant to output"),
    Row(
        "outputs as a list",
        broken(outputs=[1]),
        "no_outputs",
        "outputs is [1], expected an object from variant to output",
    ),
    Row(
        "outputs as a string",
        broken(outputs="old"),
        "no_outputs",
        'outputs is "old", expected an object from variant to output',
    ),
    Row(
        "no incumbent output",
        broken(outputs={NEW: an_output()}),
        "no_incumbent_output",
        "no output of 'old', only of [\"new\"]",
    ),
    Row(
        "no candidate output",
        broken(outputs={OLD: an_output(), "third": {}}),
        "no_candidate_output",
        'no output of \'new\', only of ["old", "third"]',
    ),
    Row("no output at all", broken(outputs={}), "no_incumbent_output", "no output of 'old', nor of any other"),
    Row(
        "an output as a string",
        answering("Hello"),
        "bad_candidate_output",
        'the output is "Hello", expected an object',
    ),
    Row("a number as text", answering({"text": 5}), "bad_candidate_text", "text is 5, expected a string or null"),
    Row(
        "a list as text",
        answering({"text": ["a"]}),
        "bad_candidate_text",
        'text is ["a"], expected a string or null',
    ),
    Row(
        "an object as text",
        answering({"text": {"a": 1}}),
        "bad_candidate_text",
        'text is {"a": 1}, expected a string or null',
    ),
    Row(
        "an incumbent's truth as text",
        broken(outputs={OLD: {"text": True}, NEW: an_output()}),
        "bad_incumbent_text",
        "text is true, expected a string or null",
    ),
    Row("weight 0", broken(weight=0), "bad_weight", "weight is 0, expected a number above 0"),
    Row("a negative weight", broken(weight=-2), "bad_weight", "weight is -2, expected a number above 0"),
    Row("weight NaN", broken(weight=float("nan")), "bad_weight", "weight is NaN, expected a number above 0"),
    Row("a string as weight", broken(weight="2"), "bad_weight", 'weight is "2", expected a number above 0'),
    Row("a truth as weight", broken(weight=True), "bad_weight", "weight is true, expected a number above 0"),
    Row(
        "a weight beyond any sum",
        broken(weight=1e300),
        "bad_weight",
        "weight is 1e+300, expected a number above 0 (and from 1e-100 to 1e+100)",
    ),
    Row("a number as slice", broken(slice=5), "bad_slice", "slice is 5, expected a string or an array of strings"),
    Row(
        "a number among slices",
        broken(slice=["a", 5]),
        "bad_slice",
        'slice is ["a", 5], expected a string or an array of strings',
    ),
    Row(
        "an object as slice",
        broken(slice={"a": 1}),
        "bad_slice",
        'slice is {"a": 1}, expected a string or an array of strings',
    ),
    Row("an id again", a_row("good-0"), "duplicate_id", "id 'good-0' again; trials need a `trial`"),
]


@pytest.mark.parametrize("case", LEFT_OUT, ids=lambda case: case.name)
def test_a_row_that_cannot_be_used_is_counted_and_named_with_its_line(case: Row, file: Path) -> None:
    """The six others are judged as if it were not there: it is neither a zero nor a reason to give up."""
    file.write_bytes(around(case.line))

    report = compared(file)

    assert [(case.reason, True, 1, [BROKEN_AT], case.example)] == problems(report)
    assert (7, 6, {case.reason: 1}) == tuple(report["rows"][name] for name in ("read", "paired", "excluded"))
    assert {(6, 1.0, 1.0)} == {(item["n"], item["incumbent"], item["candidate"]) for item in report["slices"]}


def test_a_last_line_that_was_cut_is_named_although_no_newline_follows(file: Path) -> None:
    """A run that was killed ends like this, and one row less can go unnoticed for ever."""
    file.write_bytes(around() + b'{"id": "x", "outputs": {"old": {"te')

    report = compared(file)

    assert [("not_json", True, 1, [7], "Input data was truncated; expected one JSON object a line")] == problems(report)


def test_an_id_and_trial_again_is_named_and_other_trials_stay(file: Path) -> None:
    """The second of two equal keys could be the corrected one or a mistake: the user has to say."""
    file.write_bytes(around(*(a_row("good-0", trial=trial) for trial in (1, 1, 2))))

    report = compared(file)

    assert [("duplicate_id", True, 1, [5], "id 'good-0' again; trials need a `trial`")] == problems(report)
    assert (8, 6) == (report["rows"]["paired"], report["slices"][0]["n"])


def test_a_line_beyond_64_mb_is_named_and_the_next_one_read(file: Path) -> None:
    """A file without line breaks must not fill the memory, nor hide the rows behind it."""
    with file.open("wb") as out:
        out.writelines([*GOOD[:3], b'{"id": "', *[b"x" * (1 << 20)] * 65, b'"}\n', *GOOD[3:]])

    report = compared(file)

    assert [("line_too_long", True, 1, [4], "more than 64 MB in one line")] == problems(report)
    assert 6 == report["rows"]["paired"]


@dataclass(frozen=True)
class Value:
    """A broken value in a row that stays: what is noted, and how many cases still have the score."""

    name: str
    line: bytes | dict[str, Any]
    noted: list[tuple[str, str]]
    scored: int = 7


NOTED = [
    *(
        Value(
            f"score {shown}",
            answering({"text": "x", "scores": {"s": value}}),
            [("candidate_bad_score", f"score 's' is {shown}, expected a number or null")],
            scored=6,
        )
        for value, shown in (
            (float("nan"), "NaN"),
            (float("inf"), "Infinity"),
            (float("-inf"), "-Infinity"),
            ("1", '"1"'),
            ([1], "[1]"),
            ({"value": 1}, '{"value": 1}'),
            (HUGE, f"1{'0' * 56}..."),
        )
    ),
    Value(
        "score 1e999",
        b'{"id": "x", "slice": "a", "outputs": {"old": {"text": "a", "scores": {"s": 1}},'
        b' "new": {"text": "b", "scores": {"s": 1e999}}}}',
        [("candidate_bad_score", "score 's' is Infinity, expected a number or null")],
        scored=6,
    ),
    *(
        Value(
            f"scores {shown}",
            answering({"text": "x", "scores": value}),
            [("candidate_bad_score", f"scores is {shown}, expected an object from name to number")],
            scored=6,
        )
        for value, shown in ((1, "1"), ([1], "[1]"), ("good", '"good"'), (True, "true"))
    ),
    Value("a null score", answering({"text": "x", "scores": {"s": None}}), [], scored=6),
    Value("no scores", answering({"text": "x"}), [], scored=6),
    *(
        Value(
            f"{name} {shown}",
            answering(an_output(**{name: value})),
            [(f"candidate_bad_{name}", f"{name} is {shown}, expected a number from 0 up")],
        )
        for name, value, shown in (
            ("latency_s", -0.5, "-0.5"),
            ("latency_s", float("nan"), "NaN"),
            ("latency_s", "1.2 s", '"1.2 s"'),
            ("ttft_s", float("inf"), "Infinity"),
            ("cost_usd", -1, "-1"),
            ("cost_usd", "$1", '"$1"'),
            ("tokens_in", True, "true"),
            ("tokens_out", HUGE, f"1{'0' * 56}..."),
            ("tokens_reasoning", [3], "[3]"),
        )
    ),
    Value(
        "a latency beyond any mean",
        answering(an_output(latency_s=1e308)),
        [("candidate_bad_latency_s", "latency_s is 1e+308, expected a number from 0 up (and to 1e+100)")],
    ),
    Value(
        "tool calls as an object",
        answering(an_output(tool_calls={"name": "f"})),
        [("candidate_bad_tool_calls", 'tool_calls is {"name": "f"}, expected an array')],
    ),
    Value(
        "a fraction as cluster",
        broken(cluster=1.5),
        [("bad_cluster", "cluster is 1.5, expected a string or a whole number")],
    ),
    Value(
        "a list as cluster",
        broken(cluster=["c"]),
        [("bad_cluster", 'cluster is ["c"], expected a string or a whole number')],
    ),
    Value(
        "a truth as trial",
        broken(trial=True),
        [("bad_trial", "trial is true, expected a string or a whole number")],
    ),
    Value("slice *", broken(slice="*"), [("unnamed_slice", "slice is \"*\"; a slice needs a name other than '*'")]),
    Value(
        "no slice name", broken(slice=" "), [("unnamed_slice", "slice is \" \"; a slice needs a name other than '*'")]
    ),
    Value("no slice", without("slice"), []),
    Value(
        "expects as a number", broken(expects=5), [("bad_expects", 'expects is 5, expected "json" or {"schema": ...}')]
    ),
    Value(
        "expects XML",
        broken(expects="xml"),
        [("bad_expects", 'expects is "xml", expected "json" or {"schema": ...}')],
    ),
    Value(
        "a list as schema",
        broken(expects={"schema": [1]}),
        [("bad_expects", 'expects is {"schema": [1]}, expected "json" or {"schema": ...}')],
    ),
    Value("half a character as an escape", answering(an_output(text="\ud800")), []),
    Value("a byte order mark in a text", answering(an_output(text="\ufeffHello")), []),
]


@pytest.mark.parametrize("case", NOTED, ids=lambda case: case.name)
def test_a_value_that_cannot_be_used_costs_itself_and_not_its_row(case: Value, file: Path) -> None:
    """The row's other values are as good as before, and the mean is over the scores that there are."""
    file.write_bytes(around(case.line))

    report = compared(file)

    assert [(reason, False, 1, [BROKEN_AT], example) for reason, example in case.noted] == problems(report)
    assert (7, 7, {}) == tuple(report["rows"][name] for name in ("read", "paired", "excluded"))
    score = report["slices"][0]
    assert ("s", case.scored, 1.0, 1.0) == tuple(score[name] for name in ("score", "n", "incumbent", "candidate"))


UNANSWERED: list[tuple[str, object, str]] = [
    ("null", None, "the output is null"),
    ("null", {"text": None}, "text is null"),
    ("null", {"scores": {}}, "text is null"),
    ("empty", {"text": " \n"}, 'text is " \\n"'),
    ("error", {"text": None, "error": {"kind": "timeout"}}, 'error is {"kind": "timeout"}'),
    ("blocked", {"text": "API Error: blocked by \x1b[2J"}, 'text is "API Error: blocked by \\u001b[2J"'),
]


@pytest.mark.parametrize(("reason", "output", "example"), UNANSWERED)
def test_a_missing_answer_is_no_score_and_counts_as_unanswered(
    reason: str, output: object, example: str, file: Path
) -> None:
    """Availability has a gate of its own; in the quality gate, nobody graded this."""
    file.write_bytes(around(answering(output)))

    report = compared(file, error_text="^API Error")

    assert [(f"candidate_{reason}_answer", False, 1, [BROKEN_AT], example)] == problems(report)
    found = {item["score"]: (item["n"], item["candidate"]) for item in report["slices"] if item["slice"] == "*"}
    assert {"s": (6, 1.0), "answered": (7, pytest.approx(6 / 7))} == found


@pytest.mark.parametrize("text", ["{}", "no JSON"])
@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "nope"}, "not a JSON Schema: 'nope' is not valid under any of the given schemas"),
        ({"pattern": "("}, "not a JSON Schema: '(' is not a 'regex'"),
        ({"$schema": 5}, "not a JSON Schema: $schema is 5, expected the address of a dialect"),
    ],
)
def test_a_schema_that_is_none_is_named_and_grades_nothing(schema: object, example: str, text: str, file: Path) -> None:
    """The answers are not to blame for it, whether they are JSON or not."""
    row = {**a_row("broken", an_output(text=text), an_output(text=text)), "expects": {"schema": schema}}
    file.write_bytes(around(row))

    report = compared(file)

    assert [("bad_schema", False, 2, [4, 4], example)] == problems(report)
    assert ["NO_DATA"] * 2 == [item["verdict"] for item in report["slices"] if item["score"] == "schema"]


def test_a_schema_elsewhere_is_not_fetched(file: Path) -> None:
    """A file under test must not make this machine talk to another one; sockets are closed in these tests."""
    address = "http://127.0.0.1:9/schema.json"
    row = {**a_row("broken", an_output(text="{}"), an_output(text="{}")), "expects": {"schema": {"$ref": address}}}
    file.write_bytes(around(row))

    report = compared(file)

    expected = f"the schema cannot be applied: _WrappedReferencingError: Unresolvable: {address}"
    assert [("bad_schema", False, 2, [4, 4], expected)] == problems(report)


def test_a_mark_to_skip_by_that_is_not_true_or_false_is_noted_and_skips_nothing(file: Path) -> None:
    """Whether "yes" means yes is for the owner of the file to say."""
    file.write_bytes(around(broken(leave_out="yes"), {**a_row("other"), "leave_out": True}))

    report = compared(file, skip="leave_out")

    assert [
        ("bad_skip", False, 1, [4], 'leave_out is "yes", expected true or false; not skipped'),
        ("skipped", True, 1, [5], "leave_out is true"),
    ] == problems(report)


@dataclass(frozen=True)
class Refused:
    """An input that the command refuses; FILE in the message stands for the file's path."""

    name: str
    content: bytes
    message: str
    options: tuple[str, ...] = ()


REFUSED = [
    Refused(
        "a variant that is misspelt",
        around(),
        "--candidate 'nwe' is not in FILE; did you mean 'new'? variants here: 'old', 'new'",
        ("--incumbent", "old", "--candidate", "nwe"),
    ),
    Refused(
        "a variant that is like no other",
        around(),
        "--incumbent 'gpt' is not in FILE; variants here: 'old', 'new'",
        ("--incumbent", "gpt", "--candidate", "new"),
    ),
    Refused(
        "one variant twice",
        around(),
        "--incumbent and --candidate are both 'old'; name two variants to compare",
        ("--incumbent", "old", "--candidate", "old"),
    ),
    Refused(
        "two variants that never met",
        b"".join(lines_of([broken(id=1, outputs={OLD: an_output()}), broken(id=2, outputs={NEW: an_output()})])),
        "no row of FILE has outputs of both 'old' and 'new'; a comparison needs the same cases answered by both",
    ),
    Refused(
        "a score that is not there",
        around(),
        "--score 'accuracy' is not in FILE; scores of these two variants: 's'",
        ("--score", "accuracy"),
    ),
    Refused(
        "a score where there is none",
        b"".join(lines_of([a_row(1, {"text": "a"}, {"text": "b"})])),
        "--score 's' is not in FILE; scores of these two variants: none",
        ("--score", "s"),
    ),
    Refused(
        "a score twice",
        around(),
        "--score 's' is given twice; give each score once",
        ("--score", "s", "--score", "s:0..2"),
    ),
    Refused(
        "no score name",
        around(),
        "--score ' ': expected NAME or NAME:LO..HI, for example --score judge:1..10",
        ("--score", " "),
    ),
    *(
        Refused(
            f"score range {text}",
            around(),
            f"--score {text!r}: expected a range of two numbers, for example --score judge:1..10",
            ("--score", text),
        )
        for text in ("s:1..", "s:..10", "s:one..ten", "s:nan..1", "s:1...10")
    ),
    Refused(
        "a range that runs backwards",
        around(),
        "--score 's:10..1': a range needs two finite ends, low below high, got 10.0..1.0",
        ("--score", "s:10..1"),
    ),
    Refused(
        "a range of one value",
        around(),
        "--score 's:1..1': a range needs two finite ends, low below high, got 1.0..1.0",
        ("--score", "s:1..1"),
    ),
    Refused(
        "a score above its range",
        around(a_row("broken", 1, 7)),
        "score 's' is 7 at line 4, outside its range 0..1. Declare the range that its grader can give, "
        "for example --score s:0..7 (values here: 1..7)",
    ),
    Refused(
        "a score below its range",
        around(a_row("broken", -0.5, 1)),
        "score 's' is -0.5 at line 4, outside its range 0..1. Declare the range that its grader can give, "
        "for example --score s:-1..1 (values here: -0.5..1)",
    ),
    *(
        Refused(
            f"margin {text}",
            around(),
            f"--margin {text!r}: expected a margin in points of the score's range, like 2pt, got {text!r}",
            (f"--margin={text}",),
        )
        for text in ("2%", "two", "", "-1", "nan", "1e-3")
    ),
    *(
        Refused(
            f"margin {text}",
            around(),
            f"--margin {text!r}: a margin lies above 0pt and at most at 100pt, got {text.removesuffix('pt')}pt",
            ("--margin", text),
        )
        for text in ("0", "101pt")
    ),
    *(
        Refused(
            f"look {text[:9]}",
            around(),
            f"--look {text!r}: expected K/N, for example --look 2/3 for the second of three planned looks, "
            "or 3/3+1 for the first one after them",
            (f"--look={text}",),
        )
        for text in ("2", "second", "2/", "-1/2", "1/1000000", "1/" + "9" * 400)
    ),
    *(
        Refused(
            f"look {number} of {planned}",
            around(),
            f"--look '{number}/{planned}': look {number} of {planned}: expected 1 <= look <= planned looks",
            ("--look", f"{number}/{planned}"),
        )
        for number, planned in ((3, 2), (0, 2), (1, 0))
    ),
    Refused(
        "a regular expression that is none",
        around(),
        "--error-text '(' is not a regular expression: missing ), unterminated subpattern at position 0",
        ("--error-text", "("),
    ),
    Refused(
        "an unknown expectation",
        around(),
        "--expect 'xml': expected json (a schema goes into the file, as `expects`)",
        ("--expect", "xml"),
    ),
    Refused(
        "skipping by a field with a meaning",
        around(),
        "--skip slice: expected a field of yours that marks rows to leave out, not one of "
        "['cluster', 'expects', 'id', 'outputs', 'slice', 'trial', 'weight']",
        ("--skip", "slice"),
    ),
    Refused(
        "skipping by a field that is not there",
        around(),
        "--skip 'chnaged': no row of FILE has this field; expected one that is true on the rows to leave out",
        ("--skip", "chnaged"),
    ),
    Refused(
        "skipping by an impossible name",
        around(),
        "--skip 'a\"b': expected a field name without quotes, backslashes and controls",
        ("--skip", 'a"b'),
    ),
    Refused(
        "watching a slice that is not there",
        around(),
        "--watch 'b' is not a slice of FILE; slices here: 'a'",
        ("--watch", "b"),
    ),
    Refused(
        "watching a slice where there is none",
        b"".join(lines_of([without("slice")])),
        "--watch 'b' is not a slice of FILE; slices here: none",
        ("--watch", "b"),
    ),
    Refused(
        "a page in no folder",
        around(),
        "cannot write 'nowhere/page.html': there is no folder 'nowhere'; expected a file name in a folder that exists",
        ("--html", "nowhere/page.html"),
    ),
    Refused(
        "a page for a folder",
        around(),
        "cannot write '.': it is a folder; expected a file name in a folder that exists",
        ("--html", "."),
    ),
    Refused(
        "an unknown option",
        around(),
        "No such option: --nope (Possible options: --score). Type next: midshift compare --help",
        ("--nope",),
    ),
    Refused(
        "an option without its value",
        around(),
        "Option '--look' requires an argument. Type next: midshift compare --help",
        ("--look",),
    ),
    Refused(
        "over 1000 slices",
        b"".join(lines_of(a_row(number, slice=f"s{number}") for number in range(1001))),
        "line 1001: more than 1000 different slices, latest ['s1000']. "
        "A slice is a kind of request with many cases; ids and texts belong in other fields",
    ),
    Refused(
        "UTF-16",
        around().decode().encode("utf-16"),
        "FILE is UTF-16; expected UTF-8. Type next: iconv -f UTF-16 -t UTF-8 FILE > utf8.jsonl",
    ),
    Refused(
        "UTF-16 without a mark",
        around().decode().encode("utf-16-le"),
        "FILE begins with a zero byte or two; expected UTF-8 text. Type next: file FILE",
    ),
    Refused("gzip", gzip.compress(around()), "FILE is gzip; expected text. Type next: gunzip -c < FILE > rows.jsonl"),
    Refused(
        "zip", b"PK\x03\x04" + bytes(20), "FILE is a zip archive; expected text. Type next: unzip -p FILE > rows.jsonl"
    ),
    Refused(
        "Parquet",
        b"PAR1" + bytes(20),
        "FILE is Parquet; expected text. Type next: python -c 'import pandas, sys; "
        'pandas.read_parquet(sys.argv[1]).to_json("rows.jsonl", orient="records", lines=True)\' FILE',
    ),
    Refused(
        "one JSON array",
        json.dumps([a_row(1), a_row(2)]).encode(),
        "FILE is one JSON array; expected one JSON object a line. Type next: jq -c '.[]' FILE > rows.jsonl",
    ),
    Refused(
        "an object over many lines",
        json.dumps(a_row(1), indent=2).encode(),
        "FILE is one JSON object over many lines, and not promptfoo's; expected one object a line. "
        "Type next: jq -c . FILE > rows.jsonl",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_what_cannot_be_compared_is_refused_with_the_way_out(
    case: Refused, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr: what was found, what was expected, what to type; and nothing that looks like a result."""
    file.write_bytes(case.content)

    code = run(file, *case.options)

    assert (2, "", f"midshift: {case.message.replace('FILE', str(file))}\n") == (code, *capsys.readouterr())


@dataclass(frozen=True)
class Nothing:
    """An input with nothing to judge, and the reason that the report gives."""

    name: str
    content: bytes
    reason: str


NOTHING = [
    Nothing("0 bytes", b"", "no data: FILE is empty (0 bytes); expected one JSON object a line"),
    Nothing(
        "only blank lines",
        b"\n \n\r\n\t\n",
        "no data: FILE holds no row, only blank lines; expected one JSON object a line",
    ),
    Nothing(
        "only a byte order mark",
        codecs.BOM_UTF8,
        "no data: FILE holds no row, only blank lines; expected one JSON object a line",
    ),
    Nothing(
        "a table of CSV",
        b"id,old,new\nx,a,b\n",
        "no data: none of 2 rows is usable; not_json: lines 1 and 2 "
        "(JSON is malformed: invalid character (byte 0); expected one JSON object a line)",
    ),
    Nothing(
        "rows without ids",
        b"".join(lines_of([without("id")] * 12)),
        "no data: none of 12 rows is usable; no_id: lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more "
        "(no id, expected a string or a whole number)",
    ),
    Nothing(
        "promptfoo without results",
        b'{"evalId": "e", "results": {"version": 3, "results": []}}',
        "no data: FILE holds no result; expected a promptfoo run with tests",
    ),
]


@pytest.mark.parametrize("case", NOTHING, ids=lambda case: case.name)
def test_a_file_without_a_usable_row_is_no_data_and_never_a_pass(
    case: Nothing, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty export must not open a gate; exit code 3 says that evidence is missing."""
    file.write_bytes(case.content)

    code = run(file, "--json")

    report = json.loads(capsys.readouterr().out)
    assert (3, "collect_more", case.reason.replace("FILE", str(file))) == (code, report["decision"], report["reason"])
    assert ([], [], 0) == (report["slices"], report["drift"], report["rows"]["paired"])


def test_rows_without_any_score_are_drift_only(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts alone show what changed, and cannot show that nothing got worse."""
    file.write_bytes(b"".join(lines_of(a_row(number, {"text": "a"}, {"text": "b"}) for number in range(300))))

    code = run(file, "--json")

    report = json.loads(capsys.readouterr().out)
    assert (3, "collect_more") == (code, report["decision"])
    assert "no score: drift alone cannot say whether answers got worse" == report["reason"]
    assert report["drift"]


def test_a_mark_of_utf8_and_windows_line_ends_are_no_fault(file: Path) -> None:
    """Half of the world's editors write them."""
    file.write_bytes(codecs.BOM_UTF8 + around().replace(b"\n", b"\r\n"))

    report = compared(file)

    assert ([], 6) == (problems(report), report["rows"]["paired"])


def test_a_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell completes to the folder first."""
    code = run(tmp_path)

    expected = (
        f"midshift: {tmp_path} is a folder; expected a file of paired outputs (JSON lines) or promptfoo results\n"
    )
    assert (2, "", expected) == (code, *capsys.readouterr())


def test_a_file_that_is_not_there_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, with where to look."""
    expected = f"{file}: found no such file or folder, expected one that is there. Type next: ls {file.parent}"
    assert (2, "", f"midshift: {expected}\n") == (run(file), *capsys.readouterr())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As above."""
    file.write_bytes(around())
    file.chmod(0)

    expected = f"midshift: {file}: Permission denied, expected to be let in. Type next: ls -ld {file}\n"
    assert (2, "", expected) == (run(file), *capsys.readouterr())


def test_a_pipe_is_refused_before_anything_waits_for_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file's form is told from its beginning, and then it is read: a pipe can be read only once."""
    os.mkfifo(file)

    expected = (
        f"midshift: {file} is a pipe or a device; expected a file, which can be read twice. Save it as one first\n"
    )
    assert (2, "", expected) == (run(file), *capsys.readouterr())


def test_a_broken_row_is_shown_on_the_terminal_as_well(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Most people never ask for the JSON."""
    file.write_bytes(around(b"{", answering({"text": None, "scores": {"s": None}})))

    assert 3 == run(file)

    words = " ".join(capsys.readouterr().out.split())
    assert "7 pairs of 8 rows; left out: 1 not JSON" in words
    assert "not JSON: 1, line 4 (Input data was truncated; expected one JSON object a line)" in words
    assert "candidate null answer: 1, line 5 (text is null)" in words


def test_the_report_on_a_broken_file_is_plain_ascii_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read it next, and what was wrong with the file is foreign text."""
    file.write_bytes(around(broken(id={"\x1b]0;owned\x07": "\u202e\u009b\ud800"}), broken(slice="\x1b[2J\u202e")))

    assert 3 == run(file, "--json")

    printed = capsys.readouterr().out
    assert printed.isascii()
    assert not {character for character in printed if not character.isprintable()} - {"\n"}
    assert ["no_id"] == [item["reason"] for item in json.loads(printed)["rows"]["problems"]]


def a_result(test: int, provider: str, score: object = 1, **fields: object) -> dict[str, object]:
    """One cell of promptfoo's table."""
    return {
        "testIdx": test,
        "promptIdx": 0 if provider == OLD else 1,
        "provider": {"id": "openai", "label": provider},
        "prompt": {"raw": "p", "label": "plain"},
        "vars": {"q": test},
        "response": {"output": "text"},
        "success": score == 1,
        "score": score,
        "failureReason": 0,
        **fields,
    }


def promptfoo(*extra: object) -> bytes:
    """A promptfoo document with six good tests and further results."""
    results = [a_result(test, provider) for test in range(6) for provider in (OLD, NEW)]
    return json.dumps({"evalId": "e", "results": {"version": 3, "results": [*results, *extra]}}).encode()


REFUSED_PROMPTFOO = [
    Refused(
        "another document",
        b'{"results": 5}',
        "not a promptfoo result file: Expected `object | array`, got `int` - at `$.results`. "
        "Expected the JSON that `promptfoo eval -o results.json` writes",
    ),
    Refused(
        "a document that was cut",
        promptfoo()[:-20],
        "not a promptfoo result file: Input data was truncated. "
        "Expected the JSON that `promptfoo eval -o results.json` writes",
    ),
    Refused(
        "--skip",
        promptfoo(),
        "--skip goes with paired outputs; promptfoo results have no such field",
        ("--skip", "changed"),
    ),
    Refused(
        "--skip with one result a line",
        b"".join(json.dumps(a_result(0, provider)).encode() + b"\n" for provider in (OLD, NEW)),
        "--skip goes with paired outputs; promptfoo results have no such field",
        ("--skip", "changed"),
    ),
    Refused(
        "a name of two variants",
        promptfoo(a_result(0, NEW, promptIdx=2, prompt={"raw": "r", "label": "terse"})),
        "--candidate 'new' fits 2 variants: 'new :: plain', 'new :: terse'; name one of them",
    ),
    Refused(
        "two columns of one name",
        promptfoo(a_result(0, NEW, promptIdx=2)),
        "--candidate 'new' fits 2 columns of the results, and some have equal names; "
        "give each provider and prompt a label of its own in promptfoo's configuration, and run it again",
    ),
    Refused(
        "a variant that is not there",
        promptfoo(),
        "--candidate 'third' is not in FILE; variants here: 'old :: plain', 'new :: plain', 'old'",
        ("--incumbent", "old", "--candidate", "third"),
    ),
    Refused(
        "two variants that never met",
        json.dumps({"results": [a_result(0, OLD), a_result(1, NEW)]}).encode(),
        "no row of FILE has outputs of both 'old' and 'new'; a comparison needs the same cases answered by both",
    ),
]


@pytest.mark.parametrize("case", REFUSED_PROMPTFOO, ids=lambda case: case.name)
def test_a_promptfoo_file_that_cannot_be_compared_is_refused_with_the_way_out(
    case: Refused, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for our own format; an error on its way out of a mapped file must stay the error that it is."""
    file.write_bytes(case.content)

    code = run(file, *case.options)

    assert (2, "", f"midshift: {case.message.replace('FILE', str(file))}\n") == (code, *capsys.readouterr())


@pytest.mark.parametrize(
    ("results", "reason", "place", "example"),
    [
        ([{"provider": "new"}], "not_a_result", 13, "Object missing required field `testIdx`"),
        ([a_result(0, NEW) | {"testIdx": "1"}], "not_a_result", 13, "Expected `int`, got `str` - at `$.testIdx`"),
        ([5], "not_a_result", 13, "Expected `object`, got `int`"),
        ([a_result(6, OLD)], "no_candidate_output", 13, "test 6 has no result of 'new'"),
        (
            [a_result(6, OLD), a_result(6, NEW, response=[1])],
            "bad_candidate_output",
            14,
            "response is [1], expected an object",
        ),
        ([a_result(0, NEW, 0)], "duplicate_result", 13, "test 0 of 'new' again"),
    ],
)
def test_a_promptfoo_result_that_cannot_be_used_is_named_by_its_number(
    results: list[object], reason: str, place: int, example: str, file: Path
) -> None:
    """promptfoo's files are one line: the number of the result is the only place that there is."""
    file.write_bytes(promptfoo(*results))

    report = compared(file)

    assert [(reason, True, 1, [place], example)] == problems(report, "results")
    assert (6, 1.0) == (report["slices"][0]["n"], report["slices"][0]["candidate"])


def test_an_errored_promptfoo_test_is_unanswered_and_not_a_zero(file: Path) -> None:
    """promptfoo writes score 0 for a timeout: taken at its word, an outage is a regression."""
    errored = a_result(6, NEW, 0, failureReason=2, error="timeout", response=None)
    file.write_bytes(promptfoo(a_result(6, OLD), errored))

    report = compared(file)

    assert [("candidate_error_answer", False, 1, [14], 'error is "timeout"')] == problems(report, "results")
    found = {item["score"]: (item["n"], item["candidate"]) for item in report["slices"] if item["slice"] == "*"}
    assert {"score": (6, 1.0), "pass": (6, 1.0), "answered": (7, pytest.approx(6 / 7))} == found


def test_every_decision_has_its_exit_code() -> None:
    """Pipelines read nothing else."""
    assert {
        "proceed": 0,
        "proceed_with_caution": 0,
        "retune": 1,
        "stop": 1,
        "collect_more": 3,
    } == {decision.value: code for decision, code in EXIT_CODES.items()}
