"""The one door for texts: nothing but what `capture` says goes through it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from midshift.domain.capture import CapturedRequest, FeedbackRecord, is_captured
from midshift.domain.exposure import Pair, ShadowAnswer
from midshift.domain.light import replaced
from midshift.domain.suite import Slice
from midshift.domain.variant import Variant
from midshift.domain.workload import Capture, DataPolicy, Redaction, UnitSource, Workload
from midshift.shadow.features import Form
from midshift.store.capturing import CapturingRecorder, without_texts
from midshift.store.recorder import Counts, SegmentWriter
from midshift.store.segments import Kind, Reading, feedback, pairs, requests, segments

KEY = b"a key for tests, only for tests"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NONE = Capture()
ALL = Capture(1.0, timedelta(days=14), (Redaction.EMAIL, Redaction.PHONE))
HALF = Capture(0.5, timedelta(days=14))
TOOLS = '[{"name":"pay","arguments":"{\\"to\\":\\"ada@example.com\\"}"},{"name":"x","arguments":"not json"}]'


def a_workload(capture: Capture) -> Workload:
    """Support, whose unit is the body's `session`."""
    unit = (UnitSource.parse("body:session"),)
    data = DataPolicy(capture=capture)
    return Workload("support", ("m",), Variant("p", "m"), (Slice("all"),), unit=unit, data=data)


def a_pair(request_id: str = "r-1", **fields: Any) -> Pair:
    """Two answers with an address in each."""
    old = ShadowAnswer("Dear Ada,\nwrite to ada@example.com.", 200, 1.0, 10, 12, tools=TOOLS)
    new = ShadowAnswer("Dear Ada,\nI cannot.", 200, 1.0, 10, 12)
    return replaced(Pair(request_id, "support", "up-1", "c", (), old, new, unit="u-1"), **fields)


def a_request(request_id: str = "r-1") -> CapturedRequest:
    """A request with an address in it."""
    body = {"model": "m", "session": "ada", "messages": [{"role": "user", "content": "I am ada@example.com"}]}
    asked = CapturedRequest(request_id, "support", "openai_chat", "/v1/chat/completions", body, NOW)
    return replaced(asked, answer="Dear ada@example.com", tools=TOOLS)


def written(folder: Path, capture: Capture, *records: object) -> bytes:
    """Everything on the disk after these have gone through the door."""
    with SegmentWriter(folder, "g1") as writer:
        door = CapturingRecorder(writer, [a_workload(capture)], KEY, lambda: NOW)
        for record in records:
            match record:
                case Pair():
                    door.record_pair(record)
                case CapturedRequest():
                    door.record_request(record)
                case FeedbackRecord():
                    door.record_feedback(record)
    return b"".join(one.path.read_bytes() for kind in Kind for one in segments(folder, kind))


A_FEEDBACK = FeedbackRecord("r-1", "support", NOW, 0.0, "https://t.example/ada@example.com", "Ask Ada, ada@example.com")


def test_by_default_no_text_reaches_the_disk(tmp_path: Path) -> None:
    """Not of a request, not of an answer, a tool call, a comment, nor the first line of anything."""
    found = written(tmp_path, NONE, a_pair(), a_request(), A_FEEDBACK)

    for text in (b"ada", b"Ada", b"Dear", b"cannot", b"t.example"):
        assert text not in found
    assert b'"satisfaction":0.0' in found


def test_captured_texts_are_redacted_before_they_are_written(tmp_path: Path) -> None:
    """The text stays, the address does not; and the unit in the body is one of nobody's."""
    found = written(tmp_path, ALL, a_pair(), a_request(), replace(A_FEEDBACK, ticket=None))

    assert b"ada@example.com" not in found
    assert b'"session":"[unit]"' in found
    assert b"Dear Ada" in found
    assert b"Ask Ada, [email]" in found
    [request] = requests(segments(tmp_path, Kind.REQUESTS)[0].path, Reading())
    assert "Dear [email]" == request.answer
    assert {"to": "[email]"} == json.loads(json.loads(str(request.tools))[0]["arguments"])


def test_a_body_without_secrets_is_written_as_it_came_but_for_its_unit(tmp_path: Path) -> None:
    """It goes on as the JSON that was looked at."""
    written(tmp_path, Capture(1.0, timedelta(days=14)), a_request())

    [request] = requests(segments(tmp_path, Kind.REQUESTS)[0].path, Reading())
    assert {**a_request().body, "session": "[unit]"} == request.body


def test_half_a_surrogate_pair_beside_such_a_body_is_mended(tmp_path: Path) -> None:
    """The record stays, with a question mark."""
    with SegmentWriter(tmp_path, "g1") as writer:
        door = CapturingRecorder(writer, [a_workload(Capture(1.0, timedelta(days=14)))], KEY, lambda: NOW)
        door.record_request(replaced(a_request(), answer="so\ud83c"))

    assert Counts(written=1, mended=1) == writer.counts()
    [request] = requests(segments(tmp_path, Kind.REQUESTS)[0].path, Reading())
    assert ("so?", "m") == (request.answer, request.body["model"])


def test_of_a_workload_that_nobody_defined_nothing_is_kept(tmp_path: Path) -> None:
    """Missing permission is none."""
    found = written(tmp_path, ALL, replaced(a_pair(), workload="x"), replaced(a_request(), workload="x"))

    assert b"Ada" not in found
    assert [] == segments(tmp_path, Kind.REQUESTS)


def test_all_records_of_a_request_agree_on_whether_it_is_captured(tmp_path: Path) -> None:
    """A pair without its request, or a comment on an answer that nobody can see, would be of little use."""
    ids = [f"r-{number}" for number in range(40)]
    records: list[object] = []
    for name in ids:
        records += [a_pair(name), a_request(name), replace(A_FEEDBACK, request_id=name)]
    written(tmp_path, HALF, *records)
    expected = [name for name in ids if is_captured(HALF, name)]

    reading = Reading()
    of = {kind: segments(tmp_path, kind)[0].path for kind in Kind if kind is not Kind.EXPOSURES}
    assert expected == [row.id for row in requests(of[Kind.REQUESTS], reading)]
    assert expected == [row.request_id for row in pairs(of[Kind.PAIRS], reading) if row.incumbent.text]
    assert expected == [row.request_id for row in feedback(of[Kind.FEEDBACK], reading) if row.comment]
    assert 10 < len(expected) < 30


def test_what_drift_asks_for_stays_without_the_text() -> None:
    """Length, form, and whether two first lines are the same: drift is found at `texts: 0%` as well."""
    found = without_texts(a_pair(), KEY)
    old, new = found.incumbent.features, found.candidate.features

    assert old is not None
    assert new is not None
    assert (35, 5, 0) == (old.chars, old.words, old.form)
    assert Form.REFUSAL_LIKE == Form(new.form)
    assert old.opening == new.opening != old.closing
    assert old.opening.startswith("#")
    other = without_texts(a_pair(), b"another key, also for tests").incumbent.features
    assert other is not None
    assert old.opening != other.opening


def test_of_a_tool_call_the_name_stays_and_whether_two_are_equal() -> None:
    """With arguments that were JSON still JSON, and those that were none still none."""
    spelt = TOOLS.replace('{\\"to\\":', '{ \\"to\\": ')
    first, second = (
        json.loads(str(without_texts(a_pair(incumbent=ShadowAnswer(None, 200, tools=tools)), KEY).incumbent.tools))
        for tools in (TOOLS, spelt)
    )

    assert first == second
    assert ["pay", "x"] == [call["name"] for call in first]
    assert json.loads(first[0]["arguments"]).startswith("#")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(first[1]["arguments"])


@pytest.mark.parametrize("text", ["Dear Ada, I cannot.", "Dear Ada,\nI cannot.", "Dear Ada,\n\nDear Ada,", "{", ""])
def test_equal_lines_have_equal_digests_and_others_have_not(text: str) -> None:
    """Whether they open or close an answer, or are all of it; a line that says nothing has none."""
    found = without_texts(a_pair(incumbent=ShadowAnswer(text, 200)), KEY).incumbent.features

    assert found is not None
    lines = text.split("\n")
    assert (lines[0] == lines[-1]) == (found.opening == found.closing)
    assert (lines[0] in ("{", "")) == (found.opening == "")


def test_taking_the_texts_away_twice_changes_nothing_more() -> None:
    """The door does it, and the janitor later, again."""
    once = without_texts(a_pair(), KEY)

    assert once == without_texts(once, KEY)
