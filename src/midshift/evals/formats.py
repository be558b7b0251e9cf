"""Which of the known forms a file has, told from its first bytes."""

from __future__ import annotations

import re
import shlex
from enum import StrEnum

import msgspec

from midshift.errors import InputError


class Format(StrEnum):
    """The forms that `compare` reads."""

    PAIRED_OUTPUTS = "paired outputs"
    PROMPTFOO = "promptfoo results"
    PROMPTFOO_LINES = "promptfoo results, one a line"


_PROMPTFOO = re.compile(rb'\A\s*\{\s*"(?:evalId|results|version)"\s*:')
_FOREIGN = (
    (b"\x1f\x8b", "gzip", "gunzip -c < {} > rows.jsonl"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstd -dc < {} > rows.jsonl"),
    (b"BZh", "bzip2", "bunzip2 -c < {} > rows.jsonl"),
    (b"\xfd7zXZ", "xz", "xz -dc < {} > rows.jsonl"),
    (b"PK\x03\x04", "a zip archive", "unzip -p {} > rows.jsonl"),
    (
        b"PAR1",
        "Parquet",
        "python -c 'import pandas, sys; "
        'pandas.read_parquet(sys.argv[1]).to_json("rows.jsonl", orient="records", lines=True)\' {}',
    ),
)
_UNICODE = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)


def detect(head: bytes, name: str) -> Format:
    """Tell the form of a file from its beginning (up to a megabyte of it).

    Raises:
        InputError: for a file that is recognisably something else, with the way out.
    """
    quoted = shlex.quote(name)
    for mark, kind, command in _FOREIGN:
        if head.startswith(mark):
            raise InputError(f"{name} is {kind}; expected text. Type next: {command.format(quoted)}")
    for mark, kind in _UNICODE:
        if head.startswith(mark):
            raise InputError(
                f"{name} is {kind}; expected UTF-8. Type next: iconv -f {kind} -t UTF-8 {quoted} > utf8.jsonl"
            )
    if b"\0" in head[:4]:
        raise InputError(f"{name} begins with a zero byte or two; expected UTF-8 text. Type next: file {quoted}")
    head = head.removeprefix(b"\xef\xbb\xbf")
    first = head.lstrip()[:1]
    if first == b"[":
        raise InputError(
            f"{name} is one JSON array; expected one JSON object a line. Type next: jq -c '.[]' {quoted} > rows.jsonl"
        )
    line = head.lstrip().split(b"\n", 1)[0]
    keys = _keys(line)
    if "outputs" in keys:
        return Format.PAIRED_OUTPUTS
    if {"promptIdx", "testIdx"} <= keys:
        return Format.PROMPTFOO_LINES
    if _PROMPTFOO.match(head):
        return Format.PROMPTFOO
    if line.strip() == b"{":
        raise InputError(
            f"{name} is one JSON object over many lines, and not promptfoo's; expected one object a line. "
            f"Type next: jq -c . {quoted} > rows.jsonl"
        )
    return Format.PAIRED_OUTPUTS


def _keys(line: bytes) -> set[str]:
    try:
        return set(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return set()
