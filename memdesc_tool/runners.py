"""The runner of every kind of suite, as one (see filling.Runner)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from memdesc_tool.cells import Column, Row
from memdesc_tool.commandrun import CommandRunner
from memdesc_tool.compilerun import CompileRunner
from memdesc_tool.console import Progress
from memdesc_tool.filling import Runner
from memdesc_tool.kselftestrun import KselftestRunner, Settings
from memdesc_tool.kunitrun import KunitRunner
from memdesc_tool.results import Attempt
from memdesc_tool.suites import Kind
from memdesc_tool.workspace import Workspace


@dataclass(frozen=True)
class Runners:
    """A runner for every kind of suite."""

    by_kind: Mapping[Kind, Runner]

    def inputs(self, column: Column, tree: str) -> Mapping[str, str]:
        return self._of(column).inputs(column, tree)

    def run(self, column: Column, source: Path, log_dir: Path, label: str) -> Attempt:
        return self._of(column).run(column, source, log_dir, label)

    def reading(self, column: Column, source: Path) -> frozenset[str] | None:
        return self._of(column).reading(column, source)

    def _of(self, column: Column) -> Runner:
        return self.by_kind[column.suite.kind]


def runners(
    workspace: Workspace,
    progress: Progress,
    root: Path | None,
    rows: Iterable[Row],
    jobs: int | None,
    *,
    until_failure: bool = False,
) -> Runners:
    """What runs the cells of these rows, if any; root: the project, without which there are
    no kselftest suites; jobs: of make; until_failure: of guests (kselftestrun.Settings).
    """
    every = list(rows)
    paths = touched(workspace, every)
    left = tuple(workspace.scratch.modes(every[-1].commit, paths)) if every else ()
    by_kind: dict[Kind, Runner] = {
        Kind.KUNIT: KunitRunner(workspace, progress, jobs),
        Kind.COMPILE: CompileRunner(workspace, progress, paths, jobs, left),
        Kind.COMMAND: CommandRunner(workspace, progress),
    }
    if root:
        settings = Settings(jobs=jobs, until_failure=until_failure)
        by_kind[Kind.KSELFTEST] = KselftestRunner(workspace, progress, root, settings)
    return Runners(by_kind)


def touched(workspace: Workspace, rows: Iterable[Row]) -> tuple[str, ...]:
    """The files that any row changes, in the row before it."""
    found: set[str] = set()
    commits = [row.commit for row in rows]
    for old, new in pairwise(commits):
        out = workspace.scratch.run(
            "diff-tree", "-r", "-z", "--no-renames", "--name-only", old, new
        )
        found.update(path for path in out.split("\0") if path)
    return tuple(sorted(found))
