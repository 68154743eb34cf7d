"""regress --mutate: what the suites of a series notice of mistakes in it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from memdesc_tool import arch as architectures
from memdesc_tool import equivalent, fates, measured, mutate
from memdesc_tool.addedlines import AddedLine
from memdesc_tool.baseline import BAD, Known, cases_of, compare, is_case, worst
from memdesc_tool.cases import Status
from memdesc_tool.cells import Column, Row
from memdesc_tool.commands.regressmutantsoutput import print_absent, print_fates, print_stale
from memdesc_tool.commands.regressoptions import Options
from memdesc_tool.console import Progress, out
from memdesc_tool.errors import FailedError, UserError
from memdesc_tool.fates import Came, Fate, Fates, Trial
from memdesc_tool.filling import Filler, Patience, plan
from memdesc_tool.flakiness import LEAST
from memdesc_tool.kselftestrun import KselftestRunner
from memdesc_tool.kunitrun import KunitRunner, NotBootedError
from memdesc_tool.lane import Meter
from memdesc_tool.mutate import Mutant
from memdesc_tool.project import Project
from memdesc_tool.regress import run_one
from memdesc_tool.results import Attempt, Outcome, Store, Verdict
from memdesc_tool.runners import runners
from memdesc_tool.suites import Kind
from memdesc_tool.suitestate import state_of, states_of
from memdesc_tool.workspace import Workspace

LEAST_SECONDS, SLOWER, GUEST_SLOWER = 30, 5, 2
"""A mutant hangs that takes longer than this, and than so many times what it took to build and
run the unharmed kernel (guests take minutes)."""
KEEP_SECONDS = 30
"""How often what is known so far is stored, for who looks at it meanwhile."""


@dataclass(frozen=True)
class Shown:
    """A cell that mutants are shown to.

    unharmed: what the series itself comes to there; files: those with added lines that its
    kernel is made of, as far as that is known; idle: by file, the added lines that its suite
    does not run, as coverage says.
    """

    column: Column
    unharmed: tuple[Attempt, ...]
    files: Collection[str]
    idle: dict[str, frozenset[int]]

    def runs(self, mutant: Mutant) -> bool:
        """Whether its suite may run the mutant's line."""
        return mutant.line.number not in self.idle.get(mutant.line.file, ())


@dataclass(frozen=True)
class Mutation:
    """Plants mistakes in these lines of the last row, and shows them to these columns.

    known: failures that regress holds against nobody, and that notice nothing either.
    """

    workspace: Workspace
    store: Store
    project: Project | None
    rows: list[Row]
    columns: Sequence[Column]
    lines: tuple[AddedLine, ...]
    options: Options
    progress: Progress
    known: tuple[Known, ...] = ()

    def run(self) -> None:
        """Do so, store what comes of it and print it. What was run before is not run again, and
        nothing is lost that has ended when this is interrupted.

        Raises UserError for --survivors of nothing, FailedError where the series does not run.
        """
        listed = equivalent.read_equivalents(self.project.patches) if self.project else ()
        before = equivalent.argued(self._present(), listed)
        if self.options.survivors and not before.planted:
            raise UserError("no mutant of this state of the series has run yet",
                            "leave --survivors out")  # fmt: skip
        cells = [self._shown(column) for column in sorted(self.columns, key=_dear)]
        here = [line for line in self.lines if any(line.file in cell.files for cell in cells)]
        every = mutate.mutants(self.workspace.scratch, self.rows[-1], here)
        chosen = self._chosen(every, before)
        left = sum(
            not cell.runs(mutant)
            for cell in cells for mutant in chosen if mutant.line.file in cell.files
        )  # fmt: skip
        what = " that have survived" if self.options.survivors else ""
        out.print(f"{len(chosen)} of {len(every)} mutants{what} of {len(here)} added lines"
                  f" (seed {self.options.seed})")  # fmt: skip
        print_absent(self.lines, {line.file for line in here})
        if left:
            out.print(f"not built: {left}, in lines that --coverage has seen no case run")
        self._show(cells, every, chosen)
        every_fate = tuple(Fate.of(mutant) for mutant in every)
        print_stale(listed, every_fate)
        print_fates(equivalent.argued(self._present(), listed))

    def _chosen(self, every: Sequence[Mutant], before: Fates) -> tuple[Mutant, ...]:
        if self.options.survivors:
            silent = {one.key for one in before.survivors}
            every = [mutant for mutant in every if Fate.of(mutant).key in silent]
        return mutate.sample(every, self.options.sample, self.options.seed)

    def _present(self) -> Fates:
        """What is stored of the mutants, as far as it counts."""
        stored = fates.read_fates(self.store, self._span) or Fates()
        suites = [column.suite for column in self.columns]
        names = [name for name, _ in stored.suites.values()]
        return stored.present(states_of(self._root, suites, names))

    # -- cells -------------------------------------------------------------------------

    def _shown(self, column: Column) -> Shown:
        attempts = self._attempts(self.rows[-1], column)
        if any(attempt.outcome is not Outcome.RAN for attempt in attempts):
            raise FailedError(
                f"{column.name}: the series itself does not run: {attempts[-1].detail}",
                "memdesc-tool regress says since which patch",
            )
        state = state_of(column.suite, self._root)
        cell = measured.cell_inputs(self._span, column.name, state)
        idle = measured.read_idle(self.store, cell) or {}
        return Shown(column, attempts, self._files(column), idle)

    def _files(self, column: Column) -> Collection[str]:
        """The files that a column's kernel is made of; all, where that is not known."""
        files = {line.file for line in self.lines}
        if column.suite.kind is Kind.KUNIT:
            runner = KunitRunner(self.workspace, self.progress, self.options.jobs)
            read = self.store.reading(plan(self.workspace, runner, self.rows[-1], column).key)
            return files & read if read else files
        assert self.project, "a kselftest suite is a project's"
        guests = KselftestRunner(self.workspace, self.progress, self.project.root)
        return {one for one in files if not one.endswith(".c") or guests.builds(column, one)}

    # -- mutants -----------------------------------------------------------------------

    def _show(
        self, cells: Sequence[Shown], every: Sequence[Mutant], chosen: Sequence[Mutant]
    ) -> None:
        """Show the chosen ones to the cells, and store what each came to."""
        asked = set(chosen)
        found = {mutant: Fate.of(mutant, asked=mutant in asked) for mutant in every}
        meter, kept = Meter(len(chosen)), time.monotonic()
        try:
            for number, mutant in enumerate(chosen, 1):
                row = mutate.plant(self.workspace, self.rows[-1], mutant, number)
                row = replace(row, label=f"{meter} {row.label}")
                trials = self._trials(mutant, row, cells)
                found[mutant] = replace(found[mutant], trials=trials)
                meter.done += 1
                if time.monotonic() - kept > KEEP_SECONDS:
                    self._keep(cells, found.values())
                    kept = time.monotonic()
        finally:
            self._keep(cells, found.values())

    def _trials(self, mutant: Mutant, row: Row, cells: Sequence[Shown]) -> tuple[Trial, ...]:
        """What a mutant comes to, until a suite notices it."""
        trials = []
        for cell in cells:
            if mutant.line.file not in cell.files:
                continue
            if cell.runs(mutant):
                came, by = self._came(row, cell)
            else:
                came, by = Came.IDLE, ""
            trials.append(Trial(cell.column.name, came, by))
            if came is Came.NOTICED:
                break
        return tuple(trials)

    def _came(self, row: Row, cell: Shown) -> tuple[Came, str]:
        column = cell.column
        seconds = max(attempt.seconds for attempt in cell.unharmed)
        slower = SLOWER if column.suite.kind is Kind.KUNIT else GUEST_SLOWER
        limit = min(column.suite.timeout, max(LEAST_SECONDS, int(slower * seconds)))
        hasty = replace(column, suite=replace(column.suite, timeout=limit))
        clean = all(worst(one) is not Verdict.FAILED for one in cases_of(cell.unharmed).values())
        try:
            hurry = clean and not self.known
            attempts = self._attempts(row, hasty, until_failure=hurry)
            bad = self._bad(cell, attempts)
            if bad and all(map(is_case, bad)):  # perhaps by a case that fails now and then
                attempts = self._attempts(row, hasty, until_failure=hurry, times=LEAST)
                every = [self._bad(cell, (one,)) for one in attempts]
                bad = [case for case in bad if all(case in one for one in every)]
        except NotBootedError:
            return Came.NOTICED, "does not boot"
        if any(one.outcome is Outcome.BUILD_FAILED for one in attempts):
            return Came.BROKEN, ""
        return (Came.NOTICED, bad[0]) if bad else (Came.SILENT, "")

    def _bad(self, cell: Shown, attempts: Sequence[Attempt]) -> list[str]:
        """What a mutant makes fail in a cell, those first that say so themselves."""
        cases = cases_of(attempts)
        changes = compare(cases_of(cell.unharmed), cases)

        def known(case: str) -> bool:
            failed = worst(cases.get(case, ())) is Verdict.FAILED
            return failed and any(one.covers(case, cell.column.name) for one in self.known)

        bad = [case for case, one in changes.items() if one in BAD and not known(case)]
        results = [one for attempt in attempts for one in attempt.results]
        told = {one.name for one in results if one.detail != Status.MISSING.value}
        return sorted(bad, key=lambda case: case not in told)

    def _keep(self, cells: Sequence[Shown], found: Collection[Fate]) -> None:
        suites = {
            one.column.name: (one.column.suite.name, state_of(one.column.suite, self._root))
            for one in cells
        }
        seeds = (self.options.seed,) if self.options.sample else ()
        with self.workspace.cache.lock("mutants"):
            stored = fates.read_fates(self.store, self._span) or Fates()
            merged = stored.merged(Fates(tuple(found), suites, seeds=seeds))
            fates.keep_fates(self.store, self._span, time.time(), merged)

    def _attempts(
        self, row: Row, column: Column, *, until_failure: bool = False, times: int = 1
    ) -> tuple[Attempt, ...]:
        """Those of a column on a row; times: how many there have to be."""
        every = runners(self.workspace, self.progress, self._root, self.rows, self.options.jobs,
                        until_failure=until_failure)  # fmt: skip
        patience = Patience(retries=0)
        attempts = run_one(self.workspace, self.store, every, row, column, patience=patience)
        while len(attempts) < times:
            planned = plan(self.workspace, every, row, column)
            Filler(self.workspace, self.store, every, patience, row.label).once_more(planned)
            attempts = self.store.attempts(planned.key)
        return attempts

    @property
    def _root(self) -> Path | None:
        return self.project.root if self.project else None

    @property
    def _span(self) -> dict[str, str]:
        return measured.span_inputs(self.workspace, self.rows)


def _dear(column: Column) -> tuple[bool, bool]:
    """Sorts columns by what a run costs: um, other machines for KUnit, guests."""
    return column.suite.kind is not Kind.KUNIT, architectures.load(column.arch).qemu is not None
