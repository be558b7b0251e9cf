"""Which texts say nearly the same: shingles, one-permutation MinHash, and the exact Jaccard index of what it finds.

A text of at least `FEWEST_WORDS` words is the set of its triples of words, a shorter one of its fives of characters;
case and white space do not count. Each shingle is hashed once, and the least hash of each of 64 bins is the signature
(Li, Owen, Zhang 2012; empty bins borrow from the next, Shrivastava and Li 2014). Texts that share a band of 4 bins are
compared exactly: with a Jaccard index of 0.8 a pair is compared with a chance above 0.999. Deterministic: no seed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ALIKE = 0.8
"""The Jaccard index from which two texts are near-duplicates."""

FEWEST_WORDS = 30
_BINS, _BAND = 64, 4
_MOST_COMPARED = 50


def repeated(texts: Iterable[str]) -> list[int | None]:
    """For each text the number of an earlier one that it repeats, or None."""
    found: list[int | None] = []
    kept: dict[int, frozenset[int]] = {}
    bands: dict[tuple[int, ...], list[int]] = {}
    for number, text in enumerate(texts):
        shingles = _shingles(text)
        own = _bands(_signature(shingles))
        near = dict.fromkeys(other for band in own for other in bands.get(band, ())[:_MOST_COMPARED])
        same = next((other for other in near if jaccard(kept[other], shingles) >= ALIKE), None)
        found.append(same)
        if same is None:
            kept[number] = shingles
            for band in own:
                bands.setdefault(band, []).append(number)
    return found


def repeated_in_slices(texts: Sequence[str], slices: Sequence[Sequence[str]]) -> list[int | None]:
    """The same among texts of the very same slices alone: what one slice has is no repetition of another's.

    `slices` are those of each text, in any order. It is what a suite is built by, and what it is checked for.
    """
    found: list[int | None] = [None] * len(texts)
    alike: dict[tuple[str, ...], list[int]] = {}
    for at, names in enumerate(slices):
        alike.setdefault(tuple(sorted(names)), []).append(at)
    for group in alike.values():
        for at, other in zip(group, repeated(texts[at] for at in group), strict=True):
            found[at] = None if other is None else group[other]
    return found


def said_in(messages: Iterable[object]) -> str:
    """What is said in a request, without what every request of the product begins with."""
    said = [
        message.get("content")
        for message in messages
        if isinstance(message, Mapping) and message.get("role") not in ("system", "developer")
    ]
    return "\n".join(_as_text(content) for content in said if content)


def _as_text(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    """The share of shingles that two sets have in common; 1 for two empty ones."""
    both = len(left & right)
    either = len(left) + len(right) - both
    return both / either if either else 1.0


def _shingles(text: str) -> frozenset[int]:
    words = text.casefold().split()
    if len(words) >= FEWEST_WORDS:
        parts = [" ".join(words[at : at + 3]) for at in range(len(words) - 2)]
    else:
        joined = " ".join(words)
        parts = [joined[at : at + 5] for at in range(max(1, len(joined) - 4))]
    return frozenset(zlib.crc32(part.encode("utf-8", "surrogatepass")) for part in parts)


def _signature(shingles: frozenset[int]) -> list[int]:
    bins: list[int | None] = [None] * _BINS
    for shingle in shingles:
        mixed = (shingle * 0x9E3779B1) & 0xFFFFFFFF
        at, rest = mixed % _BINS, mixed // _BINS
        before = bins[at]
        bins[at] = rest if before is None else min(before, rest)
    return _filled(bins)


def _filled(bins: Sequence[int | None]) -> list[int]:
    """Empty bins take the value of the next one that is not, so that short texts can be compared."""
    filled: list[int] = []
    following: int = next((value for value in bins if value is not None), 0)
    for value in reversed(bins):
        following = following if value is None else value
        filled.append(following)
    return filled[::-1]


def _bands(signature: Sequence[int]) -> list[tuple[int, ...]]:
    return [(at, *signature[at : at + _BAND]) for at in range(0, _BINS, _BAND)]
