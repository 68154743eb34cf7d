"""What memdesc-tool regress is to test: from a matrix file, or from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from memdesc_tool import toolage
from memdesc_tool.cells import Column, Strategy
from memdesc_tool.commands.regressoptions import DEFAULT_MATRIX, Selection
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.matrix import DEFAULT, MATRIX_FILE, Skipped, read_matrix, told_apart
from memdesc_tool.project import Project
from memdesc_tool.readsuite import find_suite, suites_of
from memdesc_tool.series import Stack
from memdesc_tool.suites import Kind, Suite, tree_suite
from memdesc_tool.tree import Base

COMMAND_TIMEOUT = 3600
"""Seconds that --command may take for a revision."""


def columns_of(
    project: Project | None, stack: Stack, options: Selection, base: Base, *, machines: bool
) -> tuple[tuple[Column, ...], tuple[Skipped, ...]]:
    """What is to be tested on a base, and what this machine has no toolchain for.

    machines: kselftest suites of the series, too. Raises UserError.
    """
    if options.matrix:
        return _of_matrix(project, stack, options, base)
    suites = _suites(project, stack, options, machines=machines)
    if not suites:
        raise UserError(
            "no suite is named by the series",
            "give --suite, --kunitconfig and --filter, --command or --matrix",
        )
    columns = [
        Column(suite, arch, _strategy(suite, options))
        for suite in suites
        for arch in _arches(suite, options)
    ]
    if not columns:
        raise UserError(f"no suite runs on {', '.join(options.arches)}", "choose another --arch")
    return told_apart(columns), ()


def _of_matrix(
    project: Project | None, stack: Stack, options: Selection, base: Base
) -> tuple[tuple[Column, ...], tuple[Skipped, ...]]:
    suites = _suites(project, stack, options, machines=True)
    own = project.patches / MATRIX_FILE if project else None
    if options.matrix != DEFAULT_MATRIX:
        path = Path(str(options.matrix))
    else:
        path = own if own and own.exists() else DEFAULT
    script = Git(base.repository).blob(base.commit, toolage.SCRIPT) or b""
    matrix = read_matrix(path, suites, options.arches, script.decode(errors="replace"))
    columns = matrix.columns
    if options.strategy:
        strategy = Strategy(options.strategy)
        columns = tuple(replace(column, strategy=strategy) for column in columns)
    return columns, matrix.skipped


def _strategy(suite: Suite, options: Selection) -> Strategy:
    if options.strategy:
        return Strategy(options.strategy)
    if suite.kind is Kind.KSELFTEST and not options.every:
        return Strategy.ENDS
    return Strategy.EVERY


def _arches(suite: Suite, options: Selection) -> tuple[str, ...]:
    """Where a suite runs. A kselftest takes of --arch what it says that it runs on, perhaps
    nothing: another --arch is meant for the others.
    """
    if suite.kind is Kind.COMMAND:
        return suite.arches
    if suite.kind is Kind.KUNIT or not options.arches:
        return options.arches or suite.arches
    return tuple(arch for arch in options.arches if arch in suite.arches)


def _suites(
    project: Project | None, stack: Stack, options: Selection, *, machines: bool
) -> list[Suite]:
    """The suites that the options name; machines: kselftest suites, too."""
    if options.command:
        return [_command(options.command)]
    if options.kunitconfigs:
        if options.suites:
            raise UserError("give either --suite or --kunitconfig")
        return [tree_suite(options.kunitconfigs, options.filter_glob or "")]
    if options.filter_glob:
        raise UserError("--filter needs --kunitconfig", "a suite has a filter of its own")
    if project is None:
        return []
    if options.suites:
        return [find_suite(project.root, name) for name in options.suites]
    kinds = [Kind.KUNIT, Kind.COMMAND]
    if machines:
        kinds.append(Kind.KSELFTEST)
    return list(suites_of(project.root, stack.suites, *kinds))


def _command(words: str) -> Suite:
    """The suite that --command stands for."""
    return Suite(
        name="command",
        directory=Path.cwd(),
        title=words,
        filter="",
        configs=(),
        arches=("host",),
        kind=Kind.COMMAND,
        command=("sh", "-c", words),
        timeout=COMMAND_TIMEOUT,
    )
