"""From definitions back to files, and to what a store keeps.

`parse(dump(definitions))` gives equal definitions, and so does `restored` of their `content`.
Elsewhere: changing a file that a person wrote (changes).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

import yaml

from midshift.config import entries
from midshift.config.assemble import assemble, stored_providers
from midshift.config.definitions import (
    MAIN,
    Definition,
    Definitions,
    Environment,
    ProviderHere,
    VariantFile,
    relative,
)
from midshift.config.entries import FORMAT, GRADERS_FORMAT, PROVIDERS_FORMAT, Plain, given
from midshift.config.problems import Place, refuse
from midshift.config.tree import Scalar, resolve
from midshift.domain.variant import Json, Prompt, PromptMode, Variant
from midshift.providers.definition import Provider


def dump(definitions: Definitions) -> dict[str, str]:
    """The texts of files that define the same, by name. Suites and runbooks are not among them."""
    main: Plain = {"version": 1, "workloads": {item.name: item.entry for item in definitions}}
    if definitions.environments:
        main["environments"] = {name: _environment(item) for name, item in definitions.environments.items()}
    if definitions.providers:
        main["providers"] = {name: entries.provider(item) for name, item in definitions.providers.items()}
    if definitions.retirements:
        main["retirements"] = {str(name): day.isoformat() for name, day in sorted(definitions.retirements.items())}
    if definitions.graders:
        main["graders"] = list(definitions.graders)
    files = {MAIN: _yaml(main)}
    for item in definitions:
        for file in item.variants:
            files.update(dump_variant(file))
    return dict(sorted(files.items()))


def dump_variant(file: VariantFile) -> dict[str, str]:
    """The text of a variant file, and of its prompt."""
    files = {file.path: _yaml(_variant(file))}
    if file.prompt_path is not None:
        files[file.prompt_path] = _prompt(file.variant.prompt)
    return files


def content(definition: Definition) -> Plain:
    """A definition as plain JSON, whole: what a store keeps, and `restored` reads."""
    files = {path: text for file in definition.variants for path, text in dump_variant(file).items()}
    return {"format": FORMAT, "name": definition.name, "workload": definition.entry, "files": files}


def providers_content(definitions: Definitions) -> Plain:
    """The providers as plain JSON: what a store keeps under the name `entries.PROVIDERS`, and `restored` reads."""
    listed = {name: entries.provider(item) for name, item in definitions.providers.items()}
    return {"format": PROVIDERS_FORMAT, "providers": listed}


def graders_content(definitions: Definitions) -> Plain:
    """The functions for graders as plain JSON: what a store keeps under `entries.GRADERS`, and `restored` reads."""
    return {"format": GRADERS_FORMAT, "graders": list(definitions.graders)}


def restored(contents: Iterable[Mapping[str, object]]) -> Definitions:
    """The definitions that these contents were made of; environments are no part of them.

    Raises:
        InvalidConfig: for a content that this midshift cannot read.
    """
    found: dict[str, Definition] = {}
    providers: Mapping[str, Provider] = {}
    graders: tuple[str, ...] = ()
    for item in contents:
        match item:
            case {
                "format": str(form),
                "name": str(name),
                "workload": Mapping() as entry,
                "files": Mapping() as files,
            } if form == FORMAT:
                main = _yaml({"version": 1, "workloads": {name: dict(entry)}})
                sources = {str(path): str(text) for path, text in files.items()}
                stored = assemble((sources | {MAIN: main}).get, is_stored=True)
                found[name] = replace(stored.workloads[name], places=MappingProxyType({}))
            case {"format": str(form), "providers": Mapping() as listed} if form == PROVIDERS_FORMAT:
                providers = stored_providers(_yaml({"providers": dict(listed)}))
            case {"format": str(form), "graders": [*listed]} if form == GRADERS_FORMAT:
                graders = tuple(map(str, listed))
            case _:
                refuse(
                    Place("stored definition"),
                    f"the format {item.get('format')!r}",
                    f"{FORMAT!r}",
                    "midshift apply   (with the midshift that this store is of)",
                )
    return Definitions(
        MappingProxyType(dict(sorted(found.items()))), providers=MappingProxyType(dict(providers)), graders=graders
    )


def _environment(environment: Environment) -> Plain:
    here = {name: _here(said) for name, said in environment.providers.items()}
    return given(store=str(environment.store), gateways=list(environment.gateways) or None, providers=here or None)


def _here(said: ProviderHere) -> Plain:
    key, shadow_key = (None if ref is None else str(ref) for ref in (said.key, said.shadow_key))
    return given(base_url=said.base_url, key=key, shadow_key=shadow_key)


def _variant(file: VariantFile) -> Plain:
    variant: Variant = file.variant
    prompt: Plain | None = None
    if variant.prompt.mode is not PromptMode.KEEP and file.prompt_path is not None:
        prompt = {"mode": variant.prompt.mode.value, "file": relative(file.path, file.prompt_path)}
    return given(
        provider=variant.provider,
        model=variant.model,
        effort=variant.effort,
        prompt=prompt,
        params=_plain(variant.parameters) or None,
    )


def _prompt(prompt: Prompt) -> str:
    # Edits are YAML in a file, which spells out characters that JSON has as they are.
    return _yaml(json.loads(prompt.text)) if prompt.mode is PromptMode.EDIT else prompt.text + "\n"


def _plain(value: Json) -> object:
    match value:
        case tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value


class _Dumper(yaml.SafeDumper):
    """Block style, no aliases, and quotes around every text that `tree` would not read as text."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    if not text.isprintable():
        style: str | None = '"'  # the one style in which every character can be spelt out
    else:
        style = None if type(resolve(Scalar(text, Place("")))) is str else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _yaml(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=4096)
