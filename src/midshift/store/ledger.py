"""The ledger of paid calls, in one SQLite file: what was about to be asked, and what came of it.

Contract: `midshift.ports.PaidCalls`. One thread writes, as many entries to a commit as wait for one, and each commit is
on the disk (WAL, synchronous=FULL) before anybody hears of it. One process at a time may buy on a file; whatever its
predecessor left open is UNKNOWN as soon as the file is opened. A result that was written is never changed.
Elsewhere: what a call is (domain.paid_call), who buys (providers.paid).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import IO, Any, Self, TypeAlias

import msgspec

from midshift.domain.paid_call import INTERRUPTED, CallKey, Ending, Intent, PricedBy, Purchase, Result, Settled, ToolUse
from midshift.domain.usage import Usage
from midshift.errors import StoreError, UsageError
from midshift.providers.paid.refusals import speaks

FORMAT = 1
MOST_PER_COMMIT = 1024
_KEYS_A_QUERY = 512

_SCHEMA = """
CREATE TABLE IF NOT EXISTS prices (
    id INTEGER PRIMARY KEY, book TEXT NOT NULL, entry TEXT NOT NULL, UNIQUE (book, entry)
);
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL, attempt INTEGER NOT NULL,
    variant TEXT NOT NULL, request TEXT NOT NULL, trial INTEGER NOT NULL, kind TEXT NOT NULL, grader TEXT NOT NULL,
    provider TEXT NOT NULL, model TEXT NOT NULL, asked_at TEXT NOT NULL, worst_usd TEXT,
    ending TEXT, cost_usd REAL, detail TEXT, price_id INTEGER REFERENCES prices (id), result BLOB,
    UNIQUE (key, attempt)
);
CREATE INDEX IF NOT EXISTS open_calls ON calls (id) WHERE ending IS NULL;
"""
_INTEND = (
    "INSERT INTO calls (key, attempt, variant, request, trial, kind, grader, provider, model, asked_at, worst_usd) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SETTLE = (
    "UPDATE calls SET ending = ?, cost_usd = ?, detail = ?, price_id = ?, result = ? "
    "WHERE key = ? AND attempt = ? AND ending IS NULL"
)
_INTERRUPT = f"UPDATE calls SET ending = '{Ending.UNKNOWN}', detail = '{INTERRUPTED}' WHERE ending IS NULL"

Entry: TypeAlias = Intent | Settled
Done: TypeAlias = Callable[[Exception | None], None]
_Waiting: TypeAlias = "tuple[Sequence[Entry], Done]"


class _Stored(msgspec.Struct, array_like=True, omit_defaults=True):
    """What of a result is not a column of its own; what was not measured at first is last, and missing in old files."""

    at: str
    status: int | None
    text: str | None
    tools: list[tuple[str, str]]
    finish_reason: str | None
    usage: Usage
    latency_s: float | None
    model: str | None
    request_id: str | None
    turned_away: int
    first_token_s: float | None = None
    characters_in: int | None = None
    characters_out: int | None = None


class Ledger:
    """Implements `ports.PaidCalls`. Any thread may call.

    Raises:
        StoreError: if the file cannot be opened as a ledger.
        UsageError: if another process buys on it at this moment.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._name = "the ledger in memory" if path is None else f"the ledger {str(path)!r}"
        self._lock_file = None if path is None else _alone(path)
        try:
            self._connection = _opened(path, self._name)
        except StoreError:
            if self._lock_file is not None:
                self._lock_file.close()
            raise
        self._turn = threading.Lock()
        # Readers have a connection of their own: nobody who asks waits for the disk. In memory there is only one.
        self._reader = self._connection if path is None else sqlite3.connect(path, check_same_thread=False)
        self._reading = self._turn if path is None else threading.Lock()
        self._prices: dict[PricedBy, int] = {}
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread: threading.Thread | None = threading.Thread(target=self._work, name="midshift-ledger", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, entries: Sequence[Entry], done: Done) -> None:
        """See `PaidCalls`."""
        if self._thread is None:
            raise StoreError(f"{self._name} is closed: open it again")
        self._queue.put((entries, done))

    def purchases(self, keys: Iterable[CallKey]) -> dict[CallKey, Purchase]:
        """See `PaidCalls`."""
        sql = (
            "SELECT key, attempt, ending, detail, cost_usd, worst_usd, CASE ending WHEN 'refused' THEN result END "
            "FROM calls WHERE key IN ({}) ORDER BY attempt"
        )
        found: dict[CallKey, Purchase] = {}
        for part, rows in self._looked_up(keys, sql):
            for digest, *row in rows:
                found[part[digest]] = _added(found.get(part[digest]), row)
        return found

    def results(self, keys: Iterable[CallKey]) -> Iterator[tuple[CallKey, Result | None]]:
        """See `PaidCalls`."""
        sql = (
            "SELECT key, asked_at, ending, cost_usd, detail, book, entry, result FROM calls "
            "LEFT JOIN prices ON prices.id = price_id WHERE key IN ({}) ORDER BY attempt"
        )
        for part, rows in self._looked_up(keys, sql):
            found = {part[digest]: _result(row) for digest, *row in rows}
            for key in part.values():
                yield key, found.get(key)

    def close(self) -> None:
        """Write what was given, and let go of the file."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._queue.put(None)
        thread.join()
        self._reader.close()
        self._connection.close()
        if self._lock_file is not None:
            self._lock_file.close()

    def _looked_up(self, keys: Iterable[CallKey], sql: str) -> Iterator[tuple[dict[bytes, CallKey], list[Any]]]:
        for part in _parts(keys, _KEYS_A_QUERY):
            by_digest = {key.digest: key for key in part}
            with self._reading:
                rows = self._reader.execute(sql.format(",".join("?" * len(by_digest))), tuple(by_digest)).fetchall()
            yield by_digest, rows

    def _work(self) -> None:
        goes_on = True
        while goes_on and (first := self._queue.get()) is not None:
            batch, goes_on = self._gathered(first)
            failure = self._committed([entry for entries, _ in batch for entry in entries])
            for _, done in batch:
                done(failure)

    def _gathered(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        batch, size = [first], len(first[0])
        while size < MOST_PER_COMMIT:
            try:
                more = self._queue.get_nowait()
            except Empty:
                break
            if more is None:
                return batch, False
            batch.append(more)
            size += len(more[0])
        return batch, True

    def _committed(self, entries: Sequence[Entry]) -> Exception | None:
        """All in one transaction, or nothing."""
        intents = [_intent_row(entry) for entry in entries if isinstance(entry, Intent)]
        settled = [entry for entry in entries if isinstance(entry, Settled)]
        try:
            with self._turn, self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_INTEND, intents)
                self._connection.executemany(_SETTLE, [self._settled_row(entry) for entry in settled])
        except sqlite3.Error as error:
            self._prices.clear()  # what was rolled back is not there
            return StoreError(f"{self._name} cannot be written: {error}")
        return None

    def _settled_row(self, entry: Settled) -> tuple[object, ...]:
        result = entry.result
        return (
            result.ending.value,
            result.cost_usd,
            result.detail or None,
            None if result.priced_by is None else self._price_id(result.priced_by),
            _encoded(result),
            entry.key.digest,
            entry.attempt,
        )

    def _price_id(self, priced: PricedBy) -> int:
        known = self._prices.get(priced)
        if known is None:
            values = (priced.book, priced.entry)
            self._connection.execute("INSERT OR IGNORE INTO prices (book, entry) VALUES (?, ?)", values)
            row = self._connection.execute("SELECT id FROM prices WHERE book = ? AND entry = ?", values).fetchone()
            known = self._prices[priced] = int(row[0])
        return known


def has_calls_of(path: Path, provider: str) -> bool:
    """Whether a ledger, open elsewhere or not, has a call to a provider; False where there is no ledger to read."""
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT 1 FROM calls WHERE provider = ? LIMIT 1", (provider,)).fetchone()
    except sqlite3.Error:  # whoever opens it says what is wrong with it
        return False
    return row is not None


def _opened(path: Path | None, name: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT):
            raise StoreError(f"{name} is of form {version}, expected {FORMAT}: a newer midshift wrote it")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {FORMAT}; {_INTERRUPT}; COMMIT;")
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{name} cannot be opened: {error}") from None
    except StoreError:
        connection.close()
        raise
    return connection


def _alone(path: Path) -> IO[str]:
    """Hold the file's lock as long as the result lives; the system lets go of it when the process dies."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = path.resolve()  # a link to a ledger is that ledger
    file = own.with_name(f"{own.name}.lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read(20).strip() or "unknown"
        file.close()
        raise UsageError(
            f"{path} is in use by another eval (process {owner}), expected one at a time: two would pay twice. "
            "Type next: the same command when it is over, or --state ANOTHER_FOLDER"
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _intent_row(intent: Intent) -> tuple[object, ...]:
    key = intent.key
    worst_usd = None if intent.worst_usd is None else str(intent.worst_usd)
    asked = (key.variant, key.request, key.trial, key.kind.value, key.grader)
    return (key.digest, intent.attempt, *asked, intent.provider, intent.model, intent.at.isoformat(), worst_usd)


def _encoded(result: Result) -> bytes:
    tools = [(tool.name, tool.arguments) for tool in result.tools]
    stored = (
        result.at.isoformat(),
        result.status,
        result.text,
        tools,
        result.finish_reason,
        result.usage,
        result.latency_s,
        result.model,
        result.request_id,
        result.turned_away,
        result.first_token_s,
        result.characters_in,
        result.characters_out,
    )
    try:
        return _ENCODER.encode(stored)
    except UnicodeEncodeError:  # a lone surrogate in a text: JSON can spell it, UTF-8 cannot
        return _ENCODER.encode((*stored[:2], _mended(result.text), [], *stored[4:]))


def _mended(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode()


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Stored)


def _result(row: Sequence[Any]) -> Result | None:
    asked_at, ending, cost_usd, detail, book, entry, blob = row
    if ending is None:
        return None
    if blob is None:
        return Result(Ending(ending), datetime.fromisoformat(asked_at), detail=detail or "")
    stored = _DECODER.decode(blob)
    return Result(
        ending=_meant(Ending(ending), stored.status, detail),
        at=datetime.fromisoformat(stored.at),
        status=stored.status,
        text=stored.text,
        tools=tuple(ToolUse(*tool) for tool in stored.tools),
        finish_reason=stored.finish_reason,
        usage=stored.usage,
        latency_s=stored.latency_s,
        cost_usd=cost_usd,
        priced_by=None if book is None or entry is None else PricedBy(book, entry),
        model=stored.model,
        request_id=stored.request_id,
        turned_away=stored.turned_away,
        detail=detail or "",
        first_token_s=stored.first_token_s,
        characters_in=stored.characters_in,
        characters_out=stored.characters_out,
    )


def _added(before: Purchase | None, row: Sequence[Any]) -> Purchase:
    """A key's purchases with one more attempt, the latest.

    One that is under way may cost what an unknown one may, and so may an answer whose cost nobody knows.
    """
    attempt, kept, detail, cost_usd, worst_usd, blob = row
    ending = kept if blob is None else _meant(Ending(kept), _DECODER.decode(blob).status, detail)
    known, bound, has_unknown = _ZERO, _ZERO, False
    if ending in (None, Ending.UNKNOWN) or (ending == Ending.ANSWERED and cost_usd is None):
        bound, has_unknown = Decimal(worst_usd or 0), worst_usd is None
    elif ending == Ending.ANSWERED:
        known = Decimal(str(cost_usd))
    if before is not None:
        known, bound = known + before.known_usd, bound + before.open_usd
        has_unknown = has_unknown or before.has_unknown_cost
    return Purchase(attempt, Ending(ending or Ending.UNKNOWN), detail or "", known, bound, has_unknown)


def _meant(ending: Ending, status: int | None, detail: str | None) -> Ending:
    """How a refusal ended: an earlier midshift took every status for one that speaks of the request, and never asked
    again. A key that was wrong is told from that by what the row says."""
    is_refusal = ending is Ending.REFUSED and status is not None
    return speaks(status, detail or "").ending if is_refusal and status is not None else ending


_ZERO = Decimal(0)


def _parts(keys: Iterable[CallKey], size: int) -> Iterator[tuple[CallKey, ...]]:
    rest = iter(keys)
    while part := tuple(islice(rest, size)):
        yield part
