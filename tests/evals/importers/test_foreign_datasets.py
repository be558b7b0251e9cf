"""Datasets that the vendors' own Python packages have just made and written, unmodified, without a network."""

import os
import subprocess
from pathlib import Path

import pytest

from midshift.evals.importers import File, Imported, Options, Source, import_file
from midshift.evals.suite_file import EvalCase, line_of, read_cases
from tests.evals.importers.imports import CHAT, lost
from tests.foreign.clients import DRIVERS, ENVIRONMENTS

pytestmark = pytest.mark.heavy
TOOLS = ({"type": "function", "function": {"name": "look"}},)
FRANCE = [{"role": "user", "content": "Capital of France?"}]


def written(folder: Path, vendor: str, environment: str = "datasets") -> None:
    """Let a vendor's package write its files into the folder."""
    python = ENVIRONMENTS / environment / "bin" / "python"
    if not (ENVIRONMENTS / environment / ".made").exists():
        pytest.skip(f"NOT TESTED: no packages at .foreign/{environment} (type: make foreign-all)")
    command = [str(python), str(DRIVERS / "write_datasets.py"), vendor]
    home = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*"}
    subprocess.run(command, cwd=folder, env=home, capture_output=True, timeout=120, check=True)


def read(path: Path, expected: Source, **fields: str) -> Imported:
    """What an import of a file gives, with nobody saying what it is; its cases are such as a suite can hold."""
    source, found = import_file(File(path.name, path.read_bytes()), None, Options(fields))
    assert expected == source
    for case in found.cases:
        read_cases([line_of(case)], path.name)
    return found


def asked(case: EvalCase) -> list[object]:
    """The messages of a case, to be compared."""
    return [dict(message) for message in case.messages]


@pytest.mark.parametrize("name", ["page.json", "items.jsonl"])
def test_langfuse(tmp_path: Path, name: str) -> None:
    """A page of its API, and items in the names of its SDK: the same cases."""
    written(tmp_path, "langfuse")

    found = read(tmp_path / name, Source.LANGFUSE)

    (case,) = found.cases
    assert ("l1", CHAT, "Paris", ("geo",), TOOLS) == (case.id, asked(case), case.reference, case.slices, case.tools)
    source = {"system": "langfuse", "dataset": "capitals", "version": "2026-01-02T00:00:00Z", "trace_id": "t-9"}
    assert source == case.source
    assert {"the item", "a file in input"} == lost(found)


@pytest.mark.parametrize("name", ["examples.json", "examples.jsonl"])
def test_langsmith(tmp_path: Path, name: str) -> None:
    """A chat, LangChain's messages, keys and values."""
    written(tmp_path, "langsmith")

    found = read(tmp_path / name, Source.LANGSMITH)

    assert [CHAT, FRANCE, FRANCE] == [asked(case) for case in found.cases]
    assert [("Paris", ("geo",))] * 3 == [(case.reference, case.slices) for case in found.cases]
    assert [TOOLS, (), ()] == [case.tools for case in found.cases]
    assert {"hint": "P"} == found.cases[2].variables
    assert set() == lost(found)


def test_braintrust(tmp_path: Path) -> None:
    """What the SDK sends of a dataset and an experiment, and reads again; a step of a trace is no row."""
    written(tmp_path, "braintrust")

    dataset = read(tmp_path / "dataset.jsonl", Source.BRAINTRUST)
    experiment = read(tmp_path / "experiment.json", Source.BRAINTRUST)

    (case,) = dataset.cases
    assert ("b1", FRANCE, "Paris", ("geo",)) == (case.id, asked(case), case.reference, case.slices)
    assert {"a file in input"} == lost(dataset)
    (case,) = experiment.cases
    assert (CHAT, "Paris", ("geo",)) == (asked(case), case.reference, case.slices)
    assert {"the span", "output", "scores"} == lost(experiment)


@pytest.mark.parametrize("name", ["page.json", "items.jsonl"])
def test_openai_hosted_evals(tmp_path: Path, name: str) -> None:
    """Output items of a run: what was sent, and the row that it was made of."""
    written(tmp_path, "openai", "openai-3")

    found = read(tmp_path / name, Source.OPENAI_EVALS_RUN, slice="topic")

    (case,) = found.cases
    assert ("3", CHAT, "Paris", ("geo",)) == (case.id, asked(case), case.reference, case.slices)
    assert {"country": "France", "ground_truth": "Paris", "topic": "geo"} == case.variables
    assert {"sample", "results", "the eval's graders"} == lost(found)
