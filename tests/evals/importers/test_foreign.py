"""Files that promptfoo and Inspect have just written, unmodified: they are read, and grades come out as there.

Both run offline, on a provider that echoes and on a mock of a model.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from midshift.evals.graders import compiled
from midshift.evals.importers import File, Imported, Options, import_file
from midshift.evals.rows import Answer, Side
from midshift.evals.suite_file import Suite
from tests.foreign.clients import ENVIRONMENTS

CONFIG = """\
prompts: ['Reply to {{q}} in a {{tone}} way']
providers: [echo]
defaultTest: {vars: {tone: kind}, assert: [{type: not-contains, value: way, metric: m0}]}
tests:
- vars: {q: 'a, B {{tone}}'}
  assert:
  - {type: contains, value: '{{tone}}', metric: m1}
  - {type: icontains, value: REPLY, metric: m2}
  - {type: icontains-any, value: 'zzz, b', metric: m3}
  - {type: contains-all, value: [a, zzz], metric: m4}
  - {type: starts-with, value: Reply, metric: m5}
  - {type: regex, value: '(?<word>k[a-z]{2}d)\\s', metric: m6}
  - {type: equals, value: 'Reply to a, B kind in a kind way', metric: m7}
  - {type: not-equals, value: 'Reply to a, B kind in a kind way', metric: m8}
  - {type: is-json, metric: m9}
  - {type: word-count, value: {min: 8, max: 8}, metric: m10}
- vars: {q: [one, two], tone: curt}
  assert: [{type: contains, value: two, metric: m1}]
- file://t.csv
"""
CSV = "q,__expected,__metric,__metadata:slice\nxy,icontains-all: XY,m1,s\nxy,starts-with: xy,m1,s\n"
JSON_PROMPT = """\
prompts: ['{"a": {{n}}}']
providers: [echo]
tests: [{vars: {n: 1}, assert: [{type: is-json, metric: m1}]}]
"""
TASK = """\
import sys
from inspect_ai import Task, eval
from inspect_ai.dataset import json_dataset
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
used = ModelUsage(input_tokens=5, output_tokens=5, total_tokens=10)  # else it counts tokens, with a file of the network
outputs = [ModelOutput.from_content("mockllm/model", "It is PARIS, or 4.") for _ in range(20)]
for output in outputs:
    output.usage = used
task = Task(dataset=json_dataset(sys.argv[1]), scorer=[includes()])
for form in ("eval", "json"):
    eval(task, model=get_model("mockllm/model", custom_outputs=outputs), log_dir=form, log_format=form, display="none",
         epochs=2)
"""
SAMPLES = [
    {"id": "a", "input": "Capital of France?", "target": "Paris", "metadata": {"slice": "geo"}},
    {"id": "b", "input": [{"role": "user", "content": "2+2?"}], "target": ["five", "4"], "metadata": {"slice": "math"}},
    {"id": "c", "input": "Capital of Spain?", "target": "Madrid", "metadata": {"slice": "geo"}},
]


def read(path: Path) -> Imported:
    """What an import of a file gives."""
    file = File(path.name, path.read_bytes(), lambda name: (path.parent / name).read_bytes())
    return import_file(file, None, Options())[1]


def scores(found: Imported, number: int, text: str) -> dict[str, float]:
    """What midshift's graders give an answer to a case."""
    return dict(compiled(Suite("s", found.cases))(found.cases[number], Answer(text), Side.CANDIDATE))


def promptfoo(folder: Path, config: str) -> list[dict[str, Any]]:
    """Run promptfoo and give its results."""
    program = ENVIRONMENTS / "node" / "node_modules" / ".bin" / "promptfoo"
    if not program.exists():
        pytest.skip(f"NOT TESTED: no promptfoo at {program.relative_to(ENVIRONMENTS.parent)} (type: make foreign-all)")
    (folder / "c.yaml").write_text(config)
    (folder / "t.csv").write_text(CSV)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PROMPTFOO_CONFIG_DIR": str(folder / "state"),
        "PROMPTFOO_DISABLE_TELEMETRY": "1",
        "PROMPTFOO_DISABLE_UPDATE": "1",
        "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
    }
    command = [str(program), "eval", "-c", "c.yaml", "-o", "out.json", "--no-cache", "--no-table"]
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=240, check=False)
    results = json.loads((folder / "out.json").read_text())["results"]["results"]
    return sorted(results, key=lambda result: int(result["testIdx"]))


@pytest.mark.heavy
@pytest.mark.parametrize("config", [CONFIG, JSON_PROMPT], ids=["words", "json"])
def test_promptfoo_and_midshift_expand_render_and_grade_the_same(tmp_path: Path, config: str) -> None:
    """From the configuration, and from the results: the same tests, the same prompts, the same scores."""
    results = promptfoo(tmp_path, config)

    for found in (read(tmp_path / "c.yaml"), read(tmp_path / "out.json")):
        assert len(results) == len(found.cases)
        for number, result in enumerate(results):
            assert result["prompt"]["raw"] == found.cases[number].messages[0]["content"]
            parts = result["gradingResult"]["componentResults"]
            expected = {part["assertion"]["metric"]: float(part["score"]) for part in parts}
            output = result["response"]["output"]
            text = output if isinstance(output, str) else json.dumps(output)
            assert expected == scores(found, number, text)


@pytest.mark.heavy
def test_inspect_and_midshift_grade_the_same(tmp_path: Path) -> None:
    """From the dataset, from `.eval` (whose members are zstd) and from `.json`."""
    python = ENVIRONMENTS / "inspect" / "bin" / "python"
    if not python.exists():
        pytest.skip("NOT TESTED: no Inspect at .foreign/inspect (type: make foreign-all)")
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in SAMPLES))
    (tmp_path / "task.py").write_text(TASK)
    command = [str(python), "task.py", "d.jsonl"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=240, check=True)
    (packed,), (plain,) = tmp_path.glob("eval/*.eval"), tmp_path.glob("json/*.json")
    theirs = {sample["id"]: sample for sample in json.loads(plain.read_text())["samples"]}

    for path in (packed, plain):
        found = read(path)
        assert {"a": ("geo",), "b": ("math",), "c": ("geo",)} == {case.id: case.slices for case in found.cases}
        for number, case in enumerate(found.cases):
            said, verdict = theirs[case.id]["output"]["completion"], theirs[case.id]["scores"]["includes"]["value"]
            assert {"includes": {"C": 1.0, "I": 0.0}[verdict]} == scores(found, number, said)
    assert {case.content_hash for case in read(packed).cases} == {
        case.content_hash for case in read(tmp_path / "d.jsonl").cases
    }
