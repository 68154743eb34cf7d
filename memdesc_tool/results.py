"""The store of results: every run, under everything that could change its outcome.

A *key* stands for the inputs of a run: tree with overlay, config, toolchain, suite, kernel
command line, machine. Whatever is stored under a key never runs again unless asked; an
attempt is stored in one transaction when it has ended, so an interrupted command loses
only what ran at that moment. Several attempts under one key are kept apart.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from memdesc_tool.errors import InfraError
from memdesc_tool.schema import Migration, bring_up_to_date

BUSY_SECONDS = 60.0
POLL_SECONDS = 0.02

_VERSION_1 = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    inputs TEXT NOT NULL,
    outcome TEXT NOT NULL,
    started REAL NOT NULL,
    seconds REAL NOT NULL,
    log TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX run_key ON run (key);
CREATE TABLE result (
    run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (run, position)
) WITHOUT ROWID;
"""

_VERSION_2 = """
CREATE TABLE sources (digest TEXT PRIMARY KEY, paths BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE reading (
    key TEXT PRIMARY KEY,
    digest TEXT NOT NULL REFERENCES sources (digest)
) WITHOUT ROWID;
CREATE TABLE inherited (key TEXT PRIMARY KEY, parent TEXT NOT NULL) WITHOUT ROWID;
"""

_VERSION_3 = """
CREATE TABLE measured (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    inputs TEXT NOT NULL,
    taken REAL NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
"""

MIGRATIONS: tuple[Migration, ...] = (_VERSION_1, _VERSION_2, _VERSION_3)
"""See schema.py. What tests/test_schema.py has of a version is how users' stores are."""


class Outcome(Enum):
    """How a run ended, apart from what its cases said."""

    RAN = "ran"
    """Booted and came to its end; the cases tell the rest."""
    BUILD_FAILED = "build failed"
    CONFIG_FAILED = "config cannot be had"
    TIMEOUT = "timed out"
    DIED = "died"
    """The kernel panicked or its process ended early."""
    NO_TESTS = "ran no test"


class Verdict(Enum):
    """What a case came to, as far as comparing goes."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """One case of a run: its id, what it came to, and the KTAP status and reason behind it."""

    name: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class Attempt:
    """One run as stored.

    started: seconds since the epoch; seconds: build and run together; log: the file with
    the whole output; detail: for people (the first error of a build, say).
    """

    outcome: Outcome
    results: tuple[Result, ...]
    started: float
    seconds: float
    log: str
    detail: str = ""


def key_of(inputs: Mapping[str, str]) -> str:
    """The key of a run with these inputs."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Store:
    """The store; made by open_store()."""

    database: sqlite3.Connection

    def attempts(self, key: str) -> tuple[Attempt, ...]:
        """All attempts under a key, oldest first."""
        rows = self.database.execute(
            "SELECT id, outcome, started, seconds, log, detail FROM run WHERE key = ? ORDER BY id",
            (key,),
        ).fetchall()
        try:
            return tuple(
                Attempt(Outcome(outcome), self._results(run), started, seconds, log, detail)
                for run, outcome, started, seconds, log, detail in rows
            )
        except ValueError as error:
            raise sqlite3.DatabaseError(str(error)) from None

    def outcomes(self, key: str) -> tuple[Outcome, ...]:
        """How the attempts under a key ended, oldest first; their cases are not read."""
        rows = self.database.execute("SELECT outcome FROM run WHERE key = ? ORDER BY id", (key,))
        try:
            return tuple(Outcome(outcome) for (outcome,) in rows)
        except ValueError as error:
            raise sqlite3.DatabaseError(str(error)) from None

    def inputs(self, kind: str) -> tuple[dict[str, str], ...]:
        """The inputs of every key whose input "kind" is this, in the order of their first run."""
        rows = self.database.execute("SELECT inputs FROM run GROUP BY key ORDER BY min(id)")
        try:
            found = [json.loads(text) for (text,) in rows]
        except ValueError as error:
            raise sqlite3.DatabaseError(str(error)) from None
        return tuple(one for one in found if isinstance(one, dict) and one.get("kind") == kind)

    def keep_measured(self, kind: str, inputs: Mapping[str, str], taken: float, data: str) -> None:
        """Store what was measured of these inputs, in place of what was measured before.

        taken: seconds since the epoch; data: JSON (measured.py).
        """
        row = (kind, key_of(inputs), json.dumps(inputs, sort_keys=True), taken, data)
        with self.database:
            self.database.execute("INSERT OR REPLACE INTO measured VALUES (?, ?, ?, ?, ?)", row)

    def measured(self, kind: str, inputs: Mapping[str, str]) -> tuple[float, str] | None:
        """When it was taken, and the data that keep_measured() was given; None for nothing."""
        row = self.database.execute(
            "SELECT taken, data FROM measured WHERE kind = ? AND key = ?", (kind, key_of(inputs))
        ).fetchone()
        return (float(row[0]), str(row[1])) if row else None

    def keep_reading(self, key: str, paths: Iterable[str]) -> None:
        """Remember which files of the source tree the runs under a key have read."""
        blob = zlib.compress("\n".join(sorted(paths)).encode(errors="surrogateescape"))
        digest = hashlib.sha256(blob).hexdigest()
        with self.database:
            self.database.execute("INSERT OR IGNORE INTO sources VALUES (?, ?)", (digest, blob))
            self.database.execute("INSERT OR REPLACE INTO reading VALUES (?, ?)", (key, digest))

    def reading(self, key: str) -> frozenset[str] | None:
        """What keep_reading() was told; None where nothing is known."""
        row = self.database.execute(
            "SELECT paths FROM sources JOIN reading USING (digest) WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        try:
            text = zlib.decompress(row[0]).decode(errors="surrogateescape")
        except zlib.error as error:
            raise sqlite3.DatabaseError(str(error)) from None
        return frozenset(text.split("\n"))

    def inherit(self, inputs: Mapping[str, str], parent: str) -> None:
        """Store what the key parent has under these inputs, too: they cannot differ in it."""
        key = key_of(inputs)
        attempts = self.attempts(parent)
        with self.database:
            self.database.execute(
                "INSERT OR REPLACE INTO reading SELECT ?, digest FROM reading WHERE key = ?",
                (key, parent),
            )
            self.database.execute("INSERT OR REPLACE INTO inherited VALUES (?, ?)", (key, parent))
            for attempt in attempts:
                self._insert(inputs, attempt)

    def mark_inherited(self, key: str, parent: str) -> None:
        """Note that what is stored under a key is the parent's."""
        with self.database:
            self.database.execute("INSERT OR REPLACE INTO inherited VALUES (?, ?)", (key, parent))

    def parent(self, key: str) -> str | None:
        """The key that a key has inherited its attempts from; None where it was run."""
        row = self.database.execute("SELECT parent FROM inherited WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def is_inherited(self, key: str) -> bool:
        """Whether what is stored under a key is another key's."""
        return self.parent(key) is not None

    def add(self, inputs: Mapping[str, str], attempt: Attempt, *, replace: bool = False) -> None:
        """Store an attempt, all or nothing; replace: in place of all that its key has."""
        with self.database:
            if replace:
                self.database.execute("DELETE FROM run WHERE key = ?", (key_of(inputs),))
                self.database.execute("DELETE FROM inherited WHERE key = ?", (key_of(inputs),))
            self._insert(inputs, attempt)

    def _insert(self, inputs: Mapping[str, str], attempt: Attempt) -> None:
        """Store an attempt in the transaction that is open."""
        cursor = self.database.execute(
            "INSERT INTO run (key, inputs, outcome, started, seconds, log, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                key_of(inputs),
                json.dumps(inputs, sort_keys=True),
                attempt.outcome.value,
                attempt.started,
                attempt.seconds,
                attempt.log,
                attempt.detail,
            ),
        )
        self.database.executemany(
            "INSERT INTO result (run, position, name, status, detail) VALUES (?, ?, ?, ?, ?)",
            [
                (cursor.lastrowid, position, result.name, result.verdict.value, result.detail)
                for position, result in enumerate(attempt.results)
            ],
        )

    def _results(self, run: int) -> tuple[Result, ...]:
        rows = self.database.execute(
            "SELECT name, status, detail FROM result WHERE run = ? ORDER BY position", (run,)
        )
        return tuple(Result(name, Verdict(status), detail) for name, status, detail in rows)


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """The store in the file path, made or brought up to date if need be.

    Raises UserError for a store of a newer version, which is not touched, and InfraError for
    a damaged one, which is not removed; the body's own use of the store included.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database:
            bring_up_to_date(database, path, MIGRATIONS)
            _write_ahead(database)
            database.execute("PRAGMA foreign_keys = ON")
            yield Store(database)
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # the tool's own fault, not the file's
    except sqlite3.Error as error:
        raise _unusable(path, error) from None


@dataclass(frozen=True)
class Peek:
    """What a store has, at a glance: runs, and when the last one began (seconds, epoch)."""

    runs: int
    last: float


def peek(path: Path) -> Peek | None:
    """A glance at the store in the file path, which is neither made nor changed.

    None where there is none, or it cannot be read as it is: open_store() says why.
    """
    try:
        with _only_read(path) as database:
            runs, last = database.execute("SELECT count(*), max(started) FROM run").fetchone()
            return Peek(int(runs), float(last)) if runs else None
    except sqlite3.Error:
        return None


def peek_measured(path: Path, kind: str, inputs: Mapping[str, str]) -> str | None:
    """The data that Store.keep_measured() was given last, read as peek() reads."""
    try:
        with _only_read(path) as database:
            row = database.execute(
                "SELECT data FROM measured WHERE kind = ? AND key = ?", (kind, key_of(inputs))
            ).fetchone()
            return str(row[0]) if row else None
    except sqlite3.Error:
        return None


def _only_read(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True))


def _write_ahead(database: sqlite3.Connection) -> None:
    """Turn the write-ahead log on: readers and a writer then do not wait for each other.

    SQLite does not wait for the lock that this takes, so that is done here.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _primary(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def _primary(error: sqlite3.Error) -> int:
    """SQLite's primary result code, 0 where the error has none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _unusable(path: Path, error: sqlite3.Error) -> InfraError:
    hints = {
        sqlite3.SQLITE_BUSY: "another process has kept it locked; try again when that has ended",
        sqlite3.SQLITE_FULL: "memdesc-tool gc gives space back",
        sqlite3.SQLITE_READONLY: "it must be writable",
        sqlite3.SQLITE_CANTOPEN: "it must be a file that can be read and written",
    }
    hint = hints.get(_primary(error), "move it away to start with an empty one")
    return InfraError(f"the results store {path} cannot be used: {error}", hint)
