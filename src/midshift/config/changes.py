"""What an apply would change, and the one line that a sync changes.

Guard G0: an incumbent changes through an upgrade, not through a file. What counts is what the app sends: neither a new
name for a workload nor a claim that moves to another one may exchange a model in passing. Environments say where, not
what; they are not compared.
Elsewhere: writing definitions anew (dumping).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from midshift.config import entries, tree, values
from midshift.config.definitions import MAIN, Definition, Definitions, VariantFile
from midshift.config.entries import Plain
from midshift.config.problems import InvalidConfig, Place, Problem, Report, one_of, refuse, shown
from midshift.config.reading import flow
from midshift.config.tree import Fields, Scalar
from midshift.domain.variant import Variant
from midshift.providers.definition import Provider


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that an apply would change, in words. `refusal` is set where G0 forbids it."""

    workload: str
    words: str
    refusal: Problem | None = None

    def __str__(self) -> str:
        return f"{self.workload}: {self.words}"


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that an apply would change, in the order of the workloads' names."""

    changes: tuple[Change, ...] = ()

    @property
    def refused(self) -> tuple[Change, ...]:
        """The changes that G0 forbids."""
        return tuple(change for change in self.changes if change.refusal is not None)


@dataclass(frozen=True, slots=True)
class Bypass:
    """A guard that a person steps over: who, and why. It belongs into the log.

    Raises:
        ValueError: without a name or without a reason.
    """

    who: str
    why: str

    def __post_init__(self) -> None:
        if not (self.who.strip() and self.why.strip()):
            raise ValueError("a bypass needs a name and a reason")


def difference(
    old: Definitions | None, new: Definitions, serving: Mapping[str, str] = MappingProxyType({})
) -> Difference:
    """What an apply of `new` would change; `old` is what was applied before, None if nothing was.

    `serving` is the id of the variant that the store has as incumbent of a workload: a file that follows an upgrade,
    or its rollback, changes nothing.
    """
    before = old or Definitions({})
    names = sorted({*before.workloads, *new.workloads})
    found = [
        change
        for name in names
        for change in _of_workload(before.workloads.get(name), new.workloads.get(name), serving.get(name))
    ]
    others = (*_moved(before, new, serving), *_provider_changes(before, new), *_grader_changes(before, new))
    return Difference((*found, *others))


def guard(found: Difference, bypass: Bypass | None = None) -> None:
    """Refuse G0's changes, unless somebody steps over it by name and with a reason.

    Raises:
        InvalidConfig: naming each of them, and the upgrade to start instead.
    """
    refusals = [change.refusal for change in found.changes if change.refusal is not None]
    if refusals and bypass is None:
        raise InvalidConfig(refusals)


def one_line_change(text: str, workload: str, new_variant_path: str) -> str:
    """The text of a main file with another incumbent for one workload; every other byte stays as it is.

    Raises:
        InvalidConfig: if the text is no YAML, has no such workload, or says its incumbent in a way that does not fit
            on one line of its own (an alias, an anchor, a block of text).
    """
    value = _incumbent(text, workload)
    if not re.fullmatch(values.FILE_PATH, new_variant_path):
        refuse(value.place, f"the path {shown(new_variant_path)}", "a file's path", f"midshift sync {workload}")
    if value.text == new_variant_path:
        return text
    written = text[value.start : value.end]
    if value.anchored or written.startswith("*") or "\n" in written or not _says(written, value.text):
        refuse(
            value.place,
            "an incumbent written with an alias, an anchor or on several lines",
            "a path on its line",
            f"incumbent: {new_variant_path}",
        )
    changed = text[: value.start] + _quoted_like(written, new_variant_path) + text[value.end :]
    if _incumbent(changed, workload).text != new_variant_path:
        refuse(value.place, "an incumbent that cannot be changed alone", "a path", f"incumbent: {new_variant_path}")
    return changed


def without_safe_harbour(text: str, workload: str) -> str:
    """The text of a main file without the line that names a workload's safe harbour, for it is the incumbent now.

    Raises:
        InvalidConfig: as `one_line_change`, or if it does not stand on a line of its own.
    """
    value = _value(text, workload, "safe_harbour")
    start, end = text.rfind("\n", 0, value.start) + 1, text.find("\n", value.end)
    line = text[start:] if end < 0 else text[start : end + 1]
    written = text[value.start : value.end]
    is_alone = re.fullmatch(rf"\s*safe_harbour:\s*{re.escape(written)}\s*(#[^\n]*)?\n?", line)
    if value.anchored or written.startswith("*") or not is_alone:
        refuse(
            value.place,
            "a safe_harbour that is the incumbent now, and does not stand on a line of its own",
            "one that can be taken away alone",
            f"remove safe_harbour from {workload}, and: midshift sync {workload}",
        )
    return text[:start] + text[start + len(line) :]


def _of_workload(old: Definition | None, new: Definition | None, serving: str | None) -> Iterator[Change]:
    if new is None and old is not None:
        yield Change(
            old.name, f"removed; requests for {', '.join((old.name, *old.workload.claims))} lose their workload"
        )
    elif new is not None and old is None:
        yield Change(new.name, f"new, served by {_named(new.incumbent)}")
    elif new is not None and old is not None:
        yield from _incumbent_change(old, new, serving)
        yield from _field_changes(old, new)


def _incumbent_change(old: Definition, new: Definition, serving: str | None) -> Iterator[Change]:
    before, after = old.incumbent.variant, new.incumbent.variant
    if after.id == before.id:
        if serving not in (None, after.id):
            yield Change(
                new.name, f"served by another variant than {new.incumbent.path} says: midshift sync {new.name}"
            )
        if old.incumbent.path != new.incumbent.path:
            yield Change(new.name, f"incumbent: {old.incumbent.path} → {new.incumbent.path} (the same variant)")
    elif after.id == serving:
        yield Change(new.name, f"incumbent: {_named(new.incumbent)}, as the upgrade left it")
    else:
        words = f"incumbent: {_named(old.incumbent)} → {_named(new.incumbent)} ({variant_words(before, after)})"
        yield Change(new.name, words, _g0(old, new))


def _g0(old: Definition, new: Definition) -> Problem:
    parts = variant_words(old.incumbent.variant, new.incumbent.variant)
    if old.incumbent.path == new.incumbent.path:
        found = f"an incumbent that was edited in its file {new.incumbent.path} ({parts})"
        do = f"put it back, write the change to a new file, and: midshift upgrade start {new.name} --to NEW_FILE"
    else:
        found = f"the incumbent {new.incumbent.path} in place of {old.incumbent.path} ({parts})"
        do = f"midshift upgrade start {new.name} --to {new.incumbent.path}"
    return Problem(new.place("incumbent"), found, "an incumbent that changes through an upgrade", do)


def _provider_changes(old: Definitions, new: Definitions) -> Iterator[Change]:
    """What differs about the providers; another vendor under an incumbent's provider is another incumbent (G0)."""
    for name in sorted({*old.providers, *new.providers}):
        before, after = old.provider(name), new.provider(name)
        if before == after:
            continue
        if before is None or after is None:
            words = f"removed, it was at {before.host}" if before else f"new, at {after.host if after else None}"
            yield Change("providers", f"{name}: {words}")
            continue
        was, will = _flat(_said(before)), _flat(_said(after))
        differing = [field for field in sorted({*was, *will}) if was.get(field) != will.get(field)]
        words = ", ".join(f"{field} {was.get(field, 'none')} → {will.get(field, 'none')}" for field in differing)
        served = [item for item in new if item.incumbent.variant.provider == name and item.name in old.workloads]
        refusal = _other_vendor(served[0], before, after) if served and before.vendor != after.vendor else None
        yield Change("providers", f"{name}: {words}", refusal)


def _grader_changes(old: Definitions, new: Definitions) -> Iterator[Change]:
    """Which code may run as a grader: whoever applies it should see it."""
    for name in sorted({*old.graders, *new.graders}):
        if name not in old.graders or name not in new.graders:
            yield Change("graders", f"{name}: {'may run' if name in new.graders else 'may run no more'}")


def _said(provider: Provider) -> Plain:
    return {"vendor": provider.vendor, "address": provider.address or "none", **entries.provider(provider)}


def _other_vendor(item: Definition, before: Provider, after: Provider) -> Problem:
    return Problem(
        item.place("incumbent"),
        f"the incumbent's provider {before.name!r} at the vendor {after.vendor!r} in place of {before.vendor!r}",
        "an incumbent whose vendor changes through an upgrade",
        f"a provider of another name for {after.vendor}, a variant file that names it, and: "
        f"midshift upgrade start {item.name} --to NEW_FILE",
    )


def _moved(old: Definitions, new: Definitions, serving: Mapping[str, str]) -> Iterator[Change]:
    """Ids of the app that come to another workload with another incumbent."""
    before, after = _by_id(old), _by_id(new)
    for sent in sorted(before.keys() & after.keys()):
        source, target = before[sent], after[sent]
        if source.name == target.name:
            continue
        served = serving.get(source.name, source.incumbent.variant.id)
        refusal = None
        if target.incumbent.variant.id not in (served, source.incumbent.variant.id):
            refusal = Problem(
                target.place("claims"),
                f"{shown(sent)}, which was workload {source.name!r}, now with another incumbent",
                "requests that keep their model outside of an upgrade",
                f"leave it with {source.name}, and: midshift upgrade start {source.name} --to {target.incumbent.path}",
            )
        yield Change(target.name, f"takes over {shown(sent)} from {source.name}", refusal)


def _by_id(definitions: Definitions) -> dict[str, Definition]:
    return {sent: item for item in definitions for sent in (*item.workload.claims, item.name)}


def _field_changes(old: Definition, new: Definition) -> Iterator[Change]:
    before, after = _flat(old.entry), _flat(new.entry)
    for name in (name for name in [*before, *(n for n in after if n not in before)] if name != "incumbent"):
        if before.get(name) != after.get(name):
            yield Change(new.name, f"{name}: {before.get(name, 'none')} → {after.get(name, 'none')}")
    if _same_path_other_variant(old.safe_harbour, new.safe_harbour):
        yield Change(new.name, f"safe_harbour: {_named(old.safe_harbour)} → {_named(new.safe_harbour)}")


def _same_path_other_variant(old: VariantFile | None, new: VariantFile | None) -> bool:
    return old is not None and new is not None and old.path == new.path and old.variant != new.variant


def variant_words(old: Variant, new: Variant) -> str:
    """What differs between two variants, in words."""
    parts = [
        f"{name} {before or 'default'} → {after or 'default'}"
        for name, before, after in (
            ("provider", old.provider, new.provider),
            ("model", old.model, new.model),
            ("effort", old.effort, new.effort),
            ("prompt mode", old.prompt.mode.value, new.prompt.mode.value),
        )
        if before != after
    ]
    if old.prompt.mode is new.prompt.mode and old.prompt.text != new.prompt.text:
        parts.append("another prompt text")
    if old.parameters != new.parameters:
        parts.append("other params")
    return ", ".join(parts) or "the same"


def _named(file: VariantFile | None) -> str:
    return f"{file.path} [{file.variant.short_id}]" if file else "none"


def _flat(value: object, prefix: str = "") -> dict[str, str]:
    """The fields of an entry by dotted name, in words."""
    if not isinstance(value, dict) or not value:
        return {prefix: flow(value)}
    found: dict[str, str] = {}
    for name, item in value.items():
        found.update(_flat(item, f"{prefix}.{name}" if prefix else str(name)))
    return found


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]*")


def _incumbent(text: str, workload: str) -> Scalar:
    """The value of a workload's `incumbent:` in a main file."""
    return _value(text, workload, "incumbent")


def _value(text: str, workload: str, key: str) -> Scalar:
    report = Report()
    root = tree.read(MAIN, text, report)
    report.settle()
    workloads = root.get("workloads") if isinstance(root, Fields) else None
    entry = workloads.get(workload) if isinstance(workloads, Fields) else None
    if not isinstance(entry, Fields):
        known = [key.text for key, _ in workloads.entries] if isinstance(workloads, Fields) else []
        refuse(
            workloads.place if workloads else Place(MAIN),
            f"no workload {shown(workload)}",
            one_of(known) if known else "workloads",
            "midshift status   (lists the workloads)",
        )
    value = entry.get(key)
    if not isinstance(value, Scalar):
        refuse(entry.place, f"no {key} in {shown(workload)}", "a variant file", f"{key}: {values.A_VARIANT}")
    return value


def _says(written: str, value: str) -> bool:
    """Whether this piece of the file is the value and nothing else."""
    found = tree.read(MAIN, written, Report())
    return isinstance(found, Scalar) and found.text == value


def _quoted_like(written: str, path: str) -> str:
    """A path as YAML, in the quotes that the one before had; in double quotes where it needs some."""
    if written.startswith("'") and "'" not in path:
        return f"'{path}'"
    if not written.startswith(('"', "'")) and _PLAIN.fullmatch(path) and type(_resolved(path)) is str:
        return path
    return json.dumps(path, ensure_ascii=False)


def _resolved(text: str) -> object:
    return tree.resolve(Scalar(text, Place(MAIN)))
