"""Bring a database of an older version of the tool up to date, version by version.

The version of a database is its `user_version`; MIGRATIONS[n] of whoever keeps the database
makes version n + 1 of version n, so that 0, an empty file, becomes the first version by the
same way. A migration is never changed once it was released: what is to change comes after it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from memdesc_tool.errors import InfraError, UserError

Migration = str | Callable[[sqlite3.Connection], None]
"""SQL, or a function that is called in a transaction and leaves it open."""


def bring_up_to_date(
    database: sqlite3.Connection, path: Path, migrations: Sequence[Migration]
) -> None:
    """Run the migrations that the database at path lacks, each in one transaction.

    Killed at any moment, the database is at one version or the next; two callers at once
    wait for each other. Raises UserError for a database of a newer version, InfraError for
    one that is damaged or somebody else's, sqlite3.Error for what SQLite says of it.
    """
    newest = len(migrations)
    while _version(database, path, newest) < newest:
        # Foreign keys are off until a table was made anew, or dropping it would empty others.
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("BEGIN IMMEDIATE")
        try:
            version = _version(database, path, newest)  # another process may have been first
            if version < newest:
                _check(database, path, version)
                _run(database, migrations[version])
                _check_references(database, path)
                database.execute(f"PRAGMA user_version = {version + 1}")
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def _version(database: sqlite3.Connection, path: Path, newest: int) -> int:
    version = int(database.execute("PRAGMA user_version").fetchone()[0])
    if version > newest or version < 0:
        raise UserError(
            f"{path} was written by a newer memdesc-tool (store version {version})",
            "use that one, or another --cache",
        )
    return version


def _check(database: sqlite3.Connection, path: Path, version: int) -> None:
    """Refuse to migrate what is damaged, or no database of ours."""
    if version == 0:
        if database.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
            raise InfraError(f"{path} is a database, but not one of memdesc-tool", "move it away")
        return
    found = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    if found != "ok":
        raise sqlite3.DatabaseError(found.replace("\n", " "))


def _check_references(database: sqlite3.Connection, path: Path) -> None:
    if broken := database.execute("PRAGMA foreign_key_check").fetchone():
        raise InfraError(f"{path} cannot be brought up to date: a row of {broken[0]} is an orphan")


def _run(database: sqlite3.Connection, migration: Migration) -> None:
    if isinstance(migration, str):
        for statement in _statements(migration):
            database.execute(statement)
    else:
        migration(database)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; executescript() would commit first."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
