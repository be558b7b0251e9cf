"""Recorded answers and grades, given again."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from midshift.errors import InputError, UsageError
from midshift.testing import Recording, ReplayGrader, ReplayProvider
from midshift.testing.replay import (
    ChatRequest,
    Completion,
    Failure,
    LatencyModel,
    Reply,
    ToolCall,
    Usage,
)
from tests.builders import NEW, OLD, a_row, an_output, lines_of

ASKED = [{"role": "user", "content": "Where is my parcel?"}]
TOOL = {"type": "function", "function": {"name": "track", "parameters": {"type": "object"}}}


def recorded(*rows: Mapping[str, object]) -> Recording:
    """The recording of these rows."""
    return Recording.read(lines_of(rows))


def one_output(output: object, **row: object) -> ReplayProvider:
    """A provider whose `new` gave this output to case `c`."""
    return ReplayProvider(recorded({"id": "c", "messages": ASKED, "outputs": {NEW: output}, **row}))


def asked(
    messages: Iterable[Mapping[str, Any]] = ASKED, model: str = NEW, case: str | None = None, **fields: Any
) -> ChatRequest:
    """A request for a model; `case` names one in the metadata."""
    metadata = {"case_id": case} if case else {}
    return ChatRequest(model, list(messages), metadata=fields.pop("metadata", metadata), **fields)


def completion(reply: Reply) -> Completion:
    """The reply, which has to be an answer."""
    assert isinstance(reply, Completion), reply
    return reply


def failure(reply: Reply) -> Failure:
    """The reply, which has to be an error."""
    assert isinstance(reply, Failure), reply
    return reply


def test_a_case_is_found_by_its_messages() -> None:
    """A gateway forwards what the app sends; it knows of no case ids."""
    provider = ReplayProvider(
        recorded(
            a_row("1", new=an_output(text="On its way."), messages=ASKED),
            a_row("2", messages=[{"role": "user", "content": "Another question"}]),
        )
    )

    reply = completion(provider.answer(asked()))

    assert ("On its way.", "1", ("a",)) == (reply.text, reply.case_id, reply.slices)


@pytest.mark.parametrize(
    "request_",
    [asked([], case="2"), asked([], headers={"x-case-id": "2"}), asked(ASKED, case="2")],
    ids=["metadata", "header", "over the messages"],
)
def test_a_case_that_is_named_needs_no_messages(request_: ChatRequest) -> None:
    """Files of graded texts often come without the prompts."""
    provider = ReplayProvider(recorded(a_row("1", messages=ASKED), a_row("2", new=an_output(text="Two."))))

    assert "Two." == completion(provider.answer(request_)).text


def test_the_system_prompt_of_a_variant_does_not_hide_the_case() -> None:
    """The gateway replaces the prompt: what was asked is still what the user said."""
    provider = one_output(an_output(text="Yes."))
    prompted = [{"role": "developer", "content": "Be brief."}, *ASKED]

    assert "Yes." == completion(provider.answer(asked(prompted))).text


def test_content_in_parts_is_the_same_text() -> None:
    """SDKs send one text as a string or as a list of parts; both ask the same."""
    provider = one_output(an_output(text="Yes."))
    parts = [
        {"role": "user", "content": [{"type": "text", "text": "Where is my "}, {"type": "text", "text": "parcel?"}]}
    ]

    assert "Yes." == completion(provider.answer(asked(parts))).text


def test_equal_messages_are_told_apart_by_their_tools() -> None:
    """Nineteen prompts of a well-known tool benchmark occur twice, with other tools."""
    provider = ReplayProvider(
        recorded(
            a_row("1", new=an_output(text="Plain."), messages=ASKED),
            a_row("2", new=an_output(text="With a tool."), messages=ASKED, tools=[TOOL]),
        )
    )

    assert "Plain." == completion(provider.answer(asked())).text
    assert "With a tool." == completion(provider.answer(asked(tools=[TOOL]))).text


def test_two_cases_of_the_same_words_are_not_guessed_between() -> None:
    """The wrong one's answer would be graded as the right one's."""
    provider = ReplayProvider(recorded(a_row("1", messages=ASKED), a_row("2", messages=ASKED)))

    refused = failure(provider.answer(asked()))

    assert (404, "case_not_found") == (refused.status, refused.code)
    assert '["1", "2"]' in refused.message


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (asked([{"role": "user", "content": "Never asked"}]), '"Never asked"'),
        (asked(case="nobody"), "'nobody'"),
        (asked([], case=None), '""'),
    ],
)
def test_an_unknown_case_is_refused_by_name(request_: ChatRequest, names: str) -> None:
    """A made-up answer to it would look like a measurement."""
    refused = failure(one_output(an_output()).answer(request_))

    assert (404, "case_not_found") == (refused.status, refused.code)
    assert names in refused.message
    assert "x-case-id" in refused.message


def test_an_unknown_model_is_refused_with_those_that_are_known() -> None:
    """A typo in a variant file must not be answered by somebody else."""
    refused = failure(one_output(an_output()).answer(asked(model="nwe")))

    assert (404, "model_not_found", "model") == (refused.status, refused.code, refused.param)
    assert "'nwe'" in refused.message
    assert '["new"]' in refused.message


def test_a_case_without_an_output_of_this_variant_is_refused() -> None:
    """Files are patchy: the hole is named, not filled from another variant."""
    provider = ReplayProvider(recorded(a_row("1", messages=ASKED), {"id": "2", "outputs": {OLD: an_output()}}))

    refused = failure(provider.answer(asked([], case="2")))

    assert (404, "output_not_found") == (refused.status, refused.code)
    assert "'2' has no output of variant 'new', only of [\"old\"]" in refused.message


def test_model_ids_lead_to_variants() -> None:
    """A product asks for a model; the file speaks of runs."""
    recording = recorded(a_row("1", an_output(text="Old."), an_output(text="New."), messages=ASKED))
    provider = ReplayProvider(recording, {"gpt-4o": OLD, "gpt-5": NEW})

    assert ("gpt-4o", "gpt-5") == provider.models
    assert "Old." == completion(provider.answer(asked(model="gpt-4o"))).text
    assert "New." == completion(provider.answer(asked(model="gpt-5"))).text


def test_a_prompt_can_make_it_another_variant() -> None:
    """Re-tuning changes nothing but the system prompt, and a recording of it must be replayable."""
    recording = recorded(a_row("1", an_output(text="Long."), an_output(text="Short."), messages=ASKED))
    provider = ReplayProvider(recording, {"m": OLD}, prompts={("m", "Be brief."): NEW})

    assert "Long." == completion(provider.answer(asked(model="m"))).text
    brief = asked([{"role": "system", "content": "Be brief."}, *ASKED], model="m")
    assert "Short." == completion(provider.answer(brief)).text


def test_a_variant_that_was_not_recorded_is_refused_at_the_start() -> None:
    """A mistake in the map shows before the first request, not as a share of 404s."""
    with pytest.raises(UsageError, match="no variant 'newer'"):
        ReplayProvider(recorded(a_row("1")), {"m": "newer"})


def test_trials_are_told_apart_by_number() -> None:
    """Agreement of a model with itself is measured on several trials of one case."""
    provider = ReplayProvider(
        recorded(a_row("1", new=an_output(text="First."), trial=0), a_row("1", new=an_output(text="Second."), trial=1))
    )

    assert "First." == completion(provider.answer(asked(case="1"))).text
    assert "Second." == completion(provider.answer(asked(metadata={"case_id": "1", "trial": 1}))).text
    assert "no trial '2'" in failure(provider.answer(asked(metadata={"case_id": "1", "trial": "2"}))).message


def test_tool_calls_come_back_as_they_were() -> None:
    """Their arguments are text that a model wrote: also text that is not JSON."""
    calls = [
        {"name": "track", "arguments": '{"id": 7'},
        {"id": "x", "type": "function", "function": {"name": "track", "arguments": {"id": 8}}},
    ]
    reply = completion(one_output({"text": None, "tool_calls": calls}).answer(asked()))

    assert (ToolCall("track", '{"id": 7'), ToolCall("track", '{"id":8}')) == reply.tool_calls
    assert "tool_calls" == reply.finish_reason


@pytest.mark.parametrize(("output", "text"), [(None, None), ({"text": None}, None), ({"text": ""}, "")])
def test_an_answer_that_was_none_is_none_again(output: object, text: str | None) -> None:
    """An upgrade that loses answers is found by them; a fake that repairs them hides it."""
    reply = completion(one_output(output).answer(asked()))

    assert (text, "stop") == (reply.text, reply.finish_reason)
    assert reply.usage is not None
    assert 0 == reply.usage.tokens_out


@pytest.mark.parametrize(
    ("error", "status", "kind", "code", "message"),
    [
        ({"kind": "blocked"}, 400, "invalid_request_error", "invalid_prompt", "Recorded provider error"),
        ({"kind": "rate_limit"}, 429, "requests", "rate_limit_exceeded", "Recorded provider error"),
        ({"kind": "overloaded", "status": 503, "message": "Busy"}, 503, "server_error", "overloaded", "Busy"),
        ("went wrong", 500, "server_error", "error", "went wrong"),
    ],
)
def test_a_recorded_error_fails_again(error: object, status: int, kind: str, code: str, message: str) -> None:
    """A prompt that the provider blocked is an availability drift, not an odd answer."""
    refused = failure(one_output({"text": None, "error": error}, slice="legal").answer(asked()))

    assert (status, kind, code) == (refused.status, refused.kind, refused.code)
    assert refused.message.startswith(message)
    assert ("c", ("legal",)) == (refused.case_id, refused.slices)


def test_an_error_that_was_stored_as_text_fails_on_demand() -> None:
    """Runs that log the error in the answer's place are common; the pattern is the same as in `compare`."""
    output = an_output(text="API Error: this query is blocked by APIs.")
    recording = recorded({"id": "c", "messages": ASKED, "outputs": {NEW: output}})

    assert output["text"] == completion(ReplayProvider(recording).answer(asked())).text
    strict = ReplayProvider(recording, error_text=re.compile("^API Error"))
    assert 400 == failure(strict.answer(asked())).status


def test_recorded_numbers_are_given_as_they_are() -> None:
    """What was measured is not modelled."""
    output = an_output(tokens_in=512, tokens_out=9, tokens_reasoning=4, latency_s=0.82, ttft_s=0.3)
    reply = completion(one_output(output).answer(asked()))

    assert Usage(512, 9, 4, simulated=False) == reply.usage
    assert (0.3, 0.82) == (reply.first_byte_s, reply.latency_s)
    assert () == reply.simulated


def test_absent_tokens_are_estimated_and_say_so() -> None:
    """Costs that are computed from them must be recognisable as made up."""
    reply = completion(one_output(an_output(text="x" * 42), latency_s=1.0).answer(asked()))

    assert Usage(tokens_in=round(19 / 4.2), tokens_out=10, simulated=True) == reply.usage
    assert ("usage", "latency") == reply.simulated


def test_absent_seconds_are_drawn_by_the_request() -> None:
    """The same request takes the same time in every run, and not every request the same."""
    provider = one_output(an_output(text="x" * 420))
    taken = [completion(provider.answer(asked(user=user))).latency_s for user in ("u1", "u1", "u2")]

    assert taken[0] == taken[1] != taken[2]
    other_seed = ReplayProvider(provider.recording, seed=1)
    assert taken[0] != completion(other_seed.answer(asked(user="u1"))).latency_s


def test_the_latency_model_is_lognormal_around_start_and_price() -> None:
    """The median is what the two numbers say; half of the answers take longer."""
    model = LatencyModel(base_s=0.4, per_token_s=0.016, sigma=0.25)

    assert pytest.approx(0.4 + 1.6) == model.seconds(100, 0.5)
    assert pytest.approx(2.0 * 2.718281828**0.25) == model.seconds(100, 0.8413447)
    assert pytest.approx(0.4) == model.first_byte_s(100, 2.0)


def test_what_is_no_number_counts_as_absent() -> None:
    """Python writes NaN into files; a fake must not wait for it."""
    line = b'{"id": "c", "outputs": {"new": {"text": "Yes.", "latency_s": NaN, "tokens_in": -1, "scores": {"s": NaN}}}}'
    provider = ReplayProvider(Recording.read([line]))

    assert ("usage", "latency") == completion(provider.answer(asked(case="c"))).simulated


def test_rows_that_cannot_be_used_are_counted_with_their_places() -> None:
    """A replay with holes answers 404 where the file has an answer; the ledger says why."""
    lines = [
        b"\xef\xbb\xbf" + json.dumps(a_row("1")).encode(),
        b"",
        b"{",
        b"[]",
        json.dumps(a_row("1")).encode(),
        b'{"outputs": {"new": {}}}',
        b'{"id": "7"}',
        b'{"id": "8", "outputs": {"new": {"text": 8}}}',
        b'{"id": "9", "outputs": {"new": {"text": "", "tool_calls": [{"arguments": "{}"}]}}}',
    ]
    recording = Recording.read(lines)

    assert ["1"] == [case.id for case in recording.cases]
    found = {problem.reason: problem.places for problem in recording.ledger.problems.values()}
    expected = {"not_json": [3], "bad_row": [4], "duplicate_id": [5], "no_id": [6]}
    assert expected | {"no_outputs": [7], "bad_output": [8], "bad_tool_call": [9]} == found
    assert (8, 1) == (recording.ledger.read, recording.ledger.blank)


@pytest.mark.parametrize(("lines", "trouble"), [([], "it is empty"), ([b"{"], "line 1: ")])
def test_a_file_without_a_case_is_refused(lines: list[bytes], trouble: str) -> None:
    """A provider that knows nothing would refuse every request, each time with a riddle."""
    with pytest.raises(InputError, match=f"rows.jsonl has no case to replay: {trouble}"):
        Recording.read(lines, "rows.jsonl")


def test_a_text_is_given_the_scores_that_were_recorded_for_it() -> None:
    """A whole eval runs on a recording, with real grades and no judge."""
    grader = ReplayGrader(recorded(a_row("1", an_output(0, text="Bad."), an_output(1, text="Good."))))

    assert {"s": 0.0} == grader.scores("1", "Bad.")
    assert {"s": 1.0} == grader.scores("1", "Good.")


@pytest.mark.parametrize(("case", "text"), [("1", "Unheard of."), ("2", "Good."), ("1", None), ("1", "")])
def test_an_unknown_text_is_unscored(case: str, text: str | None) -> None:
    """0 would be a verdict on a text that nobody has graded."""
    grader = ReplayGrader(recorded(a_row("1", 0, an_output(1, text="Good."))))

    assert {"s": None} == grader.scores(case, text)


def test_a_score_that_is_null_stays_null() -> None:
    """Unscored in the file is unscored here, beside scores that are there."""
    output = an_output(text="Yes.", scores={"s": None, "t": True})
    grader = ReplayGrader(recorded(a_row("1", 1, output)))

    assert {"s": None, "t": 1.0} == grader.scores("1", "Yes.")


def test_one_text_with_two_grades_is_decided_by_the_variant() -> None:
    """Judges contradict themselves; picking one of the grades in silence would favour a variant."""
    output = {"text": "Same.", "scores": {"s": 1, "t": 1}}
    grader = ReplayGrader(recorded(a_row("1", {**output, "scores": {"s": 0, "t": 1}}, output)))

    assert {"s": None, "t": 1.0} == grader.scores("1", "Same.")
    assert {"s": 0.0, "t": 1.0} == grader.scores("1", "Same.", variant=OLD)
    assert {"s": 1.0, "t": 1.0} == grader.scores("1", "Same.", variant=NEW)
    assert {"s": None, "t": None} == grader.scores("1", "Same.", variant="third")


def test_answers_without_text_are_known_by_their_calls() -> None:
    """Two calls with other arguments are two answers, although both texts are null."""
    outputs = [{"text": None, "tool_calls": [{"name": "f", "arguments": text}]} for text in ("{}", "[]")]
    grader = ReplayGrader(recorded(a_row("1", *({**o, "scores": {"s": n}} for n, o in enumerate(outputs)))))

    assert {"s": 0.0} == grader.scores("1", None, tool_calls=[ToolCall("f", "{}")])
    assert {"s": 1.0} == grader.scores("1", None, tool_calls=[ToolCall("f", "[]")])
    assert {"s": None} == grader.scores("1", None, tool_calls=[ToolCall("g", "{}")])


def test_a_lone_surrogate_is_found_and_graded_like_any_text() -> None:
    """Models emit them, Python stores them, and UTF-8 cannot say them."""
    row = a_row("1", 0, an_output(1, text="\ud83d!"), messages=[{"role": "user", "content": "\ud83d?"}])
    recording = recorded(row)

    assert "\ud83d!" == completion(ReplayProvider(recording).answer(asked(row["messages"]))).text  # type: ignore[arg-type] # it is messages
    assert {"s": 1.0} == ReplayGrader(recording).scores("1", "\ud83d!")


@pytest.mark.slow
def test_every_recorded_output_of_real_models_comes_back_unchanged(data_dir: Path) -> None:
    """850 cases, five runs, tool calls, 19 prompts that occur twice: found by their words alone."""
    path = data_dir / "bfcl.jsonl"
    provider = ReplayProvider(Recording.open(path))
    differing = []
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        for variant, output in row["outputs"].items():
            reply = completion(provider.answer(asked(row["messages"], variant, tools=row["tools"])))
            calls = [{"name": call.name, "arguments": call.arguments} for call in reply.tool_calls]
            if (output["text"], output["tool_calls"] or []) != (reply.text, calls) or reply.simulated:
                differing.append((row["id"], variant))

    assert [] == differing


@pytest.mark.slow
def test_every_recorded_score_of_real_models_is_given_again(data_dir: Path) -> None:
    """Also where two runs said the same and were graded differently."""
    path = data_dir / "bfcl.jsonl"
    grader = ReplayGrader(Recording.open(path))
    differing = [
        (row["id"], variant)
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())
        for variant, output in row["outputs"].items()
        if output["scores"] != grader.scores(row["id"], output["text"], variant=variant)
    ]

    assert [] == differing


def test_prompts_that_a_provider_blocked_are_blocked_again(data_dir: Path) -> None:
    """Six of 400, stored as answers: the drift that a quality gate alone overlooks."""
    recording = Recording.open(data_dir / "zeroeval_crux.jsonl")
    provider = ReplayProvider(recording, error_text=re.compile("^API Error: this query is blocked"))
    replies = [provider.answer(asked([], "o1-preview-2024-09-12", case.id)) for case in recording.cases]

    assert 6 == sum(isinstance(reply, Failure) and reply.status == 400 for reply in replies)
    assert 394 == sum(isinstance(reply, Completion) for reply in replies)
