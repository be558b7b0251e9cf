"""Whether an answer is JSON: the promise that every text can be held to, without a schema.

It is about the *whole* output: one outer code fence is stripped, nothing else, and the rest must be JSON by the letter
(RFC 8259: no NaN, no comments, no trailing comma). A parser that was written against the incumbent does not dig a JSON
block out of prose.
Elsewhere: whether it fits a schema (contracts), which loads a library that gateways do without.
"""

from __future__ import annotations

import msgspec

_FENCE = "```"
JSON_SPACE = " \t\r\n"
"""What may stand around a value."""

_MAY_START_JSON = frozenset('{["-0123456789tfn')
_MAY_START_EITHER = _MAY_START_JSON | {_FENCE[0]}


def unfenced(text: str) -> str:
    """The text inside one outer code fence, or the text itself."""
    fenced = text.strip()
    if not (fenced.startswith(_FENCE) and fenced.endswith(_FENCE)):
        return text
    opening, newline, rest = fenced.partition("\n")
    if not newline or "`" in opening.removeprefix(_FENCE):
        return text
    return rest.removesuffix(_FENCE).rstrip(" \t").removesuffix("\n")


def is_json(text: str) -> bool:
    """Whether the whole text, one outer code fence stripped, is one JSON value."""
    if text.lstrip()[:1] not in _MAY_START_EITHER:
        return False
    body = unfenced(text).strip(JSON_SPACE)
    if not body or body[0] not in _MAY_START_JSON:
        return False
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True
