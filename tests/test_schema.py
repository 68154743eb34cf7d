"""Stores of older, newer, damaged and strange make; kills in the middle of a migration."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.results import (
    MIGRATIONS,
    Attempt,
    Outcome,
    Result,
    Verdict,
    key_of,
    open_store,
)
from memdesc_tool.schema import Migration, bring_up_to_date

RECORDED_1 = """
PRAGMA user_version = 1;
CREATE TABLE run (id INTEGER PRIMARY KEY, key TEXT NOT NULL, inputs TEXT NOT NULL,
    outcome TEXT NOT NULL, started REAL NOT NULL, seconds REAL NOT NULL, log TEXT NOT NULL,
    detail TEXT NOT NULL);
CREATE INDEX run_key ON run (key);
CREATE TABLE result (run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    position INTEGER NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (run, position)) WITHOUT ROWID;
INSERT INTO run VALUES
    (1, '87abbc8d0cfb4c5ac8ec9e0d0ca6f5c6dd1ce97a8f2d5f0d9e7f4c64e1f6ae11', '{"tree": "1"}',
     'ran', 1700000000.5, 12.25, '/logs/a/0/console.log', ''),
    (2, '87abbc8d0cfb4c5ac8ec9e0d0ca6f5c6dd1ce97a8f2d5f0d9e7f4c64e1f6ae11', '{"tree": "1"}',
     'died', 1700000100.5, 3.5, '/logs/a/1/console.log', 'the kernel died; again');
INSERT INTO result VALUES
    (1, 0, 'suite.one', 'passed', 'passed'), (1, 1, 'suite.two', 'failed', 'timeout'),
    (2, 0, 'suite.one', 'skipped', 'skipped');
"""
"""A store as version 1 of it was written. Never changed: it stands for those that exist."""
RECORDED_KEY = "87abbc8d0cfb4c5ac8ec9e0d0ca6f5c6dd1ce97a8f2d5f0d9e7f4c64e1f6ae11"
RECORDED = (
    Attempt(
        Outcome.RAN,
        (
            Result("suite.one", Verdict.PASSED, "passed"),
            Result("suite.two", Verdict.FAILED, "timeout"),
        ),
        1700000000.5,
        12.25,
        "/logs/a/0/console.log",
    ),
    Attempt(
        Outcome.DIED,
        (Result("suite.one", Verdict.SKIPPED, "skipped"),),
        1700000100.5,
        3.5,
        "/logs/a/1/console.log",
        "the kernel died; again",
    ),
)


def write(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)


def ask(path: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.sqlite"


def test_a_recorded_store_keeps_all_it_has(path: Path) -> None:
    write(path, RECORDED_1)
    inputs = {"tree": "2"}
    with open_store(path) as store:
        assert store.attempts(RECORDED_KEY) == RECORDED
        store.add(inputs, RECORDED[0])
    with open_store(path) as store:
        assert store.attempts(RECORDED_KEY) == RECORDED
        assert store.attempts(key_of(inputs)) == RECORDED[:1]
    assert ask(path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


def test_a_new_store_has_the_tables_of_the_recorded_one(path: Path, tmp_path: Path) -> None:
    """As long as version 1 is the newest; a later one is compared with its own record."""
    with open_store(path):
        pass
    write(tmp_path / "old", RECORDED_1)
    tables = [
        [row[1:] for table in ("run", "result") for row in ask(file, f"PRAGMA table_info({table})")]
        for file in (path, tmp_path / "old")
    ]
    assert tables[0] == tables[1]


# --- a chain of migrations ------------------------------------------------------------------

FIRST = """
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL DEFAULT 'a;b');
CREATE TABLE letter (word INTEGER NOT NULL REFERENCES word (id) ON DELETE CASCADE, text TEXT);
"""
WORDS = """
INSERT INTO word VALUES (1, 'one; two'), (2, 'three');
INSERT INTO letter VALUES (1, 'o'), (2, 't');
"""


def second(database: sqlite3.Connection) -> None:
    """Make a table anew that others refer to: lengths are stored from now on."""
    database.execute(
        "CREATE TABLE longer (id INTEGER PRIMARY KEY, text TEXT NOT NULL, size INTEGER NOT NULL)"
    )
    database.execute("INSERT INTO longer SELECT id, text, length(text) FROM word")
    if os.environ.get("KILL_MIGRATION") == "copied":
        os.kill(os.getpid(), signal.SIGKILL)
    database.execute("DROP TABLE word")
    database.execute("ALTER TABLE longer RENAME TO word")
    if os.environ.get("KILL_MIGRATION") == "renamed":
        os.kill(os.getpid(), signal.SIGKILL)


CHAIN: tuple[Migration, ...] = (FIRST, second)


def migrate(path: Path, migrations: Sequence[Migration]) -> None:
    with closing(sqlite3.connect(path, timeout=30)) as database:
        bring_up_to_date(database, path, migrations)


def migrated(path: Path) -> bool:
    """Whether it is at version 2 with everything in it; else it must be whole at version 1."""
    letters = ask(path, "SELECT * FROM letter ORDER BY word")
    assert letters == [(1, "o"), (2, "t")]
    words = ask(path, "SELECT * FROM word ORDER BY id")
    if ask(path, "PRAGMA user_version") == [(2,)]:
        assert words == [(1, "one; two", 8), (2, "three", 5)]
        return True
    assert ask(path, "PRAGMA user_version") == [(1,)]
    assert words == [(1, "one; two"), (2, "three")]
    assert ask(path, "SELECT name FROM sqlite_master WHERE name = 'longer'") == []
    return False


def test_from_nothing_to_one_to_two(path: Path) -> None:
    migrate(path, CHAIN[:1])
    assert ask(path, "PRAGMA user_version") == [(1,)]
    write(path, WORDS)
    assert not migrated(path)
    migrate(path, CHAIN)
    assert migrated(path)
    migrate(path, CHAIN)
    assert migrated(path)
    with pytest.raises(UserError, match="newer memdesc-tool"):
        migrate(path, CHAIN[:1])
    assert migrated(path)


def test_a_new_file_goes_the_same_way(path: Path) -> None:
    migrate(path, CHAIN)
    assert ask(path, "PRAGMA user_version") == [(2,)]
    assert [row[1] for row in ask(path, "PRAGMA table_info(word)")] == ["id", "text", "size"]


@pytest.mark.parametrize("moment", ["copied", "renamed"])
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_killed_in_a_migration_nothing_is_lost(path: Path, moment: str, journal: str) -> None:
    migrate(path, CHAIN[:1])
    write(path, f"PRAGMA journal_mode = {journal};" + WORDS)
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from pathlib import Path; from tests import"
         " test_schema as t; t.migrate(Path(sys.argv[1]), t.CHAIN)", str(path)],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "KILL_MIGRATION": moment},
        check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert not migrated(path)
    migrate(path, CHAIN)
    assert migrated(path)
    assert sorted(left.name for left in path.parent.iterdir()) == ["results.sqlite"]


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    migrate(path, CHAIN[:1])
    write(path, WORDS)
    broken = "ALTER TABLE word ADD COLUMN size INTEGER; INSERT INTO nowhere VALUES (1);"
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        migrate(path, (FIRST, broken))
    assert not migrated(path)


def test_a_migration_that_loses_rows_is_refused(path: Path) -> None:
    migrate(path, CHAIN[:1])
    write(path, WORDS)
    with pytest.raises(InfraError, match="a row of letter is an orphan"):
        migrate(path, (FIRST, "DELETE FROM word WHERE id = 2;"))
    assert not migrated(path)


# --- what is no store of this version ---------------------------------------------------------


def test_a_newer_store_is_refused_and_not_touched(path: Path) -> None:
    write(path, RECORDED_1 + f"PRAGMA user_version = {len(MIGRATIONS) + 1};")
    before = path.read_bytes()
    with pytest.raises(UserError, match="newer memdesc-tool"), open_store(path):
        pass
    assert path.read_bytes() == before
    assert sorted(left.name for left in path.parent.iterdir()) == ["results.sqlite"]


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    write(path, "CREATE TABLE run (distance REAL);")
    before = path.read_bytes()
    with pytest.raises(InfraError, match="not one of memdesc-tool"), open_store(path):
        pass
    assert path.read_bytes() == before


def filled(path: Path) -> bytes:
    """A store of some pages; its bytes."""
    with open_store(path) as store:
        for number in range(200):
            store.add({"tree": str(number)}, RECORDED[number % 2])
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["cut", "page", "word"])
def test_a_damaged_store_is_reported_and_kept(path: Path, damage: str) -> None:
    whole = filled(path)
    if damage == "cut":
        bad = whole[: len(whole) // 2]
    elif damage == "page":
        bad = whole[:4096] + b"\xff" * (len(whole) - 4096)
    else:
        bad = whole.replace(b"ran", b"rxn")
    path.write_bytes(bad)
    with pytest.raises(InfraError, match="cannot be used") as caught, open_store(path) as store:
        for number in range(200):
            store.attempts(key_of({"tree": str(number)}))
    assert "move it away" in (caught.value.hint or "")
    assert path.read_bytes() == bad


def test_a_damaged_store_is_not_migrated(path: Path) -> None:
    migrate(path, CHAIN[:1])
    many = ", ".join(f"({n}, 'word number {n}')" for n in range(9, 3000))
    write(path, f"{WORDS} INSERT INTO word VALUES {many};")
    whole = path.read_bytes()
    assert len(whole) >= 8 * 4096
    path.write_bytes(whole[:-8192] + b"\xff" * 4096 + whole[-4096:])
    bad = path.read_bytes()
    with pytest.raises(sqlite3.DatabaseError):
        migrate(path, (FIRST, "UPDATE letter SET text = 'x';"))
    assert path.read_bytes() == bad


def test_a_store_that_is_a_directory(path: Path) -> None:
    path.mkdir()
    with pytest.raises(InfraError, match="cannot be used") as caught, open_store(path):
        pass
    assert "a file that can be read" in (caught.value.hint or "")


def test_a_store_that_stays_locked_is_named_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    monkeypatch.setattr("memdesc_tool.results.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with (
            pytest.raises(InfraError, match="locked") as caught,
            open_store(path) as store,
        ):
            store.add({"tree": "x"}, RECORDED[0])
        other.execute("ROLLBACK")
    assert "another process" in (caught.value.hint or "")


def test_a_new_store_that_stays_locked_is_named_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a write-ahead log yet, it is that log's turning on that waits."""
    write(path, RECORDED_1)
    monkeypatch.setattr("memdesc_tool.results.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InfraError, match="locked") as caught, open_store(path):
            pass
    assert "another process" in (caught.value.hint or "")


def test_a_new_store_is_waited_for(path: Path) -> None:
    write(path, RECORDED_1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as threads:
            opening = threads.submit(ask_store, path)
            with suppress(TimeoutError):
                opening.result(0.3)
            other.execute("ROLLBACK")
            assert opening.result(30) == RECORDED


def ask_store(path: Path) -> tuple[Attempt, ...]:
    with open_store(path) as store:
        return store.attempts(RECORDED_KEY)


def _first(path: Path, number: int, gate: multiprocessing.synchronize.Barrier) -> None:
    gate.wait()
    with open_store(path) as store:
        store.add({"process": str(number)}, RECORDED[0])


def test_many_first_opens_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for turn in range(10):
        path = tmp_path / str(turn) / "results.sqlite"
        gate = context.Barrier(6)
        workers = [context.Process(target=_first, args=(path, n, gate)) for n in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 6
        assert ask(path, "SELECT count(*) FROM run") == [(6,)]
