"""What tells good from bad in a bisection: the user's command, or a KUnit suite on an arch."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from memdesc_tool.baseline import RUN, is_case
from memdesc_tool.bisect import Predicate
from memdesc_tool.bisectcommand import Command, CommandPredicate, find_command
from memdesc_tool.bisectkernel import KernelPredicate, Wanted
from memdesc_tool.commands.bisectoptions import Options
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.kunitrun import KunitRunner
from memdesc_tool.project import find_project
from memdesc_tool.readsuite import find_suites
from memdesc_tool.regress import Column
from memdesc_tool.results import open_store
from memdesc_tool.suites import Kind, Suite, tree_suite
from memdesc_tool.tree import Base
from memdesc_tool.workspace import Workspace

DEFAULT_ARCH = "um"
"""Where kunit runs unless told otherwise."""


@dataclass(frozen=True)
class CommandJudge:
    """A command judges."""

    options: Options
    command: Command
    repository: Path

    @property
    def name(self) -> str:
        return shlex.join(self.options.command)

    def inputs(self, _context: Context, _workspace: Workspace) -> object:
        """What is run, as far as it is known: the words, and the user's own script."""
        return [*self.command.argv, self.command.digest]

    @contextmanager
    def predicate(self, context: Context, workspace: Workspace, logs: Path) -> Iterator[Predicate]:
        command, options = self.command, self.options
        if command.own and command.argv != options.command:
            context.progress.note(f"a script of yours, the same at each commit: {command.own}")
        yield CommandPredicate(workspace, command, logs, self.repository, context.progress,
                               options.deadline, options.any_failure)  # fmt: skip

    def reproducer(self, commit: str, _patch: int | None, _sought: str) -> str:
        """A command that shows the failure at a commit, at the top of the tree."""
        return f"git checkout {commit[:12]} && {shlex.join(self.command.argv)}"


@dataclass(frozen=True)
class SuiteJudge:
    """A suite judges."""

    options: Options
    column: Column

    @property
    def name(self) -> str:
        return str(self.options.suite)

    def inputs(self, context: Context, workspace: Workspace) -> object:
        """All that could change what the suite says of a tree."""
        inputs = KunitRunner(workspace, context.progress).inputs(self.column, "")
        return [sorted(inputs.items()), self.column.suite.digest]

    @contextmanager
    def predicate(self, context: Context, workspace: Workspace, _logs: Path) -> Iterator[Predicate]:
        options = self.options
        with open_store(context.cache.results) as store:
            yield KernelPredicate(
                workspace, store, self.column, context.progress,
                Wanted(options.case or "", options.any_failure), options.overlay, options.rerun,
                options.jobs,
            )  # fmt: skip

    def reproducer(self, commit: str, patch: int | None, sought: str) -> str:
        """A command that shows the failure at a commit; patch: its number, of a series'."""
        options, suite = self.options, self.column.suite
        words = ["memdesc-tool", "kunit"]
        words += ["--project", str(options.project)] if options.project else []
        words += ["--tree", options.tree_spec] if options.tree_spec else []
        if patch is None:
            words += ["--rev", commit[:12]]
        else:
            words += ["--rev", options.rev] if options.rev else []
            words += [word for name in options.series for word in ("--series", name)]
            words += ["--upto", str(patch)]
        words += ["--arch", self.column.arch] if self.column.arch != DEFAULT_ARCH else []
        words += [word for path in options.kunitconfigs for word in ("--kunitconfig", str(path))]
        words += [] if suite.of_tree else ["--suite", suite_name(options)]
        words += [] if options.overlay else ["--no-overlay"]
        if sought and is_case(sought) and not sought.startswith(RUN):
            words.append(".".join(sought.split(".")[:2]))
        elif suite.of_tree and suite.filter != "*":
            words.append(suite.filter)
        return shlex.join(words)


Judge = CommandJudge | SuiteJudge


def find_judge(options: Options, base: Base) -> Judge:
    """What the options ask for. Raises UserError where it is not there, or cannot be run."""
    if options.suite:
        suite = _suite(options)
        return SuiteJudge(options, Column(suite, options.arch or suite.arches[0]))
    command = find_command(options.command, base.repository, base.commit, Path.cwd())
    return CommandJudge(options, command, base.repository)


def suite_name(options: Options) -> str:
    """The name that --suite gives, without the kind."""
    kind, colon, name = (options.suite or "").partition(":")
    return name if colon else kind


def _suite(options: Options) -> Suite:
    """The suite that --suite names: of the project, or of the tree with --kunitconfig."""
    kind, colon, _ = (options.suite or "").partition(":")
    if colon and kind != Kind.KUNIT.value:
        raise UserError(f"--suite {options.suite}: only kunit:NAME can be bisected",
                        "give a command that runs it")  # fmt: skip
    name = suite_name(options)
    if options.kunitconfigs:
        return tree_suite(options.kunitconfigs, name)
    return find_suites(find_project(options.project).root, [name], Kind.KUNIT)[0]
