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
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from memdesc_tool.errors import InfraError, UserError

SCHEMA = 1
BUSY_SECONDS = 60

_TABLES = """
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
        return tuple(
            Attempt(Outcome(outcome), self._results(run), started, seconds, log, detail)
            for run, outcome, started, seconds, log, detail in rows
        )

    def add(self, inputs: Mapping[str, str], attempt: Attempt) -> None:
        """Store an attempt, all or nothing."""
        with self.database:
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

    def forget(self, key: str) -> None:
        """Remove what is stored under a key."""
        with self.database:
            self.database.execute("DELETE FROM run WHERE key = ?", (key,))

    def _results(self, run: int) -> tuple[Result, ...]:
        rows = self.database.execute(
            "SELECT name, status, detail FROM result WHERE run = ? ORDER BY position", (run,)
        )
        return tuple(Result(name, Verdict(status), detail) for name, status, detail in rows)


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """The store in the file path, made or brought up to date if need be.

    Raises UserError for a store of a newer version, InfraError for a damaged one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA foreign_keys = ON")
            _bring_up_to_date(database, path)
        except sqlite3.DatabaseError as error:
            raise InfraError(
                f"the results store {path} cannot be used: {error}",
                "move it away to start with an empty one",
            ) from None
        yield Store(database)


def _bring_up_to_date(database: sqlite3.Connection, path: Path) -> None:
    def version() -> int:
        return int(database.execute("PRAGMA user_version").fetchone()[0])

    if version() > SCHEMA:
        raise UserError(
            f"{path} was written by a newer memdesc-tool (store version {version()})",
            "use that one, or another --cache",
        )
    if version() == SCHEMA:
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        if version() == 0:  # looked at again: another process may have been first
            for statement in filter(None, map(str.strip, _TABLES.split(";"))):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {SCHEMA}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise
