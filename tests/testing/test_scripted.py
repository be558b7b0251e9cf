"""Made-up answers and made-up trouble."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midshift.errors import UsageError
from midshift.testing import (
    Fault,
    Faults,
    FaultyProvider,
    ManualClock,
    Recording,
    ReplayProvider,
    ScriptedProvider,
    Voice,
)
from midshift.testing.replay import ChatRequest, Completion, Failure, Reply, Silence
from midshift.testing.scripted import (
    CutAnswer,
    Effect,
    EmptyAnswer,
    MalformedJson,
    NoAnswer,
    NoUsage,
    RateLimited,
    ServerError,
    SlowFirstByte,
)
from midshift.testing.simulated import CANDIDATE, INCUMBENT, Script
from tests.builders import NEW, OLD, a_row, an_output, lines_of

DAY_1 = datetime(2026, 1, 1, tzinfo=UTC)
CASES = 60


def asked(number: int = 0, model: str = INCUMBENT, system: str = "", **fields: Any) -> ChatRequest:
    """The request of one user about something of their own."""
    prompt = [{"role": "system", "content": system}] if system else []
    return ChatRequest(model, [*prompt, {"role": "user", "content": f"Question {number}"}], **fields)


def scripted(*faults: Fault, **options: Any) -> ScriptedProvider:
    """A provider of 60 made-up tickets."""
    return ScriptedProvider(faults=faults, cases=CASES, **options)


def hit(provider: ScriptedProvider, requests: Sequence[ChatRequest]) -> set[int]:
    """Which requests failed."""
    return {number for number, request in enumerate(requests) if isinstance(provider.answer(request), Failure)}


def completion(reply: Reply) -> Completion:
    """The reply, which has to be an answer."""
    assert isinstance(reply, Completion), reply
    return reply


def test_the_same_request_gets_the_same_answer_in_every_run() -> None:
    """A demo that tells another story each time cannot be written about."""
    providers = [scripted(seed=seed) for seed in (7, 7, 8)]
    first, again, other = ([provider.answer(asked(number)) for number in range(5)] for provider in providers)

    assert first == again
    assert first != other


def test_what_is_made_up_says_so() -> None:
    """Simulated numbers are never mistaken for measurements."""
    reply = completion(scripted().answer(asked()))

    assert ("answer", "usage", "latency") == reply.simulated
    assert reply.usage is not None
    assert reply.usage.simulated


def test_both_models_speak_about_the_same_ticket() -> None:
    """A shadow pair of two different stories would show drift that is none."""
    provider = scripted()
    grades = {model: provider.grader(model) for model in provider.models}
    question = provider.questions[17]

    for model in (INCUMBENT, CANDIDATE):
        reply = completion(provider.answer(ChatRequest(model, question.messages)))
        assert (question.id, question.slices) == (reply.case_id, reply.slices)
        assert grades[model].scores(question.id, reply.text, variant=model)["resolved"] in (0.0, 1.0)


def test_a_model_answers_in_the_voice_that_it_was_given() -> None:
    """A config under test has its own model ids."""
    provider = ScriptedProvider({"gpt-old": Voice(INCUMBENT), "gpt-new": Voice(CANDIDATE)}, cases=CASES)
    closing = "Is there anything else I can help you with?"
    closes = {
        model: sum(
            (completion(provider.answer(ChatRequest(model, case.messages))).text or "").endswith(closing)
            for case in provider.questions
        )
        for model in provider.models
    }

    assert closes["gpt-old"] > 0.9 * CASES
    assert closes["gpt-new"] < 0.2 * CASES


def test_another_prompt_is_another_voice() -> None:
    """This is how a re-tuned prompt brings the closing line back."""
    tuned = Voice(CANDIDATE, Script(candidate_closes=1.0, candidate_unanswered=0.0))
    provider = ScriptedProvider({"new": Voice(CANDIDATE)}, prompts={("new", "Close politely."): tuned}, cases=CASES)
    closing = "Is there anything else I can help you with?"

    plain = [completion(provider.answer(asked(number, "new"))).text or "" for number in range(50)]
    prompted = [completion(provider.answer(asked(number, "new", "Close politely."))).text or "" for number in range(50)]

    assert sum(text.endswith(closing) for text in plain) < 15
    assert 50 == sum(text.endswith(closing) for text in prompted)


def test_a_question_of_a_slice_is_answered_from_that_slice() -> None:
    """An off-brand line on escalations must show up on escalations."""
    provider = scripted()
    texts = [
        completion(provider.answer(asked(number, CANDIDATE, headers={"x-case-slice": "escalations"}))).text or ""
        for number in range(40)
    ]

    assert any("Per policy, no exceptions can be made." in text for text in texts)


def test_a_question_of_its_own_belongs_to_no_ticket() -> None:
    """Otherwise two users' questions would count as one case that was paid twice."""
    provider = scripted()
    reply = completion(provider.answer(asked(3)))
    named = completion(provider.answer(asked(3, metadata={"case_id": "mine"})))

    assert ("", ()) == (reply.case_id, reply.slices)
    assert ("mine", ()) == (named.case_id, named.slices)


def test_an_unknown_model_or_voice_is_refused() -> None:
    """A typo must not be answered by somebody else."""
    reply = scripted().answer(asked(model="nobody"))

    assert isinstance(reply, Failure)
    assert (404, "model_not_found") == (reply.status, reply.code)
    with pytest.raises(UsageError, match="nobody sounds like 'gpt'"):
        ScriptedProvider({"m": Voice("gpt")})
    with pytest.raises(UsageError, match="no voice for model 'm'"):
        scripted().grader("m")


@pytest.mark.parametrize(
    ("effect", "status", "code", "retry_after_s"),
    [
        (ServerError(), 500, None, None),
        (ServerError(503), 503, None, None),
        (RateLimited(2.5), 429, "rate_limit_exceeded", 2.5),
    ],
)
def test_an_answer_can_be_lost_to_an_error(
    effect: Effect, status: int, code: str | None, retry_after_s: float | None
) -> None:
    """The gateway answers with the incumbent, and counts it against the candidate."""
    reply = scripted(Fault(effect)).answer(asked())

    assert isinstance(reply, Failure)
    assert (status, code, retry_after_s) == (reply.status, reply.code, reply.retry_after_s)


def test_an_answer_can_be_lost_to_silence() -> None:
    """Only the caller's own timeout ends it."""
    assert isinstance(scripted(Fault(NoAnswer())).answer(asked()), Silence)


def test_an_answer_can_be_spoilt() -> None:
    """Each of these is status 200, and each has broken somebody's parser, budget or patience."""
    provider = scripted()
    plain = completion(provider.answer(asked()))

    def spoilt(effect: Effect) -> Completion:
        return completion(FaultyProvider(provider, Faults([Fault(effect)])).answer(asked()))

    assert plain.first_byte_s + 8.0 == spoilt(SlowFirstByte(8.0)).first_byte_s
    assert plain.latency_s + 8.0 == spoilt(SlowFirstByte(8.0)).latency_s
    assert 2 == spoilt(CutAnswer(2)).cut_after
    assert spoilt(MalformedJson()).malformed
    assert None is spoilt(NoUsage()).usage
    empty = spoilt(EmptyAnswer())
    assert empty.usage is not None
    assert ("", 0) == (empty.text, empty.usage.tokens_out)


def test_faults_add_up_until_the_answer_is_lost() -> None:
    """A bad hour is slow and loses its counts as well."""
    slow, uncounted, lost = Fault(SlowFirstByte(8.0)), Fault(NoUsage()), Fault(ServerError())

    both = completion(scripted(slow, uncounted).answer(asked()))
    assert None is both.usage
    assert both.first_byte_s > 8.0
    assert isinstance(scripted(slow, lost, uncounted).answer(asked()), Failure)


@settings(max_examples=30)
@given(share=st.floats(0.0, 1.0), more=st.floats(0.0, 1.0), seed=st.integers(0, 2**32))
def test_a_share_is_met_and_raising_it_only_adds(share: float, more: float, seed: int) -> None:
    """A canary is compared with itself at another error rate: those that were hit before must be hit again."""
    requests = [asked(number) for number in range(100)]
    low, high = sorted((share, more))
    hits = [
        {
            number
            for number, request in enumerate(requests)
            if isinstance(
                Faults([Fault(ServerError(), share=part)], seed=seed).spoil(Completion("."), request), Failure
            )
        }
        for part in (low, high)
    ]

    assert hits[0] <= hits[1]
    assert abs(len(hits[1]) - 100.0 * high) <= 30.0  # six standard deviations


def test_what_hits_a_request_depends_on_nothing_but_the_request() -> None:
    """Retries, order and load change from run to run; a fault that follows them cannot be looked into."""
    requests = [asked(number, user=f"u{number}") for number in range(200)]
    provider = scripted(Fault(ServerError(), share=0.3))

    forwards = hit(provider, requests)
    backwards = {199 - number for number in hit(provider, requests[::-1])}

    assert forwards == backwards == hit(scripted(Fault(ServerError(), share=0.3)), requests)
    assert 30 < len(forwards) < 90


def test_two_faults_of_one_share_hit_different_requests() -> None:
    """Otherwise every slow answer would also be the empty one."""
    requests = [asked(number) for number in range(200)]
    first = hit(scripted(Fault(ServerError(), share=0.3)), requests)
    second = hit(scripted(Fault(NoUsage(), share=0.3), Fault(ServerError(), share=0.3)), requests)

    assert first != second


def test_a_fault_of_a_model_spares_the_other_arm() -> None:
    """A candidate's errors are told from the vendor's bad day by the incumbent, which has none."""
    provider = scripted(Fault(ServerError(), models=frozenset({CANDIDATE})))

    assert isinstance(provider.answer(asked(model=CANDIDATE)), Failure)
    assert isinstance(provider.answer(asked(model=INCUMBENT)), Completion)


@pytest.mark.parametrize("named_by", ["header", "metadata", "case"])
def test_a_fault_of_a_slice_spares_the_others(named_by: str) -> None:
    """An average hides it: that is what slices are for."""
    provider = scripted(Fault(ServerError(), slices=frozenset({"german"})))

    def about(part: str) -> ChatRequest:
        if named_by == "header":
            return asked(headers={"x-case-slice": f"vip, {part}"})
        if named_by == "metadata":
            return asked(metadata={"slice": part})
        ticket = next(case for case in provider.questions if case.slices == (part,))
        return ChatRequest(INCUMBENT, ticket.messages)

    assert isinstance(provider.answer(about("german")), Failure)
    assert isinstance(provider.answer(about("billing")), Completion)


def test_a_fault_has_its_time() -> None:
    """A provider that breaks on day three, in the middle of a hold, and recovers."""
    clock = ManualClock(DAY_1)
    fault = Fault(ServerError(), since=DAY_1 + timedelta(days=2), until=DAY_1 + timedelta(days=3))
    provider = scripted(fault, now=clock.now)
    failed = []
    for _ in range(8):
        failed.append(isinstance(provider.answer(asked()), Failure))
        clock.advance(12 * 3600.0)

    assert [False] * 4 + [True] * 2 + [False] * 2 == failed


def test_a_fault_with_a_time_needs_a_clock() -> None:
    """Without one it would hit never or always, in silence."""
    with pytest.raises(UsageError, match="there is no clock"):
        scripted(Fault(NoUsage(), since=DAY_1))


def test_a_mistake_of_the_test_is_not_covered_by_a_fault() -> None:
    """A 404 that turns into a 500 sends its reader to the wrong place."""
    reply = scripted(Fault(ServerError())).answer(asked(model="nobody"))

    assert isinstance(reply, Failure)
    assert 404 == reply.status


def test_faults_spoil_recorded_answers_too() -> None:
    """Real texts under scripted trouble, for one arm."""
    row = a_row("1", messages=[{"role": "user", "content": "Question 0"}])
    replay = ReplayProvider(Recording.read(lines_of([row])))
    provider = FaultyProvider(replay, Faults([Fault(RateLimited(), models=frozenset({NEW}))]))

    assert (OLD, NEW) == provider.models
    assert isinstance(provider.answer(asked(model=NEW)), Failure)
    assert replay.answer(asked(model=OLD)) == provider.answer(asked(model=OLD))


def test_a_recorded_error_stays_what_it_was() -> None:
    """A block by the provider is data; trouble on top of it changes nothing."""
    row = a_row("1", an_output(error={"kind": "blocked"}), messages=[{"role": "user", "content": "Question 0"}])
    provider = FaultyProvider(ReplayProvider(Recording.read(lines_of([row]))), Faults([Fault(ServerError())]))

    reply = provider.answer(asked(model=OLD))

    assert isinstance(reply, Failure)
    assert 400 == reply.status


def test_a_fault_is_read_from_json() -> None:
    """A process of its own gets its script on the command line."""
    text = (
        '{"effect": {"type": "slow_first_byte", "extra_s": 9}, "share": 0.5, "models": ["m"], "slices": ["german"],'
        ' "since": "2026-01-01T00:00:00Z"}'
    )

    expected = Fault(SlowFirstByte(9.0), 0.5, frozenset({"m"}), frozenset({"german"}), DAY_1)
    assert expected == msgspec.json.decode(text, type=Fault)


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ('{"effect": {"type": "server_error"}, "share": 2}', "share lies in 0..1"),
        ('{"effect": {"type": "no_usage"}, "until": "2026-01-01T00:00:00"}', "needs a zone"),
        ('{"effect": {"type": "server_error", "status": 404}}', "500..599"),
        ('{"effect": {"type": "cut_answer", "after_chunks": -1}}', "0 chunks or more"),
        ('{"effect": {"type": "no_usage"}, "shrae": 0.5}', "shrae"),
        ('{"effect": {"type": "explode"}}', "explode"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(text: str, trouble: str) -> None:
    """A fault that never hits would make every test pass."""
    with pytest.raises(msgspec.ValidationError, match=trouble):
        msgspec.json.decode(text, type=Fault)
