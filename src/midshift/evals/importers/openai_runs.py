"""Output items of a run of OpenAI's hosted evals: what each row was asked, as the run's template made it.

    client.evals.runs.output_items.list(run_id, eval_id=...).model_dump_json()

`sample.input` has the messages that were sent, `datasource_item` the row that they were made of. Answers and grades are
no part of a case; the graders are in the eval, not in its items. A row that several runs asked alike is there once.
Seen: items made with the types of `openai` 3.54. The API's own file has not been seen.
Elsewhere: rows before a run, each under `item` (tables).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midshift.evals.importers import chat, data, row_cases
from midshift.evals.importers.result import Basket, File, Imported, Options
from midshift.evals.importers.row_cases import GUESSES, Form
from midshift.evals.suite_file import EvalCase

_ITEM = Form("openai-evals-run", {**GUESSES, "id": (), "input": (), "weight": ()})
_OF_A_RUN = frozenset("id object created_at eval_id run_id status datasource_item datasource_item_id".split())


def read(file: File, options: Options) -> Imported:
    """The cases of a page, a list or lines of output items; `--field` leads into the row, as in `slice=topic`.

    Raises:
        InputError: if no item has a request.
    """
    basket = Basket()
    seen: set[str] = set()
    for number, item in data.rows_of(file.data, file.name):
        _add(basket, item, f"{file.name}:{number}", number, options, seen)
    basket.lose(file.name, "the eval's graders", "they are in the eval; name graders in the suite")
    if not any(case.slices for case in basket.cases):
        basket.note("no item names a slice; name the field of the row that does: --field slice=NAME")
    return basket.done(file.name)


def _add(basket: Basket, item: Mapping[str, Any], place: str, number: int, options: Options, seen: set[str]) -> None:
    sample, row = _mapping(item.get("sample")), _mapping(item.get("datasource_item"))
    found = _found(row, options)
    try:
        messages = chat.messages_of(found["input"] if "input" in options.fields else sample.get("input"))
    except chat.NotMessages as error:
        basket.lose(place, "the item", f"its sample has no input: {error}")
        return
    case = EvalCase(
        place=number,
        id=_name(found["id"]) or _name(item.get("datasource_item_id")) or f"item-{number}",
        messages=messages,
        slices=row_cases.slices_of(found["slice"], place, basket),
        cluster=_name(found["cluster"]),
        weight=row_cases.weight_of(found["weight"], place, basket),
        reference=found["reference"] if found["reference"] != "" else None,
        variables=row,
        source={"system": _ITEM.system, **{name: item[name] for name in ("eval_id",) if item.get(name)}},
    )
    asked = f"{case.id} {case.content_hash}"
    if asked in seen:
        return
    seen.add(asked)
    basket.add(case, place)
    if sample.get("output"):
        basket.lose(place, "sample", "an answer and how it was sampled, and no part of a case")
    if item.get("results"):
        basket.lose(place, "results", "grades of an answer, and no part of a case")
    for name in sorted(set(item) - _OF_A_RUN - {"sample", "results"}):
        basket.lose(place, name, "no part of a case")


def _found(row: Mapping[str, Any], options: Options) -> dict[str, Any]:
    return {
        name: next((value for path in tried if (value := row_cases.at(row, path)) is not None), None)
        for name, tried in row_cases.paths(_ITEM, options).items()
    }


def _name(found: Any) -> str | None:
    return str(found) if isinstance(found, str | int) and str(found).strip() else None


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}
