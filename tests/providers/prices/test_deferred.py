"""A source that is loaded when it is first asked."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from threading import Barrier, Thread

import pytest

from midshift.providers.prices.book import PriceBook, Query
from midshift.providers.prices.deferred import Deferred
from midshift.providers.prices.genai import GenaiPrices
from tests.providers.prices.test_book import NOON, Fixed, rate

QUERY = Query("v", "v", "a", NOON, None)


@dataclass
class Loading:
    """Counts how often it is loaded."""

    source: Fixed
    count: int = 0

    def __call__(self) -> Fixed:
        """The source."""
        self.count += 1
        return self.source


def test_a_book_has_its_name_before_its_sources_are_loaded() -> None:
    """The name stands in every record from the first request on."""
    loading = Loading(Fixed("list", {("v/a", None): "1"}))

    assert PriceBook([loading.source]).id == PriceBook([Deferred("list", "1", loading)]).id
    assert 0 == loading.count


def test_a_source_that_an_earlier_one_makes_unneeded_is_not_loaded() -> None:
    loading = Loading(Fixed("list", {("v/a", None): "2"}))
    book = PriceBook([Fixed("own", {("v/a", None): "1"}), Deferred("list", "1", loading)])

    assert 1 == rate(book.prices("v", "a", NOON))
    assert 0 == loading.count


def test_threads_that_ask_at_once_load_it_once() -> None:
    """A gateway's first request may ask while another thread has begun to."""
    loading, together = Loading(Fixed("list", {("v/a", None): "1"})), Barrier(4)
    source = Deferred("list", "1", loading)
    found = []

    def ask() -> None:
        together.wait()
        found.append(source.find(QUERY))

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == loading.count
    assert [loading.source.find(QUERY)] * 4 == found


def test_a_source_of_another_version_than_announced_is_refused() -> None:
    """Its prices would be recorded under a book that never had them."""
    with pytest.raises(RuntimeError, match="list 1 were loaded, expected list 2"):
        Deferred("list", "2", Loading(Fixed("list", {}))).find(QUERY)


def test_the_version_of_genai_prices_is_known_without_loading_it() -> None:
    """`cli.price_book` announces it so; the package itself says the same of itself."""
    assert GenaiPrices().version == version(GenaiPrices.name)
