"""What is read from a folder, and what is not."""

import os
from pathlib import Path

import pytest

from midshift import config
from midshift.config import files
from tests.config.texts import FILES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with the smallest set of files."""
    root = tmp_path / "repository"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def refusal(folder: Path) -> str:
    """Why the folder cannot be loaded."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.load(folder)
    return str(refused.value)


def test_a_folder_and_its_main_file_are_the_same(folder: Path) -> None:
    """People type either."""
    assert config.parse(FILES) == config.load(folder) == config.load(folder / "midshift.yaml")


def test_the_main_file_may_have_another_name(folder: Path) -> None:
    """Two products can live in one repository."""
    (folder / "midshift.yaml").rename(folder / "other.yml")

    assert config.parse(FILES) == config.load(folder / "other.yml")


def test_only_the_files_that_are_named_are_read(folder: Path) -> None:
    """A broken draft in the same folder is nobody's problem."""
    (folder / "variants" / "draft.yaml").write_bytes(b"\xff")

    assert config.load(folder).workloads


def test_an_empty_folder_says_how_to_begin(tmp_path: Path) -> None:
    """The first contact with midshift."""
    assert refusal(tmp_path).endswith("Type next: midshift init")


def test_a_link_out_of_the_folder_is_not_followed(folder: Path) -> None:
    """A pull request could otherwise bring any file of the CI machine into a prompt, and so to a vendor."""
    outside = folder.parent / "outside.yaml"
    outside.write_text("provider: sim\nmodel: stolen\n", encoding="utf-8")
    (folder / "variants" / "a.yaml").unlink()
    (folder / "variants" / "a.yaml").symlink_to(outside)

    assert refusal(folder).startswith("variants/a.yaml:1:1: found a link out of the folder of midshift.yaml")


def test_a_link_inside_the_folder_is(folder: Path) -> None:
    """Sharing a file is fine."""
    (folder / "variants" / "a.yaml").unlink()
    (folder / "variants" / "a.yaml").symlink_to("b.yaml")

    assert "harbour" == config.load(folder).workloads["support"].incumbent.variant.model


def test_a_circle_of_links_is_a_problem_and_not_a_crash(folder: Path) -> None:
    """It happens when a folder is moved."""
    (folder / "variants" / "a.yaml").unlink()
    (folder / "variants" / "a.yaml").symlink_to("a.yaml")

    assert refusal(folder).startswith("variants/a.yaml:1:1: found a file that cannot be read")


def test_a_pipe_in_place_of_a_file_does_not_wait(folder: Path) -> None:
    """Reading it would hang a CI job until its end."""
    (folder / "variants" / "a.yaml").unlink()
    os.mkfifo(folder / "variants" / "a.yaml")

    assert (
        "variants/a.yaml:1:1: found a folder or a device, expected a file. Type next: ls -ld variants/a.yaml"
        == refusal(folder)
    )


def test_bytes_that_are_no_text_are_told_with_their_place(folder: Path) -> None:
    """As for the text of a file, so for the file."""
    (folder / "variants" / "a.yaml").write_bytes(b"provider: sim\nmodel: \xe4\n")

    assert refusal(folder).startswith("variants/a.yaml:2:8: found the byte 0xe4, which is not UTF-8")


def test_a_huge_file_is_not_read(folder: Path) -> None:
    """A model's weights with the wrong name."""
    with (folder / "variants" / "a.yaml").open("wb") as file:
        file.truncate(files.LARGEST_FILE + 1)

    assert "found 67,108,865 bytes, expected at most 67,108,864" in refusal(folder)


def test_a_name_that_no_file_can_have_is_a_problem_and_not_a_crash(folder: Path) -> None:
    """The system would raise on it."""
    assert isinstance(files.read(folder, "a\0b"), config.Unreadable)
    assert isinstance(files.read(folder, "a" * 300), config.Unreadable)


def test_a_candidate_that_is_not_there_says_so(folder: Path) -> None:
    """`upgrade start --to` with a typing error."""
    with pytest.raises(config.InvalidConfig, match=r"variants/c\.yaml:1:1: found no such file"):
        config.load_variant(folder, "variants/c.yaml")


def test_a_variant_that_is_not_there_is_answered_with_those_that_are(folder: Path) -> None:
    """A typing error: `midshift init` would write files that have nothing to do with it."""
    (folder / "variants" / "sonnet-4.6.yaml").write_text("provider: sim\nmodel: new\n", encoding="utf-8")

    with pytest.raises(config.InvalidConfig) as refused:
        config.load_variant(folder, "variants/sonet-4.6.yaml")

    (problem,) = refused.value.problems
    assert "variants/a.yaml" in problem.expected and "variants/sonnet-4.6.yaml" in problem.expected
    assert "variants/sonnet-4.6.yaml" == problem.type_next


@pytest.mark.parametrize("path", ["elsewhere/zzz.yaml", "../zzz.yaml"])
def test_no_file_outside_of_the_folder_is_named(folder: Path, path: str) -> None:
    """What lies beside a repository is nobody's business; its own variants are."""
    (folder.parent / "zzy.yaml").write_text("", encoding="utf-8")

    with pytest.raises(config.InvalidConfig) as refused:
        config.load_variant(folder, path)

    assert "zzy" not in str(refused.value)
