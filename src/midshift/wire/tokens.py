"""Texts under a few names in the JSON of an answer, found without decoding it.

For tokens that an app sends back later: a relay must not decode each event of a stream for them. A quote within a text
is always escaped in JSON, so no text that a model wrote is taken for a field; and no token has a quote in it.
Elsewhere: which names a wire's tokens have (its own module), what becomes of them (gateway).
"""

from __future__ import annotations

import re

import msgspec

_SHORTEST = 8  # an index or a name; no vendor makes shorter tokens

_text = msgspec.json.Decoder(str)


def named(*names: str) -> re.Pattern[bytes]:
    """Finds any of these names in quotes: one pass, so that megabytes of a picture are looked through once."""
    return re.compile(rb'"(?:%b)"' % "|".join(map(re.escape, names)).encode())


def texts_of(*names: str) -> re.Pattern[bytes]:
    """Finds the texts under any of these names, for `found`."""
    return re.compile(named(*names).pattern + rb'[ \t\r\n]*:[ \t\r\n]*"([^"]*)"')


def found(texts_of_names: re.Pattern[bytes], part: bytes) -> list[str]:
    """The texts under these names, each once, in their order; what is no JSON text, or no vendor's id, is left out."""
    texts = [_read(raw) for raw in texts_of_names.findall(part)]
    return list(dict.fromkeys(text for text in texts if len(text) >= _SHORTEST))


def _read(raw: bytes) -> str:
    try:
        return raw.decode("ascii") if b"\\" not in raw else _text.decode(b'"%b"' % raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
