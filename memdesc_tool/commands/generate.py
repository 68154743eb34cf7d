"""memdesc-tool generate: make patches from their sources."""

from __future__ import annotations

from pathlib import Path

import click

from memdesc_tool.commands.common import project_option, resolve_base, tree_options
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.errors import ExitStatus, UserError
from memdesc_tool.generate import Generated, generate, write
from memdesc_tool.git import Git, identity
from memdesc_tool.project import Project, find_project
from memdesc_tool.series import Kind, Numbered, Series, read_series, stack_order
from memdesc_tool.workspace import open_workspace


@click.command("generate")
@click.argument("names", metavar="[SERIES]...", nargs=-1)
@tree_options
@click.option("--check", is_flag=True, help="Change nothing; status 1 where patches/ is stale.")
@project_option
@click.pass_context
def generate_command(
    click_context: click.Context,
    names: tuple[str, ...],
    tree_spec: str | None,
    rev: str | None,
    check: bool,
    project: Path | None,
) -> None:
    """Make the patches that come from sources: the suites of kernel-test-modules/.

    Handwritten patches stay as they are.
    """
    context: Context = click_context.obj
    found = find_project(project)
    stale = 0
    for name in names or stack_order(found.patches):
        series = read_series(found.patches / name, incomplete=True)
        for result in _generate(context, found, series, tree_spec, rev, check):
            stale += result.changed
            state = "unchanged" if not result.changed else "stale" if check else "written"
            out.print(f"{name}/{result.entry.patch.path.name}: {state}", markup=False)
    if check and stale:
        click_context.exit(ExitStatus.FAILED)


def _generate(
    context: Context,
    project: Project,
    series: Series,
    tree_spec: str | None,
    rev: str | None,
    check: bool,
) -> tuple[Generated, ...]:
    if not any(entry.kind is not Kind.DIFF for entry in series.entries):
        return ()
    before: tuple[Numbered, ...] = project.stack(series.depends).patches if series.depends else ()
    base = resolve_base(context, tree_spec or series.base or None, rev)
    with open_workspace(context.cache, base, context.progress) as workspace:
        results = generate(
            workspace, project.root, base.commit, before, series, _author(project),
            context.progress,
        )  # fmt: skip
        if not check:
            write(results)
    return results


def _author(project: Project) -> tuple[str, str]:
    """Who writes a new patch; only asked for when there is one."""
    try:
        return identity(Git(project.root))
    except UserError:
        return "", ""
