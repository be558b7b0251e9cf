"""The schema and the reference page say what the reader does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from msgspec import NODEFAULT, inspect

from midshift import config
from midshift.config import documents, starter
from midshift.config.reading import flow
from midshift.config.values import Document
from tests.config.test_broken_files import BROKEN, as_files
from tests.config.texts import BASE, having

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
MAIN, VARIANT = (
    jsonschema.Draft202012Validator(config.schema()),
    jsonschema.Draft202012Validator(config.variant_schema()),
)

# What a schema cannot say: files that are not there, values that do not go together, YAML itself.
ONLY_THE_READER = {
    "claims": ("claims of another", "claims a name", "claims twice"),
    "a plan": (
        "steps falling",
        "steps zero",
        "steps from rings to everybody",
        "ring by language",
        "ring no equals",
        "steps end",
        "holds few",
        "holds many",
        "holds short",
        "holds week",
        "holds week elsewhere",
        "margin zero",
        "slice margin zero",
        "shadow short",
        "soak short",
        "approval step",
        "approval slice",
    ),
    "slices": ("slices watch", "when header number", "unit twice"),
    "dates": ("retirement no such day",),
    "providers": (
        "provider of an unknown vendor",
        "provider without a vendor",
        "provider under another vendor's name",
        "provider without an address",
        "provider with a key in a header",
        "provider with a prefix twice",
        "provider with another's wire",
        "provider of an environment that there is not",
    ),
    "files": ("incumbent outside", "incumbent missing", "harbour same", "suite outside"),
    "yaml": ("second document", "tag", "twice", "when body ambiguous", "half a character", "merge key", "budget nan"),
}


def kinds(kind: inspect.Type) -> Iterator[inspect.StructType]:
    """Every document type within a type, once, in the order of the fields."""
    match kind:
        case inspect.StructType(fields=fields):
            yield kind
            for item in fields:
                yield from kinds(item.type)
        case inspect.Metadata(type=inner):
            yield from kinds(inner)
        case inspect.DictType(value_type=inner) | inspect.VarTupleType(item_type=inner):
            yield from kinds(inner)


DOCUMENTS = {
    found.cls.__name__: found
    for root in (documents.Midshift, documents.Variant, documents.Edit)
    for found in kinds(inspect.type_info(root))
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_field_is_in_the_reference(name: str) -> None:
    """The table is made of the types; when this fails, paste it into docs/reference/config.md."""
    assert table(DOCUMENTS[name]) in PAGE


def test_the_reference_shows_files_that_load() -> None:
    """An example that does not work is worse than none."""
    blocks = PAGE.split("```yaml\n")[1:]
    whole, variant = (block.partition("```")[0] for block in blocks[:2])
    names = {"variants/sonnet-3-7.yaml": variant, "variants/haiku-4-5.yaml": "provider: anthropic\nmodel: haiku"}

    read = config.parse({**names, "midshift.yaml": whole, "prompts/support-reply.v2.md": "Be kind."})

    assert ["support-reply"] == list(read.workloads)


def marks(schema: jsonschema.Draft202012Validator, text: str) -> list[str]:
    """What an editor marks in a file."""
    return [error.message for error in schema.iter_errors(yaml.safe_load(text))]


@pytest.mark.parametrize(
    "text", [BASE, starter.files()["midshift.yaml"], having("unit: [conversation]")["midshift.yaml"]]
)
def test_an_editor_takes_what_the_reader_takes(text: str) -> None:
    """A red line under a good file teaches people to ignore red lines."""
    assert [] == marks(MAIN, text)


def test_an_editor_takes_the_example_and_every_variant() -> None:
    """As above, with every kind of field at once."""
    folder = REPOSITORY / "examples" / "support-reply"

    variants = {path.name: path.read_text(encoding="utf-8") for path in (folder / "variants").iterdir()}

    assert [] == marks(MAIN, (folder / "midshift.yaml").read_text(encoding="utf-8"))
    assert 2 <= len(variants)
    assert dict.fromkeys(variants, []) == {name: marks(VARIANT, text) for name, text in variants.items()}


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in sum(ONLY_THE_READER.values(), ())])
def test_an_editor_marks_what_the_reader_refuses(name: str) -> None:
    """While one types, and not at the next command; but for what a schema cannot say."""
    files, messages = as_files(BROKEN[name])
    if not messages[0].startswith("midshift.yaml"):
        return
    try:
        value = yaml.safe_load(files["midshift.yaml"])
    except (yaml.YAMLError, TypeError):
        return  # an editor marks broken YAML without a schema
    secret = "not shown" in messages[0] and "key or password" in messages[0]

    assert secret or not MAIN.is_valid(value)


def test_the_schema_is_plain_json_with_examples_that_fit() -> None:
    """Editors offer the examples as completions."""
    for schema in (config.schema(), config.variant_schema()):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema == json.loads(json.dumps(schema))
        for kind, example in examples(schema):
            jsonschema.Draft202012Validator({**kind, "$defs": schema["$defs"]}).validate(example)


def examples(schema: Any) -> Iterator[tuple[dict[str, Any], object]]:
    """Every example of a schema, with the schema that it belongs to; an empty workload only shows a name's place."""
    match schema:
        case dict():
            yield from ((schema, example) for example in schema.get("examples", ()) if example != {"support-reply": {}})
            for name, inner in schema.items():
                if name != "examples":
                    yield from examples(inner)
        case list():
            for inner in schema:
                yield from examples(inner)


def table(kind: inspect.StructType) -> str:
    """A document type as the reference has it."""
    lines = ["| field | default | meaning |", "|---|---|---|"]
    for item in kind.fields:
        assert isinstance(item.type, inspect.Metadata)
        lines.append(
            f"| `{item.encode_name}` | {default(item)} | {(item.type.extra_json_schema or {})['description']} |"
        )
    return "\n".join(lines) + "\n"


def default(item: inspect.Field) -> str:
    """A field's default as it could be typed."""
    if item.required:
        return "required"
    if item.default is NODEFAULT or item.default == () or isinstance(item.default, Document):
        return ""
    return f"`{flow(item.default)}`"
