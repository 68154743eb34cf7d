"""regress --mutate and --coverage: how strong the suites of a series are."""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from memdesc_tool import arch as architectures
from memdesc_tool import coverage, measured, mutate
from memdesc_tool.addedlines import AddedLine, added_lines
from memdesc_tool.arch import DATA
from memdesc_tool.baseline import BAD, cases_of, compare
from memdesc_tool.cells import Column, Row, Variant
from memdesc_tool.commands.regressoptions import Options
from memdesc_tool.console import Progress, out
from memdesc_tool.coverage import FileCoverage, PatchCoverage
from memdesc_tool.equivalent import Equivalent, read_equivalents
from memdesc_tool.errors import FailedError, InfraError, UserError
from memdesc_tool.filling import Patience, Runner, plan
from memdesc_tool.kselftestrun import COUNTS, KselftestRunner, Settings
from memdesc_tool.kunitrun import KunitRunner, NotBootedError
from memdesc_tool.lane import Meter
from memdesc_tool.measured import Mutants, PatchShare, Survivor
from memdesc_tool.mutate import Fate, Mutant
from memdesc_tool.project import Project
from memdesc_tool.regress import run_one
from memdesc_tool.results import Attempt, Outcome, Store
from memdesc_tool.runners import runners, touched
from memdesc_tool.suites import Kind
from memdesc_tool.workspace import Workspace

LEAST_SECONDS, SLOWER = 30, 5
"""A mutant hangs that takes longer than this, and than so many times the unharmed kernel."""


@dataclass(frozen=True)
class Strength:
    """Measures the suites of these columns on the last of the rows."""

    workspace: Workspace
    store: Store
    project: Project | None
    rows: list[Row]
    columns: tuple[Column, ...]
    options: Options

    def measure(self, progress: Progress) -> bool:
        """Print what --mutate and --coverage ask for. True: nothing in it is a failure."""
        kunit = [column for column in self.columns if column.suite.kind is Kind.KUNIT]
        guests = [column for column in self.columns if column.suite.kind is Kind.KSELFTEST]
        if not kunit and not guests:
            raise UserError("mutants and coverage need a suite", "give --suite")
        if self.options.mutate:
            self._mutate([*kunit, *guests], progress)
        if self.options.coverage:
            self._cover(kunit, guests, progress)
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

    # -- mutants -----------------------------------------------------------------------

    def _mutate(self, columns: Sequence[Column], progress: Progress) -> None:
        tip = self.rows[-1]
        argued = read_equivalents(self.project.patches) if self.project else ()
        unharmed = [self._unharmed(column, progress) for column in columns]
        lines = self._added(columns)
        built = self._built({line.file for line in lines}, columns, progress)
        here = [line for line in lines if line.file in built]
        every = mutate.mutants(self.workspace.scratch, tip, here)
        chosen = mutate.sample(every, self.options.sample, self.options.seed)
        out.print(
            f"{len(chosen)} of {len(every)} mutants of {len(here)} added lines"
            f" (seed {self.options.seed})"
        )
        _print_absent(lines, {line.file for line in here})
        meter = Meter(len(chosen))
        fates = []
        for number, mutant in enumerate(chosen, 1):
            row = mutate.plant(self.workspace, tip, mutant, number)
            label = replace(row, label=f"{meter} {row.label}")
            fate = self._fate(mutant, label, columns, unharmed, progress)
            reason = next((one.reason for one in argued if one.covers(mutant)), "")
            fates.append(replace(fate, argued=reason))
            meter.done += 1
        _print_stale(argued, every)
        _print_fates(fates)
        kept = _kept_mutants(fates, len(every), self.options.seed)
        measured.keep_mutants(self.store, self._span(), time.time(), kept)

    def _built(self, files: Set[str], columns: Sequence[Column], progress: Progress) -> Set[str]:
        """Those of the files that the kernels of some column are made of, as far as it is known."""
        built: set[str] = set()
        for column in columns:
            if column.suite.kind is Kind.KUNIT:
                read = self.store.reading(self._key(column, progress))
                built |= files & read if read else files
            elif self.project:
                runner = KselftestRunner(self.workspace, progress, self.project.root)
                built |= {path for path in files if runner.builds(column, path)}
        return built

    def _span(self) -> dict[str, str]:
        return measured.span_inputs(self.workspace, self.rows)

    def _unharmed(self, column: Column, progress: Progress) -> tuple[Attempt, ...]:
        attempts = self._run(self.rows[-1], column, progress)
        if any(attempt.outcome is not Outcome.RAN for attempt in attempts):
            raise FailedError(
                f"{column.name}: the series itself does not run: {attempts[-1].detail}",
                "memdesc-tool regress says since which patch",
            )
        return attempts

    def _key(self, column: Column, progress: Progress) -> str:
        runner = KunitRunner(self.workspace, progress, self.options.jobs)
        return plan(self.workspace, runner, self.rows[-1], column).key

    def _run(self, row: Row, column: Column, progress: Progress) -> tuple[Attempt, ...]:
        root = self.project.root if self.project else None
        every = runners(self.workspace, progress, root, self.rows, self.options.jobs)
        patience = Patience(retries=0)
        return run_one(self.workspace, self.store, every, row, column, patience=patience)

    def _fate(
        self,
        mutant: Mutant,
        row: Row,
        columns: Sequence[Column],
        unharmed: Sequence[tuple[Attempt, ...]],
        progress: Progress,
    ) -> Fate:
        """Run the suites until one notices."""
        for column, before in zip(columns, unharmed, strict=True):
            seconds = max(attempt.seconds for attempt in before)
            limit = min(column.suite.timeout, max(LEAST_SECONDS, int(SLOWER * seconds)))
            hasty = replace(column, suite=replace(column.suite, timeout=limit))
            try:
                attempts = self._run(row, hasty, progress)
            except NotBootedError:
                return Fate(mutant, True, f"{column.name}: does not boot")
            if any(one.outcome is Outcome.BUILD_FAILED for one in attempts):
                return Fate(mutant, False, "")
            changes = compare(cases_of(before), cases_of(attempts))
            if case := next((name for name, one in changes.items() if one in BAD), ""):
                return Fate(mutant, True, f"{column.name}: {case}")
        return Fate(mutant, True, "")

    # -- coverage ----------------------------------------------------------------------

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
        for column in (replace(one, variant=variant) for one in on_um):
            self._count(column, files, counts, progress)
        for column in guests:
            in_guest = dict[str, FileCoverage]()
            self._count_in_guest(column, files, in_guest, progress)
            coverage.merge(in_guest, counts)
        _print_absent(lines, counts.keys())
        patches = coverage.by_patch(lines, counts)
        _print_coverage(patches, [f"{one.name}+gcov" for one in (*on_um, *guests)])
        kept = [_kept_share(one) for one in patches]
        measured.keep_coverage(self.store, self._span(), time.time(), kept)

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


def _print_absent(lines: Sequence[AddedLine], here: Set[str]) -> None:
    """Say which sources the kernels of this run were not made of."""
    for file in sorted({line.file for line in lines} - here):
        if file.endswith(".c"):
            count = sum(line.file == file for line in lines)
            out.print(f"not built here: {file}, {count} added lines", markup=False)


def _table(*columns: str) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold", max_width=64)
    return grid


def _print_fates(fates: Sequence[Fate]) -> None:
    grid = _table("mistake", "mutants", "compile", "noticed")
    score = mutate.score(fates)
    for operator, numbers in sorted(score.items()):
        grid.add_row(operator, *map(str, numbers))
    every, built, noticed = (sum(numbers[i] for numbers in score.values()) for i in range(3))
    grid.add_row("all", str(every), str(built), str(noticed))
    out.print(grid)
    for fate in fates:
        if fate.argued and fate.noticed:
            _print_fate("is noticed, its reason can go", fate)
        elif fate.built and fate.argued:
            _print_fate("changes nothing", fate)
            out.print(f"    {fate.argued}", markup=False)
        elif fate.counts and not fate.noticed:
            _print_fate("no suite notices", fate)
    argued = sum(fate.built and not fate.counts for fate in fates)
    beside = f" and change something ({argued} do not)" if argued else ""
    share = f", {noticed / built:.0%}" if built else ""
    out.print(f"noticed: {noticed} of {built} mutants that compile{beside}{share}")


def _print_fate(what: str, fate: Fate) -> None:
    out.print(f"{what}: {fate.mutant.label}", markup=False)
    out.print(f"    {fate.mutant.line.row.label}", markup=False)
    if fate.mutant.text.strip() != ";":
        out.print(f"    became: {fate.mutant.text.strip()}", markup=False)


def _print_stale(argued: Sequence[Equivalent], every: Sequence[Mutant]) -> None:
    """Say which entries of mutants.toml are about no mutant, or about several."""
    for one in argued:
        count = sum(one.covers(mutant) for mutant in every)
        if count != 1:
            where = "no mutant is" if not count else f"{count} mutants are"
            out.print(f"mutants.toml: {where} {one.file}: {one.line} -> {one.became}", markup=False)


def _print_coverage(patches: Sequence[PatchCoverage], columns: Sequence[str]) -> None:
    grid = _table("patch", "lines run", "branches taken")
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


def _kept_mutants(fates: Sequence[Fate], total: int, seed: int) -> Mutants:
    built = [fate for fate in fates if fate.counts]
    silent = [fate.mutant for fate in built if not fate.noticed]
    survivors = tuple(Survivor(one.line.row.label, one.label, one.text.strip()) for one in silent)
    argued = sum(fate.built and not fate.counts for fate in fates)
    return Mutants(total, len(fates), len(built), len(built) - len(silent), seed, survivors, argued)


def _kept_share(one: PatchCoverage) -> PatchShare:
    missed = tuple(f"{line.file}:{line.number}: {line.text.strip()}" for line in one.missed)
    return PatchShare(one.row.label, one.lines, one.branches, missed)


def _share(of: tuple[int, int]) -> str:
    part, whole = of
    return f"{part} of {whole} ({part / whole:.0%})" if whole else "none"
