"""memdesc-tool report: what the store has of a series, for people to look at."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import click

from memdesc_tool import formats, reportpage, reporttext
from memdesc_tool.baseline import read_known
from memdesc_tool.commands.common import resolve_base, write_file
from memdesc_tool.commands.completion import complete_series
from memdesc_tool.commands.regresscolumns import columns_of
from memdesc_tool.commands.regressoptions import Selection, selection_options
from memdesc_tool.commands.regressrows import base_revision, rows_of, what_of
from memdesc_tool.console import out
from memdesc_tool.context import Context
from memdesc_tool.equivalent import read_equivalents
from memdesc_tool.errors import ExitStatus
from memdesc_tool.overview import Gathering, Overview
from memdesc_tool.project import Project
from memdesc_tool.regress import recall
from memdesc_tool.requirements import read_requirements, trace
from memdesc_tool.results import open_store
from memdesc_tool.runners import runners
from memdesc_tool.series import Stack
from memdesc_tool.tree import Base
from memdesc_tool.workspace import open_workspace

DEFAULT_PAGE = Path("report.html")


@dataclass(frozen=True)
class Options(Selection):
    """What the command line asks for."""

    output: Path | None
    markdown: Path | None
    junit: Path | None


@click.command("report")
@click.argument("names", metavar="[SERIES]...", nargs=-1, shell_complete=complete_series)
@selection_options
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write one HTML file that needs no other [default: report.html, unless another "
              "format is asked for].")  # fmt: skip
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
              metavar="FILE",
              help="Write Markdown for a mail or a merge request (-: to stdout).")  # fmt: skip
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
              metavar="FILE", help="Write JUnit XML (-: to stdout).")  # fmt: skip
@click.pass_context
def report_command(click_context: click.Context, /, **kwargs: object) -> None:
    """Report what the results store has of the stack (or of SERIES and what they depend on).

    Takes the options of regress that say what to look at, and runs nothing. Exit status 0 where
    everything has run and is good, otherwise 1: a report that is incomplete is not good.
    """
    options = Options(**kwargs)  # type: ignore[arg-type]
    context: Context = click_context.obj
    found = _gather(context, options)
    pages = [
        (options.markdown, reporttext.markdown(found).encode() if options.markdown else b""),
        (options.junit, formats.junit(found.regression, found.excerpts) if options.junit else b""),
    ]
    page = options.output or (None if options.markdown or options.junit else DEFAULT_PAGE)
    pages.append((page, reportpage.html(found).encode() if page else b""))
    for path, data in pages:
        if path:
            _write(path, data)
    if Path("-") not in (options.markdown, options.junit):
        out.print(found.verdict, markup=False, highlight=False, soft_wrap=True)
    if found.word != "GOOD":
        click_context.exit(ExitStatus.FAILED)


def _write(path: Path, data: bytes) -> None:
    if str(path) == "-":
        sys.stdout.buffer.write(data)
    else:
        write_file(path, data)


def _gather(context: Context, options: Options) -> Overview:
    project, stack = what_of(options)
    base = resolve_base(context, options.tree_spec, base_revision(options), stack)
    columns, skipped = columns_of(project, stack, options, base, machines=True)
    known = read_known(project.patches) if project else ()
    wanted = read_requirements(project) if project else ()
    equivalents = read_equivalents(project.patches) if project else ()
    root = project.root if project else None
    with (
        open_workspace(context.cache, base, context.progress, reading=True) as workspace,
        open_store(context.cache.results) as store,
    ):
        rows = rows_of(workspace, stack, base, options, context.progress)
        runner = runners(workspace, context.progress, root, rows, None)
        found = recall(workspace, store, runner, rows, columns, known)
        return Gathering(workspace, store, runner, root).overview(
            found,
            _title(stack, options, project),
            _origin(base),
            skipped=[(one.column.name, one.why) for one in skipped],
            requirements=trace(wanted, stack.up_to(options.upto), found),
            equivalents=equivalents,
        )


def _title(stack: Stack, options: Options, project: Project | None) -> str:
    if options.commit_range:
        return options.commit_range
    titles = "; ".join(series.title for series in stack.series)
    return titles or (project.root.name if project else "")


def _origin(base: Base) -> str:
    """What the report stands on; of a tree of the user's its name alone, not its path."""
    return f"{Path(base.name).resolve().name} {base.commit[:12]}" if base.users else base.origin
