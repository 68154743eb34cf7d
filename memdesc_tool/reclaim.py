"""What of the cache can be given back, and giving it back.

A thing that a running command has locked is never touched: each is removed only while its
own lock is held, which is tried and not waited for. Results stay, and so does what somebody
has done by hand: how conflicts were solved, and the worktree of one that waits to be.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import tree
from memdesc_tool.cache import CARRY_STATE, Cache
from memdesc_tool.workspace import workspace_locks

DAY = 86400.0
KEPT = ("results.sqlite", "results.sqlite-wal", "results.sqlite-shm", "results.sqlite-journal",
        "locks", "rr-cache")  # fmt: skip
"""Never removed. Lock files are a few bytes, and to remove one is a race."""


@dataclass(frozen=True)
class Item:
    """Something in the cache that can be removed.

    what: a noun phrase for people; locks: names of the locks that guard it; used: when it
    was last used (seconds since the epoch); leftover: of a killed call, whatever its age;
    size in bytes. quiet: removable only while nothing at all runs, since no lock is its own.
    waits: a conflict is to be solved in it, or on it.
    """

    path: Path
    what: str
    size: int
    used: float
    locks: tuple[str, ...] = ()
    leftover: bool = False
    quiet: bool = False
    waits: bool = False


@dataclass(frozen=True)
class Reclaimed:
    """What became of an item: removed is False where a running command has it, or it waits."""

    item: Item
    removed: bool


def items(cache: Cache) -> Iterator[Item]:
    """Everything in the cache that can be removed; the trees themselves included."""
    yield from _trees(cache)
    for path in _entries(cache.downloads):
        name = path.name
        whole = tree.find(name, cache) is not None
        yield _item(cache, path, f"download of {name}", (f"tree-{name}",), leftover=whole)
    if cache.apt.exists():
        yield _item(cache, cache.apt, "apt's lists", ("apt",))
    for parent, what in ((cache.work, "source worktree"), (cache.build, "build directories")):
        for path in _entries(parent):
            yield _item(cache, path, f"{what} of {path.name}", (f"work-{path.name}",))
    for path in _entries(cache.logs):
        yield _item(cache, path, f"log {path.name}", quiet=True)
    known = {cache.trees, cache.downloads, cache.apt, cache.work, cache.build, cache.logs}
    for path in _entries(cache.root):
        if path not in known and path.name not in KEPT:
            temporary = path.name.startswith((".", "export."))
            yield _item(cache, path, f"temporary file {path.name}" if temporary else path.name,
                        leftover=temporary, quiet=True)  # fmt: skip


def _trees(cache: Cache) -> Iterator[Item]:
    for path in _entries(cache.trees):
        if path.name.startswith("."):
            name = path.name[1:].rsplit(".", 1)[0]
            yield _item(cache, path, f"half an import of {name}", (f"tree-{name}",), leftover=True)
            continue
        locks = (f"tree-{path.name}", *workspace_locks(path))
        whole = tree.find(path.name, cache) is not None
        what = f"tree {path.name}" if whole else f"damaged tree {path.name}"
        yield _item(cache, path, what, locks, leftover=not whole)


def _item(
    cache: Cache,
    path: Path,
    what: str,
    locks: tuple[str, ...] = (),
    leftover: bool = False,
    quiet: bool = False,
) -> Item:
    times = [_modified(path), *(_modified(cache.locks / f"{name}.lock") for name in locks)]
    workspaces = [cache.work / name.removeprefix("work-") for name in locks]
    waits = any((workspace / CARRY_STATE).exists() for workspace in workspaces)
    return Item(path, what, tree.disk_size(path), max(times), locks, leftover, quiet, waits)


def chosen(
    found: Iterator[Item], cache: Cache, *, older_than: float, everything: bool
) -> list[Item]:
    """Those to remove: leftovers, what was not used for older_than days; or everything.

    Trees only go with everything: they are what takes long to obtain.
    """
    limit = time.time() - older_than * DAY
    return [
        item
        for item in found
        if everything or item.leftover or (item.used < limit and item.path.parent != cache.trees)
    ]


def reclaim(
    chosen_items: list[Item], cache: Cache, tell: Callable[[str], None], *, dry_run: bool = False
) -> list[Reclaimed]:
    """Remove the items that no running command has and that do not wait; dry_run only finds
    out which.

    A leftover of a call that still runs is none; its lock says so.
    """
    done = []
    for item in chosen_items:
        tell(item.what)
        names = set(item.locks)
        if item.quiet:
            names |= {path.name.removesuffix(".lock") for path in cache.locks.glob("*.lock")}
        with ExitStack() as stack:
            free = not item.waits and all(
                stack.enter_context(cache.try_lock(name)) for name in sorted(names)
            )
            if free and not dry_run:
                _remove(item.path)
            done.append(Reclaimed(item, free))
    return done


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        (path / "tree.json").unlink(missing_ok=True)  # half a tree is none
        shutil.rmtree(path, onerror=_writable_then_again)
    else:
        path.unlink(missing_ok=True)


def _writable_then_again(_function: object, name: str, _error: object) -> None:
    """A directory without write permission (a test's, say) is made writable."""
    path = Path(name)
    path.parent.chmod(0o700)
    if path.is_dir() and not path.is_symlink():
        path.chmod(0o700)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _entries(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []


def _modified(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0
