"""Run suites on a base and on every patch of a stack, and say what each patch changed.

Each cell (cells.py) is stored when it has run and never runs again while its inputs stay the
same. A column is walked in the order of the patches, in a build directory that is kept
(lane.py). A cell of which a patch cannot change the outcome is inherited from the row before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from memdesc_tool.baseline import Known, is_case
from memdesc_tool.cells import (
    Cell,
    Column,
    Regression,
    Row,
    Strategy,
    Trouble,
    Variant,
)
from memdesc_tool.console import Progress
from memdesc_tool.errors import FailedError, InfraError
from memdesc_tool.filling import DEFAULT_PATIENCE, Filler, Patience, Runner, enough, plan
from memdesc_tool.lane import Bench, Lane, Meter, Stopped
from memdesc_tool.results import Attempt, Store
from memdesc_tool.workspace import Workspace

__all__ = [
    "Cell", "Column", "Elsewhere", "Patience", "Regression", "Row", "Runner", "Strategy", "Trouble",
    "Variant", "recall", "run_one", "walk",
]  # fmt: skip


Elsewhere = Callable[[Bench, Sequence[tuple[Column, Lane]]], list[Trouble]]
"""Walks columns of a bench on other machines (cluster.py) and returns what it could not."""


def walk(
    workspace: Workspace,
    store: Store,
    runner: Runner,
    rows: Sequence[Row],
    columns: Sequence[Column],
    *,
    known: Iterable[Known] = (),
    rerun: bool = False,
    patience: Patience = DEFAULT_PATIENCE,
    progress: Progress | None = None,
    elsewhere: Elsewhere | None = None,
) -> Regression:
    """Fill in the cells that each column's strategy asks for, column by column.

    known: failures that never make a verdict bad; rerun: run again what is stored. A machine
    that fails, or a base that does not build, ends the column: see Regression.troubles.
    elsewhere: walks columns on other machines first. Raises FailedError where a suite does not
    fit a revision.
    """
    bench = Bench(workspace, store, runner, rows, tuple(known), rerun, patience, progress)
    meter = Meter()
    lanes = [Lane(bench, column, meter) for column in columns]
    meter.total = sum(lane.pending for lane in lanes)
    cells: dict[tuple[int, str], Cell] = {}
    pairs = list(zip(columns, lanes, strict=True))
    troubles = elsewhere(bench, pairs) if elsewhere else []
    given_up = {trouble.column for trouble in troubles}
    for column, lane in pairs:
        try:
            if column in given_up:
                lane.adopt()
            else:
                lane.walk()
                lane.confirm()
        except Stopped as stopped:
            troubles.append(stopped.trouble)
        cells |= {(cell.row.number, cell.column.name): cell for cell in lane.cells()}
    return _regression(bench, columns, cells, troubles)


def recall(
    workspace: Workspace,
    store: Store,
    runner: Runner,
    rows: Sequence[Row],
    columns: Sequence[Column],
    known: Iterable[Known] = (),
) -> Regression:
    """What the store has of every row in every column; nothing is run.

    A column that this machine has no toolchain for, or whose suite does not fit, is in
    Regression.troubles.
    """
    bench = Bench(workspace, store, runner, rows, tuple(known))
    cells: dict[tuple[int, str], Cell] = {}
    troubles = []
    for column in columns:
        lane = Lane(bench, column, Meter())
        try:
            lane.adopt()
        except (InfraError, FailedError) as error:
            troubles.append(Trouble(rows[0], column, error.message, error.hint))
        cells |= {(cell.row.number, cell.column.name): cell for cell in lane.cells()}
    return _regression(bench, columns, cells, troubles)


def _regression(
    bench: Bench,
    columns: Sequence[Column],
    cells: dict[tuple[int, str], Cell],
    troubles: Sequence[Trouble],
) -> Regression:
    every = tuple(cells.values())
    there = [one for one in bench.known if any(one.at(cell.column.name) for cell in every)]
    unused = [one for one in there if not any(_covers(one, cell, cell.known) for cell in every)]
    fine = tuple(one for one in unused if any(_could_fail(one, cell) for cell in every))
    unseen = tuple(one for one in unused if one not in fine)
    return Regression(tuple(bench.rows), tuple(columns), cells, fine, tuple(troubles), unseen)


def _covers(entry: Known, cell: Cell, cases: Iterable[str]) -> bool:
    return any(entry.covers(case, cell.column.name) for case in cases)


def _could_fail(entry: Known, cell: Cell) -> bool:
    """Whether a cell has what an entry is about: a case, or a place for what is no case."""
    return _covers(entry, cell, cell.cases) or (
        not is_case(entry.case) and entry.at(cell.column.name)
    )


def run_one(
    workspace: Workspace,
    store: Store,
    runner: Runner,
    row: Row,
    column: Column,
    *,
    rerun: bool = False,
    patience: Patience = DEFAULT_PATIENCE,
) -> tuple[Attempt, ...]:
    """The attempts of one cell, from the store or by running it. Raises InfraError where
    this machine cannot run it, FailedError where the suite does not fit the revision.
    """
    planned = plan(workspace, runner, row, column)
    if rerun or not enough(store, planned):
        Filler(workspace, store, runner, patience, row.label).fill(planned, replace=rerun)
    return store.attempts(planned.key)
