"""The tool's own directory, its locks and its atomic writes.

Everything the tool keeps is below one directory (`--cache`, else $MEMDESC_TOOL_CACHE, else
$XDG_CACHE_HOME/memdesc-tool, else ~/.cache/memdesc-tool) and can be removed at any time:

    trees/      bases that were obtained: bare git repositories
    downloads/  per release: what is being obtained, until it is in trees/
    apt/        apt's private lists
    work/       per repository: a scratch repository that borrows the objects of the base
                repository, and the source worktree that builds use
    build/      build directories
    logs/       whole logs of builds and runs
    rr-cache/   how conflicts were solved (resolutions.py)
    locks/      lock files
    results.sqlite
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.process import register_lock, release_lock

LOCK_POLL_SECONDS = 0.2
CARRY_STATE = "carry.json"
"""In a directory of work/: what carry.py remembers of a patch that waits for somebody's hands."""
NO_SPACE_HINT = "memdesc-tool gc gives space back; --cache puts the cache on another disk"


@dataclass(frozen=True)
class Cache:
    """The tool's directory."""

    root: Path

    @property
    def trees(self) -> Path:
        return self.root / "trees"

    @property
    def downloads(self) -> Path:
        return self.root / "downloads"

    @property
    def apt(self) -> Path:
        return self.root / "apt"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def resolutions(self) -> Path:
        return self.root / "rr-cache"

    @property
    def results(self) -> Path:
        return self.root / "results.sqlite"

    @contextmanager
    def lock(self, name: str, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold the lock called name; another holder is waited for.

        The kernel releases it when its last holder dies, so that there is no stale lock.
        on_wait is told once, in a sentence, when the lock is not free.
        """
        descriptor = self._open_lock(name)
        told = False
        try:
            while not _take(descriptor):
                if not told and on_wait:
                    on_wait(f"waiting for another memdesc-tool that uses {name}")
                told = True
                time.sleep(LOCK_POLL_SECONDS)
            os.utime(descriptor)  # when it was last used; gc asks
            register_lock(descriptor)
            yield
        finally:
            release_lock(descriptor)
            os.close(descriptor)

    @contextmanager
    def try_lock(self, name: str) -> Iterator[bool]:
        """Hold the lock called name if nobody else does; yields whether it is held."""
        descriptor = self._open_lock(name)
        try:
            held = _take(descriptor)
            if held:
                register_lock(descriptor)
            yield held
        finally:
            release_lock(descriptor)
            os.close(descriptor)

    def _open_lock(self, name: str) -> int:
        path = self.locks / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def need_space(self, size: int, purpose: str) -> None:
        """Raise InfraError unless size bytes are free for purpose (a noun phrase)."""
        self.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.root).free
        if free < size:
            raise InfraError(
                f"{purpose} needs {human_size(size)} in {self.root}, only {human_size(free)} free",
                NO_SPACE_HINT,
            )


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def default_root() -> Path:
    """Where the cache is when no option says so."""
    if own := os.environ.get("MEMDESC_TOOL_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "memdesc-tool"


def open_cache(root: Path | None = None) -> Cache:
    """The cache at root (default: default_root()), made if need be.

    Raises UserError where the directory cannot be made or written.
    """
    path = (root or default_root()).expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot use {path} as cache: {error.strerror}", "--cache DIR names another place"
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to the cache {path}", "--cache DIR names another place")
    return Cache(path)


def human_size(size: float) -> str:
    """A size in bytes for people: "1.4 GB" (decimal units)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit in ("bytes", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def remove_temporaries(path: Path) -> None:
    """Remove what killed calls of write_atomic(path) have left; its lock is the caller's."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}"):
        left.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace path by data, all or nothing, whenever the tool is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
