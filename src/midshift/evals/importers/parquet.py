"""The rows of a Parquet file as JSON values, with the extra `parquet` (pyarrow).

What JSON has no type for is carried as text: dates and times as Arrow prints them (to the nanosecond), decimals with
every digit, bytes that are no text in base64. A map is an object. Parquet gives every struct every field, so that one
which is null cannot be told from one that is not there: it is taken as not there, or a request would be full of nulls.
Rows are decoded a batch at a time, row group after row group; the file itself is held in memory.
Elsewhere: how many rows and levels are allowed (data), what a row means (row_cases).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from midshift.errors import InputError

try:
    import pyarrow as pa
    from pyarrow import parquet as _parquet
except ImportError:  # the extra `parquet`
    pa = None

MAGIC = b"PAR1"
LARGEST_DECODED = 2 << 30
"""Bytes of all columns together: a dictionary can make a kilobyte of file into a gigabyte of rows."""
_ROWS_AT_ONCE = 64


def rows(
    data: bytes, name: str, deepest: int, most_bytes: int = LARGEST_DECODED
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a file, each with its number from 1.

    Raises:
        InputError: if pyarrow is missing, for a file that is no Parquet, and for one that unfolds to too much.
    """
    if pa is None:
        raise InputError(f"{name} is Parquet, and pyarrow is not installed. Type next: pip install 'midshift[parquet]'")
    number = 0
    try:
        for batch in _batches(data, name, most_bytes):
            for row in batch.to_pylist():
                number += 1
                yield number, {str(key): _plain(value, name, number, deepest) for key, value in row.items()}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{name}: Parquet that cannot be read after row {number}: {error}") from None


def _batches(data: bytes, name: str, most_bytes: int) -> Iterator[Any]:
    decoded = 0
    file = _parquet.ParquetFile(pa.BufferReader(data))
    for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
        decoded += batch.nbytes
        if decoded > most_bytes:
            raise InputError(f"{name}: unfolds to more than {most_bytes:,} bytes, expected less")
        yield pa.RecordBatch.from_arrays([_column(column) for column in batch.columns], names=batch.schema.names)


def _column(column: Any) -> Any:
    """A column with its times as texts: Python's own know no nanoseconds, and not every year."""
    wanted = _type(column.type)
    return column if wanted == column.type else column.cast(wanted)


def _type(found: Any) -> Any:
    kind = pa.types
    if kind.is_temporal(found):
        return pa.string()
    if kind.is_struct(found):
        return pa.struct([found.field(at).with_type(_type(found.field(at).type)) for at in range(found.num_fields)])
    if kind.is_large_list(found):
        return pa.large_list(found.value_field.with_type(_type(found.value_type)))
    if kind.is_list(found):
        return pa.list_(found.value_field.with_type(_type(found.value_type)))
    if kind.is_map(found):
        return pa.map_(_type(found.key_type), _type(found.item_type))
    return _type(found.value_type) if kind.is_dictionary(found) else found


def _plain(value: Any, name: str, number: int, left: int) -> Any:
    if left <= 0:
        raise InputError(f"{name}:{number}: nested too deeply, expected less")
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return _text(value)
        case dict():
            inner = {str(key): _plain(one, name, number, left - 1) for key, one in value.items()}
            return {key: one for key, one in inner.items() if one is not None}
        case [*pairs] if pairs and all(isinstance(pair, tuple) for pair in pairs):
            return _map([(str(_plain(key, name, number, 1)), one) for key, one in pairs], name, number, left)
        case [*items]:
            return [_plain(one, name, number, left - 1) for one in items]
        case _:
            return str(value)  # decimals, UUIDs


def _map(pairs: list[tuple[str, Any]], name: str, number: int, left: int) -> Any:
    """An object; a list of pairs where a key is there twice, so that neither value goes."""
    inner = [(key, _plain(one, name, number, left - 1)) for key, one in pairs]
    return dict(inner) if len(dict(inner)) == len(inner) else [[key, one] for key, one in inner]


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")
