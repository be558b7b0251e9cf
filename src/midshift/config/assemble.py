"""From the texts of the files to `Definitions`.

Pure: texts come by name, and nothing else is looked at. Every problem of every file is found in one go; a value is
only made when there was none.
Elsewhere: reading files (files), what is odd without being wrong (checks).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType

from midshift.config import documents, providers, suites, tree, variants, workloads
from midshift.config.definitions import (
    MAIN,
    Definition,
    Definitions,
    Environment,
    SecretRef,
    Source,
    SuiteFacts,
    VariantFile,
)
from midshift.config.problems import Place, Report, shown
from midshift.config.provider_documents import StoredProviders
from midshift.config.reading import Cursor, nearest, unset
from midshift.config.shelf import Fetch, Shelf
from midshift.config.tree import Fields
from midshift.domain.retirement import ModelName
from midshift.providers.definition import Provider

_MOST_NAMED = 8


def parse(sources: Mapping[str, Source], main: str = MAIN) -> Definitions:
    """The definitions that a set of files holds; names are relative to the folder of the main file.

    Raises:
        InvalidConfig: with every problem, sorted, at most twenty.
    """
    return assemble(sources.get, main)


def assemble(fetch: Fetch, main: str = MAIN, *, is_stored: bool = False) -> Definitions:
    """The same, with the files fetched by name when they are needed; None stands for a file that is not there.

    What `is_stored` was looked at when it was applied: its variants may name providers that are defined elsewhere.

    Raises:
        InvalidConfig: as `parse`.
    """
    shelf = Shelf(fetch, providers=None if is_stored else frozenset())
    source = fetch(main)
    if source is None:
        shelf.report.add(Place(main), "no such file", "the definitions of the product", "midshift init")
    definitions = _definitions(shelf, main) if source is not None else None
    shelf.report.settle()
    return definitions or Definitions({})


def variant_file(fetch: Fetch, path: str, main: str = MAIN, others: Sequence[str] = ()) -> VariantFile:
    """A single variant, such as the candidate of a new upgrade; of the main file only the names of providers count.

    `others` are files that may have been meant, where there is none at `path`.

    Raises:
        InvalidConfig: with every problem of its files.
    """
    shelf = Shelf(fetch, providers=_names_of_providers(fetch(main), main))
    if fetch(path) is None:
        near = nearest(path, list(others)) or next(iter(others), None)
        expected = f"a variant file; there are {', '.join(others[:_MOST_NAMED])}" if others else "a variant file"
        shelf.report.add(Place(path), "no such file", expected, near or f"provider: NAME and model: ID, into {path}")
    found = variants.variant(shelf, path)
    shelf.report.settle()
    if found is None:
        raise AssertionError("a variant file without problems gives a variant")
    return found


def stored_providers(text: str) -> Mapping[str, Provider]:
    """The providers that a store keeps, from YAML.

    Raises:
        InvalidConfig: for what this midshift cannot read.
    """
    shelf = Shelf({"stored providers": text}.get)
    root = shelf.document("stored providers", StoredProviders)
    found = {} if root is None else providers.providers(root.reading.document.providers, root / "providers")
    shelf.report.settle()
    return found


def _names_of_providers(source: Source | None, main: str) -> frozenset[str]:
    """What the main file calls its providers, whatever else is wrong with it."""
    text = source.removeprefix("\ufeff") if isinstance(source, str) else ""
    root = tree.read(main, text, Report())
    section = root.get("providers") if isinstance(root, Fields) else None
    return frozenset(key.text for key, _ in section.entries) if isinstance(section, Fields) else frozenset()


def _definitions(shelf: Shelf, main: str) -> Definitions | None:
    root = shelf.document(main, documents.Midshift)
    if root is None:
        return None
    document: documents.Midshift = root.reading.document
    _check_claims(document, root / "workloads")
    retirements = dict(_retirements(document, root / "retirements"))
    defined = providers.providers(document.providers, root / "providers")
    if shelf.providers is not None:
        shelf.providers = frozenset(document.providers)
    found = [
        _definition(shelf, name, entry, root / "workloads" / name) for name, entry in sorted(document.workloads.items())
    ]
    if shelf.report.problems:
        return None
    environments = {
        name: Environment(
            name, SecretRef.parse(entry.store), tuple(url.rstrip("/") for url in entry.gateways), providers.here(entry)
        )
        for name, entry in sorted(document.environments.items())
    }
    for name, environment in environments.items():
        providers.check_environment(environment, defined, root / "environments" / name / "providers")
    if shelf.report.problems:
        return None
    return Definitions(
        MappingProxyType({item.name: item for item in found if item is not None}),
        MappingProxyType(environments),
        retirements=MappingProxyType(retirements),
        providers=MappingProxyType(defined),
        graders=tuple(sorted(set(document.graders))),
        provider_places=MappingProxyType({name: _address_place(root / "providers" / name) for name in defined}),
    )


def _address_place(at: Cursor) -> Place:
    """Where a provider's address stands; its name, where it has none of its own."""
    return at.reading.places.get((*at.path, "base_url"), at.name_place)


def _retirements(document: documents.Midshift, at: Cursor) -> Iterator[tuple[ModelName, date]]:
    """The user's shutdown dates; a day that its month does not have is a problem."""
    for name, text in sorted(document.retirements.items()):
        here = at / name
        if not here.whole:
            continue
        try:
            yield ModelName.parse(name), date.fromisoformat(text)
        except ValueError:
            here.complain(f"{shown(text)}, which is no day of any calendar", "a date", f"{name}: 2027-01-31")


def _check_claims(document: documents.Midshift, at: Cursor) -> None:
    """An id may lead to one workload only, and the workloads' own names are ids as well."""
    owners = {name: name for name in document.workloads}
    for name, entry in document.workloads.items():
        for index, claim in enumerate(entry.claims):
            here = at / name / "claims" / index
            owner = owners.setdefault(claim, name)
            if not here.whole or (owner == name and entry.claims.index(claim) == index):
                continue
            if owner == name:
                here.complain(f"the claim {shown(claim)} again", "each claim once", "remove one of them")
            else:
                here.complain(
                    f"the claim {shown(claim)}, which is workload {owner!r} already",
                    "ids that lead to one workload",
                    f"remove it, and let that app send {name} as its model",
                )


def _definition(shelf: Shelf, name: str, entry: documents.Workload, at: Cursor) -> Definition | None:
    workloads.check(entry, at)
    incumbent = _named_variant(shelf, entry.incumbent, at / "incumbent")
    safe_harbour = _named_variant(shelf, unset(entry.safe_harbour), at / "safe_harbour")
    if incumbent and safe_harbour and incumbent.variant == safe_harbour.variant:
        (at / "safe_harbour").complain(
            f"{shown(str(entry.safe_harbour))}, the same variant as the incumbent",
            "another variant, for when the incumbent itself is gone",
            "safe_harbour: variants/ANOTHER.yaml   (or remove the line)",
        )
    suite_path = _companion(shelf, unset(entry.suite), at / "suite")
    runbook_path = _companion(shelf, unset(entry.runbook), at / "runbook")
    if shelf.report.problems or incumbent is None:
        return None
    try:
        return Definition(
            workloads.workload(name, entry, incumbent, safe_harbour),
            workloads.plan(entry),
            incumbent,
            safe_harbour,
            suite_path,
            runbook_path,
            MappingProxyType(_places(at)),
            _suite(shelf, suite_path),
            _runbook(shelf, runbook_path),
        )
    except ValueError as error:
        # What the domain refuses and nothing above has seen: the place is coarse, the refusal is not lost.
        at.complain(str(error), "a workload that can be upgraded", f"{name}:", at_name=True)
        return None


def _named_variant(shelf: Shelf, path: str | None, at: Cursor) -> VariantFile | None:
    if path is None or not at.whole:
        return None
    resolved = shelf.named(at, path, "a variant file")
    return None if resolved is None else variants.variant(shelf, resolved)


def _companion(shelf: Shelf, path: str | None, at: Cursor) -> str | None:
    """The path of a file that may be missing; `check` says so."""
    return shelf.inside(at, path, "a file") if path is not None and at.whole else None


def _places(at: Cursor) -> dict[str, Place]:
    """The places of a workload's fields by dotted name; its own under the empty name."""
    depth = len(at.path)
    values = {path: place for path, place in at.reading.places.items() if path[:depth] == at.path}
    return {".".join(map(str, path[depth:])): place for path, place in values.items()} | {"": at.name_place}


def _suite(shelf: Shelf, path: str | None) -> SuiteFacts | None:
    return suites.facts(path, shelf.fetch) if path is not None else None


def _runbook(shelf: Shelf, path: str | None) -> str | None:
    source = shelf.fetch(path) if path is not None else None
    return source if isinstance(source, str) else None
