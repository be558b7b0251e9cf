"""Blacking out what says who somebody is, or opens a door, before a text is kept.

Pure, and linear in the length of the text. A pattern that may be wrong blacks out too much rather than too little: an
order number of ten digits goes as a phone number. What it cannot see stays: names, addresses, what a picture shows.
Keys and passwords of machines (`sk-...`, bearer tokens, private keys) are blacked out whatever was asked for. A text
may be JSON itself: what stands behind an escape like `\\n` in it stands at a beginning, and `\\u0040` is an at.

What is matched, and how it is told apart:
- card: 13 to 19 digits with a right check digit (ISO/IEC 7812-1, Luhn's formula)
- iban: two letters, two check digits and up to 30 characters whose remainder by 97 is 1 (ISO 13616-1)
- ip: what Python reads as an IPv4 or IPv6 address
- phone: 7 to 15 digits (E.164 has at most 15) with a plus, a leading zero, separators, or at least 10 of them; a date
  as ISO 8601 writes it is none
"""

from __future__ import annotations

import ipaddress
import json
import re
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from midshift.domain.workload import Redaction

LEFT_OUT = "[left out: {} characters of data]"
LONGEST_WORD = 2000
"""A text without any space beyond this is a file, not words: an image, a document, audio."""

_SHORTEST_KEY = 15
"""Characters of the shortest text that any pattern of a key matches: a Slack token's."""

_STRUCTURE = frozenset({"type", "role", "model", "id", "call_id", "tool_call_id", "tool_use_id", "finish_reason"})
_NAMES_A_PERSON = frozenset({"user", "user_id", "safety_identifier", "prompt_cache_key"})
_JSON_TEXTS = frozenset({"arguments", "partial_json"})

# Each pattern begins with what it looks for and looks behind afterwards: Python scans for a first sign ten times as
# fast as it tries an expression at every place.
_KEYS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (begins, re.compile(pattern))
    for begins, pattern in (
        ("-----BEGIN", r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-]*+(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?"),
        ("sk", r"sk(?<![\w-]sk)[-_][A-Za-z0-9_-]{16,}+"),
        ("pk", r"pk(?<![\w-]pk)[-_][A-Za-z0-9_-]{16,}+"),
        ("rk", r"rk(?<![\w-]rk)[-_][A-Za-z0-9_-]{16,}+"),
        ("AKIA", r"AKIA(?<!\wAKIA)[0-9A-Z]{16}(?!\w)"),
        ("ASIA", r"ASIA(?<!\wASIA)[0-9A-Z]{16}(?!\w)"),
        ("gh", r"gh(?<!\wgh)[pousr]_[A-Za-z0-9]{20,}+"),
        ("github_pat_", r"github_pat_(?<!\wgithub_pat_)\w{20,}+"),
        ("xox", r"xox(?<!\wxox)[abeoprs]-[\w-]{10,}+"),
        ("AIza", r"AIza(?<!\wAIza)[\w-]{30,}+"),
        ("hf_", r"hf_(?<!\whf_)[A-Za-z0-9]{20,}+"),
        ("eyJ", r"eyJ(?<![\w-]eyJ)[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*+"),
        ("earer ", r"(?<=earer )[\w.~+/=-]{16,}+"),
    )
)
_OF_K = re.compile(r"k[-_][A-Za-z0-9_-]{16}")
_OF_GITHUB = re.compile(r"gh[pousr]_")
_DOMAIN = re.compile(r"(?:@|\\u0040)[\w-]++(?:\.[\w-]++)++")
_ESCAPES = re.compile(r"(\\[bfnrt])")
_OF_MAILBOXES = frozenset(".%+'-_")
_CARD = re.compile(r"\d(?<![\d.]\d)(?:[ -]?\d){12,18}(?!\d)")
_IBAN = re.compile(r"[A-Za-z](?<![A-Za-z0-9].)[A-Za-z]\d{2}(?:[ -]?[A-Za-z0-9]){11,30}", re.DOTALL)
_IPV4 = re.compile(r"\d(?<![\w.:]\d)\d{0,2}(?:\.\d{1,3}){3}")
_TWO_DOTS = re.compile(r"\.\d{1,3}\.")  # every IPv4 address has such a place
_TWO_COLONS = re.compile(r":[0-9A-Fa-f]{0,4}:")  # every IPv6 address has such a place
_IPV6 = re.compile(
    r"[0-9A-Fa-f:](?<![\w.:].)(?<=(?=[0-9A-Fa-f]*:[0-9A-Fa-f]*:).)[0-9A-Fa-f:]{1,40}(?:(?:\.\d{1,3}){3})?", re.DOTALL
)
_PHONE = re.compile(
    r"[+(\d](?<![\w+-].)(?<!\d[.,].)(?:(?<=\d)|(?<=\()\+?\d|(?<=\+)\d)(?:[ ()./-]{0,3}\d){6,14}(?!\w)", re.DOTALL
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2})?|\d{4}/\d{2}/\d{2}|\d{1,2}[./]\d{1,2}[./]\d{4}")


def redacted(text: str, kinds: Collection[Redaction]) -> str:
    """The text with `[email]` and the like in the place of what was asked for, and `[key]` in that of keys."""
    has_keys = len(text) >= _SHORTEST_KEY and _may_hold_keys(text)
    if has_keys:
        text = _without_keys(text)
    elif not kinds:
        return text
    if "\\" not in text:
        return _without_kinds(text, kinds)
    parts = [_without_keys(part) if has_keys else part for part in _ESCAPES.split(text)]
    return "".join([_without_kinds(part, kinds) for part in parts])


def _without_keys(text: str) -> str:
    for begins, pattern in _KEYS:
        if begins in text:
            text = pattern.sub("[key]", text)
    return text


def _without_kinds(text: str, kinds: Collection[Redaction]) -> str:
    held = _held_at_most(text) if kinds else ()
    for kind in _ORDER:
        if kind in kinds and kind in held:
            text = _without(kind, text)
    return text


def _may_hold_keys(text: str) -> bool:
    """Whether to look for keys one by one. A single sign is found, or not found, thirty times as fast as a word."""
    return (
        ("-" in text and (_holds_of_k("k-", text) or "-----BEGIN" in text or ("x" in text and "xox" in text)))
        or ("_" in text and (_holds_of_k("k_", text) or _holds_of_github(text) or "hf_" in text))
        or ("I" in text and ("AKIA" in text or "ASIA" in text or "AIza" in text))
        or ("J" in text and "eyJ" in text)
        or "earer " in text
    )


def _holds_of_k(begins: str, text: str) -> bool:
    """`task-force` and `ask_id` begin like a key, and no key is as short."""
    return begins in text and _OF_K.search(text) is not None


def _holds_of_github(text: str) -> bool:
    """Half of all English texts hold a `gh`, and `github` holds none."""
    return "github_pat_" in text or ("gh" in text and _OF_GITHUB.search(text) is not None)


def _held_at_most(text: str) -> Collection[Redaction]:
    """What a text may hold, by the least that each pattern takes."""
    signs = text.encode("ascii", "replace").translate(_SIGNS)
    if b"0" not in signs:
        return _LOOKED_FOR_AT_ONCE
    digits = signs.translate(None, b"-")
    found = [*_LOOKED_FOR_AT_ONCE]
    if b"aa00" in signs:
        found.append(Redaction.IBAN)
    if b"0" * 13 in digits:
        found.append(Redaction.CARD)
    if b"0" * 7 in digits:
        found.append(Redaction.PHONE)
    return found


def _without(kind: Redaction, text: str) -> str:
    match kind:
        case Redaction.EMAIL:
            return _without_addresses(text) if "@" in text or "\\u0040" in text else text
        case Redaction.IBAN:
            return _IBAN.sub(_iban, text)
        case Redaction.CARD:
            return _CARD.sub(_card, text)
        case Redaction.IP:
            text = _IPV4.sub(_ip, text) if _TWO_DOTS.search(text) else text
            return _IPV6.sub(_ip, text) if _TWO_COLONS.search(text) else text
        case Redaction.PHONE:
            return _PHONE.sub(_phone, text)


def _without_addresses(text: str) -> str:
    """Found by their end: most words are no mailbox, and few signs are an at."""
    parts, done = [], 0
    for domain in _DOMAIN.finditer(text):
        start = domain.start()
        while start > done and (text[start - 1].isalnum() or text[start - 1] in _OF_MAILBOXES):
            start -= 1
        if start < domain.start():
            parts += [text[done:start], "[email]"]
            done = domain.end()
    return "".join((*parts, text[done:]))


def redacted_json(value: Any, kinds: Collection[Redaction], units: Collection[str] = ()) -> Any:
    """A JSON value with every text in it redacted; files within it are left out, with their length.

    `units` are dotted paths whose value names a person; so do the fields that vendors have for it. Both become
    `[unit]`. Names of fields, roles and ids stay, so that it can still be read as what it was.
    """
    return _walked(value, kinds, _places(tuple(units)), 0)


@dataclass(slots=True)
class _Place:
    """A place in a body: whether a unit stands there, and the places below it on the way to others."""

    is_unit: bool = False
    below: dict[str, _Place] = field(default_factory=dict)


_NOWHERE = _Place()
"""No unit stands there nor below; most places are like it."""


@lru_cache(256)
def _places(units: tuple[str, ...]) -> _Place:
    """The root of these dotted paths, the same in every request of a workload."""
    root = _Place()
    for path in units:
        place = root
        for name in path.split("."):
            place = place.below.setdefault(name, _Place())
        place.is_unit = True
    return root


def _walked(value: Any, kinds: Collection[Redaction], place: _Place, depth: int) -> Any:
    """`value` stands at `place`, below `depth` names."""
    match value:
        case str():
            return _spoken(value, kinds)
        case dict() | Mapping():
            return {name: _field(str(name), inner, kinds, place, depth) for name, inner in value.items()}
        case list() | Sequence():
            if not place.below:
                return [_walked(inner, kinds, _NOWHERE, depth + 1) for inner in value]
            return [_item(str(at), inner, kinds, place, depth) for at, inner in enumerate(value)]
        case int() if kinds and not isinstance(value, bool):  # no key is a number
            shown = redacted(str(value), kinds)
            return value if shown == str(value) else shown
    return value


def _item(at: str, value: Any, kinds: Collection[Redaction], parent: _Place, depth: int) -> Any:
    place = parent.below.get(at, _NOWHERE)
    return "[unit]" if place.is_unit else _walked(value, kinds, place, depth + 1)


def _field(name: str, value: Any, kinds: Collection[Redaction], parent: _Place, depth: int) -> Any:
    place = parent.below.get(name, _NOWHERE)
    if place.is_unit or (depth < 2 and name in _NAMES_A_PERSON and value is not None):
        return "[unit]"
    if isinstance(value, str):
        if name in _STRUCTURE and len(value) < 200:
            return value
        return _json_text(value, kinds) if name in _JSON_TEXTS else _spoken(value, kinds)
    return _walked(value, kinds, place, depth + 1)


def _json_text(text: str, kinds: Collection[Redaction]) -> str:
    """JSON within a text stays JSON: a number that is blacked out becomes a text in it."""
    try:
        inner = json.loads(text)
    except ValueError:
        return _spoken(text, kinds)
    return json.dumps(_walked(inner, kinds, _NOWHERE, 3), ensure_ascii=False)


def _spoken(text: str, kinds: Collection[Redaction]) -> str:
    if len(text) > LONGEST_WORD and not any(character.isspace() for character in text[:LONGEST_WORD]):
        return LEFT_OUT.format(len(text))
    return redacted(text, kinds)


def _card(match: re.Match[str]) -> str:
    digits = [int(character) for character in match[0] if character.isdecimal()]
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return "[card]" if sum(doubled) % 10 == 0 else match[0]


def _iban(match: re.Match[str]) -> str:
    """Words may follow without a sign between: the longest beginning that checks is the number."""
    found = match[0]
    for end in range(len(found), 14, -1):
        plain = re.sub(r"[ -]", "", found[:end]).upper()
        if found[end - 1].isalnum() and len(plain) >= 15 and _remainder(plain) == 1:
            return f"[iban]{found[end:]}"
    return found


def _remainder(iban: str) -> int:
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97


def _ip(match: re.Match[str]) -> str:
    found = match[0]
    for end in (len(found), len(found.rstrip(":."))):
        try:
            address = ipaddress.ip_address(found[:end])
        except ValueError:
            continue
        if any(character.isdecimal() for character in str(address)):
            return f"[ip]{found[end:]}"
    return found


def _phone(match: re.Match[str]) -> str:
    found = match[0]
    digits = sum(character.isdecimal() for character in found)
    is_plain = found.isdecimal()
    if _DATE.match(found) or (is_plain and found[0] != "0" and digits < 10):
        return found
    return "[phone]"


_KINDS_OF_SIGNS = {"a": string.ascii_letters, "0": string.digits + "?", "-": " ()./-"}
_SIGNS = bytes(
    ord(next((kind for kind, signs in _KINDS_OF_SIGNS.items() if chr(byte) in signs), "x")) for byte in range(256)
)
"""Each sign as what the patterns of numbers tell apart: a letter, a digit, what may stand between two digits, others.
A question mark counts as a digit: it stands for all signs beyond ASCII, and other scripts have digits too."""

_LOOKED_FOR_AT_ONCE = (Redaction.EMAIL, Redaction.IP)
"""What is searched for by a single sign: no look beforehand is faster."""

_ORDER = (Redaction.EMAIL, Redaction.IBAN, Redaction.CARD, Redaction.IP, Redaction.PHONE)
