"""Broken files: for each, every problem with its exact place and words.

A table (`broken.txt`), because a message is part of the interface: whoever reads it has nothing else to go by.
"""

from pathlib import Path

import pytest

from midshift import config
from tests.config.texts import BASE, FILES, having

TABLE = Path(__file__).with_name("broken.txt").read_text(encoding="utf-8")
BROKEN = {block.partition("\n")[0].removeprefix("= "): block for block in TABLE.strip("\n").split("\n\n")}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_the_place_and_the_way_out(name: str) -> None:
    """Found, expected, and what to type next: nobody should have to read the source to mend a file."""
    files, messages = as_files(BROKEN[name])

    with pytest.raises(config.InvalidConfig) as refused:
        config.parse(files)

    assert messages == str(refused.value).splitlines()


def test_the_files_that_the_table_spoils_are_whole() -> None:
    """Otherwise a row could be refused for another reason than its own."""
    assert ["support"] == list(config.parse(FILES).workloads)
    assert 100 < len(BROKEN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "version: 1\x07\n",
            "1:11: found broken YAML (special characters are not allowed: '\\x07'), expected well-formed YAML. "
            "Type next: the file again without control characters",
        ),
        (
            "a: " + "[" * 30 + "]" * 30,
            "1:27: found more than 24 levels of nesting, expected fewer. Type next: write it flatter, or in quotes",
        ),
        (
            "# " + "x" * 256 * 1024,
            "1:1: found 262,146 characters, expected at most 262,144. "
            "Type next: ls -l midshift.yaml   (is it the right file?)",
        ),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{late}: &{late} [{','.join([f'*{early}'] * 9)}]\n" for early, late in zip("abcd", "bcde", strict=True)
            ),
            "4:4: found more than 20,000 values, expected fewer; each alias counts in full. Type next: split the file",
        ),
        (
            '"\\UFFFFFFFF"',
            "1:1: found an impossible number, expected a character or a version that exists. "
            "Type next: remove the escape",
        ),
    ],
    ids=["control character", "depth", "length", "aliases of aliases", "escape"],
)
def test_a_file_that_could_hurt_is_refused_before_it_is_built(text: str, message: str) -> None:
    """A configuration may come with a pull request from anybody."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.parse({"midshift.yaml": text})

    assert f"midshift.yaml:{message}" == str(refused.value)


def test_at_most_twenty_problems_are_shown_in_the_order_of_the_file() -> None:
    """More would scroll the first one away, and one cause often has many."""
    lines = [f"field_{letter}: 1" for letter in "zyxwvutsrqponmlkjihgfedcba"]

    with pytest.raises(config.InvalidConfig) as refused:
        config.parse(having(*lines))

    assert [*range(7, 27)] == [problem.place.line for problem in refused.value.problems]
    assert "and 6 more; mend these first" == str(refused.value).splitlines()[-1]


def test_the_problems_of_all_files_come_together() -> None:
    """Three rounds for three files would be two too many."""
    files = {**having("stakes: huge"), "variants/a.yaml": "provider: sim\n"}

    with pytest.raises(config.InvalidConfig) as refused:
        config.parse(files)

    assert ["midshift.yaml:7:13", "variants/a.yaml:1:1"] == [str(item.place) for item in refused.value.problems]


def test_without_a_main_file_there_is_one_problem() -> None:
    """The first thing that anybody sees who forgot `init`."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.parse({})

    message = "midshift.yaml:1:1: found no such file, expected the definitions of the product. Type next: midshift init"
    assert message == str(refused.value)


def test_a_file_that_is_not_utf_8_says_which_byte() -> None:
    """An editor in another encoding is the likeliest cause, and the byte shows where."""
    with pytest.raises(config.InvalidConfig) as refused:
        config.parse({"midshift.yaml": config.decoded("version: 1\n# für ".encode() + b"K\xf6ln\n")})

    message = (
        "midshift.yaml:2:8: found the byte 0xf6, which is not UTF-8, expected UTF-8 text. "
        "Type next: iconv -t UTF-8 FILE > NEW   (with -f and what it is)"
    )
    assert message == str(refused.value)


def as_files(block: str) -> tuple[dict[str, str], list[str]]:
    """A block of the table: + adds a line, - and ~ exchange a text, @ and | give a whole file, ! is a message."""
    files, messages, name, old = dict(FILES), list[str](), "", ""
    for line in block.splitlines()[1:]:
        mark, text = line[:1], line[2:]
        match mark:
            case "+":
                files["midshift.yaml"] += f"{text}\n"
            case "-":
                old = text
            case "~":
                assert 1 == BASE.count(old)
                files["midshift.yaml"] = BASE.replace(old, text)
            case "@":
                name = text
                files[name] = ""
            case "|":
                files[name] += f"{text}\n"
            case "!":
                messages.append(text)
            case _:
                raise AssertionError(f"no such mark: {line!r}")
    return files, messages


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("keep: 7 days", "keep: 7d"),
        ("keep: 2 Weeks", "keep: 2w"),
        ("keep: 1 hour", "keep: 1h"),
        ("keep: a while", "keep: 14d"),
        ("keep: 7 dogs", "keep: 14d"),
        ("keep: 7d, texts: 5 %", "texts: 5%"),
    ],
)
def test_a_value_in_other_words_is_given_back_in_the_form_that_is_read(field: str, expected: str) -> None:
    """Whoever pastes what stands behind `Type next` must not change how long texts are kept."""
    texts = "" if "texts" in field else ", texts: 5%"

    with pytest.raises(config.InvalidConfig) as refused:
        config.parse(having(f"data: {{capture: {{{field}{texts}}}}}"))

    assert [expected] == [problem.type_next for problem in refused.value.problems]
