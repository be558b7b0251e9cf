"""Functions that grade: only those that are allowed, and each known by the version of its code."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from midshift.cli.functions import functions
from midshift.errors import ConfigError, InputError
from midshift.evals.rows import Answer
from midshift.evals.suite_file import EvalCase, Suite

CASE = EvalCase(1, "t-1", (), ("a",))


def a_module(folder: Path, name: str, text: str) -> bytes:
    """Write a module, and give its content."""
    (folder / f"{name}.py").write_text(text)
    return text.encode()


def suite(name: str) -> Suite:
    """A suite that names a function."""
    return Suite("s", (CASE,), ({"type": "python", "import": name},))


def test_a_function_is_known_by_the_content_of_its_file(tmp_path: Path) -> None:
    """A score without the version of the code that gave it cannot be repeated."""
    content = a_module(tmp_path, "graders_a", "def good(case, answer):\n    return 1.0\n")

    found = functions(tmp_path, ["graders_a:good"], suite("graders_a:good"))["graders_a:good"]

    assert hashlib.sha256(content).hexdigest() == found.sha256
    assert 1.0 == found(CASE, Answer("yes"))


def test_a_function_that_was_changed_grades_anew_in_the_same_process(tmp_path: Path) -> None:
    """A search that watches files outlives an edit; the hash must be that of the code that ran."""
    names = ["graders_b:good"]
    a_module(tmp_path, "graders_b", "def good(case, answer):\n    return 1.0\n")
    before = functions(tmp_path, names, suite(names[0]))[names[0]]
    content = a_module(tmp_path, "graders_b", "def good(case, answer):\n    return 0.0\n")

    after = functions(tmp_path, names, suite(names[0]))[names[0]]

    assert (1.0, 0.0) == (before(CASE, Answer("yes")), after(CASE, Answer("yes")))
    assert before.sha256 != after.sha256 == hashlib.sha256(content).hexdigest()


def test_a_function_that_nobody_allowed_is_not_imported(tmp_path: Path) -> None:
    """A suite alone can run nothing."""
    a_module(tmp_path, "graders_c", "raise SystemError\n")

    assert {} == functions(tmp_path, [], suite("graders_c:good"))


@pytest.mark.parametrize(
    ("text", "why"),
    [("import nothing_of_that_name\n", "cannot be imported"), ("x = 1\n", "cannot be"), ("good = 1\n", "no function")],
)
def test_what_is_no_function_is_told_before_anything_is_bought(text: str, why: str, tmp_path: Path) -> None:
    name = f"graders_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    a_module(tmp_path, name, text)

    with pytest.raises(ConfigError, match=why):
        functions(tmp_path, [f"{name}:good"], suite(f"{name}:good"))


def test_a_fault_of_the_function_names_function_and_case(tmp_path: Path) -> None:
    a_module(tmp_path, "graders_d", "def good(case, answer):\n    return 1 / 0\n")
    found = functions(tmp_path, ["graders_d:good"], suite("graders_d:good"))["graders_d:good"]

    with pytest.raises(InputError, match=r"'graders_d:good' failed on case 't-1' \(ZeroDivisionError"):
        found(CASE, Answer("yes"))
