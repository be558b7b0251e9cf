"""Importing in a line, and a good row of each form, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from midshift.evals.graders import compiled
from midshift.evals.importers import File, Imported, Options, Source, import_file
from midshift.evals.suite_file import EvalCase, Suite, line_of, read_cases

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Capital of France?"}]
BRAINTRUST = {
    "id": "b1",
    "_xact_id": "1000",
    "dataset_id": "d",
    "root_span_id": "s",
    "input": {"question": "Capital of France?", "hint": "P"},
    "expected": "Paris",
    "metadata": {"slice": "geo", "by": "ann"},
    "tags": ["gold"],
}
LANGFUSE = {
    "id": "l1",
    "status": "ACTIVE",
    "input": CHAT,
    "expectedOutput": "Paris",
    "metadata": {"category": "geo"},
    "sourceTraceId": "t-9",
    "datasetName": "capitals",
}
LANGSMITH = {
    "id": "s1",
    "dataset_id": "d",
    "inputs": {"messages": [{"type": "human", "data": {"content": "Capital of France?"}}]},
    "outputs": {"messages": [{"type": "ai", "data": {"content": "Paris"}}]},
    "metadata": {"slice": "geo"},
}
OPENAI = {"input": CHAT, "ideal": ["Paris", "paris"]}
TRAINING = {
    "messages": [*CHAT, {"role": "assistant", "content": "Paris", "weight": 1}],
    "tools": [{"type": "function", "function": {"name": "f"}}],
}
LM_EVAL = {
    "doc_id": 3,
    "doc": {"q": "Capital of France?", "subject": "geo"},
    "target": "Paris",
    "arguments": {"gen_args_0": {"arg_0": "Q: Capital of France?\nA:", "arg_1": {"until": ["\n"], "temperature": 0}}},
    "resps": [["Paris"]],
    "filter": "none",
    "doc_hash": "h",
}
INSPECT = {"input": CHAT, "target": ["Paris"], "id": 7, "metadata": {"slice": "geo", "by": "ann"}}
OPENAI_RUN = {
    "id": "outputitem_1",
    "object": "eval.run.output_item",
    "created_at": 1,
    "eval_id": "eval_1",
    "run_id": "evalrun_1",
    "status": "pass",
    "datasource_item_id": 3,
    "datasource_item": {"country": "France", "ground_truth": "Paris", "topic": "geo"},
    "results": [{"name": "match", "passed": True, "score": 1.0}],
    "sample": {"input": CHAT, "output": [{"role": "assistant", "content": "Paris"}], "model": "m"},
}
TABLE = {"question": "Capital of France?", "answer": "Paris", "category": "geo", "level": "easy"}
EVERY: dict[Source, dict[str, Any]] = {
    Source.BRAINTRUST: BRAINTRUST,
    Source.LANGFUSE: LANGFUSE,
    Source.LANGSMITH: LANGSMITH,
    Source.OPENAI_EVALS: OPENAI,
    Source.OPENAI_EVALS_RUN: OPENAI_RUN,
    Source.OPENAI_FINE_TUNING: TRAINING,
    Source.LM_EVAL: LM_EVAL,
    Source.INSPECT: INSPECT,
    Source.TABLE: TABLE,
}


def assert_a_suite_holds(cases: Sequence[EvalCase]) -> None:
    """Written and read, each says in every field what it said; a number that JSON does not have is null."""
    again = read_cases([line_of(case) for case in cases], "x")
    for one, other in zip(cases, again, strict=True):
        assert msgspec.json.encode(replace(one, place=0)) == msgspec.json.encode(replace(other, place=0))


def a_result(test: int, prompt: int, raw: str) -> dict[str, Any]:
    """A result of promptfoo."""
    return {
        "testIdx": test,
        "promptIdx": prompt,
        "prompt": {"raw": raw, "label": f"p{prompt}"},
        "vars": {"q": "x"},
        "testCase": {"assert": [{"type": "contains", "value": "{{q}}"}], "metadata": {"slice": "s"}},
    }


def imported(
    name: str, held: str | bytes, beside: Mapping[str, str] | None = None, source: Source | None = None, **fields: str
) -> Imported:
    """What an import gives; its graders are such as midshift can read."""
    files = beside or {}
    data = held.encode() if isinstance(held, str) else held
    prompt = fields.pop("prompt", None)
    file = File(name, data, lambda path: files[path].encode() if path in files else None)
    found = import_file(file, source, Options(fields, prompt))[1]
    compiled(Suite(name, found.cases))
    return found


def lines(*rows: Mapping[str, Any]) -> str:
    """Rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def lost(found: Imported) -> Iterable[str]:
    """What stayed behind."""
    return {loss.what for loss in found.not_carried}
