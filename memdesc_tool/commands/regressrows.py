"""The revisions that regress tests and report tells of."""

from __future__ import annotations

from pathlib import Path

from memdesc_tool.apply import Applied, How, apply_stack
from memdesc_tool.commands.common import commit_span
from memdesc_tool.commands.regressoptions import Selection
from memdesc_tool.console import Progress, warn
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.project import Project, find_project
from memdesc_tool.regress import Row
from memdesc_tool.series import Stack
from memdesc_tool.tree import Base
from memdesc_tool.workspace import Workspace

WITH_RANGE = "--range takes --tree PATH and no series, --upto or --without"


def what_of(options: Selection) -> tuple[Project | None, Stack]:
    """The project and the stack; with --range a project is only needed for suites.

    Raises UserError.
    """
    if options.commit_range:
        if not options.tree_spec or options.names or options.upto:
            raise UserError(WITH_RANGE)
        if not (options.kunitconfigs or options.suites or options.command or options.matrix):
            raise UserError(
                "--range needs to know what to run",
                "give --suite, --kunitconfig, --command or --matrix",
            )
        return find_project(options.project) if options.suites else None, Stack(())
    project = find_project(options.project)
    stack = project.stack(options.names)
    if not stack.patches:
        raise UserError(f"{project.patches} holds no patch")
    return project, stack


def base_revision(options: Selection) -> str | None:
    """The commit of the tree to stand on; None for its HEAD. Raises UserError.

    Of a range it is the one that its first commit stands on: BASE may have gone on since.
    """
    if not options.commit_range:
        return options.rev
    if options.rev:
        raise UserError("give either --range or --rev")
    path, spelled = Path(str(options.tree_spec)), options.commit_range
    base, tip = commit_span(path, spelled)
    git = Git(path)
    commits = git.first_parents(base, tip)
    if not commits:
        raise UserError(f"there is no commit in {spelled}")
    status, below, _ = git.attempt("rev-parse", "--verify", "--quiet", f"{commits[0]}^")
    if status:
        raise UserError(
            f"{spelled.replace('..', ' and ', 1)} have no commit in common in {path}",
            "a shallow clone has to go back to where they part",
        )
    if below.strip() != base:
        warn(f"{spelled} does not stand on {base[:12]}: its base is {below[:12]}")
    return below.strip()


def base_row(base: Base) -> Row:
    """The row of the base, named like its release or its directory."""
    return Row(0, f"base ({Path(base.name).resolve().name})", base.commit)


def rows_of(
    workspace: Workspace, stack: Stack, base: Base, options: Selection, progress: Progress
) -> list[Row]:
    """The base and the state after every patch, or every commit of the range.

    Of a range, each is the first parent of the next: what a merge brings in is the merge's.
    Raises UserError, and FailedError where a patch does not apply.
    """
    first = base_row(base)
    if options.commit_range:
        tip = commit_span(Path(str(options.tree_spec)), options.commit_range)[1]
        git = workspace.scratch
        commits = git.first_parents(base.commit, tip)
        subjects = [git.subject(commit) for commit in commits]
        rows = zip(commits, subjects, strict=True)
        return [first, *(Row(n, f"{n}. {s}", one, s) for n, (one, s) in enumerate(rows, 1))]
    applied = apply_stack(workspace, base.commit, stack.up_to(options.upto), progress)
    return [first, *(_row(one, stack) for one in applied)]


def _row(applied: Applied, stack: Stack) -> Row:
    there = f" ({How.ALREADY.value})" if applied.how is How.ALREADY else ""
    numbered = applied.numbered
    return Row(numbered.number, numbered.label + there, applied.commit, stack.place(numbered))
