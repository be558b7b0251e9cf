"""Gemini's generateContent: what is read, what is rewritten, and what must stay as it was."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.domain.clamping import Bounds
from midshift.domain.rendering import Changes
from midshift.wire import gemini, sse
from midshift.wire.gemini import GeminiRequest
from midshift.wire.gemini.state import STAND_IN
from midshift.wire.protocol import Answer, Problem, Unreadable, Wire

WIRE: Wire = gemini
PATH = "/v1beta/models/old:generateContent"
STREAM_PATH = "/v1beta/models/old:streamGenerateContent"
COUNT_PATH = "/v1beta/models/old:countTokens"
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a\u00e9\U0001f600\\"/ ', max_size=5), inner),
    max_leaves=6,
)
NAMES = st.text('abc_\u00e9\u2028\U0001f600\\"/', min_size=1, max_size=8)
FIELDS = st.dictionaries(NAMES, VALUES, max_size=5)
HI = [{"role": "user", "parts": [{"text": "Hi."}]}]


def a_body(**fields: object) -> bytes:
    """A request as Python's own encoder writes it, spaces and escapes and all."""
    return json.dumps({"contents": HI, **fields}).encode()


def a_request(**fields: object) -> GeminiRequest:
    """The same, read."""
    return GeminiRequest(a_body(**fields), PATH)


def rewritten(request: GeminiRequest, changes: Changes, strip_state: bool = False) -> Any:
    """The plain values of the request after changes."""
    return json.loads(request.rewritten(changes, strip_state=strip_state).body)


@settings(max_examples=50)
@given(FIELDS, st.sampled_from([None, 1]), st.booleans())
def test_a_request_without_changes_is_the_very_same_bytes(
    fields: dict[str, object], indent: int | None, is_ascii: bool
) -> None:
    """Adopting a gateway must change nothing, down to the spaces and the escapes of names."""
    body = json.dumps({"contents": HI, **fields}, indent=indent, ensure_ascii=is_ascii).encode()

    assert body == GeminiRequest(body, PATH).rewritten(Changes(), ask_usage=True, strip_state=True).body


def test_a_new_model_is_in_the_path_and_changes_no_byte_of_the_body() -> None:
    """The model stands nowhere else on this wire."""
    body = b'{ "contents": [],  "x": {"x":1,"x":2} }'

    sent = GeminiRequest(body, STREAM_PATH, "alt=sse").rewritten(Changes(model="tuned/new 1"))

    assert ("/v1beta/models/tuned/new%201:streamGenerateContent?alt=sse", body) == (sent.target, sent.body)


@settings(max_examples=50)
@given(FIELDS)
def test_fields_that_a_variant_does_not_name_stay_byte_for_byte(fields: dict[str, object]) -> None:
    """Vendors add fields every month, and a float that is decoded and encoded may come out as another."""
    body = a_body(**fields)
    before = msgspec.json.decode(body, type=dict[str, msgspec.Raw])

    sent = GeminiRequest(body, PATH).rewritten(Changes({"temperature": 0.5}))
    after = msgspec.json.decode(sent.body, type=dict[str, msgspec.Raw])

    assert b'{"temperature":0.5}' == bytes(after.pop("generationConfig"))
    assert {name: bytes(value) for name, value in before.items()} == {k: bytes(value) for k, value in after.items()}


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        (PATH, "", "/v1beta/models/old:generateContent"),
        ("/v1/models/old:generateContent", "", "/v1/models/old:generateContent"),
        (STREAM_PATH, "alt=sse", "/v1beta/models/old:streamGenerateContent?alt=sse"),
        (COUNT_PATH, "x=1", "/v1beta/models/old:countTokens?x=1"),
    ],
)
def test_the_target_keeps_the_version_the_operation_and_the_query(path: str, query: str, target: str) -> None:
    """Google's client asks for v1, older ones for v1beta, and the two are not the same API."""
    assert target == gemini.read_request(a_body(), path, query).rewritten(Changes()).target


@pytest.mark.parametrize(
    ("body", "path", "query", "said"),
    [
        (b"", PATH, "", "not a JSON object"),
        (b"[]", PATH, "", "not a JSON object"),
        (b"{}", PATH, "", "'contents' must be a list of contents"),
        (b'{"contents": "Hi."}', PATH, "", "'contents' must be a list of contents"),
        (b'{"contents": []}', "/v1beta/models/:generateContent", "", "names no model"),
        (b'{"contents": []}', STREAM_PATH, "", "alt=sse"),
        (b'{"contents": []}', STREAM_PATH, "alt=json", "alt=sse"),
    ],
)
def test_what_is_no_request_is_refused_in_words(body: bytes, path: str, query: str, said: str) -> None:
    """The app's developer reads this, not ours."""
    with pytest.raises(Unreadable, match=said):
        GeminiRequest(body, path, query)


def test_a_stream_is_told_by_the_path() -> None:
    """Nothing in the body says so."""
    assert GeminiRequest(a_body(), STREAM_PATH, "alt=sse").stream is True
    assert (False, True, "old") == (a_request().stream, a_request().asks_usage, a_request().model)


@pytest.mark.parametrize("name", ["systemInstruction", "system_instruction"])
@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ({"parts": [{"text": "A"}, {"text": "B"}]}, "A\nB"),
        ({"role": "user", "parts": {"text": "A"}}, "A"),
        ("Help.", "Help."),
        ({"parts": []}, None),
        (7, None),
    ],
)
def test_the_system_prompt_is_the_instruction_in_either_spelling(
    name: str, system: object, expected: str | None
) -> None:
    """Google's clients write camelCase, people write what the documentation of Python says."""
    assert expected == a_request(**{name: system}).system


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"systemInstruction": {"parts": [{"text": "New."}]}}),
        ({"system_instruction": "Old."}, {"system_instruction": {"parts": [{"text": "New."}]}}),
        (
            {"systemInstruction": {"role": "user", "parts": [{"text": "A"}, {"text": "B"}]}},
            {"systemInstruction": {"role": "user", "parts": [{"text": "New."}]}},
        ),
    ],
)
def test_a_new_system_prompt_keeps_the_spelling_and_the_role(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Two fields of one meaning in a request would be refused."""
    assert {"contents": HI, **after} == rewritten(a_request(**before), Changes(system="New."))


def test_an_empty_system_prompt_is_none() -> None:
    """The API refuses a part without text."""
    assert {"contents": HI} == rewritten(a_request(systemInstruction={"parts": [{"text": "A"}]}), Changes(system=""))
    assert a_body() == a_request().rewritten(Changes(system="")).body


def test_the_same_system_prompt_changes_no_byte() -> None:
    """A variant whose prompt is what the app already sends is no change."""
    body = a_body(systemInstruction={"parts": [{"text": "A"}, {"text": "B"}]})

    assert body == GeminiRequest(body, PATH).rewritten(Changes(system="A\nB")).body


@pytest.mark.parametrize(
    ("effort", "config", "thinking"),
    [
        ("high", {}, {"thinkingConfig": {"thinkingLevel": "HIGH"}}),
        ("low", {"thinkingConfig": {"thinking_budget": 9}}, {"thinkingConfig": {"thinkingLevel": "LOW"}}),
        (
            "none",
            {"thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True}},
            {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 0}},
        ),
        ("budget:4096", {}, {"thinkingConfig": {"thinkingBudget": 4096}}),
        ("auto", {"thinkingConfig": {"thinkingLevel": "LOW"}}, {"thinkingConfig": {"thinkingBudget": -1}}),
        ("low", {"thinking_config": {"thinking_level": "HIGH"}}, {"thinking_config": {"thinkingLevel": "LOW"}}),
    ],
)
def test_the_effort_of_a_variant_is_the_whole_dial(effort: str, config: object, thinking: object) -> None:
    """Level and budget exclude each other: the app's own setting of the other one would be refused."""
    assert thinking == rewritten(a_request(generationConfig=config), Changes(effort=effort))["generationConfig"]


@pytest.mark.parametrize(
    ("config", "clamp", "expected"),
    [
        ({"thinkingConfig": {"thinkingLevel": "HIGH"}}, {"effort": Bounds("low", "medium")}, "MEDIUM"),
        ({"thinkingConfig": {"thinkingLevel": "low"}}, {"effort": Bounds("low", "medium")}, "low"),
        ({"thinkingConfig": {"thinkingBudget": 0}}, {"effort": Bounds("low", "medium")}, "LOW"),
    ],
)
def test_an_effort_that_the_app_sends_is_clamped(config: Any, clamp: dict[str, Bounds], expected: str) -> None:
    """A model with a shorter scale serves an app that asks for more."""
    found = rewritten(a_request(generationConfig=config), Changes(clamp=clamp))

    assert {"thinkingLevel": expected} == found["generationConfig"]["thinkingConfig"]


def test_parameters_are_found_in_the_spelling_of_the_app() -> None:
    """Google takes either name of a field; both in one request would be refused, or one of them ignored."""
    body = {"generation_config": {"max_output_tokens": 9, "top_k": 5, "temperature": 1.5, "seed": 1}}
    changes = Changes({"maxOutputTokens": 7, "topP": 0.5}, frozenset({"topK", "absent"}), clamp={"temperature": ONE})

    found = rewritten(a_request(**body), changes)

    assert {"max_output_tokens": 7, "temperature": 1.0, "seed": 1, "topP": 0.5} == found["generation_config"]


ONE = Bounds(0.0, 1.0)


@pytest.mark.parametrize("name", ["toolConfig", "tool_config"])
def test_fields_beside_the_generation_config_are_set_in_their_own_place(name: str) -> None:
    """A bare name is the generation config's unless the request itself has such a field."""
    found = rewritten(a_request(**{name: {"x": 1}}), Changes({"toolConfig": {"x": 2}, "safetySettings.x": 3}))

    assert {"contents": HI, name: {"x": 2}, "safetySettings": {"x": 3}} == found


SIGNED = {"functionCall": {"name": "f", "args": {"n": 1.0}}, "thoughtSignature": "c2ln"}
CONVERSATION = [
    {"role": "user", "parts": [{"fileData": {"fileUri": "https://a.example/v1beta/files/f1", "mimeType": "text/csv"}}]},
    {
        "role": "model",
        "parts": [{"text": "Hm.", "thought": True}, {"text": "So.", "thought_signature": "b2xk"}, SIGNED],
    },
    {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"fileUri": "/files/own"}}}]},
    {"role": "model", "parts": [{"thoughtSignature": "bGFzdA=="}]},
]


def test_bound_state_is_named_and_the_apps_own_data_is_not() -> None:
    """A thought can be read by the model that had it, a file by the account that holds it."""
    assert (
        ("cachedContent", "cachedContents/1"),
        ("contents.0.parts.0.fileData", "https://a.example/v1beta/files/f1"),
        ("contents.1.parts.1.thoughtSignature", "b2xk"),
        ("contents.1.parts.2.thoughtSignature", "c2ln"),
        ("contents.3.parts.0.thoughtSignature", "bGFzdA=="),
    ) == a_request(contents=CONVERSATION, cachedContent="cachedContents/1").bound_state
    assert () == a_request().bound_state


def test_signatures_are_stripped_and_a_call_keeps_one_that_stands_in() -> None:
    """After a flip the new model cannot read them, and refuses a call that has none at all."""
    raw = json.dumps(CONVERSATION[0]).encode()
    body = b'{"contents": [%b, %b], "x": 1.0}' % (raw, json.dumps(CONVERSATION[1]).encode())

    sent = GeminiRequest(body, PATH).rewritten(Changes(), strip_state=True).body
    parts = json.loads(sent)["contents"][1]["parts"]

    assert raw in sent
    assert b'"n": 1.0' in sent
    assert [
        {"text": "Hm.", "thought": True},
        {"text": "So."},
        {"functionCall": SIGNED["functionCall"], "thoughtSignature": STAND_IN},
    ] == parts
    assert () == GeminiRequest(sent, PATH).bound_state[1:]


def test_a_content_that_held_nothing_but_a_signature_goes() -> None:
    """An empty part would be refused; a single part may stand without a list."""
    contents = [{"role": "model", "parts": {"thoughtSignature": "x"}}, *HI, CONVERSATION[3]]

    assert {"contents": HI} == rewritten(a_request(contents=contents), Changes(), strip_state=True)


@pytest.mark.parametrize(
    ("fields", "has"),
    [
        ({}, False),
        ({"tools": None}, False),
        ({"tools": [{"functionDeclarations": [{"name": "f"}]}]}, False),
        ({"tools": [{"function_declarations": []}]}, False),
        ({"tools": [{"googleSearch": {}}]}, True),
        ({"tools": [{"functionDeclarations": []}, {"codeExecution": {}}]}, True),
        ({"tools": [{"ofNextYear": {}}]}, True),
        ({"tools": "?"}, True),
        ({"store": True}, True),
        ({"store": False}, False),
    ],
)
def test_side_effects_are_those_that_the_server_would_have(fields: dict[str, object], has: bool) -> None:
    """What the app runs is only asked for twice; a search is paid twice, and code runs twice."""
    assert has is a_request(**fields).has_side_effects


@pytest.mark.parametrize(
    ("path", "value"),
    [("labels.user", "u-1"), ("contents.0.role", "user"), ("contents.7.role", None), ("x", None)],
)
def test_a_path_leads_to_a_plain_value(path: str, value: object) -> None:
    """Units and slices are found by path."""
    request = a_request(labels={"user": "u-1", "other": 7})

    assert value == request.value_at(path)
    assert {"user": "u-1"} == request.metadata


def test_the_opening_of_a_conversation_is_the_same_in_every_turn() -> None:
    """It is what keeps a conversation with one variant."""
    later = [*HI, {"role": "model", "parts": [{"text": "Oh."}]}, {"role": "user", "parts": [{"text": "Well."}]}]

    assert "Hi." == a_request().opening == a_request(contents=later).opening
    assert "Hi." == a_request(contents=[{"parts": {"text": "Hi."}}]).opening
    assert a_request(contents=[]).opening is None
    assert a_request(contents=[{"parts": [{"inlineData": {"data": "eA=="}}]}]).opening is not None


WRAPPED = {"generateContentRequest": {"model": "models/old", "contents": HI, "systemInstruction": "Old."}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"contents": HI},
            {
                "generateContentRequest": {
                    "model": "models/new",
                    "contents": HI,
                    "systemInstruction": {"parts": [{"text": "New."}]},
                }
            },
        ),
        (
            {"contents": HI, "systemInstruction": "Old."},
            {"contents": HI, "systemInstruction": {"parts": [{"text": "New."}]}},
        ),
        (
            WRAPPED,
            {
                "generateContentRequest": {
                    "model": "models/new",
                    "contents": HI,
                    "systemInstruction": {"parts": [{"text": "New."}]},
                }
            },
        ),
    ],
    ids=["contents alone", "as Vertex AI takes it", "a whole request"],
)
def test_a_count_of_tokens_counts_what_the_variant_would_send(body: Any, expected: Any) -> None:
    """The API takes contents alone, or a whole request that names its model again; other fields are refused."""
    changes = Changes({"maxOutputTokens": 5}, system="New.", model="new", effort="low")
    sent = GeminiRequest(json.dumps(body).encode(), COUNT_PATH).rewritten(changes)

    assert ("/v1beta/models/new:countTokens", expected) == (sent.target, json.loads(sent.body))


@pytest.mark.parametrize("body", [{"contents": HI}, WRAPPED])
def test_a_count_without_changes_is_the_very_same_bytes(body: object) -> None:
    """The app counts its own prompt where no variant has another."""
    raw = json.dumps(body, indent=1).encode()

    assert raw == GeminiRequest(raw, COUNT_PATH).rewritten(Changes(effort="low")).body


USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 80,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 15,
    "totalTokenCount": 120,
}


def an_answer(parts: list[Any] | None = None, finish: str | None = "STOP", **fields: object) -> bytes:
    """A whole answer, or a chunk."""
    said = [{"text": "Hm.", "thought": True}, {"text": "Hel"}, {"text": "lo."}] if parts is None else parts
    candidate = {
        "content": {"role": "model", "parts": said},
        "index": 0,
        **({"finishReason": finish} if finish else {}),
    }
    found = {"candidates": [candidate], "usageMetadata": USAGE, "modelVersion": "gemini-9-pro", "responseId": "r1"}
    return json.dumps({**found, **fields}).encode()


def test_a_whole_answer_says_what_it_used_and_how_it_ended() -> None:
    """Output holds the thoughts, which Gemini counts beside the candidates; thoughts are no text."""
    found = gemini.read_answer(an_answer())

    assert found is not None
    assert (100, 20, 80, 15) == (
        found.usage.tokens_in,
        found.usage.tokens_out,
        found.usage.cached_in,
        found.usage.reasoning_out,
    )
    assert ("stop", "Hello.", "gemini-9-pro") == (found.finish_reason, found.text, found.model)


@pytest.mark.parametrize(
    ("body", "reason", "text"),
    [
        (an_answer(finish="MAX_TOKENS"), "length", "Hello."),
        (an_answer([], "SAFETY"), "content_filter", None),
        (an_answer([SIGNED]), "tool_calls", None),
        (an_answer([], "MALFORMED_FUNCTION_CALL"), "malformed_function_call", None),
        (b'{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}', "content_filter", None),
        (an_answer(finish=None), None, "Hello."),
    ],
)
def test_why_an_answer_stopped_is_said_in_the_words_of_the_record(
    body: bytes, reason: str | None, text: str | None
) -> None:
    """Refusals and cut answers are compared between wires; what nobody else has keeps its name."""
    found = gemini.read_answer(body)

    assert found is not None
    assert (reason, text) == (found.finish_reason, found.text)


@pytest.mark.parametrize("usage", [None, {}, {"totalTokenCount": 5}, "?"])
def test_missing_usage_is_unknown_and_never_zero(usage: object) -> None:
    """A cost of 0 passes every gate; an unknown one passes none."""
    found = gemini.read_answer(an_answer(usageMetadata=usage))

    assert found is not None
    assert (None, None) == (found.usage.tokens_in, found.usage.tokens_out)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": {}}', b"\xff\xfe", b"{}", b'{"totalTokens": 5}'])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """A page of a proxy with status 200 is no answer of a model."""
    assert gemini.read_answer(body) is None


def event(data: bytes) -> bytes:
    """One event of a stream, with the line ends that Google writes."""
    return b"data: " + data + b"\r\n\r\n"


CHUNKS = (
    event(an_answer([{"text": "Hm.", "thought": True}], None, usageMetadata={"promptTokenCount": 100}))
    + b": a comment of a proxy\n\n"
    + event(an_answer([{"text": "Hel"}], None))
    + event(json.dumps({"candidates": [{"index": 1, "content": {"parts": [{"text": "?"}]}}]}).encode())
)
LAST = event(an_answer([{"text": "lo."}]))
WHOLE = CHUNKS + LAST


@given(st.data())
def test_any_chunking_of_a_stream_gives_the_same_answer(data: st.DataObject) -> None:
    """Packets end anywhere; usage is in every chunk and is counted once."""
    places = sorted(data.draw(st.lists(st.integers(0, len(WHOLE)), max_size=8)))
    tail = gemini.tail()

    for begin, end in zip([0, *places], [*places, len(WHOLE)], strict=True):
        tail.feed(WHOLE[begin:end])

    found = gemini.read_answer(an_answer())
    assert found is not None
    assert Answer(found.usage, "stop", None, "gemini-9-pro") == tail.answer()


def test_only_the_end_of_a_long_stream_is_kept() -> None:
    """A gateway holds thousands of streams."""
    tail = gemini.tail()
    for _ in range(1000):
        tail.feed(event(an_answer([{"text": "x" * 1000}], None)))
    tail.feed(LAST)

    assert ("stop", 20) == (tail.answer().finish_reason, tail.answer().usage.tokens_out)
    assert 132 * 1024 >= sum(map(len, tail._kept._chunks))


def test_a_stream_is_put_together() -> None:
    """A pair holds what the user would have read: the first candidate, without thoughts."""
    found = gemini.read_stream(WHOLE)

    assert found is not None
    assert ("Hello.", "stop", 20) == (found.text, found.finish_reason, found.usage.tokens_out)


@pytest.mark.parametrize(
    "stream",
    [b"", CHUNKS, CHUNKS + event(b'{"error": {"code": 503}}') + LAST, CHUNKS + event(b"<html>")],
    ids=["nothing", "broken off", "an error in the middle", "not JSON"],
)
def test_half_a_stream_is_no_answer(stream: bytes) -> None:
    """Compared with a whole one it would look like a shorter style."""
    assert gemini.read_stream(stream) is None


def test_a_stream_whose_prompt_was_blocked_is_an_answer_without_text() -> None:
    """It has no finish reason, and it is not broken off."""
    found = gemini.read_stream(event(b'{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}'))

    assert found is not None
    assert ("content_filter", None) == (found.finish_reason, found.text)


@pytest.mark.parametrize(
    ("block", "is_error"),
    [
        (LAST, False),
        (event(b"{}"), False),
        (event(b'{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}'), True),
        (event(b"<html>"), True),
    ],
)
def test_errors_are_told_from_an_answer(block: bytes, is_error: bool) -> None:
    """An overloaded API answers 200 and sends the error as an event."""
    found = sse.parse(block)

    assert found is not None
    assert is_error is gemini.is_error(found)
    assert gemini.is_usage_only(block) is False


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (413, "INVALID_ARGUMENT"),
        (418, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (529, "INTERNAL"),
    ],
)
@pytest.mark.parametrize("param", [None, "model"])
def test_errors_have_the_shape_that_clients_raise(status: int, name: str, param: str | None) -> None:
    """Clients tell them by number and status; what is written can be read again."""
    problem = Problem(status, "No.", "a_code", param)
    body = gemini.error_body(problem)

    found = json.loads(body)["error"]
    assert (status, "No.", name) == (found["code"], found["message"], found["status"])
    assert problem == gemini.read_problem(status, body)
    assert sse.Event(body) == sse.parse(gemini.error_event(problem))
    assert gemini.error_event(problem).startswith(b'data: {"error":')  # Google's client looks for just this


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (
            b'{"error": {"code": 429, "message": "Slow.", "status": "RESOURCE_EXHAUSTED"}}',
            "Slow.",
            "resource_exhausted",
        ),
        (
            b'{"error": {"message": "Key.", "status": "X", "details": [{"reason": "API_KEY_INVALID"}]}}',
            "Key.",
            "api_key_invalid",
        ),
        (b'{"error": "?"}', "The provider answered with status 429.", "upstream_error"),
        (b"<html>", "The provider answered with status 429.", "upstream_error"),
    ],
)
def test_an_error_of_the_api_is_read_for_an_app_of_another_wire(body: bytes, message: str, code: str) -> None:
    """What is no error of the API is said by its status."""
    assert Problem(429, message, code) == gemini.read_problem(429, body)


def test_models_are_listed_as_google_lists_them() -> None:
    """Clients cut the prefix off, and look for what a model can do."""
    found = json.loads(gemini.models_body(["a", "b"]))["models"]

    assert ["models/a", "models/b"] == [model["name"] for model in found]
    assert found[0] == json.loads(gemini.model_body("a"))
    assert {"generateContent", "countTokens"} <= set(found[0]["supportedGenerationMethods"])
