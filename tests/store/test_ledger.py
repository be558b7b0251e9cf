"""The ledger of paid calls: what is written outlives the process, and what was begun and not ended is held."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from midshift.domain.paid_call import (
    INTERRUPTED,
    CallKey,
    CallKind,
    Ending,
    Intent,
    PricedBy,
    Result,
    Settled,
    ToolUse,
)
from midshift.domain.usage import Usage
from midshift.errors import StoreError, UsageError
from midshift.store.ledger import Ledger

AT = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
KEY = CallKey("variant", "request")
FULL = Result(
    Ending.ANSWERED,
    AT,
    200,
    "Hello ☃",
    (ToolUse("find", '{"a": 1}'),),
    "stop",
    Usage(12, 7, reasoning_out=2, service_tier="flex"),
    0.75,
    0.00125,
    PricedBy("book", '{"model": "m"}'),
    "model-2026",
    "req-1",
    2,
    first_token_s=0.25,
    characters_in=31,
    characters_out=7,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in a file."""
    with Ledger(tmp_path / "calls.sqlite") as found:
        yield found


def intent(key: CallKey = KEY, attempt: int = 1, worst_usd: str | None = "0.5") -> Intent:
    """A call that is about to be made."""
    return Intent(key, attempt, "acme", "model", AT, None if worst_usd is None else Decimal(worst_usd))


def write(ledger: Ledger, *entries: Intent | Settled) -> Exception | None:
    """Write and wait until it is durable."""
    heard: list[Exception | None] = []
    over = threading.Event()

    def done(failure: Exception | None) -> None:
        heard.append(failure)
        over.set()

    ledger.write(entries, done)
    assert over.wait(10.0)
    return heard[0]


def result_of(ledger: Ledger, key: CallKey = KEY) -> Result | None:
    """The one result of a key."""
    return dict(ledger.results([key]))[key]


def test_a_result_comes_back_as_it_was_written(ledger: Ledger) -> None:
    """An answer is graded from the ledger: whatever is lost there is lost for good."""
    write(ledger, intent())
    write(ledger, Settled(KEY, 1, FULL))

    assert FULL == result_of(ledger)


def test_a_result_of_an_older_ledger_has_no_first_token_and_no_characters(tmp_path: Path) -> None:
    """They were not measured, which is not zero; and what was paid then is not paid again."""
    path = tmp_path / "calls.sqlite"
    with Ledger(path) as ledger:
        write(ledger, intent())
        write(ledger, Settled(KEY, 1, FULL))
    with sqlite3.connect(path) as connection:
        (stored,) = connection.execute("SELECT result FROM calls").fetchone()
        older = msgspec.msgpack.encode(msgspec.msgpack.decode(stored)[:10])
        connection.execute("UPDATE calls SET result = ?", (older,))

    with Ledger(path) as ledger:
        found = result_of(ledger)

    assert replace(FULL, first_token_s=None, characters_in=None, characters_out=None) == found


def test_what_was_never_asked_is_not_there(ledger: Ledger) -> None:
    """Nothing is not an answer."""
    assert {} == ledger.purchases([KEY])
    assert None is result_of(ledger)


def test_a_call_under_way_has_no_result_and_may_cost_its_bound(ledger: Ledger) -> None:
    """The cap counts what was sent and not yet answered."""
    write(ledger, intent())

    found = ledger.purchases([KEY])[KEY]

    assert None is result_of(ledger)
    assert (Ending.UNKNOWN, Decimal(0), Decimal("0.5")) == (found.ending, found.known_usd, found.open_usd)


def test_a_call_that_its_process_did_not_live_to_see_answered_is_unknown(tmp_path: Path) -> None:
    """It may have been served and paid: whoever opens the ledger next must decide, and not find it missing."""
    path = tmp_path / "calls.sqlite"
    with Ledger(path) as ledger:
        write(ledger, intent())

    with Ledger(path) as ledger:
        found, result = ledger.purchases([KEY])[KEY], result_of(ledger)

    assert (Ending.UNKNOWN, INTERRUPTED, 1) == (found.ending, found.detail, found.attempt)
    assert result is not None
    assert (Ending.UNKNOWN, INTERRUPTED) == (result.ending, result.detail)


def test_buying_again_is_a_purchase_of_its_own(tmp_path: Path) -> None:
    """Both may have been paid: the first at most at its bound, the second at its cost."""
    path = tmp_path / "calls.sqlite"
    with Ledger(path) as ledger:
        write(ledger, intent())
    with Ledger(path) as ledger:
        write(ledger, intent(attempt=2))
        write(ledger, Settled(KEY, 2, FULL))

        found = ledger.purchases([KEY])[KEY]

        assert (2, Ending.ANSWERED) == (found.attempt, found.ending)
        assert (Decimal("0.00125"), Decimal("0.5")) == (found.known_usd, found.open_usd)
        assert FULL == result_of(ledger)


def test_the_same_attempt_twice_is_refused(ledger: Ledger) -> None:
    """Two that want to pay for one key at once: the second one must hear of it before it pays."""
    write(ledger, intent())

    assert isinstance(write(ledger, intent()), StoreError)


def test_a_result_is_never_changed(ledger: Ledger) -> None:
    """A second ending of one attempt is a fault of the caller's; the first one was judged already."""
    write(ledger, intent())
    write(ledger, Settled(KEY, 1, FULL))
    write(ledger, Settled(KEY, 1, Result(Ending.FAILED, AT)))

    assert FULL == result_of(ledger)


def test_an_unknown_price_is_no_price_of_zero(ledger: Ledger) -> None:
    """Neither the bound of a call under way, nor the cost of one that is over."""
    other = CallKey("variant", "other")
    write(ledger, intent(worst_usd=None), intent(other, worst_usd=None))
    write(ledger, Settled(other, 1, Result(Ending.ANSWERED, AT, 200, "x")))

    found = ledger.purchases([KEY, other])

    assert [True, True] == [found[KEY].has_unknown_cost, found[other].has_unknown_cost]


def test_an_answer_that_does_not_say_its_cost_may_have_cost_its_bound(ledger: Ledger) -> None:
    """A cap that took it for nothing would be none."""
    write(ledger, intent())
    write(ledger, Settled(KEY, 1, Result(Ending.ANSWERED, AT, 200, "x")))

    found = ledger.purchases([KEY])[KEY]

    assert (Decimal("0.5"), Decimal(0), False) == (found.open_usd, found.known_usd, found.has_unknown_cost)


@pytest.mark.parametrize(
    ("status", "detail", "expected"),
    [
        (400, "temperature is not supported", Ending.REFUSED),
        (403, "your input was flagged", Ending.REFUSED),
        (403, "no", Ending.FAILED),
        (401, "no", Ending.FAILED),
        (400, "API key not valid", Ending.FAILED),
        (524, "no", Ending.UNKNOWN),
    ],
)
def test_a_refusal_of_an_earlier_midshift_is_read_by_what_it_speaks_of(
    ledger: Ledger, status: int, detail: str, expected: Ending
) -> None:
    """It kept a wrong key as the answer of a case, for good; people have such ledgers."""
    write(ledger, intent())
    write(ledger, Settled(KEY, 1, Result(Ending.REFUSED, AT, status, cost_usd=0.0, detail=detail)))

    found = result_of(ledger)

    assert found is not None
    assert (expected, expected) == (found.ending, ledger.purchases([KEY])[KEY].ending)


@pytest.mark.parametrize(
    "other",
    [
        CallKey("variant-2", "request"),
        CallKey("variant", "request-2"),
        CallKey("variant", "request", 2),
        CallKey("variant", "request", 1, CallKind.JUDGE),
        CallKey("variant", "request", 1, CallKind.JUDGE, "rubric"),
    ],
)
def test_every_part_of_a_key_sets_calls_apart(ledger: Ledger, other: CallKey) -> None:
    """An answer of another model, trial or judge is another answer."""
    write(ledger, intent(), Settled(KEY, 1, FULL))

    assert None is result_of(ledger, other)


def test_results_come_in_the_order_of_the_keys(ledger: Ledger) -> None:
    """Pairs are read in the order of the cases, in whichever order the answers came."""
    keys = [CallKey("variant", f"request-{number}") for number in range(1500)]
    write(ledger, *(intent(key) for key in reversed(keys)))

    assert keys == [key for key, _ in ledger.results(keys)]


def test_a_lone_surrogate_costs_a_sign_and_not_the_answer(ledger: Ledger) -> None:
    """JSON can spell half of a pair, no file can: the answer was paid."""
    write(ledger, intent(), Settled(KEY, 1, Result(Ending.ANSWERED, AT, 200, "a\ud800b")))

    found = result_of(ledger)
    assert found is not None
    assert "a?b" == found.text


def test_one_process_at_a_time_buys_on_a_ledger(ledger: Ledger, tmp_path: Path) -> None:
    """Two would take each other's calls under way for lost ones, and pay twice."""
    program = (
        "import sys; from pathlib import Path; from midshift.errors import UsageError; "
        "from midshift.store.ledger import Ledger\n"
        "try:\n    Ledger(Path(sys.argv[1]))\nexcept UsageError as error:\n    print(error)"
    )

    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "calls.sqlite")], capture_output=True, text=True, check=True
    ).stdout

    assert "in use by another eval" in said


def test_a_link_to_a_ledger_is_that_ledger(ledger: Ledger, tmp_path: Path) -> None:
    """Two names for one file would be two that pay for the same."""
    link = tmp_path / "elsewhere.sqlite"
    link.symlink_to(tmp_path / "calls.sqlite")

    with pytest.raises(UsageError, match="in use by another eval"):
        Ledger(link)


def test_the_lock_goes_with_the_ledger(tmp_path: Path) -> None:
    """An eval after an eval in one process is no contest."""
    for _ in range(2):
        with Ledger(tmp_path / "calls.sqlite") as ledger:
            assert {} == ledger.purchases([KEY])


def test_a_ledger_of_a_newer_form_is_not_touched(tmp_path: Path) -> None:
    """An older midshift would write what a newer one cannot read."""
    path = tmp_path / "calls.sqlite"
    Ledger(path).close()
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()

    with pytest.raises(StoreError, match="form 99, expected 1"):
        Ledger(path)


def test_a_file_that_is_none_says_so(tmp_path: Path) -> None:
    """A typo in a path must not become a ledger over somebody's notes."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be read as a header of one" * 20, encoding="utf-8")

    with pytest.raises(StoreError, match="cannot be opened"):
        Ledger(path)


def test_what_was_given_is_written_before_it_closes(tmp_path: Path) -> None:
    """The last answers of a run are paid as the first ones are."""
    path, heard = tmp_path / "calls.sqlite", list[Exception | None]()
    ledger = Ledger(path)
    entries: Sequence[Intent | Settled] = (intent(), Settled(KEY, 1, FULL))
    ledger.write(entries, heard.append)
    ledger.close()

    with Ledger(path) as again:
        assert ([None], FULL) == (heard, result_of(again))


def test_a_closed_ledger_takes_nothing(tmp_path: Path) -> None:
    """Written nowhere is worse than an error."""
    ledger = Ledger(tmp_path / "calls.sqlite")
    ledger.close()

    with pytest.raises(StoreError, match="closed"):
        ledger.write((intent(),), lambda failure: None)
