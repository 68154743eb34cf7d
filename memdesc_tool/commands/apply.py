"""memdesc-tool apply: put the stack on a base."""

from __future__ import annotations

from pathlib import Path

import click

from memdesc_tool.apply import How, apply_stack, make_branch
from memdesc_tool.commands.common import project_option, resolve_base, tree_options
from memdesc_tool.commands.completion import complete_series
from memdesc_tool.console import out, warn
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.project import find_project
from memdesc_tool.workspace import open_free_workspace


@click.command()
@click.argument("names", metavar="[SERIES]...", nargs=-1, shell_complete=complete_series)
@tree_options
@click.option("--upto", type=int, metavar="N", help="Apply the first N patches of the stack only.")
@click.option("--branch", metavar="NAME", help="Leave the result as this new branch of the tree.")
@click.option("--signoff", is_flag=True, help="Sign off with your git identity (with --branch).")
@project_option
@click.pass_obj
def apply(
    context: Context,
    names: tuple[str, ...],
    tree_spec: str | None,
    rev: str | None,
    upto: int | None,
    branch: str | None,
    signoff: bool,
    project: Path | None,
) -> None:
    """Apply the stack (or SERIES and what they depend on) to a base.

    The patches go in with `git am -3` in a worktree of the tool's own; your tree, its index
    and its uncommitted changes stay as they are. Nothing is left in it but the branch that
    --branch asks for. Exit status 1 where a patch does not apply.
    """
    stack = find_project(project).stack(names)
    patches = stack.up_to(upto)
    base = resolve_base(context, tree_spec, rev, stack)
    if branch and not base.users:
        raise UserError(
            f"--branch needs a tree of yours, {base.name} is in the cache", "--tree PATH"
        )
    if signoff and not branch:
        raise UserError("--signoff needs --branch", "only a branch of yours is signed off")
    with open_free_workspace(context.cache, base, context.progress) as workspace:
        applied = apply_stack(workspace, base.commit, patches, context.progress)
        for one in applied:
            how = "" if one.how is How.APPLIED else f" ({one.how.value})"
            out.print(f"{one.commit[:12]}  {one.numbered.label}{how}", markup=False)
            for change in one.numbered.patch.mode_changes:
                out.print(f"{'':12}  {change}", markup=False)
        if branch:
            commits = [one.commit for one in applied if one.how is not How.ALREADY]
            made = make_branch(
                workspace, Path(str(tree_spec)), branch, base.commit, commits, signoff=signoff
            )
            out.print(f"branch {branch} is {made.commit[:12]}", markup=False)
            for subject in made.unresolved:
                warn(f'{base.name} has no single commit "{subject}": its Fixes: hash stays zero')
    out.print(f"{len(applied)} patches apply to {base.origin}", markup=False)
