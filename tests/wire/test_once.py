"""What is told of a request once."""

from __future__ import annotations

from midshift.wire.once import once


class Asked:
    """Counts how often it is worked out."""

    def __init__(self) -> None:
        self.times = 0

    @once
    def answer(self) -> int | None:
        """Nothing, which is an answer too."""
        self.times += 1
        return None


def test_it_is_worked_out_when_it_is_first_read_and_then_kept() -> None:
    """A long system prompt is read for the rendering, and again for the writing."""
    asked = Asked()
    assert 0 == asked.times

    assert asked.answer is None
    assert asked.answer is None
    assert 1 == asked.times


def test_each_object_has_its_own() -> None:
    """Two requests have two prompts."""
    first, second = Asked(), Asked()

    assert first.answer is second.answer is None
    assert [1, 1] == [first.times, second.times]
