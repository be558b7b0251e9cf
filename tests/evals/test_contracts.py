"""Promises about form: what counts as JSON, and what fits a schema."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midshift.evals.contracts import fits_schema
from midshift.evals.whole_json import is_json, unfenced

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        " \r\n\t{} ",
        '{"a": 1, "a": 2}',
        "[1, 2.5e-3, -0, true, null]",
        "null",
        '"```"',
        "1" * 100,
        "1e308",
        r'"\ud83d\ude00"',
        '["\\u0000", "\x7f"]',
        "[" * 100 + "]" * 100,
        "```json\n{}\n```",
        "```\n{}\n```",
        "``` json\n{}\n   ```",
        "```json\r\n{}\r\n```",
        "  ```json\n{}```  \n",
        '```json\n{"a": "```"}\n```',
    ],
)
def test_json_by_the_letter_is_json_with_or_without_one_fence(text: str) -> None:
    """A parser behind the product reads these; calling one broken would stop a good candidate."""
    assert is_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "```\n```",
        "```json\n\n```",
        "NaN",
        "[Infinity]",
        "1e999",
        "[1,]",
        '{"a": 1,}',
        "{'a': 1}",
        "{a: 1}",
        "// note\n{}",
        "{} {}",
        '{"a": 1} Hope this helps!',
        'Here you are:\n{"a": 1}',
        "Here you are:\n```json\n{}\n```",
        "```json\n{}\n```\nLet me know!",
        "```json\n{}\n```\n\n```json\n{}\n```",
        "```json\n```json\n{}\n```\n```",
        "````json\n{}\n````",
        "~~~json\n{}\n~~~",
        "```{}```",
        "```json\n{}",
        "\ufeff{}",
        "\u00a0{}",
        "{}\u2028",
        "{}\x00",
        '"tab\there"',
        r'"\x41"',
        "01",
        "1.",
        ".5",
        "+1",
        "True",
        "nul",
        '"\ud800"',
        r'"\ud800"',
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
    ],
)
def test_what_a_strict_parser_rejects_is_not_json(text: str) -> None:
    """Lenient extraction says 100 % where the product's parser says 0 %: this is the drift that ships."""
    assert not is_json(text)


@given(JSON)
@pytest.mark.slow
def test_whatever_a_json_writer_writes_is_json(value: object) -> None:
    """The rule has no opinion about content."""
    text = json.dumps(value, allow_nan=False)

    assert is_json(text)
    assert is_json(f"```json\n{text}\n```")
    assert not is_json(f"{text}\nDone.")


@pytest.mark.parametrize(
    "filling", [" ", "\t", "\n", " \n", "``` ", "\u00a0"], ids=["space", "tab", "newline", "both", "fence", "nbsp"]
)
def test_a_model_that_runs_away_in_a_fence_does_not_take_the_report_with_it(filling: str) -> None:
    """Models in JSON mode loop over blanks; a pattern that looks again at each of them would never end."""
    assert not is_json("```json\n" + filling * 300_000 + "x")


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("```json\n{}\n```", "{}"),
        ("```\na\nb\n  ```  ", "a\nb"),
        ("```\n```", ""),
        ("```", "```"),
        ("``````", "``````"),
        ("no fence", "no fence"),
        ("```json\nopen", "```json\nopen"),
        ("before ```\na\n```", "before ```\na\n```"),
        ("```a`b\nc\n```", "```a`b\nc\n```"),
    ],
)
def test_one_outer_fence_is_taken_off_and_nothing_else(text: str, inside: str) -> None:
    """Every further kindness would be one that the product's parser may not have."""
    assert inside == unfenced(text)


PERSON = {"type": "object", "required": ["age"], "properties": {"age": {"type": "integer", "minimum": 0}}}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"age": 3}', True),
        ('```json\n{"age": 3}\n```', True),
        ('{"age": -1}', False),
        ("{}", False),
        ("[]", False),
        ("age: 3", False),
        ("", False),
    ],
)
def test_an_answer_fits_a_schema_or_does_not(text: str, fits: bool) -> None:
    """What is no JSON fits no schema."""
    assert fits == fits_schema(text, PERSON)


def test_a_schema_may_point_into_itself() -> None:
    """Trees are the schemas that matter most for tool calls."""
    tree = {"$defs": {"node": {"type": "array", "items": {"$ref": "#/$defs/node"}}}, "$ref": "#/$defs/node"}

    assert fits_schema("[[], [[]]]", tree)
    assert not fits_schema("[[], [3]]", tree)


@pytest.mark.parametrize("text", ["{}", "not JSON"])
@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"type": "nope"}, "'nope' is not valid under any of the given schemas"),
        ({"required": "age"}, "'age' is not of type 'array'"),
        ({"pattern": "("}, "'(' is not a 'regex'"),
        ({"$schema": 5}, "$schema is 5, expected the address of a dialect"),
    ],
)
def test_a_schema_that_is_none_grades_no_answer_at_all(text: str, schema: dict[str, object], found: str) -> None:
    """If it graded only the answers that are no JSON, it would count failures and no successes."""
    with pytest.raises(ValueError, match="^not a JSON Schema: ") as refused:
        fits_schema(text, schema)

    assert f"not a JSON Schema: {found}" == str(refused.value)


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("http://127.0.0.1:9/schema.json", "Unresolvable: http://127.0.0.1:9/schema.json"),
        ("file:///etc/hostname", "Unresolvable: file:///etc/hostname"),
        ("#/nowhere", "PointerToNowhere: '/nowhere' does not exist"),
        ("#", "RecursionError"),
    ],
)
def test_a_reference_is_never_fetched(reference: str, found: str) -> None:
    """A file under test must not make this machine talk to another one, or read its disk."""
    with pytest.raises(ValueError, match="the schema cannot be applied") as refused:
        fits_schema("{}", {"$ref": reference})

    assert found in str(refused.value)
