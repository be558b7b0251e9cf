"""Which proposed prompts are refused before a call is spent on them.

A prompt that carries a case knows its answer and nothing else: it scores well on that case, and users meet others. So a
text that repeats what a case, a reference or an answer says is refused, and so is an instruction that somebody planted
in a case: whatever the reflection model was told to say by the data, it would have to copy. What the prompt said before
is its own and is never held against it.

The measure is word n-grams, blind to case and punctuation; where a script writes no spaces, n-grams of characters, two
for a word. The thresholds are this module's, chosen by hand; they are
checked against real prompts and cases in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from midshift.retune.prompts import variables

LONGEST_RUN = 8
"""So many words in a row that a case has as well are a copy."""
WHOLE_SENTENCE = 5
"""So are fewer, if they are a whole sentence or line of a case."""
SHARE = 0.25
"""And so is a text of whose new runs of four words such a part is in cases, if there are several."""
_GRAM, _FEWEST = 4, 6
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Thai to Burmese, Khmer, kana and Han: scripts without spaces between words."""
_CHARACTERS_A_WORD = 2
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_SENTENCE_END = re.compile(r"[.!?;:\n\r\u3002\uff01\uff1f]+")


@dataclass(frozen=True, slots=True)
class Material:
    """What must not be copied, by n-grams: where each stands, of all cases."""

    runs: Mapping[tuple[str, ...], str]
    sentences: Mapping[tuple[str, ...], str]
    grams: frozenset[tuple[str, ...]]


def material(texts: Iterable[tuple[str, str]]) -> Material:
    """From the name of each case and what is said there; a text may come under several names."""
    runs, sentences, grams = dict[tuple[str, ...], str](), dict[tuple[str, ...], str](), set[tuple[str, ...]]()
    for name, text in texts:
        for sentence in _SENTENCE_END.split(text):
            words = tuple(_words(sentence))
            if len(words) >= WHOLE_SENTENCE:
                sentences.setdefault(words, name)
            signs = tuple(_characters(sentence))
            if len(signs) >= WHOLE_SENTENCE * _CHARACTERS_A_WORD:
                sentences.setdefault(signs, name)
        every = _words(text)
        runs |= {run: name for run in _long_runs(text) if run not in runs}
        grams.update(_runs(every, _GRAM))
    return Material(runs, sentences, frozenset(grams))


def objection(text: str, before: str, cases: Material, most_characters: int) -> str | None:
    """Why a proposed text is refused, quoting what it copies; None for one that may be tried.

    `before` is the text that the search began with, which is nobody's copy.
    """
    if not text.strip():
        return "it is empty"
    if len(text) > most_characters:
        return f"it has {len(text):,} characters, expected at most {most_characters:,}"
    return _copied(text, before, cases)


def lost_variables(text: str, expected: frozenset[str]) -> str | None:
    """Why a template is refused whose variables are not the ones that the app fills."""
    found = variables(text)
    if not expected or found == expected:
        return None
    return f"its variables are {_named(found)}, expected {_named(expected)}"


def _copied(text: str, text_before: str, cases: Material) -> str | None:
    words, before = _words(text), _words(text_before)
    own = set(_long_runs(text_before))
    for run in _long_runs(text):
        if run in cases.runs and run not in own:
            return f"it copies {_quote(run)!r} from case {cases.runs[run]!r}"
    said, said_before = (_spaced(_words(one)) + _spaced(_characters(one)) for one in (text, text_before))
    for sentence, name in cases.sentences.items():
        found = _spaced(sentence)
        if found in said and found not in said_before:
            return f"it copies the sentence {_quote(sentence)!r} from case {name!r}"
    new = set(_runs(words, _GRAM)) - set(_runs(before, _GRAM))
    shared = new & cases.grams
    if len(shared) >= _FEWEST and len(shared) > SHARE * len(new):
        return f"{len(shared)} of its {len(new)} new word runs are in cases, such as {' '.join(min(shared))!r}"
    return None


def _words(text: str) -> list[str]:
    return [word.casefold().replace("’", "'") for word in _WORD.findall(text)]


def _characters(text: str) -> list[str]:
    """What is written without spaces, sign by sign."""
    return _UNSPACED.findall(text)


def _long_runs(text: str) -> Iterator[tuple[str, ...]]:
    yield from _runs(_words(text), LONGEST_RUN)
    yield from _runs(_characters(text), LONGEST_RUN * _CHARACTERS_A_WORD)


def _spaced(words: Iterable[str]) -> str:
    return " ".join(["", *words, ""])


def _quote(words: tuple[str, ...]) -> str:
    return ("" if all(_UNSPACED.fullmatch(word) for word in words) else " ").join(words)


def _runs(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    for start in range(len(words) - length + 1):
        yield tuple(words[start : start + length])


def _named(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
