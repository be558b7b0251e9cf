"""Telling the form of a file from its first bytes, or saying what it is instead and what to type next."""

import bz2
import gzip
import json
import lzma
import zipfile
from io import BytesIO

import pytest

from midshift.errors import InputError
from midshift.evals.formats import Format, detect
from tests.builders import a_row, lines_of

RESULT = {"testIdx": 0, "promptIdx": 0, "provider": "old"}
ROW = lines_of([a_row("x")])[0]


def zipped(content: bytes) -> bytes:
    """The content as the only member of a zip archive."""
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("rows.jsonl", content)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (ROW, Format.PAIRED_OUTPUTS),
        (b"\xef\xbb\xbf" + ROW, Format.PAIRED_OUTPUTS),
        (b"\n \r\n" + ROW, Format.PAIRED_OUTPUTS),
        (b'{"results": 3, "id": "x", "outputs": {}}\n', Format.PAIRED_OUTPUTS),
        (b"", Format.PAIRED_OUTPUTS),
        (b"no JSON at all\n" + ROW, Format.PAIRED_OUTPUTS),
        (b"{" * 100_000, Format.PAIRED_OUTPUTS),
        (b'{"a":' * 100_000, Format.PAIRED_OUTPUTS),
        (b"\xff" * 10 + b"\n" + ROW, Format.PAIRED_OUTPUTS),
        (b'{"evalId": "e", "results": {"version": 3}}', Format.PROMPTFOO),
        (b'\n{\n  "evalId": "e",\n  "results": {', Format.PROMPTFOO),
        (b'\xef\xbb\xbf{"results":{"results":[', Format.PROMPTFOO),
        (b'{"version":3,"results":[]}', Format.PROMPTFOO),
        (json.dumps(RESULT).encode(), Format.PROMPTFOO_LINES),
    ],
)
def test_a_file_is_known_by_its_first_row(head: bytes, expected: Format) -> None:
    """Nobody should have to say which of three forms a file has; what is none of them is read row by row."""
    assert expected is detect(head, "f.jsonl")


@pytest.mark.parametrize(
    ("content", "kind", "command"),
    [
        (gzip.compress(ROW, mtime=0), "gzip", "gunzip -c < 'my rows' > rows.jsonl"),
        (bz2.compress(ROW), "bzip2", "bunzip2 -c < 'my rows' > rows.jsonl"),
        (lzma.compress(ROW), "xz", "xz -dc < 'my rows' > rows.jsonl"),
        (b"\x28\xb5\x2f\xfd" + ROW, "zstd", "zstd -dc < 'my rows' > rows.jsonl"),
        (zipped(ROW), "a zip archive", "unzip -p 'my rows' > rows.jsonl"),
        (
            b"PAR1" + ROW,
            "Parquet",
            "python -c 'import pandas, sys; "
            'pandas.read_parquet(sys.argv[1]).to_json("rows.jsonl", orient="records", lines=True)\' \'my rows\'',
        ),
    ],
)
def test_a_packed_file_is_answered_with_the_command_that_unpacks_it(content: bytes, kind: str, command: str) -> None:
    """The name goes into the command as a shell needs it, so that it can be typed as it stands."""
    with pytest.raises(InputError) as refused:
        detect(content, "my rows")

    assert f"my rows is {kind}; expected text. Type next: {command}" == str(refused.value)


@pytest.mark.parametrize(
    ("encoding", "kind"), [("utf-16", "UTF-16"), ("utf-32", "UTF-32"), ("utf-16-le", ""), ("utf-16-be", "")]
)
def test_a_file_in_another_encoding_is_named_before_every_line_fails(encoding: str, kind: str) -> None:
    """Spreadsheets save UTF-16; a thousand lines that are "not JSON" would hide that."""
    with pytest.raises(InputError) as refused:
        detect(ROW.decode().encode(encoding), "f")

    expected = (
        f"f is {kind}; expected UTF-8. Type next: iconv -f {kind} -t UTF-8 f > utf8.jsonl"
        if kind
        else "f begins with a zero byte or two; expected UTF-8 text. Type next: file f"
    )
    assert expected == str(refused.value)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            b'\n [{"id": "x"}]',
            "f is one JSON array; expected one JSON object a line. Type next: jq -c '.[]' f > rows.jsonl",
        ),
        (
            b'{\r\n  "id": "x",\r\n',
            "f is one JSON object over many lines, and not promptfoo's; expected one object a line. "
            "Type next: jq -c . f > rows.jsonl",
        ),
    ],
)
def test_json_of_another_shape_is_answered_with_the_command_that_reshapes_it(head: bytes, message: str) -> None:
    """The content is right, so one command away is where the user should be."""
    with pytest.raises(InputError) as refused:
        detect(head, "f")

    assert message == str(refused.value)
