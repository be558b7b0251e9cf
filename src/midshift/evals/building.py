"""A suite out of recorded requests: some of each slice, in it no two alike, the incumbent's answer as a draft.

Contract: pure, and the same for the same requests and seed. Every request that does not become a case is counted with
the reason. Nothing is invented: a slice is what the record or the workload says, a draft waits for a person.
Elsewhere: reading records (cli.suite_building), what is alike (near_duplicates), references (suite_file).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from midshift.errors import InputError
from midshift.evals.near_duplicates import repeated_in_slices, said_in
from midshift.evals.suite_file import EvalCase

NO_SLICE = ""
_NOT_ASKED = frozenset({"messages", "tools", "model", "stream", "stream_options", "user", "metadata", "store", "n"})


@dataclass(frozen=True, slots=True)
class Observed:
    """One recorded request as a chat request, with what is known about it; `answer` is the incumbent's."""

    id: str
    body: Mapping[str, Any]
    slices: tuple[str, ...] = ()
    cluster: str | None = None
    answer: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Built:
    """The cases, how many requests each slice had, and how many requests were left out for which reason."""

    cases: tuple[EvalCase, ...]
    seen: Mapping[str, int]
    left_out: Mapping[str, int]


def build(observed: Iterable[Observed], per_slice: int, seed: int) -> Built:
    """Up to `per_slice` cases of each slice, from as many units as there are.

    Args:
        observed: the requests, in any order.
        per_slice: the most cases that are taken for a slice; a case of two slices counts in both.
        seed: another seed takes other requests.

    Raises:
        InputError: if there is no usable request, or none has a slice.
    """
    left_out: Counter[str] = Counter()
    usable = list(_usable(observed, left_out))
    if not usable:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InputError(f"found no request that can be a case{f' ({why})' if why else ''}, expected recorded requests")
    if not any(one.slices for one in usable):
        raise InputError(
            f"none of {len(usable):,} requests has a slice: a suite of an average alone gates nothing. Type next: "
            "slices: {NAME: {when: ...}} in midshift.yaml, or `slice` in the lines of the trace"
        )
    single = _without_duplicates(_shuffled(usable, seed), left_out)
    seen = Counter(name for one in usable for name in one.slices or (NO_SLICE,))
    chosen = _stratified(single, per_slice)
    if len(single) > len(chosen):
        left_out["beyond what was asked for of their slices"] += len(single) - len(chosen)
    cases = tuple(_case(number, one) for number, one in enumerate(chosen, start=1))
    return Built(cases, dict(sorted(seen.items())), dict(left_out))


def _usable(observed: Iterable[Observed], left_out: Counter[str]) -> Iterator[Observed]:
    ids: set[str] = set()
    for one in observed:
        if not _asked(one.body):
            left_out["without words of a user"] += 1
        elif one.id in ids:
            left_out["recorded twice under one id"] += 1
        else:
            ids.add(one.id)
            yield one


def _shuffled(usable: Sequence[Observed], seed: int) -> list[Observed]:
    """By chance, but the first of every unit before the second of any."""
    drawn = sorted(usable, key=lambda one: _draw(one.id, seed))
    ranks: Counter[str] = Counter()
    ranked = []
    for one in drawn:
        ranked.append((ranks[one.cluster] if one.cluster is not None else 0, one))
        if one.cluster is not None:
            ranks[one.cluster] += 1
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])]


def _draw(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _without_duplicates(drawn: Sequence[Observed], left_out: Counter[str]) -> list[Observed]:
    """A request is left out for another of the same slices alone: what a slice has is never given to another one."""
    found = repeated_in_slices([_asked(one.body) for one in drawn], [one.slices for one in drawn])
    again = {at for at, other in enumerate(found) if other is not None}
    left_out["nearly the same as another"] += len(again)
    left_out += Counter()  # drops a reason that never occurred
    return [one for at, one in enumerate(drawn) if at not in again]


def _stratified(drawn: Sequence[Observed], per_slice: int) -> list[Observed]:
    """Rare slices first, so that a case of two slices serves the one that has few."""
    strata: dict[str, list[int]] = {}
    for number, one in enumerate(drawn):
        for name in one.slices or (NO_SLICE,):
            strata.setdefault(name, []).append(number)
    chosen: set[int] = set()
    for _, members in sorted(strata.items(), key=lambda item: (len(item[1]), item[0])):
        missing = per_slice - sum(number in chosen for number in members)
        chosen.update([number for number in members if number not in chosen][: max(0, missing)])
    return [one for number, one in enumerate(drawn) if number in chosen]


def _case(number: int, one: Observed) -> EvalCase:
    params = {name: value for name, value in one.body.items() if name not in _NOT_ASKED and value is not None}
    return EvalCase(
        place=number,
        id=one.id,
        messages=tuple(one.body["messages"]),
        slices=one.slices,
        cluster=one.cluster,
        draft=one.answer or None,
        tools=tuple(one.body.get("tools") or ()),
        params=params,
        source=one.source,
    )


def _asked(body: Mapping[str, Any]) -> str:
    return said_in(body.get("messages") or ())
