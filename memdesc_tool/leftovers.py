"""What a killed git leaves behind in a repository of the tool's own, and removing it.

Only for repositories in the cache, by whoever holds their lock: nothing else of git runs there
then, since every git that the tool starts keeps the tool's locks held (process.py).
"""

from __future__ import annotations

import shutil
from pathlib import Path

_LOCKS = ("*.lock", "info/*.lock", "refs/**/*.lock", "objects/info/*.lock")
_OBJECTS = ("objects/[0-9a-f][0-9a-f]/tmp_obj_*", "objects/pack/tmp_*", "objects/pack/.tmp-*")
_INDEXES = ("*.index", "next-index-*")
_WHOLE = ("HEAD", "commondir", "gitdir")
"""What a registration of a linked worktree consists of (gitrepository-layout(5))."""


def sweep(repository: Path) -> None:
    """Remove locks, half-written objects and registrations of half-made worktrees.

    repository: a bare repository, perhaps half made or not there at all.
    """
    _remove(repository, (*_LOCKS, *_OBJECTS))
    for worktree in repository.glob("worktrees/*"):
        # git worktree add keeps it locked until it is whole, and prune spares what is locked.
        if (worktree / "locked").exists() or not all((worktree / n).exists() for n in _WHOLE):
            shutil.rmtree(worktree)
        else:
            _remove(worktree, (*_LOCKS, *_INDEXES))


def _remove(directory: Path, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        for left in directory.glob(pattern):
            left.unlink(missing_ok=True)
