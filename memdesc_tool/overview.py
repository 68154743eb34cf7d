"""All that a report tells of a series, gathered from the store. Runs nothing, renders nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from memdesc_tool import report
from memdesc_tool.baseline import Change, worst
from memdesc_tool.blame import Finding, findings, with_hunks
from memdesc_tool.cellexcerpt import excerpt_of
from memdesc_tool.cells import Cell, Column, Regression
from memdesc_tool.equivalent import Equivalent, argued
from memdesc_tool.errors import ToolError
from memdesc_tool.excerpt import Excerpt
from memdesc_tool.fates import Fate, Fates, Key, hunk, read_fates
from memdesc_tool.filling import Runner, plan
from memdesc_tool.flakiness import Rate, rate_of
from memdesc_tool.measured import (
    Figure,
    PatchShare,
    read_coverage,
    read_figures,
    span_inputs,
)
from memdesc_tool.requirements import Traced
from memdesc_tool.results import Attempt, Store, Verdict
from memdesc_tool.suitestate import states_of
from memdesc_tool.timeline import State, timeline
from memdesc_tool.workspace import Workspace


@dataclass(frozen=True)
class Flaky:
    """A case that runs on the same inputs disagree about."""

    cell: Cell
    case: str
    rate: Rate


@dataclass(frozen=True)
class CaseHistory:
    """A case of a column that has failed or changed on the way.

    verdicts: by row, None where the row has no run or the run does not have the case; changes:
    by row number.
    """

    column: Column
    case: str
    verdicts: tuple[Verdict | None, ...]
    changes: Mapping[int, Change]


@dataclass(frozen=True)
class ColumnHistory:
    """The states of a column over time, the latest; total: how many there are in all."""

    column: Column
    states: tuple[State, ...]
    total: int


@dataclass(frozen=True)
class Overview:
    """What there is to say.

    title: of the series; origin: what they stand on, without paths of this machine; findings:
    every change, those with a place with their hunk; excerpts: by row number and column name;
    logs: names of the cells' last logs, relative to the cache; skipped: (column, why) of those
    that cannot be looked at here; mutants, coverage, figures: None where not measured; hunks: of
    the mutants that nothing notices.
    """

    title: str
    origin: str
    regression: Regression
    findings: tuple[Finding, ...]
    excerpts: Mapping[tuple[int, str], Excerpt]
    logs: Mapping[tuple[int, str], str]
    histories: tuple[ColumnHistory, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    requirements: tuple[Traced, ...] = ()
    mutants: Fates | None = None
    hunks: Mapping[Key, tuple[str, ...]] = field(default_factory=dict)
    coverage: tuple[PatchShare, ...] | None = None
    figures: tuple[Figure, ...] | None = None

    @property
    def word(self) -> str:
        """GOOD, BAD, or INCOMPLETE where nothing is bad but not everything has run."""
        found = self.regression
        if found.regressed or found.failing_at_tip:
            return "BAD"
        return "GOOD" if found.good and not found.missing and found.columns else "INCOMPLETE"

    @property
    def verdict(self) -> str:
        """The one line that sums it all up."""
        found = self.regression
        line = report.verdict(found, self.origin).partition(": ")[2]
        if count := len(found.missing):
            line += f", {count} {'cell has' if count == 1 else 'cells have'} not run"
        return f"{self.word}: {line}"

    @property
    def flaky(self) -> tuple[Flaky, ...]:
        """Every case that does not always come to the same, in the order of the rows."""
        return tuple(
            Flaky(cell, case, rate_of(cell.cases[case]))
            for row in self.regression.rows
            for cell in self.regression.of_row(row)
            for case in cell.flaky
        )

    @property
    def case_histories(self) -> tuple[CaseHistory, ...]:
        """Of every case that failed on some row, or changed."""
        found = []
        for column in self.regression.columns:
            cells = [self.regression.cells.get((row.number, column.name))
                     for row in self.regression.rows]  # fmt: skip
            names = {name: None for cell in cells if cell for name in _notable(cell)}
            for name in names:
                verdicts = tuple(
                    worst(cell.cases[name]) if cell and name in cell.cases else None
                    for cell in cells
                )
                changes = {cell.row.number: cell.changes[name]
                           for cell in cells if cell and name in cell.changes}  # fmt: skip
                found.append(CaseHistory(column, name, verdicts, changes))
        return tuple(found)


def _notable(cell: Cell) -> list[str]:
    """The cases of a cell that have a history worth telling."""
    told = {name for name, change in cell.changes.items() if change is not Change.NEW}
    bad = [name for name, all_of in cell.cases.items() if worst(all_of) is Verdict.FAILED]
    return [*bad, *told]


@dataclass(frozen=True)
class Gathering:
    """Where an overview is gathered from; root: the project, None for none."""

    workspace: Workspace
    store: Store
    runner: Runner
    root: Path | None = None

    def overview(
        self,
        regression: Regression,
        title: str,
        origin: str,
        *,
        skipped: Sequence[tuple[str, str]] = (),
        requirements: Sequence[Traced] = (),
        equivalents: Sequence[Equivalent] = (),
    ) -> Overview:
        """The overview of a regression that was recalled (regress.recall())."""
        span = span_inputs(self.workspace, regression.rows)
        mutants = self._mutants(regression, span, equivalents)
        cells = regression.cells.items()
        return Overview(
            title=title,
            origin=origin,
            regression=regression,
            findings=with_hunks(findings(regression), self.workspace.scratch),
            excerpts={key: excerpt_of(cell) for key, cell in cells},
            logs={key: self._log_name(told) for key, cell in cells if (told := cell.telling)},
            histories=tuple(self._histories(regression)),
            skipped=(
                *skipped,
                *((one.column.name, one.message) for one in regression.troubles),
            ),
            requirements=tuple(requirements),
            mutants=mutants,
            hunks=self._hunks(regression, mutants) if mutants else {},
            coverage=read_coverage(self.store, span),
            figures=read_figures(self.store, span),
        )

    def _mutants(
        self, regression: Regression, span: Mapping[str, str], equivalents: Sequence[Equivalent]
    ) -> Fates | None:
        """What counts of the mutants of a span."""
        stored = read_fates(self.store, span)
        if stored is None:
            return None
        suites = [column.suite for column in regression.columns]
        names = [name for name, _ in stored.suites.values()]
        return argued(stored.present(states_of(self.root, suites, names)), equivalents)

    def _hunks(self, regression: Regression, mutants: Fates) -> dict[Key, tuple[str, ...]]:
        """Of the mutants that a report shows."""
        texts: dict[str, list[str]] = {}

        def text(fate: Fate) -> list[str]:
            if fate.file not in texts:
                tip = regression.rows[-1].commit
                blob = self.workspace.scratch.blob(tip, fate.file) or b""
                texts[fate.file] = blob.decode(errors="replace").split("\n")
            return texts[fate.file]

        shown = (*mutants.survivors, *mutants.argued)
        return {fate.key: hunk(text(fate), fate) for fate in shown}

    def _histories(self, regression: Regression) -> list[ColumnHistory]:
        found = []
        for column in regression.columns:
            labels: dict[str, str] = {}
            inputs: Mapping[str, str] = {}
            try:
                for row in regression.rows:
                    inputs = plan(self.workspace, self.runner, row, column).inputs
                    labels[inputs["tree"]] = row.label
            except ToolError:
                continue  # regression.troubles has it
            states, total = timeline(self.store, inputs, labels)
            found.append(ColumnHistory(column, states, total))
        return found

    def _log_name(self, attempt: Attempt) -> str:
        path = Path(attempt.log)
        root = self.workspace.cache.root
        return str(path.relative_to(root)) if path.is_relative_to(root) else path.name
