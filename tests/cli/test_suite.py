"""`midshift suite`: from a trace or another tool's file to a suite that can be judged by, and out again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from midshift.cli.main import run

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "support-reply"


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example's files, in the present folder."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def request(number: int, **more: Any) -> dict[str, Any]:
    """A recorded request of the example's workload."""
    text = f"ticket{number} about parcel{number * 7} and refund{number * 13}, write to ann{number}@example.com"
    queue = "escalation" if number % 3 == 0 else "other"
    return {
        "id": f"r{number}",
        "path": "/v1/messages",
        "headers": {"anthropic-version": "2023-06-01", "X-Queue": queue},
        "body": {
            "model": "claude-3-7-sonnet-20250219",
            "max_tokens": 90,
            "system": "You are support.",
            "messages": [{"role": "user", "content": text}],
            "metadata": {"tier": "enterprise"},
        },
        "unit": f"user-{number % 5}",
        "answer": "Dear ann@example.com, we are sorry.",
        **more,
    }


def trace(path: Path, *rows: object) -> str:
    """A file of recorded requests."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def cases(path: Path) -> list[dict[str, Any]]:
    """The lines of a suite."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_trace_becomes_a_suite_whose_drafts_wait_for_a_person(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """R0.2: slices by the workload's rules, texts redacted, users only as a hash, answers as drafts."""
    rows = [request(number) for number in range(30)]
    name = trace(product / "t.jsonl", *rows, {"nothing": 1}, request(99, body={"model": "gpt-9", "messages": []}))

    assert 0 == run(
        ["suite", "build", "support-reply", "--from", name, "-o", "new.jsonl", "--per-slice", "8", "--json"]
    )

    said = json.loads(capsys.readouterr().out)
    built = cases(product / "new.jsonl")
    assert {"enterprise": 30, "escalations": 10} == said["requests_by_slice"]
    assert len(built) == said["cases"] == said["draft_references"]
    assert len(rows) + 2 == len(built) + sum(said["left_out"].values())
    text = (product / "new.jsonl").read_text()
    assert "[email]" in text
    assert "@example.com" not in text
    assert "user-" not in text
    assert {"draft"} == {case["reference_status"] for case in built}


def test_every_kind_of_slice_rule_is_applied_to_a_trace(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Header, body, language, and the header in which an app names a slice; what cannot be told is said."""

    def asked(number: int, text: str, **headers: str) -> dict[str, Any]:
        body = {**request(number)["body"], "messages": [{"role": "user", "content": text}], "metadata": {}}
        return request(number, body=body, headers=headers)

    german = asked(1, "Wo bleibt meine Bestellung? Ich habe sie nicht bekommen.")
    named = asked(2, "Please tell me where my parcel is, and why it is late.", **{"X-Midshift-Slice": "german"})
    queue = asked(3, "4711 4712 4713", **{"x-queue": "escalation"})
    name = trace(product / "t.jsonl", german, named, queue, request(4))

    assert 0 == run(["suite", "build", "support-reply", "--from", name, "-o", "new.jsonl", "--json"])

    said = json.loads(capsys.readouterr().out)
    slices = {case["id"]: case["slice"] for case in cases(product / "new.jsonl")}
    assert {"r1": "german", "r2": "german", "r3": "escalations", "r4": "enterprise"} == slices
    assert ["language not told for 1 requests: they are in no slice by language"] == said["notes"]


def test_a_rule_on_a_language_that_no_text_tells_is_said_to_be_without_effect(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rather than to be an empty slice that nobody asks about."""
    file = product / "midshift.yaml"
    file.write_text(file.read_text().replace("{language: de}", "{language: sw}"))

    assert 0 == run(
        ["suite", "build", "support-reply", "--from", trace(product / "t.jsonl", request(3)), "-o", "n.jsonl"]
    )

    assert "the rule {language: sw} of slice 'german' was not applied" in capsys.readouterr().out


def test_a_confirmed_draft_is_a_reference(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One by one, or all of them by name of the option."""
    name = trace(product / "t.jsonl", *(request(number) for number in range(6)))
    run(["suite", "build", "support-reply", "--from", name, "-o", "new.jsonl"])
    first = cases(product / "new.jsonl")[0]["id"]

    assert 2 == run(["suite", "confirm", "new.jsonl"])
    assert 2 == run(["suite", "confirm", "new.jsonl", "--id", "nobody"])
    assert 0 == run(["suite", "confirm", "new.jsonl", "--id", first])
    assert [first] == [case["id"] for case in cases(product / "new.jsonl") if "reference_status" not in case]
    assert 0 == run(["suite", "confirm", "new.jsonl", "--all"])
    assert not any("reference_status" in case for case in cases(product / "new.jsonl"))


def test_captured_requests_are_read_from_the_state_folder(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the gateways kept, and none that another workload had."""
    assert 2 == run(["suite", "build", "support-reply", "--from", "record", "-o", "new.jsonl"])
    assert "capture" in capsys.readouterr().err
    folder = product / ".midshift" / "requests-v1"
    folder.mkdir(parents=True)
    own = {"workload": "support-reply", "wire": "anthropic", "slices": ["german"], "at": "2026-11-01T00:00:00Z"}
    trace(folder / "g1-1.ndjson", request(1, **own), request(2, **{**own, "workload": "other"}))

    assert 0 == run(["suite", "build", "support-reply", "--from", "record", "-o", "new.jsonl"])

    assert ["r1"] == [case["id"] for case in cases(product / "new.jsonl")]
    assert "german" in cases(product / "new.jsonl")[0]["slice"]


def test_a_suite_that_is_there_is_not_written_over(product: Path) -> None:
    """Confirmed references are somebody's work."""
    name = trace(product / "t.jsonl", request(1))
    before = (product / "suites" / "support.jsonl").read_bytes()

    assert 2 == run(["suite", "build", "support-reply", "--from", name, "-o", "suites/support.jsonl"])
    assert before == (product / "suites" / "support.jsonl").read_bytes()


def test_check_says_how_small_a_drop_a_slice_can_show(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By file or by workload; 1 where a slice can show nothing of its margin."""
    assert 1 == run(["suite", "check", "support-reply", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert ["enterprise", "escalations", "german"] == [part["name"] for part in said["slices"]]
    assert "watch" == said["slices"][2]["role"]
    assert 95.0 == said["slices"][2]["smallest_drop_at_best_pt"]

    assert 1 == run(["suite", "check", "suites/support.yaml"])
    assert "TOO SMALL" in capsys.readouterr().out
    assert 0 == run(["suite", "check", "suites/support.yaml", "--margin", "96pt"])


def test_check_refuses_a_grader_that_nobody_could_run(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before answers are bought that it would not grade."""
    line = {"id": 1, "slice": "a", "messages": [{"role": "user", "content": "x"}], "graders": [{"type": "contians"}]}
    trace(product / "s.jsonl", line)

    assert 2 == run(["suite", "check", "s.jsonl"])
    assert "contians" in capsys.readouterr().err


def test_check_refuses_two_judges_of_one_name(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One would hide what the other says, after both were paid."""
    trace(product / "s.jsonl", {"id": 1, "slice": "a", "messages": [{"role": "user", "content": "x"}]})
    judges = "[{type: rubric, rubric: Is true.}, {type: rubric, rubric: Is kind.}]"
    (product / "s.yaml").write_text(f"cases: s.jsonl\ngraders: {judges}\n", encoding="utf-8")

    assert 2 == run(["suite", "check", "s.yaml"])
    assert "found the score 'rubric' twice" in capsys.readouterr().err


def test_a_suite_of_another_tool_is_taken_over_and_what_is_lost_is_said(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing outside of the file's folder is read, whatever it names."""
    (product / "secret.txt").write_text("the secret")
    folder = product / "promptfoo"
    folder.mkdir()
    (folder / "c.yaml").write_text(
        "prompts: ['{{q}}']\n"
        "tests:\n"
        "- {vars: {q: hello}, metadata: {slice: a},\n"
        "   assert: [{type: javascript, value: 'x'}, {type: contains, value: y}]}\n"
        "- {vars: {q: 'file://../secret.txt'}, metadata: {slice: a}}\n"
        "- file://../secret.txt\n"
    )

    assert 0 == run(["suite", "import", "promptfoo/c.yaml", "-o", "new.jsonl"])

    out = capsys.readouterr().out
    assert "javascript: it is code" in out
    assert "secret" not in (product / "new.jsonl").read_text()
    assert [{"type": "contains", "value": "y"}] == cases(product / "new.jsonl")[0]["graders"]
    assert 2 == run(["suite", "import", "promptfoo/c.yaml", "-o", "new.jsonl"])


def test_an_import_without_slices_is_not_yet_a_suite_to_gate_by(product: Path) -> None:
    """R1.4; the cases are written, and the exit code says that something is missing."""
    (product / "t.csv").write_text("question,answer,level\nWhere?,here,easy\nWho?,me,hard\n")

    assert 3 == run(["suite", "import", "t.csv", "-o", "new.jsonl"])
    assert 0 == run(["suite", "import", "t.csv", "-o", "new.jsonl", "--force", "--field", "slice=level"])
    assert ["easy", "hard"] == [case["slice"] for case in cases(product / "new.jsonl")]


@pytest.mark.parametrize(("to", "name"), [("promptfoo", "promptfooconfig.yaml"), ("inspect", "dataset.jsonl")])
def test_an_export_can_be_imported_again(product: Path, to: str, name: str) -> None:
    """A way in without a way out is a trap."""
    assert 0 == run(["suite", "export", "suites/support.yaml", "--to", to, "-o", "out"])
    assert 0 == run(["suite", "import", f"out/{name}", "-o", "back.jsonl"])
    assert cases(product / "suites" / "support.jsonl") == cases(product / "back.jsonl")


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "nobody"],
        ["import", "suites/support.jsonl", "--from", "excel"],
        ["import", "suites/support.jsonl", "--field", "input"],
        ["export", "suites/support.yaml", "--to", "excel", "-o", "out"],
        ["build", "nobody", "--from", "t.jsonl"],
        ["confirm", "suites/support.yaml", "--all"],
    ],
)
def test_a_wrong_word_is_answered_with_what_to_type(
    product: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Exit code 2, on stderr."""
    assert 2 == run(["suite", *arguments])
    assert "expected" in capsys.readouterr().err


def test_a_margin_that_is_none_is_refused_in_words(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == run(["suite", "check", "support-reply", "--margin", "much"])

    assert "--margin: expected a margin in points" in capsys.readouterr().err


def test_a_trace_that_makes_no_case_says_why(product: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the reasons nobody knows which line of which file to mend."""
    name = trace(product / "t.jsonl", request(1, body={"model": "gpt-9", "messages": []}), [])

    assert 2 == run(["suite", "build", "support-reply", "--from", name, "-o", "new.jsonl"])

    said = capsys.readouterr().err
    assert "Left out of 2 lines: 1 not a JSON object; 1 for a model that the workload does not claim" in said
