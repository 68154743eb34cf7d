"""regress --mutate and --coverage: how strong the suites of a series are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from memdesc_tool import arch as architectures
from memdesc_tool import coverage, measured
from memdesc_tool.addedlines import AddedLine, added_lines
from memdesc_tool.arch import DATA
from memdesc_tool.baseline import Known
from memdesc_tool.cells import Column, Row, Variant
from memdesc_tool.commands.regressmutants import Mutation
from memdesc_tool.commands.regressmutantsoutput import print_absent, table
from memdesc_tool.commands.regressoptions import Options
from memdesc_tool.console import Progress, out
from memdesc_tool.coverage import FileCoverage, PatchCoverage
from memdesc_tool.errors import InfraError, UserError
from memdesc_tool.filling import Runner, plan
from memdesc_tool.kselftestrun import COUNTS, KselftestRunner, Settings
from memdesc_tool.kunitrun import KunitRunner
from memdesc_tool.measured import PatchShare
from memdesc_tool.project import Project
from memdesc_tool.results import Outcome, Store
from memdesc_tool.runners import touched
from memdesc_tool.suites import Kind
from memdesc_tool.suitestate import state_of
from memdesc_tool.workspace import Workspace


@dataclass(frozen=True)
class Strength:
    """Measures the suites of these columns on the last of the rows."""

    workspace: Workspace
    store: Store
    project: Project | None
    rows: list[Row]
    columns: tuple[Column, ...]
    options: Options
    known: tuple[Known, ...] = ()

    def measure(self, progress: Progress) -> bool:
        """Print what --mutate and --coverage ask for. True: nothing in it is a failure."""
        kunit = [column for column in self.columns if column.suite.kind is Kind.KUNIT]
        guests = [column for column in self.columns if column.suite.kind is Kind.KSELFTEST]
        if not kunit and not guests:
            raise UserError("mutants and coverage need a suite", "give --suite")
        if self.options.coverage:
            self._cover(kunit, guests, progress)
        if self.options.mutate:
            columns = [*kunit, *guests]
            Mutation(self.workspace, self.store, self.project, self.rows, columns,
                     self._added(columns), self.options, progress, self.known).run()  # fmt: skip
        return True

    def _added(self, columns: Sequence[Column]) -> tuple[AddedLine, ...]:
        """The lines of C that the series adds, those of the suites apart."""
        own = {file.path for column in columns for file in column.suite.files}
        paths = [
            path
            for path in touched(self.workspace, self.rows)
            if path.endswith((".c", ".h")) and path not in own and not path.startswith("tools/")
        ]
        return added_lines(self.workspace.scratch, self.rows, paths)

    def _cover(
        self, columns: Sequence[Column], guests: Sequence[Column], progress: Progress
    ) -> None:
        """Measure what KUnit runs on um and kselftests run in their guests."""
        on_um = [one for one in columns if architectures.load(one.arch).make_arch == "um"]
        if not on_um and not guests:
            raise UserError("coverage is measured on um", "give --arch um")
        variant = Variant("gcov", fragments=(DATA / "kconfig" / "gcov.config",))
        lines, counts = self._added([*columns, *guests]), dict[str, FileCoverage]()
        files = {line.file for line in lines}
        for column in (*on_um, *guests):
            own = dict[str, FileCoverage]()
            if column.suite.kind is Kind.KUNIT:
                self._count(replace(column, variant=variant), files, own, progress)
            else:
                self._count_in_guest(column, files, own, progress)
            self._keep_idle(column, coverage.not_run(lines, own))
            coverage.merge(own, counts)
        print_absent(lines, counts.keys())
        patches = coverage.by_patch(lines, counts)
        _print_coverage(patches, [f"{one.name}+gcov" for one in (*on_um, *guests)])
        kept = [_kept_share(one) for one in patches]
        span = measured.span_inputs(self.workspace, self.rows)
        measured.keep_coverage(self.store, span, time.time(), kept)

    def _keep_idle(self, column: Column, lines: Mapping[str, Set[int]]) -> None:
        """Keep what a column does not run, for --mutate; a variant of it is another kernel."""
        if column.variant == Variant():
            root = self.project.root if self.project else None
            span = measured.span_inputs(self.workspace, self.rows)
            cell = measured.cell_inputs(span, column.name, state_of(column.suite, root))
            measured.keep_idle(self.store, cell, time.time(), lines)

    def _count(
        self, column: Column, files: set[str], counts: dict[str, FileCoverage], progress: Progress
    ) -> None:
        """Add what a KUnit suite runs on um."""
        runner = KunitRunner(self.workspace, progress, self.options.jobs)
        column = replace(column, suite=coverage.writing(column.suite))
        build_dir = runner.build_dir(column)
        coverage.clear(build_dir)
        source, _ = self._run_counting(runner, column)
        coverage.collect(build_dir, source, files, counts)

    def _count_in_guest(
        self, column: Column, files: set[str], counts: dict[str, FileCoverage], progress: Progress
    ) -> None:
        """Add what a kselftest suite runs in its guest, of the objects that the series touches."""
        assert self.project, "a kselftest suite is a project's"
        paths = touched(self.workspace, self.rows)
        sources = tuple(p for p in paths if p.endswith(".c") and not p.startswith("tools/"))
        if not sources:
            raise UserError("the series touches no C file that could count in a guest")
        settings = Settings(jobs=self.options.jobs, counted=sources)
        runner = KselftestRunner(self.workspace, progress, self.project.root, settings)
        source, logs = self._run_counting(runner, column)
        tools = architectures.toolchain(architectures.load(column.arch))
        coverage.collect(logs / COUNTS, source, files, counts, f"{tools.prefix}gcov")

    def _run_counting(self, runner: Runner, column: Column) -> tuple[Path, Path]:
        """Run a column's suite on the last row: the source that it ran on, and its logs."""
        tip = self.rows[-1]
        planned = plan(self.workspace, runner, tip, column)
        source = self.workspace.checkout(planned.commit)
        logs = Path(self.workspace.cache.logs) / f"coverage-{planned.key[:16]}"
        attempt = runner.run(column, source, logs, tip.label)
        if attempt.outcome is not Outcome.RAN:
            raise InfraError(
                f"{column.name}: {attempt.outcome.value}: {attempt.detail}",
                f"its output: {attempt.log}",
            )
        return source, logs


def _print_coverage(patches: Sequence[PatchCoverage], columns: Sequence[str]) -> None:
    grid = table("patch", "lines run", "branches taken")
    for one in patches:
        grid.add_row(one.row.label, _share(one.lines), _share(one.branches))
    lines = sum(one.lines[0] for one in patches), sum(one.lines[1] for one in patches)
    branches = sum(one.branches[0] for one in patches), sum(one.branches[1] for one in patches)
    grid.add_row("all", _share(lines), _share(branches))
    out.print(grid)
    for one in patches:
        for line in one.missed:
            out.print(f"not run: {line.file}:{line.number}: {line.text.strip()}", markup=False)
    out.print(f"covered: {_share(lines)} of the lines with code, by {', '.join(columns)}")


def _kept_share(one: PatchCoverage) -> PatchShare:
    missed = tuple(f"{line.file}:{line.number}: {line.text.strip()}" for line in one.missed)
    return PatchShare(one.row.label, one.lines, one.branches, missed)


def _share(of: tuple[int, int]) -> str:
    part, whole = of
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "none"
