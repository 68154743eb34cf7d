"""Where the work on one base happens: a scratch repository and the source worktree.

Both are below `work/<key>/` of the cache, where <key> stands for the base's repository:

    scratch.git   bare; borrows the objects of the base's repository
    src           the source worktree that builds use, always at this path; it has no .git,
                  so that the kernel's release string does not change from patch to patch
    am            a sparse worktree in which `git am` runs
    carry         another one, in which conflicts are solved (carry.py)

Whoever uses them holds the lock `work-<key>`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from memdesc_tool.cache import Cache
from memdesc_tool.console import Progress
from memdesc_tool.git import (
    SCRATCH_IDENTITY,
    Git,
    GitError,
)
from memdesc_tool.leftovers import sweep
from memdesc_tool.scratch import remove_stale_locks, scratch_repository

SOURCE_BYTES = 2_200_000_000
"""What a source worktree takes at most."""


class HasRepository(Protocol):
    """What of a base (tree.py) is needed here."""

    @property
    def repository(self) -> Path: ...


@dataclass(frozen=True)
class Workspace:
    """A base's scratch repository and worktrees; made by open_workspace()."""

    cache: Cache
    key: str
    scratch: Git

    @property
    def root(self) -> Path:
        return self.cache.work / self.key

    @property
    def source(self) -> Path:
        return self.root / "src"

    @property
    def builds(self) -> Path:
        """The directory below which the build directories of this workspace are."""
        return self.cache.build / self.key

    def checkout(self, revision: str) -> Path:
        """Bring the source worktree to revision (a commit or tree) and return its path.

        Only files that differ are written, so that a build after it is incremental.
        """
        index = self.root / "src.index"
        if not self.source.exists():
            self.cache.need_space(SOURCE_BYTES, "a source worktree")
            index.unlink(missing_ok=True)
            self.source.mkdir(parents=True)
        index.with_name("src.index.lock").unlink(missing_ok=True)
        env = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(self.source)}
        at_source = Git(self.source, fetches=True)
        git_dir = f"--git-dir={self.scratch.path}"
        try:
            at_source.run(git_dir, "read-tree", "-u", "--reset", revision, env=env)
        except GitError:
            # A damaged index (no space left, say): what is there is ours, so start over.
            shutil.rmtree(self.source)
            index.unlink(missing_ok=True)
            self.source.mkdir(parents=True)
            at_source.run(git_dir, "read-tree", "-u", "--reset", revision, env=env)
        at_source.run(git_dir, "clean", "-ffdxq", env=env)
        return self.source

    def am_worktree(self, revision: str, files: Iterable[str], name: str = "am") -> Git:
        """The sparse worktree for `git am`, clean and at revision (a commit).

        Only files (paths that patches touch, directories with a / at the end) are checked
        out in it. name: of the worktree; a name of its own is left alone by other commands.
        """
        path = self.root / name
        am = Git(path, fetches=True)
        if not (path / ".git").exists() or am.attempt("rev-parse", "HEAD")[0]:
            shutil.rmtree(path, ignore_errors=True)
            self.scratch.run("worktree", "prune", "--expire=now")
            self.scratch.run("worktree", "add", "--quiet", "--detach", "--no-checkout",
                             str(path), revision)  # fmt: skip
        git_dir = Path(am.run("rev-parse", "--absolute-git-dir"))
        remove_stale_locks(git_dir)
        if (git_dir / "rebase-apply").exists():
            am.attempt("am", "--abort")
            shutil.rmtree(git_dir / "rebase-apply", ignore_errors=True)
        patterns = "\n".join(_sparse_pattern(file) for file in files)
        am.run("update-ref", "--no-deref", "HEAD", revision)
        am.run("sparse-checkout", "set", "--no-cone", "--stdin", stdin=patterns.encode())
        am.run("read-tree", "--reset", "-u", revision)
        am.run("clean", "-ffdxq")
        return am

    def remember(self, kind: str, key: str, commit: str) -> None:
        """Keep commit reachable and findable as the answer to (kind, key)."""
        self.scratch.run("update-ref", f"refs/memdesc/{kind}/{key}", commit)

    def remembered(self, kind: str, key: str) -> str | None:
        """The commit that remember() stored; None where there is none or it is damaged."""
        return self.scratch.whole_commit(f"refs/memdesc/{kind}/{key}")

    def write_tree(
        self, revision: str, files: dict[str, bytes], modes: Mapping[str, str] | None = None
    ) -> str:
        """A commit on top of revision in which files have the content given.

        files maps paths in the tree to contents; modes has those of paths whose mode is not
        to stay as it is (100644 for a new file). Deterministic: the same input gives the
        same commit. Nothing is checked out.
        """
        index = self.root / f"write.{os.getpid()}.index"
        env = {"GIT_INDEX_FILE": str(index), **SCRATCH_IDENTITY,
               "GIT_AUTHOR_DATE": SCRATCH_IDENTITY["GIT_COMMITTER_DATE"]}  # fmt: skip
        git = self.scratch
        modes = {**git.modes(revision, sorted(files)), **(modes or {})}
        records = "".join(
            f"{modes.get(path, '100644')} blob {blob}\t{path}\0"
            for path, blob in zip(files, git.write_blobs(files.values()), strict=True)
        )
        try:
            git.run("read-tree", revision, env=env)
            git.run("update-index", "-z", "--index-info", stdin=records.encode(), env=env)
            tree = git.run("write-tree", env=env)
        finally:
            index.unlink(missing_ok=True)
        return git.run("commit-tree", tree, "-p", revision, "-m", "overlay", env=env)


def _sparse_pattern(file: str) -> str:
    """The sparse-checkout pattern that matches this one path."""
    return "/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", file)


_READING = "-reading"
"""Ends the name of the workspace of commands that only look at what is stored."""


def workspace_locks(repository: Path) -> tuple[str, str]:
    """The locks of the workspaces of a repository: to build in, and to read beside it."""
    key = workspace_key(repository)
    return f"work-{key}", f"work-{key}{_READING}"


def workspace_key(repository: Path) -> str:
    """The directory name that stands for a repository: stable, and readable."""
    real = repository.resolve()
    name = real.parent.name if real.name == ".git" else real.name
    readable = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:32] or "tree"
    return f"{readable}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:10]}"


@contextmanager
def open_workspace(
    cache: Cache, base: HasRepository, progress: Progress, *, reading: bool = False
) -> Iterator[Workspace]:
    """The workspace of a base, locked while the body runs; another user is waited for.

    reading: one beside it, for who builds nothing and is not to wait for who does.
    """
    key = workspace_key(base.repository) + (_READING if reading else "")
    with cache.lock(f"work-{key}", on_wait=progress.note):
        sweep(cache.work / key / "scratch.git")
        scratch = scratch_repository(cache.work / key / "scratch.git", base.repository)
        for left in (cache.work / key).glob("write.*.index*"):
            left.unlink(missing_ok=True)
        yield Workspace(cache, key, scratch)


def open_free_workspace(
    cache: Cache, base: HasRepository, progress: Progress
) -> AbstractContextManager[Workspace]:
    """The workspace of a base for who builds nothing: where another command uses it, for
    hours if it builds, the one to read beside it.
    """
    building, _ = workspace_locks(base.repository)
    with cache.try_lock(building) as free:
        busy = not free
    return open_workspace(cache, base, progress, reading=busy)
