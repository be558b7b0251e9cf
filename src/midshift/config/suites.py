"""What a suite file says about slices: enough to tell whether an upgrade can be gated slice by slice.

JSON lines with one case each, or YAML with `cases:`, a list of cases or the name of such a file. Everything else in
it belongs to whoever runs it (evals).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType

import msgspec

from midshift.config import tree
from midshift.config.definitions import Source, SuiteFacts, Unreadable, beside
from midshift.config.problems import Report
from midshift.config.tree import Fields, Items, Node, Scalar


class _Case(msgspec.Struct):
    slice: str | list[str] | None = None


_decoder = msgspec.json.Decoder(_Case)


def facts(path: str, fetch: Callable[[str], Source | None]) -> SuiteFacts | None:
    """What a suite holds; None if it is not there."""
    source = fetch(path)
    if source is None:
        return None
    if isinstance(source, Unreadable):
        return SuiteFacts(trouble=f"{source.found}; expected {source.expected}")
    if not path.endswith((".yaml", ".yml")):
        return _counted(_lines(source))
    report = Report()
    root = tree.read(path, source.removeprefix("\ufeff"), report)
    cases = root.get("cases") if isinstance(root, Fields) else None
    if report.problems:
        return SuiteFacts(trouble=str(report.problems[0]))
    if isinstance(cases, Items):
        return _counted(_slices(item) for item in cases.items)
    if isinstance(cases, Scalar) and not cases.text.endswith((".yaml", ".yml")):
        inner = beside(path, cases.text)
        found = facts(inner, fetch) if inner is not None else None
        return found or SuiteFacts(trouble=f"it names {cases.text!r}, and no such file")
    return SuiteFacts(trouble="no `cases:`, a list of cases or the name of a .jsonl file")


def _lines(text: str) -> Iterator[tuple[str, ...] | None]:
    for line in text.removeprefix("\ufeff").split("\n"):
        if line.strip():
            try:
                yield _names(_decoder.decode(line).slice)
            except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
                yield None


def _slices(case: Node) -> tuple[str, ...] | None:
    if not isinstance(case, Fields):
        return None
    match case.get("slice"):
        case Scalar(text=name):
            return _names(name)
        case Items(items=items):
            return _names([item.text for item in items if isinstance(item, Scalar)])
        case _:
            return ()


def _names(found: str | list[str] | None) -> tuple[str, ...]:
    names = [found] if isinstance(found, str) else found or []
    return tuple(name for name in names if name.strip())


def _counted(cases: Iterable[tuple[str, ...] | None]) -> SuiteFacts:
    counts: Counter[str] = Counter()
    total = sliceless = unreadable = 0
    for slices in cases:
        if slices is None:
            unreadable += 1
            continue
        total += 1
        sliceless += not slices
        counts.update(set(slices))
    return SuiteFacts(total, MappingProxyType(dict(sorted(counts.items()))), sliceless, unreadable)
