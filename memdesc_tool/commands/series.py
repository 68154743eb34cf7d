"""memdesc-tool series: list, show and export series; new, reroll and diff are beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from memdesc_tool.commands.common import commit_span, project_option
from memdesc_tool.commands.completion import complete_series
from memdesc_tool.commands.seriesnew import new_command
from memdesc_tool.commands.seriesreroll import diff_command, reroll_command
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.export import plan_export, write_export
from memdesc_tool.git import find_repository
from memdesc_tool.project import find_project, refuse_shipped
from memdesc_tool.scratch import scratch_repository
from memdesc_tool.series import NAME, read_series


@click.group()
def series() -> None:
    """List, show, begin, export, reroll and compare the series in patches/."""


@series.command("list")
@project_option
def list_series(project: Path | None) -> None:
    """List the series in the order in which they are applied."""
    found = find_project(project)
    for one in found.stack().series:
        out.print(f"{one.name:16} v{one.revision}  {len(one.entries):3} patches  {one.title}",
                  markup=False)  # fmt: skip
        if one.missing:
            hint = f"{len(one.missing)} not there yet: memdesc-tool generate {one.name}"
            out.print(f"{'':21} {hint}", markup=False)


@series.command()
@click.argument("names", metavar="[SERIES]...", nargs=-1, shell_complete=complete_series)
@project_option
def show(names: tuple[str, ...], project: Path | None) -> None:
    """Show the patches of the stack (or of SERIES and what they depend on) with their numbers."""
    stack = find_project(project).stack(names)
    shown = ""
    for numbered in stack.patches:
        if numbered.series != shown:
            shown = numbered.series
            title = next(one.title for one in stack.series if one.name == shown)
            out.print(f"{shown}: {title}", markup=False)
        out.print(f"  {numbered.label}", markup=False)


@series.command()
@click.argument("name", metavar="SERIES", shell_complete=complete_series)
@click.argument("commit_range", metavar="BASE..TIP")
@click.option(
    "--tree",
    "tree_path",
    metavar="PATH",
    required=True,
    type=click.Path(path_type=Path),
    help="The git tree that the commits are in.",
)
@click.option("--dry-run", is_flag=True, help="Say what would change, change nothing.")
@project_option
@click.pass_obj
def export(
    context: Context,
    name: str,
    commit_range: str,
    tree_path: Path,
    dry_run: bool,
    project: Path | None,
) -> None:
    """Write the commits BASE..TIP to patches/SERIES.

    A series that has not changed is written byte for byte as it was.
    """
    found = find_project(project)
    if not NAME.fullmatch(name):
        raise UserError(f"{name} is no name for a series", "letters, digits, '.', '_', '-'")
    directory = found.patches / name
    refuse_shipped(directory)
    repository = find_repository(tree_path)
    base, tip = commit_span(tree_path, commit_range)
    # Read through a repository of our own: the user's configuration has no say.
    with tempfile.TemporaryDirectory(dir=context.cache.root, prefix="export.") as scratch:
        plan = plan_export(
            scratch_repository(Path(scratch) / "git", repository), base, tip, directory
        )
    for verb, names in (("new", plan.added), ("changed", plan.changed), ("removed", plan.removed)):
        for file in names:
            out.print(f"{verb:8} {file}", markup=False)
    if plan.unchanged:
        out.print(f"{name}: {len(plan.patches)} patches, nothing changed", markup=False)
    elif not dry_run:
        write_export(plan)
        read_series(directory)
        out.print(f"{name}: {len(plan.patches)} patches written to {directory}", markup=False)


series.add_command(new_command)
series.add_command(reroll_command)
series.add_command(diff_command)
