"""Cells of a regression run made by KUnit: what goes into the store for a kunit.run()."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool import arch as architectures
from memdesc_tool import kunit, qemu
from memdesc_tool.baseline import SPLAT
from memdesc_tool.build import usable_cpus
from memdesc_tool.cells import Column
from memdesc_tool.console import Progress
from memdesc_tool.consolelog import ConsoleReport
from memdesc_tool.errors import InfraError
from memdesc_tool.excerpt import shortened
from memdesc_tool.kunit import KunitRequest, KunitResult
from memdesc_tool.reading import files_read
from memdesc_tool.results import Attempt, Outcome, Result, Verdict
from memdesc_tool.workspace import Workspace

OUTCOMES = {
    kunit.Outcome.PASSED: Outcome.RAN,
    kunit.Outcome.FAILED: Outcome.RAN,
    kunit.Outcome.NO_TESTS: Outcome.NO_TESTS,
    kunit.Outcome.DIED: Outcome.DIED,
    kunit.Outcome.TIMEOUT: Outcome.TIMEOUT,
    kunit.Outcome.BUILD_FAILED: Outcome.BUILD_FAILED,
    kunit.Outcome.CONFIG_FAILED: Outcome.CONFIG_FAILED,
}


class NotBootedError(InfraError):
    """A kernel was built and never said a word."""


@dataclass(frozen=True)
class KunitRunner:
    """Runs cells with kunit.run(); see regress.Runner."""

    workspace: Workspace
    progress: Progress
    jobs: int | None = None

    def inputs(self, column: Column, tree: str) -> Mapping[str, str]:
        """All that could change the outcome of a column on a tree."""
        arch = architectures.load(column.arch)
        return {
            "kind": "kunit",
            "tree": tree,
            "arch": arch.name,
            "arch config": arch.kconfig.key,
            "config": column.fragment.key,
            "toolchain": architectures.toolchain(arch, column.variant.make_options).key,
            "machine": qemu.version(arch.qemu) if arch.qemu else "",
            "filter": column.suite.filter,
            "command line": " ".join((*arch.kernel_args, *column.suite.kernel_args)),
            "timeout": str(column.suite.timeout),
            **column.variant.inputs,
        }

    def run(self, column: Column, source: Path, log_dir: Path, label: str) -> Attempt:
        """Build and run the suite. Raises InfraError where the kernel never booted."""
        started = time.time()
        result = kunit.run(
            self.request(column, source, log_dir), self.workspace.cache, self.progress, label
        )
        if result.outcome is kunit.Outcome.NOT_BOOTED:
            log = result.boot.log if result.boot else log_dir
            raise NotBootedError(
                f"{column.name}: {'; '.join(result.reasons)}", f"its output: {log}"
            )
        return attempt_of(result, started)

    def reading(self, column: Column, source: Path) -> frozenset[str] | None:
        """What the kernel in the column's build directory was made of."""
        return files_read(self.build_dir(column), source)

    def build_dir(self, column: Column) -> Path:
        """Where the kernel of a column is built."""
        arch = architectures.load(column.arch)
        options = column.variant.make_options
        return kunit.build_directory(self.workspace.builds, arch, column.fragment, options)

    def request(self, column: Column, source: Path, log_dir: Path) -> KunitRequest:
        arch, fragment = architectures.load(column.arch), column.fragment
        return KunitRequest(
            source=source,
            arch=arch,
            fragment=fragment,
            build_dir=self.build_dir(column),
            log_dir=log_dir,
            filter_glob=column.suite.filter,
            kernel_args=column.suite.kernel_args,
            make_options=column.variant.make_options,
            jobs=self.jobs or usable_cpus(),
            timeout=column.suite.timeout,
        )


def attempt_of(result: KunitResult, started: float) -> Attempt:
    """What the store keeps of a run."""
    log = result.boot.log if result.boot else result.build.log
    return Attempt(
        outcome=OUTCOMES[result.outcome],
        results=tuple(results_of(result.report)) if result.report else (),
        started=started,
        seconds=result.seconds,
        log=str(log),
        detail="; ".join(result.reasons),
    )


def results_of(report: ConsoleReport) -> Iterator[Result]:
    """A result for every case and every splat of a console."""
    for case in report.document.cases:
        if case.status.failed:
            verdict = Verdict.FAILED
        else:
            verdict = Verdict.SKIPPED if case.status.skipped else Verdict.PASSED
        said = case.status.value
        if verdict is Verdict.SKIPPED and case.text:
            said = shortened(f"{said}: {case.text.removeprefix('SKIP').strip()}")
        yield Result(case.id, verdict, said)
    seen: set[str] = set()
    for splat in report.splats:
        if splat.fingerprint not in seen:
            seen.add(splat.fingerprint)
            where = f"in {splat.case}" if splat.case else "outside of any case"
            yield Result(f"{SPLAT}{splat.fingerprint}", Verdict.FAILED, where)
