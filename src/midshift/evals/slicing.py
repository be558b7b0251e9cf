"""Into which slices a recorded request falls by a workload's rules, of every kind: as a gateway tells them, and later.

A gateway tells rules on headers and the body on the path of a request, with the same outcome as here; a rule on the
language is too dear there, and is told from the record. Contract: pure. A language that cannot be told is no slice.
Elsewhere: the rules (domain.workload), on the path (gateway.intake), which language (domain.language).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midshift.domain.language import language_of, told_as
from midshift.domain.workload import BodyEquals, HeaderEquals, LanguageIs, When, Workload
from midshift.wire.json_object import inside

SLICE_HEADER = "x-midshift-slice"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as rules see it: headers by small names, the body as the app sent it, the language of the user."""

    headers: Mapping[str, Any]
    body: Any
    language: str | None = None


def slices_of(workload: Workload, request: Recorded, said: Sequence[str] = ()) -> tuple[str, ...]:
    """The slices by rule, by the header in which an app names them, and by what was `said` with the request."""
    by_rule = {rule.slice for rule in workload.rules if holds(rule.when, request)}
    listed = request.headers.get(SLICE_HEADER)
    asked = {name.strip() for name in listed.split(",")} if isinstance(listed, str) else set()
    known = [part.name for part in workload.slices if part.name in by_rule | asked]
    return tuple(dict.fromkeys([*known, *said]))


def holds(when: When, request: Recorded) -> bool:
    """Whether a rule's condition holds for a request."""
    match when:
        case HeaderEquals(header=header, equals=equals):
            return bool(request.headers.get(header.lower()) == equals)
        case BodyEquals(body=path, equals=equals):
            return _same(inside(request.body, path), equals)
        case LanguageIs(language=language):
            return request.language is not None and request.language == told_as(language)


def asks_language(workload: Workload) -> bool:
    """Whether any rule is on the language."""
    return any(isinstance(rule.when, LanguageIs) for rule in workload.rules)


def never_told(workload: Workload) -> list[tuple[str, str]]:
    """Slices with the languages of their rules that cannot be told from any text."""
    return [
        (rule.slice, rule.when.language)
        for rule in workload.rules
        if isinstance(rule.when, LanguageIs) and told_as(rule.when.language) is None
    ]


def language_of_user(messages: Sequence[Any]) -> str | None:
    """The language of a chat's last message of the user; of all of the user's, where that one does not tell."""
    texts = [_words(one.get("content")) for one in messages if isinstance(one, Mapping) and one.get("role") == "user"]
    if not texts:
        return None
    return language_of(texts[-1]) or language_of("\n".join(reversed(texts)))


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _same(value: object, expected: object) -> bool:
    """Equal, where text is never a number and neither is true."""
    kinds = (str, bool)
    return all(isinstance(value, kind) == isinstance(expected, kind) for kind in kinds) and value == expected
