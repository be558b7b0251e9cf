"""Inspect's logs (`.eval`, or the same as `.json`) as cases, each sample once whatever its epochs.

The scorer `includes` is the grader `contains`, in upper and lower case as the scorer has it; any other is listed.
Answers and scores are no part of a case. Layout of an `.eval` file: `header.json`, and `samples/ID_epoch_N.json`,
inspect_ai 0.3.285.
Elsewhere: the archive (zip_file), samples (inspect_dataset).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midshift.evals.importers import data
from midshift.evals.importers.inspect_dataset import add_sample, noted, require_samples
from midshift.evals.importers.result import Basket, File, Imported, Options
from midshift.evals.importers.zip_file import Archive


def read(file: File, options: Options) -> Imported:
    """The cases of a log.

    Raises:
        InputError: for a file that is none, or without a usable sample.
    """
    basket = Basket()
    header, samples = _packed(file) if file.data.startswith(b"PK") else _plain(file)
    scorers = _scorers(header)
    seen: set[str] = set()
    for number, sample in enumerate(samples, start=1):
        place = f"{file.name}: sample {number}"
        if not isinstance(sample, Mapping):
            basket.lose(place, "the sample", "no object")
            continue
        name = str(sample.get("id", number))
        if name in seen:
            continue  # another epoch of it
        seen.add(name)
        inside = {field: sample[field] for field in _OF_A_SAMPLE if sample.get(field) is not None}
        add_sample(basket, inside, place, number, options, _graders(scorers, sample.get("target")))
    for scorer in scorers:
        if not _is_includes(scorer):
            basket.lose(file.name, f"scorer {scorer['name']!r}", "it is code; name a grader in the suite")
    if _uses_tools(header):
        basket.lose(file.name, "the solver", "what it adds to a sample's input is code")
    return noted(basket).done(file.name)


_OF_A_SAMPLE = ("id", "input", "target", "metadata", "choices", "sandbox", "files", "setup")


def _packed(file: File) -> tuple[Any, Iterator[Any]]:
    archive = Archive.of(file.name, file.data)
    header = data.json_of(archive.read(_header_of(archive)), f"{file.name}/header.json")
    samples = (data.json_of(archive.read(name), f"{file.name}/{name}") for name in archive.names("samples/", ".json"))
    return header, samples


def _header_of(archive: Archive) -> str:
    """The header; the start of the journal, if the eval did not come to its end."""
    return "header.json" if "header.json" in archive.members else "_journal/start.json"


def _plain(file: File) -> tuple[Any, Iterator[Any]]:
    found = data.json_of(file.data, file.name)
    return found, iter(require_samples(found, file.name))


def _scorers(header: Any) -> list[Mapping[str, Any]]:
    found = _mapping(_mapping(header).get("eval")).get("scorers")
    listed = found if isinstance(found, list) else []
    return [one for one in listed if isinstance(one, Mapping) and isinstance(one.get("name"), str)]


def _is_includes(scorer: Mapping[str, Any]) -> bool:
    return str(scorer["name"]).rpartition("/")[2] == "includes"


def _graders(scorers: list[Mapping[str, Any]], target: Any) -> list[Mapping[str, Any]]:
    targets = [target] if isinstance(target, str) else target if isinstance(target, list) else []
    if not targets or not all(isinstance(one, str) for one in targets):
        return []
    return [
        {
            "type": "contains",
            "values": targets,
            "mode": "any",
            "ignore_case": bool(_mapping(scorer.get("options")).get("ignore_case", True)),
            "name": "includes",
        }
        for scorer in scorers
        if _is_includes(scorer)
    ]


def _uses_tools(header: Any) -> bool:
    steps = _mapping(_mapping(header).get("plan")).get("steps")
    names = [str(_mapping(step).get("solver")) for step in steps] if isinstance(steps, list) else []
    return any(name.rpartition("/")[2] != "generate" for name in names)


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}
