"""Running one cell of a regression run until the store has what it needs of it.

Infrastructure that fails is tried again after a while; what it did is never stored.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from memdesc_tool.cells import Column, Row
from memdesc_tool.console import Progress
from memdesc_tool.errors import InfraError, LastingError
from memdesc_tool.overlay import overlay
from memdesc_tool.results import Attempt, Outcome, Store, key_of
from memdesc_tool.workspace import Workspace


class Runner(Protocol):
    """What runs a cell (kunitrun.py, kselftestrun.py, compilerun.py, commandrun.py)."""

    def inputs(self, column: Column, tree: str) -> Mapping[str, str]:
        """All that could change the outcome; tree is the object id with the overlay."""

    def run(self, column: Column, source: Path, log_dir: Path, label: str) -> Attempt:
        """Build and run the suite on the source worktree, with logs in log_dir.

        label names the revision in the progress. Raises InfraError.
        """

    def reading(self, column: Column, source: Path) -> frozenset[str] | None:
        """The files of the source tree that the last run of column has read (reading.py);
        None where that is not known, and then nothing is inherited.
        """


@dataclass(frozen=True)
class Patience:
    """How often something is tried again.

    retries: of a cell whose machine failed, after backoff, 2 * backoff, ... seconds;
    confirm: runs at most, of patch and of parent, until a suspected regression is believed,
    0 for none.
    """

    retries: int = 2
    backoff: float = 5.0
    confirm: int = 8
    wait: Callable[[float], None] = time.sleep


DEFAULT_PATIENCE = Patience()


@dataclass(frozen=True)
class Planned:
    """A cell that is to be run: inputs are all that could change its outcome, key stands
    for them; commit is the row's with the suite laid over it.
    """

    row: Row
    column: Column
    commit: str
    inputs: Mapping[str, str]
    key: str


def plan(workspace: Workspace, runner: Runner, row: Row, column: Column) -> Planned:
    """Lay the suite over the row. Raises FailedError where it does not fit."""
    commit = overlay(workspace, row.commit, [column.suite])
    inputs = dict(runner.inputs(column, workspace.scratch.tree(commit)))
    return Planned(row, column, commit, inputs, key_of(inputs))


def enough(store: Store, planned: Planned) -> bool:
    """Whether the store has as many attempts as the suite asks for."""
    outcomes = store.outcomes(planned.key)
    return Outcome.BUILD_FAILED in outcomes or len(outcomes) >= planned.column.suite.attempts


@dataclass(frozen=True)
class Filler:
    """Runs cells; label is what the progress shows."""

    workspace: Workspace
    store: Store
    runner: Runner
    patience: Patience
    label: str
    progress: Progress | None = None

    def fill(self, planned: Planned, *, replace: bool) -> None:
        """Run a cell until the store has enough attempts of it. Raises InfraError.

        What replace replaces stays stored until the first new attempt has ended. The lock is
        for a call on another clone of the tree: it has a worktree of its own, but the same
        results.
        """
        with self.workspace.cache.lock(f"job-{planned.key[:2]}"):
            while replace or not enough(self.store, planned):
                self._attempt(planned, replace=replace)
                replace = False

    def once_more(self, planned: Planned) -> None:
        """Add an attempt to those that are stored. Raises InfraError."""
        with self.workspace.cache.lock(f"job-{planned.key[:2]}"):
            self._attempt(planned, replace=False)

    def _attempt(self, planned: Planned, *, replace: bool) -> None:
        logs_of_key = self.workspace.cache.logs / planned.key[:16]
        source = self.workspace.checkout(planned.commit)
        logs = free_directory(logs_of_key, self.store.attempts(planned.key))
        attempt = self._run(planned, source, logs)
        read = self.runner.reading(planned.column, source)
        self.store.add(planned.inputs, attempt, replace=replace)
        if read is not None and attempt.outcome is Outcome.RAN:
            self.store.keep_reading(planned.key, read)
        if replace:
            free_directory(logs_of_key, [attempt])

    def _run(self, planned: Planned, source: Path, logs: Path) -> Attempt:
        """One attempt; a machine that fails is given time to recover."""
        for turn in range(self.patience.retries + 1):
            try:
                return self.runner.run(planned.column, source, logs, self.label)
            except InfraError as error:
                if turn == self.patience.retries or isinstance(error, LastingError):
                    raise
                pause = self.patience.backoff * 2**turn
                if self.progress:
                    self.progress.note(f"{error.message}; again in {pause:.0f} s")
                self.patience.wait(pause)
        raise AssertionError("unreachable")


def free_directory(parent: Path, attempts: Iterable[Attempt]) -> Path:
    """A directory below parent for the logs of one more attempt.

    Whatever is there that is no log of these attempts is removed: a killed call has left it.
    """
    kept = {Path(attempt.log).parent.name for attempt in attempts}
    for left in parent.iterdir() if parent.is_dir() else ():
        if left.name not in kept:
            shutil.rmtree(left)
    return parent / next(str(n) for n in range(len(kept) + 1) if str(n) not in kept)
