"""Samples of lm-evaluation-harness (`--log_samples`): the prompts that it made, with their targets.

Only requests that generate are carried: a log likelihood of a given text is nothing that a chat API can be asked for.
`arguments` is a list of lists, or an object `gen_args_0` of `arg_0`, `arg_1` (from 0.4.5 on); a sample that several
filters read is there once for each. Field names: github.com/EleutherAI/lm-evaluation-harness, `EvaluationTracker`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midshift.evals.importers import chat, data
from midshift.evals.importers.result import Basket, File, Imported, Options
from midshift.evals.importers.row_cases import at, slices_of
from midshift.evals.suite_file import EvalCase


def read(file: File, options: Options) -> Imported:
    """The cases of a file of samples; `--field slice=doc.subject` names their slices.

    Raises:
        InputError: if no sample generates.
    """
    basket = Basket()
    seen: set[str] = set()
    for number, row in data.rows_of(file.data, file.name):
        place = f"{file.name}:{number}"
        prompt, how = _arguments(row.get("arguments"))
        if isinstance(how, str):
            basket.lose(place, "the sample", "a log likelihood of a given text, which is no request for an answer")
            continue
        name = str(row.get("doc_id", number))
        if name in seen:
            continue  # another filter's reading of the same answer
        seen.add(name)
        _add(basket, row, prompt, how, name, place, number, options)
    basket.lose(file.name, "the task's metrics and filters", "they are in the task's YAML; name graders in the suite")
    return basket.done(file.name)


def _add(
    basket: Basket,
    row: Mapping[str, Any],
    prompt: Any,
    how: Any,
    name: str,
    place: str,
    number: int,
    options: Options,
) -> None:
    try:
        messages = chat.messages_of(prompt)
    except chat.NotMessages as error:
        basket.lose(place, "the sample", f"its arguments hold no prompt: {error}")
        return
    for field in sorted(how) if isinstance(how, Mapping) else ():
        if field not in ("until", "do_sample"):
            basket.lose(place, field, "how to sample is the variant's to say")
    doc = row.get("doc")
    slices = at(row, options.fields["slice"]) if "slice" in options.fields else None
    basket.add(
        EvalCase(
            place=number,
            id=name,
            messages=messages,
            slices=slices_of(slices, place, basket),
            reference=row.get("target") if row.get("target") != "" else None,
            variables=dict(doc) if isinstance(doc, Mapping) else {},
            source={"system": "lm-eval", **_hash(row)},
        ),
        place,
    )


def _hash(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"doc_hash": row["doc_hash"]} if isinstance(row.get("doc_hash"), str) else {}


def _arguments(found: Any) -> tuple[Any, Any]:
    """The prompt, and how an answer is asked for: an object where it generates, a text where it only scores one."""
    match found:
        case {"gen_args_0": {"arg_0": prompt, **rest}}:
            return prompt, rest.get("arg_1")
        case [[prompt, how, *_], *_]:
            return prompt, how
        case [[prompt], *_]:
            return prompt, None
        case [str() as prompt, Mapping() as how]:
            return prompt, how
        case _:
            return None, None
