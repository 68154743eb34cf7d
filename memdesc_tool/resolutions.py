"""How conflicts were solved, for the next time: git rerere, with one memory for all trees.

It is `rr-cache` of the cache. What is in it hangs on the conflicting lines alone, so that a
conflict is known again in another clone of the tree, and after its workspace is gone.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from memdesc_tool.cache import Cache
from memdesc_tool.git import Git

RERERE = ("-c", "rerere.enabled=true", "-c", "rerere.autoUpdate=true")
"""Options of a git command that solves what was solved before, and remembers."""


def share(cache: Cache, scratch: Git) -> None:
    """Let a scratch repository use the memory that all of them share."""
    own = scratch.path / "rr-cache"
    cache.resolutions.mkdir(exist_ok=True)
    if own.is_symlink() and own.resolve() == cache.resolutions.resolve():
        return
    if own.is_dir() and not own.is_symlink():
        for entry in own.iterdir():  # from when each repository had a memory of its own
            if not (cache.resolutions / entry.name).exists():
                shutil.move(entry, cache.resolutions)
        shutil.rmtree(own)
    own.unlink(missing_ok=True)
    own.symlink_to(cache.resolutions.absolute())


def forget(git: Git, env: Mapping[str, str]) -> None:
    """Forget how the conflicts in a worktree were solved before; they are to be solved anew.

    git: a worktree in which a merge has stopped without RERERE.
    """
    git.attempt(*RERERE, "rerere", "forget", "--", ":(top)", env=env)
    git.run(*RERERE, "rerere", env=env)
