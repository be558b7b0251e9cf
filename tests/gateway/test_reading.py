"""What a workload reads of its requests, by the rules of its slices."""

from __future__ import annotations

import pytest

from midshift.domain.suite import Slice
from midshift.domain.workload import HeaderEquals, SliceRule
from midshift.gateway.reading import Reading
from midshift.wire import openai_chat
from tests.gateway.fakes import a_workload


@pytest.mark.parametrize(("shown", "slices"), [({}, ()), ({b"x-tier": b""}, ("free",)), ({b"x-tier": b"gold"}, ())])
def test_a_header_that_is_not_there_is_not_an_empty_one(shown: dict[bytes, bytes], slices: tuple[str, ...]) -> None:
    """All who say nothing would be counted as those who say that they have no tier."""
    free = SliceRule("free", HeaderEquals("x-tier", ""))
    reading = Reading(a_workload(slices=(Slice("free"),), rules=(free,)))
    request = openai_chat.read_request(b'{"model":"m","messages":[]}', "/v1/chat/completions")

    assert slices == reading.slices(request, reading.said([], shown))
