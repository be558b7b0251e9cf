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

Elsewhere: the bodies in which texts stand, and whom they name (redacted_body).
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable, Collection, Iterable, Iterator

from midshift.domain.workload import Redaction

_SHORTEST_KEY = 15
"""Characters of the shortest text that any pattern of a key matches: a Slack token's."""

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
# A look for keys begins with one sign: Python finds it three times as fast as two of them.
_OF_K = re.compile(r"k-[A-Za-z0-9_-]{16}")
_OF_SLACK = re.compile(r"x(?=ox[abeoprs]-)")
_OF_UNDERSCORE = re.compile(r"_(?:(?<=[spr]k_)(?=[A-Za-z0-9_-]{16})|(?<=gh[pousr]_)|(?<=github_pat_)|(?<=hf_))")
_OF_CLOUDS = re.compile(r"A(?:KIA|SIA|Iza)")
_DOMAIN = re.compile(r"(?:@|\\u0040)[\w-]++(?:\.[\w-]++)++")
_ESCAPES = re.compile(r"(\\[bfnrt])")
_OF_MAILBOXES = frozenset(".%+'-_")
_CARD = re.compile(r"\d(?<![\d.]\d)(?:[ -]?\d){12,18}(?!\d)")
_IBAN = re.compile(r"[A-Za-z](?<![A-Za-z0-9].)[A-Za-z]\d{2}(?:[ -]?[A-Za-z0-9]){11,30}", re.DOTALL)
_IPV4 = re.compile(r"\d(?<![\w.:]\d)\d{0,2}(?:\.\d{1,3}){3}")
_THREE_DOTS = re.compile(r"\.\d{1,3}\.\d{1,3}\.\d")  # every IPv4 address has such a place
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
    kinds = _held_at_most(text, kinds) if kinds else ()
    if not (has_keys or kinds):
        return text
    if "\\" not in text:
        return _without_kinds(text, kinds)
    parts = [_without_keys(part) if has_keys else part for part in _ESCAPES.split(text)]
    return "".join([_without_kinds(part, _held_at_most(part, kinds)) for part in parts])


def may_be_redacted(text: str, kinds: Collection[Redaction]) -> bool:
    """Whether something in the text may be blacked out, by the least that each pattern takes."""
    return _may_hold_keys(text) or (bool(kinds) and bool(_held_at_most(text, kinds)))


def _without_keys(text: str) -> str:
    for begins, pattern in _KEYS:
        if begins in text:
            text = pattern.sub("[key]", text)
    return text


def _without_kinds(text: str, held: Collection[Redaction]) -> str:
    for kind in held:
        text = _without(kind, text)
    return text


def _may_hold_keys(text: str) -> bool:
    """Whether to look for keys one by one. First for a sign of theirs that is rare: this takes next to no time."""
    return (
        ("-" in text and _holds_dashed_keys(text))
        or ("_" in text and _OF_UNDERSCORE.search(text) is not None)
        or ("A" in text and "I" in text and _OF_CLOUDS.search(text) is not None)
        or ("J" in text and "eyJ" in text)
        or text.rfind("earer ") >= 0  # a word of usual letters: mostly found faster from the end than by `in`
    )


def _holds_dashed_keys(text: str) -> bool:
    """`task-force` begins like a key, and no key is as short."""
    return (
        _OF_K.search(text) is not None
        or ("G" in text and "-----BEGIN" in text)
        or ("x" in text and _OF_SLACK.search(text) is not None)
    )


def _held_at_most(text: str, kinds: Collection[Redaction]) -> list[Redaction]:
    """Those of the kinds that a text may hold, by the least that each pattern takes, in the order to look for them."""
    if not kinds:
        return []
    signs = b"" if _SEEN_WITHOUT_SIGNS.issuperset(kinds) else _signs(text)
    if b"0" not in signs:
        signs = b""
    return [kind for kind, may_be_in in _LOOKS if kind in kinds and may_be_in(text, signs)]


def _without(kind: Redaction, text: str) -> str:
    match kind:
        case Redaction.EMAIL:
            return _without_addresses(text)
        case Redaction.IBAN:
            return _with_shown(text, _ibans(text), _iban)
        case Redaction.CARD:
            return _with_shown(text, _numbers(_CARD, _CARD_SIGNS, text), _card)
        case Redaction.IP:
            text = _IPV4.sub(_ip, text) if _THREE_DOTS.search(text) else text
            return _IPV6.sub(_ip, text) if _TWO_COLONS.search(text) else text
        case Redaction.PHONE:
            return _with_shown(text, _numbers(_PHONE, _PHONE_SIGNS, text), _phone)


def _signs(text: str) -> bytes:
    """As many bytes as the text has signs."""
    return text.encode("ascii", "replace").translate(_SIGNS)


def _ibans(text: str) -> Iterator[re.Match[str]]:
    """All that `_IBAN` finds, tried only where one may begin."""
    end = 0
    for place in _IBAN_SIGNS.finditer(_signs(text)):
        begin = place.start() - 2
        if begin >= end and (found := _IBAN.match(text, begin)):
            end = found.end()
            yield found


def _numbers(pattern: re.Pattern[str], made_of: re.Pattern[bytes], text: str) -> Iterator[re.Match[str]]:
    """All that the pattern finds, searched only where there are enough digits.

    Two signs may come before them, as in `(+49`, and of what comes behind them one is looked at.
    """
    for place in made_of.finditer(_signs(text)):
        yield from pattern.finditer(text, max(place.start() - 2, 0), place.end() + 1)


def _with_shown(text: str, found: Iterable[re.Match[str]], shown: Callable[[re.Match[str]], str]) -> str:
    """What `re.sub` makes of matches."""
    parts, done = [], 0
    for match in found:
        parts += [text[done : match.start()], shown(match)]
        done = match.end()
    return "".join((*parts, text[done:]))


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

_IBAN_SIGNS = re.compile(b"0(?<=aa0)0")  # of four signs the one that is met least comes first
_CARD_SIGNS = re.compile(b"0(?:-?0){12,}+")
_PHONE_SIGNS = re.compile(b"0(?:-{0,3}0){6,}+")

_LOOKS: tuple[tuple[Redaction, Callable[[str, bytes], object]], ...] = (
    (Redaction.EMAIL, lambda text, _: "@" in text or ("\\" in text and "\\u0040" in text)),
    (Redaction.IBAN, lambda _, signs: _IBAN_SIGNS.search(signs)),
    (Redaction.CARD, lambda _, signs: _CARD_SIGNS.search(signs)),
    (Redaction.IP, lambda text, _: _THREE_DOTS.search(text) or (":" in text and _TWO_COLONS.search(text))),
    (Redaction.PHONE, lambda _, signs: _PHONE_SIGNS.search(signs)),
)
"""By what it is seen, in a text or in its signs, that there may be one: in the order in which they are blacked out."""

_SEEN_WITHOUT_SIGNS = frozenset({Redaction.EMAIL, Redaction.IP})
