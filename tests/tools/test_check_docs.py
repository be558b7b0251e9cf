"""The check of the documents sees what it is there for."""

from pathlib import Path

import pytest

from tools.check_docs import anchors, problems


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "Makefile").write_text("help: ## say\ntest: ## test\n")
    (tmp_path / "guide.md").write_text("# One flip\n")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[gone](gone.md)", "'gone.md'"),
        ("[gone](guide.md#two-flips)", "'guide.md#two-flips'"),
        ("[gone](#here)", "'#here'"),
        ("run `make tests`", "'make tests'"),
        ("```sh\nmake CI=1 tests\n```", "'make tests'"),
        ("```json\n{'a': 1}\n```", "json"),
        ("- point\n\n  ```python\n  def f(:\n  ```", "python"),
    ],
)
def test_a_document_that_is_out_of_step_is_found(repository: Path, text: str, expected: str) -> None:
    """A newcomer follows a document to the letter: a wrong letter costs them the evening."""
    document = repository / "README.md"
    document.write_text(f"First line.\n{text}\n")

    found = list(problems(document, repository))

    assert 1 == len(found)
    assert found[0].startswith("README.md:")
    assert expected in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "[there](guide.md#one-flip), [far](https://example.org/#x), <me@example.org>",
        "`make test`, and we make sure",
        "```json\n{}\n```\n\n```python\nx = 1\n```\n\n```\n[not a link](nowhere.md)\n```",
        "# Here\n\n[up](#here)",
    ],
)
def test_a_document_in_step_is_left_alone(repository: Path, text: str) -> None:
    """A check that cries wolf is switched off."""
    document = repository / "README.md"
    document.write_text(text)

    assert [] == list(problems(document, repository))


def test_headings_get_the_names_that_a_forge_gives_them() -> None:
    """Links are followed on the forge, so its naming is the one that counts."""
    assert {"what-you-get-10-", "again", "again-1", "midshift-compare"} == anchors(
        "# What you get (10 %)\n## Again\n## Again\n## `midshift compare`\n```sh\n# not a heading\n```\n"
    )
