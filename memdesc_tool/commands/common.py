"""Options and lookups that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from memdesc_tool import tree
from memdesc_tool.cache import write_atomic
from memdesc_tool.console import warn
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.git import Git
from memdesc_tool.series import Stack
from memdesc_tool.tree import Base

AnyCommand = Callable[..., Any]

DEFAULT_RELEASE = "7.3"


def tree_options(command: AnyCommand) -> AnyCommand:
    """--tree and --rev."""
    command = click.option(
        "--rev", metavar="REV", help="Commit of the tree to stand on [default: HEAD]."
    )(command)
    return click.option(
        "--tree",
        "tree_spec",
        metavar="T",
        help="A git tree (never written to) or a release such as 7.3, obtained once "
        "[default: the release that the series names, else 7.3].",
    )(command)


def project_option(command: AnyCommand) -> AnyCommand:
    """--project."""
    return click.option(
        "--project",
        type=click.Path(path_type=Path, file_okay=False),
        help="Directory with patches/ in it [default: the one around the working directory].",
    )(command)


def resolve_base(
    context: Context, spec: str | None, revision: str | None, stack: Stack | None = None
) -> Base:
    """The base that the options ask for."""
    if spec is None:
        named = {series.base for series in stack.series if series.base} if stack else set()
        if len(named) > 1:
            raise UserError(
                f"the series name several bases: {', '.join(sorted(named))}", "choose with --tree"
            )
        spec = named.pop() if named else DEFAULT_RELEASE
    return tree.resolve(spec, context.cache, context.progress, revision=revision)


def commit_span(tree_path: Path, commit_range: str) -> tuple[str, str]:
    """The object ids of both ends of "BASE..TIP" (TIP: HEAD where left out). UserError."""
    base, separator, tip = commit_range.partition("..")
    if not separator or not base or tip.startswith("."):
        raise UserError(f"{commit_range} is no range of commits", "write it BASE..TIP")
    git = Git(tree_path)
    return git.commit(base), git.commit(tip or "HEAD")


def warn_of_changes(tree_path: Path) -> None:
    """Say so where a tree of the user's has changes that a run of its HEAD does not see."""
    if changes := tree.uncommitted(Git(tree_path)):
        warn(f"{tree_path}: {changes} uncommitted changes are not in this run (HEAD is built)")


def write_file(path: Path, data: bytes) -> None:
    """Write what an option asks for to its file, all or nothing. UserError."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
