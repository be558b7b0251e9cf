"""What stage two left in the user's repository: what a prompt was fitted to, and one finding of a candidate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midshift.cli import findings, retune_files, tuned
from midshift.cli.retune_files import Shelf
from midshift.cli.retune_setting import Options
from midshift.domain.variant import Prompt, PromptMode, Variant
from midshift.errors import InputError, UsageError
from midshift.evals.suite_file import EvalCase
from midshift.retune.edits import FORMAT
from midshift.retune.looking import Taken
from midshift.retune.splits import Part, marks

CASES = [
    EvalCase(number, f"c-{number}", ({"role": "user", "content": f"case {number}"},), ("a",)) for number in range(4)
]
OLD = Variant("acme", "old")


def with_prompt(text: str, effort: str | None = None) -> Variant:
    """A candidate under a prompt of its own."""
    return Variant("acme", "new", Prompt(PromptMode.REPLACE, text), effort=effort)


def record(folder: Path, name: str, texts: list[str], **more: object) -> None:
    """What a re-tuning that began with the first text left."""
    made: dict[str, Any] = {
        "format": FORMAT,
        "workload": "support",
        "prompts": [{"number": number, "text": text} for number, text in enumerate(texts)],
        "parts": {"tune": marks(CASES[0]), "select": marks(CASES[1]), "locked": marks(CASES[2])},
        **more,
    }
    (folder / "retune").mkdir(exist_ok=True)
    (folder / "retune" / f"{name}.json").write_text(json.dumps(made), "utf-8")


def seen(folder: Path, candidate: Variant, incumbent: Variant = OLD) -> list[bool] | None:
    """Which of the cases a candidate's prompt was fitted to."""
    found = tuned.past(folder, "support", candidate, incumbent, CASES)
    return None if found is None else [found.saw(case) for case in CASES]


def test_a_prompt_is_known_by_its_text_under_whatever_effort(tmp_path: Path) -> None:
    """Another dial makes it another variant, and fits it to its cases no less."""
    record(tmp_path, "one", ["start", "tuned"])

    assert [True, True, False, False] == seen(tmp_path, with_prompt("tuned\n", "high"))
    assert None is seen(tmp_path, with_prompt("start"))
    assert None is seen(tmp_path, with_prompt("of my own"))


def test_a_prompt_made_from_a_tuned_one_was_fitted_to_the_cases_of_both(tmp_path: Path) -> None:
    """It carries what the first one was given."""
    record(tmp_path, "one", ["start", "tuned"])
    record(tmp_path, "two", ["tuned", "better"], parts={"tune": marks(CASES[3]), "select": [], "locked": []})

    assert [True, True, False, True] == seen(tmp_path, with_prompt("better"))
    assert [True, True, False, False] == seen(tmp_path, with_prompt("tuned"))


def test_a_prompt_that_the_incumbent_has_as_well_favours_nobody(tmp_path: Path) -> None:
    """After an upgrade the tuned prompt is simply the prompt."""
    record(tmp_path, "one", ["start", "tuned"])

    assert None is seen(tmp_path, with_prompt("tuned", "high"), with_prompt("tuned"))


def test_a_prompt_edited_by_hand_was_fitted_from_the_first_edit_on(tmp_path: Path) -> None:
    """Whoever sees slices move chooses by them."""
    record(tmp_path, "by-hand", ["start", "edited"], format=tuned.BY_HAND)

    assert None is seen(tmp_path, with_prompt("start"))
    assert [True, True, False, False] == seen(tmp_path, with_prompt("edited"))


def test_a_record_that_does_not_say_its_cases_leaves_none_to_judge_by(tmp_path: Path) -> None:
    """What is unknown is no evidence."""
    record(tmp_path, "one", ["start", "tuned"], parts=None)

    assert [True] * 4 == seen(tmp_path, with_prompt("tuned"))


def test_records_of_another_workload_and_foreign_files_say_nothing(tmp_path: Path) -> None:
    """A folder of the user's may hold anything."""
    record(tmp_path, "one", ["start", "tuned"], workload="other")
    (tmp_path / "retune" / "broken.json").write_text("{", "utf-8")
    (tmp_path / "retune" / "list.json").write_text("[]", "utf-8")

    assert None is seen(tmp_path, with_prompt("tuned"))
    assert {} == tuned.dealt(tmp_path, "support")


def test_looks_come_from_the_host_and_from_the_records_each_once(tmp_path: Path) -> None:
    """A colleague who cloned the repository must not look for the first time again."""
    look = Taken("s", "b", "v", ("c",), "2026-01-02", outputs=("x",), cleared=False)
    written = {"search": "s", "budget": "b", "variant": "v", "cases": ["c"], "outputs": ["x"], "cleared": False}
    record(tmp_path, "one", ["start", "tuned"], look=written, day="2026-01-02")
    shelf = Shelf(tmp_path / "state", "support", tuned.looks(tmp_path, "support"))

    assert [look] == shelf.looks()
    shelf.take(look)
    shelf.take(look)
    assert [look] == shelf.looks()
    shelf.take(Taken("", "", "v", ("c", "d"), "later", outputs=("x", "y")))
    assert 2 == len(shelf.looks())


def test_a_search_is_dealt_once(tmp_path: Path) -> None:
    """What began is found again; what cannot be read is not guessed."""
    shelf = Shelf(tmp_path, "support")
    assert None is shelf.began("s")
    (tmp_path / "retune" / "support").mkdir(parents=True)
    kept = tmp_path / "retune" / "support" / "s.json"
    kept.write_text('{"began": "2026-01-02"}', "utf-8")

    with pytest.raises(InputError, match="Type next: rm"):
        shelf.began("s")
    (tmp_path / "retune" / "support" / "s.json").write_text(
        '{"began": "2026-01-02", "parts": {"tune": ["a:1"]}}', "utf-8"
    )
    began = shelf.began("s")
    assert began is not None
    assert {"a:1": Part.TUNE} == began.parts


def test_there_is_one_finding_of_a_candidate_and_all_that_was_tuned_from_it(tmp_path: Path) -> None:
    """Two files that say the same on two days are read as two models that failed."""
    start, made = with_prompt("start"), with_prompt("tuned")
    record(tmp_path, "one", ["start", "tuned"], candidate={"id": start.id}, tuned=made.id)

    first = findings.write(tmp_path, "support", start.id, "2026-01-02-new", "worse")
    again = findings.write(tmp_path, "support", made.id, "2026-02-03-new.v2", "worse still")
    other = findings.write(tmp_path, "support", with_prompt("another").id, "2026-01-02-new", "also")

    assert "findings/2026-01-02-new.md" == first == again
    assert "findings/2026-01-02-new-2.md" == other
    assert (tmp_path / first).read_text("utf-8").startswith("worse\n")


def test_what_somebody_wrote_under_that_name_stays(tmp_path: Path) -> None:
    """No file of a person is overwritten."""
    (tmp_path / "findings").mkdir()
    (tmp_path / "findings" / "2026-01-02-new.md").write_text("mine", "utf-8")

    assert "findings/2026-01-02-new-2.md" == findings.write(tmp_path, "support", "v", "2026-01-02-new", "worse")
    assert "mine" == (tmp_path / "findings" / "2026-01-02-new.md").read_text("utf-8")


def test_a_reason_for_a_floating_judge_reaches_the_judges() -> None:
    """The refusal names the option, so the command has to have it."""
    assert "a quick look" == Options(Path("s"), "v.yaml", allow_floating="a quick look").of_eval.allow_floating


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("cache.csv", "id,plan,by\nr1,look up,old\n,answer,new\n"),
        ("cache.jsonl", '{"id": "r1", "plan": "look up", "by": "old"}\n{"x": 1}\n{"plan": ["a"], "by": "new"}\n'),
    ],
)
def test_a_table_of_plans_is_read_row_by_row(tmp_path: Path, file: str, text: str) -> None:
    """A row has its id, or else its place; one without the column is nobody's plan."""
    (tmp_path / file).write_text(text, "utf-8")

    ((named, (first, second)),) = retune_files.tables(tmp_path, [f"{file}:plan"])

    assert f"{file}:plan" == named
    assert ("r1", "look up") == (first.name, first.text)
    assert '"by": "old"' in first.said
    assert second.name.isdecimal()


@pytest.mark.parametrize(
    "named", ["cache.csv", "cache.csv:", ":plan", "../cache.csv:plan", "/cache.csv:plan", "no.csv:x"]
)
def test_a_table_without_file_or_column_is_refused(tmp_path: Path, named: str) -> None:
    """A list of what to redo that leaves out a table is worse than none."""
    (tmp_path / "cache.csv").write_text("id,plan\nr1,x\n", "utf-8")

    with pytest.raises(UsageError, match="Type next: --plan-table plans.csv:plan"):
        retune_files.tables(tmp_path, [named])
    with pytest.raises(UsageError, match="found no column 'text', expected one of: id, plan"):
        retune_files.tables(tmp_path, ["cache.csv:text"])
