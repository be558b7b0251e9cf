"""`midshift compare`: exit codes, the JSON form, the page, and what the options do.

Elsewhere: broken inputs (test_broken_inputs.py), the tables (tests/reports), the verdicts (tests/evals).
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from midshift import __version__
from midshift.cli import main
from midshift.cli.compare import Options, compare, parse_look, parse_score, write_whole
from midshift.domain.gate import Decision
from midshift.domain.suite import Range, Score
from midshift.errors import UsageError
from midshift.reports.comparison import FORMAT, Comparison, document
from midshift.stats.looks import Look
from midshift.testing import ManualClock, simulated
from tests.builders import NEW, OLD, a_row, an_output, grades, lines_of, rows_of

GOOD = rows_of(grades(right=300), "a")
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp\u2066\u200f\u2028\u0000\ud800"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the input lies."""
    return tmp_path / "rows.jsonl"


def written(file: Path, rows: list[dict[str, object]]) -> Path:
    """The file, with the rows in it."""
    file.write_bytes(b"".join(lines_of(rows)))
    return file


def run(file: Path, *options: str) -> int:
    """The command line, in this process."""
    return main.run(["compare", str(file), "--incumbent", OLD, "--candidate", NEW, *options])


def compared(file: Path, **options: Any) -> Comparison:
    """The comparison itself."""
    return compare(Options(file, OLD, NEW, **options), ManualClock())


@pytest.mark.parametrize(
    ("rows", "code", "decision"),
    [
        (GOOD, 0, Decision.PROCEED),
        (GOOD + rows_of(grades(right=9), "b"), 0, Decision.PROCEED_WITH_CAUTION),
        (rows_of(grades(right=300), None), 0, Decision.PROCEED_WITH_CAUTION),
        (rows_of(grades(right=60, worse=20)), 1, Decision.RETUNE),
        (GOOD + rows_of(grades(right=30, worse=20), "b"), 1, Decision.RETUNE),
        (rows_of(grades(right=30)), 3, Decision.COLLECT_MORE),
        ([], 3, Decision.COLLECT_MORE),
    ],
    ids=["proceed", "a slice unproven", "no slices", "worse", "worse in a slice", "too few", "empty"],
)
def test_the_exit_code_is_the_decision(
    rows: list[dict[str, object]], code: int, decision: Decision, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipeline reads nothing else, and must not go on where evidence is missing."""
    found = run(written(file, rows), "--json")

    assert (code, decision.value) == (found, json.loads(capsys.readouterr().out)["decision"])


def test_a_slice_is_judged_by_its_own_margin_and_shows_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The margin that is shown is the one that was used, in every form of the report."""
    rows = rows_of(grades(right=300), "a") + rows_of(grades(right=200, worse=3, better=1), "b")
    page = file.with_suffix(".html")

    code = run(written(file, rows), "--slice-margin", "b=8pt", "--html", str(page), "--json")
    found = json.loads(capsys.readouterr().out)

    own = {(one["score"], one["slice"]): (one["margin"], one["verdict"]) for one in found["slices"]}
    assert (0, (0.08, "PASS"), 0.02) == (code, own["s", "b"], own["s", "a"][0])
    assert 0.02 == own["s", "*"][0]
    assert "<small>margin 8pt</small>" in page.read_text()
    run(file, "--slice-margin", "b=8pt")
    shown = capsys.readouterr().out
    assert re.search(r"^ +b .* 8pt +.*PASS", shown, re.MULTILINE)
    run(file)
    assert "8pt" not in capsys.readouterr().out


@pytest.mark.parametrize("margin", ["b", "=3pt", "*=3pt", "b=0pt", "b=101pt", "b=3%", "elsewhere=3pt"])
def test_a_margin_of_a_slice_that_is_none_is_refused(margin: str, file: Path) -> None:
    """A misspelt one would leave the usual margin in force, and nobody would know."""
    assert 2 == run(written(file, rows_of(grades(right=30), "b")), "--slice-margin", margin)
    assert 2 == run(file, "--slice-margin", "b=3pt", "--slice-margin", "b=4pt")


def test_a_fault_of_our_own_is_exit_code_4_and_asks_to_be_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Python's code for a crash is 1, which here means "retune": a fault must never look like a verdict."""
    code = main.run(["compare", "no\0file", "--incumbent", OLD, "--candidate", NEW])

    out, err = capsys.readouterr()
    assert (4, "") == (code, out)
    assert "midshift: ValueError: embedded null byte" in err.splitlines()
    assert err.endswith("midshift: this is a fault of midshift, not of your files: please report the lines above\n")


TOP = {
    "format": str,
    "file": str,
    "made_at": str,
    "simulated": bool,
    "incumbent": str,
    "candidate": str,
    "decision": str,
    "reason": str,
    "regressed": list,
    "unproven": list,
    "alpha": float,
    "method": list,
    "looks": int,
    "looks_planned": int,
    "aggregate": str,
    "rows": dict,
    "scores": list,
    "slices": list,
    "drift": list,
}
ROWS = {
    "read": int,
    "paired": int,
    "blank": int,
    "without_slice": int,
    "excluded": dict,
    "noted": dict,
    "problems": list,
}
SCORE = {"name": str, "range": list, "margin": float, "role": str}
SLICE = {
    "score": str,
    "slice": str,
    "n": int,
    "clusters": int,
    "incumbent": float,
    "candidate": float,
    "delta": float,
    "low": float,
    "high": float,
    "margin": float,
    "verdict": str,
    "reason": str,
    "needs_n": (int, type(None)),
    "p_not_worse": float,
    "p_adjusted": float,
    "method": str,
}
DRIFT = {
    "kind": str,
    "metric": str,
    "unit": str,
    "slice": str,
    "n": int,
    "incumbent": float,
    "candidate": float,
    "delta": float,
    "low": (float, type(None)),
    "high": (float, type(None)),
    "p": float,
    "p_adjusted": float,
    "flagged": bool,
    "reason": str,
    "examples": list,
}


def test_the_json_has_every_field_of_its_format(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fields may be added to midshift.compare/1, never renamed or removed: other programs read them."""
    file.write_text("".join(simulated.lines(120, 4)))
    names = ["--incumbent", simulated.INCUMBENT, "--candidate", simulated.CANDIDATE]

    main.run(["compare", str(file), *names, "--json"])

    report = json.loads(capsys.readouterr().out)
    assert FORMAT == "midshift.compare/1" == report["format"]
    assert True is report["simulated"]
    for shape, items in (
        (TOP, [report]),
        (ROWS, [report["rows"]]),
        (SCORE, report["scores"]),
        (SLICE, report["slices"]),
        (DRIFT, report["drift"]),
    ):
        assert items
        for item in items:
            assert set(shape) <= set(item)
            assert {} == {name: item[name] for name, kind in shape.items() if not isinstance(item[name], kind)}  # type: ignore[arg-type]


def test_the_json_tells_the_options_that_it_was_made_with(file: Path) -> None:
    """A verdict without its margin, level and look cannot be checked."""
    rows = rows_of([(5, 5), (1, 2), (9, 9)] * 3)
    options = {"scores": ("s:1..10",), "margin": "5pt", "look": "2/4", "watch": ("a",)}

    report = document(compared(written(file, rows), **options))

    assert (0.0125, 2, 4, "mean over cases", "2026-01-01T00:00:00+00:00") == tuple(
        report[name] for name in ("alpha", "looks", "looks_planned", "aggregate", "made_at")
    )
    assert [
        {"name": "s", "range": [1.0, 10.0], "margin": pytest.approx(0.45), "role": "quality"},
        {"name": "answered", "range": [0.0, 1.0], "margin": 0.05, "role": "contract"},
    ] == report["scores"]
    assert [str(file), OLD, NEW] == [report[name] for name in ("file", "incumbent", "candidate")]
    assert (5.0, pytest.approx(16 / 3), pytest.approx(1 / 3)) == tuple(
        report["slices"][0][name] for name in ("incumbent", "candidate", "delta")
    )


def test_without_a_score_option_every_score_of_the_file_gates(file: Path) -> None:
    """A newcomer names nothing, and must not pass on the score that happened to be first."""
    both = {"text": "x", "scores": {"good": 1, "bad": 1}}
    worse = {"text": "x", "scores": {"good": 1, "bad": 0}}
    rows = [a_row(number, both, worse if number % 3 else both) for number in range(90)]

    assert Decision.RETUNE is compared(written(file, rows)).ruling.decision
    assert ["bad", "good", "answered"] == sorted(
        (score.score.name for score in compared(file).scores), key=["bad", "good", "answered"].index
    )
    assert Decision.COLLECT_MORE is compared(file, scores=("good",)).ruling.decision


def test_the_score_options_keep_their_order(file: Path) -> None:
    """The first score is the one that the headline speaks of."""
    rows = [a_row("x", *[{"text": "x", "scores": {"s": 1, "t": 1}}] * 2)]

    assert ["t", "s", "answered"] == [
        score.score.name for score in compared(written(file, rows), scores=("t", "s")).scores
    ]


def test_error_text_turns_an_answer_into_a_silence(file: Path) -> None:
    """Six providers' errors in the text field are an outage, not six wrong answers."""
    blocked = {"text": "API Error: flagged", "scores": {"s": 0}}
    rows = GOOD + [a_row(f"b{number}", 1, blocked) for number in range(6)]

    plain, told = compared(written(file, rows)), compared(file, error_text="^API Error")

    answered = [item.scores[-1].aggregate.evidence for item in (plain, told)]
    assert [1.0, pytest.approx(300 / 306)] == [item.candidate for item in answered if item is not None]
    assert {"candidate_blocked_answer": 6} == told.ledger.noted


def test_expect_json_judges_the_form_of_every_answer(file: Path) -> None:
    """Quality may rise while the parser breaks."""
    rows = [a_row(number, an_output(0, "{}"), an_output(1, f"Sure: {'really ' * number}{{}}")) for number in range(60)]

    assert Decision.COLLECT_MORE is compared(written(file, rows)).ruling.decision
    found = compared(file, expect="json")
    assert (Decision.RETUNE, ["s", "json_valid", "answered"]) == (
        found.ruling.decision,
        [score.score.name for score in found.scores],
    )


@pytest.mark.parametrize("outputs", [{OLD: an_output()}, {OLD: an_output(), NEW: {"text": {"refusal": "no"}}}])
def test_a_candidate_that_is_missing_from_a_quarter_of_the_rows_does_not_pass(
    outputs: dict[str, object], file: Path
) -> None:
    """A run that lost what the candidate could not answer would otherwise be judged on what it could."""
    rows = GOOD + [{"id": f"m{number}", "slice": "a", "outputs": outputs} for number in range(100)]

    assert Decision.PROCEED is not compared(written(file, rows)).ruling.decision


def test_skipped_rows_are_left_out_and_counted(file: Path) -> None:
    """As was asked for, and for all to see."""
    rows = GOOD + [a_row(f"x{number}", 1, 0, changed=True) for number in range(50)]

    found = compared(written(file, rows), skip="changed")

    assert (Decision.PROCEED, 300, {"skipped": 50}) == (found.ruling.decision, found.paired, found.ledger.excluded)


def test_a_watched_slice_does_not_gate(file: Path) -> None:
    """A failing slice that is watched goes on the list of what to look at."""
    rows = rows_of(grades(right=900, better=60), "a") + rows_of(grades(right=30, worse=20), "b")

    found = compared(written(file, rows), watch=("b",))

    assert (Decision.PROCEED_WITH_CAUTION, (("s", "b"),)) == (found.ruling.decision, found.ruling.regressed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accuracy", Score("accuracy")),
        (" accuracy ", Score("accuracy")),
        ("judge:1..10", Score("judge", Range(1, 10))),
        ("loss:-2.5..+0.5", Score("loss", Range(-2.5, 0.5))),
        ("gpt:tone", Score("gpt:tone")),
        ("gpt:tone:0..5", Score("gpt:tone", Range(0, 5))),
        ("0..1:0..1", Score("0..1", Range())),
    ],
)
def test_a_score_is_a_name_with_or_without_a_range(text: str, expected: Score) -> None:
    """Names come from the file, colons and all."""
    assert expected == parse_score(text)


def test_a_look_is_one_of_the_planned_ones() -> None:
    """Each spends its share of alpha, so their number has to be known before the first."""
    assert Look(2, 3) == parse_look(" 2 / 3 ")
    assert Look(3, 3, 2) == parse_look("3/3+2")
    for text in ("4/3", "2/3+1", "3/3+", "+1"):
        with pytest.raises(UsageError):
            parse_look(text)


def test_the_page_is_written_whole_and_its_place_is_told(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page on a share is opened by others while it is written."""
    page = tmp_path / "report.html"
    page.write_text("yesterday's")

    assert 0 == run(written(file, GOOD), "--html", str(page))

    text = page.read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")
    assert {"report.html", "rows.jsonl"} == {path.name for path in tmp_path.iterdir()}
    assert capsys.readouterr().out.endswith(f"page: {page}\n")


def test_a_page_that_cannot_be_written_leaves_the_old_one_and_no_half_of_a_new_one(tmp_path: Path) -> None:
    """Half a report is read as a whole one."""
    page = tmp_path / "report.html"
    page.write_text("yesterday's")

    with pytest.raises(UnicodeEncodeError):
        write_whole(page, "today's \ud800")

    assert "yesterday's" == page.read_text()
    assert [page] == list(tmp_path.iterdir())


def test_with_json_nothing_else_is_printed(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output goes into a program, page or not."""
    run(written(file, GOOD), "--json", "--html", str(tmp_path / "page.html"))

    out, err = capsys.readouterr()
    assert (FORMAT, "") == (json.loads(out)["format"], err)


def hostile_rows() -> list[dict[str, object]]:
    """A file whose every text tries to speak for the terminal."""
    text = f"{HOSTILE} line\n\nanswer\n{HOSTILE} line"
    output = {"text": text, "scores": {HOSTILE: 1}, "error": None}
    rows: list[dict[str, object]] = [
        {
            "id": f"{HOSTILE}{number}",
            "slice": HOSTILE,
            "outputs": {f"{HOSTILE}old": output, f"{HOSTILE}new": {**output, "text": "x " * number + text * 2}},
        }
        for number in range(30)
    ]
    return [*rows, {"id": {HOSTILE: 1}}, {**rows[0], "id": "last", "weight": HOSTILE}, {**rows[0], "id": HOSTILE + "0"}]


@pytest.mark.parametrize("options", [[], ["--full"], ["--json"]])
def test_hostile_text_in_a_file_comes_out_inert(
    options: list[str], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a model wrote must not clear the screen, retitle the window, or reorder the words of a verdict."""
    written(file, hostile_rows())

    code = main.run(["compare", str(file), "--incumbent", f"{HOSTILE}old", "--candidate", f"{HOSTILE}new", *options])

    printed = "".join(capsys.readouterr())
    assert 3 == code
    assert "owned" in printed
    assert not set(re.findall(r"[^\n\x20-\x7e\u00a1-\u024f\u2010-\u2027\u2030-\u205e\u2190-\u27bf]", printed))
    if options == ["--json"]:
        assert printed.isascii()


def test_hostile_text_on_the_command_line_comes_out_inert(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that was pasted from a model's output is foreign text as well."""
    written(file, GOOD)

    code = main.run(["compare", str(file), "--incumbent", "\x1b[2Jold\u202e", "--candidate", NEW])

    expected = f"midshift: --incumbent '\\x1b[2Jold\\u202e' is not in {file}; variants here: 'old', 'new'\n"
    assert (2, "", expected) == (code, *capsys.readouterr())


@pytest.mark.parametrize(
    ("arguments", "commands"),
    [([], {"compare", "demo"}), (["upgrade"], {"start", "status"}), (["prices"], {"show", "refresh"})],
)
def test_without_a_command_the_help_is_printed_and_nothing_is_decided(
    arguments: list[str], commands: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty variable in a script must not read as "proceed"."""
    code = main.run(arguments)

    out, err = capsys.readouterr()
    assert (2, "") == (code, err)
    assert commands <= {line.split()[0] for line in out.splitlines() if line.startswith("  ") and line.strip()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["comapre"], "No such command 'comapre'"),
        (["compare"], "Missing argument 'FILE'"),
        (["compare", "f", "--incumbent", "a"], "Missing option '--candidate'"),
        (["compare", "f", "g", "--incumbent", "a", "--candidate", "b"], "Got unexpected extra argument(s) (g)"),
    ],
)
def test_a_wrong_command_line_is_one_line_on_stderr(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no traceback; the help is that of the command that was typed, if there is one."""
    command = "compare --help" if arguments[0] == "compare" else "--help"

    code = main.run(arguments)

    out, err = capsys.readouterr()
    assert (2, "") == (code, out)
    assert err.startswith(f"midshift: {message}")
    assert err.endswith(f"Type next: midshift {command}\n")
    assert 1 == err.count("\n")


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """An option that nobody finds is none."""
    assert 0 == main.run(["compare", "--help"])

    shown = capsys.readouterr().out
    for option in Options.__dataclass_fields__:
        name = {"file": "FILE", "scores": "--score", "as_json": "--json"}.get(option, f"--{option.replace('_', '-')}")
        assert name in shown


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The first line of every good bug report."""
    assert (0, f"midshift {__version__}\n", "") == (main.run(["--version"]), *capsys.readouterr())


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A process of its own, as a shell starts it."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, env=environment, check=False)


@pytest.mark.slow
def test_the_module_is_the_command() -> None:
    """`python -m midshift` works where no script was installed."""
    run = python("-m", "midshift", "--version")

    assert (0, f"midshift {__version__}\n".encode(), b"") == (run.returncode, run.stdout, run.stderr)


@pytest.mark.slow
def test_a_terminal_that_lacks_a_sign_shows_its_number(file: Path) -> None:
    """A report that ends in the middle with a traceback, and with the exit code of "retune", is the worst of all."""
    arguments = ("compare", str(written(file, GOOD)), "--incumbent", OLD, "--candidate", NEW)

    run = python("-m", "midshift", *arguments, PYTHONIOENCODING="ascii")

    assert (0, b"") == (run.returncode, run.stderr)
    assert b"PROCEED" in run.stdout
    assert run.stdout.isascii()


@pytest.mark.slow
def test_a_reader_that_closes_early_gets_no_traceback(file: Path) -> None:
    """`midshift compare ... | head` is how people look at long output."""
    arguments = [sys.executable, "-m", "midshift", "compare", str(written(file, GOOD)), "--incumbent", OLD]
    with subprocess.Popen([*arguments, "--candidate", NEW], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()

    assert b"Traceback" not in complaint
    assert 0 != process.returncode
