"""What is written is read back, and nothing that is read does anything but succeed or explain itself."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from midshift import config
from midshift.config import Definitions, starter
from tests.config.strategies import definitions
from tests.config.texts import FILES

STARTER = starter.files()
YAML = st.text(st.sampled_from("ab1%&*!|>'\"#-?:,[]{}<~ \n\t\\0x.@`"), max_size=60)


@pytest.mark.slow
@given(definitions())
@settings(max_examples=60)
def test_definitions_are_read_back_as_they_were_written(written: Definitions) -> None:
    """Whatever a store or a sync writes must mean the same tomorrow, in every corner of YAML."""
    read = config.parse(config.dump(written))

    assert written == read
    assert [item.definition_hash for item in written] == [item.definition_hash for item in read]
    assert written.variants == read.variants
    assert written.providers == read.providers


@pytest.mark.slow
@given(definitions())
@settings(max_examples=30)
def test_a_stored_content_gives_its_definition_back(written: Definitions) -> None:
    """An apply compares with what was applied months ago, from the store alone."""
    others = [config.providers_content(written), config.graders_content(written)]
    restored = config.restored([*(config.content(item) for item in written), *others])

    assert written.workloads == restored.workloads
    assert written.providers == restored.providers


@pytest.mark.slow
@given(st.binary(max_size=200) | YAML.map(str.encode))
@example(b'"\\UFFFFFFFF"')
@example(b"%YAML 1." + b"9" * 5000)
@example(b"? - a\n: b")
@example(b"workloads: {a: {slices: {? [] : {}}}}")
@settings(max_examples=300, deadline=5000)
def test_any_bytes_are_definitions_or_a_list_of_problems(data: bytes) -> None:
    """A crash would be blamed on the file by its owner, and would hide what is wrong with it."""
    refused_or_read({"midshift.yaml": data})


@pytest.mark.slow
@given(
    st.sampled_from([name for name in STARTER if name.endswith((".yaml", ".jsonl"))]),
    st.integers(0, 3000),
    st.integers(0, 30),
    YAML,
)
@settings(max_examples=300, deadline=5000)
def test_a_spoilt_file_is_definitions_or_a_list_of_problems(name: str, at: int, length: int, put: str) -> None:
    """Most broken files were whole a moment ago; these reach every corner that random bytes do not."""
    text = STARTER[name]
    at = at % (len(text) + 1)
    spoilt = text[:at] + put + text[at + length :]

    refused_or_read({**{other: text.encode() for other, text in STARTER.items()}, name: spoilt.encode()})


@given(st.permutations(list(FILES)))
@settings(max_examples=6)
def test_the_order_of_files_and_fields_means_nothing(order: list[str]) -> None:
    """Two machines must agree on a hash, whatever their directories list first."""
    shuffled = {name: FILES[name] for name in order}
    lines = FILES["midshift.yaml"].splitlines(keepends=True)
    shuffled["midshift.yaml"] = "# with a comment\n" + "".join([lines[0], lines[1], lines[2], *reversed(lines[3:])])

    assert config.parse(FILES) == config.parse(shuffled)


def refused_or_read(files: dict[str, bytes]) -> None:
    """Parse, check and describe; InvalidConfig is the only way out that is not success."""
    try:
        read = config.parse({name: config.decoded(data) for name, data in files.items()})
    except config.InvalidConfig as refused:
        assert 1 <= len(refused.problems) <= 20
        assert all(str(problem).isprintable() for problem in refused.problems)
    else:
        assert read == config.parse(config.dump(read))
        assert all(str(remark).isprintable() for remark in config.check(read))
        assert () == config.difference(read, read).changes
