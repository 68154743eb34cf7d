"""memdesc-tool bench walk: how long a walk takes, with the tool and without."""

from __future__ import annotations

from pathlib import Path

import click

from memdesc_tool.apply import apply_stack
from memdesc_tool.benchwalk import WalkBench
from memdesc_tool.build import usable_cpus
from memdesc_tool.cells import Column, Row
from memdesc_tool.commands.common import project_option, resolve_base, tree_options
from memdesc_tool.commands.completion import complete_series
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.errors import UserError
from memdesc_tool.project import find_project
from memdesc_tool.readsuite import suites_of
from memdesc_tool.suites import Kind
from memdesc_tool.workspace import open_workspace


@click.command("walk")
@click.argument("names", metavar="[SERIES]...", nargs=-1, shell_complete=complete_series)
@tree_options
@click.option("--upto", type=int, metavar="N", help="The first N patches of the stack only.")
@click.option(
    "--place",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="An empty directory for both sides (6 GB); it stays.",
)
@click.option("--jobs", type=click.IntRange(1), help="Jobs of make [default: all cores].")
@project_option
@click.pass_obj
def walk_command(
    context: Context,
    names: tuple[str, ...],
    tree_spec: str | None,
    rev: str | None,
    upto: int | None,
    place: Path,
    jobs: int | None,
    project: Path | None,
) -> None:
    """Walk the stack with `regress`, and with `git rebase --exec` and the tree's kunit.py.

    Prints how long our walk takes as a share of the other (cold), when nothing has changed,
    when a message in the middle has, and when the last patch has, as a share of the other.
    """
    found = find_project(project)
    stack = found.stack(names)
    suites = suites_of(found.root, stack.suites, Kind.KUNIT)
    if not suites or not stack.patches:
        raise UserError("bench walk needs a series with patches and a KUnit suite")
    base = resolve_base(context, tree_spec, rev, stack)
    with open_workspace(context.cache, base, context.progress) as workspace:
        applied = apply_stack(workspace, base.commit, stack.up_to(upto), context.progress)
        rows = [Row(0, "base", base.commit)]
        rows += [Row(one.numbered.number, one.numbered.label, one.commit) for one in applied]
        figures = WalkBench(
            workspace, rows, Column(suites[0], "um"), place.absolute(), found.root,
            jobs or usable_cpus(), context.progress,
        ).run()  # fmt: skip
    for line in figures.lines():
        out.print(line)
