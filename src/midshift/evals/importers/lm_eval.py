"""Samples of lm-evaluation-harness (`--log_samples`): the prompts that it made, with their targets.

Only requests that generate are carried: the log likelihood of a given text, or of all of a text, is nothing that a chat
API can be asked for. `arguments` is an object of `gen_args_0` with `arg_0` (the prompt) and `arg_1` (how to generate);
before 0.4.5 it was a list of lists. With `--apply_chat_template` and an API's model, `arg_0` is a list of one text, the
JSON of the messages. A sample that several filters read is there once for each. Files of `lm_eval` 0.4.13 have been
read, with the models `dummy` and `local-chat-completions`; the older list is read by documentation only.
Field names: github.com/EleutherAI/lm-evaluation-harness, `EvaluationTracker.save_results_samples`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midshift.evals.importers import chat, data
from midshift.evals.importers.result import Basket, File, Imported, Options
from midshift.evals.importers.row_cases import at, slices_of
from midshift.evals.suite_file import EvalCase

_OF_A_RUN = frozenset("resps filtered_resps filter metrics prompt_hash target_hash".split())
_READ = frozenset("doc_id doc target arguments doc_hash".split())


def read(file: File, options: Options) -> Imported:
    """The cases of a file of samples; `--field slice=doc.subject` names their slices.

    Raises:
        InputError: if no sample generates.
    """
    basket = Basket()
    seen: set[tuple[str, str]] = set()
    for number, row in data.rows_of(file.data, file.name):
        place = f"{file.name}:{number}"
        prompt, how = _arguments(row.get("arguments"), basket, place)
        if not isinstance(how, Mapping):
            basket.lose(place, "the sample", "a log likelihood of a given text, which is no request for an answer")
            continue
        name = str(row.get("doc_id", number))
        doc = (name, str(row.get("doc_hash")))
        if doc in seen:
            continue  # another filter's reading of the same answer
        seen.add(doc)
        _add(basket, row, prompt, how, name, place, number, options)
    basket.lose(file.name, "the task's metrics and filters", "they are in the task's YAML; name graders in the suite")
    return basket.done(file.name)


def _add(
    basket: Basket,
    row: Mapping[str, Any],
    prompt: Any,
    how: Mapping[str, Any],
    name: str,
    place: str,
    number: int,
    options: Options,
) -> None:
    try:
        messages = chat.messages_of(_unwrapped(prompt))
    except chat.NotMessages as error:
        basket.lose(place, "the sample", f"its arguments hold no prompt: {error}")
        return
    if isinstance(prompt, str):
        basket.note("a prompt that is a text to be continued is asked as one message of a user")
    for field in sorted(how):
        basket.lose(place, field, "how to sample, and where to stop, is the variant's to say")
    doc = row.get("doc")
    slices = at(row, options.fields["slice"]) if "slice" in options.fields else None
    basket.add(
        EvalCase(
            place=number,
            id=name,
            messages=messages,
            slices=slices_of(slices, place, basket),
            reference=row.get("target") if row.get("target") != "" else None,
            variables=dict(doc) if isinstance(doc, Mapping) else {} if doc is None else {"doc": doc},
            source={"system": "lm-eval", **_hash(row)},
        ),
        place,
    )
    for field in sorted(set(row) - _READ - _OF_A_RUN - _metrics(row)):
        basket.lose(place, field, "no part of a case")


def _metrics(row: Mapping[str, Any]) -> set[str]:
    """The names under which a sample has its scores."""
    named = row.get("metrics")
    return {one for one in named if isinstance(one, str)} if isinstance(named, list) else set()


def _hash(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"doc_hash": row["doc_hash"]} if isinstance(row.get("doc_hash"), str) else {}


def _unwrapped(prompt: Any) -> Any:
    """The text of a chat that a tuple with a name was, before it became JSON."""
    return prompt[0] if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str) else prompt


def _arguments(found: Any, basket: Basket, place: str) -> tuple[Any, Any]:
    """The prompt, and how an answer is asked for: an object where it generates, anything else where it does not."""
    match found:
        case {"gen_args_0": {"arg_0": prompt, **first}, **rest}:
            how, more = first.pop("arg_1", None), [*first, *rest]
        case [[prompt, how, *left], *others]:
            more = [*left, *others]
        case [prompt, Mapping() as how]:
            more = []
        case _:
            return None, None
    if more and isinstance(how, Mapping):
        basket.lose(place, "further arguments", "images, and requests beside the first")
    return prompt, how
