"""What a regression run sends to another machine, and what comes back.

A column travels with all that it needs: the files that its suite and variant name, and the
trees of the rows as git packs, known by their content. Back come a store's rows and the logs.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from memdesc_tool.cache import Cache, write_atomic
from memdesc_tool.cells import Column, Row
from memdesc_tool.errors import InfraError
from memdesc_tool.filling import Patience, Planned, free_directory
from memdesc_tool.git import Git
from memdesc_tool.results import Attempt, Store, key_of
from memdesc_tool.scratch import scratch_repository
from memdesc_tool.workspace import Workspace

LOG_LIMIT = 20_000_000
"""Bytes of a log that travel; of a longer one its end."""


@dataclass(frozen=True)
class Pack:
    """Objects of a git repository; key stands for them."""

    key: str
    data: bytes


@dataclass(frozen=True)
class Filled:
    """A key's share of a store: logs are the files beside each attempt's log, compressed."""

    inputs: Mapping[str, str]
    attempts: tuple[Attempt, ...]
    logs: tuple[Mapping[str, bytes], ...]
    reading: frozenset[str] | None
    parent: str | None


@dataclass(frozen=True)
class Job:
    """A column to be walked elsewhere.

    rows: with the suite laid over each, commit is a tree; files: contents by path on the
    sender's machine; packs: keys of what the trees are made of, in order; inputs: what the
    sender would have as the key of the first row, so that only an equal machine takes it;
    jobs: of make, None for all cores; rerun: run again what the worker has stored; stored: what
    the sender has of the column, without logs.
    """

    column: Column
    rows: tuple[Row, ...]
    files: Mapping[str, bytes]
    packs: tuple[str, ...]
    inputs: Mapping[str, str]
    patience: Patience
    jobs: int | None
    rerun: bool
    stored: tuple[Filled, ...] = ()


def pack_key(trees: Sequence[str], without: str | None = None) -> str:
    """What stands for a pack: the trees in it and the one that it builds on."""
    return hashlib.sha256(_wanted(trees, without).encode()).hexdigest()[:32]


def _wanted(trees: Sequence[str], without: str | None) -> str:
    """What git pack-objects is to be told."""
    return "\n".join((*trees, *([f"^{without}"] if without else []))) + "\n"


def pack_of(git: Git, trees: Sequence[str], without: str | None = None) -> Pack:
    """The objects of these trees that the tree `without` lacks."""
    wanted = _wanted(trees, without)
    status, data, problem = git.attempt_bytes(
        "pack-objects", "--revs", "--stdout", "-q", "--threads=1", stdin=wanted.encode()
    )
    if status:
        raise InfraError(f"git pack-objects failed: {problem.strip()}")
    return Pack(pack_key(trees, without), data)


def files_of(column: Column) -> dict[str, bytes]:
    """The files that a column names, by path."""
    paths = (*column.suite.configs, *column.variant.fragments)
    return {str(path): path.read_bytes() for path in paths}


def unpacked(column: Column, files: Mapping[str, bytes], place: Path) -> Column:
    """The column with its files below place."""

    def here(paths: Sequence[Path]) -> tuple[Path, ...]:
        return tuple(_write(place, path.name, files[str(path)]) for path in paths)

    suite = replace(column.suite, configs=here(column.suite.configs), directory=place)
    return replace(column, suite=suite, variant=replace(
        column.variant, fragments=here(column.variant.fragments)))  # fmt: skip


def _write(place: Path, name: str, content: bytes) -> Path:
    path = place / hashlib.sha256(content).hexdigest()[:16] / name
    if not path.exists():
        write_atomic(path, content)
    return path


def portable(column: Column) -> Column:
    """The column for rows that have its suite laid over them already."""
    return replace(column, suite=replace(column.suite, files=(), edits=()))


def known(store: Store, planned: Planned) -> Filled:
    """What a store has of a cell, without logs."""
    key = planned.key
    attempts = store.attempts(key)
    logs: tuple[Mapping[str, bytes], ...] = ({},) * len(attempts)
    return Filled(planned.inputs, attempts, logs, store.reading(key), store.parent(key))


# -- at the worker -------------------------------------------------------------------------


def learn(store: Store, cell: Filled) -> None:
    """Store at a worker what the sender has of a cell, where that is more than it has itself."""
    key = key_of(cell.inputs)
    if len(store.outcomes(key)) >= len(cell.attempts):
        return
    for number, attempt in enumerate(cell.attempts):
        store.add(cell.inputs, attempt, replace=number == 0)
    if cell.reading is not None:
        store.keep_reading(key, cell.reading)
    if cell.parent:
        store.mark_inherited(key, cell.parent)


def has_pack(cache: Cache, key: str) -> bool:
    """Whether a worker has unpacked a pack."""
    return _stamp(cache, key).exists()


def take_pack(cache: Cache, pack: Pack) -> None:
    """Unpack what was sent into the worker's repository."""
    git = repository(cache)
    with git.feed("index-pack", "--stdin", "--fix-thin", "--keep=memdesc-tool") as stream:
        stream.write(pack.data)
    write_atomic(_stamp(cache, pack.key), b"")


def _stamp(cache: Cache, key: str) -> Path:
    return cache.work / "received.git" / "memdesc" / key


def repository(cache: Cache) -> Git:
    """The worker's repository of what was sent to it."""
    path = cache.work / "received.git"
    if not (path / "HEAD").exists():
        path.mkdir(parents=True, exist_ok=True)
        Git(path).run("init", "-q", "--bare")
    return Git(path)


def workspace_of(cache: Cache) -> Workspace:
    """A workspace on what was sent."""
    lender = repository(cache).path
    scratch = scratch_repository(cache.work / "received" / "scratch.git", lender)
    return Workspace(cache, "received", scratch)


def filled(store: Store, planned: Planned) -> Filled:
    """What a worker's store has of a cell, and its logs that are here."""
    cell = known(store, planned)
    return replace(cell, logs=tuple(_logs(Path(one.log)) for one in cell.attempts))


def _logs(log: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(log.parent.iterdir()) if log.parent.is_dir() else ():
        if path.is_file():
            found[path.name] = zlib.compress(path.read_bytes()[-LOG_LIMIT:])
    return found


# -- back home -----------------------------------------------------------------------------


def take_home(store: Store, cache: Cache, cell: Filled, *, replace_all: bool = False) -> None:
    """Store what a worker has found, unless it is there already.

    replace_all: in place of what is there.
    """
    key = key_of(cell.inputs)
    with cache.lock(f"job-{key[:2]}"):
        have = 0 if replace_all else len(store.attempts(key))
        fresh = list(zip(cell.attempts, cell.logs, strict=True))[have:]
        for number, (attempt, logs) in enumerate(fresh):
            place = free_directory(cache.logs / key[:16], store.attempts(key))
            for name, data in logs.items():
                write_atomic(place / Path(name).name, zlib.decompress(data))
            found = replace(attempt, log=str(place / Path(attempt.log).name))
            store.add(cell.inputs, found, replace=replace_all and number == 0)
        if replace_all:
            free_directory(cache.logs / key[:16], store.attempts(key))
        if cell.reading is not None:
            store.keep_reading(key, cell.reading)
        if cell.parent:
            store.mark_inherited(key, cell.parent)
