"""promptfoo's configuration (`promptfooconfig.yaml`) as cases; OpenAI's hosted evals export the same.

Each test is put to one prompt, the first or the one of `--prompt`: prompts are compared as variants of a workload, not
as cases. Tests may be inline, or in CSV, YAML, JSON and JSON lines beside the file; code, data sets of other hosts and
generators are listed and never run. The keys are those of promptfoo 0.121's configuration schema.
Elsewhere: prompts (promptfoo_prompts), one test (promptfoo_tests), variables (templates), results (promptfoo_results).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from midshift.errors import InputError
from midshift.evals.importers import chat, data, promptfoo_csv, templates
from midshift.evals.importers.promptfoo_prompts import Prompt, chosen, prompts
from midshift.evals.importers.promptfoo_tests import CODE, Reader, add_case, listed, mapping
from midshift.evals.importers.result import MOST_CASES, File, Imported, Options

_SAID_ELSEWHERE = {
    "providers": "providers are variants: see midshift.yaml",
    "targets": "targets are variants: see midshift.yaml",
    "derivedMetrics": "scores are made of graders alone",
    "extensions": "it is code",
    "nunjucksFilters": "it is code",
    "redteam": "attacks are no cases of a regression suite",
    "env": "environment variables belong to the run",
    "evaluateOptions": "how a run goes is said on the command line of midshift eval",
    "sharing": "midshift shares nothing",
    "tracing": "traces are no part of a case",
}


def read(file: File, options: Options) -> Imported:
    """The cases of a configuration.

    Raises:
        InputError: for what is none, or if no test can be put as a request.
    """
    found = data.json_of(file.data, file.name) if _is_json(file) else data.yaml_of(file.data, file.name)
    if not isinstance(found, dict) or not ({"prompts", "tests", "scenarios"} & found.keys()):
        raise InputError(f"{file.name}: not promptfoo's configuration, expected prompts and tests")
    reader = Reader(file, options)
    for name, why in _SAID_ELSEWHERE.items():
        if found.get(name) not in (None, {}, [], ""):
            reader.lose(name, why)
    prompt = chosen(prompts(found.get("prompts"), reader), reader)
    default = _default(found.get("defaultTest"), reader)
    for number, test in enumerate(_expanded(found, reader)):
        add_test(reader, number, _merged(default, test, reader), prompt)
    if not any(case.slices for case in reader.basket.cases):
        reader.basket.note("no test names a slice: add `metadata: {slice: NAME}` to the tests, and import again")
    return reader.basket.done(file.name)


def _is_json(file: File) -> bool:
    return file.name.endswith(".json") or file.data.removeprefix(data.UTF8_MARK).lstrip()[:1] == b"{"


def _default(found: Any, reader: Reader) -> Mapping[str, Any]:
    if isinstance(found, str):
        path = found.removeprefix("file://")
        held = None if path.endswith(CODE) else reader.file.beside(path)
        if held is None:
            reader.lose(f"defaultTest {path!r}", "no such file of data in the folder of the configuration")
            return {}
        found = data.yaml_of(held, path)
    return found if isinstance(found, dict) else {}


def _expanded(found: Mapping[str, Any], reader: Reader) -> Iterator[Mapping[str, Any]]:
    """Every test, from the list, from files, and from scenarios; each combination of listed values is one."""
    for test in itertools.chain(_tests(found.get("tests"), reader, 0), _scenarios(found.get("scenarios"), reader)):
        yield from _combinations(test, reader)


def _tests(found: Any, reader: Reader, depth: int) -> Iterator[Mapping[str, Any]]:
    listed = found if isinstance(found, list) else [] if found is None else [found]
    for number, test in enumerate(listed):
        match test:
            case str():
                yield from _tests_in(test, reader, depth)
            case {"path": str() as path, **rest} if "vars" not in rest and "assert" not in rest:
                yield from _tests_in(path, reader, depth)
            case dict():
                yield test
            case _:
                reader.lose(f"test {number}", "neither a test nor the name of a file")


def _tests_in(named: str, reader: Reader, depth: int) -> Iterator[Mapping[str, Any]]:
    path = named.removeprefix("file://")
    if "://" in path or path.startswith(("huggingface:", "vault:")) or path.partition(":")[0].endswith(CODE):
        reader.lose(f"tests {named[:80]!r}", "code or another host; an import runs and fetches nothing")
        return
    held = reader.file.beside(path)
    if held is None or depth > 3:
        reader.lose(f"tests {named[:80]!r}", "no such file in the folder of the configuration")
        return
    if path.endswith((".csv", ".tsv")):
        yield from promptfoo_csv.tests(held, path, reader.basket)
    elif path.endswith((".yaml", ".yml")):
        yield from _tests(data.yaml_of(held, path), reader, depth + 1)
    elif path.endswith((".json", ".jsonl")):
        yield from (row for _, row in data.rows_of(held, path))
    else:
        reader.lose(f"tests {named[:80]!r}", "expected CSV, YAML, JSON or JSON lines")


def _scenarios(found: Any, reader: Reader) -> Iterator[Mapping[str, Any]]:
    for scenario in found if isinstance(found, list) else ():
        if not isinstance(scenario, dict):
            reader.lose("scenario", "it is in another file or no object")
            continue
        tests = list(_tests(scenario.get("tests") or [{}], reader, 0))
        for config in _tests(scenario.get("config"), reader, 0):
            yield from (_merged(config, test, reader) for test in tests)


def _combinations(test: Mapping[str, Any], reader: Reader) -> Iterator[Mapping[str, Any]]:
    """A variable with a list of values stands for as many tests."""
    variables = test.get("vars")
    options = test.get("options")
    if isinstance(variables, str):
        held = reader.file.beside(variables.removeprefix("file://")) if variables.endswith((".yaml", ".yml")) else None
        if held is None:
            reader.lose(f"vars {variables[:80]!r}", "no such file of data in the folder of the configuration")
        variables = {} if held is None else data.yaml_of(held, variables)
    variables = variables if isinstance(variables, dict) else {}
    lists = {name: value for name, value in variables.items() if isinstance(value, list) and value}
    if not lists or (isinstance(options, dict) and options.get("disableVarExpansion")):
        yield {**test, "vars": variables}
        return
    reader.tests += math.prod(map(len, lists.values()))
    if reader.tests > MOST_CASES:
        raise InputError(f"{reader.file.name}: more than {MOST_CASES:,} tests, expected fewer")
    for values in itertools.product(*lists.values()):
        yield {**test, "vars": {**variables, **dict(zip(lists, values, strict=True))}}


def _merged(default: Mapping[str, Any], test: Mapping[str, Any], reader: Reader) -> Mapping[str, Any]:
    options = mapping(test.get("options"))
    asserts = [] if options.get("disableDefaultAsserts") else listed(default.get("assert"))
    return {
        **default,
        **test,
        "vars": {**mapping(default.get("vars")), **mapping(test.get("vars"))},
        "assert": [*asserts, *listed(test.get("assert"))],
        "metadata": {**mapping(default.get("metadata")), **mapping(test.get("metadata"))},
        "options": {**mapping(default.get("options")), **options},
    }


def add_test(reader: Reader, number: int, test: Mapping[str, Any], prompt: Prompt) -> None:
    """Put the case of a test into the basket, or the reason why there is none."""
    place = f"{reader.file.name}: test {number}"
    variables = templates.settled(_loaded(test["vars"], reader, place))

    def missing(name: str) -> None:
        reader.lose(f"{{{{{name}}}}}", "no such variable; it is an empty text, as in promptfoo", place)

    try:
        messages = chat.messages_of(_compact(templates.rendered(prompt.content, variables, missing)))
    except (templates.NotPlain, chat.NotMessages) as error:
        reader.lose(f"test {number}", f"its prompt cannot be rendered: {error}", place)
        return
    add_case(reader, number, test, messages, variables)


def _compact(asked: Any) -> Any:
    """A text that is JSON and no chat, as promptfoo sends it: written anew, without spaces."""
    if not isinstance(asked, str) or asked.lstrip()[:1] not in ("{", "[") or chat.chat_in(asked) is not None:
        return asked
    try:
        return json.dumps(json.loads(asked), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return asked


def _loaded(variables: Mapping[str, Any], reader: Reader, place: str) -> dict[str, Any]:
    """The variables, with the texts of files in the place of their names."""
    found: dict[str, Any] = {}
    for name, value in variables.items():
        if isinstance(value, str) and value.startswith("file://"):
            path = value.removeprefix("file://")
            held = None if path.endswith(CODE) else reader.file.beside(path)
            if held is None:
                reader.lose(f"{{{{{name}}}}}", f"{value[:80]!r} is no file of data in the folder", place)
                continue
            value = data.yaml_of(held, path) if path.endswith((".yaml", ".yml")) else data.text_of(held, path)
        found[str(name)] = value
    return found
