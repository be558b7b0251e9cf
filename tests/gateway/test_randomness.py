"""Random bytes ahead of need: none is given away twice."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from midshift.gateway.randomness import Randomness


class Numbered:
    """Gives bytes that are all different, and keeps count of how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._next = count()

    def __call__(self, size: int) -> bytes:
        self.asked.append(size)
        return b"".join(next(self._next).to_bytes(4, "big") for _ in range(size // 4 + 1))[:size]


@given(st.lists(st.integers(0, 40).map(lambda number: 4 * number), min_size=1, max_size=40))
def test_no_byte_is_given_away_twice(sizes: list[int]) -> None:
    """Two requests with one nonce would have one id: feedback on the second would be lost."""
    randomness = Randomness(Numbered(), ahead=64)
    taken = [randomness.take(size) for size in sizes]
    words = [part[at : at + 4] for part in taken for at in range(0, len(part), 4)]

    assert sizes == [len(part) for part in taken]
    assert len(words) == len(set(words))


def test_the_system_is_asked_once_for_many() -> None:
    """Each call of the system lets another thread go first."""
    source = Numbered()
    randomness = Randomness(source, ahead=160)
    for _ in range(20):
        randomness.take(16)

    assert [160, 160] == source.asked


def test_the_system_is_the_default() -> None:
    """Secrets come from nowhere else."""
    assert Randomness().take(16) != Randomness().take(16)
