"""Run suites on a base and on every patch of a stack, and say what each patch changed.

Rows are revisions (the base, then each patch), columns are suites on an arch. Each cell is
stored when it has run and never runs again while its inputs stay the same. A column that
takes long may have cells at both ends only: what changed is then attributed to the last row.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from memdesc_tool.baseline import (
    BAD,
    RUN,
    SPLAT,
    Change,
    Known,
    cases_of,
    compare,
    worst,
)
from memdesc_tool.errors import InfraError
from memdesc_tool.overlay import overlay
from memdesc_tool.results import Attempt, Outcome, Store, Verdict, key_of
from memdesc_tool.suites import Suite
from memdesc_tool.workspace import Workspace


@dataclass(frozen=True)
class Row:
    """A revision to test: number 0 is the base; label is for people; commit is its state."""

    number: int
    label: str
    commit: str


@dataclass(frozen=True)
class Column:
    """A suite on an arch; ends: tested on the first and the last row only."""

    suite: Suite
    arch: str
    ends: bool = False

    @property
    def name(self) -> str:
        return f"{self.suite.name}/{self.arch}"


class Runner(Protocol):
    """What runs a cell (kunitrun.py, kselftestrun.py)."""

    def inputs(self, column: Column, tree: str) -> Mapping[str, str]:
        """All that could change the outcome; tree is the object id with the overlay."""

    def run(self, column: Column, source: Path, log_dir: Path, label: str) -> Attempt:
        """Build and run the suite on the source worktree, with logs in log_dir.

        label names the revision in the progress. Raises InfraError.
        """


@dataclass(frozen=True)
class Cell:
    """A row's results in a column, compared with the row before it.

    cases: verdicts by case over all attempts; changes: of cases that are not known
    failures; known: failing cases that are.
    """

    row: Row
    column: Column
    attempts: tuple[Attempt, ...]
    cases: Mapping[str, tuple[Verdict, ...]]
    changes: Mapping[str, Change] = field(default_factory=dict)
    known: tuple[str, ...] = ()

    @property
    def failing(self) -> tuple[str, ...]:
        """Cases that fail and are not known to."""
        return tuple(
            name
            for name, verdicts in self.cases.items()
            if worst(verdicts) is Verdict.FAILED and name not in self.known
        )

    @property
    def flaky(self) -> tuple[str, ...]:
        """Cases that attempts on the same inputs disagree about."""
        return tuple(name for name, verdicts in self.cases.items() if len(set(verdicts)) > 1)

    def count(self, verdict: Verdict) -> int:
        """How many cases came to verdict."""
        return sum(
            worst(verdicts) is verdict
            for name, verdicts in self.cases.items()
            if name != RUN and not name.startswith(SPLAT)
        )

    @property
    def broken(self) -> Outcome | None:
        """The first way in which a run did not come to its end; None where all did."""
        return next((a.outcome for a in self.attempts if a.outcome is not Outcome.RAN), None)


@dataclass(frozen=True)
class Regression:
    """What a walk found. cells: by row number, then column name; a column that is tested at
    both ends has none between.
    """

    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    cells: Mapping[tuple[int, str], Cell]
    unmatched: tuple[Known, ...] = ()

    def of_row(self, row: Row) -> tuple[Cell, ...]:
        every = (self.cells.get((row.number, column.name)) for column in self.columns)
        return tuple(cell for cell in every if cell)

    def changed(self, *wanted: Change) -> tuple[tuple[Cell, str, Change], ...]:
        """The (cell, case, change) of every change that is one of wanted."""
        return tuple(
            (cell, case, change)
            for row in self.rows
            for cell in self.of_row(row)
            for case, change in cell.changes.items()
            if change in wanted
        )

    @property
    def regressed(self) -> tuple[tuple[Cell, str, Change], ...]:
        return self.changed(*BAD)

    @property
    def failing_at_tip(self) -> tuple[tuple[Cell, str], ...]:
        """Cases that still fail after the last patch."""
        return tuple((cell, case) for cell in self.of_row(self.rows[-1]) for case in cell.failing)

    @property
    def passed_anything(self) -> bool:
        """Whether a case passed after the last patch, in every column."""
        return all(cell.count(Verdict.PASSED) for cell in self.of_row(self.rows[-1]))

    @property
    def good(self) -> bool:
        return not self.regressed and not self.failing_at_tip and self.passed_anything


def walk(
    workspace: Workspace,
    store: Store,
    runner: Runner,
    rows: Sequence[Row],
    columns: Sequence[Column],
    *,
    known: Iterable[Known] = (),
    rerun: bool = False,
) -> Regression:
    """Fill in every cell, from the store or by running it, rows in order.

    known: failures that never make a verdict bad; rerun: run again what is stored. Raises
    InfraError where the base itself does not build, FailedError
    where a suite does not fit a revision.
    """
    known = tuple(known)
    cells: dict[tuple[int, str], Cell] = {}
    plan = _plan(workspace, runner, rows, columns)
    pending = [p for p in plan if rerun or not _enough(store, p)]
    ran = 0
    clock = time.monotonic()
    for planned in plan:
        row, column = planned.row, planned.column
        far = _how_far(ran, len(pending), time.monotonic() - clock)
        # What kept the base from being built may have been the machine: never held against it.
        again = rerun or (row is rows[0] and _not_built(store.attempts(planned.key)))
        _fill(workspace, store, runner, planned, f"{far} {row.label}", again)
        ran += planned in pending
        attempts = store.attempts(planned.key)
        cells[row.number, column.name] = _cell(planned, attempts, cells, known)
        if row.number == rows[0].number:
            _refuse_broken_base(cells[row.number, column.name])
    used = {
        entry for cell in cells.values() for case in cell.known for entry in known
        if entry.covers(case, cell.column.name)
    }  # fmt: skip
    unmatched = tuple(entry for entry in known if entry not in used)
    return Regression(tuple(rows), tuple(columns), cells, unmatched)


@dataclass(frozen=True)
class _Planned:
    row: Row
    column: Column
    commit: str
    inputs: Mapping[str, str]
    key: str


def _plan(
    workspace: Workspace, runner: Runner, rows: Sequence[Row], columns: Sequence[Column]
) -> list[_Planned]:
    plan = []
    for row in rows:
        for column in columns:
            if column.ends and row not in (rows[0], rows[-1]):
                continue
            commit = overlay(workspace, row.commit, [column.suite])
            inputs = dict(runner.inputs(column, workspace.scratch.tree(commit)))
            plan.append(_Planned(row, column, commit, inputs, key_of(inputs)))
    return plan


def run_one(
    workspace: Workspace,
    store: Store,
    runner: Runner,
    row: Row,
    column: Column,
    *,
    rerun: bool = False,
) -> tuple[Attempt, ...]:
    """The attempts of one cell, from the store or by running it. Raises InfraError where
    this machine cannot run it, FailedError where the suite does not fit the revision.
    """
    (planned,) = _plan(workspace, runner, [row], [column])
    _fill(workspace, store, runner, planned, row.label, rerun)
    return store.attempts(planned.key)


def _fill(
    workspace: Workspace,
    store: Store,
    runner: Runner,
    planned: _Planned,
    label: str,
    rerun: bool,
) -> None:
    """Run a cell until the store has enough attempts of it.

    What rerun replaces stays stored until the first new attempt has ended. The lock is for a
    call on another clone of the tree: it has a worktree of its own, but the same results.
    """
    cache = workspace.cache
    logs_of_key = cache.logs / planned.key[:16]
    replace = rerun
    with cache.lock(f"job-{planned.key[:2]}"):
        while replace or not _enough(store, planned):
            source = workspace.checkout(planned.commit)
            logs = _free_directory(logs_of_key, store.attempts(planned.key))
            attempt = runner.run(planned.column, source, logs, label)
            store.add(planned.inputs, attempt, replace=replace)
            if replace:
                _free_directory(logs_of_key, [attempt])
            replace = False


def _free_directory(parent: Path, attempts: Iterable[Attempt]) -> Path:
    """A directory below parent for the logs of one more attempt.

    Whatever is there that is no log of these attempts is removed: a killed call has left it.
    """
    kept = {Path(attempt.log).parent.name for attempt in attempts}
    for left in parent.iterdir() if parent.is_dir() else ():
        if left.name not in kept:
            shutil.rmtree(left)
    return parent / next(str(n) for n in range(len(kept) + 1) if str(n) not in kept)


def _enough(store: Store, planned: _Planned) -> bool:
    attempts = store.attempts(planned.key)
    if any(attempt.outcome is Outcome.BUILD_FAILED for attempt in attempts):
        return True
    return len(attempts) >= planned.column.suite.attempts


def _how_far(done: int, total: int, seconds: float) -> str:
    """Like "[3/12, about 4 min left]"."""
    far = f"{done + 1}/{total}"
    if done:
        left = seconds / done * (total - done)
        far += f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left"
    return f"[{far}]"


def _cell(
    planned: _Planned,
    attempts: tuple[Attempt, ...],
    cells: Mapping[tuple[int, str], Cell],
    known: tuple[Known, ...],
) -> Cell:
    row, column = planned.row, planned.column
    cases = cases_of(attempts)
    before = [cell for (_, name), cell in cells.items() if name == column.name]
    listed = tuple(
        case
        for case, verdicts in cases.items()
        if worst(verdicts) is Verdict.FAILED and any(k.covers(case, column.name) for k in known)
    )
    changes = _changes(before, attempts, cases)
    kept = {name: change for name, change in changes.items() if name not in listed}
    return Cell(row, column, attempts, cases, kept, listed)


def _changes(
    before: Sequence[Cell],
    attempts: tuple[Attempt, ...],
    cases: Mapping[str, tuple[Verdict, ...]],
) -> dict[str, Change]:
    """What changed from the cells before (of one column, in order) to these attempts.

    Cases are compared with the last revision that could be built, so that a patch that
    cannot hides nothing; whether the run came to its end, with the parent itself.
    """
    if not before:
        return {}
    changes = {}
    if not any(attempt.outcome is Outcome.BUILD_FAILED for attempt in attempts):
        built = [cell for cell in before if cell.broken is not Outcome.BUILD_FAILED]
        changes = compare(built[-1].cases, cases) if built else {}
    changes.pop(RUN, None)
    ended = [{RUN: c[RUN]} if RUN in c else {} for c in (before[-1].cases, cases)]
    return {**compare(*ended), **changes}


def _not_built(attempts: Iterable[Attempt]) -> bool:
    """Whether an attempt did not get as far as booting."""
    return any(a.outcome in (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED) for a in attempts)


def _refuse_broken_base(cell: Cell) -> None:
    """A base that cannot be built says nothing about the patches."""
    for attempt in cell.attempts:
        if attempt.outcome in (Outcome.BUILD_FAILED, Outcome.CONFIG_FAILED):
            raise InfraError(
                f"{cell.row.label}: {cell.column.name}: {attempt.outcome.value}: {attempt.detail}",
                f"its output: {attempt.log}",
            )
