"""What is measured on one text. One regular expression a feature: differences between variants, not absolute truth.

Typographic apostrophes count as plain ones. A refusal is looked for in the first 250 characters, a closing offer in
the last 250: both are habits of the ends of an answer, and code or quotations in its middle should not count.
"""

from __future__ import annotations

import re
from enum import IntFlag

from midshift.domain.light import Light
from midshift.evals.whole_json import is_json

_ENDS_CHARS = 250
_LINE_CHARS = 160

_REFUSAL = re.compile(
    r"""\bI(?:'m|\ am)(?:\ really|\ very)?\ (?:sorry|unable|not\ able)\b
      | \bI\ (?:can(?:no|')t|cannot|can\ not|won't|will\ not|must\ decline|do\ not\ feel\ comfortable
              |don't\ feel\ comfortable|don't\ actually\ have|do\ not\ actually\ have
              |don't\ have\ (?:enough|access|the\ ability|personal)
              |do\ not\ have\ (?:enough|access|the\ ability|personal))
      | \bI\ apologi[sz]e,\ but\b | \bAs\ an\ AI\b | \bAs\ a\ language\ model\b | \bUnfortunately,?\ I\b""",
    re.IGNORECASE | re.VERBOSE,
)
_PREAMBLES = (
    *("sure", "certainly", "of course", "absolutely", "great question", "okay", "ok,"),
    *("here (?:is|are|'s)", "here's", "i'd be happy", "i would be happy", "thank you for"),
)
_PREAMBLE = re.compile(rf"(?:{'|'.join(_PREAMBLES)})\b", re.IGNORECASE)
_CLOSING_OFFER = re.compile(
    r"let me know|feel free|hope (?:this|that|it) helps|happy to help|is there anything else|don't hesitate",
    re.IGNORECASE,
)
# Each alternative above contains one of these words: looking for them first is ten times faster than the expression.
_PREAMBLE_BEGINS = frozenset(words[:3] for words in _PREAMBLES)
_OF_I = re.compile("i (?:am |can|won't|will|must|do|apolog)")
_OF_AN_AI = ("as an ai", "as a language")
_CLOSING_OFFER_WORDS = ("let me", "feel free", "hope", "happy to", "anything else", "hesitate")
_CLOSING_OFFERS = (
    *("let me know", "feel free", "hope this helps", "hope that helps", "hope it helps", "happy to help"),
    *("is there anything else", "don't hesitate"),
)
_ODD_LETTERS = re.compile("[\u0130\u0131\u017f]")
_THREE_LETTERS = re.compile(r"(?:[^\W\d_].*?){3}")


class Form(IntFlag):
    """The yes-or-no features of one answer."""

    JSON_VALID = 1
    CODE_FENCE = 2
    EMPTY = 4
    BLOCKED = 8
    REFUSAL_LIKE = 16
    PREAMBLE = 32
    CLOSING_OFFER = 64


# Plain numbers: to put flags together costs more than to find them.
_JSON_VALID, _CODE_FENCE, _REFUSAL_LIKE = int(Form.JSON_VALID), int(Form.CODE_FENCE), int(Form.REFUSAL_LIKE)
_IS_PREAMBLE, _IS_CLOSING_OFFER = int(Form.PREAMBLE), int(Form.CLOSING_OFFER)
_FORMS = tuple(Form(number) for number in range(2 * _IS_CLOSING_OFFER))
_SPACE_OR_NOT = bytes(ord(" ") if chr(byte).isspace() else ord("x") for byte in range(256))


class Features(Light):
    """What one text looks like; `opening` and `closing` are its first and last lines, whitespace collapsed."""

    chars: int
    words: int
    form: Form
    opening: str
    closing: str


def features(text: str) -> Features:
    """Measure one text; an output without a text is measured as the empty one."""
    text = text.replace("\u2019", "'")
    form = 0
    if is_json(text):
        form |= _JSON_VALID
    if "`" in text and "```" in text:
        form |= _CODE_FENCE
    if _refuses(text[:_ENDS_CHARS]):
        form |= _REFUSAL_LIKE
    said = text.strip()
    if _begins_politely(said):
        form |= _IS_PREAMBLE
    if _offers_more(text[-_ENDS_CHARS:]):
        form |= _IS_CLOSING_OFFER
    opening, closing = _ends(said)
    return Features(len(text), _words(text), _FORMS[form], opening, closing)


def _refuses(head: str) -> bool:
    """What `_REFUSAL` finds, looked for where there is one of its words."""
    lowered = head.lower()
    may_refuse = (
        ("i " in lowered and _OF_I.search(lowered))
        or "i'm " in lowered
        or ("as a" in lowered and _holds(lowered, _OF_AN_AI))
        or "unfortunately" in lowered
    )
    return bool(may_refuse) and _REFUSAL.search(head) is not None


def _begins_politely(said: str) -> bool:
    """What `_PREAMBLE` finds. To it odd letters count as plain ones."""
    begin = said[:3].lower()
    return (begin in _PREAMBLE_BEGINS or not begin.isascii()) and _PREAMBLE.match(said) is not None


def _offers_more(tail: str) -> bool:
    """What `_CLOSING_OFFER` finds. To it three odd letters count as plain ones; without them, words are faster."""
    lowered = tail.lower()
    if not tail.isascii() and _ODD_LETTERS.search(tail):
        return _holds(lowered, _CLOSING_OFFER_WORDS) and _CLOSING_OFFER.search(tail) is not None
    if not ("let me know" in lowered or "help" in lowered or "feel free" in lowered):
        return "is there anything else" in lowered or "don't hesitate" in lowered
    return _holds(lowered, _CLOSING_OFFERS)


def _words(text: str) -> int:
    """How many words `text.split()` finds; where it can be, without making them."""
    if not text.isascii():
        return len(text.split())
    signs = text.encode().translate(_SPACE_OR_NOT)
    return signs.count(b" x") + signs.startswith(b"x")


def _ends(said: str) -> tuple[str, str]:
    """First and last line of a text that begins and ends with neither space nor line; empty where one says nothing."""
    first_end = said.find("\n")
    if first_end < 0:
        only = _spoken(said)
        return only, only
    return _spoken(said[:first_end]), _spoken(said[said.rfind("\n") + 1 :])


def _holds(text: str, words: tuple[str, ...]) -> bool:
    for word in words:  # a generator for `any` costs as much as three words
        if word in text:
            return True
    return False


def _spoken(line: str) -> str:
    """A line as a phrase to compare; empty for punctuation, a brace or a fence, which `form` covers."""
    phrase = line[:_LINE_CHARS].strip()
    if "  " in phrase or not phrase.isprintable():  # no white space but the plain one is printable
        phrase = " ".join(phrase.split())
    begins_with_them = len(phrase) > 2 and phrase[:3].isalpha()
    return phrase if begins_with_them or _THREE_LETTERS.search(phrase) else ""
